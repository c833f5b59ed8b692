/* SPDX-License-Identifier: Apache-2.0 */
/* DescribeConfigs: what topics and this broker run with, and where each value comes from (facts §4). A topic
 * setting is looked for in: the topic, this broker's dynamic settings, the cluster's, the broker's file, the
 * built-in defaults. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/handlers/handler.h"
#include "broker/handlers/topic_lookup.h"
#include "broker/metadata/static_settings.h"
#include "common/base/assert.h"
#include "proto/cluster/topic_config.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define SYNONYMS_MAX 5 /* one for each place */
#define ID_TEXT_MAX  12
#define OTHERS_MAX   32 /* dynamic settings of a broker that are no topic defaults */

struct describe_op {
    struct request *rq;
    const struct kafka_describe_configs_request *request;
    char broker_id[ID_TEXT_MAX];
};

/* Where a value was found; the first one counts. */
struct layers {
    struct kafka_describe_configs_response_synonym found[SYNONYMS_MAX];
    int32_t count;
    bool sensitive;
};

static const struct image *image_of(const struct describe_op *op)
{
    return op->rq->shard->image;
}

/* -- values -- */

static void layer_add(struct layers *layers, const char *name, struct str value, int8_t source)
{
    if (value.len < 0)
        return;
    ASSERT(layers->count < SYNONYMS_MAX);
    layers->found[layers->count++] = (struct kafka_describe_configs_response_synonym){
        .name = str_from(name), .value = value, .source = source};
}

/* The places of a broker setting: dynamic ones, the file. */
static void layers_of_broker(const struct describe_op *op, struct layers *layers, const char *name)
{
    const struct broker_shared *broker = op->rq->shard->broker;
    const struct image *image = image_of(op);
    struct static_setting file;

    layer_add(layers, name,
              image_config(image, CONFIG_RESOURCE_BROKER, str_from(op->broker_id), str_from(name)),
              CONFIG_DYNAMIC_BROKER);
    layer_add(layers, name, image_config(image, CONFIG_RESOURCE_BROKER, STR_LIT(""), str_from(name)),
              CONFIG_DYNAMIC_DEFAULT_BROKER);
    if (!static_setting_find(broker->config, broker->settings, name, &op->rq->arena, &file))
        return;
    layers->sensitive = file.sensitive;
    if (file.given)
        layer_add(layers, name, file.value, CONFIG_STATIC_BROKER);
}

static bool wanted(const struct kafka_describe_configs_request_resource *resource, const char *name)
{
    for (int32_t i = 0; i < resource->configuration_keys_count; i++)
        if (str_eq_z(resource->configuration_keys[i], name))
            return true;
    return resource->configuration_keys_count <= 0;
}

static void fill(const struct describe_op *op, const struct layers *layers,
                 struct kafka_describe_configs_response_config *out)
{
    bool any = layers->count > 0;

    out->value = any && !layers->sensitive ? layers->found[0].value : STR_NULL;
    out->config_source = any ? layers->found[0].source : CONFIG_DEFAULT;
    out->is_sensitive = layers->sensitive;
    if (!op->request->include_documentation)
        out->documentation = STR_NULL;
    if (!op->request->include_synonyms || layers->sensitive)
        return;
    out->synonyms = arena_copy(&op->rq->arena, layers->found, sizeof(layers->found));
    out->synonyms_count = out->synonyms ? layers->count : 0;
}

/* The next free row of a result; the caller made room. */
static struct kafka_describe_configs_response_config *row_add(
    struct kafka_describe_configs_response_result *result, const char *name, const char *doc, int8_t type)
{
    struct kafka_describe_configs_response_config *row = &result->configs[result->configs_count++];

    kafka_describe_configs_response_config_init(row);
    row->name = str_from(name);
    row->documentation = str_from(doc);
    row->config_type = type;
    return row;
}

/* Room for count rows; false: the result says that memory is out. */
static bool make_room(struct describe_op *op, struct kafka_describe_configs_response_result *result,
                      size_t count)
{
    result->configs = arena_calloc(&op->rq->arena, count, sizeof(*result->configs));
    if (!result->configs)
        result->error_code = KAFKA_UNKNOWN_SERVER_ERROR;
    return result->configs != NULL;
}

/* -- topics -- */

static void topic_row(struct describe_op *op, struct str topic, const struct topic_config *config,
                      struct kafka_describe_configs_response_result *result)
{
    struct layers layers = {0};

    layer_add(&layers, config->name,
              image_config(image_of(op), CONFIG_RESOURCE_TOPIC, topic, str_from(config->name)),
              CONFIG_DYNAMIC_TOPIC);
    if (config->broker_name)
        layers_of_broker(op, &layers, config->broker_name);
    layer_add(&layers, config->broker_name ? config->broker_name : config->name,
              str_from(config->default_value), CONFIG_DEFAULT);
    fill(op, &layers, row_add(result, config->name, config->doc, (int8_t)config->type));
}

static void describe_topic(struct describe_op *op,
                           const struct kafka_describe_configs_request_resource *resource,
                           struct kafka_describe_configs_response_result *result)
{
    if (!image_topic_by_name(image_of(op), resource->resource_name)) {
        result->error_code = topic_name_valid(resource->resource_name) ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION
                                                                       : KAFKA_INVALID_TOPIC_EXCEPTION;
        result->error_message = str_from(kafka_error_text(result->error_code));
        return;
    }
    if (!make_room(op, result, topic_configs_count))
        return;
    for (size_t i = 0; i < topic_configs_count; i++)
        if (wanted(resource, topic_configs[i].name))
            topic_row(op, resource->resource_name, &topic_configs[i], result);
}

/* -- brokers -- */

/* Defaults of topics that are no setting of the broker's own file: dynamic only. */
static bool is_dynamic_only(const struct describe_op *op, const struct topic_config *config)
{
    const struct broker_shared *broker = op->rq->shard->broker;
    struct static_setting file;

    return config->broker_name &&
           !static_setting_find(broker->config, broker->settings, config->broker_name, &op->rq->arena, &file);
}

static void own_row(struct describe_op *op, const struct static_setting *setting,
                    struct kafka_describe_configs_response_result *result)
{
    struct kafka_describe_configs_response_config *row =
        row_add(result, setting->name, setting->doc, setting->type);
    struct layers layers = {0};

    layers_of_broker(op, &layers, setting->name);
    if (!setting->given)
        layer_add(&layers, setting->name, setting->value, CONFIG_DEFAULT);
    row->read_only = topic_config_by_broker_name(str_from(setting->name)) == NULL;
    fill(op, &layers, row);
}

static void inherited_row(struct describe_op *op, const struct topic_config *config,
                          struct kafka_describe_configs_response_result *result)
{
    struct layers layers = {0};

    layers_of_broker(op, &layers, config->broker_name);
    layer_add(&layers, config->broker_name, str_from(config->default_value), CONFIG_DEFAULT);
    fill(op, &layers, row_add(result, config->broker_name, config->doc, (int8_t)config->type));
}

struct cluster_walk {
    struct describe_op *op;
    const struct kafka_describe_configs_request_resource *resource;
    struct kafka_describe_configs_response_result *result;
    int32_t room;
};

/* What was set for this broker and is neither in its file nor a default of topics. Names in the image are
 * terminated by a zero. */
static bool other_row(void *ctx, struct str key, struct str value)
{
    struct cluster_walk *walk = ctx;
    const struct broker_shared *broker = walk->op->rq->shard->broker;
    struct static_setting file;
    struct layers layers = {0};

    if (walk->result->configs_count == walk->room)
        return false;
    if (!wanted(walk->resource, key.p) || topic_config_by_broker_name(key) ||
        static_setting_find(broker->config, broker->settings, key.p, &walk->op->rq->arena, &file))
        return true;
    layers_of_broker(walk->op, &layers, key.p);
    fill(walk->op, &layers, row_add(walk->result, key.p, NULL, CONFIG_STRING));
    return true;
}

static void describe_self(struct describe_op *op,
                          const struct kafka_describe_configs_request_resource *resource,
                          struct kafka_describe_configs_response_result *result)
{
    const struct broker_shared *broker = op->rq->shard->broker;

    struct cluster_walk walk = {.op = op, .resource = resource, .result = result};

    walk.room = (int32_t)(static_settings_count() + topic_configs_count + OTHERS_MAX);
    if (!make_room(op, result, (size_t)walk.room))
        return;
    for (uint32_t i = 0; i < static_settings_count(); i++) {
        struct static_setting setting;
        static_setting_at(broker->config, broker->settings, i, &op->rq->arena, &setting);
        if (wanted(resource, setting.name))
            own_row(op, &setting, result);
    }
    for (size_t i = 0; i < topic_configs_count; i++)
        if (is_dynamic_only(op, &topic_configs[i]) && wanted(resource, topic_configs[i].broker_name))
            inherited_row(op, &topic_configs[i], result);
    image_each_config(image_of(op), CONFIG_RESOURCE_BROKER, str_from(op->broker_id), other_row, &walk);
}

/* Names in the image are terminated by a zero. */
static bool cluster_row(void *ctx, struct str key, struct str value)
{
    struct cluster_walk *walk = ctx;
    const struct topic_config *config = topic_config_by_broker_name(key);
    struct layers layers = {0};

    if (walk->result->configs_count == walk->room)
        return false;
    if (!wanted(walk->resource, key.p))
        return true;
    layer_add(&layers, key.p, value, CONFIG_DYNAMIC_DEFAULT_BROKER);
    fill(walk->op, &layers,
         row_add(walk->result, key.p, config ? config->doc : NULL,
                 config ? (int8_t)config->type : CONFIG_STRING));
    return true;
}

/* The cluster-wide defaults of all brokers: only what was set. */
static void describe_cluster_default(struct describe_op *op,
                                     const struct kafka_describe_configs_request_resource *resource,
                                     struct kafka_describe_configs_response_result *result)
{
    struct cluster_walk walk = {.op = op, .resource = resource, .result = result};

    walk.room = (int32_t)(static_settings_count() + topic_configs_count);
    if (make_room(op, result, (size_t)walk.room))
        image_each_config(image_of(op), CONFIG_RESOURCE_BROKER, STR_LIT(""), cluster_row, &walk);
}

static void refuse(struct kafka_describe_configs_response_result *result, const char *why)
{
    result->error_code = KAFKA_INVALID_REQUEST;
    result->error_message = str_from(why);
}

static void describe_resource(struct describe_op *op,
                              const struct kafka_describe_configs_request_resource *resource,
                              struct kafka_describe_configs_response_result *result)
{
    kafka_describe_configs_response_result_init(result);
    result->resource_type = resource->resource_type;
    result->resource_name = resource->resource_name;
    if (resource->resource_type == CONFIG_RESOURCE_TOPIC)
        describe_topic(op, resource, result);
    else if (resource->resource_type != CONFIG_RESOURCE_BROKER)
        refuse(result, "Settings of this type of resource are not served here.");
    else if (resource->resource_name.len == 0)
        describe_cluster_default(op, resource, result);
    else if (str_eq_z(resource->resource_name, op->broker_id))
        describe_self(op, resource, result);
    else
        refuse(result, "Settings of a broker are asked from that broker.");
}

void handle_describe_configs(struct request *rq)
{
    struct kafka_describe_configs_request *request = request_decode(rq, describe_configs);
    struct kafka_describe_configs_response response;
    struct describe_op op = {.rq = rq, .request = request};

    if (!request)
        return;
    rq->arena.cap_bytes += METADATA_ARENA_BYTES; /* the answer is far larger than the question */
    snprintf(op.broker_id, sizeof(op.broker_id), "%" PRId32, rq->shard->broker->broker_id);
    kafka_describe_configs_response_init(&response);
    int32_t count = MAX(request->resources_count, 0);
    response.results = arena_calloc(&rq->arena, (size_t)count, sizeof(*response.results));
    for (int32_t i = 0; response.results && i < count; i++)
        describe_resource(&op, &request->resources[i], &response.results[response.results_count++]);
    request_respond(rq, describe_configs, &response);
}
