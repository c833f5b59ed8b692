/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "client/cli/group_calls.h"
#include "client/cli/json.h"
#include "client/cli/verbs.h"
#include "proto/kafka/error.h"

#define NAMES_MAX 64

struct delete_groups {
    struct cli *cli;
    const char *names[NAMES_MAX];
    int32_t names_count;
    const char *name; /* the present one */
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct delete_groups *d = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (d->names_count == NAMES_MAX)
            argp_error(state, "more than %d groups", NAMES_MAX);
        d->names[d->names_count++] = arg;
        return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "which group?"); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static int on_reply(void *ctx, const struct client_reply *reply)
{
    struct delete_groups *d = ctx;
    const struct kafka_delete_groups_response *response = reply->message;
    int16_t error =
        response->results_count == 1 ? response->results[0].error_code : KAFKA_UNKNOWN_SERVER_ERROR;
    if (error != KAFKA_NONE)
        return cli_fail(d->cli, (struct client_failure){ERR_REJECTED, error}, NULL,
                        "cannot delete group '%s'", d->name);
    if (d->cli->output == CLI_TEXT) {
        printf("group %s deleted\n", d->name);
        return EXIT_OK;
    }
    struct json j = json_to(stdout);
    json_object(&j, NULL);
    json_z(&j, "group", d->name);
    json_bool(&j, "deleted", true);
    json_object_end(&j);
    json_line(&j);
    return EXIT_OK;
}

static int delete_one(struct delete_groups *d, struct session *s)
{
    struct kafka_delete_groups_request request;
    struct str name = str_from(d->name);
    struct session_call call = {.api_key = KAFKA_API_DELETE_GROUPS,
                                .message = &request,
                                .to_node = true,
                                .what = "cannot delete the group",
                                .on_reply = on_reply,
                                .ctx = d};
    kafka_delete_groups_request_init(&request);
    request.groups_names = &name;
    request.groups_names_count = 1;
    int code = group_find_coordinator(s, d->name, &call.node);
    return code == EXIT_OK ? session_call(s, &call) : code;
}

int cli_group_delete(struct cli *cli, int argc, char **argv)
{
    struct delete_groups d = {.cli = cli};
    struct cli_syntax syntax = {NULL, parse, "NAME...", "Deletes groups without members, and their offsets."};
    struct session s = {0};
    cli_parse(cli, &syntax, argc, argv, &d);
    int code = session_open_plain(&s, cli);
    bool open = code == EXIT_OK;
    for (int32_t i = 0; i < d.names_count && open; i++) {
        d.name = d.names[i];
        int one = delete_one(&d, &s);
        code = one != EXIT_OK ? one : code;
    }
    session_close(&s);
    return code;
}
