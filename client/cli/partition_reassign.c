/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "client/cli/json.h"
#include "client/cli/session.h"
#include "client/cli/verbs.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"

#define IDS_MAX 64

enum { OPTION_TO = 0x1000, OPTION_CANCEL, OPTION_LIST };

struct reassign {
    struct cli *cli;
    const char *topic;
    int32_t partition; /* -1: not given */
    int32_t ids[IDS_MAX], ids_count;
    bool cancel, list;
};

static const struct argp_option options[] = {
    {"to", OPTION_TO, "ID,ID,...", 0, "The brokers that shall hold the partition, the preferred leader first",
     0},
    {"cancel", OPTION_CANCEL, NULL, 0, "End a move under way: the replicas that it adds go", 0},
    {"list", OPTION_LIST, NULL, 0, "Show the moves under way", 0},
    {0},
};

static void parse_ids(struct reassign *r, struct argp_state *state, const char *text)
{
    char *copy = strdup(text), *save = NULL;
    for (char *id = copy ? strtok_r(copy, ",", &save) : NULL; id; id = strtok_r(NULL, ",", &save)) {
        if (r->ids_count == IDS_MAX)
            argp_error(state, "more than %d brokers", IDS_MAX);
        r->ids[r->ids_count++] = (int32_t)cli_number(state, "to", id, 0, INT32_MAX);
    }
    free(copy);
}

static void check_words(const struct reassign *r, struct argp_state *state)
{
    int wishes = (r->ids_count > 0) + r->cancel + r->list;
    if (wishes != 1)
        argp_error(state, "give one of --to, --cancel and --list");
    else if (!r->list && r->partition < 0)
        argp_error(state, "which partition? give TOPIC PARTITION");
    else if (r->list && r->topic)
        argp_error(state, "--list shows all moves");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct reassign *r = state->input;
    switch (key) {
    case OPTION_TO: parse_ids(r, state, arg); return 0;
    case OPTION_CANCEL: r->cancel = true; return 0;
    case OPTION_LIST: r->list = true; return 0;
    case ARGP_KEY_ARG:
        if (!r->topic)
            r->topic = arg;
        else if (r->partition < 0)
            r->partition = (int32_t)cli_number(state, "partition", arg, 0, INT32_MAX);
        else
            argp_error(state, "one partition at a time");
        return 0;
    case ARGP_KEY_END: check_words(r, state); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static int on_reassigned(void *ctx, const struct client_reply *reply)
{
    struct reassign *r = ctx;
    const struct kafka_alter_partition_reassignments_response *response = reply->message;
    int16_t error = response->error_code;
    struct str message = response->error_message;
    if (error == KAFKA_NONE && response->responses_count == 1 &&
        response->responses[0].partitions_count == 1) {
        error = response->responses[0].partitions[0].error_code;
        message = response->responses[0].partitions[0].error_message;
    }
    if (error != KAFKA_NONE)
        return cli_fail_said(r->cli, error, message, "cannot reassign %s-%d", r->topic, r->partition);
    if (r->cli->output == CLI_TEXT) {
        printf("%s-%d: %s\n", r->topic, r->partition,
               r->cancel ? "the move is cancelled"
                         : "moving; `sluice partition reassign --list` shows how far");
        return EXIT_OK;
    }
    struct json j = json_to(stdout);
    json_object(&j, NULL);
    json_z(&j, "topic", r->topic);
    json_i64(&j, "partition", r->partition);
    json_bool(&j, "cancelled", r->cancel);
    json_object_end(&j);
    json_line(&j);
    return EXIT_OK;
}

static int reassign(struct reassign *r, struct session *s)
{
    struct kafka_alter_partition_reassignments_request request;
    struct kafka_alter_partition_reassignments_request_topic topic;
    struct kafka_alter_partition_reassignments_request_partition partition;
    struct session_call call = {.api_key = KAFKA_API_ALTER_PARTITION_REASSIGNMENTS,
                                .message = &request,
                                .what = "cannot reassign the partition",
                                .on_reply = on_reassigned,
                                .ctx = r};
    kafka_alter_partition_reassignments_request_init(&request);
    kafka_alter_partition_reassignments_request_topic_init(&topic);
    kafka_alter_partition_reassignments_request_partition_init(&partition);
    partition.partition_index = r->partition;
    partition.replicas = r->cancel ? NULL : r->ids;
    partition.replicas_count = r->cancel ? -1 : r->ids_count;
    topic.name = str_from(r->topic);
    topic.partitions = &partition;
    topic.partitions_count = 1;
    request.topics = &topic;
    request.topics_count = 1;
    request.timeout_ms = (int32_t)(r->cli->timeout_us / 1000);
    return session_call(s, &call);
}

/* --- list --- */

static void put_ids(struct json *j, const char *label, const int32_t *ids, int32_t count)
{
    if (j)
        json_array(j, label);
    else
        printf("  %s ", label);
    for (int32_t i = 0; i < count; i++) {
        if (j)
            json_i64(j, NULL, ids[i]);
        else
            printf("%s%d", i > 0 ? "," : "", ids[i]);
    }
    if (j)
        json_array_end(j);
}

static void put_move(struct json *j, struct str topic,
                     const struct kafka_list_partition_reassignments_response_partition *p)
{
    if (j) {
        json_object(j, NULL);
        json_str(j, "topic", topic);
        json_i64(j, "partition", p->partition_index);
    } else {
        printf("%.*s-%d", topic.len, topic.p, p->partition_index);
    }
    put_ids(j, "replicas", p->replicas, p->replicas_count);
    put_ids(j, "adding", p->adding_replicas, p->adding_replicas_count);
    put_ids(j, "removing", p->removing_replicas, p->removing_replicas_count);
    if (j)
        json_object_end(j);
    else
        putchar('\n');
}

static int on_list(void *ctx, const struct client_reply *reply)
{
    struct reassign *r = ctx;
    const struct kafka_list_partition_reassignments_response *response = reply->message;
    struct json json = json_to(stdout), *j = r->cli->output == CLI_JSON ? &json : NULL;
    if (response->error_code != KAFKA_NONE)
        return cli_fail_said(r->cli, response->error_code, response->error_message, "cannot list moves");
    if (j) {
        json_object(j, NULL);
        json_array(j, "moves");
    }
    for (int32_t i = 0; i < response->topics_count; i++)
        for (int32_t n = 0; n < response->topics[i].partitions_count; n++)
            put_move(j, response->topics[i].name, &response->topics[i].partitions[n]);
    if (j) {
        json_array_end(j);
        json_object_end(j);
        json_line(j);
    } else if (response->topics_count == 0 && !r->cli->quiet) {
        fprintf(stderr, "no partition is being moved\n");
    }
    return EXIT_OK;
}

static int list(struct reassign *r, struct session *s)
{
    struct kafka_list_partition_reassignments_request request;
    struct session_call call = {.api_key = KAFKA_API_LIST_PARTITION_REASSIGNMENTS,
                                .message = &request,
                                .repeatable = true,
                                .what = "cannot list moves",
                                .on_reply = on_list,
                                .ctx = r};
    kafka_list_partition_reassignments_request_init(&request);
    request.topics = NULL;
    request.topics_count = -1;
    return session_call(s, &call);
}

int cli_partition_reassign(struct cli *cli, int argc, char **argv)
{
    struct reassign r = {.cli = cli, .partition = -1};
    struct cli_syntax syntax = {
        options, parse, "TOPIC PARTITION",
        "Moves a partition to other brokers: new replicas are made, and when all are in "
        "sync the old ones go."};
    struct session s = {0};
    cli_parse(cli, &syntax, argc, argv, &r);
    int code = session_open_plain(&s, cli);
    if (code == EXIT_OK)
        code = r.list ? list(&r, &s) : reassign(&r, &s);
    session_close(&s);
    return code;
}
