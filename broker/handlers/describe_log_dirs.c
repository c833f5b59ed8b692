/* SPDX-License-Identifier: Apache-2.0 */
/* DescribeLogDirs: the data directory, its file system, and how much each replica here takes (KIP-113,
 * KIP-827). There is one directory, and no replica that moves between directories. */
#include "broker/handlers/handler.h"
#include "broker/handlers/scatter.h"
#include "broker/log/disk_guard.h"
#include "common/base/assert.h"
#include "proto/cluster/image.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define ALL (-1) /* partitions asked for: every one that is here */

struct dirs_part {
    struct scatter_part scatter;
    struct kafka_describe_log_dirs_response_partition *out;
};

struct dirs_op {
    struct scatter scatter;
    struct kafka_describe_log_dirs_response response;
    struct kafka_describe_log_dirs_response_result result;
    bool failed; /* no memory */
};

static void finish(struct scatter *scatter)
{
    struct dirs_op *op = CONTAINER_OF(scatter, struct dirs_op, scatter);

    request_respond(scatter->rq, describe_log_dirs, &op->response);
}

static bool run(struct shard *owner, struct scatter_part *scatter_part, struct partition *p)
{
    struct dirs_part *part = CONTAINER_OF(scatter_part, struct dirs_part, scatter);
    struct partition_view view;

    if (!p)
        return false;
    partition_get(p, &view);
    part->out->partition_size = (int64_t)partition_size_bytes(p);
    part->out->offset_lag = MAX(view.high_watermark - view.log_end, 0);
    return false;
}

/* Adds what is here; what is not is left out, as Kafka does. */
static void add_partition(struct dirs_op *op, struct kafka_describe_log_dirs_response_topic *out,
                          int32_t index)
{
    struct request *rq = op->scatter.rq;
    struct partition_place place;

    if (partition_place_find(rq->shard, false, out->name, (struct uuid){0}, index, &place) != KAFKA_NONE)
        return;
    struct dirs_part *part = arena_calloc(&rq->arena, 1, sizeof(*part));
    if (part) {
        part->out = &out->partitions[out->partitions_count++];
        kafka_describe_log_dirs_response_partition_init(part->out);
        part->out->partition_index = index;
    }
    op->failed |= !part || !scatter_add(&op->scatter, &part->scatter, &place);
}

/* Of a topic, the partitions of the list, or all: count is ALL. */
static void add_topic(struct dirs_op *op, struct str name, const int32_t *indexes, int32_t count)
{
    struct request *rq = op->scatter.rq;
    const struct image_topic *topic = image_topic_by_name(rq->shard->image, name);
    struct kafka_describe_log_dirs_response_topic *out = &op->result.topics[op->result.topics_count];
    int32_t room = count == ALL && topic ? topic->partitions_count : MAX(count, 0);

    if (!topic || op->failed)
        return;
    kafka_describe_log_dirs_response_topic_init(out);
    out->name = name;
    out->partitions = arena_calloc(&rq->arena, (size_t)room, sizeof(*out->partitions));
    op->failed |= out->partitions == NULL;
    for (int32_t i = 0; !op->failed && i < room; i++)
        add_partition(op, out, count == ALL ? i : indexes[i]);
    op->result.topics_count += out->partitions_count > 0;
}

static bool add_each(void *ctx, const struct image_topic *topic)
{
    struct dirs_op *op = ctx;

    add_topic(op, topic->name, NULL, ALL);
    return !op->failed;
}

static void lay_out(struct dirs_op *op, const struct kafka_describe_log_dirs_request *request)
{
    struct shard *shard = op->scatter.rq->shard;
    bool all = request->topics == NULL && request->topics_count < 0;
    size_t topics = all ? image_topic_count(shard->image) : (size_t)MAX(request->topics_count, 0);

    op->result.topics = arena_calloc(&op->scatter.rq->arena, topics, sizeof(*op->result.topics));
    op->failed = op->result.topics == NULL;
    if (all && !op->failed)
        image_each_topic(shard->image, add_each, op);
    for (int32_t t = 0; !all && !op->failed && t < (int32_t)topics; t++)
        add_topic(op, request->topics[t].topic, request->topics[t].partitions,
                  request->topics[t].partitions_count);
}

static void describe_dir(struct dirs_op *op)
{
    const struct broker_shared *broker = op->scatter.rq->shard->broker;
    uint64_t free_bytes, total_bytes;

    op->result.log_dir = str_from(broker->guard.path);
    if (env_disk_space(op->scatter.rq->shard->env, broker->guard.path, &free_bytes, &total_bytes) != OK)
        return; /* -1: not known */
    op->result.total_bytes = (int64_t)total_bytes;
    op->result.usable_bytes = (int64_t)free_bytes;
}

void handle_describe_log_dirs(struct request *rq)
{
    struct kafka_describe_log_dirs_request *request = request_decode(rq, describe_log_dirs);
    struct dirs_op *op = request ? arena_calloc(&rq->arena, 1, sizeof(*op)) : NULL;

    if (!request)
        return;
    if (op) {
        scatter_init(&op->scatter, rq, run, finish);
        kafka_describe_log_dirs_response_init(&op->response);
        kafka_describe_log_dirs_response_result_init(&op->result);
        op->response.results = &op->result;
        op->response.results_count = 1;
        describe_dir(op);
        lay_out(op, request);
    }
    if (!op || op->failed)
        request_refuse(rq, "out of memory");
    else
        scatter_run(&op->scatter);
}
