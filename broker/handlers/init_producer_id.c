/* SPDX-License-Identifier: Apache-2.0 */
/* InitProducerId for idempotent producers: ids come from the controller in blocks, kept per shard.
 * Transactional ids need a coordinator, which this version does not have. */
#include "broker/handlers/handler.h"
#include "broker/shard/producer_ids.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

struct init_op {
    struct producer_id_wait wait;
    struct request *rq;
    struct kafka_init_producer_id_request *request;
};

static void answer(struct request *rq, int16_t error, int64_t id, int16_t epoch)
{
    struct kafka_init_producer_id_response response;

    kafka_init_producer_id_response_init(&response);
    response.error_code = error;
    response.producer_id = id;
    response.producer_epoch = epoch;
    request_respond(rq, init_producer_id, &response);
}

static void on_id(struct producer_id_wait *wait, int16_t error, int64_t id)
{
    struct init_op *op = CONTAINER_OF(wait, struct init_op, wait);

    answer(op->rq, error, error == KAFKA_NONE ? id : -1, error == KAFKA_NONE ? 0 : -1);
}

void handle_init_producer_id(struct request *rq)
{
    struct kafka_init_producer_id_request *request = request_decode(rq, init_producer_id);
    struct init_op *op = request ? arena_calloc(&rq->arena, 1, sizeof(*op)) : NULL;

    if (!request)
        return;
    if (!op) {
        request_refuse(rq, "out of memory");
    } else if (request->transactional_id.len >= 0) {
        answer(rq,
               request->transactional_id.len == 0 ? KAFKA_INVALID_REQUEST : KAFKA_COORDINATOR_NOT_AVAILABLE,
               -1, -1);
    } else {
        op->rq = rq;
        op->request = request;
        op->wait.done = on_id;
        producer_id_take(rq->shard, &op->wait);
    }
}
