/* SPDX-License-Identifier: Apache-2.0 */
/* Produce: appends each partition's batches on the shard that owns it and answers when every promise is kept.
 */
#include <stdlib.h>
#include <string.h>

#include "broker/handlers/handler.h"
#include "broker/handlers/scatter.h"
#include "broker/shard/connection.h"
#include "broker/shard/txn_ask.h"
#include "common/base/assert.h"
#include "common/batch/record.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define PRODUCE_ZSTD_VERSION 7  /* earlier clients cannot read it (KIP-110) */
#define PRODUCE_HINT_VERSION 10 /* where to go instead (KIP-951) */
#define PRODUCE_ID_VERSION   13 /* topic ids in place of names (KIP-516) */
#define PRODUCE_ADDS_VERSION 12 /* partitions join a transaction with their first batch (KIP-890) */
#define ABORTABLE_VERSION    11 /* knows TRANSACTION_ABORTABLE */

struct produce_part {
    struct scatter_part scatter;
    struct partition_wait wait;
    const struct kafka_produce_request_partition *in;
    struct kafka_produce_response_partition *out;
    struct iobuf *record_errors; /* holds out->record_errors until the answer is put together; NULL: none */
    struct produce_part *next;
};

struct produce_op {
    struct scatter scatter;
    struct produce_part *parts; /* all, linked */
    struct kafka_produce_request *request;
    struct kafka_produce_response response;
};

static struct produce_op *op_of(struct scatter *scatter)
{
    return CONTAINER_OF(scatter, struct produce_op, scatter);
}

/* -- answering -- */

static bool any_error(const struct kafka_produce_response *response)
{
    for (int32_t t = 0; t < response->topics_count; t++)
        for (int32_t p = 0; p < response->topics[t].partitions_count; p++)
            if (response->topics[t].partitions[p].error_code != KAFKA_NONE)
                return true;
    return false;
}

/* Moves the lists of refused records into the request's own memory. */
static void adopt_record_errors(struct produce_op *op)
{
    for (struct produce_part *part = op->parts; part; part = part->next) {
        if (!part->record_errors)
            continue;
        size_t size = (size_t)part->out->record_errors_count * sizeof(*part->out->record_errors);
        void *copy = arena_alloc(&op->scatter.rq->arena, size);
        if (copy)
            memcpy(copy, part->out->record_errors, size);
        part->out->record_errors = copy;
        part->out->record_errors_count = copy ? part->out->record_errors_count : 0;
        iobuf_unref(part->record_errors);
        part->record_errors = NULL;
    }
}

static void produce_finish(struct scatter *scatter)
{
    struct produce_op *op = op_of(scatter);
    struct request *rq = scatter->rq;

    adopt_record_errors(op);

    if (op->request->acks != 0)
        request_respond(rq, produce, &op->response);
    else if (any_error(&op->response))
        request_refuse(rq, "acks=0 produce failed"); /* the only way to tell (facts, trap T12) */
    else
        request_drop(rq);
}

/* -- on the owner -- */

static void part_done(struct partition_wait *wait, int16_t error)
{
    struct produce_part *part = CONTAINER_OF(wait, struct produce_part, wait);

    part->out->error_code = error;
    if (error != KAFKA_NONE)
        part->out->base_offset = -1;
    scatter_part_done(&part->scatter);
}

/* KIP-951: saves the client a round trip. */
static void hint_leader(const struct request *rq, struct kafka_produce_response_partition *out,
                        int32_t leader, int32_t leader_epoch)
{
    if (rq->header.api_version < PRODUCE_HINT_VERSION)
        return;
    out->current_leader.leader_id = leader;
    out->current_leader.leader_epoch = leader_epoch;
}

/* The owner's memory (the request's arena belongs to another thread), until the answer is encoded. Without
 * memory the list is left out. */
static void report_records(struct shard *owner, struct produce_part *part,
                           const struct partition_appended *result)
{
    struct kafka_produce_response_record_error *list;
    size_t count = (size_t)result->record_errors_count;
    if (count == 0 || (part->record_errors = iobuf_get(owner->env->pool, count * sizeof(*list))) == NULL)
        return;
    list = (void *)part->record_errors->data;
    for (size_t i = 0; i < count; i++) {
        kafka_produce_response_record_error_init(&list[i]);
        list[i].batch_index = result->record_errors[i].record_index;
        list[i].batch_index_error_message = str_from(result->record_errors[i].message);
    }
    part->out->record_errors = list;
    part->out->record_errors_count = (int32_t)count;
}

static void report_error(struct shard *owner, struct produce_part *part,
                         const struct partition_appended *result, struct partition *p)
{
    struct kafka_produce_response_partition *out = part->out;

    if (result->message)
        out->error_message = str_from(result->message);
    report_records(owner, part, result);
    if (result->error == KAFKA_NOT_LEADER_OR_FOLLOWER && p) {
        struct partition_view view;
        partition_get(p, &view);
        if (!view.is_leader) /* else it gives way, and the successor is not known here yet */
            hint_leader(part->scatter.scatter->rq, out, view.leader, view.leader_epoch);
    }
}

/* A leader that has heard from no controller for a session may have a successor. acks=all is safe all the
 * same: without the in-sync replicas, which follow the successor, its high watermark stands still. Any other
 * acknowledgment is not. */
static bool may_acknowledge(const struct shard *owner, int16_t acks)
{
    if (broker_hands_over(owner->broker, env_now_us(owner->env)))
        return false;
    return acks == -1 || broker_session_lives(owner->broker, env_now_us(owner->env));
}

/* guard: of a transaction that begins, NULL: none does. True: the promise is still to be kept. */
static bool part_append(struct shard *owner, struct produce_part *part, struct partition *p,
                        const struct partition_txn_guard *guard)
{
    struct scatter_part *scatter_part = &part->scatter;
    const struct kafka_produce_request *request = op_of(scatter_part->scatter)->request;
    struct partition_appended result = {
        .error = KAFKA_NOT_LEADER_OR_FOLLOWER, .base_offset = -1, .log_append_time_ms = -1, .log_start = -1};

    part->wait.done = part_done;
    if (p && may_acknowledge(owner, request->acks))
        partition_append(
            p,
            &(struct partition_append){
                .records = (uint8_t *)(uintptr_t)part->in->records.p, /* inside the frame, our own memory */
                .len = part->in->records.len,
                .owner = scatter_part->scatter->rq->frame,
                .acks = request->acks,
                .timeout_ms = request->timeout_ms,
                .current_leader_epoch = -1,
                .in_doubt = broker_may_lead_no_more(owner->broker, env_now_us(owner->env)),
                .guard = guard,
                .no_zstd = scatter_part->scatter->rq->header.api_version < PRODUCE_ZSTD_VERSION,
            },
            &part->wait, &result);
    part->out->error_code = result.error;
    part->out->base_offset = result.base_offset;
    part->out->log_append_time_ms = result.log_append_time_ms;
    part->out->log_start_offset = result.log_start;
    if (result.error != KAFKA_NONE) {
        report_error(owner, part, &result, p);
        return false;
    }
    shard_count(owner, produce_batches, 1);
    shard_count(owner, produce_bytes, part->in->records.len);
    return result.waits;
}

/* -- the first batch of a transaction on its partition waits for the coordinator's word; batches behind it
 * that come meanwhile stay behind it -- */

/* The owner's memory. */
struct produce_ask {
    struct txn_ask ask;
    struct produce_part *part;
    struct shard *owner;
    char topic[];
};

static int16_t refusal(const struct produce_part *part, int16_t error)
{
    bool known = part->scatter.scatter->rq->header.api_version >= ABORTABLE_VERSION;

    return error == KAFKA_TRANSACTION_ABORTABLE && !known ? KAFKA_INVALID_TXN_STATE : error;
}

static void part_asked(struct txn_ask *ask, int16_t error)
{
    struct produce_ask *asked = CONTAINER_OF(ask, struct produce_ask, ask);
    struct produce_part *part = asked->part;
    struct partition *p = shard_partition(asked->owner, part->scatter.topic_id, part->scatter.index);
    bool waits = false;

    if (error != KAFKA_NONE)
        part->out->error_code = refusal(part, error);
    else
        waits = part_append(asked->owner, part, p, &ask->guard);
    free(asked);
    if (!waits)
        scatter_part_done(&part->scatter);
}

/* Protocol version 2. */
static bool adds_implicitly(const struct produce_part *part)
{
    return part->scatter.scatter->rq->header.api_version >= PRODUCE_ADDS_VERSION;
}

static bool must_ask(struct shard *owner, struct produce_part *part, struct partition *p,
                     struct partition_txn_guard *guard)
{
    const uint8_t *batch = part->in->records.p;

    return partition_txn_begins(p, batch, guard) ||
           txn_ask_pending(owner->txn_asks, partition_topic(p), part->scatter.index,
                           batch_producer_id(batch));
}

/* False: memory is out, the client tries again. */
static bool part_ask(struct shard *owner, struct produce_part *part, struct partition *p,
                     const struct partition_txn_guard *guard)
{
    const uint8_t *batch = part->in->records.p;
    struct str topic = partition_topic(p);
    struct produce_ask *asked = calloc(1, sizeof(*asked) + (size_t)topic.len);

    if (!asked)
        return false;
    memcpy(asked->topic, topic.p, (size_t)topic.len);
    asked->part = part;
    asked->owner = owner;
    asked->ask = (struct txn_ask){.transactional_id = op_of(part->scatter.scatter)->request->transactional_id,
                                  .topic = {asked->topic, topic.len},
                                  .producer_id = batch_producer_id(batch),
                                  .producer_epoch = batch_producer_epoch(batch),
                                  .index = part->scatter.index,
                                  .add = adds_implicitly(part),
                                  .guard = *guard,
                                  .done = part_asked};
    txn_ask_start(owner->txn_asks, &asked->ask);
    return true;
}

static bool part_run(struct shard *owner, struct scatter_part *scatter_part, struct partition *p)
{
    struct produce_part *part = CONTAINER_OF(scatter_part, struct produce_part, scatter);
    const struct kafka_records *records = &part->in->records;
    struct partition_txn_guard guard = {0};

    if (!p || records->len < BATCH_HEADER_BYTES || !batch_is_transactional(records->p) ||
        op_of(scatter_part->scatter)->request->transactional_id.len <= 0 || !must_ask(owner, part, p, &guard))
        return part_append(owner, part, p, NULL);
    if (part_ask(owner, part, p, &guard))
        return true;
    part->out->error_code = KAFKA_NOT_ENOUGH_REPLICAS;
    return false;
}

/* -- at home -- */

/* Places one part, or answers it with an error at once. */
static void part_place(struct produce_op *op, struct produce_part *part,
                       const struct kafka_produce_request_topic *topic)
{
    struct request *rq = op->scatter.rq;
    bool by_id = rq->header.api_version >= PRODUCE_ID_VERSION;
    struct partition_place place;
    int16_t error =
        partition_place_find(rq->shard, by_id, topic->name, topic->topic_id, part->in->index, &place);

    if (place.topic && topic_is_internal(place.topic->name))
        error = KAFKA_INVALID_TOPIC_EXCEPTION; /* coordinators write there, nobody else */
    else if (error == KAFKA_NONE && part->in->records.len <= 0)
        error = KAFKA_INVALID_RECORD;
    else if (error != KAFKA_NONE && place.state)
        hint_leader(rq, part->out, place.state->leader, place.state->leader_epoch);
    if (error == KAFKA_NONE && !scatter_add(&op->scatter, &part->scatter, &place))
        error = KAFKA_NOT_ENOUGH_REPLICAS; /* no memory for the hop: nothing happened, the client retries */
    part->out->error_code = error;
}

static bool topic_lay_out(struct produce_op *op, const struct kafka_produce_request_topic *topic,
                          struct kafka_produce_response_topic *out)
{
    struct arena *arena = &op->scatter.rq->arena;
    int32_t count = MAX(topic->partitions_count, 0);
    struct produce_part *parts = arena_calloc(arena, (size_t)count, sizeof(*parts));

    out->name = topic->name;
    out->topic_id = topic->topic_id;
    out->partitions_count = count;
    out->partitions = arena_calloc(arena, (size_t)count, sizeof(*out->partitions));
    if (!parts || !out->partitions)
        return false;
    for (int32_t p = 0; p < count; p++) {
        kafka_produce_response_partition_init(&out->partitions[p]);
        out->partitions[p].index = topic->partitions[p].index;
        out->partitions[p].base_offset = -1;
        parts[p].in = &topic->partitions[p];
        parts[p].out = &out->partitions[p];
        parts[p].next = op->parts;
        op->parts = &parts[p];
        part_place(op, &parts[p], topic);
    }
    return true;
}

/* Mirrors the request's shape in the response and places every part. False when memory is out. */
static bool produce_lay_out(struct produce_op *op)
{
    const struct kafka_produce_request *request = op->request;
    int32_t count = MAX(request->topics_count, 0);

    op->response.topics = arena_calloc(&op->scatter.rq->arena, (size_t)count, sizeof(*op->response.topics));
    op->response.topics_count = op->response.topics ? count : 0;
    for (int32_t t = 0; t < op->response.topics_count; t++)
        if (!topic_lay_out(op, &request->topics[t], &op->response.topics[t]))
            return false;
    return op->response.topics != NULL;
}

static void answer_all(struct produce_op *op, int16_t error)
{
    for (int32_t t = 0; t < op->response.topics_count; t++)
        for (int32_t p = 0; p < op->response.topics[t].partitions_count; p++)
            op->response.topics[t].partitions[p].error_code = error;
    produce_finish(&op->scatter);
}

void handle_produce(struct request *rq)
{
    struct kafka_produce_request *request = request_decode(rq, produce);
    struct produce_op *op = request ? arena_calloc(&rq->arena, 1, sizeof(*op)) : NULL;

    if (!request)
        return;
    if (op) {
        scatter_init(&op->scatter, rq, part_run, produce_finish);
        op->request = request;
        kafka_produce_response_init(&op->response);
    }
    if (!op || !produce_lay_out(op))
        request_refuse(rq, "out of memory");
    else if (request->acks < -1 || request->acks > 1)
        answer_all(op, KAFKA_INVALID_REQUIRED_ACKS);
    else
        scatter_run(&op->scatter);
}
