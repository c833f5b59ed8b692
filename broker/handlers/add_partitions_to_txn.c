/* SPDX-License-Identifier: Apache-2.0 */
/* AddPartitionsToTxn: up to version 3 from clients, one transaction; from 4 between brokers, several, to add
 * or only to verify (KIP-890). */
#include "broker/handlers/txnwise.h"
#include "broker/shard/connection.h"
#include "common/base/assert.h"
#include "proto/kafka/messages.h"

#define BATCH_VERSION     4
#define ABORTABLE_VERSION 5 /* knows TRANSACTION_ABORTABLE */
#define FENCED_VERSION    2

/* One transaction of the request: what is asked and where it is answered. */
struct add_txn {
    const struct kafka_add_partitions_to_txn_request_topic *in;
    struct kafka_add_partitions_to_txn_response_topic_result *out;
    int32_t topics_count;
    bool unknown; /* a partition does not exist: nothing is done */
    struct txn_partition *partitions;
    int16_t *errors;
    int32_t partitions_count;
    struct txn_call *call;
};

struct add_op {
    struct add_txn *txns;
    struct kafka_add_partitions_to_txn_response response;
};

/* -- laying out -- */

static int16_t check_partition(const struct shard *shard, struct str topic, int32_t index)
{
    const struct image_topic *found = image_topic_by_name(shard->image, topic);

    return found && index >= 0 && index < found->partitions_count ? KAFKA_NONE
                                                                  : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
}

static bool lay_out_topic(struct request *rq, struct add_txn *txn,
                          const struct kafka_add_partitions_to_txn_request_topic *in,
                          struct kafka_add_partitions_to_txn_response_topic_result *out)
{
    int32_t count = MAX(in->partitions_count, 0);

    kafka_add_partitions_to_txn_response_topic_result_init(out);
    out->name = in->name;
    out->results_by_partition = arena_calloc(&rq->arena, (size_t)count, sizeof(*out->results_by_partition));
    if (!out->results_by_partition)
        return false;
    for (int32_t i = 0; i < count; i++) {
        struct kafka_add_partitions_to_txn_response_partition_result *one =
            &out->results_by_partition[out->results_by_partition_count++];
        one->partition_index = in->partitions[i];
        one->partition_error_code = check_partition(rq->shard, in->name, in->partitions[i]);
        txn->unknown |= one->partition_error_code != KAFKA_NONE;
        txn->partitions[txn->partitions_count++] = (struct txn_partition){in->name, in->partitions[i]};
    }
    return true;
}

static bool lay_out(struct request *rq, struct add_txn *txn,
                    const struct kafka_add_partitions_to_txn_request_topic *in, int32_t topics_count,
                    struct kafka_add_partitions_to_txn_response_topic_result **ret_out, int32_t *ret_count)
{
    size_t count = 0;

    topics_count = MAX(topics_count, 0);
    for (int32_t t = 0; t < topics_count; t++)
        count += (size_t)MAX(in[t].partitions_count, 0);
    txn->in = in;
    txn->topics_count = topics_count;
    txn->out = arena_calloc(&rq->arena, (size_t)topics_count, sizeof(*txn->out));
    txn->partitions = arena_calloc(&rq->arena, count, sizeof(*txn->partitions));
    txn->errors = arena_calloc(&rq->arena, count, sizeof(*txn->errors));
    if (!txn->out || !txn->partitions || !txn->errors)
        return false;
    for (int32_t t = 0; t < topics_count; t++)
        if (!lay_out_topic(rq, txn, &in[t], &txn->out[t]))
            return false;
    *ret_out = txn->out;
    *ret_count = topics_count;
    return true;
}

/* -- answering -- */

static int16_t outcome(const struct add_txn *txn, int32_t i, int16_t had, int16_t version)
{
    if (had != KAFKA_NONE)
        return had;
    if (txn->unknown)
        return KAFKA_OPERATION_NOT_ATTEMPTED;
    int16_t error = txn->call->error != KAFKA_NONE ? txn->call->error : txn->errors[i];
    if (error == KAFKA_TRANSACTION_ABORTABLE && version < ABORTABLE_VERSION)
        return KAFKA_INVALID_TXN_STATE;
    return error;
}

static void finish(struct txnwise *op)
{
    struct add_op *add = op->response;
    int16_t version = op->rq->header.api_version;
    int32_t count = version >= BATCH_VERSION ? add->response.results_by_transaction_count : 1;

    for (int32_t n = 0; n < count; n++) {
        const struct add_txn *txn = &add->txns[n];
        int32_t i = 0;
        for (int32_t t = 0; t < txn->topics_count; t++)
            for (int32_t k = 0; k < txn->out[t].results_by_partition_count; k++, i++) {
                int16_t *error = &txn->out[t].results_by_partition[k].partition_error_code;
                *error = txn_error_for(op->rq, outcome(txn, i, *error, version), FENCED_VERSION);
            }
    }
    txnwise_encode(op, add_partitions_to_txn, &add->response);
}

/* -- starting -- */

static void fill_call(struct txnwise *op, struct add_txn *txn, struct str id, int64_t producer_id,
                      int16_t producer_epoch, bool verify)
{
    enum txn_call_type type = verify ? TXN_CALL_VERIFY : TXN_CALL_ADD;
    struct txnwise_part *spare = &op->parts[op->parts_count];

    if (txn->unknown) {
        txn->call = &spare->request.call; /* never sent */
        return;
    }
    txn->call = txnwise_add(op, type, id);
    txn->call->producer_id = producer_id;
    txn->call->producer_epoch = producer_epoch;
    txn->call->partitions = txn->partitions;
    txn->call->partitions_count = txn->partitions_count;
    txn->call->errors = txn->errors;
    txn->call->v2 = op->rq->header.api_version >= BATCH_VERSION;
}

static bool lay_out_one(struct request *rq, struct kafka_add_partitions_to_txn_request *request,
                        struct add_op *add)
{
    return lay_out(rq, &add->txns[0], request->v3_and_below_topics, request->v3_and_below_topics_count,
                   &add->response.results_by_topic_v3_and_below,
                   &add->response.results_by_topic_v3_and_below_count);
}

static bool lay_out_all(struct request *rq, struct kafka_add_partitions_to_txn_request *request,
                        struct add_op *add, int32_t count)
{
    struct kafka_add_partitions_to_txn_response *response = &add->response;

    response->results_by_transaction =
        arena_calloc(&rq->arena, (size_t)count, sizeof(*response->results_by_transaction));
    if (!response->results_by_transaction)
        return false;
    for (int32_t i = 0; i < count; i++) {
        const struct kafka_add_partitions_to_txn_request_transaction *in = &request->transactions[i];
        struct kafka_add_partitions_to_txn_response_results_by_transaction *out =
            &response->results_by_transaction[response->results_by_transaction_count++];
        out->transactional_id = in->transactional_id;
        if (!lay_out(rq, &add->txns[i], in->topics, in->topics_count, &out->topic_results,
                     &out->topic_results_count))
            return false;
    }
    return true;
}

static void start(struct request *rq, struct kafka_add_partitions_to_txn_request *request, int32_t count,
                  bool batch)
{
    struct add_op *add = arena_calloc(&rq->arena, 1, sizeof(*add));
    bool ok = add != NULL;

    if (ok) {
        kafka_add_partitions_to_txn_response_init(&add->response);
        add->txns = arena_calloc(&rq->arena, (size_t)count, sizeof(*add->txns));
        ok = add->txns && (batch ? lay_out_all(rq, request, add, count) : lay_out_one(rq, request, add));
    }
    struct txnwise *op = txnwise_begin(rq, count + 1, request, ok ? add : NULL, finish);
    if (!op)
        return;
    for (int32_t i = 0; i < count; i++) {
        const struct kafka_add_partitions_to_txn_request_transaction *in = &request->transactions[i];
        if (batch)
            fill_call(op, &add->txns[i], in->transactional_id, in->producer_id, in->producer_epoch,
                      in->verify_only);
        else
            fill_call(op, &add->txns[i], request->v3_and_below_transactional_id,
                      request->v3_and_below_producer_id, request->v3_and_below_producer_epoch, false);
    }
    txnwise_run(op);
}

void handle_add_partitions_to_txn(struct request *rq)
{
    struct kafka_add_partitions_to_txn_request *request = request_decode(rq, add_partitions_to_txn);
    bool batch = rq->header.api_version >= BATCH_VERSION;

    if (!request)
        return;
    if (batch && !rq->conn->listener->internal) {
        struct kafka_add_partitions_to_txn_response response;
        kafka_add_partitions_to_txn_response_init(&response);
        response.error_code = KAFKA_CLUSTER_AUTHORIZATION_FAILED;
        request_respond(rq, add_partitions_to_txn, &response);
        return;
    }
    start(rq, request, batch ? MAX(request->transactions_count, 0) : 1, batch);
}
