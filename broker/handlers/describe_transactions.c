/* SPDX-License-Identifier: Apache-2.0 */
/* DescribeTransactions: each id answers for itself. */
#include "broker/handlers/txnwise.h"
#include "common/base/assert.h"
#include "proto/kafka/messages.h"

static void finish(struct txnwise *op)
{
    struct kafka_describe_transactions_response *response = op->response;

    for (int32_t i = 0; i < response->transaction_states_count; i++)
        response->transaction_states[i].error_code = op->parts[i].request.call.error;
    txnwise_encode(op, describe_transactions, response);
}

void handle_describe_transactions(struct request *rq)
{
    struct kafka_describe_transactions_request *request = request_decode(rq, describe_transactions);
    struct kafka_describe_transactions_response *response = arena_calloc(&rq->arena, 1, sizeof(*response));

    if (!request)
        return;
    int32_t count = MAX(request->transactional_ids_count, 0);
    bool ok = response != NULL;
    if (ok) {
        kafka_describe_transactions_response_init(response);
        response->transaction_states =
            arena_calloc(&rq->arena, (size_t)count, sizeof(*response->transaction_states));
        ok = response->transaction_states != NULL;
    }
    struct txnwise *op = txnwise_begin(rq, count, request, ok ? response : NULL, finish);
    if (!op)
        return;
    for (int32_t i = 0; i < count; i++) {
        struct kafka_describe_transactions_response_transaction_state *out =
            &response->transaction_states[response->transaction_states_count++];
        kafka_describe_transactions_response_transaction_state_init(out);
        out->transactional_id = request->transactional_ids[i];
        txnwise_add(op, TXN_CALL_DESCRIBE, request->transactional_ids[i])->response = out;
    }
    txnwise_run(op);
}
