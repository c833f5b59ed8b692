/* SPDX-License-Identifier: Apache-2.0 */
/* DescribeProducers: who has written to a partition, and which transactions are open on it (KIP-664). */
#include <stdlib.h>

#include "broker/core/producer_state.h"
#include "broker/handlers/handler.h"
#include "broker/handlers/scatter.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

struct producers_part {
    struct scatter_part scatter;
    struct kafka_describe_producers_response_partition *out; /* active_producers: malloc'd by the owner */
    int32_t cap;
    bool no_memory;
    struct producers_part *next;
};

struct producers_op {
    struct scatter scatter;
    struct producers_part *parts;
    struct kafka_describe_producers_response response;
};

static void finish(struct scatter *scatter)
{
    struct producers_op *op = CONTAINER_OF(scatter, struct producers_op, scatter);
    struct request *rq = scatter->rq;

    kafka_describe_producers_response_encode(request_reply_begin(rq), rq->header.api_version, &op->response);
    for (struct producers_part *part = op->parts; part; part = part->next)
        free(part->out->active_producers);
    request_reply_end(rq);
}

static void take(void *ctx, const struct producer_info *info)
{
    struct producers_part *part = ctx;
    struct kafka_describe_producers_response_partition *out = part->out;

    if (out->active_producers_count == part->cap) {
        int32_t cap = part->cap ? part->cap * 2 : 8;
        void *grown = realloc(out->active_producers, (size_t)cap * sizeof(*out->active_producers));
        part->no_memory |= grown == NULL;
        if (!grown)
            return;
        out->active_producers = grown;
        part->cap = cap;
    }
    struct kafka_describe_producers_response_active_producer *one =
        &out->active_producers[out->active_producers_count++];
    kafka_describe_producers_response_active_producer_init(one);
    one->producer_id = info->producer_id;
    one->producer_epoch = info->producer_epoch;
    one->last_sequence = info->last_sequence;
    one->last_timestamp = info->timestamp_ms;
    one->coordinator_epoch = info->coordinator_epoch;
    one->current_txn_start_offset = info->txn_first_offset;
}

static bool run(struct shard *owner, struct scatter_part *scatter_part, struct partition *p)
{
    struct producers_part *part = CONTAINER_OF(scatter_part, struct producers_part, scatter);

    part->out->error_code = p ? partition_producers(p, take, part) : KAFKA_NOT_LEADER_OR_FOLLOWER;
    if (part->no_memory)
        part->out->error_code = KAFKA_UNKNOWN_SERVER_ERROR;
    return false;
}

static bool lay_out_partition(struct producers_op *op, struct str topic, int32_t index,
                              struct kafka_describe_producers_response_partition *out)
{
    struct request *rq = op->scatter.rq;
    struct producers_part *part = arena_calloc(&rq->arena, 1, sizeof(*part));
    struct partition_place place;

    if (!part)
        return false;
    kafka_describe_producers_response_partition_init(out);
    out->partition_index = index;
    part->out = out;
    part->next = op->parts;
    op->parts = part;
    out->error_code = partition_place_find(rq->shard, false, topic, (struct uuid){0}, index, &place);
    return out->error_code != KAFKA_NONE || scatter_add(&op->scatter, &part->scatter, &place);
}

static bool lay_out(struct producers_op *op, const struct kafka_describe_producers_request *request)
{
    struct arena *arena = &op->scatter.rq->arena;
    int32_t count = MAX(request->topics_count, 0);

    op->response.topics = arena_calloc(arena, (size_t)count, sizeof(*op->response.topics));
    for (int32_t t = 0; op->response.topics && t < count; t++) {
        const struct kafka_describe_producers_request_topic *in = &request->topics[t];
        struct kafka_describe_producers_response_topic *out =
            &op->response.topics[op->response.topics_count++];
        int32_t partitions = MAX(in->partition_indexes_count, 0);
        out->name = in->name;
        out->partitions = arena_calloc(arena, (size_t)partitions, sizeof(*out->partitions));
        for (int32_t i = 0; out->partitions && i < partitions; i++)
            if (!lay_out_partition(op, in->name, in->partition_indexes[i],
                                   &out->partitions[out->partitions_count++]))
                return false;
        if (!out->partitions)
            return false;
    }
    return op->response.topics != NULL;
}

void handle_describe_producers(struct request *rq)
{
    struct kafka_describe_producers_request *request = request_decode(rq, describe_producers);
    struct producers_op *op = request ? arena_calloc(&rq->arena, 1, sizeof(*op)) : NULL;

    if (!request)
        return;
    if (op) {
        scatter_init(&op->scatter, rq, run, finish);
        kafka_describe_producers_response_init(&op->response);
    }
    if (!op || !lay_out(op, request))
        request_refuse(rq, "out of memory");
    else
        scatter_run(&op->scatter);
}
