/* SPDX-License-Identifier: Apache-2.0 */
/* AddOffsetsToTxn: the group's partition of __consumer_offsets joins the transaction. */
#include "broker/core/coordinator_write.h"
#include "broker/handlers/auto_create.h"
#include "broker/handlers/txnwise.h"
#include "broker/shard/group_coordinator.h"
#include "common/base/assert.h"
#include "proto/kafka/messages.h"

#define FENCED_VERSION 2

static void finish(struct txnwise *op)
{
    struct kafka_add_offsets_to_txn_response response;

    kafka_add_offsets_to_txn_response_init(&response);
    response.error_code = txn_error_for(op->rq, op->parts[0].request.call.error, FENCED_VERSION);
    txnwise_encode(op, add_offsets_to_txn, &response);
}

static void refuse(struct request *rq, int16_t error)
{
    struct kafka_add_offsets_to_txn_response response;

    kafka_add_offsets_to_txn_response_init(&response);
    response.error_code = error;
    request_respond(rq, add_offsets_to_txn, &response);
}

void handle_add_offsets_to_txn(struct request *rq)
{
    struct kafka_add_offsets_to_txn_request *request = request_decode(rq, add_offsets_to_txn);
    const struct image_topic *offsets = image_topic_by_name(rq->shard->image, STR_LIT(GROUP_TOPIC));

    if (!request)
        return;
    if (!offsets || request->group_id.len <= 0) {
        if (!offsets)
            auto_create_internal(rq->shard, STR_LIT(GROUP_TOPIC));
        refuse(rq, offsets ? KAFKA_INVALID_GROUP_ID : KAFKA_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    struct txn_partition *partition = arena_calloc(&rq->arena, 1, sizeof(*partition));
    struct txnwise *op = txnwise_begin(rq, 1, partition ? request : NULL, request, finish);
    if (!op)
        return;
    *partition = (struct txn_partition){
        STR_LIT(GROUP_TOPIC), coordinator_partition_of(request->group_id, offsets->partitions_count)};
    struct txn_call *call = txnwise_add(op, TXN_CALL_ADD, request->transactional_id);
    call->producer_id = request->producer_id;
    call->producer_epoch = request->producer_epoch;
    call->partitions = partition;
    call->partitions_count = 1;
    txnwise_run(op);
}
