/* SPDX-License-Identifier: Apache-2.0 */
/* Making a log shorter: at its end (divergence), at its start (retention, DeleteRecords), or altogether. */
#include "broker/log/plog_hooks.h"
#include "broker/log/plog_internal.h"
#include "common/base/assert.h"
#include "common/base/mutant.h"

/* -- producer state -- */

struct snapshot_drop {
    struct plog *log;
    int64_t above;
    enum err err;
};

static bool drop_snapshot(void *ctx, const char *name, bool is_dir)
{
    struct snapshot_drop *drop = ctx;
    char path[PLOG_PATH_MAX];
    int64_t offset;
    if (is_dir || !log_file_name_parse(name, ".snapshot", &offset) || offset <= drop->above)
        return true;
    plog_path_name(drop->log, name, path);
    drop->err = env_unlink(drop->log->env, path);
    drop->log->dir_dirty = true;
    return drop->err == OK;
}

enum err plog_snapshots_drop(struct plog *log, int64_t above)
{
    struct snapshot_drop drop = {.log = log, .above = above};
    enum err err = env_dir_list(log->env, log->dir, drop_snapshot, &drop);
    return err ? err : drop.err;
}

/* -- at the end -- */

/* Where a segment is cut: at the end of its last batch that stays, and the offset behind that. */
struct cut {
    uint32_t position;
    int64_t end;
};

/* find_cut() from a batch on: position 0, or one of which the index says where it begins, and its end.
 * ERR_OUT_OF_RANGE: it ends elsewhere, or is damaged: nothing in front of the cut is known for sure. */
static enum err find_from(struct plog *log, struct plog_segment *seg, struct cut indexed, int64_t offset,
                          struct cut *ret_cut)
{
    uint32_t from = indexed.position;
    struct plog_walk walk;
    struct batch_header batch;
    struct plog_line line = {.expected = from > 0 ? -1 : seg->base_offset, .inside = from > 0};
    enum err err = plog_walk_begin(&walk, log, seg, from, false);
    if (err)
        return err;
    *ret_cut = (struct cut){.position = from, .end = seg->base_offset};
    while ((err = plog_damage_walk(log, seg, &walk, &line, &batch)) == OK && batch.last_offset < offset) {
        *ret_cut = (struct cut){.position = walk.position, .end = batch.last_offset + 1};
        if (from > 0 && line.good == 1 && ret_cut->end != indexed.end)
            break;
    }
    plog_walk_end(&walk);
    if (from > 0 && line.good <= 1 && ret_cut->end != indexed.end)
        return ERR_OUT_OF_RANGE;
    return err == ERR_NOT_FOUND ? OK : err;
}

/* Where the last batch that does not reach offset ends: in a compacted log that may be far below. Bad batches
 * in front of it are stepped over. */
static enum err find_cut(struct plog *log, struct plog_segment *seg, int64_t offset, struct cut *ret_cut)
{
    uint32_t position;
    int64_t last;
    enum err err = plog_index_entry(log, seg, MAX(offset - 1, seg->base_offset), &position, &last);
    if (err == OK)
        err = find_from(log, seg, (struct cut){position, last + 1}, offset, ret_cut);
    return err == ERR_OUT_OF_RANGE ? find_from(log, seg, (struct cut){0, seg->base_offset}, offset, ret_cut)
                                   : err;
}

/* Makes a segment that may be closed the active one again: index in memory up to its new size, figures of its
 * tail known. */
static enum err reactivate(struct plog *log, struct plog_segment *seg, int64_t end)
{
    struct plog_walk walk;
    struct batch_header batch;
    struct plog_index *index = &seg->index;
    seg->times_exact = seg->times_exact && index->in_memory;
    enum err err = index->in_memory ? OK : plog_index_load(log, seg, INT64_MAX, UINT32_MAX);
    if (err)
        return err;
    plog_index_truncate(seg, end, seg->size);
    uint32_t position = index->offsets_count ? index->offsets[index->offsets_count - 1].position : 0;
    seg->max_timestamp = index->times_count ? index->times[index->times_count - 1].timestamp : -1;
    seg->max_timestamp_offset =
        seg->base_offset + (index->times_count ? (int64_t)index->times[index->times_count - 1].delta : 0);
    seg->since_index = 0;
    seg->times_known = true;
    err = plog_walk_begin(&walk, log, seg, position, false);
    while (err == OK && (err = plog_walk_next(&walk, &batch, NULL)) == OK) {
        seg->since_index += (uint32_t)batch.size_bytes;
        if (batch.max_timestamp > seg->max_timestamp) {
            seg->max_timestamp = batch.max_timestamp;
            seg->max_timestamp_offset = batch.last_offset;
        }
    }
    plog_walk_end(&walk);
    return err == ERR_NOT_FOUND ? OK : err;
}

/* Offsets, caches and promises follow the new end. */
static enum err shorten(struct plog *log, int64_t end)
{
    log->end = end;
    log->synced_end = MIN(log->synced_end, end);
    log->cleaned_to = MIN(log->cleaned_to, end);
    if (log->round)
        log->round->target = MIN(log->round->target, end);
    log->recent_count = 0;
    plog_damage_keep(log, 0, end);
    plog_forget_places(log);
    tail_drop(&log->tail);
    if (epoch_cache_truncate_end(&log->epochs, end))
        log->epochs_dirty = true;
    enum err err = plog_snapshots_drop(log, end);
    if (err == OK && !MUTANT(STALE_DUPLICATES) && !producer_state_truncate(&log->producers, end))
        err = plog_producers_load(log);
    return err;
}

static enum err truncate_in(struct plog *log, int32_t place, int64_t offset)
{
    struct plog_segment *seg = &log->segments[place];
    struct env_file *file;
    struct cut at;
    int32_t gone = log->segments_count - place - 1;
    enum err err = find_cut(log, seg, offset, &at);
    if (err == OK)
        err = plog_segments_remove(log, place + 1, gone);
    if (err == OK && gone > 0) /* else a crash could bring them back behind other data */
        err = env_dir_sync_wait(log->env, log->dir);
    seg = &log->segments[place];
    if (err == OK)
        err = plog_segment_file(log, seg, &file);
    if (err == OK) {
        env_file_revoke(file); /* readers that are being sent what goes are cut off */
        err = env_file_truncate(file, at.position);
        if (err == OK) /* else lost power may bring sectors of what is cut back between those of what comes */
            err = env_file_sync_wait(file);
        env_file_close(file);
        seg->file = NULL;
    }
    if (err)
        return err;
    seg->size = at.position;
    seg->first_timestamp = 0;
    seg->dirty = true;
    seg->verified_from = MIN(seg->verified_from, at.position);
    plog_ranges_remove(&seg->verified, at.position, UINT32_MAX);
    err = reactivate(log, seg, at.end);
    if (err == OK)
        err = plog_aborted_truncate(log, seg, at.end);
    return err ? err : shorten(log, at.end);
}

enum err plog_truncate(struct plog *log, int64_t offset, int64_t *ret_end)
{
    ASSERT(offset >= 0);
    enum err err = plog_staged_write(log);
    if (err)
        return err;
    const struct plog_damage *damage = plog_damage_at(log, offset, false);
    if (damage && offset < log->end) /* no batch boundary is known inside */
        offset = MIN(offset, MAX(damage->offset, log->start));
    if (offset >= log->end) {
        if (epoch_cache_truncate_end(&log->epochs, offset))
            log->epochs_dirty = true;
    } else if (offset <= log->start) {
        err = plog_restart(log, offset);
    } else {
        err = plog_compact_stop(log);
        err = err ? err : truncate_in(log, plog_segment_find(log, offset), offset);
    }
    if (err)
        return plog_fail(log, err);
    *ret_end = log->end;
    return OK;
}

enum err plog_restart(struct plog *log, int64_t offset)
{
    ASSERT(offset >= 0);
    enum err err = plog_staged_write(log);
    if (err == OK)
        err = plog_compact_stop(log);
    if (err == OK)
        err = plog_segments_remove(log, 0, log->segments_count);
    if (err == OK)
        err = env_dir_sync_wait(log->env, log->dir);
    if (err == OK)
        err = plog_snapshots_drop(log, -1);
    if (err == OK)
        err = plog_segment_add(log, offset);
    if (err)
        return plog_fail(log, err);
    log->start = log->end = offset;
    plog_forget_places(log);
    tail_drop(&log->tail);
    log->cleaned_to = offset;
    log->synced_end = offset; /* nothing is promised of an empty log */
    if (log->round)
        log->round->target = MIN(log->round->target, offset);
    plog_damage_keep(log, 0, 0);
    epoch_cache_clear(&log->epochs);
    log->epochs_dirty = true;
    producer_state_clear(&log->producers);
    return OK;
}

/* -- at the start -- */

enum err plog_set_start(struct plog *log, int64_t offset)
{
    ASSERT(offset <= log->end);
    if (log->failed)
        return log->failed;
    if (offset <= log->start)
        return OK;
    log->start = offset;
    if (epoch_cache_truncate_start(&log->epochs, offset))
        log->epochs_dirty = true;
    return OK;
}

bool plog_can_trim(const struct plog *log)
{
    return log->segments_count > 1 && plog_segment_end(log, 0) <= log->start;
}

enum err plog_trim(struct plog *log, int64_t below)
{
    int32_t gone = 0;
    ASSERT(below <= log->start);
    if (log->failed)
        return log->failed;
    while (gone + 1 < log->segments_count && plog_segment_end(log, gone) <= below)
        gone++;
    enum err err = gone > 0 ? plog_compact_stop(log) : OK;
    if (err == OK)
        err = plog_segments_remove(log, 0, gone);
    if (err)
        return plog_fail(log, err);
    plog_damage_keep(log, log->segments[0].base_offset, INT64_MAX);
    return OK;
}
