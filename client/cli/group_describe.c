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
    bool absent; /* no group of the protocol that was asked for last */
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

static void note_reader(struct describe_group *d, struct str topic, int32_t partition, struct str member)
{
    struct group_row *row = group_row_of(&d->rows, topic, partition);
    if (row && !row->member)
        row->member = strndup(member.p, (size_t)member.len);
}

/* Who reads which partition, as the group's leader gave them out. */
static void note_member(struct describe_group *d, const struct kafka_describe_groups_response_member *member)
{
    struct group_assignment assignment;
    struct arena arena;
    arena_init(&arena, NULL, 0, ASSIGNMENT_ARENA_BYTES);
    group_assignment_decode(member->member_assignment, &arena, &assignment); /* not ours: nothing to show */
    for (int32_t t = 0; t < assignment.topics_count; t++)
        for (int32_t i = 0; i < assignment.topics[t].partitions_count; i++)
            note_reader(d, assignment.topics[t].topic, assignment.topics[t].partitions[i], member->member_id);
    arena_free(&arena);
}

/* The same as the coordinator gave them out (KIP-848). */
static void note_consumer(struct describe_group *d,
                          const struct kafka_consumer_group_describe_response_member *member)
{
    for (int32_t t = 0; t < member->assignment.topic_partitions_count; t++) {
        const struct kafka_consumer_group_describe_response_topic_partitions *one =
            &member->assignment.topic_partitions[t];
        for (int32_t i = 0; i < one->partitions_count; i++)
            note_reader(d, one->topic_name, one->partitions[i], member->member_id);
    }
}

struct shown_member {
    struct str id, instance_id, client_id, host;
};

static void print_member(struct describe_group *d, const struct shown_member *member)
{
    if (d->cli->output == CLI_TEXT) {
        printf("  member %.*s  client %.*s  host %.*s%s%.*s\n", member->id.len, member->id.p,
               member->client_id.len, member->client_id.p, member->host.len, member->host.p,
               member->instance_id.len > 0 ? "  instance " : "", MAX(member->instance_id.len, 0),
               member->instance_id.p ? member->instance_id.p : "");
        return;
    }
    json_object(&d->j, NULL);
    json_str(&d->j, "member_id", member->id);
    json_str(&d->j, "instance_id", member->instance_id);
    json_str(&d->j, "client_id", member->client_id);
    json_str(&d->j, "host", member->host);
    json_object_end(&d->j);
}

static void print_head(struct describe_group *d, struct str protocol_type, struct str protocol,
                       int32_t members)
{
    if (d->cli->output == CLI_TEXT) {
        printf("group %s  %s  %d members%s%.*s\n", d->name, d->state, members,
               protocol.len > 0 ? "  protocol " : "", MAX(protocol.len, 0), protocol.p ? protocol.p : "");
        return;
    }
    json_object(&d->j, NULL);
    json_z(&d->j, "group", d->name);
    json_z(&d->j, "state", d->state);
    json_str(&d->j, "protocol_type", protocol_type);
    json_str(&d->j, "protocol", protocol);
    json_array(&d->j, "members");
}

static void print_members_end(struct describe_group *d)
{
    if (d->cli->output == CLI_JSON)
        json_array_end(&d->j);
}

static int refused(struct describe_group *d, int16_t error)
{
    return cli_fail(d->cli, (struct client_failure){ERR_REJECTED, error}, NULL, "cannot describe group '%s'",
                    d->name);
}

static int on_described(void *ctx, const struct client_reply *reply)
{
    struct describe_group *d = ctx;
    const struct kafka_describe_groups_response *response = reply->message;
    const struct kafka_describe_groups_response_group *group = &response->groups[0];
    if (response->groups_count != 1)
        return refused(d, KAFKA_UNKNOWN_SERVER_ERROR);
    d->absent = group->error_code == KAFKA_GROUP_ID_NOT_FOUND || str_eq_z(group->group_state, "Dead");
    if (d->absent)
        return EXIT_OK; /* perhaps it is one of the other protocol */
    if (group->error_code != KAFKA_NONE)
        return refused(d, group->error_code);
    str_copy(group->group_state, d->state, sizeof(d->state));
    print_head(d, group->protocol_type, group->protocol_data, group->members_count);
    for (int32_t i = 0; i < group->members_count; i++) {
        const struct kafka_describe_groups_response_member *member = &group->members[i];
        note_member(d, member);
        print_member(d, &(struct shown_member){member->member_id, member->group_instance_id,
                                               member->client_id, member->client_host});
    }
    print_members_end(d);
    return EXIT_OK;
}

static int on_consumer_described(void *ctx, const struct client_reply *reply)
{
    struct describe_group *d = ctx;
    const struct kafka_consumer_group_describe_response *response = reply->message;
    const struct kafka_consumer_group_describe_response_group *group = &response->groups[0];
    if (response->groups_count != 1)
        return refused(d, KAFKA_UNKNOWN_SERVER_ERROR);
    d->absent = group->error_code == KAFKA_GROUP_ID_NOT_FOUND;
    if (d->absent)
        return EXIT_OK;
    if (group->error_code != KAFKA_NONE)
        return refused(d, group->error_code);
    str_copy(group->group_state, d->state, sizeof(d->state));
    print_head(d, STR_LIT("consumer"), group->assignor_name, group->members_count);
    for (int32_t i = 0; i < group->members_count; i++) {
        const struct kafka_consumer_group_describe_response_member *member = &group->members[i];
        note_consumer(d, member);
        print_member(d, &(struct shown_member){member->member_id, member->instance_id, member->client_id,
                                               member->client_host});
    }
    print_members_end(d);
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

static int describe_classic(struct describe_group *d, struct session *s, int32_t node)
{
    struct kafka_describe_groups_request request;
    struct str name = str_from(d->name);
    struct session_call call = {.api_key = KAFKA_API_DESCRIBE_GROUPS,
                                .message = &request,
                                .repeatable = true,
                                .to_node = true,
                                .node = node,
                                .what = "cannot describe the group",
                                .on_reply = on_described,
                                .ctx = d};
    kafka_describe_groups_request_init(&request);
    request.groups = &name;
    request.groups_count = 1;
    return session_call(s, &call);
}

static int describe_consumer(struct describe_group *d, struct session *s, int32_t node)
{
    struct kafka_consumer_group_describe_request request;
    struct str name = str_from(d->name);
    bool unsupported = false;
    struct session_call call = {.api_key = KAFKA_API_CONSUMER_GROUP_DESCRIBE,
                                .message = &request,
                                .repeatable = true,
                                .to_node = true,
                                .node = node,
                                .what = "cannot describe the group",
                                .on_reply = on_consumer_described,
                                .ctx = d,
                                .ret_unsupported = &unsupported};
    kafka_consumer_group_describe_request_init(&request);
    request.group_ids = &name;
    request.group_ids_count = 1;
    return session_call(s, &call);
}

static int describe(struct describe_group *d, struct session *s)
{
    int32_t node = -1;
    int code = group_find_coordinator(s, d->name, &node);
    if (code == EXIT_OK)
        code = describe_classic(d, s, node);
    if (code == EXIT_OK && d->absent)
        code = describe_consumer(d, s, node);
    if (code == EXIT_OK && d->absent)
        code = cli_fail_words(d->cli, EXIT_NOT_FOUND, "no such group", NULL, "group '%s'", d->name);
    if (code == EXIT_OK)
        code = group_committed(s, node, d->name, &d->rows);
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
