/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "broker/log/plog_hooks.h"
#include "broker/log/plog_internal.h"
#include "common/base/assert.h"

static enum err open_file(struct plog *log, struct plog_segment *seg, struct env_file **ret_file)
{
    char path[PLOG_PATH_MAX];
    enum err err = plog_handles_use(log, seg);
    if (err == OK && seg->file == NULL) {
        plog_path(log, seg->base_offset, seg->swapping ? ".log.swap" : ".log", path);
        int flags = plog_is_shadow(&log->asides) ? ENV_OPEN_READ : ENV_OPEN_WRITE;
        err = plog_handles_open(log, path, flags, &seg->file);
    }
    if (err)
        return err;
    *ret_file = seg->file;
    return OK;
}

enum err plog_segment_file(struct plog *log, struct plog_segment *seg, struct env_file **ret_file)
{
    enum err err = log->staged.count > 0 && seg == plog_active(log) ? plog_staged_write(log) : OK;
    return err ? err : open_file(log, seg, ret_file);
}

enum err plog_active_file(struct plog *log, struct env_file **ret_file)
{
    return open_file(log, plog_active(log), ret_file);
}

/* Where a log begins is known from the name of its first segment, until the manifest knows more: that name is
 * on the disk before there is a second one, or a power cut may leave a log that begins with the second.
 * Blocking, and rare: no sync has ended since the log began, and a segment is full. */
static enum err keep_beginning(struct plog *log)
{
    if (log->segments_count != 1 || log->synced_end > log->segments[0].base_offset)
        return OK;
    return env_dir_sync_wait(log->env, log->dir);
}

enum err plog_segment_add(struct plog *log, int64_t base_offset)
{
    char path[PLOG_PATH_MAX];
    struct env_file *file;
    enum err err = keep_beginning(log);
    if (err)
        return err;
    if (log->segments_count == log->segments_cap) {
        int32_t cap = log->segments_cap ? log->segments_cap * 2 : 2;
        void *grown = realloc(log->segments, (size_t)cap * sizeof(*log->segments));
        if (grown == NULL)
            return ERR_NOMEM;
        log->segments = grown;
        log->segments_cap = cap;
    }
    plog_path(log, base_offset, ".log", path);
    err = plog_handles_open(log, path, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file);
    if (err)
        return err;
    err = env_file_truncate(file, 0);
    if (err) {
        env_file_close(file);
        return err;
    }
    struct plog_segment *seg = &log->segments[log->segments_count++];
    *seg = (struct plog_segment){.base_offset = base_offset,
                                 .file = file,
                                 .max_timestamp = -1,
                                 .max_timestamp_offset = base_offset,
                                 .times_known = true,
                                 .times_exact = true,
                                 .index = {.in_memory = true, .trusted = true}};
    plog_segment_began(log, seg);
    log->dir_dirty = true;
    log->recent_count = 0;
    return plog_handles_use(log, seg);
}

enum err plog_segment_insert_first(struct plog *log, int64_t base_offset)
{
    ASSERT(log->segments_count > 0 && base_offset < log->segments[0].base_offset);
    enum err err = plog_segment_add(log, base_offset);
    if (err)
        return err;
    struct plog_segment first = log->segments[log->segments_count - 1];
    memmove(log->segments + 1, log->segments, (size_t)(log->segments_count - 1) * sizeof(*log->segments));
    log->segments[0] = first;
    plog_segment_close(&log->segments[0]);
    return OK;
}

void plog_segment_close(struct plog_segment *seg)
{
    plog_index_drop(seg);
    plog_ranges_clear(&seg->verified);
    if (seg->file)
        env_file_close(seg->file);
    seg->file = NULL;
    plog_handles_drop(seg);
}

/* The active segment ends; its data is synced with the next round like any other. */
enum err plog_roll(struct plog *log)
{
    struct plog_segment *seg = plog_active(log);
    enum err err = plog_staged_write(log);
    if (err == OK)
        err = plog_return_room(log, seg);
    if (err == OK)
        err = plog_index_flush(log, seg, true);
    if (err)
        return err;
    plog_index_drop(seg);
    err = plog_segment_add(log, log->end);
    log->rolls++;
    return err ? err : plog_snapshot_write(log, NULL);
}

enum err plog_segment_unlink(struct plog *log, struct plog_segment *seg)
{
    static const char *const suffixes[] = {".index", ".timeindex", ".txnindex", ".snapshot", ".log"};
    char path[PLOG_PATH_MAX];
    enum err err = OK;
    plog_segment_close(seg);
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        plog_path(log, seg->base_offset, suffixes[i], path);
        enum err one = env_unlink(log->env, path);
        if (one && one != ERR_NOT_FOUND)
            err = one;
    }
    log->dir_dirty = true;
    return err;
}

enum err plog_segments_remove(struct plog *log, int32_t from, int32_t count)
{
    enum err err = OK;
    ASSERT(from >= 0 && count >= 0 && from + count <= log->segments_count);
    for (int32_t i = from; i < from + count; i++) {
        enum err one = plog_segment_unlink(log, &log->segments[i]);
        err = err ? err : one;
    }
    memmove(log->segments + from, log->segments + from + count,
            (size_t)(log->segments_count - from - count) * sizeof(*log->segments));
    log->segments_count -= count;
    log->layout++;
    return err;
}

int32_t plog_segment_find(const struct plog *log, int64_t offset)
{
    int32_t low = 0, high = log->segments_count;
    while (high - low > 1) {
        int32_t mid = low + (high - low) / 2;
        if (log->segments[mid].base_offset <= offset)
            low = mid;
        else
            high = mid;
    }
    return low;
}
