/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/group_calls.h"
#include "client/cli/json.h"
#include "client/cli/verbs.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"

#define TOPICS_MAX     64
#define COMMIT_VERSION 9 /* the last that goes by names */

enum {
    OPTION_TOPIC = 0x1000,
    OPTION_TO_EARLIEST,
    OPTION_TO_LATEST,
    OPTION_TO_OFFSET,
    OPTION_TO_DATETIME,
    OPTION_BY_DURATION,
    OPTION_DRY_RUN,
};

enum target { TARGET_NONE, TARGET_EARLIEST, TARGET_LATEST, TARGET_OFFSET, TARGET_TIME, TARGET_DURATION };

struct reset {
    struct cli *cli;
    const char *name;
    const char *topics[TOPICS_MAX]; /* none: those that have committed offsets */
    int32_t topics_count;
    enum target target;
    int64_t value; /* offset, milliseconds since 1970, or milliseconds before now */
    bool dry_run;
    struct group_rows rows;
};

static const struct argp_option options[] = {
    {"topic", OPTION_TOPIC, "TOPIC", 0, "Only this topic, all its partitions (may be repeated)", 0},
    {"to-earliest", OPTION_TO_EARLIEST, NULL, 0, "To the beginning of the logs", 0},
    {"to-latest", OPTION_TO_LATEST, NULL, 0, "To the end of the logs", 0},
    {"to-offset", OPTION_TO_OFFSET, "N", 0, "To this offset, or the nearest that exists", 0},
    {"to-datetime", OPTION_TO_DATETIME, "TIME", 0,
     "To the first record that is not older: 2026-01-31T12:00:00Z or @MILLISECONDS", 0},
    {"by-duration", OPTION_BY_DURATION, "TIME", 0, "To the first record of the last TIME (2h, 7d)", 0},
    {"dry-run", OPTION_DRY_RUN, NULL, 0, "Show what would be set, change nothing", 0},
    {0},
};

static void aim(const struct argp_state *state, struct reset *r, enum target target, int64_t value)
{
    if (r->target != TARGET_NONE)
        argp_error(state, "one target at a time");
    r->target = target;
    r->value = value;
}

static void parse_argument(const struct argp_state *state, struct reset *r, const char *arg)
{
    if (r->name)
        argp_error(state, "one group at a time");
    r->name = arg;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct reset *r = state->input;
    int64_t ms = 0;
    switch (key) {
    case OPTION_TOPIC:
        if (r->topics_count == TOPICS_MAX)
            argp_error(state, "more than %d topics", TOPICS_MAX);
        r->topics[r->topics_count++] = arg;
        return 0;
    case OPTION_TO_EARLIEST: aim(state, r, TARGET_EARLIEST, 0); return 0;
    case OPTION_TO_LATEST: aim(state, r, TARGET_LATEST, 0); return 0;
    case OPTION_TO_OFFSET:
        aim(state, r, TARGET_OFFSET, cli_number(state, "to-offset", arg, 0, INT64_MAX));
        return 0;
    case OPTION_TO_DATETIME:
        if (!cli_time_ms(arg, &ms))
            argp_error(state, "'%s' is no time: 2026-01-31T12:00:00Z or @MILLISECONDS", arg);
        aim(state, r, TARGET_TIME, ms);
        return 0;
    case OPTION_BY_DURATION:
        aim(state, r, TARGET_DURATION, (int64_t)(cli_duration_us(state, "by-duration", arg) / 1000));
        return 0;
    case OPTION_DRY_RUN: r->dry_run = true; return 0;
    case ARGP_KEY_ARG: parse_argument(state, r, arg); return 0;
    case ARGP_KEY_END:
        if (!r->name)
            argp_error(state, "which group?");
        if (r->target == TARGET_NONE)
            argp_error(state, "to which offsets? --to-earliest, --to-latest, --to-offset, --to-datetime or "
                              "--by-duration");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* -- what to set -- */

static bool wanted(const struct reset *r, const char *topic)
{
    for (int32_t i = 0; i < r->topics_count; i++)
        if (strcmp(r->topics[i], topic) == 0)
            return true;
    return r->topics_count == 0;
}

static void drop_unwanted(struct reset *r)
{
    int32_t kept = 0;
    for (int32_t i = 0; i < r->rows.count; i++) {
        if (wanted(r, r->rows.items[i].topic))
            r->rows.items[kept++] = r->rows.items[i];
        else
            free(r->rows.items[i].topic);
    }
    r->rows.count = kept;
}

static int add_topics(struct reset *r, struct session *s)
{
    for (int32_t t = 0; t < r->topics_count; t++) {
        struct client_topic *topic;
        int code = session_topic(s, r->topics[t], &topic);
        if (code != EXIT_OK)
            return code;
        for (int32_t i = 0; i < client_topic_partitions(topic); i++)
            group_row_of(&r->rows, str_from(r->topics[t]), i);
    }
    return EXIT_OK;
}

/* Nobody knows where its log begins and ends. */
static int no_ends(const struct reset *r, const struct group_row *row)
{
    return cli_fail_words(r->cli, EXIT_FAILED, "it has no leader, or the topic was deleted",
                          "name the topics to set with --topic", "partition %d of topic '%s'", row->partition,
                          row->topic);
}

/* From where the partition will be read: `found` becomes it. */
static void choose(const struct reset *r, struct group_row *row)
{
    if (r->target == TARGET_EARLIEST)
        row->found = row->start;
    else if (r->target == TARGET_LATEST)
        row->found = row->end;
    else if (r->target == TARGET_OFFSET)
        row->found = MIN(MAX(r->value, row->start), row->end);
    else if (row->found < 0) /* nothing is as new as that */
        row->found = row->end;
}

static int look_up(struct reset *r, struct session *s, int32_t node)
{
    int code = group_committed(s, node, r->name, &r->rows);
    drop_unwanted(r);
    if (code == EXIT_OK)
        code = add_topics(r, s);
    if (code == EXIT_OK && r->rows.count == 0)
        return cli_fail_words(r->cli, EXIT_NOT_FOUND, "it has no committed offsets",
                              "name topics with --topic", "group '%s'", r->name);
    if (code == EXIT_OK)
        code = group_times(s, &r->rows, -2, offsetof(struct group_row, start));
    if (code == EXIT_OK)
        code = group_times(s, &r->rows, -1, offsetof(struct group_row, end));
    if (code == EXIT_OK && (r->target == TARGET_TIME || r->target == TARGET_DURATION)) {
        int64_t ms = r->target == TARGET_DURATION ? env_wall_ms(s->env) - r->value : r->value;
        code = group_times(s, &r->rows, MAX(ms, 0), offsetof(struct group_row, found));
    }
    group_rows_sort(&r->rows);
    for (int32_t i = 0; i < r->rows.count && code == EXIT_OK; i++) {
        struct group_row *row = &r->rows.items[i];
        if (row->start < 0 || row->end < 0)
            code = no_ends(r, row);
        else
            choose(r, row);
    }
    return code;
}

/* -- setting it -- */

static int on_committed(void *ctx, const struct client_reply *reply)
{
    struct reset *r = ctx;
    const struct kafka_offset_commit_response *response = reply->message;
    for (int32_t t = 0; t < response->topics_count; t++)
        for (int32_t i = 0; i < response->topics[t].partitions_count; i++) {
            int16_t error = response->topics[t].partitions[i].error_code;
            if (error == KAFKA_UNKNOWN_MEMBER_ID)
                return cli_fail_words(r->cli, EXIT_FAILED,
                                      "it has members, which would overwrite the offsets", "stop them first",
                                      "group '%s'", r->name);
            if (error != KAFKA_NONE)
                return cli_fail(r->cli, (struct client_failure){ERR_REJECTED, error}, NULL,
                                "cannot set the offsets of group '%s'", r->name);
        }
    return EXIT_OK;
}

static int commit(struct reset *r, struct session *s, int32_t node)
{
    size_t count = (size_t)r->rows.count;
    struct kafka_offset_commit_request request;
    struct kafka_offset_commit_request_topic *topics = calloc(count, sizeof(*topics));
    struct kafka_offset_commit_request_partition *partitions = calloc(count, sizeof(*partitions));
    struct session_call call = {.api_key = KAFKA_API_OFFSET_COMMIT,
                                .version_max = COMMIT_VERSION,
                                .message = &request,
                                .repeatable = true,
                                .to_node = true,
                                .node = node,
                                .what = "cannot set the group's offsets",
                                .on_reply = on_committed,
                                .ctx = r};
    ASSERT(topics && partitions);
    kafka_offset_commit_request_init(&request);
    request.group_id = str_from(r->name);
    request.member_id = STR_LIT("");
    request.topics = topics;
    request.topics_count = r->rows.count;
    for (int32_t i = 0; i < r->rows.count; i++) {
        kafka_offset_commit_request_partition_init(&partitions[i]);
        partitions[i].partition_index = r->rows.items[i].partition;
        partitions[i].committed_offset = r->rows.items[i].found;
        partitions[i].committed_metadata = STR_LIT("");
        topics[i].name = str_from(r->rows.items[i].topic);
        topics[i].partitions = &partitions[i];
        topics[i].partitions_count = 1;
    }
    int code = session_call(s, &call);
    free(topics);
    free(partitions);
    return code;
}

static void print_json(const struct reset *r)
{
    struct json j = json_to(stdout);
    json_object(&j, NULL);
    json_z(&j, "group", r->name);
    json_bool(&j, "dry_run", r->dry_run);
    json_array(&j, "partitions");
    for (int32_t i = 0; i < r->rows.count; i++) {
        json_object(&j, NULL);
        json_z(&j, "topic", r->rows.items[i].topic);
        json_i64(&j, "partition", r->rows.items[i].partition);
        json_i64(&j, "before", r->rows.items[i].committed);
        json_i64(&j, "after", r->rows.items[i].found);
        json_object_end(&j);
    }
    json_array_end(&j);
    json_object_end(&j);
    json_line(&j);
}

static void print_text(const struct reset *r)
{
    printf("group %s%s\n  %-24s %6s %12s %12s\n", r->name, r->dry_run ? "  (nothing was changed)" : "",
           "TOPIC", "PART", "BEFORE", "AFTER");
    for (int32_t i = 0; i < r->rows.count; i++) {
        const struct group_row *row = &r->rows.items[i];
        printf("  %-24s %6d %12lld %12lld\n", row->topic, row->partition, (long long)row->committed,
               (long long)row->found);
    }
}

int cli_group_reset_offsets(struct cli *cli, int argc, char **argv)
{
    struct reset r = {.cli = cli};
    struct cli_syntax syntax = {options, parse, "NAME",
                                "Sets the committed offsets of a group without members."};
    struct session s = {0};
    int32_t node = -1;
    cli_parse(cli, &syntax, argc, argv, &r);
    int code = session_open_plain(&s, cli);
    if (code == EXIT_OK)
        code = group_find_coordinator(&s, r.name, &node);
    if (code == EXIT_OK)
        code = look_up(&r, &s, node);
    if (code == EXIT_OK && !r.dry_run)
        code = commit(&r, &s, node);
    if (code == EXIT_OK) {
        if (cli->output == CLI_JSON)
            print_json(&r);
        else
            print_text(&r);
    }
    session_close(&s);
    group_rows_free(&r.rows);
    return code;
}
