/* SPDX-License-Identifier: Apache-2.0 */
/* Names in a log's directory, and its small files: partition.metadata, leader-epoch-checkpoint, producer
 * snapshots. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/log/partition_meta.h"
#include "broker/log/plog_hooks.h"
#include "broker/log/plog_internal.h"
#include "common/base/assert.h"
#include "common/batch/marker.h"
#include "common/logformat/epoch_text.h"
#include "common/logformat/meta_text.h"

#define EPOCHS_BYTES_MAX (64u << 20)
#define SNAPSHOT_MAX     (512u << 20)

void plog_path_name(const struct plog *log, const char *name, char out[PLOG_PATH_MAX])
{
    int len = snprintf(out, PLOG_PATH_MAX, "%s/%s", log->dir, name);
    ASSERT(len > 0 && len < PLOG_PATH_MAX); /* PLOG_DIR_MAX + PLOG_NAME_MAX fit */
}

void plog_path(const struct plog *log, int64_t offset, const char *suffix, char out[PLOG_PATH_MAX])
{
    char name[LOG_FILE_NAME_MAX];
    log_file_name_format(offset, suffix, name);
    plog_path_name(log, name, out);
}

enum err plog_file_replace(struct plog *log, const char *name, const void *p, uint32_t len,
                           struct env_file **ret_file)
{
    char path[PLOG_PATH_MAX], temp[PLOG_PATH_MAX + 4];
    struct env_file *file;
    struct iovec iov = {(void *)(uintptr_t)p, len};
    plog_path_name(log, name, path);
    snprintf(temp, sizeof(temp), "%s.tmp", path);
    enum err err = plog_handles_open(log, temp, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file);
    if (err)
        return err;
    err = env_file_truncate(file, 0);
    if (err == OK)
        err = env_file_write(file, 0, &iov, 1);
    if (err == OK)
        err = env_rename(log->env, temp, path);
    log->dir_dirty = true;
    if (err || ret_file == NULL)
        env_file_close(file);
    else
        *ret_file = file;
    return err;
}

/* -- partition.metadata -- */

enum err plog_meta_write(struct plog *log)
{
    char text[META_TEXT_MAX];
    uint32_t len = meta_text_format(log->topic_id, text);
    return plog_file_replace(log, META_TEXT_NAME, text, len, NULL);
}

/* It never changes: made durable where it is, so that no failure on the way costs one that is durable
 * already. The same bytes are written again: a failed sync of a process that was killed may have left them
 * clean in the page cache. */
enum err plog_meta_file(struct plog *log, struct env_file **ret_file)
{
    char path[PLOG_PATH_MAX], text[META_TEXT_MAX];
    struct iovec iov = {.iov_base = text, .iov_len = meta_text_format(log->topic_id, text)};
    struct env_file *file;
    plog_path_name(log, META_TEXT_NAME, path);
    enum err err = plog_handles_open(log, path, ENV_OPEN_WRITE, &file);
    if (err)
        return err;
    err = env_file_write(file, 0, &iov, 1);
    if (err)
        env_file_close(file);
    else
        *ret_file = file;
    return err;
}

/* A directory without (readable) metadata is ours when it holds no segment, or an empty one: a crash before
 * the first sync. The caller looks. */
enum err plog_meta_open(struct plog *log, bool *ret_created)
{
    struct uuid found;
    enum err err = env_mkdir(log->env, log->dir);
    if (err && err != ERR_EXISTS)
        return err;
    err = partition_meta_read(log->env, log->dir, &found);
    *ret_created = err == ERR_NOT_FOUND || err == ERR_CORRUPT;
    if (*ret_created)
        return OK;
    return err || uuid_eq(found, log->topic_id) ? err : ERR_MISMATCH;
}

/* -- leader-epoch-checkpoint -- */

enum err plog_epochs_load(struct plog *log)
{
    char path[PLOG_PATH_MAX];
    uint8_t *text;
    uint32_t len;
    plog_path_name(log, EPOCH_TEXT_NAME, path);
    enum err err = log_file_load(log->env, path, EPOCHS_BYTES_MAX, &text, &len);
    if (err)
        return err;
    err = epoch_cache_parse(&log->epochs, (const char *)text, len);
    free(text);
    return err;
}

enum err plog_epochs_write(struct plog *log, struct env_file **ret_file)
{
    char *text = malloc(epoch_cache_text_max(&log->epochs));
    if (text == NULL)
        return ERR_NOMEM;
    uint32_t len = epoch_cache_format(&log->epochs, text);
    enum err err = plog_file_replace(log, EPOCH_TEXT_NAME, text, len, ret_file);
    free(text);
    if (err == OK)
        log->epochs_dirty = false;
    return err;
}

/* -- producer snapshots -- */

enum err plog_snapshot_write(struct plog *log, struct env_file **ret_file)
{
    char name[PLOG_NAME_MAX];
    uint64_t size = producer_snapshot_size(&log->producers);
    if (size > SNAPSHOT_MAX)
        return ERR_TOO_LARGE;
    uint8_t *p = malloc(size);
    if (p == NULL)
        return ERR_NOMEM;
    producer_snapshot_encode(&log->producers, p);
    snprintf(name, sizeof(name), "%020" PRId64 ".snapshot", log->end);
    enum err err = plog_file_replace(log, name, p, (uint32_t)size, ret_file);
    free(p);
    return err;
}

/* The newest snapshot at or below `limit`; -1: none. */
struct snapshot_search {
    int64_t limit, found;
};

static bool find_snapshot(void *ctx, const char *name, bool is_dir)
{
    struct snapshot_search *search = ctx;
    int64_t offset;
    if (!is_dir && log_file_name_parse(name, ".snapshot", &offset) && offset <= search->limit &&
        offset > search->found)
        search->found = offset;
    return true;
}

static enum err load_snapshot(struct plog *log, int64_t offset)
{
    char path[PLOG_PATH_MAX];
    uint8_t *p;
    uint32_t len;
    plog_path(log, offset, ".snapshot", path);
    enum err err = log_file_load(log->env, path, SNAPSHOT_MAX, &p, &len);
    if (err)
        return err;
    err = producer_snapshot_decode(&log->producers, p, len, env_now_us(log->env));
    free(p);
    return err;
}

/* Loads the newest good snapshot at or below `limit`; *ret_offset is where replay begins. Unusable ones are
 * passed over. */
static enum err newest_snapshot(struct plog *log, int64_t limit, int64_t *ret_offset)
{
    struct snapshot_search search = {.limit = limit, .found = -1};
    for (;;) {
        search.found = -1;
        enum err err = env_dir_list(log->env, log->dir, find_snapshot, &search);
        if (err)
            return err;
        if (search.found < log->start) {
            producer_state_clear(&log->producers);
            *ret_offset = log->start;
            return OK;
        }
        err = load_snapshot(log, search.found);
        if (err == OK || err == ERR_NOMEM) {
            *ret_offset = search.found;
            return err;
        }
        search.limit = search.found - 1;
    }
}

/* Coordinators write transactional batches without sequence numbers: their transaction opens all the same. */
static enum err take_unnumbered(struct plog *log, const struct batch_header *batch)
{
    struct producer_batch producer = {.producer_id = batch->producer_id,
                                      .producer_epoch = batch->producer_epoch,
                                      .first_sequence = -1,
                                      .last_sequence = -1,
                                      .offset_delta = (int32_t)(batch->last_offset - batch->base_offset),
                                      .last_offset = batch->last_offset,
                                      .timestamp_ms = batch->max_timestamp,
                                      .transactional = true};
    return producer_state_update(&log->producers, &producer, env_now_us(log->env));
}

static enum err take_marker(struct plog *log, struct plog_segment *seg, const struct batch_header *batch,
                            const uint8_t *bytes, bool replayed)
{
    struct marker marker;
    struct producer_txn ended;
    int64_t stable;
    if (batch->size_bytes > MARKER_BYTES_MAX || marker_parse(bytes, &marker) != OK)
        return OK;
    enum err err =
        producer_state_marker(&log->producers,
                              &(struct producer_marker){.producer_id = batch->producer_id,
                                                        .producer_epoch = batch->producer_epoch,
                                                        .coordinator_epoch = marker.coordinator_epoch,
                                                        .offset = batch->last_offset,
                                                        .timestamp_ms = batch->max_timestamp},
                              env_now_us(log->env), &ended, &stable);
    if (err || marker.type != MARKER_ABORT)
        return err;
    if (ended.first_offset < 0) /* while other batches were bad, it may have seemed to end something */
        return replayed ? plog_aborted_forget(log, seg, batch->last_offset) : OK;
    struct txn_entry txn = {batch->producer_id, ended.first_offset, ended.last_offset, stable};
    return replayed ? plog_aborted_restore(log, seg, &txn) : plog_aborted_add(log, seg, &txn);
}

enum err plog_take_producer(struct plog *log, struct plog_segment *seg, const struct batch_header *batch,
                            const uint8_t *bytes, bool replayed)
{
    if (batch->producer_id >= 0 && (batch->attributes & BATCH_CONTROL))
        return take_marker(log, seg, batch, bytes, replayed);
    if (batch->producer_id < 0 || batch->base_sequence < 0)
        return batch->producer_id < 0 || !(batch->attributes & BATCH_TRANSACTIONAL)
                   ? OK
                   : take_unnumbered(log, batch);
    struct producer_batch producer = {.producer_id = batch->producer_id,
                                      .producer_epoch = batch->producer_epoch,
                                      .first_sequence = batch->base_sequence,
                                      .last_sequence = batch->last_sequence,
                                      .offset_delta = (int32_t)(batch->last_offset - batch->base_offset),
                                      .last_offset = batch->last_offset,
                                      .timestamp_ms = batch->max_timestamp,
                                      .transactional = batch->attributes & BATCH_TRANSACTIONAL};
    return producer_state_update(&log->producers, &producer, env_now_us(log->env));
}

/* The walk has just passed the control batch. */
static enum err replay_marker(struct plog *log, struct plog_segment *seg, const struct plog_walk *walk,
                              const struct batch_header *batch)
{
    uint8_t bytes[MARKER_BYTES_MAX];
    size_t got;
    if (batch->size_bytes > sizeof(bytes))
        return OK;
    enum err err =
        env_file_read(walk->file, walk->position - batch->size_bytes, bytes, batch->size_bytes, &got);
    if (err || got != batch->size_bytes)
        return err;
    return plog_take_producer(log, seg, batch, bytes, true);
}

static enum err replay_batch(struct plog *log, struct plog_segment *seg, const struct plog_walk *walk,
                             const struct batch_header *batch)
{
    if (batch->attributes & BATCH_CONTROL)
        return replay_marker(log, seg, walk, batch);
    return plog_take_producer(log, seg, batch, NULL, true);
}

/* from_begin: of the segment, as its index cannot be believed. Each batch is checked: one flipped bit makes a
 * marker commit what was aborted, or lets a transaction begin that never ends. */
static enum err replay_segment(struct plog *log, struct plog_segment *seg, int64_t from, bool from_begin)
{
    struct plog_walk walk;
    struct batch_header batch;
    uint32_t position = 0;
    bool inside = from > seg->base_offset && !from_begin;
    enum err err = inside ? plog_index_lookup(log, seg, from, &position) : OK;
    if (err == OK)
        err = plog_walk_begin(&walk, log, seg, position, true);
    if (err)
        return err;
    struct plog_line line = {.expected = position > 0 ? -1 : seg->base_offset, .inside = position > 0};
    while (err == OK) {
        err = plog_damage_walk(log, seg, &walk, &line, &batch); /* nobody looked there before */
        if (err == OK && batch.last_offset >= from)
            err = replay_batch(log, seg, &walk, &batch);
    }
    plog_walk_end(&walk);
    return err == ERR_NOT_FOUND ? OK : err;
}

/* from_begin: of the segment that the snapshot lies in. */
static enum err load_from(struct plog *log, int64_t limit, int32_t count, bool from_begin)
{
    int64_t from;
    enum err err = newest_snapshot(log, limit, &from);
    for (int32_t i = 0; i < count && err == OK; i++)
        if (plog_segment_end(log, i) > from)
            err = replay_segment(log, &log->segments[i], from, from_begin);
    return err;
}

/* Of the first `count` segments, from a snapshot at or below `limit` on. */
static enum err load_producers(struct plog *log, int64_t limit, int32_t count)
{
    enum err err = load_from(log, limit, count, false);
    return err == ERR_OUT_OF_RANGE ? load_from(log, limit, count, true) : err;
}

enum err plog_producers_load(struct plog *log)
{
    return load_producers(log, log->end, log->segments_count);
}

enum err plog_producers_replay(struct plog *log, int32_t place)
{
    return load_producers(log, log->segments[place].base_offset, place + 1);
}
