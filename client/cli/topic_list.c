/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "client/cli/json.h"
#include "client/cli/session.h"
#include "client/cli/verbs.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"

enum { OPTION_INTERNAL = 0x1000 };

struct list_topics {
    struct cli *cli;
    bool internal;
};

static const struct argp_option options[] = {
    {"internal", OPTION_INTERNAL, NULL, 0, "Also the cluster's own topics", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct list_topics *list = state->input;
    switch (key) {
    case OPTION_INTERNAL: list->internal = true; return 0;
    case ARGP_KEY_ARG: argp_error(state, "unexpected '%s'", arg); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct kafka_metadata_response_topic *)a)->name,
                   ((const struct kafka_metadata_response_topic *)b)->name);
}

static int replicas_of(const struct kafka_metadata_response_topic *topic)
{
    return topic->partitions_count > 0 ? topic->partitions[0].replica_nodes_count : 0;
}

static void print_text(const struct kafka_metadata_response_topic *topic)
{
    printf("%-40.*s %6d partitions %3d replicas%s\n", topic->name.len, topic->name.p, topic->partitions_count,
           replicas_of(topic), topic->is_internal ? "  internal" : "");
}

static void print_json(struct json *j, const struct kafka_metadata_response_topic *topic)
{
    char id[UUID_TEXT_MAX];
    uuid_format(topic->topic_id, id);
    json_object(j, NULL);
    json_str(j, "name", topic->name);
    json_z(j, "id", id);
    json_i64(j, "partitions", topic->partitions_count);
    json_i64(j, "replication_factor", replicas_of(topic));
    json_bool(j, "internal", topic->is_internal);
    json_object_end(j);
}

static int on_reply(void *ctx, const struct client_reply *reply)
{
    struct list_topics *list = ctx;
    const struct kafka_metadata_response *response = reply->message;
    bool in_json = list->cli->output == CLI_JSON;
    struct json j = json_to(stdout);
    if (response->topics_count > 0)
        qsort(response->topics, (size_t)response->topics_count, sizeof(*response->topics), by_name);
    if (in_json) {
        json_object(&j, NULL);
        json_array(&j, "topics");
    }
    for (int32_t i = 0; i < response->topics_count; i++) {
        const struct kafka_metadata_response_topic *topic = &response->topics[i];
        if (topic->is_internal && !list->internal)
            continue;
        if (in_json)
            print_json(&j, topic);
        else
            print_text(topic);
    }
    if (in_json) {
        json_array_end(&j);
        json_object_end(&j);
        json_line(&j);
    }
    return EXIT_OK;
}

int cli_topic_list(struct cli *cli, int argc, char **argv)
{
    struct list_topics list = {.cli = cli};
    struct cli_syntax syntax = {options, parse, NULL, "Lists topics by name."};
    struct kafka_metadata_request request;
    struct session_call call = {.api_key = KAFKA_API_METADATA,
                                .message = &request,
                                .repeatable = true,
                                .what = "cannot list topics",
                                .on_reply = on_reply,
                                .ctx = &list};
    struct session s = {0};
    cli_parse(cli, &syntax, argc, argv, &list);
    kafka_metadata_request_init(&request);
    request.topics_count = -1; /* all */
    int code = session_open_plain(&s, cli);
    if (code == EXIT_OK)
        code = session_call(&s, &call);
    session_close(&s);
    return code;
}
