/* SPDX-License-Identifier: Apache-2.0 */
/* UpdateFeatures: decided by the controller. */
#include "broker/handlers/forward.h"
#include "broker/handlers/handler.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

static void fail(struct request *rq, int16_t error)
{
    struct kafka_update_features_response response;

    kafka_update_features_response_init(&response);
    response.error_code = error;
    response.error_message = str_from(kafka_error_text(error));
    request_respond(rq, update_features, &response);
}

void handle_update_features(struct request *rq)
{
    struct reader peek = rq->body; /* forwarded whole: only the time-out is looked at */
    struct kafka_update_features_request request;

    if (kafka_update_features_request_decode(&peek, &rq->arena, rq->header.api_version, &request) != OK)
        request_refuse(rq, "cannot decode update_features request");
    else
        forward_request(rq, request.timeout_ms, fail);
}
