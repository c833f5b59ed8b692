/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker does for compaction: first the keys of the dirty part, then every segment anew. Touches only
 * the job and files that it opens itself. */
#include <stdlib.h>
#include <string.h>

#include "broker/log/plog_compact_int.h"
#include "common/base/assert.h"
#include "common/base/mutant.h"

/* -- reading -- */

static void close_in(struct plog_compaction *job)
{
    if (!job->walking)
        return;
    plog_walk_end(&job->walk);
    env_file_close(job->in.file);
    job->in.file = NULL;
    job->walking = false;
}

static enum err open_in(struct plog_compaction *job)
{
    const struct compact_source *source = &job->sources[job->at];
    char path[PLOG_PATH_MAX];
    plog_path(&job->shadow, source->base_offset, ".log", path);
    job->in = (struct plog_segment){.base_offset = source->base_offset, .size = source->size};
    enum err err = env_file_open(job->env, path, ENV_OPEN_READ, &job->in.file);
    if (err)
        return err;
    job->walking = true;
    job->expected = source->base_offset;
    return plog_walk_begin(&job->walk, &job->shadow, &job->in, 0, true);
}

/* No checksum covers a batch's base offset: one that cannot be is damage, which must not be copied (behind
 * missing offsets nobody could tell any more) nor win over newer records. */
static bool in_line(struct plog_compaction *job, const struct batch_header *batch)
{
    int64_t source_end = job->sources[job->at].end_offset;
    bool fits = plog_damage_in_line(&job->shadow, &job->walk, batch, job->expected, source_end);
    job->expected = batch->last_offset + 1;
    return fits;
}

/* The next batch of sources [at, to), which is *ret_last when none follows in its source. ERR_NOT_FOUND:
 * all are through. */
static enum err next_batch(struct plog_compaction *job, int32_t to, const uint8_t **ret_batch, bool *ret_last)
{
    struct batch_header header;
    while (job->at < to) {
        enum err err = job->walking ? OK : open_in(job);
        if (err == OK)
            err = plog_walk_next(&job->walk, &header, ret_batch);
        if (err == OK && !in_line(job, &header))
            err = ERR_CORRUPT;
        if (err == OK) {
            job->step_bytes += header.size_bytes;
            job->result.bytes_read += header.size_bytes;
            *ret_last = job->walk.position >= job->walk.limit;
            return OK;
        }
        close_in(job);
        if (err != ERR_NOT_FOUND)
            return err == ERR_TRUNCATED ? ERR_CORRUPT : err;
        job->at++;
    }
    return ERR_NOT_FOUND;
}

/* -- producers -- */

int compact_producer_order(const void *a, const void *b)
{
    const struct compact_producer *x = a, *y = b;
    return (x->producer_id > y->producer_id) - (x->producer_id < y->producer_id);
}

/* Of a batch with a sequence; NULL: none that is known. */
static struct compact_producer *producer_of(const struct plog_compaction *job, const uint8_t *batch)
{
    struct compact_producer want = {.producer_id = batch_producer_id(batch)};
    if (want.producer_id < 0 || batch_base_sequence(batch) < 0 || job->producers_count == 0 ||
        MUTANT(LOSE_LAST_PRODUCER_BATCH))
        return NULL;
    return bsearch(&want, job->producers, job->producers_count, sizeof(want), compact_producer_order);
}

static void note_producer(struct plog_compaction *job, const uint8_t *batch)
{
    struct compact_producer *producer = producer_of(job, batch);
    if (producer)
        producer->last_offset = batch_last_offset(batch);
}

/* -- keys -- */

static void begin_copy(struct plog_compaction *job)
{
    close_in(job);
    job->stage = COMPACT_COPY;
    job->at = job->group_from = job->group_to = 0;
    compact_txns_restart(&job->txns);
    job->result.keys = job->map.count;
}

/* False: the map is full; it covers what came before. */
static bool map_records(struct plog_compaction *job, const uint8_t *batch)
{
    struct batch_iter it;
    struct record record;
    job->err = (enum err)batch_iter_init(&it, batch, &job->scratch);
    while (job->err == OK && batch_iter_next(&it, &record)) {
        if (record.key.len < 0 || record.offset <= job->map.latest || record.offset < job->first_dirty)
            continue;
        if (!offset_map_put(&job->map, record.key, record.offset))
            return false;
    }
    job->err = job->err ? job->err : it.r.err;
    return true;
}

/* The map speaks for everything below map_end, keyless batches included. */
static void map_step(struct plog_compaction *job)
{
    const uint8_t *batch;
    bool last;
    while (job->step_bytes < COMPACT_STEP_BYTES && !atomic_load(&job->stop)) {
        enum err err = next_batch(job, job->sources_count, &batch, &last);
        if (err == ERR_NOT_FOUND) {
            job->map_end = job->sources[job->sources_count - 1].end_offset;
            job->map.latest = MAX(job->map.latest, job->map_end - 1);
            begin_copy(job);
            return;
        }
        job->err = err;
        bool discard = err == OK && compact_txns_batch(job, batch);
        if (job->err)
            return;
        note_producer(job, batch);
        if (batch_is_control(batch) || discard || batch_last_offset(batch) < job->first_dirty)
            continue;
        if (!map_records(job, batch)) {
            job->map_end = job->map.latest + 1;
            begin_copy(job);
            return;
        }
        if (job->err)
            return;
    }
}

/* -- the new segment -- */

/* As many sources as fit into one segment. */
static void choose_group(struct plog_compaction *job)
{
    const struct compact_source *first = &job->sources[job->at];
    int64_t bytes = first->size, limit = job->shadow.config.segment_bytes;
    int64_t index_limit = job->shadow.config.segment_index_bytes > 0
                              ? job->shadow.config.segment_index_bytes / TIME_ENTRY
                              : INT64_MAX;
    int32_t to = job->at + 1;
    for (; to < job->sources_count; to++) {
        bytes += job->sources[to].size;
        bool offsets_fit = job->sources[to].end_offset - first->base_offset <= INT32_MAX;
        bool index_fits = bytes / job->shadow.config.index_interval_bytes < index_limit;
        if (bytes > limit || !offsets_fit || !index_fits)
            break;
    }
    job->group_from = job->at;
    job->group_to = to;
}

static enum err create(struct plog_compaction *job, const char *suffix, struct env_file **ret_file)
{
    char path[PLOG_PATH_MAX];
    plog_path(&job->shadow, job->out.base_offset, suffix, path);
    enum err err = env_unlink(job->env, path);
    if (err && err != ERR_NOT_FOUND)
        return err;
    return env_file_open(job->env, path, ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_EXCLUSIVE, ret_file);
}

static enum err begin_out(struct plog_compaction *job)
{
    if (atomic_load(&job->stop)) /* the log may be open again elsewhere: touch no names */
        return ERR_CANCELED;
    int64_t base = job->sources[job->group_from].base_offset;
    job->out = (struct plog_segment){.base_offset = base,
                                     .max_timestamp = -1,
                                     .max_timestamp_offset = base,
                                     .times_known = true,
                                     .times_exact = true,
                                     .index = {.in_memory = true, .trusted = true}};
    job->buffer.len = 0;
    job->kept_aborted_count = 0;
    job->changed = false;
    return create(job, ".log.cleaned", &job->out_file);
}

static enum err write_out(struct plog_compaction *job)
{
    struct iovec iov = {job->buffer.p, job->buffer.len};
    if (job->buffer.len == 0)
        return OK;
    enum err err = env_file_write(job->out_file, job->out.size - job->buffer.len, &iov, 1);
    job->step_bytes += job->buffer.len;
    job->result.bytes_written += job->buffer.len;
    job->buffer.len = 0;
    return err;
}

static enum err add_out(struct plog_compaction *job, const uint8_t *batch, uint32_t len)
{
    struct batch_header header = batch_header_of(batch);
    enum err err = plog_index_reserve(&job->out, 2);
    if (err == OK)
        err = compact_reserve(&job->buffer, len);
    if (err)
        return err;
    memcpy(job->buffer.p + job->buffer.len, batch, len);
    job->buffer.len += len;
    plog_index_batch(&job->shadow, &job->out, &header, job->out.size);
    job->out.size += len;
    return job->buffer.len >= COMPACT_WRITE_BYTES ? write_out(job) : OK;
}

static enum err write_aborted(struct plog_compaction *job)
{
    struct env_file *file;
    uint8_t entry[TXN_ENTRY];
    struct iovec iov = {entry, sizeof(entry)};
    if (job->kept_aborted_count == 0)
        return OK;
    enum err err = create(job, ".txnindex.cleaned", &file);
    for (uint32_t i = 0; i < job->kept_aborted_count && err == OK; i++) {
        txn_entry_store(entry, job->kept_aborted[i]);
        err = env_file_write(file, (uint64_t)i * TXN_ENTRY, &iov, 1);
    }
    if (err == OK)
        env_file_close(file);
    return err;
}

static enum err finish_out(struct plog_compaction *job)
{
    struct plog_index *index = &job->out.index;
    enum err err = atomic_load(&job->stop) ? ERR_CANCELED : write_out(job);
    if (err == OK)
        err = create(job, ".index.cleaned", &index->offset_file);
    if (err == OK)
        err = create(job, ".timeindex.cleaned", &index->time_file);
    if (err == OK)
        err = plog_index_flush(&job->shadow, &job->out, true);
    return err ? err : write_aborted(job);
}

/* -- copying -- */

static bool is_last_of_producer(const struct plog_compaction *job, const uint8_t *batch)
{
    const struct compact_producer *producer = producer_of(job, batch);
    return producer && batch_last_offset(batch) >= producer->last_offset; /* beyond map_end nobody looked */
}

/* The group's very last batch keeps its header, so that the new segment ends where the old ones did. */
static enum err copy_batch(struct plog_compaction *job, const uint8_t *batch, bool last_of_group)
{
    struct compact_result result;
    struct compact_fate fate = {.discard = compact_txns_batch(job, batch),
                                .keep_empty = last_of_group || is_last_of_producer(job, batch)};
    if (job->err)
        return job->err;
    job->filter.map = &job->map;
    enum err err = compact_batch(&job->filter, batch, fate, &result);
    if (err)
        return err;
    job->result.records_before += result.records_before;
    job->result.records_after += result.records_after;
    job->changed = job->changed || result.p != batch || result.len == 0;
    return result.len > 0 ? add_out(job, result.p, result.len) : OK;
}

static void copy_step(struct plog_compaction *job)
{
    const uint8_t *batch;
    bool last;
    if (job->at == job->group_to) {
        choose_group(job);
        job->err = begin_out(job);
    }
    while (job->err == OK && job->step_bytes < COMPACT_STEP_BYTES && !atomic_load(&job->stop)) {
        enum err err = next_batch(job, job->group_to, &batch, &last);
        if (err == ERR_NOT_FOUND) {
            job->err = finish_out(job);
            job->stage = COMPACT_SYNC;
            return;
        }
        job->err = err ? err : copy_batch(job, batch, last && job->at + 1 == job->group_to);
    }
}

void compact_step(struct plog_compaction *job)
{
    if (job->stage == COMPACT_MAP && job->txns.list == NULL && job->at == 0 && !job->walking)
        job->err = compact_txns_load(job);
    if (job->err == OK && job->stage == COMPACT_MAP)
        map_step(job);
    else if (job->err == OK && job->stage == COMPACT_COPY)
        copy_step(job);
}

void compact_work_free(struct plog_compaction *job)
{
    close_in(job);
    plog_index_drop(&job->out);
    if (job->out_file)
        env_file_close(job->out_file);
    offset_map_free(&job->map);
    compact_txns_free(&job->txns);
    compact_filter_free(&job->filter);
    batch_scratch_free(&job->scratch);
    free(job->buffer.p);
    free(job->kept_aborted);
    free(job->producers);
    free(job->sources);
    free(job->index_bases);
    free(job->shadow.dir);
}
