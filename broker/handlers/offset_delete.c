/* SPDX-License-Identifier: Apache-2.0 */
/* OffsetDelete: committed offsets of topics that the group does not read now. */
#include "broker/handlers/groupwise.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

static void finish(struct groupwise *op)
{
    struct kafka_offset_delete_response *response = op->response;

    response->error_code = groupwise_error(op);
    if (response->error_code != KAFKA_NONE)
        response->topics_count = 0;
    groupwise_encode(op, offset_delete, response);
}

static bool lay_out_topic(struct request *rq, const struct kafka_offset_delete_request_topic *in,
                          struct kafka_offset_delete_response_topic *out)
{
    out->name = in->name;
    out->partitions_count = MAX(in->partitions_count, 0);
    out->partitions = arena_calloc(&rq->arena, (size_t)out->partitions_count, sizeof(*out->partitions));
    for (int32_t i = 0; out->partitions && i < out->partitions_count; i++)
        out->partitions[i].partition_index = in->partitions[i].partition_index;
    return out->partitions != NULL;
}

void handle_offset_delete(struct request *rq)
{
    struct kafka_offset_delete_request *request = request_decode(rq, offset_delete);
    struct kafka_offset_delete_response *response;

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
    groupwise_one(rq, GROUP_CALL_OFFSET_DELETE, request->group_id, request, ok ? response : NULL, finish);
}
