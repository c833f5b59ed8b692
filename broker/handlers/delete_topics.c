/* SPDX-License-Identifier: Apache-2.0 */
/* DeleteTopics: decided by the controller. */
#include "broker/handlers/forward.h"
#include "broker/handlers/handler.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define TOPIC_STRUCT_VERSION 6 /* name or id; a plain list of names before */

static struct kafka_delete_topics_response_response *add_failure(
    struct request *rq, struct kafka_delete_topics_response *response, int32_t room, int16_t error)
{
    if (!response->responses)
        response->responses = arena_calloc(&rq->arena, (size_t)room, sizeof(*response->responses));
    if (!response->responses)
        return NULL;
    struct kafka_delete_topics_response_response *out = &response->responses[response->responses_count++];
    kafka_delete_topics_response_response_init(out);
    out->error_code = error;
    out->error_message = str_from(kafka_error_text(error));
    return out;
}

static void fail_topics(struct request *rq, const struct kafka_delete_topics_request *request,
                        struct kafka_delete_topics_response *response, int16_t error)
{
    for (int32_t i = 0; i < request->topics_count; i++) {
        struct kafka_delete_topics_response_response *out =
            add_failure(rq, response, request->topics_count, error);
        if (!out)
            return;
        out->name = request->topics[i].name;
        out->topic_id = request->topics[i].topic_id;
    }
}

static void fail_names(struct request *rq, const struct kafka_delete_topics_request *request,
                       struct kafka_delete_topics_response *response, int16_t error)
{
    for (int32_t i = 0; i < request->topic_names_count; i++) {
        struct kafka_delete_topics_response_response *out =
            add_failure(rq, response, request->topic_names_count, error);
        if (!out)
            return;
        out->name = request->topic_names[i];
    }
}

static void fail(struct request *rq, int16_t error)
{
    struct kafka_delete_topics_request *request = request_decode(rq, delete_topics);
    struct kafka_delete_topics_response response;

    if (!request)
        return;
    kafka_delete_topics_response_init(&response);
    if (rq->header.api_version >= TOPIC_STRUCT_VERSION)
        fail_topics(rq, request, &response, error);
    else
        fail_names(rq, request, &response, error);
    request_respond(rq, delete_topics, &response);
}

void handle_delete_topics(struct request *rq)
{
    struct reader peek = rq->body; /* forwarded whole: only the time-out is looked at */
    struct kafka_delete_topics_request request;

    if (kafka_delete_topics_request_decode(&peek, &rq->arena, rq->header.api_version, &request) != OK)
        request_refuse(rq, "cannot decode delete_topics request");
    else
        forward_request(rq, request.timeout_ms, fail);
}
