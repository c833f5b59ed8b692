/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions on a partition: what is stable, who may begin one, and the markers that end them. */
#include "broker/shard/partition_internal.h"
#include "common/base/assert.h"
#include "common/base/mutant.h"
#include "common/batch/marker.h"
#include "proto/kafka/error.h"

int64_t partition_last_stable(struct partition *p)
{
    int64_t high = p->core.high_watermark;
    if (p->log == NULL || plog_producers(p->log)->txns_count == 0 || MUTANT(EXPOSE_OPEN_TXN))
        return high;
    if (MUTANT(STABLE_OFFSET_FALLS))
        return p->core.log_start;
    int64_t unstable = producer_state_first_unstable(plog_producers(p->log), high);
    if (MUTANT(FORGET_OPEN_TXN) && unstable < p->core.epoch_start)
        return high;
    return MIN(high, MAX(unstable, p->core.log_start));
}

/* The producer's transaction of this very epoch: one of an older epoch waits for its marker. */
bool partition_txn_is_open(struct partition *p, int64_t producer_id, int16_t epoch)
{
    const struct producer_state *producers = plog_producers(p->log);
    return producer_state_open_txn(producers, producer_id) >= 0 &&
           producer_state_epoch(producers, producer_id) >= epoch;
}

bool partition_txn_begins_for(struct partition *p, int64_t producer_id, struct partition_txn_guard *ret_guard)
{
    if (p->core.failed || p->core.role != REPLICA_LEADER)
        return false; /* whoever appends is told */
    const struct producer_state *producers = plog_producers(p->log);
    *ret_guard =
        (struct partition_txn_guard){.producer_id = producer_id,
                                     .marker_offset = producer_state_last_marker(producers, producer_id),
                                     .leader_epoch = p->core.leader_epoch};
    return producer_state_open_txn(producers, producer_id) < 0;
}

bool partition_txn_begins(struct partition *p, const uint8_t *batch, struct partition_txn_guard *ret_guard)
{
    struct producer_batch original, asked = {.producer_id = batch_producer_id(batch),
                                             .producer_epoch = batch_producer_epoch(batch),
                                             .first_sequence = batch_base_sequence(batch),
                                             .last_sequence = batch_last_sequence(batch),
                                             .transactional = true};
    if (!batch_is_transactional(batch) || asked.producer_id < 0 || asked.first_sequence < 0 ||
        !partition_txn_begins_for(p, asked.producer_id, ret_guard))
        return false;
    enum producer_verdict verdict = producer_state_judge(plog_producers(p->log), &asked, &original);
    return verdict == PRODUCER_APPEND || verdict == PRODUCER_OUT_OF_ORDER;
}

bool partition_txn_holds(struct partition *p, const struct partition_txn_guard *guard)
{
    if (p->core.failed || p->core.role != REPLICA_LEADER || p->core.leader_epoch != guard->leader_epoch)
        return false;
    return producer_state_last_marker(plog_producers(p->log), guard->producer_id) == guard->marker_offset;
}

static int16_t judge(struct partition *p, const struct partition_marker *marker, int64_t *ret_written)
{
    struct producer_marker asked = {.producer_id = marker->producer_id,
                                    .producer_epoch = marker->producer_epoch,
                                    .coordinator_epoch = marker->coordinator_epoch};
    int16_t error = partition_check_leader(p, -1);
    if (error != KAFKA_NONE)
        return error;
    return producer_state_judge_marker(plog_producers(p->log), &asked, marker->bumped, ret_written);
}

void partition_append_marker(struct partition *p, const struct partition_marker *marker, int32_t timeout_ms,
                             struct partition_wait *wait, struct partition_appended *ret)
{
    struct iobuf *batch = NULL;
    struct marker content = {.type = marker->commit ? MARKER_COMMIT : MARKER_ABORT,
                             .coordinator_epoch = marker->coordinator_epoch};
    int64_t written;
    *ret = (struct partition_appended){.base_offset = -1, .log_append_time_ms = -1};
    ret->error = judge(p, marker, &written);
    if (ret->error != KAFKA_NONE)
        return;
    struct partition_append request = {
        .acks = -1, .timeout_ms = timeout_ms, .current_leader_epoch = -1, .internal = true};
    if (written >= 0) { /* it came twice: the promise is that of the first */
        partition_append_wait(p, &request, wait, written + 1, ret);
        return;
    }
    if (marker_build(p->host->env->pool, marker->producer_id, marker->producer_epoch, &content,
                     env_wall_ms(p->host->env), &batch) != OK) {
        ret->error = KAFKA_KAFKA_STORAGE_ERROR; /* out of memory: asked again */
        return;
    }
    request.records = batch->data;
    request.len = (int32_t)batch->len;
    request.owner = batch;
    partition_append(p, &request, wait, ret);
    iobuf_unref(batch);
}

int16_t partition_producers(struct partition *p, void (*each)(void *ctx, const struct producer_info *info),
                            void *ctx)
{
    int16_t error = partition_check_leader(p, -1);
    if (error == KAFKA_NONE)
        producer_state_each(plog_producers(p->log), each, ctx);
    return error;
}
