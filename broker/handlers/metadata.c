/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata: brokers, topics, leaders, from one image (facts, trap T4). A topic that does not exist is created
 * on the side when the client and the settings allow it; this answer still says that it is unknown. */
#include "broker/config.h"
#include "broker/handlers/auto_create.h"
#include "broker/handlers/endpoints.h"
#include "broker/handlers/handler.h"
#include "broker/handlers/topic_lookup.h"
#include "broker/shard/connection.h"
#include "broker/shard/shard_image.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define TOPIC_ID_VERSION       12 /* lookup by id; 10 and 11 only carry ids in responses */
#define LISTENER_ERROR_VERSION 6
#define SETTLE_US              3000 /* who asks again may have lost a broker whose end we have not seen yet */

struct building {
    struct request *rq;
    struct kafka_metadata_response response;
    int32_t room; /* rows allocated in the list being filled */
    bool failed;  /* out of memory */
    const struct kafka_metadata_request *request;
};

/* -- brokers -- */

static bool add_broker(void *ctx, const struct image_broker *broker, const struct meta_endpoint *endpoint)
{
    struct building *b = ctx;

    if (b->response.brokers_count == b->room)
        return false;
    struct kafka_metadata_response_broker *out = &b->response.brokers[b->response.brokers_count++];
    kafka_metadata_response_broker_init(out);
    out->node_id = broker->id;
    out->host = endpoint->host;
    out->port = endpoint->port;
    out->rack = broker->rack;
    return true;
}

static void add_brokers(struct building *b)
{
    b->room = (int32_t)image_broker_count(b->rq->shard->image);
    b->response.brokers = arena_calloc(&b->rq->arena, (size_t)b->room, sizeof(*b->response.brokers));
    b->failed |= !b->response.brokers;
    if (!b->failed)
        endpoints_each(b->rq, false, add_broker, b);
}

/* -- topics -- */

static bool broker_live(const struct shard *shard, int32_t id)
{
    const struct image_broker *broker = image_broker(shard->image, id);

    return broker && !broker->fenced;
}

static int16_t leader_error(const struct building *b, int32_t leader)
{
    const struct image_broker *broker = leader >= 0 ? image_broker(b->rq->shard->image, leader) : NULL;

    if (!broker || broker->fenced)
        return KAFKA_LEADER_NOT_AVAILABLE;
    if (!endpoint_for(b->rq, broker))
        return b->rq->header.api_version >= LISTENER_ERROR_VERSION ? KAFKA_LISTENER_NOT_FOUND
                                                                   : KAFKA_LEADER_NOT_AVAILABLE;
    return KAFKA_NONE;
}

static void add_offline_replicas(struct building *b, struct kafka_metadata_response_partition *out,
                                 const struct image_partition *state)
{
    out->offline_replicas = arena_calloc(&b->rq->arena, (size_t)state->replicas_count, sizeof(int32_t));
    if (!out->offline_replicas) {
        b->failed = true;
        return;
    }
    for (int32_t i = 0; i < state->replicas_count; i++)
        if (!broker_live(b->rq->shard, state->replicas[i]))
            out->offline_replicas[out->offline_replicas_count++] = state->replicas[i];
}

static void add_partition(struct building *b, struct kafka_metadata_response_partition *out,
                          const struct image_partition *state)
{
    kafka_metadata_response_partition_init(out);
    out->partition_index = state->index;
    out->error_code = leader_error(b, state->leader);
    out->leader_id = out->error_code == KAFKA_LEADER_NOT_AVAILABLE ? -1 : state->leader;
    out->leader_epoch = state->leader_epoch;
    out->replica_nodes = (int32_t *)(uintptr_t)state->replicas; /* read only by the encoder */
    out->replica_nodes_count = state->replicas_count;
    out->isr_nodes = (int32_t *)(uintptr_t)state->isr;
    out->isr_nodes_count = state->isr_count;
    add_offline_replicas(b, out, state);
}

static void fill_topic(struct building *b, struct kafka_metadata_response_topic *out,
                       const struct image_topic *topic)
{
    out->error_code = KAFKA_NONE;
    out->name = topic->name;
    out->topic_id = topic->id;
    out->is_internal = topic_is_internal(topic->name);
    out->partitions = arena_calloc(&b->rq->arena, (size_t)topic->partitions_count, sizeof(*out->partitions));
    if (!out->partitions) {
        b->failed = true;
        return;
    }
    for (int32_t i = 0; i < topic->partitions_count && !b->failed; i++)
        add_partition(b, &out->partitions[out->partitions_count++],
                      image_partition(b->rq->shard->image, topic, i));
}

static bool add_topic(void *ctx, const struct image_topic *topic)
{
    struct building *b = ctx;

    if (b->response.topics_count == b->room || b->failed)
        return false;
    struct kafka_metadata_response_topic *out = &b->response.topics[b->response.topics_count++];
    kafka_metadata_response_topic_init(out);
    fill_topic(b, out, topic);
    return true;
}

static void answer_missing(struct building *b, struct kafka_metadata_response_topic *out, struct str name)
{
    bool create =
        b->request->allow_auto_topic_creation && b->rq->shard->broker->config->auto_create_topics_enable;

    out->name = name;
    out->error_code =
        topic_name_valid(name) ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : KAFKA_INVALID_TOPIC_EXCEPTION;
    if (out->error_code == KAFKA_UNKNOWN_TOPIC_OR_PARTITION && create)
        auto_create_topic(b->rq->shard, name);
}

static void add_asked(struct building *b, const struct kafka_metadata_request_topic *asked)
{
    const struct image *image = b->rq->shard->image;
    bool by_id = asked->name.len < 0;
    struct kafka_metadata_response_topic *out = &b->response.topics[b->response.topics_count++];

    kafka_metadata_response_topic_init(out);
    const struct image_topic *topic =
        by_id ? image_topic_by_id(image, asked->topic_id) : image_topic_by_name(image, asked->name);
    if (topic) {
        fill_topic(b, out, topic);
    } else if (by_id) {
        out->name = STR_NULL;
        out->topic_id = asked->topic_id;
        out->error_code = KAFKA_UNKNOWN_TOPIC_ID;
    } else {
        answer_missing(b, out, asked->name);
    }
}

static void add_topics(struct building *b)
{
    const struct kafka_metadata_request *request = b->request;
    bool all = request->topics_count < 0 || (b->rq->header.api_version == 0 && request->topics_count == 0);

    b->room = all ? (int32_t)image_topic_count(b->rq->shard->image) : request->topics_count;
    b->response.topics = arena_calloc(&b->rq->arena, (size_t)b->room, sizeof(*b->response.topics));
    b->failed |= !b->response.topics;
    if (b->failed)
        return;
    if (all)
        image_each_topic(b->rq->shard->image, add_topic, b);
    else
        for (int32_t i = 0; i < request->topics_count && !b->failed; i++)
            add_asked(b, &request->topics[i]);
}

/* Ids before version 12, or a topic with neither id nor name. */
static bool asks_well(const struct request *rq, const struct kafka_metadata_request *request)
{
    for (int32_t i = 0; i < request->topics_count; i++) {
        const struct kafka_metadata_request_topic *asked = &request->topics[i];
        bool has_id = !uuid_is_zero(asked->topic_id);
        if (asked->name.len < 0 ? (!has_id || rq->header.api_version < TOPIC_ID_VERSION)
                                : (has_id && rq->header.api_version < TOPIC_ID_VERSION))
            return false;
    }
    return true;
}

static void answer_invalid(struct building *b)
{
    b->response.topics =
        arena_calloc(&b->rq->arena, (size_t)b->request->topics_count, sizeof(*b->response.topics));
    b->failed |= !b->response.topics;
    for (int32_t i = 0; !b->failed && i < b->request->topics_count; i++) {
        struct kafka_metadata_response_topic *out = &b->response.topics[b->response.topics_count++];
        kafka_metadata_response_topic_init(out);
        out->name = b->request->topics[i].name.len < 0 ? STR_LIT("") : b->request->topics[i].name;
        out->topic_id = b->request->topics[i].topic_id;
        out->error_code = KAFKA_INVALID_REQUEST;
    }
}

static void answer(struct request *rq, const struct kafka_metadata_request *request)
{
    struct building b = {.rq = rq, .request = request};

    kafka_metadata_response_init(&b.response);
    add_brokers(&b);
    b.response.cluster_id = cluster_id_text(rq);
    b.response.controller_id = controller_for_clients(rq);
    if (!b.failed && asks_well(rq, request))
        add_topics(&b);
    else if (!b.failed)
        answer_invalid(&b);
    if (b.failed)
        request_refuse(rq, "out of memory");
    else
        request_respond(rq, metadata, &b.response);
}

/* -- waiting for new leaders (peer_loss.h) -- */

struct held {
    struct image_wait wait;
    struct env_timer timer;
    struct request *rq;
    const struct kafka_metadata_request *request;
};

static void release(struct held *held)
{
    env_timer_cancel(held->rq->shard->env, &held->timer);
    answer(held->rq, held->request);
}

static void on_held_too_long(struct env_timer *timer)
{
    struct held *held = CONTAINER_OF(timer, struct held, timer);

    list_remove(&held->wait.link);
    release(held);
}

/* The metadata changed, though perhaps in another way, or the shard ends. */
static void on_held_image(struct image_wait *wait)
{
    struct held *held = CONTAINER_OF(wait, struct held, wait);
    struct shard *shard = held->rq->shard;
    uint64_t now_us = env_now_us(shard->env);

    if (shard->stopping || image_index(shard->image) < wait->index ||
        peer_loss_until(&shard->broker->losses, shard->image, now_us) == 0) {
        release(held);
        return;
    }
    wait->index = image_index(shard->image) + 1;
    shard_wait_image(shard, wait);
}

/* Answers, at once or when the metadata has changed. */
static void answer_or_hold(struct held *held)
{
    struct shard *shard = held->rq->shard;
    uint64_t until_us = peer_loss_until(&shard->broker->losses, shard->image, env_now_us(shard->env));

    if (until_us == 0 || shard->stopping) {
        answer(held->rq, held->request);
        return;
    }
    held->wait.fn = on_held_image;
    held->wait.index = image_index(shard->image) + 1;
    env_timer_init(&held->timer, on_held_too_long);
    env_timer_set(shard->env, &held->timer, until_us);
    shard_count(shard, metadata_held, 1);
    shard_wait_image(shard, &held->wait);
}

static void on_settled(struct env_timer *timer)
{
    answer_or_hold(CONTAINER_OF(timer, struct held, timer));
}

void handle_metadata(struct request *rq)
{
    struct kafka_metadata_request *request = request_decode(rq, metadata);

    if (!request)
        return;
    rq->arena.cap_bytes = METADATA_ARENA_BYTES; /* a short request may ask for everything */
    struct held *held = arena_calloc(&rq->arena, 1, sizeof(*held));
    if (!held) {
        request_refuse(rq, "out of memory");
        return;
    }
    held->rq = rq;
    held->request = request;
    bool again = rq->conn->asked_metadata;
    rq->conn->asked_metadata = true;
    if (!again || rq->shard->stopping) {
        answer_or_hold(held);
        return;
    }
    env_timer_init(&held->timer, on_settled);
    env_timer_set(rq->shard->env, &held->timer, env_now_us(rq->shard->env) + SETTLE_US);
}
