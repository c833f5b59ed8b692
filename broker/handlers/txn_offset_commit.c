/* SPDX-License-Identifier: Apache-2.0 */
/* TxnOffsetCommit: offsets that count when the transaction commits. The first ones of a transaction in their
 * group's partition wait for the word of the transaction's coordinator, like any first batch (KIP-890). */

#include "broker/core/coordinator_write.h"
#include "broker/handlers/handler.h"
#include "broker/handlers/scatter.h"
#include "broker/shard/connection.h"
#include "broker/shard/group_coordinator.h"
#include "broker/shard/txn_ask.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define ADDS_VERSION      5 /* the group joins the transaction with its first offsets */
#define ABORTABLE_VERSION 4 /* knows TRANSACTION_ABORTABLE */

struct txn_commit_op {
    struct scatter scatter;
    struct scatter_part part;
    struct group_request group;
    struct txn_ask ask;
    struct shard *owner;
    struct kafka_txn_offset_commit_request *request;
    struct kafka_txn_offset_commit_response response;
};

static void finish(struct scatter *scatter)
{
    struct txn_commit_op *op = CONTAINER_OF(scatter, struct txn_commit_op, scatter);
    int16_t error = op->group.call.error;

    if (error == KAFKA_TRANSACTION_ABORTABLE && scatter->rq->header.api_version < ABORTABLE_VERSION)
        error = KAFKA_INVALID_TXN_STATE;
    for (int32_t t = 0; t < op->response.topics_count; t++)
        for (int32_t i = 0; i < op->response.topics[t].partitions_count; i++)
            if (op->response.topics[t].partitions[i].error_code == KAFKA_NONE)
                op->response.topics[t].partitions[i].error_code = error;
    request_respond(scatter->rq, txn_offset_commit, &op->response);
}

/* -- on the owner -- */

static void on_committed(struct group_request *group)
{
    scatter_part_done(&CONTAINER_OF(group, struct txn_commit_op, group)->part);
}

static bool submit(struct txn_commit_op *op)
{
    return group_submit(coordinator_find(op->owner, op->part.topic_id, op->part.index), &op->group);
}

/* NOT_ENOUGH_REPLICAS is how partition leaders say "again" to producers. */
static int16_t for_group(int16_t error)
{
    return error == KAFKA_NOT_ENOUGH_REPLICAS ? KAFKA_COORDINATOR_NOT_AVAILABLE : error;
}

static void on_asked(struct txn_ask *ask, int16_t error)
{
    struct txn_commit_op *op = CONTAINER_OF(ask, struct txn_commit_op, ask);
    struct partition *p = shard_partition(op->owner, op->part.topic_id, op->part.index);

    if (error == KAFKA_NONE && (!p || !partition_txn_holds(p, &ask->guard)))
        error = KAFKA_NOT_COORDINATOR; /* its leader, or the transaction, is another one meanwhile */
    op->group.call.error = for_group(error);
    if (error != KAFKA_NONE || !submit(op))
        scatter_part_done(&op->part);
}

static bool run(struct shard *owner, struct scatter_part *part, struct partition *p)
{
    struct txn_commit_op *op = CONTAINER_OF(part, struct txn_commit_op, part);
    struct coordinator *c = coordinator_find(owner, part->topic_id, part->index);
    int64_t producer_id = op->request->producer_id;

    op->owner = owner;
    if (!p || !coordinator_enter(c, &op->group.call.error)) {
        op->group.call.error = p ? op->group.call.error : KAFKA_NOT_COORDINATOR;
        return false;
    }
    coordinator_touched(c);
    bool v2 = part->scatter->rq->header.api_version >= ADDS_VERSION;
    if (!partition_txn_begins_for(p, producer_id, &op->ask.guard) &&
        !txn_ask_pending(owner->txn_asks, STR_LIT(GROUP_TOPIC), part->index, producer_id))
        return submit(op);
    op->ask.transactional_id = op->request->transactional_id;
    op->ask.topic = STR_LIT(GROUP_TOPIC);
    op->ask.producer_id = producer_id;
    op->ask.producer_epoch = op->request->producer_epoch;
    op->ask.index = part->index;
    op->ask.add = v2;
    op->ask.done = on_asked;
    txn_ask_start(owner->txn_asks, &op->ask);
    return true;
}

/* -- at home -- */

static bool lay_out_topic(struct request *rq, const struct kafka_txn_offset_commit_request_topic *in,
                          struct kafka_txn_offset_commit_response_topic *out)
{
    const struct image_topic *topic = image_topic_by_name(rq->shard->image, in->name);

    out->name = in->name;
    out->partitions_count = MAX(in->partitions_count, 0);
    out->partitions = arena_calloc(&rq->arena, (size_t)out->partitions_count, sizeof(*out->partitions));
    for (int32_t i = 0; out->partitions && i < out->partitions_count; i++) {
        int32_t index = in->partitions[i].partition_index;
        bool known = topic && index >= 0 && index < topic->partitions_count;
        out->partitions[i].partition_index = index;
        out->partitions[i].error_code = known ? KAFKA_NONE : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    }
    return out->partitions != NULL;
}

static bool lay_out(struct request *rq, const struct kafka_txn_offset_commit_request *request,
                    struct kafka_txn_offset_commit_response *response)
{
    kafka_txn_offset_commit_response_init(response);
    response->topics_count = MAX(request->topics_count, 0);
    response->topics = arena_calloc(&rq->arena, (size_t)response->topics_count, sizeof(*response->topics));
    for (int32_t t = 0; response->topics && t < response->topics_count; t++)
        if (!lay_out_topic(rq, &request->topics[t], &response->topics[t]))
            return false;
    return response->topics != NULL;
}

static int16_t place(struct txn_commit_op *op)
{
    struct shard *shard = op->scatter.rq->shard;
    const struct kafka_txn_offset_commit_request *request = op->request;
    const struct image_topic *topic = image_topic_by_name(shard->image, STR_LIT(GROUP_TOPIC));
    struct partition_place found;

    if (request->group_id.len <= 0)
        return KAFKA_INVALID_GROUP_ID;
    if (request->transactional_id.len <= 0 || request->producer_id < 0)
        return KAFKA_INVALID_REQUEST;
    if (!topic)
        return KAFKA_NOT_COORDINATOR;
    int32_t index = coordinator_partition_of(request->group_id, topic->partitions_count);
    if (partition_place_find(shard, true, STR_NULL, topic->id, index, &found) != KAFKA_NONE)
        return KAFKA_NOT_COORDINATOR;
    return scatter_add(&op->scatter, &op->part, &found) ? KAFKA_NONE : KAFKA_UNKNOWN_SERVER_ERROR;
}

void handle_txn_offset_commit(struct request *rq)
{
    struct kafka_txn_offset_commit_request *request = request_decode(rq, txn_offset_commit);
    struct txn_commit_op *op = request ? arena_calloc(&rq->arena, 1, sizeof(*op)) : NULL;

    if (!request)
        return;
    if (!op || !lay_out(rq, request, &op->response)) {
        request_refuse(rq, "out of memory");
        return;
    }
    scatter_init(&op->scatter, rq, run, finish);
    op->request = request;
    op->group.done = on_committed;
    op->group.call = (struct group_call){.type = GROUP_CALL_TXN_COMMIT,
                                         .version = rq->header.api_version,
                                         .group_id = request->group_id,
                                         .client_id = rq->header.client_id,
                                         .client_host = str_from(rq->conn->peer),
                                         .request = request,
                                         .response = &op->response};
    op->group.call.error = place(op);
    scatter_run(&op->scatter);
}
