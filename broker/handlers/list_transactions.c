/* SPDX-License-Identifier: Apache-2.0 */
/* ListTransactions: what this broker coordinates. */
#include "broker/core/topic_regex.h"
#include "broker/core/txn.h"
#include "broker/handlers/txnwise.h"
#include "common/base/assert.h"
#include "proto/kafka/messages.h"

#define PATTERN_MAX 1024

struct list_op {
    struct kafka_list_transactions_response *lists; /* one per part */
    struct topic_regex *pattern;                    /* NULL: every id */
    struct kafka_list_transactions_response response;
};

/* A partition that is loading makes the list incomplete, which is said; one that left us is not ours to list.
 */
static int16_t worst_error(const struct txnwise *op)
{
    for (int32_t i = 0; i < op->parts_count; i++) {
        int16_t error = op->parts[i].request.call.error;
        if (error != KAFKA_NONE && error != KAFKA_NOT_COORDINATOR)
            return error;
    }
    return KAFKA_NONE;
}

/* The whole id, as Kafka's pattern does (KIP-1152). */
static bool matches(const struct list_op *list, struct str id)
{
    return !list->pattern || topic_regex_matches(list->pattern, id);
}

static bool join_lists(struct txnwise *op, struct list_op *list)
{
    struct kafka_list_transactions_response *response = &list->response;
    size_t total = 0;

    for (int32_t i = 0; i < op->parts_count; i++)
        total += (size_t)list->lists[i].transaction_states_count;
    response->transaction_states = arena_calloc(&op->rq->arena, total, sizeof(*response->transaction_states));
    for (int32_t i = 0; response->transaction_states && i < op->parts_count; i++)
        for (int32_t k = 0; k < list->lists[i].transaction_states_count; k++)
            if (matches(list, list->lists[i].transaction_states[k].transactional_id))
                response->transaction_states[response->transaction_states_count++] =
                    list->lists[i].transaction_states[k];
    return response->transaction_states != NULL;
}

static void finish(struct txnwise *op)
{
    struct list_op *list = op->response;

    list->response.error_code = worst_error(op);
    if (!join_lists(op, list))
        list->response.error_code = KAFKA_UNKNOWN_SERVER_ERROR;
    txnwise_encode(op, list_transactions, &list->response);
}

static bool known_state(struct str name)
{
    for (int state = 0; state < TXN_STATE_COUNT; state++)
        if (str_eq_z(name, txn_state_name((enum txn_state)state)))
            return true;
    return false;
}

static bool note_unknown_states(struct request *rq, const struct kafka_list_transactions_request *request,
                                struct kafka_list_transactions_response *response)
{
    response->unknown_state_filters = arena_calloc(&rq->arena, (size_t)MAX(request->state_filters_count, 0),
                                                   sizeof(*response->unknown_state_filters));
    for (int32_t i = 0; response->unknown_state_filters && i < request->state_filters_count; i++)
        if (!known_state(request->state_filters[i]))
            response->unknown_state_filters[response->unknown_state_filters_count++] =
                request->state_filters[i];
    return response->unknown_state_filters != NULL;
}

/* KAFKA_NONE; INVALID_REGULAR_EXPRESSION. */
static int16_t take_pattern(struct request *rq, struct list_op *list, struct str pattern)
{
    if (pattern.len <= 0)
        return KAFKA_NONE;
    return pattern.len <= PATTERN_MAX && topic_regex_compile(&rq->arena, pattern, &list->pattern) == OK
               ? KAFKA_NONE
               : KAFKA_INVALID_REGULAR_EXPRESSION;
}

static void start(struct request *rq, struct kafka_list_transactions_request *request, struct list_op *list)
{
    int32_t count = txnwise_partitions(rq->shard);

    list->lists = arena_calloc(&rq->arena, (size_t)count, sizeof(*list->lists));
    struct txnwise *op = txnwise_begin(rq, count, list->lists ? request : NULL, list, finish);
    if (!op)
        return;
    txnwise_add_all(op, TXN_CALL_LIST);
    for (int32_t i = 0; i < op->parts_count; i++) {
        op->parts[i].request.call.request = request;
        op->parts[i].request.call.response = &list->lists[i];
    }
    txnwise_run(op);
}

void handle_list_transactions(struct request *rq)
{
    struct kafka_list_transactions_request *request = request_decode(rq, list_transactions);
    struct list_op *list = request ? arena_calloc(&rq->arena, 1, sizeof(*list)) : NULL;

    if (!request)
        return;
    if (!list) {
        request_refuse(rq, "out of memory");
        return;
    }
    rq->arena.cap_bytes = METADATA_ARENA_BYTES; /* parts and answers follow from the log */
    kafka_list_transactions_response_init(&list->response);
    int16_t error = take_pattern(rq, list, request->transactional_id_pattern);
    if (error == KAFKA_NONE && !note_unknown_states(rq, request, &list->response))
        error = KAFKA_UNKNOWN_SERVER_ERROR;
    if (error == KAFKA_NONE) {
        start(rq, request, list);
        return;
    }
    list->response.error_code = error;
    request_respond(rq, list_transactions, &list->response);
}
