/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a log that exists: which batches are good, where it ends, and whether bad bytes are a torn tail
 * (cut) or damage (refused). DESIGN, Damage or torn tail. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/log/plog_internal.h"
#include "broker/log/plog_torn.h"
#include "common/base/assert.h"

/* One segment being scanned. */
struct scan {
    struct plog *log;
    struct plog_segment *seg;
    struct plog_report *report;
    const struct epoch_cache *old; /* epochs as the checkpoint had them */
    const struct plog_setup *setup;
    int32_t place;    /* of seg in the log's list */
    int64_t expected; /* offset of the next batch */
    int64_t behind;   /* the last batch that was taken, perhaps of another segment */
    bool ended;       /* the log ends here: nothing further on counts */
};

/* Only zeros from position to the end of the segment: room that was made and never written, or lost. */
static enum err only_zeros(struct scan *scan, uint32_t position, bool *ret_zeros)
{
    struct env_file *file;
    uint8_t *buf = malloc(PLOG_CHUNK);
    enum err err = buf ? plog_segment_file(scan->log, scan->seg, &file) : ERR_NOMEM;
    *ret_zeros = true;
    while (err == OK && *ret_zeros && position < scan->seg->size) {
        size_t got = 0;
        err = env_file_read(file, position, buf, MIN(PLOG_CHUNK, scan->seg->size - position), &got);
        if (err == OK && got == 0)
            err = ERR_TRUNCATED;
        *ret_zeros = got == 0 || (buf[0] == 0 && memcmp(buf, buf + 1, got - 1) == 0);
        position += (uint32_t)got;
    }
    free(buf);
    return err;
}

static void note(struct scan *scan, uint32_t position, const char *what)
{
    if (scan->report->damage[0] == 0)
        snprintf(scan->report->damage, PLOG_DAMAGE_TEXT_MAX,
                 "%020" PRId64 ".log position %" PRIu32 " offset %" PRId64 ": %s", scan->seg->base_offset,
                 position, scan->expected, what);
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
        err = plog_walk_search(&walk, scan->expected, INT64_MAX, ret_found, &position);
    plog_walk_end(&walk);
    return err == ERR_NOT_FOUND ? OK : err;
}

static enum err good_batch_later(struct scan *scan, bool *ret_found)
{
    enum err err = OK;
    *ret_found = false;
    for (int32_t i = scan->place + 1; i < scan->log->segments_count && err == OK && !*ret_found; i++)
        err = holds_batch(scan, &scan->log->segments[i], ret_found);
    return err;
}

static enum err cut_segment(struct scan *scan, uint32_t position)
{
    struct env_file *file;
    scan->report->cut_bytes += scan->seg->size - position;
    enum err err = plog_segment_file(scan->log, scan->seg, &file);
    if (err == OK)
        err = env_file_truncate(file, position);
    if (err)
        return err;
    scan->seg->size = scan->seg->allocated = position;
    scan->seg->dirty = true;
    return OK;
}

/* Removes what lies behind position, in this segment and the later ones. */
static enum err cut_tail(struct scan *scan, uint32_t position)
{
    struct plog *log = scan->log;
    scan->ended = true;
    int32_t gone = log->segments_count - scan->place - 1;
    for (int32_t i = scan->place + 1; i < log->segments_count; i++)
        scan->report->cut_bytes += log->segments[i].size;
    enum err err = plog_segments_remove(log, scan->place + 1, gone);
    if (err == OK && gone > 0) /* before anything is written: they must not come back behind other data */
        err = env_dir_sync_wait(log->env, log->dir);
    struct env_file *file;
    if (err == OK)
        err = cut_segment(scan, position);
    if (err == OK)
        err = plog_segment_file(log, scan->seg, &file);
    return err ? err : env_file_sync_wait(file); /* nor may sectors of it come back between new ones */
}

/* Epochs up to `newest` that began in a damaged range, or with batches that compaction took, are known from
 * the checkpoint only. */
static enum err keep_epochs(struct scan *scan, int64_t offset, int64_t end, int32_t newest)
{
    enum err err = OK;
    if (scan->log->epochs_renewed)
        return OK;
    for (uint32_t i = 0; i < scan->old->count && err == OK; i++) {
        const struct epoch_entry *e = &scan->old->entries[i];
        if (e->start_offset >= offset && e->start_offset < end && e->epoch <= newest &&
            e->epoch > epoch_cache_latest(&scan->log->epochs))
            err = epoch_cache_assign(&scan->log->epochs, e->epoch, e->start_offset, NULL);
    }
    return err;
}

static enum err add_damage(struct scan *scan, const struct plog_damage *damage, const char *what)
{
    note(scan, damage->position, what);
    enum err err = plog_damage_add(scan->log, damage);
    if (err == OK)
        err = keep_epochs(scan, damage->offset, damage->end, INT32_MAX);
    scan->report->damages++;
    scan->expected = scan->behind = damage->end;
    return err;
}

/* Synced bytes at the end of the log are bad: they stay, what comes goes to a new segment. */
static enum err damage_to_end(struct scan *scan, const struct plog_damage *rest)
{
    struct plog_damage damage = *rest;
    damage.end = scan->setup->recovery_point;
    damage.size = scan->seg->size - damage.position;
    scan->ended = true;
    return add_damage(scan, &damage, "bad batch below the recovery point");
}

/* Zeros to the end of the last segment are room that was made ahead: the log ends in front of them. */
static void keep_room(struct scan *scan, uint32_t position)
{
    scan->seg->allocated = scan->seg->size;
    scan->seg->size = position;
    scan->ended = true;
}

/* Bytes that all were there once (whole) may have been synced, and promised: who cuts them says so first. */
static enum err cut_bad(struct scan *scan, uint32_t position, bool whole)
{
    enum err err = OK;
    if (whole) {
        scan->report->doubt = true;
        err = plog_doubt_note(scan->log->env, scan->setup->data_dir, scan->setup->name);
    }
    return err ? err : cut_tail(scan, position);
}

/* No batch of this segment follows the bad place, and nothing of the log is to be cut. */
static enum err damage_rest(struct scan *scan, const struct plog_damage *rest)
{
    return is_last(scan) ? damage_to_end(scan, rest)
                         : add_damage(scan, rest, "bad or missing batches at the end of a segment");
}

/* The first offset that cannot be in this segment. */
static int64_t segment_limit(const struct scan *scan)
{
    return is_last(scan) ? INT64_MAX : scan->seg[1].base_offset;
}

/* The recovery point, which was the end of a batch; 0 where it is no more than the log start, which may lie
 * within one. */
static int64_t batch_end_known(const struct scan *scan)
{
    return scan->setup->recovery_point > scan->log->start ? scan->setup->recovery_point : 0;
}

/* The bytes at the walk's position are no good batch, or the segment ends there too early (DESIGN, Damage or
 * torn tail). On OK the scan goes on behind them, unless it ended. */
static enum err judge(struct scan *scan, struct plog_walk *walk)
{
    const struct plog_setup *setup = scan->setup;
    struct plog_damage bad;
    uint32_t position = walk->position;
    int64_t limit = segment_limit(scan);
    bool zeros, later = false, whole = false, unsynced = scan->expected >= setup->recovery_point;
    enum err err = only_zeros(scan, position, &zeros);
    if (err)
        return err;
    if (zeros && is_last(scan)) {
        keep_room(scan, position);
        return OK;
    }
    if (scan->expected == limit) { /* nothing is missing here, there is only something too much */
        scan->report->cut_bytes -= zeros ? scan->seg->size - position : 0;
        return cut_segment(scan, position);
    }
    if (scan->expected > limit) {
        note(scan, position, "the next segment begins before this one ends");
        return unsynced ? cut_tail(scan, position) : ERR_CORRUPT;
    }
    err = plog_damage_measure(scan->log, walk, scan->expected, limit, batch_end_known(scan), &bad);
    bool here = err == OK && bad.position + bad.size < scan->seg->size;
    if (err == OK && !here && unsynced)
        err = good_batch_later(scan, &later);
    if (err == OK && unsynced)
        err = plog_looks_whole(scan->log, scan->seg, position, bad.position + bad.size, &whole);
    if (err)
        return err;
    if (unsynced && ((setup->power_lost && !whole) || !(here || later))) {
        scan->report->cut_good = scan->report->cut_good || here || later;
        return cut_bad(scan, position, whole);
    }
    return here ? add_damage(scan, &bad, "bad or missing batches with good ones behind them")
                : damage_rest(scan, &bad);
}

/* What the checksum does not cover: base offset and leader epoch. The walk stands behind the batch. */
static bool fits(struct scan *scan, const struct plog_walk *walk, const struct batch_header *batch)
{
    if (batch->base_offset < scan->expected)
        return false;
    if (batch->base_offset > scan->expected && !scan->log->config.may_have_gaps)
        return false;
    if (plog_damage_jumps(walk, batch, scan->expected, segment_limit(scan)))
        return false;
    return batch->leader_epoch >= 0 &&
           batch->leader_epoch >= epoch_cache_at(&scan->log->epochs, scan->expected);
}

/* The recovery point was the end of a batch: none reaches over it, and one that skips it, because of missing
 * offsets, has none of those that it skips behind it. (Else the bytes behind it would count as unsynced.) */
static enum err reaches_over(const struct scan *scan, const struct plog_walk *walk,
                             const struct batch_header *batch, bool *ret_over)
{
    int64_t point = batch_end_known(scan);
    *ret_over = batch->base_offset < point && batch->last_offset >= point;
    if (batch->base_offset < point || scan->expected >= point)
        return OK;
    return plog_damage_within(walk, walk->position, scan->expected, batch->last_offset + 1, ret_over);
}

/* A good batch of an older epoch than the checkpoint says: the batches decide, if more than one says so. */
static enum err ask_epochs(struct scan *scan, const struct batch_header *batch)
{
    struct plog *log = scan->log;
    bool renewed;
    int64_t offset = batch->base_offset;
    if (offset < scan->expected || batch->leader_epoch < 0 ||
        batch->leader_epoch >= epoch_cache_at(&log->epochs, offset))
        return OK;
    enum err err = plog_epochs_doubt(log, scan->old, scan->setup->recovery_point, &renewed);
    if (err == OK && renewed)
        epoch_cache_truncate_end(&log->epochs, offset); /* the scan finds the others */
    return err;
}

/* behind: where the batch before it ended, as far as that is known. */
static enum err take_batch(struct scan *scan, const struct batch_header *batch, uint32_t position,
                           int64_t behind)
{
    bool changed = false;
    enum err err = plog_index_reserve(scan->seg, 1);
    if (err == OK)
        err = keep_epochs(scan, scan->behind, batch->base_offset + 1, batch->leader_epoch);
    if (err == OK && batch->leader_epoch > epoch_cache_latest(&scan->log->epochs))
        err = epoch_cache_assign(&scan->log->epochs, batch->leader_epoch, MIN(behind, batch->base_offset),
                                 &changed);
    if (err)
        return err;
    scan->log->epochs_dirty = scan->log->epochs_dirty || changed;
    plog_index_batch(scan->log, scan->seg, batch, position);
    scan->expected = scan->behind = batch->last_offset + 1;
    scan->report->scanned_bytes += (int64_t)batch->size_bytes;
    return OK;
}

static enum err scan_batches(struct scan *scan, uint32_t from, bool at_index)
{
    struct plog_walk walk;
    struct batch_header batch;
    enum err err = plog_walk_begin(&walk, scan->log, scan->seg, from, true);
    bool over, first = at_index; /* the indexed batch: its offset is the index's word, checked here */
    while (err == OK && !scan->ended) {
        uint32_t position = plog_damage_hop(scan->log, scan->seg->base_offset, walk.position);
        if (position != walk.position)
            walk.used = walk.have = 0;
        walk.position = position;
        err = plog_walk_next(&walk, &batch, NULL);
        bool bad = err == ERR_CORRUPT || err == ERR_TRUNCATED;
        /* Also where offsets may be missing: a segment begins where the one before it ended, and nothing that
         * was not synced was compacted. */
        if (err == ERR_NOT_FOUND && !is_last(scan) && scan->expected < scan->seg[1].base_offset)
            bad = !scan->log->config.may_have_gaps || scan->expected >= scan->setup->recovery_point;
        if (err == OK)
            err = ask_epochs(scan, &batch);
        if (err == OK)
            err = reaches_over(scan, &walk, &batch, &over);
        if (err == OK && !first && (over || !fits(scan, &walk, &batch)))
            bad = true;
        if (bad) {
            walk.position = position;
            walk.used = walk.have = 0;
            err = judge(scan, &walk);
            walk.used = walk.have = 0;
            walk.position = position;
            walk.limit = scan->seg->size;
        } else if (err == OK) {
            err = take_batch(scan, &batch, position, first ? batch.base_offset : scan->behind);
        }
        first = false;
    }
    plog_walk_end(&walk);
    return err == ERR_NOT_FOUND ? OK : err;
}

/* Loads the index below the scan's beginning and positions there; an index that does not fit is dropped and
 * the whole segment is scanned. */
static enum err begin_at_index(struct scan *scan, int64_t max_offset, uint32_t *ret_position)
{
    struct plog_segment *seg = scan->seg;
    *ret_position = 0;
    enum err err = plog_index_load(scan->log, seg, max_offset, seg->size);
    if (err || seg->index.offsets_count == 0)
        return err;
    struct offset_entry e = seg->index.offsets[seg->index.offsets_count - 1];
    err = plog_index_check(scan->log, seg, e.position, seg->base_offset + (int64_t)e.delta);
    if (err == OK) {
        *ret_position = e.position;
        seg->index.offsets_count--; /* the scan adds it again */
        seg->index.offsets_flushed = seg->index.offsets_count;
        return OK;
    }
    if (err != ERR_CORRUPT)
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
    seg->times_exact = position == 0;
    seg->times_known = true;
    seg->since_index = position > 0 ? (uint32_t)scan->log->config.index_interval_bytes + 1 : 0;
    scan->expected = seg->base_offset;
    err = scan_batches(scan, position, position > 0);
    if (err)
        return err;
    seg = scan->seg;
    seg->index.trusted = position == 0; /* every entry is the scan's */
    return is_last(scan) ? OK : plog_index_flush(scan->log, seg, true);
}

static enum err scan_from(struct plog *log, const struct plog_setup *setup, int32_t from,
                          const struct epoch_cache *old, struct plog_report *report)
{
    for (int32_t i = from; i < log->segments_count; i++) {
        struct scan scan = {
            .log = log, .seg = &log->segments[i], .report = report, .old = old, .setup = setup, .place = i};
        scan.behind = i > from ? log->end : scan.seg->base_offset;
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

/* The first segments are gone although the log is known to begin in them: an empty one stands for them. */
static enum err mark_missing_start(struct plog *log, const struct plog_setup *setup,
                                   struct plog_report *report)
{
    int64_t base = log->segments[0].base_offset;
    if (setup->log_start >= base || base >= setup->recovery_point || log->config.may_have_gaps)
        return OK;
    enum err err = plog_segment_insert_first(log, setup->log_start);
    if (err)
        return err;
    struct plog_damage damage = {.offset = setup->log_start, .end = base, .segment = setup->log_start};
    log->start = setup->log_start;
    report->damages++;
    snprintf(report->damage, PLOG_DAMAGE_TEXT_MAX,
             "segments between offsets %" PRId64 " and %" PRId64 " are missing", damage.offset, damage.end);
    return plog_damage_add(log, &damage);
}

/* Bad bytes end the log: what comes goes to a segment of its own, so that they stay as they are. */
static enum err leave_bad_tail(struct plog *log)
{
    struct plog_segment *active = plog_active(log);
    const struct plog_damage *last = plog_damage_at(log, log->end - 1, false);
    if (last == NULL || last->segment != active->base_offset || last->position + last->size != active->size)
        return OK;
    enum err err = plog_index_flush(log, active, true);
    if (err)
        return err;
    plog_index_drop(active);
    return plog_segment_add(log, log->end);
}

static enum err scan_log(struct plog *log, const struct plog_setup *setup, struct plog_report *report)
{
    struct epoch_cache old = log->epochs;                   /* as the checkpoint has them */
    int64_t point = MAX(setup->recovery_point, log->start); /* below it files may be missing */
    int32_t from = setup->clean ? log->segments_count - 1 : plog_segment_find(log, point);
    if (!setup->clean && from > 0 && log->segments[from].base_offset >= point)
        from--; /* its end was synced, but perhaps not that it ends there: room was given back after that */
    size_t size = old.count * sizeof(*old.entries);
    old.entries = malloc(size + 1);
    if (old.entries == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < old.count; i++)
        old.entries[i] = log->epochs.entries[i];
    if (!setup->clean)
        forget_scanned_epochs(log, MAX(point, log->segments[from].base_offset));
    for (int32_t i = 0; i < from; i++)
        log->segments[i].verified_from = log->segments[i].size;
    enum err err = scan_from(log, setup, from, &old, report);
    free(old.entries);
    return err;
}

/* No epoch of a log that was closed cleanly begins behind its end: that entry is wrong, and without it the
 * batches of its epoch would count as of the one before. */
static enum err doubt_late_epoch(struct plog *log, const struct plog_setup *setup)
{
    const struct epoch_cache *epochs = &log->epochs;
    bool renewed;
    if (!setup->clean || epochs->count == 0 || epochs->entries[epochs->count - 1].start_offset <= log->end)
        return OK;
    return plog_epochs_doubt(log, NULL, log->end, &renewed);
}

enum err plog_recover(struct plog *log, const struct plog_setup *setup, struct plog_report *report)
{
    enum err err = mark_missing_start(log, setup, report);
    if (err == OK)
        err = load_epochs(log, report);
    if (err == OK)
        err = scan_log(log, setup, report);
    if (err == OK)
        err = leave_bad_tail(log);
    if (err == OK)
        err = doubt_late_epoch(log, setup);
    if (err)
        return err;
    struct plog_segment *active = plog_active(log);
    active->index.in_memory = true;
    log->epochs_asked = false; /* that was before the tail was cut */
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
    if (log->asides.no_block)
        return plog_aside_begin(log, PLOG_ASIDE_INDEX, seg);
    if (plog_is_shadow(&log->asides) && seg->index.in_memory)
        return OK; /* that was done a moment ago */
    ASSERT(!seg->index.in_memory);
    plog_index_drop(seg);
    seg->index.in_memory = true;
    seg->since_index = 0;
    seg->max_timestamp = -1;
    struct plog_line line = {.expected = seg->base_offset};
    enum err err = plog_walk_begin(&walk, log, seg, 0, false);
    while (err == OK) {
        err = plog_damage_walk(log, seg, &walk, &line, &batch);
        if (err == OK)
            err = plog_index_reserve(seg, 1);
        if (err == OK)
            plog_index_batch(log, seg, &batch, line.position);
    }
    plog_walk_end(&walk);
    if (err == ERR_NOT_FOUND)
        err = plog_is_shadow(&log->asides) ? OK : plog_index_rewrite(log, seg);
    if (err || !plog_is_shadow(&log->asides))
        plog_index_drop(seg);
    seg->index.trusted = err == OK;
    seg->times_known = seg->times_exact = err == OK;
    return err;
}

enum err plog_index_renew(struct plog *log, struct plog_segment *seg)
{
    plog_index_drop(seg);
    enum err err = plog_rebuild_index(log, seg);
    if (err || seg != plog_active(log))
        return err;
    return plog_index_load(log, seg, INT64_MAX, UINT32_MAX);
}
