/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "client/cli/json.h"
#include "client/cli/session.h"
#include "client/cli/settings.h"
#include "client/cli/verbs.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"

#define RESOURCE_TOPIC 2
#define OP_SET         0
#define OP_DELETE      1

enum { OPTION_CONFIG = 0x1000, OPTION_DELETE_CONFIG };

struct alter {
    struct cli *cli;
    const char *name;
    int32_t partitions; /* 0: as they are */
    struct settings set, unset;
};

static const struct argp_option options[] = {
    {"partitions", 'p', "N", 0, "Raise the number of partitions to N", 0},
    {"config", OPTION_CONFIG, "NAME=VALUE", 0, "Set a setting; may be repeated", 0},
    {"delete-config", OPTION_DELETE_CONFIG, "NAME", 0, "Back to the cluster's default; may be repeated", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct alter *alter = state->input;
    switch (key) {
    case 'p': alter->partitions = (int32_t)cli_number(state, "partitions", arg, 1, INT32_MAX); return 0;
    case OPTION_CONFIG: settings_add(&alter->set, state, "config", arg, true); return 0;
    case OPTION_DELETE_CONFIG: settings_add(&alter->unset, state, "delete-config", arg, false); return 0;
    case ARGP_KEY_ARG:
        if (alter->name)
            argp_error(state, "one topic at a time");
        alter->name = arg;
        return 0;
    case ARGP_KEY_END:
        if (!alter->name)
            argp_error(state, "which topic?");
        else if (alter->partitions == 0 && alter->set.count + alter->unset.count == 0)
            argp_error(state, "nothing to change: give --partitions, --config or --delete-config");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static int judge(struct alter *alter, int16_t error, struct str message)
{
    if (error == KAFKA_NONE)
        return EXIT_OK;
    return cli_fail_said(alter->cli, error, message, "cannot alter topic '%s'", alter->name);
}

static int on_partitions(void *ctx, const struct client_reply *reply)
{
    const struct kafka_create_partitions_response *response = reply->message;
    if (response->results_count != 1)
        return judge(ctx, KAFKA_UNKNOWN_SERVER_ERROR, STR_NULL);
    return judge(ctx, response->results[0].error_code, response->results[0].error_message);
}

static int on_configs(void *ctx, const struct client_reply *reply)
{
    const struct kafka_incremental_alter_configs_response *response = reply->message;
    if (response->responses_count != 1)
        return judge(ctx, KAFKA_UNKNOWN_SERVER_ERROR, STR_NULL);
    return judge(ctx, response->responses[0].error_code, response->responses[0].error_message);
}

static int alter_partitions(struct alter *alter, struct session *s)
{
    struct kafka_create_partitions_request request;
    struct kafka_create_partitions_request_topic topic;
    kafka_create_partitions_request_init(&request);
    kafka_create_partitions_request_topic_init(&topic);
    topic.name = str_from(alter->name);
    topic.count = alter->partitions;
    topic.assignments_count = -1;
    request.topics = &topic;
    request.topics_count = 1;
    request.timeout_ms = (int32_t)(alter->cli->timeout_us / 1000);
    struct session_call call = {.api_key = KAFKA_API_CREATE_PARTITIONS,
                                .message = &request,
                                .what = "cannot add partitions",
                                .on_reply = on_partitions,
                                .ctx = alter};
    return session_call(s, &call);
}

static int alter_configs(struct alter *alter, struct session *s)
{
    struct kafka_incremental_alter_configs_request request;
    struct kafka_incremental_alter_configs_request_resource resource;
    struct kafka_incremental_alter_configs_request_config configs[2 * SETTINGS_MAX];
    kafka_incremental_alter_configs_request_init(&request);
    kafka_incremental_alter_configs_request_resource_init(&resource);
    resource.resource_type = RESOURCE_TOPIC;
    resource.resource_name = str_from(alter->name);
    resource.configs = configs;
    for (int32_t i = 0; i < alter->set.count; i++)
        configs[resource.configs_count++] = (struct kafka_incremental_alter_configs_request_config){
            .name = alter->set.items[i].name, .config_operation = OP_SET, .value = alter->set.items[i].value};
    for (int32_t i = 0; i < alter->unset.count; i++)
        configs[resource.configs_count++] = (struct kafka_incremental_alter_configs_request_config){
            .name = alter->unset.items[i].name, .config_operation = OP_DELETE, .value = STR_NULL};
    request.resources = &resource;
    request.resources_count = 1;
    struct session_call call = {.api_key = KAFKA_API_INCREMENTAL_ALTER_CONFIGS,
                                .message = &request,
                                .repeatable = true,
                                .what = "cannot change settings",
                                .on_reply = on_configs,
                                .ctx = alter};
    return session_call(s, &call);
}

static void print_done(const struct alter *alter)
{
    struct json j = json_to(stdout);
    if (alter->cli->output == CLI_TEXT) {
        printf("topic %s altered\n", alter->name);
        return;
    }
    json_object(&j, NULL);
    json_z(&j, "name", alter->name);
    json_bool(&j, "altered", true);
    json_object_end(&j);
    json_line(&j);
}

int cli_topic_alter(struct cli *cli, int argc, char **argv)
{
    struct alter alter = {.cli = cli};
    struct cli_syntax syntax = {options, parse, "NAME", "Adds partitions and changes settings of a topic."};
    struct session s = {0};
    cli_parse(cli, &syntax, argc, argv, &alter);
    int code = session_open_plain(&s, cli);
    if (code == EXIT_OK && alter.set.count + alter.unset.count > 0)
        code = alter_configs(&alter, &s);
    if (code == EXIT_OK && alter.partitions > 0)
        code = alter_partitions(&alter, &s);
    if (code == EXIT_OK)
        print_done(&alter);
    session_close(&s);
    return code;
}
