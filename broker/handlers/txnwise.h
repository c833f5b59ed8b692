/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to transaction coordinators: each part concerns one transactional id and runs on the shard that
 * leads the id's partition of __transaction_state; the request finishes at home when all parts are settled.
 */
#ifndef SLUICE_BROKER_HANDLERS_TXNWISE_H
#define SLUICE_BROKER_HANDLERS_TXNWISE_H

#include "broker/handlers/handler.h"
#include "broker/handlers/scatter.h"
#include "broker/shard/txn_coordinator.h"
#include "proto/kafka/error.h"

/* One id's part; call.error is its outcome. */
struct txnwise_part {
    struct scatter_part scatter;
    struct txn_request request;
    struct arena arena; /* of the answer; freed after the reply was encoded */
};

struct txnwise {
    struct scatter scatter;
    struct request *rq;
    struct txnwise_part *parts;
    int32_t parts_count, parts_max;
    void *request, *response; /* the API's own */
    /* At home, once: encodes the response into rq's reply (request_reply_begin); txnwise ends the request. */
    void (*finish)(struct txnwise *op);
};

/* Room for parts_max parts. NULL: no memory, the request was refused. */
struct txnwise *txnwise_begin(struct request *rq, int32_t parts_max, void *request, void *response,
                              void (*finish)(struct txnwise *op));

/* Adds the part of an id; what call says but id is filled in by the caller before txnwise_run(). */
struct txn_call *txnwise_add(struct txnwise *op, enum txn_call_type type, struct str id);

/* Adds a part for every partition of __transaction_state that this broker leads; parts_max must be enough. */
int32_t txnwise_partitions(struct shard *shard);
void txnwise_add_all(struct txnwise *op, enum txn_call_type type);

/* Runs what was added. */
void txnwise_run(struct txnwise *op);

/* Encodes the response of a finish() function. */
#define txnwise_encode(op, name, response)                                                                   \
    kafka_##name##_response_encode(request_reply_begin((op)->rq), (op)->rq->header.api_version, (response))

/* PRODUCER_FENCED as clients of an API below `since` know it (facts, trap T9). */
static inline int16_t txn_error_for(const struct request *rq, int16_t error, int16_t since)
{
    return error == KAFKA_PRODUCER_FENCED && rq->header.api_version < since ? KAFKA_INVALID_PRODUCER_EPOCH
                                                                            : error;
}

#endif
