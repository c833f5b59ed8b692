/* SPDX-License-Identifier: Apache-2.0 */
/* DeleteRecords: moves the log start of partitions forward. */
#include "broker/handlers/handler.h"
#include "broker/handlers/scatter.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

struct trim_part {
    struct scatter_part scatter;
    const struct kafka_delete_records_request_partition *in;
    struct kafka_delete_records_response_partition *out;
};

struct trim_op {
    struct scatter scatter;
    struct kafka_delete_records_request *request;
    struct kafka_delete_records_response response;
};

static void trim_finish(struct scatter *scatter)
{
    request_respond(scatter->rq, delete_records, &CONTAINER_OF(scatter, struct trim_op, scatter)->response);
}

static bool trim_run(struct shard *owner, struct scatter_part *scatter_part, struct partition *p)
{
    struct trim_part *part = CONTAINER_OF(scatter_part, struct trim_part, scatter);

    part->out->error_code = KAFKA_NOT_LEADER_OR_FOLLOWER;
    if (p)
        part->out->error_code = partition_delete_records(p, part->in->offset, &part->out->low_watermark);
    return false;
}

static bool trim_lay_out(struct trim_op *op, const struct kafka_delete_records_request_topic *topic,
                         struct kafka_delete_records_response_topic *out)
{
    struct request *rq = op->scatter.rq;
    int32_t count = MAX(topic->partitions_count, 0);
    struct trim_part *parts = arena_calloc(&rq->arena, (size_t)count, sizeof(*parts));

    out->name = topic->name;
    out->partitions_count = count;
    out->partitions = arena_calloc(&rq->arena, (size_t)count, sizeof(*out->partitions));
    if (!parts || !out->partitions)
        return false;
    for (int32_t i = 0; i < count; i++) {
        struct partition_place place;
        parts[i].in = &topic->partitions[i];
        parts[i].out = &out->partitions[i];
        kafka_delete_records_response_partition_init(parts[i].out);
        parts[i].out->partition_index = parts[i].in->partition_index;
        parts[i].out->low_watermark = -1;
        parts[i].out->error_code = partition_place_find(rq->shard, false, topic->name, (struct uuid){0},
                                                        parts[i].in->partition_index, &place);
        if (parts[i].out->error_code == KAFKA_NONE && !scatter_add(&op->scatter, &parts[i].scatter, &place))
            return false;
    }
    return true;
}

void handle_delete_records(struct request *rq)
{
    struct kafka_delete_records_request *request = request_decode(rq, delete_records);
    struct trim_op *op = request ? arena_calloc(&rq->arena, 1, sizeof(*op)) : NULL;
    int32_t count = request ? MAX(request->topics_count, 0) : 0;

    if (!request)
        return;
    bool ok = op != NULL;
    if (ok) {
        scatter_init(&op->scatter, rq, trim_run, trim_finish);
        op->request = request;
        kafka_delete_records_response_init(&op->response);
        op->response.topics = arena_calloc(&rq->arena, (size_t)count, sizeof(*op->response.topics));
        op->response.topics_count = count;
        ok = op->response.topics != NULL;
    }
    for (int32_t t = 0; ok && t < count; t++)
        ok = trim_lay_out(op, &request->topics[t], &op->response.topics[t]);
    if (ok)
        scatter_run(&op->scatter);
    else
        request_refuse(rq, "out of memory");
}
