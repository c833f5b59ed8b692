/* SPDX-License-Identifier: Apache-2.0 */
/* UnregisterBroker: decided by the controller. */
#include "broker/handlers/forward.h"
#include "broker/handlers/handler.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define ADMIN_TIMEOUT_MS 30000 /* the request names none */

static void fail(struct request *rq, int16_t error)
{
    struct kafka_unregister_broker_response response;

    kafka_unregister_broker_response_init(&response);
    response.error_code = error;
    response.error_message = str_from(kafka_error_text(error));
    request_respond(rq, unregister_broker, &response);
}

void handle_unregister_broker(struct request *rq)
{
    struct reader peek = rq->body; /* forwarded whole: only the time-out is looked at */
    struct kafka_unregister_broker_request request;

    if (kafka_unregister_broker_request_decode(&peek, &rq->arena, rq->header.api_version, &request) != OK)
        request_refuse(rq, "cannot decode unregister_broker request");
    else
        forward_request(rq, ADMIN_TIMEOUT_MS, fail);
}
