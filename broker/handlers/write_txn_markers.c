/* SPDX-License-Identifier: Apache-2.0 */
/* WriteTxnMarkers: a transaction's outcome for the partitions that this broker leads, from its coordinator,
 * or from an administrator who ends a transaction by hand. */
#include "broker/handlers/handler.h"
#include "broker/handlers/scatter.h"
#include "broker/shard/coordinator.h"
#include "common/base/assert.h"
#include "common/obs/log.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define MARKER_TIMEOUT_MS 8000 /* below the coordinator's patience for an answer */
#define BUMPED_VERSION    2    /* transaction protocol */

struct marker_part {
    struct scatter_part scatter;
    struct partition_wait wait;       /* a plain partition */
    struct coordinator_marker marker; /* a coordinator's */
    struct kafka_write_txn_markers_response_partition *out;
};

struct markers_op {
    struct scatter scatter;
    struct kafka_write_txn_markers_response response;
};

static void finish(struct scatter *scatter)
{
    struct markers_op *op = CONTAINER_OF(scatter, struct markers_op, scatter);

    request_respond(scatter->rq, write_txn_markers, &op->response);
}

static void on_appended(struct partition_wait *wait, int16_t error)
{
    struct marker_part *part = CONTAINER_OF(wait, struct marker_part, wait);

    part->out->error_code = error;
    scatter_part_done(&part->scatter);
}

static void on_marked(struct coordinator_marker *marker, int16_t error)
{
    struct marker_part *part = CONTAINER_OF(marker, struct marker_part, marker);

    part->out->error_code = error;
    scatter_part_done(&part->scatter);
}

static bool run(struct shard *owner, struct scatter_part *scatter_part, struct partition *p)
{
    struct marker_part *part = CONTAINER_OF(scatter_part, struct marker_part, scatter);
    struct coordinator *c = coordinator_find(owner, scatter_part->topic_id, scatter_part->index);
    struct partition_appended result;

    part->out->error_code = KAFKA_NOT_LEADER_OR_FOLLOWER;
    if (!p)
        return false;
    if (c)
        return coordinator_mark(c, &part->marker, MARKER_TIMEOUT_MS, &part->out->error_code);
    part->wait.done = on_appended;
    partition_append_marker(p, &part->marker.marker, MARKER_TIMEOUT_MS, &part->wait, &result);
    part->out->error_code = result.error;
    return result.error == KAFKA_NONE && result.waits;
}

static bool add_partition(struct markers_op *op, const struct kafka_write_txn_markers_request_marker *in,
                          struct str topic, int32_t index,
                          struct kafka_write_txn_markers_response_partition *out)
{
    struct request *rq = op->scatter.rq;
    struct marker_part *part = arena_calloc(&rq->arena, 1, sizeof(*part));
    struct partition_place place;

    if (!part)
        return false;
    out->partition_index = index;
    out->error_code = partition_place_find(rq->shard, false, topic, (struct uuid){0}, index, &place);
    if (out->error_code != KAFKA_NONE)
        return true;
    part->out = out;
    part->marker =
        (struct coordinator_marker){.done = on_marked,
                                    .marker = {.producer_id = in->producer_id,
                                               .producer_epoch = in->producer_epoch,
                                               .coordinator_epoch = in->coordinator_epoch,
                                               .commit = in->transaction_result,
                                               .bumped = in->transaction_version >= BUMPED_VERSION}};
    return scatter_add(&op->scatter, &part->scatter, &place);
}

static bool add_topic(struct markers_op *op, const struct kafka_write_txn_markers_request_marker *in,
                      const struct kafka_write_txn_markers_request_topic *topic,
                      struct kafka_write_txn_markers_response_topic *out)
{
    int32_t count = MAX(topic->partition_indexes_count, 0);

    out->name = topic->name;
    out->partitions = arena_calloc(&op->scatter.rq->arena, (size_t)count, sizeof(*out->partitions));
    for (int32_t i = 0; out->partitions && i < count; i++)
        if (!add_partition(op, in, topic->name, topic->partition_indexes[i],
                           &out->partitions[out->partitions_count++]))
            return false;
    return out->partitions != NULL;
}

static bool add_marker(struct markers_op *op, const struct kafka_write_txn_markers_request_marker *in,
                       struct kafka_write_txn_markers_response_marker *out)
{
    int32_t count = MAX(in->topics_count, 0);

    out->producer_id = in->producer_id;
    out->topics = arena_calloc(&op->scatter.rq->arena, (size_t)count, sizeof(*out->topics));
    for (int32_t t = 0; out->topics && t < count; t++)
        if (!add_topic(op, in, &in->topics[t], &out->topics[out->topics_count++]))
            return false;
    return out->topics != NULL;
}

static bool lay_out(struct markers_op *op, const struct kafka_write_txn_markers_request *request)
{
    int32_t count = MAX(request->markers_count, 0);

    op->response.markers = arena_calloc(&op->scatter.rq->arena, (size_t)count, sizeof(*op->response.markers));
    for (int32_t i = 0; op->response.markers && i < count; i++)
        if (!add_marker(op, &request->markers[i], &op->response.markers[op->response.markers_count++]))
            return false;
    return op->response.markers != NULL;
}

void handle_write_txn_markers(struct request *rq)
{
    struct kafka_write_txn_markers_request *request = request_decode(rq, write_txn_markers);
    struct markers_op *op = request ? arena_calloc(&rq->arena, 1, sizeof(*op)) : NULL;

    if (!request)
        return;
    if (op) {
        scatter_init(&op->scatter, rq, run, finish);
        kafka_write_txn_markers_response_init(&op->response);
    }
    if (!op || !lay_out(op, request))
        request_refuse(rq, "out of memory");
    else
        scatter_run(&op->scatter);
}
