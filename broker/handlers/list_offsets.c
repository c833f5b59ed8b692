/* SPDX-License-Identifier: Apache-2.0 */
/* ListOffsets: the offset for a time or a special position (facts, trap T6). */
#include "broker/handlers/handler.h"
#include "broker/handlers/scatter.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

struct lookup_part {
    struct scatter_part scatter;
    const struct kafka_list_offsets_request_partition *in;
    struct kafka_list_offsets_response_partition *out;
};

struct lookup_op {
    struct scatter scatter;
    struct kafka_list_offsets_request *request;
    struct kafka_list_offsets_response response;
};

static void lookup_finish(struct scatter *scatter)
{
    request_respond(scatter->rq, list_offsets, &CONTAINER_OF(scatter, struct lookup_op, scatter)->response);
}

static bool lookup_run(struct shard *owner, struct scatter_part *scatter_part, struct partition *p)
{
    struct lookup_part *part = CONTAINER_OF(scatter_part, struct lookup_part, scatter);
    const struct lookup_op *op = CONTAINER_OF(scatter_part->scatter, struct lookup_op, scatter);
    struct kafka_list_offsets_response_partition *out = part->out;

    out->error_code = KAFKA_NOT_LEADER_OR_FOLLOWER;
    if (p)
        out->error_code = partition_list_offset(p, part->in->timestamp, op->request->isolation_level == 1,
                                                op->request->replica_id, part->in->current_leader_epoch,
                                                &out->offset, &out->timestamp, &out->leader_epoch);
    return false;
}

static bool lookup_lay_out(struct lookup_op *op, const struct kafka_list_offsets_request_topic *topic,
                           struct kafka_list_offsets_response_topic *out)
{
    struct request *rq = op->scatter.rq;
    int32_t count = MAX(topic->partitions_count, 0);
    struct lookup_part *parts = arena_calloc(&rq->arena, (size_t)count, sizeof(*parts));

    out->name = topic->name;
    out->partitions_count = count;
    out->partitions = arena_calloc(&rq->arena, (size_t)count, sizeof(*out->partitions));
    if (!parts || !out->partitions)
        return false;
    for (int32_t i = 0; i < count; i++) {
        struct partition_place place;
        parts[i].in = &topic->partitions[i];
        parts[i].out = &out->partitions[i];
        kafka_list_offsets_response_partition_init(parts[i].out);
        parts[i].out->partition_index = parts[i].in->partition_index;
        parts[i].out->error_code = partition_place_find(rq->shard, false, topic->name, (struct uuid){0},
                                                        parts[i].in->partition_index, &place);
        if (parts[i].out->error_code == KAFKA_NONE && !scatter_add(&op->scatter, &parts[i].scatter, &place))
            return false;
    }
    return true;
}

void handle_list_offsets(struct request *rq)
{
    struct kafka_list_offsets_request *request = request_decode(rq, list_offsets);
    struct lookup_op *op = request ? arena_calloc(&rq->arena, 1, sizeof(*op)) : NULL;
    int32_t count = request ? MAX(request->topics_count, 0) : 0;

    if (!request)
        return;
    bool ok = op != NULL;
    if (ok) {
        scatter_init(&op->scatter, rq, lookup_run, lookup_finish);
        op->request = request;
        kafka_list_offsets_response_init(&op->response);
        op->response.topics = arena_calloc(&rq->arena, (size_t)count, sizeof(*op->response.topics));
        op->response.topics_count = count;
        ok = op->response.topics != NULL;
    }
    for (int32_t t = 0; ok && t < count; t++)
        ok = lookup_lay_out(op, &request->topics[t], &op->response.topics[t]);
    if (ok)
        scatter_run(&op->scatter);
    else
        request_refuse(rq, "out of memory");
}
