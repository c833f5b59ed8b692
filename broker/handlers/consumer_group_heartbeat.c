/* SPDX-License-Identifier: Apache-2.0 */
/* ConsumerGroupHeartbeat: all of a member's dealings with a group of the consumer protocol (KIP-848). */
#include "broker/handlers/consumer_feature.h"
#include "broker/handlers/groupwise.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

static void finish(struct groupwise *op)
{
    struct kafka_consumer_group_heartbeat_response *response = op->response;
    int16_t error = groupwise_error(op);

    if (error != KAFKA_NONE) { /* what was filled in for success is not said */
        struct str message = response->error_message;
        kafka_consumer_group_heartbeat_response_init(response);
        response->error_code = error;
        response->error_message = message.len >= 0 ? message : str_from(kafka_error_text(error));
    }
    groupwise_encode(op, consumer_group_heartbeat, response);
}

void handle_consumer_group_heartbeat(struct request *rq)
{
    struct kafka_consumer_group_heartbeat_request *request = request_decode(rq, consumer_group_heartbeat);
    struct kafka_consumer_group_heartbeat_response *response;

    if (!request)
        return;
    response = arena_calloc(&rq->arena, 1, sizeof(*response));
    if (response)
        kafka_consumer_group_heartbeat_response_init(response);
    if (response && !consumer_protocol_on(rq)) {
        response->error_code = KAFKA_UNSUPPORTED_VERSION;
        request_respond(rq, consumer_group_heartbeat, response);
        return;
    }
    groupwise_one(rq, GROUP_CALL_CONSUMER_HEARTBEAT, request->group_id, request, response, finish);
}
