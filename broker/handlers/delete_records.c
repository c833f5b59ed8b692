/* SPDX-License-Identifier: Apache-2.0 */
/* DeleteRecords: moves the log start of partitions forward. */
#include "broker/handlers/handler.h"
#include "broker/handlers/partwise.h"
#include "broker/handlers/topic_lookup.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

static int32_t trim_begin(const void *in, void *out)
{
    const struct kafka_delete_records_request_partition *asked = in;
    struct kafka_delete_records_response_partition *answer = out;

    kafka_delete_records_response_partition_init(answer);
    answer->partition_index = asked->partition_index;
    answer->low_watermark = -1;
    return asked->partition_index;
}

static void trim_fail(void *out, int16_t error)
{
    ((struct kafka_delete_records_response_partition *)out)->error_code = error;
}

static void trim_run(const void *request, const void *in, void *out, struct partition *p)
{
    const struct kafka_delete_records_request_partition *asked = in;
    struct kafka_delete_records_response_partition *answer = out;

    answer->error_code = topic_is_internal(partition_topic(p))
                             ? KAFKA_INVALID_TOPIC_EXCEPTION
                             : partition_delete_records(p, asked->offset, &answer->low_watermark);
}

/* Like Kafka: the answer waits until no in-sync replica has the deleted records any more. */
static bool trim_wait(const void *request, void *out, struct partition *p, struct partition_wait *wait)
{
    const struct kafka_delete_records_request *asked = request;
    const struct kafka_delete_records_response_partition *answer = out;

    return answer->error_code == KAFKA_NONE &&
           partition_await_start(p, answer->low_watermark, asked->timeout_ms, wait);
}

static void trim_finish(struct request *rq, void *response)
{
    request_respond(rq, delete_records, response);
}

static const struct partwise_api api = {
    .in_size = sizeof(struct kafka_delete_records_request_partition),
    .out_size = sizeof(struct kafka_delete_records_response_partition),
    .begin = trim_begin,
    .fail = trim_fail,
    .run = trim_run,
    .wait = trim_wait,
    .finish = trim_finish,
};

void handle_delete_records(struct request *rq)
{
    struct kafka_delete_records_request *request = request_decode(rq, delete_records);
    struct kafka_delete_records_response *response;

    if (!request)
        return;
    response = arena_calloc(&rq->arena, 1, sizeof(*response));
    struct partwise *op = partwise_begin(rq, &api, request, response);
    if (!op)
        return;
    kafka_delete_records_response_init(response);
    response->topics_count = MAX(request->topics_count, 0);
    response->topics = arena_calloc(&rq->arena, (size_t)response->topics_count, sizeof(*response->topics));
    bool ok = response->topics != NULL;
    for (int32_t t = 0; ok && t < response->topics_count; t++) {
        const struct kafka_delete_records_request_topic *topic = &request->topics[t];
        struct kafka_delete_records_response_topic *out = &response->topics[t];
        out->name = topic->name;
        out->partitions_count = MAX(topic->partitions_count, 0);
        out->partitions = partwise_topic(op, topic->name, topic->partitions, out->partitions_count);
        ok = out->partitions != NULL;
    }
    partwise_run(op, ok);
}
