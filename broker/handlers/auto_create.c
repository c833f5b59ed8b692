/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/handlers/auto_create.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/config.h"
#include "broker/handlers/topic_lookup.h"
#include "broker/shard/control.h"
#include "common/base/assert.h"
#include "common/obs/log.h"
#include "proto/kafka/api.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define CREATE_VERSION    7
#define CREATE_TIMEOUT_MS 10000
#define CREATES_MAX                                                                                          \
    64 /* under way per shard: a client that asks for thousands of names creates them as it asks again */
#define NAME_MAX_BYTES 249
#define BODY_BYTES_MAX 1024
#define PRINCIPAL      "User:ANONYMOUS"

struct creation {
    struct control_call call;
    struct list link; /* shard->auto_creates */
    int32_t name_len;
    char name[NAME_MAX_BYTES];
};

#define INTERNAL_CONFIGS 4 /* at most */
struct internal_text {
    char segment_bytes[16], min_isr[16];
    struct kafka_create_topics_request_config configs[INTERNAL_CONFIGS];
};

static bool under_way(const struct shard *shard, struct str name)
{
    list_for_each (it, &shard->auto_creates) {
        const struct creation *creation = CONTAINER_OF(it, struct creation, link);
        if (str_eq((struct str){creation->name, creation->name_len}, name))
            return true;
    }
    return false;
}

static void on_created(struct control_call *call)
{
    struct creation *creation = CONTAINER_OF(call, struct creation, call);
    struct shard *shard = call->shard;

    if (call->error != KAFKA_NONE)
        LOG(shard->broker->log, WARN, "topic.auto_create_failed",
            F_VIEW("topic", ((struct str){creation->name, creation->name_len})),
            F_STR("error", kafka_error_name(call->error)));
    iobuf_unref(call->reply);
    list_remove(&creation->link);
    shard->auto_creates_count--;
    free(creation);
}

/* Kafka's settings of coordinators' topics. text: memory for them while the topic is used. */
static void make_internal(struct kafka_create_topics_request_topic *topic, const struct broker_config *config,
                          struct internal_text *text)
{
    bool txn = str_eq_z(topic->name, "__transaction_state");

    snprintf(text->segment_bytes, sizeof(text->segment_bytes), "%d",
             txn ? config->transaction_state_log_segment_bytes : config->offsets_topic_segment_bytes);
    snprintf(text->min_isr, sizeof(text->min_isr), "%d", config->transaction_state_log_min_isr);
    text->configs[0] =
        (struct kafka_create_topics_request_config){STR_LIT("cleanup.policy"), STR_LIT("compact")};
    text->configs[1] =
        (struct kafka_create_topics_request_config){STR_LIT("compression.type"), STR_LIT("producer")};
    text->configs[2] =
        (struct kafka_create_topics_request_config){STR_LIT("segment.bytes"), str_from(text->segment_bytes)};
    text->configs[3] =
        (struct kafka_create_topics_request_config){STR_LIT("min.insync.replicas"), str_from(text->min_isr)};
    topic->configs = text->configs;
    topic->configs_count = txn ? INTERNAL_CONFIGS : INTERNAL_CONFIGS - 1;
    topic->num_partitions =
        txn ? config->transaction_state_log_num_partitions : config->offsets_topic_num_partitions;
    topic->replication_factor = (int16_t)(txn ? config->transaction_state_log_replication_factor
                                              : config->offsets_topic_replication_factor);
}

static void encode_body(struct writer *w, const struct broker_config *config, struct str name)
{
    struct kafka_create_topics_request request;
    struct kafka_create_topics_request_topic topic;
    struct internal_text text;

    kafka_create_topics_request_topic_init(&topic);
    topic.name = name;
    topic.num_partitions = config->num_partitions;
    topic.replication_factor = (int16_t)config->default_replication_factor;
    if (topic_is_internal(name))
        make_internal(&topic, config, &text);
    kafka_create_topics_request_init(&request);
    request.topics = &topic;
    request.topics_count = 1;
    request.timeout_ms = CREATE_TIMEOUT_MS;
    kafka_create_topics_request_encode(w, CREATE_VERSION, &request);
}

static struct iobuf *encode(struct shard *shard, struct str name)
{
    struct writer body, w;

    writer_init(&body, shard->env->pool, BODY_BYTES_MAX, BODY_BYTES_MAX);
    encode_body(&body, shard->broker->config, name);
    writer_init(&w, shard->env->pool, 2 * BODY_BYTES_MAX, 2 * BODY_BYTES_MAX);
    if (body.err == OK)
        rpc_admin_request_encode(
            &w, &(struct rpc_admin_request){.api_key = KAFKA_API_CREATE_TOPICS,
                                            .api_version = CREATE_VERSION,
                                            .principal = STR_LIT(PRINCIPAL),
                                            .client_host = STR_LIT(""),
                                            .timeout_ms = CREATE_TIMEOUT_MS,
                                            .body = {body.buf->data, (int32_t)body.buf->len}});
    else
        writer_fail(&w, body.err);
    struct iobuf *payload = writer_take(&w);
    writer_free(&body);
    writer_free(&w);
    return payload;
}

static void create(struct shard *shard, struct str name)
{
    if (name.len > NAME_MAX_BYTES || shard->auto_creates_count == CREATES_MAX || under_way(shard, name))
        return;
    struct creation *creation = calloc(1, sizeof(*creation));
    struct iobuf *payload = creation ? encode(shard, name) : NULL;
    if (!payload) {
        free(creation);
        return;
    }
    memcpy(creation->name, name.p, (size_t)name.len);
    creation->name_len = name.len;
    creation->call =
        (struct control_call){.type = CLUSTER_RPC_ADMIN,
                              .payload = payload,
                              .deadline_us = env_now_us(shard->env) + CREATE_TIMEOUT_MS * 1000ull,
                              .done = on_created};
    list_push_back(&shard->auto_creates, &creation->link);
    shard->auto_creates_count++;
    control_call_start(shard->broker->control, shard, &creation->call);
}

void auto_create_topic(struct shard *shard, struct str name)
{
    if (!topic_is_internal(name)) /* those have settings of their own, and a time */
        create(shard, name);
}

void auto_create_internal(struct shard *shard, struct str name)
{
    ASSERT(topic_is_internal(name));
    create(shard, name);
}
