/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "client/cli/json.h"
#include "client/cli/session.h"
#include "client/cli/settings.h"
#include "client/cli/verbs.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"

#define NAMES_MAX 64

enum { OPTION_CONFIG = 0x1000, OPTION_IF_NOT_EXISTS, OPTION_VALIDATE };

struct create {
    struct cli *cli;
    const char *names[NAMES_MAX];
    int32_t names_count;
    int32_t partitions;
    int16_t replication_factor;
    struct settings configs;
    bool if_not_exists, validate_only;
};

static const struct argp_option options[] = {
    {"partitions", 'p', "N", 0, "Partitions (default: the cluster's num.partitions)", 0},
    {"replication-factor", 'r', "N", 0,
     "Replicas of each partition (default: the cluster's default.replication.factor)", 0},
    {"config", OPTION_CONFIG, "NAME=VALUE", 0,
     "A topic setting, such as min.insync.replicas=2; may be repeated", 0},
    {"if-not-exists", OPTION_IF_NOT_EXISTS, NULL, 0, "A topic that exists is no error", 0},
    {"validate-only", OPTION_VALIDATE, NULL, 0, "Only check whether it could be made", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct create *create = state->input;
    switch (key) {
    case 'p': create->partitions = (int32_t)cli_number(state, "partitions", arg, 1, INT32_MAX); return 0;
    case 'r':
        create->replication_factor = (int16_t)cli_number(state, "replication-factor", arg, 1, INT16_MAX);
        return 0;
    case OPTION_CONFIG: settings_add(&create->configs, state, "config", arg, true); return 0;
    case OPTION_IF_NOT_EXISTS: create->if_not_exists = true; return 0;
    case OPTION_VALIDATE: create->validate_only = true; return 0;
    case ARGP_KEY_ARG:
        if (create->names_count == NAMES_MAX)
            argp_error(state, "more than %d topics", NAMES_MAX);
        create->names[create->names_count++] = arg;
        return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "which topic?"); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static void print_one(const struct create *create, struct json *j,
                      const struct kafka_create_topics_response_topic *topic)
{
    char id[UUID_TEXT_MAX];
    bool existed = topic->error_code == KAFKA_TOPIC_ALREADY_EXISTS;
    uuid_format(topic->topic_id, id);
    if (create->cli->output == CLI_JSON) {
        json_object(j, NULL);
        json_str(j, "name", topic->name);
        json_bool(j, "created", !existed && !create->validate_only);
        if (!existed) {
            json_z(j, "id", id);
            json_i64(j, "partitions", topic->num_partitions);
            json_i64(j, "replication_factor", topic->replication_factor);
        }
        json_object_end(j);
    } else if (existed) {
        printf("topic %.*s exists already\n", topic->name.len, topic->name.p);
    } else {
        printf("topic %.*s %s: %d partitions, %d replicas\n", topic->name.len, topic->name.p,
               create->validate_only ? "could be made" : "made", topic->num_partitions,
               topic->replication_factor);
    }
}

static int on_reply(void *ctx, const struct client_reply *reply)
{
    struct create *create = ctx;
    const struct kafka_create_topics_response *response = reply->message;
    struct json j = json_to(stdout);
    int code = EXIT_OK;
    if (create->cli->output == CLI_JSON) {
        json_object(&j, NULL);
        json_array(&j, "topics");
    }
    for (int32_t i = 0; i < response->topics_count; i++) {
        const struct kafka_create_topics_response_topic *topic = &response->topics[i];
        bool existed = topic->error_code == KAFKA_TOPIC_ALREADY_EXISTS && create->if_not_exists;
        if (topic->error_code == KAFKA_NONE || existed)
            print_one(create, &j, topic);
        else
            code = cli_fail_said(create->cli, topic->error_code, topic->error_message,
                                 "cannot create topic '%.*s'", topic->name.len, topic->name.p);
    }
    if (create->cli->output == CLI_JSON) {
        json_array_end(&j);
        json_object_end(&j);
        json_line(&j);
    }
    return code;
}

static int create_all(struct create *create, struct session *s)
{
    struct kafka_create_topics_request request;
    struct kafka_create_topics_request_topic topics[NAMES_MAX];
    struct kafka_create_topics_request_config configs[SETTINGS_MAX];
    for (int32_t i = 0; i < create->configs.count; i++)
        configs[i] = (struct kafka_create_topics_request_config){.name = create->configs.items[i].name,
                                                                 .value = create->configs.items[i].value};
    kafka_create_topics_request_init(&request);
    for (int32_t i = 0; i < create->names_count; i++) {
        kafka_create_topics_request_topic_init(&topics[i]);
        topics[i].name = str_from(create->names[i]);
        topics[i].num_partitions = create->partitions;
        topics[i].replication_factor = create->replication_factor;
        topics[i].configs = configs;
        topics[i].configs_count = create->configs.count;
    }
    request.topics = topics;
    request.topics_count = create->names_count;
    request.timeout_ms = (int32_t)(create->cli->timeout_us / 1000);
    request.validate_only = create->validate_only;
    struct session_call call = {.api_key = KAFKA_API_CREATE_TOPICS,
                                .message = &request,
                                .what = "cannot create topics",
                                .on_reply = on_reply,
                                .ctx = create};
    return session_call(s, &call);
}

/* Until the brokers know it: what runs next may use it at once. */
static int wait_until_known(struct create *create, struct session *s)
{
    struct client_topic *topic;
    int code = EXIT_OK;
    for (int32_t i = 0; i < create->names_count && code == EXIT_OK && !create->validate_only; i++)
        code = session_topic(s, create->names[i], &topic);
    return code;
}

int cli_topic_create(struct cli *cli, int argc, char **argv)
{
    struct create create = {.cli = cli, .partitions = -1, .replication_factor = -1};
    struct cli_syntax syntax = {options, parse, "NAME...", "Makes topics and waits until they are known."};
    struct session s = {0};
    cli_parse(cli, &syntax, argc, argv, &create);
    cli->topic_wait_us = cli->timeout_us; /* it is known to exist */
    int code = session_open_plain(&s, cli);
    if (code == EXIT_OK)
        code = create_all(&create, &s);
    if (code == EXIT_OK)
        code = wait_until_known(&create, &s);
    session_close(&s);
    return code;
}
