/* SPDX-License-Identifier: Apache-2.0 */
/* CreatePartitions: decided by the controller. */
#include "broker/handlers/forward.h"
#include "broker/handlers/handler.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

static void fail(struct request *rq, int16_t error)
{
    struct kafka_create_partitions_request *request = request_decode(rq, create_partitions);
    struct kafka_create_partitions_response response;

    if (!request)
        return;
    kafka_create_partitions_response_init(&response);
    response.results =
        arena_calloc(&rq->arena, (size_t)MAX(request->topics_count, 0), sizeof(*response.results));
    for (int32_t i = 0; response.results && i < request->topics_count; i++) {
        struct kafka_create_partitions_response_result *out = &response.results[response.results_count++];
        kafka_create_partitions_response_result_init(out);
        out->name = request->topics[i].name;
        out->error_code = error;
        out->error_message = str_from(kafka_error_text(error));
    }
    request_respond(rq, create_partitions, &response);
}

void handle_create_partitions(struct request *rq)
{
    struct reader peek = rq->body; /* forwarded whole: only the time-out is looked at */
    struct kafka_create_partitions_request request;

    if (kafka_create_partitions_request_decode(&peek, &rq->arena, rq->header.api_version, &request) != OK)
        request_refuse(rq, "cannot decode create_partitions request");
    else
        forward_request(rq, request.timeout_ms, fail);
}
