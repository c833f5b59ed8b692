/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/log/plog_aside.h"

#include <stdlib.h>
#include <string.h>

#include "broker/log/plog_hooks.h"
#include "broker/log/plog_internal.h"
#include "common/base/assert.h"
#include "common/base/probe.h"

#define BESIDE_BYTES 4096u /* a write of a part of a page reads the page */

/* Belongs to the log's loop, but for shadow, result and batch, which are the worker's during its work. */
struct plog_aside {
    struct env_work work;
    struct list link; /* log->asides.jobs */
    struct env *env;
    struct plog *log; /* NULL: closed */
    enum plog_aside_task task;
    int64_t key;
    void (*done)(void *ctx, const struct plog_aside_result *result); /* NULL: the log's own, or cancelled */
    void *ctx;
    atomic_bool stop;
    struct plog shadow;
    uint8_t *batch;
    struct plog_aside_result result;
};

void plog_asides_init(struct plog_asides *asides)
{
    *asides = (struct plog_asides){.sought = -1};
    list_init(&asides->jobs);
}

/* -- the shadow -- */

static void *copy_of(const void *from, size_t size)
{
    void *copy = malloc(size + 1);
    if (copy != NULL && size > 0)
        memcpy(copy, from, size);
    return copy;
}

static bool copy_index(const struct plog_index *from, struct plog_index *to)
{
    *to = (struct plog_index){.trusted = from->trusted, .in_memory = from->in_memory};
    if (!from->in_memory)
        return true;
    to->offsets = copy_of(from->offsets, from->offsets_count * sizeof(*to->offsets));
    to->times = copy_of(from->times, from->times_count * sizeof(*to->times));
    to->offsets_count = to->offsets_cap = to->offsets ? from->offsets_count : 0;
    to->times_count = to->times_cap = to->times ? from->times_count : 0;
    return to->offsets != NULL && to->times != NULL;
}

static bool copy_segments(const struct plog *log, struct plog *shadow)
{
    bool ok = true;
    shadow->segments = calloc((size_t)log->segments_count, sizeof(*shadow->segments));
    if (shadow->segments == NULL)
        return false;
    for (int32_t i = 0; i < log->segments_count; i++) {
        struct plog_segment *to = &shadow->segments[shadow->segments_count++];
        *to = log->segments[i];
        to->file = NULL;
        to->slot = NULL;
        to->verified = (struct plog_ranges){0};
        ok = copy_index(&log->segments[i].index, &to->index) && ok;
    }
    return ok;
}

static bool copy_epochs(const struct epoch_cache *from, struct epoch_cache *to)
{
    enum err err = OK;
    for (uint32_t i = 0; i < from->count && err == OK; i++)
        err = epoch_cache_assign(to, from->entries[i].epoch, from->entries[i].start_offset, NULL);
    return err == OK;
}

static bool make_shadow(struct plog_aside *job, const struct plog *log, int64_t from)
{
    struct plog *shadow = &job->shadow;
    shadow->env = log->env;
    shadow->config = log->config;
    shadow->alloc = log->alloc;
    shadow->start = MAX(log->start, from);
    shadow->end = log->end;
    shadow->synced_end = log->synced_end;
    shadow->epochs_renewed = log->epochs_renewed;
    shadow->epochs_asked = log->epochs_asked;
    shadow->rolls = log->rolls;
    shadow->layout = log->layout;
    epoch_cache_init(&shadow->epochs, &shadow->alloc);
    producer_state_init(&shadow->producers, &shadow->alloc, log->config.producer_expiry_us);
    plog_asides_init(&shadow->asides);
    shadow->asides.stop = &job->stop;
    shadow->dir = strdup(log->dir);
    shadow->damages = copy_of(log->damages, (size_t)log->damages_count * sizeof(*log->damages));
    shadow->damages_count = shadow->damages_cap = shadow->damages ? log->damages_count : 0;
    return shadow->dir != NULL && shadow->damages != NULL && copy_segments(log, shadow) &&
           copy_epochs(&log->epochs, &shadow->epochs);
}

static void job_free(struct plog_aside *job)
{
    struct plog *shadow = &job->shadow;
    for (int32_t i = 0; i < shadow->segments_count; i++)
        plog_segment_close(&shadow->segments[i]);
    epoch_cache_free(&shadow->epochs);
    producer_state_free(&shadow->producers);
    free(shadow->segments);
    free(shadow->damages);
    free(shadow->dir);
    free(job->batch);
    free(job);
}

static void close_file(struct env_file **file)
{
    if (*file)
        env_file_close(*file);
    *file = NULL;
}

void plog_aside_pass(struct plog *log, struct plog_segment *seg)
{
    if (!plog_is_shadow(&log->asides))
        return;
    close_file(&seg->file);
    close_file(&seg->index.offset_file);
    close_file(&seg->index.time_file);
}

/* -- on the worker -- */

static struct plog_segment *segment_at(struct plog *shadow, int64_t offset)
{
    return &shadow->segments[plog_segment_find(shadow, offset)];
}

/* The whole batch that holds offset, checked. */
static enum err read_batch(struct plog_aside *job, int64_t offset)
{
    struct plog *shadow = &job->shadow;
    struct plog_segment *seg = segment_at(shadow, offset);
    struct plog_walk walk;
    struct batch_header batch = {.last_offset = -1};
    const uint8_t *p = NULL;
    uint32_t position;
    enum err err = plog_index_lookup(shadow, seg, offset, &position);
    if (err == OK)
        err = plog_walk_begin(&walk, shadow, seg, position, true);
    if (err)
        return err;
    while (err == OK && batch.last_offset < offset)
        err = plog_walk_next(&walk, &batch, &p);
    if (err == OK && !plog_batch_good(shadow, p, batch.size_bytes, -1))
        err = ERR_CORRUPT;
    if (err == OK) {
        job->batch = copy_of(p, batch.size_bytes);
        err = job->batch ? OK : ERR_NOMEM;
    }
    plog_walk_end(&walk);
    job->result.batch = job->batch;
    job->result.len = err ? 0 : (uint32_t)batch.size_bytes;
    return err;
}

static enum err do_find(struct plog_aside *job)
{
    int64_t offset;
    enum err err = plog_find_time(&job->shadow, job->key, &offset);
    return err ? err : read_batch(job, offset);
}

static enum err do_max(struct plog_aside *job)
{
    int64_t timestamp, offset;
    enum err err = plog_max_time(&job->shadow, &timestamp, &offset);
    return err ? err : read_batch(job, offset);
}

static enum err do_learn(struct plog_aside *job)
{
    int64_t first_ms;
    struct plog_segment *seg = segment_at(&job->shadow, job->key);
    enum err err = plog_segment_times(&job->shadow, seg);
    return err ? err : plog_segment_first_time(&job->shadow, seg, &first_ms);
}

static enum err do_index(struct plog_aside *job)
{
    return plog_rebuild_index(&job->shadow, segment_at(&job->shadow, job->key));
}

static enum err do_damage(struct plog_aside *job)
{
    struct plog_damage found;
    return plog_damage_search(&job->shadow, job->key, &found);
}

/* What comes is thrown away. */
static enum err read_through(struct plog *shadow, struct plog_segment *seg, uint32_t from, uint32_t to)
{
    struct env_file *file;
    uint8_t *buf = malloc(PLOG_CHUNK);
    enum err err = buf ? plog_segment_file(shadow, seg, &file) : ERR_NOMEM;
    while (err == OK && from < to && !atomic_load(shadow->asides.stop)) {
        size_t got = 0;
        err = env_file_read(file, from, buf, MIN(PLOG_CHUNK, to - from), &got);
        from = got > 0 ? from + (uint32_t)got : to;
    }
    free(buf);
    return err;
}

static enum err do_mend(struct plog_aside *job)
{
    struct plog *shadow = &job->shadow;
    const struct plog_damage *damage = plog_damage_at(shadow, job->key, false);
    if (damage == NULL)
        return ERR_NOT_FOUND;
    struct plog_segment *seg = segment_at(shadow, damage->segment);
    bool all = job->task == PLOG_ASIDE_MEND_COPY;
    uint32_t from = all || damage->position < BESIDE_BYTES ? 0 : damage->position - BESIDE_BYTES;
    uint64_t to = (uint64_t)damage->position + damage->size + BESIDE_BYTES;
    enum err err = read_through(shadow, seg, from, all ? seg->size : (uint32_t)MIN(to, seg->size));
    return err ? err : plog_producers_load(shadow);
}

static void work(struct env_work *w)
{
    static enum err (*const tasks[])(struct plog_aside *) = {
        [PLOG_ASIDE_FIND] = do_find,      [PLOG_ASIDE_MAX] = do_max,       [PLOG_ASIDE_LEARN] = do_learn,
        [PLOG_ASIDE_INDEX] = do_index,    [PLOG_ASIDE_DAMAGE] = do_damage, [PLOG_ASIDE_MEND] = do_mend,
        [PLOG_ASIDE_MEND_COPY] = do_mend,
    };
    struct plog_aside *job = CONTAINER_OF(w, struct plog_aside, work);
    if (!atomic_load(&job->stop))
        job->result.err = tasks[job->task](job);
    for (int32_t i = 0; i < job->shadow.segments_count; i++)
        plog_aside_pass(&job->shadow, &job->shadow.segments[i]);
}

/* -- back on the loop -- */

static enum err take_index(struct plog *log, struct plog_segment *seg, struct plog_segment *from)
{
    plog_index_drop(seg);
    seg->index = from->index;
    seg->index.in_memory = true;
    from->index = (struct plog_index){0};
    enum err err = plog_index_rewrite(log, seg);
    plog_index_drop(seg);
    seg->index.trusted = err == OK;
    return err;
}

static void take_times(struct plog_segment *seg, const struct plog_segment *from)
{
    if (from->times_known && (!seg->times_known || (from->times_exact && !seg->times_exact))) {
        seg->max_timestamp = from->max_timestamp;
        seg->max_timestamp_offset = from->max_timestamp_offset;
        seg->times_known = true;
        seg->times_exact = from->times_exact;
    }
}

/* Segments that were closed when the shadow was made are as they were. */
static enum err take_segments(struct plog *log, struct plog *shadow)
{
    enum err err = OK;
    for (int32_t i = 0; i < shadow->segments_count; i++) {
        struct plog_segment *seg = &log->segments[i], *from = &shadow->segments[i];
        ASSERT(seg->base_offset == from->base_offset);
        if (seg->first_timestamp == 0)
            seg->first_timestamp = from->first_timestamp;
        if (i + 1 == shadow->segments_count || seg->size != from->size)
            continue;
        if (from->index.in_memory && err == OK)
            err = take_index(log, seg, from);
        if (err == OK)
            take_times(seg, from);
    }
    return err;
}

/* Epochs that the batches told, and those that began since. */
static enum err take_epochs(struct plog *log, struct plog *shadow)
{
    enum err err = OK;
    log->epochs_asked = log->epochs_asked || shadow->epochs_asked;
    if (!shadow->epochs_renewed || log->epochs_renewed)
        return OK;
    for (uint32_t i = 0; i < log->epochs.count && err == OK; i++) {
        const struct epoch_entry *e = &log->epochs.entries[i];
        if (e->start_offset >= shadow->end && e->epoch > epoch_cache_latest(&shadow->epochs))
            err = epoch_cache_assign(&shadow->epochs, e->epoch, e->start_offset, NULL);
    }
    if (err)
        return err;
    struct epoch_cache old = log->epochs;
    log->epochs = shadow->epochs;
    log->epochs.alloc = &log->alloc;
    shadow->epochs = old;
    shadow->epochs.alloc = &shadow->alloc;
    epoch_cache_truncate_start(&log->epochs, log->start);
    log->epochs_renewed = log->epochs_dirty = true;
    return OK;
}

static enum err take_damages(struct plog *log, const struct plog *shadow)
{
    enum err err = OK;
    for (int32_t i = 0; i < shadow->damages_count && err == OK; i++) {
        const struct plog_damage *found = &shadow->damages[i];
        const struct plog_damage *known = plog_damage_at(log, found->offset, false);
        if (found->end <= log->segments[0].base_offset || (known && known->end >= found->end))
            continue;
        err = plog_damage_add(log, found);
        if (err == OK && log->damaged && found->end > log->start)
            log->damaged(log->ctx, found);
    }
    return err;
}

static void count_waiting(struct plog *log, int64_t n)
{
    if (log->handles)
        atomic_fetch_add_explicit(&log->handles->asides_waiting, n, memory_order_relaxed);
}

static void leave_list(struct plog_aside *job)
{
    list_remove(&job->link);
    if (job->log)
        count_waiting(job->log, -1);
}

/* The log was cut, rolled, replaced or shortened while its shadow was read. */
static bool overtaken(const struct plog_aside *job)
{
    const struct plog *log = job->log, *shadow = &job->shadow;
    return log->layout != shadow->layout || log->rolls != shadow->rolls || log->start > shadow->start;
}

/* ERR_STALE: it speaks of files that are no more. */
static enum err take(struct plog_aside *job)
{
    struct plog *log = job->log;
    if (log->failed)
        return log->failed;
    if (overtaken(job))
        PROBE(ASIDE_OVERTAKEN);
    if (job->shadow.layout != log->layout) {
        if (log->handles)
            atomic_fetch_add_explicit(&log->handles->asides_stale, 1, memory_order_relaxed);
        return ERR_STALE;
    }
    PROBE(ASIDE_TAKEN);
    enum err err = take_epochs(log, &job->shadow);
    if (err == OK)
        err = take_damages(log, &job->shadow);
    if (err == OK)
        err = take_segments(log, &job->shadow);
    return err ? err : job->result.err;
}

static void note_sought(struct plog_aside *job)
{
    struct plog_asides *asides = &job->log->asides;
    if (job->task != PLOG_ASIDE_DAMAGE || job->result.err == ERR_STALE)
        return;
    asides->sought = job->key;
    asides->sought_err = job->result.err;
}

/* Who is told may close the log. */
static void tell(struct plog_aside *job)
{
    struct plog *log = job->log;
    enum err err = job->result.err;
    leave_list(job);
    if (job->done)
        job->done(job->ctx, &job->result);
    else if (log->learned && !atomic_load(&job->stop))
        log->learned(log->ctx, err == ERR_NOT_FOUND || err == ERR_STALE ? OK : err);
}

static void work_done(struct env_work *w)
{
    struct plog_aside *job = CONTAINER_OF(w, struct plog_aside, work);
    if (job->log && !atomic_load(&job->stop)) {
        job->result.err = take(job);
        if (job->result.err == ERR_FD_LIMIT)
            plog_handles_relieve(job->log);
        note_sought(job);
    }
    if (job->log)
        tell(job);
    job_free(job);
}

/* -- beginning and ending -- */

/* NULL: out of memory, or the log has failed. */
static struct plog_aside *start(struct plog *log, enum plog_aside_task task, int64_t key, int64_t from)
{
    struct plog_aside *job = plog_staged_write(log) == OK ? calloc(1, sizeof(*job)) : NULL;
    if (job == NULL)
        return NULL;
    job->env = log->env;
    job->task = task;
    job->key = key;
    job->work.work = work;
    job->work.done = work_done;
    if (!make_shadow(job, log, from)) {
        job_free(job);
        return NULL;
    }
    job->log = log;
    list_push_back(&log->asides.jobs, &job->link);
    count_waiting(log, 1);
    if (log->handles)
        atomic_fetch_add_explicit(&log->handles->asides, 1, memory_order_relaxed);
    env_work_submit(job->env, &job->work);
    return job;
}

static enum err no_start(const struct plog *log)
{
    return log->failed ? log->failed : ERR_NOMEM;
}

static enum err start_for(struct plog *log, enum plog_aside_task task, int64_t key, int64_t from,
                          void (*done)(void *ctx, const struct plog_aside_result *result), void *ctx,
                          struct plog_aside **ret_aside)
{
    if (log->failed)
        return log->failed;
    struct plog_aside *job = start(log, task, key, from);
    if (job == NULL)
        return no_start(log);
    job->done = done;
    job->ctx = ctx;
    *ret_aside = job;
    return OK;
}

enum err plog_aside_start(struct plog *log, enum plog_aside_task task, int64_t key,
                          void (*done)(void *ctx, const struct plog_aside_result *result), void *ctx,
                          struct plog_aside **ret_aside)
{
    return start_for(log, task, key, 0, done, ctx, ret_aside);
}

enum err plog_aside_find(struct plog *log, int64_t timestamp, int64_t from,
                         void (*done)(void *ctx, const struct plog_aside_result *result), void *ctx,
                         struct plog_aside **ret_aside)
{
    return start_for(log, PLOG_ASIDE_FIND, timestamp, from, done, ctx, ret_aside);
}

static void give_up(struct plog_aside *job)
{
    atomic_store(&job->stop, true);
    leave_list(job);
    job->log = NULL;
    job->done = NULL;
}

void plog_aside_cancel(struct plog_aside *aside)
{
    give_up(aside);
}

void plog_asides_leave(struct plog *log)
{
    while (!list_empty(&log->asides.jobs)) {
        PROBE(ASIDE_OVERTAKEN);
        give_up(CONTAINER_OF(log->asides.jobs.next, struct plog_aside, link));
    }
}

static bool runs(const struct plog *log, enum plog_aside_task task, int64_t key)
{
    list_for_each (it, &log->asides.jobs) {
        const struct plog_aside *job = CONTAINER_OF(it, struct plog_aside, link);
        if (job->task == task && job->key == key)
            return true;
    }
    return false;
}

enum err plog_aside_begin(struct plog *log, enum plog_aside_task task, const struct plog_segment *seg)
{
    bool going = runs(log, task, seg->base_offset) || start(log, task, seg->base_offset, 0) != NULL;
    return going ? ERR_BUSY : no_start(log);
}

enum err plog_damage_seek(struct plog *log, int64_t offset)
{
    struct plog_damage found;
    if (log->failed)
        return log->failed;
    if (plog_damage_at(log, offset, false))
        return OK;
    if (log->learned == NULL)
        return plog_damage_search(log, offset, &found);
    if (log->asides.sought == offset) {
        log->asides.sought = -1;
        return log->asides.sought_err == OK ? ERR_NOT_FOUND : log->asides.sought_err;
    }
    if (runs(log, PLOG_ASIDE_DAMAGE, offset))
        return ERR_BUSY;
    return start(log, PLOG_ASIDE_DAMAGE, offset, 0) ? ERR_BUSY : no_start(log);
}
