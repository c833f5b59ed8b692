/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "client/cli/json.h"
#include "client/cli/session.h"
#include "client/cli/verbs.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"

#define NAMES_MAX            64
#define RESOURCE_TOPIC       2 /* DescribeConfigs */
#define SOURCE_DYNAMIC_TOPIC 1

enum { OPTION_ALL_CONFIGS = 0x1000 };

/* The partitions of all topics are printed when the settings are known, so both answers are kept as text. */
struct describe {
    struct cli *cli;
    const char *names[NAMES_MAX];
    int32_t names_count;
    bool all_configs;
    struct json j;
    int code;
    const struct kafka_metadata_response_topic *topic; /* during on_metadata */
};

static const struct argp_option options[] = {
    {"all-configs", OPTION_ALL_CONFIGS, NULL, 0, "Every setting, not only those of the topic itself", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct describe *describe = state->input;
    switch (key) {
    case OPTION_ALL_CONFIGS: describe->all_configs = true; return 0;
    case ARGP_KEY_ARG:
        if (describe->names_count == NAMES_MAX)
            argp_error(state, "more than %d topics", NAMES_MAX);
        describe->names[describe->names_count++] = arg;
        return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "which topic?"); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* -- partitions -- */

static void json_ids(struct json *j, const char *key, const int32_t *ids, int32_t count)
{
    json_array(j, key);
    for (int32_t i = 0; i < count; i++)
        json_i64(j, NULL, ids[i]);
    json_array_end(j);
}

static void text_ids(const char *label, const int32_t *ids, int32_t count)
{
    printf("  %s ", label);
    for (int32_t i = 0; i < count; i++)
        printf("%s%d", i > 0 ? "," : "", ids[i]);
}

static void print_partition(struct describe *d, const struct kafka_metadata_response_partition *p)
{
    if (d->cli->output == CLI_JSON) {
        json_object(&d->j, NULL);
        json_i64(&d->j, "partition", p->partition_index);
        json_i64(&d->j, "leader", p->leader_id);
        json_i64(&d->j, "leader_epoch", p->leader_epoch);
        json_ids(&d->j, "replicas", p->replica_nodes, p->replica_nodes_count);
        json_ids(&d->j, "isr", p->isr_nodes, p->isr_nodes_count);
        json_ids(&d->j, "offline", p->offline_replicas, p->offline_replicas_count);
        json_object_end(&d->j);
        return;
    }
    printf("  partition %-5d leader %-5d epoch %-4d", p->partition_index, p->leader_id, p->leader_epoch);
    text_ids("replicas", p->replica_nodes, p->replica_nodes_count);
    text_ids("isr", p->isr_nodes, p->isr_nodes_count);
    if (p->offline_replicas_count > 0)
        text_ids("offline", p->offline_replicas, p->offline_replicas_count);
    putchar('\n');
}

static int by_index(const void *a, const void *b)
{
    return ((const struct kafka_metadata_response_partition *)a)->partition_index -
           ((const struct kafka_metadata_response_partition *)b)->partition_index;
}

static void print_topic(struct describe *d, const struct kafka_metadata_response_topic *topic)
{
    char id[UUID_TEXT_MAX];
    int replicas = topic->partitions_count > 0 ? topic->partitions[0].replica_nodes_count : 0;
    uuid_format(topic->topic_id, id);
    if (topic->partitions_count > 0)
        qsort(topic->partitions, (size_t)topic->partitions_count, sizeof(*topic->partitions), by_index);
    if (d->cli->output == CLI_JSON) {
        json_str(&d->j, "name", topic->name);
        json_z(&d->j, "id", id);
        json_bool(&d->j, "internal", topic->is_internal);
        json_i64(&d->j, "replication_factor", replicas);
        json_array(&d->j, "partitions");
    } else {
        printf("topic %.*s  id %s  %d partitions  %d replicas\n", topic->name.len, topic->name.p, id,
               topic->partitions_count, replicas);
    }
    for (int32_t i = 0; i < topic->partitions_count; i++)
        print_partition(d, &topic->partitions[i]);
    if (d->cli->output == CLI_JSON)
        json_array_end(&d->j);
}

static int on_metadata(void *ctx, const struct client_reply *reply)
{
    struct describe *d = ctx;
    const struct kafka_metadata_response *response = reply->message;
    if (response->topics_count != 1)
        return cli_fail(d->cli, (struct client_failure){.err = ERR_MALFORMED}, NULL,
                        "cannot describe topics");
    const struct kafka_metadata_response_topic *topic = &response->topics[0];
    if (topic->error_code != KAFKA_NONE)
        return cli_fail(d->cli, (struct client_failure){ERR_REJECTED, topic->error_code}, NULL,
                        "cannot describe topic '%.*s'", MAX(topic->name.len, 0),
                        topic->name.p ? topic->name.p : "");
    if (d->cli->output == CLI_JSON)
        json_object(&d->j, NULL);
    print_topic(d, topic);
    return EXIT_OK;
}

/* -- settings -- */

static void print_config(struct describe *d, const struct kafka_describe_configs_response_config *config)
{
    if (config->config_source != SOURCE_DYNAMIC_TOPIC && !d->all_configs)
        return;
    if (d->cli->output == CLI_JSON)
        json_named_str(&d->j, config->name, config->value);
    else
        printf("  %s%.*s = %.*s\n", config->config_source == SOURCE_DYNAMIC_TOPIC ? "* " : "  ",
               config->name.len, config->name.p, MAX(config->value.len, 0),
               config->value.p ? config->value.p : "");
}

static int on_configs(void *ctx, const struct client_reply *reply)
{
    struct describe *d = ctx;
    const struct kafka_describe_configs_response *response = reply->message;
    if (d->cli->output == CLI_JSON)
        json_object(&d->j, "configs");
    for (int32_t i = 0; i < response->results_count; i++)
        for (int32_t k = 0; k < response->results[i].configs_count; k++)
            print_config(d, &response->results[i].configs[k]);
    if (d->cli->output == CLI_JSON)
        json_object_end(&d->j);
    return EXIT_OK;
}

static int describe_configs(struct describe *d, struct session *s, const char *name)
{
    struct kafka_describe_configs_request request;
    struct kafka_describe_configs_request_resource resource;
    bool unsupported = false;
    kafka_describe_configs_request_init(&request);
    kafka_describe_configs_request_resource_init(&resource);
    resource.resource_type = RESOURCE_TOPIC;
    resource.resource_name = str_from(name);
    resource.configuration_keys_count = -1;
    request.resources = &resource;
    request.resources_count = 1;
    struct session_call call = {.api_key = KAFKA_API_DESCRIBE_CONFIGS,
                                .message = &request,
                                .repeatable = true,
                                .what = "cannot read the topic's settings",
                                .on_reply = on_configs,
                                .ctx = d,
                                .ret_unsupported = &unsupported};
    return session_call(s, &call);
}

static int describe_one(struct describe *d, struct session *s, const char *name)
{
    struct kafka_metadata_request request;
    struct kafka_metadata_request_topic topic;
    kafka_metadata_request_init(&request);
    kafka_metadata_request_topic_init(&topic);
    topic.name = str_from(name);
    request.topics = &topic;
    request.topics_count = 1;
    request.allow_auto_topic_creation = false;
    bool unsupported = false;
    struct session_call call = {.api_key = KAFKA_API_METADATA,
                                .message = &request,
                                .repeatable = true,
                                .what = "cannot describe topics",
                                .on_reply = on_metadata,
                                .ctx = d,
                                .ret_unsupported = &unsupported};
    int code = session_call(s, &call);
    if (unsupported) { /* before Metadata 4 one could not ask without making the topic */
        request.allow_auto_topic_creation = true;
        call.ret_unsupported = NULL;
        code = session_call(s, &call);
    }
    if (code != EXIT_OK)
        return code;
    code = describe_configs(d, s, name);
    if (d->cli->output == CLI_JSON)
        json_object_end(&d->j);
    return code;
}

int cli_topic_describe(struct cli *cli, int argc, char **argv)
{
    struct describe describe = {.cli = cli, .j = json_to(stdout)};
    struct cli_syntax syntax = {
        options, parse, "NAME...",
        "Shows partitions and settings ('*': set for the topic itself). With -o json one topic "
        "is one object, several are {\"topics\":[...]}."};
    struct session s = {0};
    cli_parse(cli, &syntax, argc, argv, &describe);
    bool wrapped = cli->output == CLI_JSON && describe.names_count > 1;
    int code = session_open_plain(&s, cli), worst = code;
    if (wrapped) {
        json_object(&describe.j, NULL);
        json_array(&describe.j, "topics");
    }
    for (int32_t i = 0; i < describe.names_count && code != EXIT_INTERRUPTED && s.client; i++) {
        code = describe_one(&describe, &s, describe.names[i]);
        worst = code != EXIT_OK ? code : worst;
    }
    if (wrapped) {
        json_array_end(&describe.j);
        json_object_end(&describe.j);
    }
    if (cli->output == CLI_JSON && describe.j.comma)
        json_line(&describe.j);
    session_close(&s);
    return worst;
}
