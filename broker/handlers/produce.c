/* SPDX-License-Identifier: Apache-2.0 */
/* Produce: appends each partition's batches on the shard that owns it and answers when every promise is kept.
 *
 * One `part` a partition; parts of other shards travel in one hop per shard and come back settled. A part is touched only by the shard that holds it, the
 * operation only by its home shard. */
#include "broker/handlers/handler.h"
#include "broker/handlers/topic_lookup.h"
#include "broker/shard/connection.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define PRODUCE_ID_VERSION 13 /* topic ids in place of names (KIP-516) */

struct produce_op;
struct produce_hop;

struct produce_part {
    struct partition_wait wait;
    struct produce_op *op;
    struct produce_hop *hop; /* NULL: this shard's own */
    struct produce_part *next; /* of the same hop */
    struct uuid topic_id;
    const struct kafka_produce_request_partition *in;
    struct kafka_produce_response_partition *out;
};

/* Parts in the order of the request. */
struct part_list {
    struct produce_part *first, *last;
};

struct produce_hop {
    struct env_msg msg;
    struct produce_op *op;
    struct shard *owner;
    struct part_list parts;
    uint32_t waiting;
    struct produce_hop *next;
};

struct produce_op {
    struct request *rq;
    struct kafka_produce_request *request;
    struct kafka_produce_response response;
    struct produce_hop *hops;
    struct part_list parts; /* of this shard */
    uint32_t waiting; /* own parts and hops not yet settled, plus one while starting */
};

static bool any_error(const struct kafka_produce_response *response)
{
    for (int32_t t = 0; t < response->topics_count; t++)
        for (int32_t p = 0; p < response->topics[t].partitions_count; p++)
            if (response->topics[t].partitions[p].error_code != KAFKA_NONE)
                return true;
    return false;
}

static void produce_finish(struct produce_op *op)
{
    struct request *rq = op->rq;

    if (op->request->acks != 0)
        request_respond(rq, produce, &op->response);
    else if (any_error(&op->response))
        request_refuse(rq, "acks=0 produce failed"); /* the only way to tell (facts, trap T12) */
    else
        request_drop(rq);
}

static void produce_settled(struct produce_op *op)
{
    ASSERT(op->waiting > 0);
    if (--op->waiting == 0)
        produce_finish(op);
}

/* -- on the owner ---------------------------------------------------------------------------------------------------------------- */

static void hop_back(struct env_msg *msg)
{
    produce_settled(CONTAINER_OF(msg, struct produce_hop, msg)->op);
}

static void hop_settled(struct produce_hop *hop)
{
    ASSERT(hop->waiting > 0);
    if (--hop->waiting > 0)
        return;
    hop->msg.fn = hop_back;
    env_post(hop->op->rq->shard->env, &hop->msg);
}

static void part_done(struct partition_wait *wait, int16_t error)
{
    struct produce_part *part = CONTAINER_OF(wait, struct produce_part, wait);

    part->out->error_code = error;
    if (error != KAFKA_NONE)
        part->out->base_offset = -1;
    if (part->hop)
        hop_settled(part->hop);
    else
        produce_settled(part->op);
}

static void report_append(struct produce_part *part, const struct partition_appended *result, struct partition *p)
{
    struct kafka_produce_response_partition *out = part->out;

    out->error_code = result->error;
    out->base_offset = result->base_offset;
    out->log_append_time_ms = result->log_append_time_ms;
    out->log_start_offset = result->log_start;
    if (result->message)
        out->error_message = str_from(result->message);
    if (result->error == KAFKA_NOT_LEADER_OR_FOLLOWER && p) { /* KIP-951: saves the client a round trip */
        struct partition_view view;
        partition_get(p, &view);
        out->current_leader.leader_id = view.leader;
        out->current_leader.leader_epoch = view.leader_epoch;
    }
}

static void part_record_error(struct produce_part *part, const struct partition_appended *result)
{
    struct arena *arena = &part->op->rq->arena;

    /* The arena is the home shard's; a part that travelled reports the message only. */
    if (part->hop || result->bad_record < 0)
        return;
    struct kafka_produce_response_record_error *error = arena_calloc(arena, 1, sizeof(*error));
    if (!error)
        return;
    error->batch_index = result->bad_record;
    error->batch_index_error_message = result->message ? str_from(result->message) : STR_NULL;
    part->out->record_errors = error;
    part->out->record_errors_count = 1;
}

/* Appends. True when part_done() will follow. */
static bool part_append(struct shard *owner, struct produce_part *part)
{
    struct partition *p = shard_partition(owner, part->topic_id, part->in->index);
    const struct kafka_produce_request *request = part->op->request;
    struct partition_appended result = {
        .error = KAFKA_NOT_LEADER_OR_FOLLOWER, .bad_record = -1, .base_offset = -1, .log_append_time_ms = -1, .log_start = -1};

    if (p) {
        struct partition_append append = {
            .records = (uint8_t *)(uintptr_t)part->in->records.p, /* the frame is the request's own memory */
            .len = part->in->records.len,
            .owner = part->op->rq->frame,
            .acks = request->acks,
            .timeout_ms = request->timeout_ms,
            .current_leader_epoch = -1,
        };
        part->wait.done = part_done;
        partition_append(p, &append, &part->wait, &result);
    }
    report_append(part, &result, p);
    if (result.error == KAFKA_NONE) {
        shard_count(owner, produce_batches, 1);
        shard_count(owner, produce_bytes, part->in->records.len);
        return result.waits;
    }
    part_record_error(part, &result);
    return false;
}

static void hop_run(struct env_msg *msg)
{
    struct produce_hop *hop = CONTAINER_OF(msg, struct produce_hop, msg);

    hop->waiting = 1;
    for (struct produce_part *part = hop->parts.first; part; part = part->next)
        if (part_append(hop->owner, part))
            hop->waiting++;
    hop_settled(hop);
}

/* -- at home --------------------------------------------------------------------------------------------------------------------- */

static struct produce_hop *hop_to(struct produce_op *op, unsigned shard)
{
    struct shard *owner = op->rq->shard->broker->shards[shard];

    for (struct produce_hop *hop = op->hops; hop; hop = hop->next)
        if (hop->owner == owner)
            return hop;
    struct produce_hop *hop = arena_calloc(&op->rq->arena, 1, sizeof(*hop));
    if (!hop)
        return NULL;
    hop->op = op;
    hop->owner = owner;
    hop->next = op->hops;
    op->hops = hop;
    return hop;
}

static void part_list_add(struct part_list *list, struct produce_part *part)
{
    if (list->last)
        list->last->next = part;
    else
        list->first = part;
    list->last = part;
}

/* Places one part: on this shard, in a hop, or answered with an error at once. */
static void part_place(struct produce_op *op, struct produce_part *part, const struct kafka_produce_request_topic *topic)
{
    struct shard *shard = op->rq->shard;
    bool by_id = op->rq->header.api_version >= PRODUCE_ID_VERSION;
    struct partition_place place;
    int16_t error = partition_place_find(shard, by_id, topic->name, topic->topic_id, part->in->index, &place);

    if (error == KAFKA_NONE && part->in->records.len <= 0)
        error = KAFKA_INVALID_RECORD;
    if (error != KAFKA_NONE) {
        part->out->error_code = error;
        if (place.state) {
            part->out->current_leader.leader_id = place.state->leader;
            part->out->current_leader.leader_epoch = place.state->leader_epoch;
        }
        return;
    }
    part->topic_id = place.topic->id;
    struct part_list *list = &op->parts;
    if (place.route->shard != shard->index) {
        part->hop = hop_to(op, place.route->shard);
        if (!part->hop) {
            part->out->error_code = KAFKA_NOT_ENOUGH_REPLICAS; /* retriable: out of memory for this request */
            return;
        }
        list = &part->hop->parts;
    }
    part_list_add(list, part);
}

static void response_partition_init(struct kafka_produce_response_partition *out, int32_t index)
{
    kafka_produce_response_partition_init(out);
    out->index = index;
    out->base_offset = -1;
}

/* Mirrors the request's shape in the response and places every part. False when memory is out. */
static bool produce_lay_out(struct produce_op *op)
{
    const struct kafka_produce_request *request = op->request;
    struct arena *arena = &op->rq->arena;
    int32_t topics_count = MAX(request->topics_count, 0);

    op->response.topics = arena_calloc(arena, (size_t)topics_count, sizeof(*op->response.topics));
    op->response.topics_count = topics_count;
    if (!op->response.topics)
        return false;
    for (int32_t t = 0; t < topics_count; t++) {
        const struct kafka_produce_request_topic *topic = &request->topics[t];
        struct kafka_produce_response_topic *out = &op->response.topics[t];
        int32_t count = MAX(topic->partitions_count, 0);
        struct produce_part *parts = arena_calloc(arena, (size_t)count, sizeof(*parts));

        out->name = topic->name;
        out->topic_id = topic->topic_id;
        out->partitions_count = count;
        out->partitions = arena_calloc(arena, (size_t)count, sizeof(*out->partitions));
        if (!parts || !out->partitions)
            return false;
        for (int32_t p = 0; p < count; p++) {
            parts[p].op = op;
            parts[p].in = &topic->partitions[p];
            parts[p].out = &out->partitions[p];
            response_partition_init(parts[p].out, parts[p].in->index);
            part_place(op, &parts[p], topic);
        }
    }
    return true;
}

static void answer_all(struct produce_op *op, int16_t error)
{
    for (int32_t t = 0; t < op->response.topics_count; t++)
        for (int32_t p = 0; p < op->response.topics[t].partitions_count; p++)
            op->response.topics[t].partitions[p].error_code = error;
}

static void produce_run(struct produce_op *op)
{
    struct shard *shard = op->rq->shard;

    op->waiting = 1;
    for (struct produce_hop *hop = op->hops; hop; hop = hop->next) {
        op->waiting++;
        shard_count(shard, request_hops, 1);
        hop->msg.fn = hop_run;
        env_post(hop->owner->env, &hop->msg);
    }
    for (struct produce_part *part = op->parts.first; part; part = part->next)
        if (part_append(shard, part))
            op->waiting++;
    produce_settled(op);
}

void handle_produce(struct request *rq)
{
    struct kafka_produce_request *request = request_decode(rq, produce);
    struct produce_op *op = request ? arena_calloc(&rq->arena, 1, sizeof(*op)) : NULL;

    if (!request)
        return;
    if (!op) {
        request_refuse(rq, "out of memory");
        return;
    }
    op->rq = rq;
    op->request = request;
    kafka_produce_response_init(&op->response);
    if (!produce_lay_out(op)) {
        request_refuse(rq, "out of memory");
        return;
    }
    if (request->acks < -1 || request->acks > 1) {
        answer_all(op, KAFKA_INVALID_REQUIRED_ACKS);
        op->waiting = 1;
        produce_settled(op);
        return;
    }
    produce_run(op);
}
