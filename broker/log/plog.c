/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/log/plog.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/log/plog_hooks.h"
#include "broker/log/plog_internal.h"
#include "broker/log/plog_torn.h"
#include "common/base/assert.h"
#include "common/base/mutant.h"

STATIC_ASSERT(PLOG_DIR_MAX + PLOG_NAME_MAX + 8 < PLOG_PATH_MAX, "every path below the directory fits");
STATIC_ASSERT((PLOG_RECENT & (PLOG_RECENT - 1)) == 0, "the ring's counter may wrap");

/* -- figures -- */

int64_t plog_start(const struct plog *log)
{
    return log->start;
}

int64_t plog_end(const struct plog *log)
{
    return log->end;
}

int64_t plog_synced_end(const struct plog *log)
{
    return log->synced_end;
}

enum err plog_failed(const struct plog *log)
{
    return log->failed;
}

uint64_t plog_size_bytes(const struct plog *log)
{
    uint64_t size = 0;
    for (int32_t i = 0; i < log->segments_count; i++)
        size += log->segments[i].size;
    return size;
}

struct epoch_cache *plog_epochs(struct plog *log)
{
    return &log->epochs;
}

struct producer_state *plog_producers(struct plog *log)
{
    return &log->producers;
}

void plog_set_config(struct plog *log, const struct plog_config *config)
{
    log->config = *config;
    log->config.segment_bytes = MIN(MAX(config->segment_bytes, 1), PLOG_SEGMENT_BYTES_MAX);
    if (config->index_interval_bytes <= 0)
        log->config.index_interval_bytes = PLOG_INDEX_INTERVAL;
    log->producers.expiry_us = config->producer_expiry_us;
}

enum err plog_fail(struct plog *log, enum err err)
{
    ASSERT(err != OK);
    if (log->failed == OK)
        log->failed = err;
    return log->failed;
}

/* -- writing -- */

/* Room for all that the batches add, so that nothing can fail behind the write. Counts what is in them. */
static enum err reserve(struct plog *log, const uint8_t *batches, uint32_t len, uint32_t *ret_count,
                        int64_t *ret_end)
{
    uint32_t count = 0, at = 0;
    int64_t end = log->end;
    while (at < len) {
        const uint8_t *p = batches + at;
        ASSERT(len - at >= BATCH_HEADER_BYTES);
        ASSERT(batch_base_offset(p) >= end && batch_last_offset_delta(p) >= 0);
        end = batch_next_offset(p);
        at += (uint32_t)batch_size(p);
        count++;
    }
    ASSERT(at == len);
    *ret_count = count;
    *ret_end = end;
    return plog_index_reserve(plog_active(log), count + 1);
}

/* For the first batch (a leader appends one at a time); a follower that runs out of memory behind its write
 * is offline. */
static enum err reserve_state(struct plog *log, const uint8_t *batch)
{
    enum err err = epoch_cache_reserve(&log->epochs);
    if (err || batch_producer_id(batch) < 0)
        return err;
    if (batch_is_transactional(batch) && !batch_is_control(batch))
        err = producer_state_reserve_txn(&log->producers);
    return err ? err : producer_state_reserve(&log->producers, env_now_us(log->env));
}

/* *ret_rolled: a segment ended, which is then synced whatever the topic's promise, so that the recovery point
 * follows. */
static enum err roll_when_due(struct plog *log, const uint8_t *batches, uint32_t len, int64_t end,
                              bool *ret_rolled)
{
    log->asides.no_block = log->learned != NULL;
    *ret_rolled = plog_roll_due(log, batches, len, end);
    log->asides.no_block = false;
    return *ret_rolled ? plog_roll(log) : OK;
}

static void note_recent(struct plog *log, int64_t base_offset, uint32_t position)
{
    log->recent[log->recent_count % PLOG_RECENT] = (struct plog_recent){base_offset, position};
    log->recent_count++;
}

/* Its epoch, when it is a new one, began at `behind`, where the batch before it ended: a follower does not
 * know how much of what compaction took in between was of it, and an end of the epoch before that is too late
 * would let other replicas keep what was never committed. */
static enum err take_batch(struct plog *log, struct plog_segment *seg, const uint8_t *p, uint32_t position,
                           int64_t behind)
{
    struct batch_header batch = batch_header_of(p);
    enum err err = OK;
    if (batch.leader_epoch != epoch_cache_latest(&log->epochs)) {
        bool changed = false;
        err = epoch_cache_assign(&log->epochs, batch.leader_epoch, behind, &changed);
        log->epochs_dirty = log->epochs_dirty || changed;
    }
    if (position == 0)
        plog_segment_first_batch(log, seg, batch.max_timestamp);
    plog_index_batch(log, seg, &batch, position);
    note_recent(log, batch.base_offset, position);
    if (err == OK && batch.producer_id >= 0)
        err = plog_take_producer(log, seg, &batch, p, false);
    return err;
}

static enum err append(struct plog *log, const uint8_t *batches, uint32_t len, struct iobuf *owner)
{
    struct env_file *file;
    uint32_t count;
    int64_t end, behind = log->end;
    bool rolled;
    if (log->failed)
        return log->failed;
    ASSERT(len >= BATCH_HEADER_BYTES && len <= PLOG_SEGMENT_BYTES_MAX);
    enum err err = reserve(log, batches, len, &count, &end);
    if (err == OK)
        err = reserve_state(log, batches);
    if (err)
        return err;
    err = roll_when_due(log, batches, len, end, &rolled);
    if (err == OK)
        err = plog_index_reserve(plog_active(log), count + 1);
    struct plog_segment *seg = plog_active(log);
    if (err == OK) {
        err = plog_active_file(log, &file);
        if (err == ERR_FD_LIMIT || err == ERR_NOMEM)
            return err;
    }
    if (err == OK) {
        err = plog_make_room(log, seg, file, len);
        if (err == ERR_NO_SPACE)
            return err;
    }
    if (err == OK)
        err = plog_stage(log, batches, len, owner);
    for (uint32_t at = 0; at < len && err == OK; at += (uint32_t)batch_size(batches + at)) {
        err = take_batch(log, seg, batches + at, seg->size, behind);
        behind = batch_next_offset(batches + at);
        seg->size += (uint32_t)batch_size(batches + at);
    }
    if (err)
        return plog_fail(log, err);
    log->end = end;
    if (log->staged.count == 0)
        err = plog_write_out(log);
    if (err == OK && rolled)
        plog_sync(log);
    return err;
}

enum err plog_append(struct plog *log, const uint8_t *batches, uint32_t len)
{
    return append(log, batches, len, NULL);
}

enum err plog_append_kept(struct plog *log, const uint8_t *batches, uint32_t len, struct iobuf *owner)
{
    enum err err = append(log, batches, len, owner);
    if (err == OK)
        tail_add(&log->tail, batches, len, batch_base_offset(batches), log->end, owner);
    return err;
}

enum err plog_assign_epoch(struct plog *log, int32_t epoch, int64_t start_offset)
{
    bool changed = false;
    enum err err = epoch_cache_assign(&log->epochs, epoch, start_offset, &changed);
    log->epochs_dirty = log->epochs_dirty || changed;
    return err;
}

/* -- life -- */

static void *resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
    if (new_size > 0)
        return realloc(old, new_size);
    free(old);
    return NULL;
}

static struct plog *new_log(const struct plog_setup *setup)
{
    struct plog *log = calloc(1, sizeof(*log));
    if (log == NULL)
        return NULL;
    log->env = setup->env;
    log->alloc.resize = resize;
    log->topic_id = setup->topic_id;
    log->tail.cache = setup->tail_cache;
    log->handles = setup->handles;
    log->synced = setup->synced;
    log->damaged = setup->damaged;
    log->writes = setup->writes;
    log->ctx = setup->ctx;
    plog_asides_init(&log->asides);
    epoch_cache_init(&log->epochs, &log->alloc);
    producer_state_init(&log->producers, &log->alloc, setup->config.producer_expiry_us);
    plog_set_config(log, &setup->config);
    plog_sync_init(log);
    return log;
}

static enum err set_dirs(struct plog *log, const struct plog_setup *setup)
{
    size_t size = strlen(setup->data_dir) + strlen(setup->name) + 2;
    if (size > PLOG_DIR_MAX)
        return ERR_TOO_LARGE;
    log->data_dir = setup->data_dir;
    log->dir = malloc(size);
    if (log->dir == NULL)
        return ERR_NOMEM;
    snprintf(log->dir, size, "%s/%s", setup->data_dir, setup->name);
    return OK;
}

static bool list_segment(void *ctx, const char *name, bool is_dir)
{
    struct plog *log = ctx;
    int64_t offset;
    char path[PLOG_PATH_MAX];
    if (!is_dir && log_file_name_parse(name, PLOG_MEND_SUFFIX, &offset)) { /* a rewrite that did not end */
        plog_path_name(log, name, path);
        env_unlink(log->env, path);
        return true;
    }
    if (is_dir || !log_file_name_parse(name, ".log", &offset))
        return true;
    if (log->segments_count == log->segments_cap) {
        int32_t cap = log->segments_cap ? log->segments_cap * 2 : 4;
        void *grown = realloc(log->segments, (size_t)cap * sizeof(*log->segments));
        if (grown == NULL) {
            log->failed = ERR_NOMEM;
            return false;
        }
        log->segments = grown;
        log->segments_cap = cap;
    }
    /* names come in byte order, so offsets rise */
    log->segments[log->segments_count++] = (struct plog_segment){.base_offset = offset, .max_timestamp = -1};
    return true;
}

static enum err size_segment(struct plog *log, struct plog_segment *seg)
{
    struct env_file *file;
    uint64_t size;
    enum err err = plog_segment_file(log, seg, &file);
    if (err == OK)
        err = env_file_size(file, &size);
    if (err)
        return err;
    if (size > PLOG_SEGMENT_BYTES_MAX)
        return ERR_TOO_LARGE;
    seg->size = (uint32_t)size;
    env_file_close(seg->file);
    seg->file = NULL;
    return OK;
}

static enum err list_segments(struct plog *log)
{
    enum err err = env_dir_list(log->env, log->dir, list_segment, log);
    if (err || log->failed)
        return err ? err : log->failed;
    for (int32_t i = 0; i < log->segments_count && err == OK; i++)
        err = size_segment(log, &log->segments[i]);
    return err;
}

static enum err rewrite_from(struct plog *log, struct plog_segment *seg, uint32_t position)
{
    struct env_file *file;
    uint8_t *buf = malloc(PLOG_CHUNK);
    enum err err = buf ? plog_segment_file(log, seg, &file) : ERR_NOMEM;
    while (err == OK && position < seg->size) {
        struct iovec iov = {buf, MIN(PLOG_CHUNK, seg->size - position)};
        size_t got = 0;
        err = env_file_read(file, position, buf, iov.iov_len, &got);
        if (err == OK && got < iov.iov_len)
            err = ERR_TRUNCATED;
        if (err == OK)
            err = env_file_write(file, position, &iov, 1);
        position += (uint32_t)iov.iov_len;
    }
    free(buf);
    return err;
}

/* After a failed sync the kernel's cache may show as clean what the disk does not have. The scan has checked
 * every batch from the recovery point on; all of them are written again, so that the next sync writes them.
 */
static enum err rewrite_unsynced(struct plog *log, int64_t recovery_point)
{
    enum err err = OK;
    for (int32_t i = plog_segment_find(log, recovery_point); i < log->segments_count && err == OK; i++) {
        uint32_t position = 0;
        if (recovery_point > log->segments[i].base_offset)
            err = plog_index_lookup(log, &log->segments[i], recovery_point, &position);
        if (err == OK)
            err = rewrite_from(log, &log->segments[i], position);
    }
    log->epochs_dirty = log->meta_dirty = log->dir_dirty = true;
    return err;
}

/* From where on, INT64_MAX: nowhere. A killed process may have seen a sync fail and told nobody: what it left
 * is not believed either. Where no recovery point is known, at most the newest two segments were not synced
 * when it died. A lost power is no exception: a process may have been killed since. */
static int64_t rewrite_point(const struct plog *log, const struct plog_setup *setup)
{
    if (setup->sync_failed)
        return setup->recovery_point;
    if (setup->clean)
        return INT64_MAX;
    int64_t newest = log->segments[MAX(log->segments_count - 2, 0)].base_offset;
    return setup->recovery_point > log->start ? setup->recovery_point : newest;
}

/* Such a log promises nothing, and a clean end does not wait for the disk. */
static bool is_empty(struct plog *log)
{
    return log->segments_count == 1 && plog_active(log)->size == 0;
}

static enum err open_existing(struct plog *log, const struct plog_setup *setup, struct plog_report *report)
{
    const struct plog_damage *damages;
    log->start = MAX(setup->log_start, log->segments[0].base_offset);
    enum err err = plog_recover(log, setup, report);
    if (err)
        return err;
    log->start = MIN(log->start, log->end);
    plog_damage_keep(log, log->segments[0].base_offset, INT64_MAX);
    log->cleaned_to = MIN(MAX(setup->cleaned_to, 0), log->end);
    if (MUTANT(REUSE_OFFSETS) && !setup->clean && setup->recovery_point > log->start)
        plog_truncate(log, setup->recovery_point, &log->end);
    if (epoch_cache_truncate_start(&log->epochs, log->start))
        log->epochs_dirty = true;
    log->synced_end = setup->clean ? log->end : MIN(MAX(setup->recovery_point, log->start), log->end);
    /* What a killed process wrote and named may not be on the disk yet, nor what names an empty log, however
     * it was closed. A power cut does not tell that it is: a process may have been killed since. */
    log->meta_dirty = log->dir_dirty = !setup->clean || is_empty(log);
    for (int32_t i = 0; i < log->segments_count; i++)
        log->segments[i].dirty = !setup->clean && plog_segment_end(log, i) >= log->synced_end;
    if (!setup->keep_segments)
        err = plog_trim(log, log->start);
    if (err == OK)
        err = plog_snapshots_drop(log, log->end);
    if (err == OK && !setup->clean)
        err = plog_aborted_settle(log);
    if (err == OK && !MUTANT(PRODUCERS_LOST_AT_RESTART))
        err = plog_producers_load(log);
    report->damages = plog_damages(log, &damages); /* nobody has what was deleted */
    if (report->damages == 0)
        report->damage[0] = 0;
    int64_t from = rewrite_point(log, setup);
    return err || from >= log->end ? err : rewrite_unsynced(log, from);
}

/* Of a log without readable metadata: that is part of the first sync, so one that holds nothing either lost
 * its power (or its process) before anything was promised of it. */
static bool never_synced(const struct plog *log, const struct plog_setup *setup)
{
    return log->segments_count == 1 && log->segments[0].base_offset == 0 && log->segments[0].size == 0 &&
           setup->recovery_point <= 0;
}

static enum err open_log(struct plog *log, const struct plog_setup *setup, struct plog_report *report)
{
    bool no_meta;
    enum err err = set_dirs(log, setup);
    report->doubt = plog_doubt_noted(log->env, setup->data_dir, setup->name);
    if (err == OK)
        err = plog_meta_open(log, &no_meta);
    if (err == OK)
        err = plog_compact_recover(log, report);
    if (err == OK)
        err = list_segments(log);
    if (err)
        return err;
    report->created = log->segments_count == 0;
    if (!report->created && no_meta && !never_synced(log, setup)) /* data without an owner is not ours */
        return ERR_MISMATCH;
    if (!report->created && no_meta)
        err = plog_meta_write(log);
    if (!report->created)
        return err ? err : open_existing(log, setup, report);
    log->start = log->end = log->synced_end = MAX(setup->log_start, 0);
    report->missing_from = setup->recovery_point > log->end ? log->end : -1;
    log->meta_dirty = true; /* written now, so that a killed process finds it; synced with the first round */
    err = plog_meta_write(log);
    return err ? err : plog_segment_add(log, log->start);
}

static void close_handle(struct env_file **file)
{
    if (*file)
        env_file_close(*file);
    *file = NULL;
}

/* An idle log holds no descriptors: who reads or writes opens what it needs. */
static void rest(struct plog *log)
{
    for (int32_t i = 0; i < log->segments_count; i++) {
        close_handle(&log->segments[i].file);
        close_handle(&log->segments[i].index.offset_file);
        close_handle(&log->segments[i].index.time_file);
        plog_handles_drop(&log->segments[i]);
    }
}

enum err plog_open(const struct plog_setup *setup, struct plog **ret_log, struct plog_report *ret_report)
{
    struct plog_report report = {.missing_from = -1};
    struct plog *log = new_log(setup);
    if (log == NULL)
        return ERR_NOMEM;
    enum err err = open_log(log, setup, &report);
    if (err == OK && report.missing_from >= 0 && !report.doubt) {
        report.doubt = true;
        err = plog_doubt_note(log->env, setup->data_dir, setup->name);
    }
    *ret_report = report;
    if (err) {
        plog_free(log);
        return err;
    }
    rest(log);
    log->learned = setup->learned;
    *ret_log = log;
    return OK;
}

void plog_free(struct plog *log)
{
    for (int32_t i = 0; i < log->segments_count; i++)
        plog_segment_close(&log->segments[i]);
    free(log->segments);
    free(log->dir);
    epoch_cache_free(&log->epochs);
    producer_state_free(&log->producers);
    free(log->round);
    free(log->spare);
    free(log->damages);
    free(log);
}

void plog_close(struct plog *log)
{
    env_task_cancel(&log->fail_task);
    tail_drop(&log->tail);
    log->tail.cache = NULL;
    plog_staged_drop(log);
    plog_compact_leave(log);
    plog_asides_leave(log);
    for (int32_t i = 0; i < log->segments_count; i++)
        plog_handles_drop(&log->segments[i]);
    log->handles = NULL;
    log->closing = true;
    if (log->round == NULL)
        plog_free(log);
}

static enum err sync_small(struct plog *log, enum err (*write)(struct plog *, struct env_file **))
{
    struct env_file *file;
    enum err err = write(log, &file);
    if (err)
        return err;
    err = env_file_sync_wait(file);
    env_file_close(file);
    return err;
}

/* Everything that cannot be derived again. */
static enum err sync_all(struct plog *log)
{
    struct env_file *file;
    enum err err = OK;
    for (int32_t i = 0; i < log->segments_count && err == OK; i++) {
        if (!log->segments[i].dirty)
            continue;
        err = plog_segment_file(log, &log->segments[i], &file);
        if (err == OK)
            err = env_file_sync_wait(file);
        if (err == OK && log->segments[i].txn_dirty)
            err = plog_aborted_sync_wait(log, &log->segments[i]);
        log->segments[i].dirty = err != OK;
    }
    if (err == OK && log->epochs_dirty)
        err = sync_small(log, plog_epochs_write);
    if (err == OK && log->meta_dirty)
        err = sync_small(log, plog_meta_file);
    if (err == OK && log->meta_dirty)
        err = env_dir_sync_wait(log->env, log->data_dir);
    return err || !log->dir_dirty ? err : env_dir_sync_wait(log->env, log->dir);
}

/* An empty log is left as it is; of the others, indexes and snapshot are written, but only checked when they
 * are read again. */
enum err plog_close_clean(struct plog *log)
{
    if (log->round) /* it may fail yet; then no later sync says so, as the kernel tells each failure once */
        return ERR_BUSY;
    enum err err = plog_staged_write(log);
    bool empty = is_empty(log) && !plog_active(log)->dirty;
    if (err == OK)
        err = plog_compact_stop(log);
    if (err == OK)
        err = plog_return_room(log, plog_active(log));
    if (err == OK && !empty)
        err = sync_all(log);
    if (err == OK && !empty)
        err = plog_index_flush(log, plog_active(log), true);
    if (err == OK && !empty)
        err = plog_snapshot_write(log, NULL);
    if (err)
        return plog_fail(log, err);
    log->synced_end = log->end;
    return OK;
}
