/* SPDX-License-Identifier: Apache-2.0 */
/* ElectLeaders: decided by the controller. */
#include "broker/handlers/forward.h"
#include "broker/handlers/handler.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

static void fail(struct request *rq, int16_t error)
{
    struct kafka_elect_leaders_request *request = request_decode(rq, elect_leaders);
    struct kafka_elect_leaders_response response;

    if (!request)
        return;
    kafka_elect_leaders_response_init(&response);
    response.error_code = error;
    request_respond(rq, elect_leaders, &response);
}

void handle_elect_leaders(struct request *rq)
{
    struct reader peek = rq->body; /* forwarded whole: only the time-out is looked at */
    struct kafka_elect_leaders_request request;

    if (kafka_elect_leaders_request_decode(&peek, &rq->arena, rq->header.api_version, &request) != OK)
        request_refuse(rq, "cannot decode elect_leaders request");
    else
        forward_request(rq, request.timeout_ms, fail);
}
