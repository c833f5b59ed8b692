/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "client/cli/json.h"
#include "client/cli/session.h"
#include "client/cli/verbs.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"

#define RESOURCE_BROKER 4
#define OP_SET          0
#define OP_DELETE       1

enum { OPTION_UNDO = 0x1000 };

struct drain {
    struct cli *cli;
    const char *id;
    bool undo;
};

static const struct argp_option options[] = {
    {"undo", OPTION_UNDO, NULL, 0, "The broker may lead and hold replicas again", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct drain *d = state->input;
    switch (key) {
    case OPTION_UNDO: d->undo = true; return 0;
    case ARGP_KEY_ARG:
        if (d->id)
            argp_error(state, "one broker at a time");
        cli_number(state, "broker", arg, 0, INT32_MAX);
        d->id = arg;
        return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "which broker?"); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static int on_reply(void *ctx, const struct client_reply *reply)
{
    struct drain *d = ctx;
    const struct kafka_incremental_alter_configs_response *response = reply->message;
    bool one = response->responses_count == 1;
    int16_t error = one ? response->responses[0].error_code : KAFKA_UNKNOWN_SERVER_ERROR;
    if (error != KAFKA_NONE)
        return cli_fail_said(d->cli, error, one ? response->responses[0].error_message : STR_NULL,
                             "cannot drain broker %s", d->id);
    if (d->cli->output == CLI_TEXT) {
        printf(d->undo ? "broker %s may lead and hold replicas again\n"
                       : "broker %s leads no more, where others can, and gets no new replicas; "
                         "`sluice partition rebalance` moves those it has\n",
               d->id);
        return EXIT_OK;
    }
    struct json j = json_to(stdout);
    json_object(&j, NULL);
    json_z(&j, "broker", d->id);
    json_bool(&j, "draining", !d->undo);
    json_object_end(&j);
    json_line(&j);
    return EXIT_OK;
}

int cli_broker_drain(struct cli *cli, int argc, char **argv)
{
    struct drain d = {.cli = cli};
    struct cli_syntax syntax = {options, parse, "ID",
                                "Empties a broker of leaders before it is taken out of service."};
    struct kafka_incremental_alter_configs_request request;
    struct kafka_incremental_alter_configs_request_resource resource;
    struct kafka_incremental_alter_configs_request_config config;
    struct session_call call = {.api_key = KAFKA_API_INCREMENTAL_ALTER_CONFIGS,
                                .message = &request,
                                .what = "cannot drain the broker",
                                .on_reply = on_reply,
                                .ctx = &d};
    struct session s = {0};
    cli_parse(cli, &syntax, argc, argv, &d);
    kafka_incremental_alter_configs_request_init(&request);
    kafka_incremental_alter_configs_request_resource_init(&resource);
    kafka_incremental_alter_configs_request_config_init(&config);
    config.name = STR_LIT("broker.draining");
    config.config_operation = d.undo ? OP_DELETE : OP_SET;
    config.value = d.undo ? STR_NULL : STR_LIT("true");
    resource.resource_type = RESOURCE_BROKER;
    resource.resource_name = str_from(d.id);
    resource.configs = &config;
    resource.configs_count = 1;
    request.resources = &resource;
    request.resources_count = 1;
    int code = session_open_plain(&s, cli);
    if (code == EXIT_OK)
        code = session_call(&s, &call);
    session_close(&s);
    return code;
}
