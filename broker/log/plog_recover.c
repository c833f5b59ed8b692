/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a log that exists: which batches are good, where it ends, and whether bad bytes are a torn tail
 * (cut) or damage (refused). DESIGN, Damage or torn tail. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/log/plog_internal.h"
#include "common/base/assert.h"

/* One segment being scanned. */
struct scan {
    struct plog *log;
    struct plog_segment *seg;
    struct plog_report *report;
    bool clean;             /* the last stop was clean: bad bytes are damage */
    int64_t recovery_point; /* offsets below it were synced */
    int32_t place;          /* of seg in the log's list */
    int64_t expected;       /* offset of the next batch */
};

static enum err damage(struct scan *scan, uint32_t position, const char *what)
{
    snprintf(scan->report->damage, PLOG_DAMAGE_TEXT_MAX,
             "%020" PRId64 ".log position %" PRIu32 " offset %" PRId64 ": %s", scan->seg->base_offset,
             position, scan->expected, what);
    return ERR_CORRUPT;
}

static bool is_last(const struct scan *scan)
{
    return scan->place + 1 == scan->log->segments_count;
}

/* Whether a segment holds any good batch beyond `after`. */
static enum err holds_batch(struct scan *scan, struct plog_segment *seg, bool *ret_found)
{
    struct plog_walk walk;
    struct batch_header batch;
    uint32_t position;
    enum err err = plog_walk_begin(&walk, scan->log, seg, 0, true);
    if (err == OK)
        err = plog_walk_next(&walk, &batch, NULL);
    *ret_found = err == OK;
    if (err == ERR_CORRUPT || err == ERR_TRUNCATED)
        err = plog_walk_search(&walk, scan->expected, ret_found, &position);
    plog_walk_end(&walk);
    return err == ERR_NOT_FOUND ? OK : err;
}

/* walk stands on the bad bytes; NULL: the segment simply ends. */
static enum err good_batch_behind(struct scan *scan, struct plog_walk *walk, bool *ret_found)
{
    uint32_t position;
    *ret_found = false;
    enum err err = walk ? plog_walk_search(walk, scan->expected, ret_found, &position) : OK;
    for (int32_t i = scan->place + 1; i < scan->log->segments_count && err == OK && !*ret_found; i++)
        err = holds_batch(scan, &scan->log->segments[i], ret_found);
    return err;
}

/* Removes what lies behind position, in this segment and the later ones: no good batch is among it. */
static enum err cut_tail(struct scan *scan, uint32_t position)
{
    struct plog *log = scan->log;
    struct env_file *file;
    scan->report->cut_bytes += scan->seg->size - position;
    for (int32_t i = scan->place + 1; i < log->segments_count; i++)
        scan->report->cut_bytes += log->segments[i].size;
    enum err err = plog_segments_remove(log, scan->place + 1, log->segments_count - scan->place - 1);
    if (err == OK)
        err = plog_segment_file(log, scan->seg, &file);
    if (err == OK)
        err = env_file_truncate(file, position);
    if (err)
        return err;
    scan->seg->size = position;
    scan->seg->dirty = true;
    return OK;
}

/* The bytes at position are no good batch, or offsets are missing there (walk NULL). */
static enum err judge(struct scan *scan, struct plog_walk *walk, uint32_t position)
{
    bool found;
    if (scan->clean)
        return damage(scan, position, "bad or missing batch in a log that was closed cleanly");
    if (scan->expected < scan->recovery_point)
        return damage(scan, position, "bad or missing batch below the recovery point");
    enum err err = good_batch_behind(scan, walk, &found);
    if (err)
        return err;
    if (found)
        return damage(scan, position, "bad or missing batch with a good one behind it");
    return cut_tail(scan, position);
}

/* What the checksum does not cover: base offset and leader epoch. */
static bool fits(struct scan *scan, const struct batch_header *batch, bool below_scan)
{
    if (below_scan)
        return true;
    if (batch->base_offset < scan->expected)
        return false;
    if (batch->base_offset > scan->expected && !scan->log->config.may_have_gaps)
        return false;
    return batch->leader_epoch >= 0 &&
           batch->leader_epoch >= epoch_cache_at(&scan->log->epochs, scan->expected);
}

static enum err take_batch(struct scan *scan, const struct batch_header *batch, uint32_t position)
{
    bool changed = false;
    enum err err = plog_index_reserve(scan->seg, 1);
    if (err == OK && batch->leader_epoch > epoch_cache_latest(&scan->log->epochs))
        err = epoch_cache_assign(&scan->log->epochs, batch->leader_epoch, batch->base_offset, &changed);
    if (err)
        return err;
    scan->log->epochs_dirty = scan->log->epochs_dirty || changed;
    plog_index_batch(scan->log, scan->seg, batch, position);
    scan->expected = batch->last_offset + 1;
    scan->report->scanned_bytes += (int64_t)batch->size_bytes;
    return OK;
}

static enum err scan_batches(struct scan *scan, uint32_t from, bool at_index)
{
    struct plog_walk walk;
    struct batch_header batch;
    enum err err = plog_walk_begin(&walk, scan->log, scan->seg, from, true);
    bool first = at_index; /* the indexed batch: its offset is the index's word, checked here */
    while (err == OK) {
        uint32_t position = walk.position;
        err = plog_walk_next(&walk, &batch, NULL);
        if (err == OK && !fits(scan, &batch, first)) {
            walk.position = position;
            err = ERR_CORRUPT;
        }
        if (err == OK)
            err = take_batch(scan, &batch, position);
        first = false;
    }
    if (err == ERR_CORRUPT || err == ERR_TRUNCATED)
        err = judge(scan, &walk, walk.position);
    plog_walk_end(&walk);
    return err == ERR_NOT_FOUND ? OK : err;
}

/* Loads the index below the scan's beginning and positions there; an index that does not fit is dropped and
 * the whole segment is scanned. */
static enum err begin_at_index(struct scan *scan, int64_t max_offset, uint32_t *ret_position)
{
    struct plog_segment *seg = scan->seg;
    struct plog_walk walk;
    struct batch_header batch;
    *ret_position = 0;
    enum err err = plog_index_load(scan->log, seg, max_offset, seg->size);
    if (err || seg->index.offsets_count == 0)
        return err;
    struct offset_entry e = seg->index.offsets[seg->index.offsets_count - 1];
    err = plog_walk_begin(&walk, scan->log, seg, e.position, true);
    if (err == OK)
        err = plog_walk_next(&walk, &batch, NULL);
    plog_walk_end(&walk);
    if (err == OK && batch.last_offset == seg->base_offset + (int64_t)e.delta) {
        *ret_position = e.position;
        seg->index.offsets_count--; /* the scan adds it again */
        seg->index.offsets_flushed = seg->index.offsets_count;
        return OK;
    }
    if (err && err != ERR_CORRUPT && err != ERR_TRUNCATED)
        return err;
    seg->index.offsets_count = seg->index.times_count = 0;
    seg->index.offsets_flushed = seg->index.times_flushed = 0;
    return OK;
}

static void begin_times(struct plog_segment *seg)
{
    const struct plog_index *index = &seg->index;
    seg->max_timestamp = -1;
    seg->max_timestamp_offset = seg->base_offset;
    if (index->times_count > 0) {
        seg->max_timestamp = index->times[index->times_count - 1].timestamp;
        seg->max_timestamp_offset = seg->base_offset + (int64_t)index->times[index->times_count - 1].delta;
    }
}

static enum err scan_segment(struct scan *scan, int64_t from_offset)
{
    struct plog_segment *seg = scan->seg;
    uint32_t position;
    enum err err = begin_at_index(scan, from_offset, &position);
    if (err)
        return err;
    begin_times(seg);
    seg->verified_from = position;
    seg->times_known = true;
    seg->since_index = position > 0 ? (uint32_t)scan->log->config.index_interval_bytes + 1 : 0;
    scan->expected = seg->base_offset;
    err = scan_batches(scan, position, position > 0);
    bool gap = err == OK && !is_last(scan) && scan->expected != seg[1].base_offset;
    if (gap && !scan->log->config.may_have_gaps)
        err = judge(scan, NULL, seg->size);
    if (err)
        return err;
    seg->index.trusted = true;
    return is_last(scan) ? OK : plog_index_flush(scan->log, seg, true);
}

static enum err scan_from(struct plog *log, const struct plog_setup *setup, int32_t from,
                          struct plog_report *report)
{
    for (int32_t i = from; i < log->segments_count; i++) {
        struct scan scan = {.log = log,
                            .seg = &log->segments[i],
                            .report = report,
                            .clean = setup->clean,
                            .recovery_point = setup->recovery_point,
                            .place = i};
        int64_t from_offset = setup->clean ? INT64_MAX : setup->recovery_point;
        enum err err = scan_segment(&scan, from_offset);
        if (err)
            return err;
        if (!is_last(&scan))
            plog_index_drop(scan.seg);
        log->end = scan.expected;
    }
    return OK;
}

static enum err rebuild_epochs_segment(struct plog *log, struct plog_segment *seg)
{
    struct plog_walk walk;
    struct batch_header batch;
    enum err err = plog_walk_begin(&walk, log, seg, 0, false);
    while (err == OK) {
        err = plog_walk_next(&walk, &batch, NULL);
        if (err == OK && batch.leader_epoch > epoch_cache_latest(&log->epochs))
            err = epoch_cache_assign(&log->epochs, batch.leader_epoch, batch.base_offset, NULL);
    }
    plog_walk_end(&walk);
    return err == ERR_NOT_FOUND || err == ERR_CORRUPT || err == ERR_TRUNCATED ? OK : err;
}

enum err plog_rebuild_epochs(struct plog *log)
{
    enum err err = OK;
    epoch_cache_clear(&log->epochs);
    for (int32_t i = 0; i < log->segments_count && err == OK; i++)
        err = rebuild_epochs_segment(log, &log->segments[i]);
    log->epochs_dirty = true;
    return err;
}

/* The checkpoint may speak of epochs whose data did not survive, or be unusable. */
static enum err load_epochs(struct plog *log, struct plog_report *report)
{
    enum err err = plog_epochs_load(log);
    if (err == OK)
        return OK;
    if (err != ERR_NOT_FOUND && err != ERR_MALFORMED && err != ERR_VERSION)
        return err;
    report->rebuilt_epochs = !report->created;
    return plog_rebuild_epochs(log);
}

/* Entries at or above the place where the scan begins are taken from the batches again. */
static void forget_scanned_epochs(struct plog *log, int64_t from_offset)
{
    if (epoch_cache_truncate_end(&log->epochs, from_offset))
        log->epochs_dirty = true;
}

enum err plog_recover(struct plog *log, const struct plog_setup *setup, struct plog_report *report)
{
    int64_t point = MAX(setup->recovery_point, log->start); /* below it files may be missing */
    int32_t from = setup->clean ? log->segments_count - 1 : plog_segment_find(log, point);
    enum err err = load_epochs(log, report);
    if (err)
        return err;
    if (!setup->clean)
        forget_scanned_epochs(log, MAX(point, log->segments[from].base_offset));
    for (int32_t i = 0; i < from; i++)
        log->segments[i].verified_from = log->segments[i].size;
    err = scan_from(log, setup, from, report);
    if (err)
        return err;
    struct plog_segment *active = plog_active(log);
    active->index.in_memory = true;
    report->missing_from = log->end < setup->recovery_point ? log->end : -1;
    if (epoch_cache_truncate_end(&log->epochs, log->end + 1))
        log->epochs_dirty = true;
    return OK;
}

/* Index of a closed segment from its batches; files are replaced. */
enum err plog_rebuild_index(struct plog *log, struct plog_segment *seg)
{
    struct plog_walk walk;
    struct batch_header batch;
    ASSERT(!seg->index.in_memory);
    plog_index_drop(seg);
    seg->index.in_memory = true;
    seg->since_index = 0;
    seg->max_timestamp = -1;
    enum err err = plog_walk_begin(&walk, log, seg, 0, false);
    while (err == OK) {
        uint32_t position = walk.position;
        err = plog_walk_next(&walk, &batch, NULL);
        if (err == OK)
            err = plog_index_reserve(seg, 1);
        if (err == OK)
            plog_index_batch(log, seg, &batch, position);
    }
    plog_walk_end(&walk);
    if (err == ERR_NOT_FOUND)
        err = plog_index_rewrite(log, seg);
    plog_index_drop(seg);
    seg->index.trusted = err == OK;
    seg->times_known = err == OK;
    return err;
}
