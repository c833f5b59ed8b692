/* SPDX-License-Identifier: Apache-2.0 */
/* OffsetForLeaderEpoch: where a leader epoch ends (KIP-101, KIP-320). */
#include "broker/handlers/handler.h"
#include "broker/handlers/partwise.h"
#include "common/base/assert.h"
#include "proto/kafka/messages.h"

static int32_t epoch_begin(const void *in, void *out)
{
    const struct kafka_offset_for_leader_epoch_request_partition *asked = in;
    struct kafka_offset_for_leader_epoch_response_partition *answer = out;

    kafka_offset_for_leader_epoch_response_partition_init(answer);
    answer->partition = asked->partition;
    return asked->partition;
}

static void epoch_fail(void *out, int16_t error)
{
    ((struct kafka_offset_for_leader_epoch_response_partition *)out)->error_code = error;
}

static void epoch_run(const void *request, const void *in, void *out, struct partition *p)
{
    const struct kafka_offset_for_leader_epoch_request_partition *asked = in;
    struct kafka_offset_for_leader_epoch_response_partition *answer = out;

    answer->error_code = partition_epoch_end(p, asked->current_leader_epoch, asked->leader_epoch,
                                             &answer->leader_epoch, &answer->end_offset);
}

static void epoch_finish(struct request *rq, void *response)
{
    request_respond(rq, offset_for_leader_epoch, response);
}

static const struct partwise_api api = {
    .in_size = sizeof(struct kafka_offset_for_leader_epoch_request_partition),
    .out_size = sizeof(struct kafka_offset_for_leader_epoch_response_partition),
    .begin = epoch_begin,
    .fail = epoch_fail,
    .run = epoch_run,
    .finish = epoch_finish,
};

void handle_offset_for_leader_epoch(struct request *rq)
{
    struct kafka_offset_for_leader_epoch_request *request = request_decode(rq, offset_for_leader_epoch);
    struct kafka_offset_for_leader_epoch_response *response;

    if (!request)
        return;
    response = arena_calloc(&rq->arena, 1, sizeof(*response));
    struct partwise *op = partwise_begin(rq, &api, request, response);
    if (!op)
        return;
    kafka_offset_for_leader_epoch_response_init(response);
    response->topics_count = MAX(request->topics_count, 0);
    response->topics = arena_calloc(&rq->arena, (size_t)response->topics_count, sizeof(*response->topics));
    bool ok = response->topics != NULL;
    for (int32_t t = 0; ok && t < response->topics_count; t++) {
        const struct kafka_offset_for_leader_epoch_request_topic *topic = &request->topics[t];
        struct kafka_offset_for_leader_epoch_response_topic *out = &response->topics[t];
        out->topic = topic->topic;
        out->partitions_count = MAX(topic->partitions_count, 0);
        out->partitions = partwise_topic(op, topic->topic, topic->partitions, out->partitions_count);
        ok = out->partitions != NULL;
    }
    partwise_run(op, ok);
}
