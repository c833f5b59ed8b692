/* SPDX-License-Identifier: Apache-2.0 */
/* Compaction on the log's loop: what may be compacted, the steps, and the swap. */
#include "broker/log/plog_compact.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core/producer_entry.h"
#include "broker/log/plog_compact_int.h"
#include "broker/log/plog_damage.h"
#include "broker/log/plog_hooks.h"
#include "common/base/assert.h"
#include "common/base/mutant.h"
#include "common/base/probe.h"

/* -- what may be compacted -- */

int64_t plog_cleaned_to(const struct plog *log)
{
    return log->cleaned_to;
}

/* Whether min.compaction.lag.ms lets segment i in. */
static enum err old_enough(struct plog *log, int32_t i, int64_t min_lag_ms, struct plog_dirt *dirt, bool *ret)
{
    struct plog_segment *seg = &log->segments[i];
    *ret = true;
    if (min_lag_ms <= 0)
        return OK;
    enum err err = plog_segment_times(log, seg);
    if (err)
        return err;
    int64_t due_ms =
        seg->max_timestamp > INT64_MAX - min_lag_ms ? INT64_MAX : seg->max_timestamp + min_lag_ms;
    *ret = due_ms < env_wall_ms(log->env);
    dirt->lag_due_ms = *ret || due_ms == INT64_MAX ? dirt->lag_due_ms : due_ms + 1;
    return OK;
}

static enum err weigh(struct plog *log, int32_t i, struct plog_dirt *dirt)
{
    struct plog_segment *seg = &log->segments[i];
    int64_t first_ms;
    if (plog_segment_end(log, i) <= dirt->first_dirty) {
        dirt->clean_bytes += seg->size;
        return OK;
    }
    dirt->dirty_bytes += seg->size;
    if (dirt->oldest_ms != INT64_MAX)
        return OK;
    enum err err = plog_segment_first_time(log, seg, &first_ms);
    dirt->oldest_ms = err ? INT64_MAX : first_ms;
    return err;
}

static enum err look_at(struct plog *log, int64_t bound, int64_t min_lag_ms, struct plog_dirt *ret)
{
    struct plog_dirt dirt = {.first_dirty = MAX(log->cleaned_to, log->start),
                             .end = log->start,
                             .oldest_ms = INT64_MAX,
                             .lag_due_ms = INT64_MAX,
                             .waits = MUTANT(COMPACT_PAST_HIGH_WATERMARK)};
    const struct plog_damage *damages;
    bool old = true;
    *ret = dirt;
    if (plog_damages(log, &damages) >
        0)         /* what is hidden may be a marker, which says what counts before it */
        return OK; /* not before a peer has mended it */
    bound = MUTANT(COMPACT_PAST_HIGH_WATERMARK) ? log->end : MIN(bound, log->synced_end);
    for (int32_t i = plog_segment_find(log, log->start); i + 1 < log->segments_count; i++) {
        if (plog_segment_end(log, i) > bound) {
            dirt.waits = true;
            break;
        }
        enum err err = old_enough(log, i, min_lag_ms, &dirt, &old);
        if (err == OK && old)
            err = weigh(log, i, &dirt);
        if (err)
            return err;
        if (!old)
            break;
        dirt.end = plog_segment_end(log, i);
    }
    *ret = dirt;
    return OK;
}

enum err plog_dirt(struct plog *log, int64_t bound, int64_t min_lag_ms, struct plog_dirt *ret)
{
    if (log->failed)
        return log->failed;
    log->asides.no_block = log->learned != NULL;
    enum err err = look_at(log, bound, min_lag_ms, ret);
    log->asides.no_block = false;
    return err;
}

/* -- beginning -- */

static enum err take_sources(struct plog_compaction *job, const struct plog *log, int64_t end)
{
    int32_t first = plog_segment_find(log, log->start), count = log->segments_count - first;
    job->sources = calloc((size_t)count, sizeof(*job->sources));
    job->index_bases = calloc((size_t)count, sizeof(*job->index_bases));
    if (job->sources == NULL || job->index_bases == NULL)
        return ERR_NOMEM;
    for (int32_t i = first; i < log->segments_count; i++) {
        const struct plog_segment *seg = &log->segments[i];
        job->index_bases[job->index_bases_count++] = seg->base_offset;
        if (i + 1 == log->segments_count || plog_segment_end(log, i) > end)
            continue;
        job->sources[job->sources_count++] =
            (struct compact_source){seg->base_offset, plog_segment_end(log, i), seg->size};
    }
    return job->sources_count > 0 ? OK : ERR_INVALID;
}

static enum err take_producers(struct plog_compaction *job, const struct producer_state *state)
{
    if (state->count == 0)
        return OK;
    job->producers = calloc(state->count, sizeof(*job->producers));
    if (job->producers == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < state->count; i++) {
        const struct producer_entry *entry = &state->entries[i];
        if (entry->count > 0)
            job->producers[job->producers_count++] = (struct compact_producer){entry->producer_id, -1};
    }
    qsort(job->producers, job->producers_count, sizeof(*job->producers), compact_producer_order);
    return OK;
}

static enum err prepare(struct plog_compaction *job, struct plog *log)
{
    uint64_t key[2];
    int64_t dirty = job->rules.end - job->first_dirty;
    job->shadow.env = log->env;
    job->shadow.config = log->config;
    job->shadow.dir = strdup(log->dir);
    env_random(log->env, key, sizeof(key));
    enum err err = job->shadow.dir ? take_sources(job, log, job->rules.end) : ERR_NOMEM;
    if (err == OK)
        err = take_producers(job, &log->producers);
    if (err == OK)
        err = offset_map_init(&job->map, (uint64_t)MAX(dirty, 0), job->rules.map_bytes, key);
    if (err == OK)
        err = (enum err)batch_scratch_init(&job->scratch, job->rules.batch_bytes_max, 0);
    job->filter.scratch = &job->scratch;
    job->filter.now_ms = env_wall_ms(log->env);
    job->filter.delete_retention_ms = job->rules.delete_retention_ms;
    return err;
}

static void step_done(struct env_work *work);
static void pause_over(struct env_timer *timer);

static void step_work(struct env_work *work)
{
    compact_step(CONTAINER_OF(work, struct plog_compaction, work));
}

enum err plog_compact(struct plog *log, const struct plog_compact_rules *rules,
                      void (*done)(void *ctx, const struct plog_compacted *result), void *ctx)
{
    if (log->failed)
        return log->failed;
    if (log->compaction)
        return ERR_BUSY;
    struct plog_compaction *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return ERR_NOMEM;
    job->env = log->env;
    job->rules = *rules;
    job->done = done;
    job->ctx = ctx;
    job->first_dirty = MAX(log->cleaned_to, log->start);
    job->txns.log_start = log->start;
    job->work.work = step_work;
    job->work.done = step_done;
    env_timer_init(&job->pause, pause_over);
    enum err err = prepare(job, log);
    if (err) {
        compact_work_free(job);
        free(job);
        return err;
    }
    job->log = log;
    log->compaction = job;
    env_work_submit(job->env, &job->work);
    return OK;
}

/* -- ending -- */

static void unlink_new(struct plog_compaction *job, const char *log_suffix)
{
    const char *const suffixes[] = {log_suffix, ".index.cleaned", ".timeindex.cleaned", ".txnindex.cleaned"};
    char path[PLOG_PATH_MAX];
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        plog_path(&job->shadow, job->out.base_offset, suffixes[i], path);
        env_unlink(job->env, path);
    }
}

static void end(struct plog_compaction *job, enum err err)
{
    struct plog *log = job->log;
    struct plog_compacted result = job->result;
    void (*done)(void *ctx, const struct plog_compacted *result) = job->done;
    void *ctx = job->ctx;
    if (log && job->out_file && !job->settled)
        unlink_new(job, ".log.cleaned"); /* else recovery removes them */
    compact_work_free(job);
    free(job);
    if (log == NULL)
        return;
    log->compaction = NULL;
    result.err = err;
    result.cleaned_to = log->cleaned_to;
    done(ctx, &result);
}

static bool given_up(struct plog_compaction *job)
{
    return job->log == NULL || job->log->failed || atomic_load(&job->stop);
}

static void fail_log(struct plog_compaction *job, enum err err)
{
    plog_fail(job->log, err);
    env_defer(job->env, &job->log->fail_task);
    end(job, err);
}

/* -- the swap -- */

static int32_t place_of(const struct plog *log, int64_t base_offset)
{
    int32_t i = plog_segment_find(log, base_offset);
    ASSERT(log->segments[i].base_offset == base_offset);
    return i;
}

/* Whether the group's sources are what was read: repair may have put bytes into one of them, or a reader met
 * damage there, whose range stands for bytes of the old file until a peer has mended them. */
static bool sources_same(const struct plog_compaction *job)
{
    const struct plog *log = job->log;
    int32_t place = plog_segment_find(log, job->sources[job->group_from].base_offset);
    for (int32_t i = job->group_from; i < job->group_to; i++, place++) {
        const struct compact_source *source = &job->sources[i];
        if (place + 1 >= log->segments_count || log->segments[place].base_offset != source->base_offset ||
            plog_damage_in(log, &log->segments[place]) || log->segments[place].size != source->size ||
            plog_segment_end(log, place) != source->end_offset)
            return false;
    }
    return true;
}

/* Readers see the new segment from now on. The old files' names go: all but the first one's `.log`, which
 * `.swap` replaces at the end. */
static enum err switch_over(struct plog_compaction *job)
{
    static const char *const derived[] = {".index", ".timeindex", ".txnindex"};
    struct plog *log = job->log;
    int32_t place = place_of(log, job->out.base_offset), count = job->group_to - job->group_from;
    char path[PLOG_PATH_MAX];
    enum err err = OK;
    plog_segment_close(&log->segments[place]);
    for (size_t i = 0; i < ARRAY_LEN(derived) && err == OK; i++) {
        plog_path(log, job->out.base_offset, derived[i], path);
        err = env_unlink(log->env, path);
        err = err == ERR_NOT_FOUND ? OK : err;
    }
    if (err == OK && count > 1)
        err = plog_segments_remove(log, place + 1, count - 1);
    struct plog_segment *seg = &log->segments[place];
    *seg = job->out;
    seg->file = job->out_file;
    seg->swapping = true;
    job->out_file = NULL;
    job->out = (struct plog_segment){.base_offset = seg->base_offset};
    log->layout++;
    plog_forget_places(log);
    if (log->tail.first && log->tail.first->base_offset < job->sources[job->group_to - 1].end_offset)
        tail_drop(&log->tail); /* it holds what is gone now */
    return err;
}

/* The old names are gone for good: the new segment takes the first one's. */
static enum err take_name(struct plog *log, struct plog_segment *seg)
{
    static const char *const derived[] = {".index", ".timeindex", ".txnindex"};
    char from[PLOG_PATH_MAX], to[PLOG_PATH_MAX], suffix[32];
    plog_path(log, seg->base_offset, ".log.swap", from);
    plog_path(log, seg->base_offset, ".log", to);
    enum err err = env_rename(log->env, from, to);
    for (size_t i = 0; i < ARRAY_LEN(derived) && err == OK; i++) {
        snprintf(suffix, sizeof(suffix), "%s.cleaned", derived[i]);
        plog_path(log, seg->base_offset, suffix, from);
        plog_path(log, seg->base_offset, derived[i], to);
        err = env_rename(log->env, from, to);
        err = err == ERR_NOT_FOUND ? OK : err;
    }
    if (err)
        return err;
    seg->swapping = false;
    log->layout++;
    plog_index_drop(seg);
    log->dir_dirty = true;
    return OK;
}

/* The new name must not come back after the log has changed. */
static enum err undo_name(struct plog_compaction *job)
{
    unlink_new(job, ".log.swap");
    return env_dir_sync_wait(job->env, job->log->dir);
}

static void next_group(struct plog_compaction *job);

static void old_gone(struct env_io *io, enum err err)
{
    struct plog_compaction *job = CONTAINER_OF(io, struct plog_compaction, io);
    struct plog *log = job->log;
    if (log == NULL || log->failed || job->settled) {
        end(job, ERR_CANCELED);
        return;
    }
    if (err == OK)
        err = take_name(log, &log->segments[place_of(log, job->out.base_offset)]);
    if (err)
        fail_log(job, err);
    else
        next_group(job);
}

static void swap_named(struct env_io *io, enum err err)
{
    struct plog_compaction *job = CONTAINER_OF(io, struct plog_compaction, io);
    if (given_up(job)) {
        end(job, ERR_CANCELED);
        return;
    }
    if (err == OK && !sources_same(job)) {
        err = undo_name(job);
        if (err)
            fail_log(job, err);
        else
            end(job, ERR_CANCELED);
        return;
    }
    if (err == OK)
        err = switch_over(job);
    if (err) {
        fail_log(job, err);
        return;
    }
    job->stage = COMPACT_SWITCHED;
    env_dir_sync(job->env, job->log->dir, &job->io, old_gone);
}

static void name_swap(struct plog_compaction *job)
{
    char from[PLOG_PATH_MAX], to[PLOG_PATH_MAX];
    plog_path(job->log, job->out.base_offset, ".log.cleaned", from);
    plog_path(job->log, job->out.base_offset, ".log.swap", to);
    enum err err = env_rename(job->env, from, to);
    if (err) {
        end(job, err);
        return;
    }
    job->stage = COMPACT_NAMED;
    if (MUTANT(SWAP_WITHOUT_SYNC)) {
        err = switch_over(job);
        if (err == OK)
            err = take_name(job->log, &job->log->segments[place_of(job->log, job->out.base_offset)]);
        if (err)
            fail_log(job, err);
        else
            next_group(job);
        return;
    }
    env_dir_sync(job->env, job->log->dir, &job->io, swap_named);
}

static void cleaned_synced(struct env_io *io, enum err err)
{
    struct plog_compaction *job = CONTAINER_OF(io, struct plog_compaction, io);
    if (given_up(job))
        end(job, ERR_CANCELED);
    else if (err)
        end(job, err);
    else
        name_swap(job);
}

static void segment_written(struct plog_compaction *job)
{
    int32_t count = job->group_to - job->group_from;
    job->result.segments_before += (uint32_t)count;
    job->result.segments_after++;
    if (count == 1 && !job->changed) { /* nothing was to be gained */
        unlink_new(job, ".log.cleaned");
        env_file_close(job->out_file);
        job->out_file = NULL;
        plog_index_drop(&job->out);
        next_group(job);
        return;
    }
    if (MUTANT(SWAP_WITHOUT_SYNC)) {
        name_swap(job);
        return;
    }
    env_file_sync(job->out_file, &job->io, cleaned_synced);
}

/* -- stepping -- */

/* Time for so many bytes at the allowed rate. */
static uint64_t pause_us(const struct plog_compaction *job)
{
    uint64_t rate = job->rules.bytes_per_second;
    return rate == 0 || rate >= UINT32_MAX * 1000ull ? 0 : job->step_bytes * 1000000 / rate;
}

static void go_on(struct plog_compaction *job)
{
    uint64_t wait_us = pause_us(job);
    job->step_bytes = 0;
    if (wait_us == 0)
        env_work_submit(job->env, &job->work);
    else
        env_timer_set(job->env, &job->pause, env_now_us(job->env) + wait_us);
}

static void pause_over(struct env_timer *timer)
{
    struct plog_compaction *job = CONTAINER_OF(timer, struct plog_compaction, pause);
    if (given_up(job))
        end(job, ERR_CANCELED);
    else
        env_work_submit(job->env, &job->work);
}

static void next_group(struct plog_compaction *job)
{
    if (given_up(job)) {
        end(job, ERR_CANCELED);
        return;
    }
    if (job->at < job->sources_count) {
        job->stage = COMPACT_COPY;
        go_on(job);
        return;
    }
    PROBE(LOG_COMPACTED);
    job->log->cleaned_to = MIN(MAX(job->log->cleaned_to, job->map_end), job->log->end);
    end(job, OK);
}

static void step_done(struct env_work *work)
{
    struct plog_compaction *job = CONTAINER_OF(work, struct plog_compaction, work);
    if (given_up(job))
        end(job, ERR_CANCELED);
    else if (job->err)
        end(job, job->err);
    else if (job->stage == COMPACT_SYNC)
        segment_written(job);
    else
        go_on(job);
}

/* -- stopped from outside -- */

static enum err finish_swap(struct plog_compaction *job)
{
    struct plog *log = job->log;
    enum err err = env_dir_sync_wait(log->env, log->dir);
    return err ? err : take_name(log, &log->segments[place_of(log, job->out.base_offset)]);
}

enum err plog_compact_stop(struct plog *log)
{
    struct plog_compaction *job = log->compaction;
    if (job == NULL || job->settled)
        return OK;
    atomic_store(&job->stop, true);
    PROBE(COMPACTION_STOPPED);
    if (job->stage != COMPACT_NAMED && job->stage != COMPACT_SWITCHED)
        return OK;
    job->settled = true;
    return job->stage == COMPACT_NAMED ? undo_name(job) : finish_swap(job);
}

void plog_compact_leave(struct plog *log)
{
    struct plog_compaction *job = log->compaction;
    if (job == NULL)
        return;
    atomic_store(&job->stop, true);
    job->log = NULL;
    log->compaction = NULL;
    if (env_timer_armed(&job->pause)) {
        env_timer_cancel(job->env, &job->pause);
        end(job, ERR_CANCELED);
    }
}
