/* SPDX-License-Identifier: Apache-2.0 */
/* Heartbeat of a classic group's member. */
#include "broker/handlers/groupwise.h"
#include "proto/kafka/messages.h"

static void finish(struct groupwise *op)
{
    struct kafka_heartbeat_response *response = op->response;

    response->error_code = groupwise_error(op);
    groupwise_encode(op, heartbeat, response);
}

void handle_heartbeat(struct request *rq)
{
    struct kafka_heartbeat_request *request = request_decode(rq, heartbeat);
    struct kafka_heartbeat_response *response;

    if (!request)
        return;
    response = arena_calloc(&rq->arena, 1, sizeof(*response));
    groupwise_one(rq, GROUP_CALL_HEARTBEAT, request->group_id, request, response, finish);
}
