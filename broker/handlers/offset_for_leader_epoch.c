/* SPDX-License-Identifier: Apache-2.0 */
/* OffsetForLeaderEpoch: where a leader epoch ends (KIP-101, KIP-320). */
#include "broker/handlers/handler.h"
#include "broker/handlers/scatter.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

struct epoch_part {
    struct scatter_part scatter;
    const struct kafka_offset_for_leader_epoch_request_partition *in;
    struct kafka_offset_for_leader_epoch_response_partition *out;
};

struct epoch_op {
    struct scatter scatter;
    struct kafka_offset_for_leader_epoch_request *request;
    struct kafka_offset_for_leader_epoch_response response;
};

static void epoch_finish(struct scatter *scatter)
{
    request_respond(scatter->rq, offset_for_leader_epoch,
                    &CONTAINER_OF(scatter, struct epoch_op, scatter)->response);
}

static bool epoch_run(struct shard *owner, struct scatter_part *scatter_part, struct partition *p)
{
    struct epoch_part *part = CONTAINER_OF(scatter_part, struct epoch_part, scatter);

    part->out->error_code = KAFKA_NOT_LEADER_OR_FOLLOWER;
    if (p)
        part->out->error_code = partition_epoch_end(p, part->in->current_leader_epoch, part->in->leader_epoch,
                                                    &part->out->leader_epoch, &part->out->end_offset);
    return false;
}

static bool epoch_lay_out(struct epoch_op *op,
                          const struct kafka_offset_for_leader_epoch_request_topic *topic,
                          struct kafka_offset_for_leader_epoch_response_topic *out)
{
    struct request *rq = op->scatter.rq;
    int32_t count = MAX(topic->partitions_count, 0);
    struct epoch_part *parts = arena_calloc(&rq->arena, (size_t)count, sizeof(*parts));

    out->topic = topic->topic;
    out->partitions_count = count;
    out->partitions = arena_calloc(&rq->arena, (size_t)count, sizeof(*out->partitions));
    if (!parts || !out->partitions)
        return false;
    for (int32_t i = 0; i < count; i++) {
        struct partition_place place;
        parts[i].in = &topic->partitions[i];
        parts[i].out = &out->partitions[i];
        kafka_offset_for_leader_epoch_response_partition_init(parts[i].out);
        parts[i].out->partition = parts[i].in->partition;
        parts[i].out->error_code = partition_place_find(rq->shard, false, topic->topic, (struct uuid){0},
                                                        parts[i].in->partition, &place);
        if (parts[i].out->error_code == KAFKA_NONE && !scatter_add(&op->scatter, &parts[i].scatter, &place))
            return false;
    }
    return true;
}

void handle_offset_for_leader_epoch(struct request *rq)
{
    struct kafka_offset_for_leader_epoch_request *request = request_decode(rq, offset_for_leader_epoch);
    struct epoch_op *op = request ? arena_calloc(&rq->arena, 1, sizeof(*op)) : NULL;
    int32_t count = request ? MAX(request->topics_count, 0) : 0;

    if (!request)
        return;
    bool ok = op != NULL;
    if (ok) {
        scatter_init(&op->scatter, rq, epoch_run, epoch_finish);
        op->request = request;
        kafka_offset_for_leader_epoch_response_init(&op->response);
        op->response.topics = arena_calloc(&rq->arena, (size_t)count, sizeof(*op->response.topics));
        op->response.topics_count = count;
        ok = op->response.topics != NULL;
    }
    for (int32_t t = 0; ok && t < count; t++)
        ok = epoch_lay_out(op, &request->topics[t], &op->response.topics[t]);
    if (ok)
        scatter_run(&op->scatter);
    else
        request_refuse(rq, "out of memory");
}
