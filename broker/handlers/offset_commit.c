/* SPDX-License-Identifier: Apache-2.0 */
/* OffsetCommit: stored once the coordinator's log has it. What does not exist is refused here. */
#include "broker/handlers/groupwise.h"
#include "broker/handlers/topic_name.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define TOPIC_ID_VERSION 10

static void finish(struct groupwise *op)
{
    struct kafka_offset_commit_response *response = op->response;
    int16_t error = groupwise_error(op);

    for (int32_t t = 0; t < response->topics_count; t++)
        for (int32_t i = 0; i < response->topics[t].partitions_count; i++)
            if (response->topics[t].partitions[i].error_code == KAFKA_NONE)
                response->topics[t].partitions[i].error_code = error;
    groupwise_encode(op, offset_commit, response);
}

/* Answers what needs no coordinator. False: out of memory. */
static bool lay_out_topic(struct request *rq, struct kafka_offset_commit_request_topic *in,
                          struct kafka_offset_commit_response_topic *out)
{
    bool by_id = rq->header.api_version >= TOPIC_ID_VERSION;
    const struct image_topic *topic;
    int16_t error = topic_name_resolve(rq, by_id, in->topic_id, &in->name, &topic);

    kafka_offset_commit_response_topic_init(out);
    out->name = in->name;
    out->topic_id = in->topic_id;
    out->partitions_count = MAX(in->partitions_count, 0);
    out->partitions = arena_calloc(&rq->arena, (size_t)out->partitions_count, sizeof(*out->partitions));
    for (int32_t i = 0; out->partitions && i < out->partitions_count; i++) {
        int32_t index = in->partitions[i].partition_index;
        out->partitions[i].partition_index = index;
        out->partitions[i].error_code = error;
        if (error == KAFKA_NONE && (index < 0 || index >= topic->partitions_count))
            out->partitions[i].error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    }
    return out->partitions != NULL;
}

void handle_offset_commit(struct request *rq)
{
    struct kafka_offset_commit_request *request = request_decode(rq, offset_commit);
    struct kafka_offset_commit_response *response;

    if (!request)
        return;
    response = arena_calloc(&rq->arena, 1, sizeof(*response));
    bool ok = response != NULL;
    if (ok) {
        response->topics_count = MAX(request->topics_count, 0);
        response->topics =
            arena_calloc(&rq->arena, (size_t)response->topics_count, sizeof(*response->topics));
        ok = response->topics != NULL;
    }
    for (int32_t t = 0; ok && t < response->topics_count; t++)
        ok = lay_out_topic(rq, &request->topics[t], &response->topics[t]);
    groupwise_one(rq, GROUP_CALL_COMMIT, request->group_id, request, ok ? response : NULL, finish);
}
