/* SPDX-License-Identifier: Apache-2.0 */
/* DescribeQuorum: the active controller knows. */
#include "broker/handlers/forward.h"
#include "broker/handlers/handler.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define ADMIN_TIMEOUT_MS 30000 /* the request names none */

static void fail(struct request *rq, int16_t error)
{
    struct kafka_describe_quorum_response response;

    kafka_describe_quorum_response_init(&response);
    response.error_code = error;
    response.error_message = str_from(kafka_error_text(error));
    request_respond(rq, describe_quorum, &response);
}

void handle_describe_quorum(struct request *rq)
{
    forward_request(rq, ADMIN_TIMEOUT_MS, fail);
}
