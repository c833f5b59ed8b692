/* SPDX-License-Identifier: Apache-2.0 */
/* EndTxn: answered when the outcome is in the coordinator's log. */
#include "broker/handlers/txnwise.h"
#include "common/base/assert.h"
#include "proto/kafka/messages.h"

#define FENCED_VERSION 2 /* knows PRODUCER_FENCED */
#define BUMP_VERSION   5 /* transaction protocol version 2 */

static void finish(struct txnwise *op)
{
    const struct txn_call *call = &op->parts[0].request.call;
    struct kafka_end_txn_response response;

    kafka_end_txn_response_init(&response);
    response.error_code = txn_error_for(op->rq, call->error, FENCED_VERSION);
    if (call->error == KAFKA_NONE && op->rq->header.api_version >= BUMP_VERSION) {
        response.producer_id = call->producer_id;
        response.producer_epoch = call->producer_epoch;
    }
    txnwise_encode(op, end_txn, &response);
}

void handle_end_txn(struct request *rq)
{
    struct kafka_end_txn_request *request = request_decode(rq, end_txn);
    struct txnwise *op = request ? txnwise_begin(rq, 1, request, request, finish) : NULL;

    if (!op)
        return;
    struct txn_call *call = txnwise_add(op, TXN_CALL_END, request->transactional_id);
    call->producer_id = request->producer_id;
    call->producer_epoch = request->producer_epoch;
    call->commit = request->committed;
    call->v2 = rq->header.api_version >= BUMP_VERSION;
    txnwise_run(op);
}
