/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "client/cli/calls.h"
#include "client/cli/json.h"
#include "client/cli/verbs.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"

struct list_groups {
    struct cli *cli;
    struct json j;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    if (key != ARGP_KEY_ARG)
        return ARGP_ERR_UNKNOWN;
    argp_error(state, "unexpected '%s'", arg);
    return 0;
}

static void print_group(struct list_groups *l, const struct kafka_list_groups_response_group *group)
{
    if (l->cli->output == CLI_TEXT) {
        printf("%-32.*s %-20.*s %-9.*s %.*s\n", group->group_id.len, group->group_id.p,
               MAX(group->group_state.len, 0), group->group_state.p ? group->group_state.p : "",
               MAX(group->group_type.len, 0), group->group_type.p ? group->group_type.p : "",
               group->protocol_type.len, group->protocol_type.p);
        return;
    }
    json_object(&l->j, NULL);
    json_str(&l->j, "group", group->group_id);
    json_str(&l->j, "state", group->group_state);
    json_str(&l->j, "type", group->group_type);
    json_str(&l->j, "protocol_type", group->protocol_type);
    json_object_end(&l->j);
}

static int on_groups(void *ctx, const struct client_reply *reply)
{
    struct list_groups *l = ctx;
    const struct kafka_list_groups_response *response = reply->message;
    if (response->error_code != KAFKA_NONE)
        return cli_fail(l->cli, (struct client_failure){ERR_REJECTED, response->error_code}, NULL,
                        "cannot list groups");
    for (int32_t i = 0; i < response->groups_count; i++)
        print_group(l, &response->groups[i]);
    return EXIT_OK;
}

/* Every broker knows the groups that it coordinates. */
static int list_all(struct list_groups *l, struct session *s)
{
    struct kafka_list_groups_request request;
    struct session_call groups = {.api_key = KAFKA_API_LIST_GROUPS,
                                  .message = &request,
                                  .repeatable = true,
                                  .what = "cannot list groups",
                                  .on_reply = on_groups,
                                  .ctx = l};
    kafka_list_groups_request_init(&request);
    return calls_every_broker(s, &groups);
}

int cli_group_list(struct cli *cli, int argc, char **argv)
{
    struct list_groups l = {.cli = cli, .j = json_to(stdout)};
    struct cli_syntax syntax = {NULL, parse, NULL, "Lists the groups of all brokers."};
    struct session s = {0};
    cli_parse(cli, &syntax, argc, argv, &l);
    int code = session_open_plain(&s, cli);
    if (code == EXIT_OK && cli->output == CLI_JSON) {
        json_object(&l.j, NULL);
        json_array(&l.j, "groups");
    }
    if (code == EXIT_OK)
        code = list_all(&l, &s);
    if (code == EXIT_OK && cli->output == CLI_JSON) {
        json_array_end(&l.j);
        json_object_end(&l.j);
        json_line(&l.j);
    }
    session_close(&s);
    return code;
}
