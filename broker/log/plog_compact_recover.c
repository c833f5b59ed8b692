/* SPDX-License-Identifier: Apache-2.0 */
/* What a compaction that a crash ended left behind: `.cleaned` files go, a `.swap` is finished. Before the
 * log's segments are listed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/log/plog_hooks.h"
#include "broker/log/plog_internal.h"
#include "common/base/assert.h"
#include "common/base/probe.h"
#include "common/logformat/file_name.h"

#define SWAPS_MAX 64 /* one compaction has one; more can only be somebody else's */

struct leftovers {
    struct plog *log;
    int64_t swaps[SWAPS_MAX];
    int32_t swaps_count;
    enum err err;
};

static bool has_suffix(const char *name, const char *suffix)
{
    size_t len = strlen(name), n = strlen(suffix);
    return len > n && strcmp(name + len - n, suffix) == 0;
}

static bool look_at(void *ctx, const char *name, bool is_dir)
{
    struct leftovers *left = ctx;
    char path[PLOG_PATH_MAX];
    int64_t base;
    if (is_dir)
        return true;
    if (log_file_name_parse(name, ".log.swap", &base) && left->swaps_count < SWAPS_MAX) {
        left->swaps[left->swaps_count++] = base;
        return true;
    }
    if (!has_suffix(name, ".cleaned"))
        return true;
    plog_path_name(left->log, name, path);
    left->err = env_unlink(left->log->env, path);
    left->log->dir_dirty = true;
    return left->err == OK;
}

/* The walk met bad bytes: on to the next good batch. ERR_NOT_FOUND: there is none. */
static enum err step_over(struct plog_walk *walk, int64_t expected)
{
    bool found;
    uint32_t position;
    enum err err = plog_walk_search(walk, expected - 1, INT64_MAX, &found, &position);
    return err == OK && !found ? ERR_NOT_FOUND : err;
}

/* Where the new segment ends. All of it was synced before it got its name: bad bytes are damage like that of
 * any segment (a range of the open log, mended from a peer), not a reason to refuse the log. When they are
 * its last ones old segments may stay behind it; what they hold, it held, too. */
static enum err walk_to_end(struct plog_walk *walk, int64_t *ret_end, bool *ret_bad)
{
    struct batch_header batch;
    enum err err = OK;
    while (err == OK) {
        err = plog_walk_next(walk, &batch, NULL);
        if (err == OK)
            *ret_end = batch.last_offset + 1;
        if (err != ERR_CORRUPT && err != ERR_TRUNCATED)
            continue;
        *ret_bad = true;
        err = step_over(walk, *ret_end);
    }
    return err == ERR_NOT_FOUND ? OK : err;
}

static enum err end_of(struct plog *log, int64_t base, int64_t *ret_end, bool *ret_bad)
{
    char path[PLOG_PATH_MAX];
    struct plog_segment seg = {.base_offset = base, .swapping = true};
    struct plog_walk walk = {0};
    uint64_t size = 0;
    plog_path(log, base, ".log.swap", path);
    enum err err = plog_handles_open(log, path, ENV_OPEN_READ, &seg.file);
    if (err)
        return err;
    err = env_file_size(seg.file, &size);
    seg.size = (uint32_t)MIN(size, PLOG_SEGMENT_BYTES_MAX);
    *ret_end = base;
    if (err == OK)
        err = plog_walk_begin(&walk, log, &seg, 0, true);
    if (err == OK)
        err = walk_to_end(&walk, ret_end, ret_bad);
    plog_walk_end(&walk);
    plog_segment_close(&seg);
    return err;
}

struct replaced {
    struct plog *log;
    int64_t base, end;
    enum err err;
};

/* Segments whose records the new one holds, and what was derived from the first of them. */
static bool remove_replaced(void *ctx, const char *name, bool is_dir)
{
    static const char *const suffixes[] = {".log", ".index", ".timeindex", ".txnindex"};
    struct replaced *old = ctx;
    char path[PLOG_PATH_MAX];
    int64_t base;
    for (size_t i = 0; i < ARRAY_LEN(suffixes) && !is_dir; i++) {
        bool is_log = i == 0;
        if (!log_file_name_parse(name, suffixes[i], &base) || base < old->base || base >= old->end ||
            (base == old->base && is_log))
            continue;
        plog_path_name(old->log, name, path);
        old->err = env_unlink(old->log->env, path);
    }
    return old->err == OK;
}

static enum err finish(struct plog *log, int64_t base, int64_t end)
{
    struct replaced old = {.log = log, .base = base, .end = end};
    char from[PLOG_PATH_MAX], to[PLOG_PATH_MAX];
    enum err err = env_dir_list(log->env, log->dir, remove_replaced, &old);
    err = err ? err : old.err;
    if (err == OK)
        err = env_dir_sync_wait(log->env, log->dir);
    if (err)
        return err;
    plog_path(log, base, ".log.swap", from);
    plog_path(log, base, ".log", to);
    err = env_rename(log->env, from, to);
    return err ? err : env_dir_sync_wait(log->env, log->dir);
}

enum err plog_compact_recover(struct plog *log, struct plog_report *report)
{
    struct leftovers left = {.log = log};
    enum err err = env_dir_list(log->env, log->dir, look_at, &left);
    err = err ? err : left.err;
    for (int32_t i = 0; i < left.swaps_count && err == OK; i++) {
        int64_t end = left.swaps[i];
        bool bad = false;
        err = end_of(log, left.swaps[i], &end, &bad);
        if (bad)
            snprintf(report->damage, PLOG_DAMAGE_TEXT_MAX,
                     "%020" PRId64 ".log.swap: bad batches before offset %" PRId64, left.swaps[i], end);
        if (err == OK)
            err = finish(log, left.swaps[i], end);
        if (err == OK)
            PROBE(SWAP_RECOVERED);
    }
    return err;
}
