/* SPDX-License-Identifier: Apache-2.0 */
/* InitProducerId. For idempotent producers ids come from the controller in blocks, kept per shard; with a
 * transactional id the transaction's coordinator decides. */
#include "broker/handlers/txnwise.h"
#include "common/base/assert.h"
#include "proto/kafka/messages.h"

#define FENCED_VERSION 4 /* knows PRODUCER_FENCED */

struct init_op {
    struct producer_id_wait wait;
    struct request *rq;
};

static void encode(struct request *rq, int16_t error, int64_t id, int16_t epoch)
{
    struct kafka_init_producer_id_response response;

    kafka_init_producer_id_response_init(&response);
    response.error_code = error;
    response.producer_id = error == KAFKA_NONE ? id : -1;
    response.producer_epoch = error == KAFKA_NONE ? epoch : -1;
    kafka_init_producer_id_response_encode(request_reply_begin(rq), rq->header.api_version, &response);
}

static void answer(struct request *rq, int16_t error, int64_t id, int16_t epoch)
{
    encode(rq, error, id, epoch);
    request_reply_end(rq);
}

static void on_id(struct producer_id_wait *wait, int16_t error, int64_t id)
{
    answer(CONTAINER_OF(wait, struct init_op, wait)->rq, error, id, 0);
}

static void init_idempotent(struct request *rq)
{
    struct init_op *op = arena_calloc(&rq->arena, 1, sizeof(*op));

    if (!op) {
        request_refuse(rq, "out of memory");
        return;
    }
    op->rq = rq;
    op->wait.done = on_id;
    producer_id_take(rq->shard, &op->wait);
}

static void finish(struct txnwise *op)
{
    const struct txn_call *call = &op->parts[0].request.call;

    encode(op->rq, txn_error_for(op->rq, call->error, FENCED_VERSION), call->producer_id,
           call->producer_epoch);
}

static void init_transactional(struct request *rq, struct kafka_init_producer_id_request *request)
{
    struct txnwise *op = txnwise_begin(rq, 1, request, request, finish);

    if (!op)
        return;
    struct txn_call *call = txnwise_add(op, TXN_CALL_INIT, request->transactional_id);
    call->producer_id = request->producer_id;
    call->producer_epoch = request->producer_epoch;
    call->timeout_ms = request->transaction_timeout_ms;
    txnwise_run(op);
}

void handle_init_producer_id(struct request *rq)
{
    struct kafka_init_producer_id_request *request = request_decode(rq, init_producer_id);

    if (!request)
        return;
    if (request->transactional_id.len < 0)
        init_idempotent(rq);
    else if ((request->producer_id < 0) != (request->producer_epoch < 0))
        answer(rq, KAFKA_INVALID_REQUEST, -1, -1);
    else
        init_transactional(rq, request);
}
