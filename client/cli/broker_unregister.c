/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "client/cli/json.h"
#include "client/cli/session.h"
#include "client/cli/verbs.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"

struct unregister {
    struct cli *cli;
    int32_t id; /* -1: not given */
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct unregister *u = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (u->id >= 0)
            argp_error(state, "one broker at a time");
        u->id = (int32_t)cli_number(state, "broker", arg, 0, INT32_MAX);
        return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "which broker?"); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static int on_reply(void *ctx, const struct client_reply *reply)
{
    struct unregister *u = ctx;
    const struct kafka_unregister_broker_response *response = reply->message;
    if (response->error_code != KAFKA_NONE)
        return cli_fail_said(u->cli, response->error_code, response->error_message,
                             "cannot unregister broker %d", u->id);
    if (u->cli->output == CLI_TEXT) {
        printf("broker %d is no longer of this cluster\n", u->id);
        return EXIT_OK;
    }
    struct json j = json_to(stdout);
    json_object(&j, NULL);
    json_i64(&j, "broker", u->id);
    json_bool(&j, "unregistered", true);
    json_object_end(&j);
    json_line(&j);
    return EXIT_OK;
}

int cli_broker_unregister(struct cli *cli, int argc, char **argv)
{
    struct unregister u = {.cli = cli, .id = -1};
    struct cli_syntax syntax = {NULL, parse, "ID",
                                "Forgets a broker that was stopped and will not come back."};
    struct kafka_unregister_broker_request request;
    struct session_call call = {.api_key = KAFKA_API_UNREGISTER_BROKER,
                                .message = &request,
                                .what = "cannot unregister the broker",
                                .on_reply = on_reply,
                                .ctx = &u};
    struct session s = {0};
    cli_parse(cli, &syntax, argc, argv, &u);
    kafka_unregister_broker_request_init(&request);
    request.broker_id = u.id;
    int code = session_open_plain(&s, cli);
    if (code == EXIT_OK)
        code = session_call(&s, &call);
    session_close(&s);
    return code;
}
