/* SPDX-License-Identifier: Apache-2.0 */
/* CreateTopics: decided by the controller. */
#include "broker/handlers/forward.h"
#include "broker/handlers/handler.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

static void fail(struct request *rq, int16_t error)
{
    struct kafka_create_topics_request *request = request_decode(rq, create_topics);
    struct kafka_create_topics_response response;

    if (!request)
        return;
    kafka_create_topics_response_init(&response);
    response.topics =
        arena_calloc(&rq->arena, (size_t)MAX(request->topics_count, 0), sizeof(*response.topics));
    for (int32_t i = 0; response.topics && i < request->topics_count; i++) {
        struct kafka_create_topics_response_topic *out = &response.topics[response.topics_count++];
        kafka_create_topics_response_topic_init(out);
        out->name = request->topics[i].name;
        out->error_code = error;
        out->error_message = str_from(kafka_error_text(error));
    }
    request_respond(rq, create_topics, &response);
}

void handle_create_topics(struct request *rq)
{
    struct reader peek = rq->body; /* forwarded whole: only the time-out is looked at */
    struct kafka_create_topics_request request;

    if (kafka_create_topics_request_decode(&peek, &rq->arena, rq->header.api_version, &request) != OK)
        request_refuse(rq, "cannot decode create_topics request");
    else
        forward_request(rq, request.timeout_ms, fail);
}
