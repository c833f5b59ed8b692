/* SPDX-License-Identifier: Apache-2.0 */
/* Questions about offsets: by epoch, by time, and the log start. */
#include "broker/shard/partition_internal.h"
#include "common/base/assert.h"
#include "common/batch/record.h"
#include "proto/kafka/error.h"

/* Kafka's special timestamps of ListOffsets. */
enum list_offsets_special {
    LIST_LATEST = -1,
    LIST_EARLIEST = -2,
    LIST_MAX_TIMESTAMP = -3,  /* KIP-734 */
    LIST_EARLIEST_LOCAL = -4, /* KIP-405 */
    LIST_LATEST_TIERED = -5,  /* KIP-1005 */
};

struct listed {
    int64_t offset, timestamp;
    int32_t leader_epoch;
};

int16_t partition_epoch_end(struct partition *p, int32_t current_leader_epoch, int32_t epoch,
                            int32_t *ret_epoch, int64_t *ret_end_offset)
{
    int16_t error = partition_check_leader(p, current_leader_epoch);
    if (error == KAFKA_NONE)
        epoch_cache_end(plog_epochs(p->log), epoch, p->core.log_end, ret_epoch, ret_end_offset);
    return error;
}

static void list_at(struct partition *p, int64_t offset, struct listed *ret)
{
    ret->offset = offset;
    ret->timestamp = -1;
    ret->leader_epoch = epoch_cache_at(plog_epochs(p->log), offset);
}

/* The first record of the batch that is not before `timestamp` (and not below the log start). */
static enum err find_record(struct partition *p, const uint8_t *batch, int64_t timestamp, struct listed *ret)
{
    struct batch_iter it;
    struct record record;
    int err = batch_iter_init(&it, batch, p->host->scratch);
    if (err != OK)
        return err;
    while (batch_iter_next(&it, &record)) {
        if (record.timestamp < timestamp || record.offset < p->core.log_start)
            continue;
        ret->offset = record.offset;
        ret->timestamp = record.timestamp;
        ret->leader_epoch = batch_leader_epoch(batch);
        return OK;
    }
    return it.r.err ? it.r.err : ERR_NOT_FOUND;
}

static enum err find_in_batch(struct partition *p, int64_t base_offset, int64_t timestamp, struct listed *ret)
{
    struct plog_piece piece;
    enum err err = plog_read(p->log, MAX(base_offset, p->core.log_start), p->core.log_end, 0, true, &piece);
    if (err || piece.len == 0)
        return err ? err : ERR_NOT_FOUND;
    err = find_record(p, piece.p, timestamp, ret);
    iobuf_unref(piece.owner);
    return err;
}

static enum err list_by_time(struct partition *p, int64_t timestamp, struct listed *ret)
{
    int64_t base_offset;
    enum err err = plog_find_time(p->log, timestamp, &base_offset);
    return err ? err : find_in_batch(p, base_offset, timestamp, ret);
}

static enum err list_max_time(struct partition *p, struct listed *ret)
{
    int64_t timestamp, last_offset;
    enum err err = plog_max_time(p->log, &timestamp, &last_offset);
    return err ? err : find_in_batch(p, last_offset, timestamp, ret);
}

static int16_t list_error(struct partition *p, enum err err, struct listed *ret)
{
    *ret = (struct listed){-1, -1, -1};
    if (err == ERR_NOT_FOUND)
        return KAFKA_NONE;
    if (plog_failed(p->log)) {
        partition_fail(p, err);
        return KAFKA_KAFKA_STORAGE_ERROR;
    }
    return err == ERR_NOMEM || err == ERR_FD_LIMIT ? KAFKA_UNKNOWN_SERVER_ERROR : KAFKA_CORRUPT_MESSAGE;
}

/* A new leader does not know its high watermark until its followers have fetched in this epoch: "latest"
 * would go back. */
static bool high_watermark_unknown(const struct partition *p, int32_t replica_id)
{
    return replica_id < 0 && p->core.high_watermark < p->core.epoch_start;
}

/* What this reader may see. */
static int64_t end_for(struct partition *p, bool read_committed, int32_t replica_id)
{
    if (replica_id >= 0)
        return p->core.log_end;
    return read_committed ? partition_last_stable(p) : p->core.high_watermark;
}

static int16_t list_found(struct partition *p, int64_t timestamp, bool read_committed, int32_t replica_id,
                          struct listed *ret)
{
    enum err err = timestamp == LIST_MAX_TIMESTAMP ? list_max_time(p, ret) : list_by_time(p, timestamp, ret);
    int64_t bound = end_for(p, read_committed, replica_id);
    if (err)
        return list_error(p, err, ret);
    if (ret->offset < bound)
        return KAFKA_NONE;
    *ret = (struct listed){-1, -1, -1};
    return high_watermark_unknown(p, replica_id) ? KAFKA_OFFSET_NOT_AVAILABLE : KAFKA_NONE;
}

static int16_t list(struct partition *p, int64_t timestamp, bool read_committed, int32_t replica_id,
                    struct listed *ret)
{
    *ret = (struct listed){-1, -1, -1};
    switch (timestamp) {
    case LIST_LATEST:
        if (high_watermark_unknown(p, replica_id))
            return KAFKA_OFFSET_NOT_AVAILABLE;
        list_at(p, end_for(p, read_committed, replica_id), ret);
        return KAFKA_NONE;
    case LIST_EARLIEST:
    case LIST_EARLIEST_LOCAL: list_at(p, p->core.log_start, ret); return KAFKA_NONE;
    case LIST_LATEST_TIERED: return KAFKA_NONE;
    default: return list_found(p, timestamp, read_committed, replica_id, ret);
    }
}

int16_t partition_list_offset(struct partition *p, int64_t timestamp, bool read_committed, int32_t replica_id,
                              int32_t current_leader_epoch, int64_t *ret_offset, int64_t *ret_timestamp,
                              int32_t *ret_leader_epoch)
{
    struct listed listed;
    int16_t error = partition_check_leader(p, current_leader_epoch);
    if (error == KAFKA_NONE)
        error = list(p, timestamp, read_committed, replica_id, &listed);
    if (error != KAFKA_NONE)
        return error;
    *ret_offset = listed.offset;
    *ret_timestamp = listed.timestamp;
    *ret_leader_epoch = listed.leader_epoch;
    return KAFKA_NONE;
}

int16_t partition_delete_records(struct partition *p, int64_t before_offset, int64_t *ret_low_watermark)
{
    int16_t error = partition_check_leader(p, -1);
    if (error != KAFKA_NONE)
        return error;
    if (p->config.compacted && !p->config.deletes)
        return KAFKA_POLICY_VIOLATION;
    int64_t offset = before_offset == -1 ? p->core.high_watermark : before_offset;
    if (offset < 0 || offset > p->core.high_watermark)
        return KAFKA_OFFSET_OUT_OF_RANGE;
    if (offset > p->core.log_start && partition_move_start(p, offset) != OK)
        return KAFKA_KAFKA_STORAGE_ERROR;
    *ret_low_watermark = p->core.log_start;
    return KAFKA_NONE;
}
