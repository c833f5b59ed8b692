/* SPDX-License-Identifier: Apache-2.0 */
/* Questions about offsets: by epoch, by time, and the log start. */
#include "broker/log/plog_aside.h"
#include "broker/shard/partition_internal.h"
#include "broker/shard/partition_lookup.h"
#include "common/base/assert.h"
#include "common/base/mutant.h"
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

#define LOOKUP_TRIES 8 /* the log may be cut under a lookup */

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

/* The first record of the batch that is late enough, and not below the log start. ERR_STALE: there is none,
 * the log start is within the batch or has moved beyond it; who comes behind it may be late enough. */
static enum err find_record(struct partition *p, struct partition_lookup *lookup, const uint8_t *batch,
                            struct listed *ret)
{
    struct batch_iter it;
    struct record record;
    bool max = lookup->timestamp == LIST_MAX_TIMESTAMP;
    int64_t timestamp = max ? batch_max_timestamp(batch) : lookup->timestamp;
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
    lookup->from = batch_next_offset(batch);
    if (it.r.err || max || MUTANT(LOOKUP_MISSES_START))
        return it.r.err ? it.r.err : ERR_NOT_FOUND;
    return ERR_STALE;
}

static int16_t list_error(struct partition *p, enum err err, struct listed *ret)
{
    *ret = (struct listed){-1, -1, -1};
    if (err == ERR_NOT_FOUND)
        return KAFKA_NONE;
    if (plog_failed(p->log) || err == ERR_IO) { /* what cannot be read is not served (fault catalogue, D3) */
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

/* What was found counts only where this reader may see it. */
static int16_t bound_found(struct partition *p, struct partition_lookup *lookup, struct listed *found)
{
    bool seen = found->offset < end_for(p, lookup->read_committed, lookup->replica_id);
    if (seen || MUTANT(LOOKUP_PAST_HIGH_WATERMARK))
        return KAFKA_NONE;
    *found = (struct listed){-1, -1, -1};
    return high_watermark_unknown(p, lookup->replica_id) ? KAFKA_OFFSET_NOT_AVAILABLE : KAFKA_NONE;
}

static void answer(struct partition_lookup *lookup, int16_t error, const struct listed *found)
{
    lookup->error = error;
    lookup->offset = error == KAFKA_NONE ? found->offset : -1;
    lookup->found_timestamp = error == KAFKA_NONE ? found->timestamp : -1;
    lookup->leader_epoch = error == KAFKA_NONE ? found->leader_epoch : -1;
}

/* -- by time, aside -- */

static bool ask(struct partition *p, struct partition_lookup *lookup);

static void settle(struct partition_lookup *lookup, int16_t error, const struct listed *found)
{
    list_remove(&lookup->link);
    lookup->partition = NULL;
    lookup->aside = NULL;
    answer(lookup, error, found);
    lookup->done(lookup);
}

/* The log may have been cut, or the leader may have changed, while the disk was read. */
static int16_t judge(struct partition *p, struct partition_lookup *lookup, enum err err, struct listed *found)
{
    int16_t error = partition_check_leader(p, lookup->current_leader_epoch);
    if (error != KAFKA_NONE)
        return error;
    if (err == ERR_STALE)
        return KAFKA_OFFSET_NOT_AVAILABLE;
    return err ? list_error(p, err, found) : bound_found(p, lookup, found);
}

static void looked(void *ctx, const struct plog_aside_result *result)
{
    struct partition_lookup *lookup = ctx;
    struct partition *p = lookup->partition;
    struct listed found = {-1, -1, -1};
    enum err err = result->err ? result->err : find_record(p, lookup, result->batch, &found);
    bool again = (err == ERR_STALE || err == ERR_FD_LIMIT) && lookup->tries < LOOKUP_TRIES;
    if (again && ask(p, lookup))
        return;
    settle(lookup, judge(p, lookup, err, &found), &found);
}

/* False: it could not begin. */
static bool ask(struct partition *p, struct partition_lookup *lookup)
{
    lookup->tries++;
    if (lookup->timestamp == LIST_MAX_TIMESTAMP)
        return plog_aside_start(p->log, PLOG_ASIDE_MAX, 0, looked, lookup, &lookup->aside) == OK;
    return plog_aside_find(p->log, lookup->timestamp, lookup->from, looked, lookup, &lookup->aside) == OK;
}

void partition_lookups_fail(struct partition *p, int16_t error)
{
    struct listed nothing = {-1, -1, -1};
    while (!list_empty(&p->lookups)) {
        struct partition_lookup *lookup = CONTAINER_OF(p->lookups.next, struct partition_lookup, link);
        plog_aside_cancel(lookup->aside);
        settle(lookup, error, &nothing);
    }
}

bool partition_lookup_cancel(struct partition_lookup *lookup)
{
    if (lookup->partition == NULL)
        return false;
    plog_aside_cancel(lookup->aside);
    list_remove(&lookup->link);
    lookup->partition = NULL;
    lookup->aside = NULL;
    return true;
}

/* -- all of it -- */

static int16_t list_special(struct partition *p, const struct partition_lookup *lookup, struct listed *found)
{
    switch (lookup->timestamp) {
    case LIST_LATEST:
        if (high_watermark_unknown(p, lookup->replica_id))
            return KAFKA_OFFSET_NOT_AVAILABLE;
        list_at(p, end_for(p, lookup->read_committed, lookup->replica_id), found);
        return KAFKA_NONE;
    case LIST_EARLIEST:
    case LIST_EARLIEST_LOCAL: list_at(p, p->core.log_start, found); return KAFKA_NONE;
    default: return KAFKA_NONE; /* LIST_LATEST_TIERED: there are no tiers */
    }
}

static bool is_special(int64_t timestamp)
{
    return timestamp == LIST_LATEST || timestamp == LIST_EARLIEST || timestamp == LIST_EARLIEST_LOCAL ||
           timestamp == LIST_LATEST_TIERED;
}

bool partition_list_offset(struct partition *p, struct partition_lookup *lookup)
{
    struct listed found = {-1, -1, -1};
    int16_t error = partition_check_leader(p, lookup->current_leader_epoch);
    lookup->partition = NULL;
    lookup->aside = NULL;
    lookup->tries = 0;
    lookup->from = 0;
    list_init(&lookup->link);
    if (error == KAFKA_NONE && is_special(lookup->timestamp))
        error = list_special(p, lookup, &found);
    else if (error == KAFKA_NONE && ask(p, lookup)) {
        lookup->partition = p;
        list_push_back(&p->lookups, &lookup->link);
        return true;
    } else if (error == KAFKA_NONE)
        error = KAFKA_UNKNOWN_SERVER_ERROR;
    answer(lookup, error, &found);
    return false;
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
