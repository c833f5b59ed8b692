/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/group_calls.h"
#include "client/cli/json.h"
#include "client/cli/verbs.h"
#include "client/core/group_protocol.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"

#define ASSIGNMENT_ARENA_BYTES (16u << 20)

struct describe_group {
    struct cli *cli;
    const char *name;
    struct group_rows rows;
    char state[32];
    struct json j;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct describe_group *d = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (d->name)
            argp_error(state, "one group at a time");
        d->name = arg;
        return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "which group?"); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* Who reads which partition, as the group's leader gave them out. */
static void note_member(struct describe_group *d, const struct kafka_describe_groups_response_member *member)
{
    struct group_assignment assignment;
    struct arena arena;
    arena_init(&arena, NULL, 0, ASSIGNMENT_ARENA_BYTES);
    group_assignment_decode(member->member_assignment, &arena, &assignment); /* not ours: nothing to show */
    for (int32_t t = 0; t < assignment.topics_count; t++)
        for (int32_t i = 0; i < assignment.topics[t].partitions_count; i++) {
            struct group_row *row =
                group_row_of(&d->rows, assignment.topics[t].topic, assignment.topics[t].partitions[i]);
            if (row && !row->member)
                row->member = strndup(member->member_id.p, (size_t)member->member_id.len);
        }
    arena_free(&arena);
}

static void print_member(struct describe_group *d, const struct kafka_describe_groups_response_member *member)
{
    if (d->cli->output == CLI_TEXT) {
        printf("  member %.*s  client %.*s  host %.*s%s%.*s\n", member->member_id.len, member->member_id.p,
               member->client_id.len, member->client_id.p, member->client_host.len, member->client_host.p,
               member->group_instance_id.len > 0 ? "  instance " : "", MAX(member->group_instance_id.len, 0),
               member->group_instance_id.p ? member->group_instance_id.p : "");
        return;
    }
    json_object(&d->j, NULL);
    json_str(&d->j, "member_id", member->member_id);
    json_str(&d->j, "instance_id", member->group_instance_id);
    json_str(&d->j, "client_id", member->client_id);
    json_str(&d->j, "host", member->client_host);
    json_object_end(&d->j);
}

static void print_head(struct describe_group *d, const struct kafka_describe_groups_response_group *group)
{
    if (d->cli->output == CLI_TEXT) {
        printf("group %s  %s  %d members%s%.*s\n", d->name, d->state, group->members_count,
               group->protocol_data.len > 0 ? "  protocol " : "", MAX(group->protocol_data.len, 0),
               group->protocol_data.p ? group->protocol_data.p : "");
    } else {
        json_object(&d->j, NULL);
        json_z(&d->j, "group", d->name);
        json_z(&d->j, "state", d->state);
        json_str(&d->j, "protocol_type", group->protocol_type);
        json_str(&d->j, "protocol", group->protocol_data);
        json_array(&d->j, "members");
    }
    for (int32_t i = 0; i < group->members_count; i++)
        print_member(d, &group->members[i]);
    if (d->cli->output == CLI_JSON)
        json_array_end(&d->j);
}

static int on_described(void *ctx, const struct client_reply *reply)
{
    struct describe_group *d = ctx;
    const struct kafka_describe_groups_response *response = reply->message;
    const struct kafka_describe_groups_response_group *group = &response->groups[0];
    bool absent = response->groups_count == 1 &&
                  (group->error_code == KAFKA_GROUP_ID_NOT_FOUND || str_eq_z(group->group_state, "Dead"));
    if (absent)
        return cli_fail_words(d->cli, EXIT_NOT_FOUND, "no such group", NULL, "group '%s'", d->name);
    if (response->groups_count != 1 || group->error_code != KAFKA_NONE)
        return cli_fail(d->cli,
                        (struct client_failure){ERR_REJECTED, response->groups_count == 1
                                                                  ? group->error_code
                                                                  : KAFKA_UNKNOWN_SERVER_ERROR},
                        NULL, "cannot describe group '%s'", d->name);
    str_copy(group->group_state, d->state, sizeof(d->state));
    for (int32_t i = 0; i < group->members_count; i++)
        note_member(d, &group->members[i]);
    print_head(d, group);
    return EXIT_OK;
}

/* What is still to be read: what retention took away is not. */
static int64_t lag_of(const struct group_row *row)
{
    return row->committed < 0 || row->end < 0 ? -1 : MAX(row->end - MAX(row->committed, row->start), 0);
}

static void print_number(int64_t value)
{
    if (value < 0)
        printf(" %12s", "-");
    else
        printf(" %12lld", (long long)value);
}

static void print_row(struct describe_group *d, const struct group_row *row)
{
    if (d->cli->output == CLI_TEXT) {
        printf("  %-24s %6d", row->topic, row->partition);
        print_number(row->committed);
        print_number(row->end);
        print_number(lag_of(row));
        printf("  %s\n", row->member ? row->member : "-");
        return;
    }
    json_object(&d->j, NULL);
    json_z(&d->j, "topic", row->topic);
    json_i64(&d->j, "partition", row->partition);
    json_i64(&d->j, "committed", row->committed);
    json_i64(&d->j, "log_start", row->start);
    json_i64(&d->j, "log_end", row->end);
    json_i64(&d->j, "lag", lag_of(row));
    json_z(&d->j, "member_id", row->member);
    json_object_end(&d->j);
}

static void print_rows(struct describe_group *d)
{
    group_rows_sort(&d->rows);
    if (d->cli->output == CLI_JSON)
        json_array(&d->j, "partitions");
    else if (d->rows.count > 0)
        printf("  %-24s %6s %12s %12s %12s  %s\n", "TOPIC", "PART", "COMMITTED", "END", "LAG", "MEMBER");
    for (int32_t i = 0; i < d->rows.count; i++)
        print_row(d, &d->rows.items[i]);
    if (d->cli->output != CLI_JSON)
        return;
    json_array_end(&d->j);
    json_object_end(&d->j);
    json_line(&d->j);
}

static int describe(struct describe_group *d, struct session *s)
{
    struct kafka_describe_groups_request request;
    struct str name = str_from(d->name);
    struct session_call call = {.api_key = KAFKA_API_DESCRIBE_GROUPS,
                                .message = &request,
                                .repeatable = true,
                                .to_node = true,
                                .what = "cannot describe the group",
                                .on_reply = on_described,
                                .ctx = d};
    kafka_describe_groups_request_init(&request);
    request.groups = &name;
    request.groups_count = 1;
    int code = group_find_coordinator(s, d->name, &call.node);
    if (code == EXIT_OK)
        code = session_call(s, &call);
    if (code == EXIT_OK)
        code = group_committed(s, call.node, d->name, &d->rows);
    if (code == EXIT_OK)
        code = group_times(s, &d->rows, -2, offsetof(struct group_row, start));
    if (code == EXIT_OK)
        code = group_times(s, &d->rows, -1, offsetof(struct group_row, end));
    if (code == EXIT_OK)
        print_rows(d);
    return code;
}

int cli_group_describe(struct cli *cli, int argc, char **argv)
{
    struct describe_group d = {.cli = cli, .j = json_to(stdout)};
    struct cli_syntax syntax = {NULL, parse, "NAME", "Shows a group's members, committed offsets and lag."};
    struct session s = {0};
    cli_parse(cli, &syntax, argc, argv, &d);
    int code = session_open_plain(&s, cli);
    if (code == EXIT_OK)
        code = describe(&d, &s);
    session_close(&s);
    group_rows_free(&d.rows);
    return code;
}
