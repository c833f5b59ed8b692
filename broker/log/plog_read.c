/* SPDX-License-Identifier: Apache-2.0 */
/* Where batches are: by offset without reading, and by time. */
#include "broker/log/plog_internal.h"
#include "common/base/assert.h"

/* Exact start of the batch that holds offset, when it is among the last few. */
bool plog_recent_position(const struct plog *log, int64_t offset, uint32_t *ret_position)
{
    uint32_t kept = MIN(log->recent_count, PLOG_RECENT);
    for (uint32_t i = 1; i <= kept; i++) {
        const struct plog_recent *r = &log->recent[(log->recent_count - i) % PLOG_RECENT];
        if (r->base_offset <= offset) {
            *ret_position = r->position;
            return true;
        }
    }
    return false;
}

/* Position of offset without I/O, not beyond the true one. */
static uint32_t near_position(struct plog *log, int32_t place, int64_t offset)
{
    struct plog_segment *seg = &log->segments[place];
    uint32_t position = 0;
    if (offset >= plog_segment_end(log, place))
        return seg->size;
    if (seg->index.in_memory && !(seg == plog_active(log) && plog_recent_position(log, offset, &position)))
        plog_index_lookup(log, seg, offset, &position);
    return position;
}

int64_t plog_estimate(struct plog *log, int64_t offset, int64_t end_offset)
{
    if (offset >= end_offset || offset < log->start)
        return 0;
    int32_t first = plog_segment_find(log, offset), last = plog_segment_find(log, end_offset);
    int64_t bytes = -(int64_t)near_position(log, first, offset);
    for (int32_t i = first; i < last; i++)
        bytes += log->segments[i].size;
    bytes += near_position(log, last, end_offset);
    return MAX(bytes, 1);
}

/* -- by time -- */

/* The largest timestamp of a segment; a closed one keeps it as the last entry of its time index. */
/* Whether the last entry of the time index is what the batch at its offset says, and from there to the end of
 * the segment what the largest timestamp is: entries may be missing, or zeros after a power cut, and
 * retention removes data by them. */
static enum err times_from(struct plog *log, struct plog_segment *seg, struct time_entry *e, bool *ret_true)
{
    struct plog_walk walk;
    struct batch_header batch;
    uint32_t position = 0;
    int64_t offset = seg->base_offset + (int64_t)e->delta;
    enum err err = plog_index_lookup(log, seg, offset, &position);
    *ret_true = false;
    if (err == OK)
        err = plog_walk_begin(&walk, log, seg, position, false);
    if (err)
        return err;
    while ((err = plog_walk_next(&walk, &batch, NULL)) == OK) {
        if (batch.last_offset < offset)
            continue;
        if (!*ret_true && batch.max_timestamp != e->timestamp)
            break;
        *ret_true = true;
        if (batch.max_timestamp > e->timestamp)
            *e = (struct time_entry){.timestamp = batch.max_timestamp,
                                     .delta = (uint32_t)(batch.last_offset - seg->base_offset)};
    }
    plog_walk_end(&walk);
    return err == ERR_NOT_FOUND ? OK : err;
}

/* Of a closed segment that was active when its log was opened: an index says that its newest record is still
 * to come, which one bit can do, and retention would wait for it. */
static bool is_doubtful(struct plog *log, const struct plog_segment *seg)
{
    return !seg->times_exact && seg != plog_active(log) && seg->max_timestamp > env_wall_ms(log->env);
}

enum err plog_segment_times(struct plog *log, struct plog_segment *seg)
{
    struct time_entry e;
    bool is_true = false;
    if (seg->times_known && !is_doubtful(log, seg))
        return OK;
    if (log->asides.no_block)
        return plog_aside_begin(log, PLOG_ASIDE_LEARN, seg);
    if (plog_index_time(log, seg, INT64_MAX, &e)) {
        enum err err = times_from(log, seg, &e, &is_true);
        if (err && err != ERR_CORRUPT && err != ERR_TRUNCATED)
            return err;
        if (err)
            is_true = false;
    }
    if (!is_true)
        return seg->size > 0 ? plog_rebuild_index(log, seg) : OK;
    seg->max_timestamp = e.timestamp;
    seg->max_timestamp_offset = seg->base_offset + (int64_t)e.delta;
    seg->times_known = seg->times_exact = true;
    return OK;
}

static enum err find_in_segment(struct plog *log, struct plog_segment *seg, int64_t timestamp,
                                int64_t *ret_base_offset)
{
    struct time_entry e;
    struct plog_walk walk;
    struct batch_header batch;
    uint32_t position = 0;
    enum err err = OK;
    if (plog_index_time(log, seg, timestamp, &e))
        err = plog_index_lookup(log, seg, seg->base_offset + (int64_t)e.delta, &position);
    if (err == OK)
        err = plog_walk_begin(&walk, log, seg, position, false);
    if (err)
        return err;
    while ((err = plog_walk_next(&walk, &batch, NULL)) == OK)
        if (batch.max_timestamp >= timestamp && batch.last_offset >= log->start)
            break;
    plog_walk_end(&walk);
    if (err == OK)
        *ret_base_offset = batch.base_offset;
    return err;
}

enum err plog_find_time(struct plog *log, int64_t timestamp, int64_t *ret_base_offset)
{
    if (log->failed)
        return log->failed;
    for (int32_t i = 0; i < log->segments_count; i++) {
        struct plog_segment *seg = &log->segments[i];
        enum err err = plog_segment_times(log, seg);
        if (err == OK && seg->max_timestamp >= timestamp && seg->size > 0)
            err = find_in_segment(log, seg, timestamp, ret_base_offset);
        else if (err == OK)
            err = ERR_NOT_FOUND;
        plog_aside_pass(log, seg);
        if (err != ERR_NOT_FOUND)
            return err;
    }
    return ERR_NOT_FOUND;
}

enum err plog_max_time(struct plog *log, int64_t *ret_timestamp, int64_t *ret_offset)
{
    int64_t best = -1;
    for (int32_t i = 0; i < log->segments_count; i++) {
        struct plog_segment *seg = &log->segments[i];
        enum err err = plog_segment_times(log, seg);
        plog_aside_pass(log, seg);
        if (err)
            return err;
        if (seg->max_timestamp <= best)
            continue;
        best = *ret_timestamp = seg->max_timestamp;
        *ret_offset = seg->max_timestamp_offset;
    }
    return best < 0 ? ERR_NOT_FOUND : OK;
}
