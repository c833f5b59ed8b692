/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/log/plog_txnindex.h"

#include <stdlib.h>
#include <string.h>

#include "broker/log/plog_hooks.h"
#include "broker/log/plog_internal.h"
#include "common/base/assert.h"
#include "common/base/wire.h"
#include "common/logwalk/file_load.h"

#define TXN_INDEX_BYTES_MAX (64u << 20)

/* Zeros, which lost power or a full disk may leave, are no transaction: the marker comes after what it ends.
 */
static bool sane(const struct txn_entry *txn, int64_t last)
{
    return txn->first_offset >= 0 && txn->last_offset > txn->first_offset && txn->last_offset > last;
}

/* Entries at p that make sense and end below `end`. */
static uint32_t good_entries(const uint8_t *p, uint32_t len, int64_t end)
{
    struct txn_entry txn;
    int64_t last = -1;
    uint32_t count = 0;
    for (uint32_t at = 0; at + TXN_ENTRY <= len; at += TXN_ENTRY) {
        if (!txn_entry_load(p + at, &txn) || !sane(&txn, last) || txn.last_offset >= end)
            break;
        last = txn.last_offset;
        count++;
    }
    return count;
}

enum err plog_aborted_load(struct env *env, const char *path,
                           bool (*each)(void *ctx, const struct txn_entry *txn), void *ctx)
{
    uint8_t *p = NULL;
    uint32_t len = 0;
    struct txn_entry txn;
    int64_t last = -1;
    enum err err = log_file_load(env, path, TXN_INDEX_BYTES_MAX, &p, &len);
    if (err)
        return err == ERR_NOT_FOUND ? OK : err;
    for (uint32_t at = 0; at + TXN_ENTRY <= len; at += TXN_ENTRY) {
        if (!txn_entry_load(p + at, &txn) || !sane(&txn, last) || !each(ctx, &txn))
            break;
        last = txn.last_offset;
    }
    free(p);
    return OK;
}

enum err plog_aborted_file(struct plog *log, const struct plog_segment *seg, struct env_file **ret_file)
{
    char path[PLOG_PATH_MAX];
    plog_path(log, seg->base_offset, ".txnindex", path);
    return plog_handles_open(log, path, ENV_OPEN_WRITE | ENV_OPEN_CREATE, ret_file);
}

enum err plog_aborted_add(struct plog *log, struct plog_segment *seg, const struct txn_entry *txn)
{
    uint8_t entry[TXN_ENTRY];
    struct iovec iov = {entry, sizeof(entry)};
    struct env_file *file;
    uint64_t size = 0;
    txn_entry_store(entry, *txn);
    enum err err = plog_staged_write(log); /* never an entry without its marker in the log */
    if (err)
        return err;
    err = plog_aborted_file(log, seg, &file);
    if (err)
        return plog_fail(log, err);
    err = env_file_size(file, &size);
    if (err == OK)
        err = env_file_write(file, size - size % TXN_ENTRY, &iov, 1);
    env_file_close(file);
    log->dir_dirty = log->dir_dirty || size == 0;
    seg->txn_dirty = seg->dirty = true;
    seg->txn_none = false;
    return err ? plog_fail(log, err) : OK;
}

enum err plog_aborted_sync_wait(struct plog *log, struct plog_segment *seg)
{
    char path[PLOG_PATH_MAX];
    struct env_file *file;
    plog_path(log, seg->base_offset, ".txnindex", path);
    enum err err = plog_handles_open(log, path, ENV_OPEN_WRITE, &file);
    if (err)
        return err == ERR_NOT_FOUND ? OK : err;
    err = env_file_sync_wait(file);
    env_file_close(file);
    seg->txn_dirty = err != OK;
    return err;
}

/* -- lookup -- */

struct aborted_search {
    int64_t from, end;
    void (*each)(void *ctx, const struct txn_entry *txn);
    void *ctx;
    bool done, any;
};

/* A marker written when all below `end` was stable already: no later one can speak of what lies before it
 * (Kafka's TransactionIndex.collectAbortedTxns). */
static bool take(void *ctx, const struct txn_entry *txn)
{
    struct aborted_search *search = ctx;
    search->any = true;
    if (txn->last_offset >= search->from && txn->first_offset < search->end)
        search->each(search->ctx, txn);
    search->done = txn->last_stable_offset >= search->end;
    return !search->done;
}

/* ERR_AGAIN: the file is to be read without the loop first. */
static enum err look_warm(struct plog *log, const char *path, struct plog_piece *ret_cold)
{
    struct env_file *file;
    uint64_t size;
    enum err err = plog_handles_open(log, path, ENV_OPEN_READ, &file);
    if (err)
        return err == ERR_NOT_FOUND ? OK : err;
    err = env_file_size(file, &size);
    size = MIN(size, PLOG_READ_BYTES_MAX);
    if (err == OK && size > 0 && !env_file_cached(file, 0, size)) {
        *ret_cold = (struct plog_piece){.file = file, .len = (int32_t)size};
        return ERR_AGAIN;
    }
    env_file_close(file);
    return err;
}

enum err plog_aborted_find(struct plog *log, int64_t from, int64_t end,
                           void (*each)(void *ctx, const struct txn_entry *txn), void *ctx,
                           struct plog_piece *ret_cold)
{
    struct aborted_search search = {.from = from, .end = end, .each = each, .ctx = ctx};
    char path[PLOG_PATH_MAX];
    for (int32_t i = plog_segment_find(log, from); i < log->segments_count && !search.done; i++) {
        if (log->segments[i].txn_none)
            continue;
        search.any = false;
        plog_path(log, log->segments[i].base_offset, ".txnindex", path);
        enum err err = ret_cold ? look_warm(log, path, ret_cold) : OK;
        if (err == OK)
            err = plog_aborted_load(log->env, path, take, &search);
        if (err)
            return err;
        log->segments[i].txn_none = !search.any;
    }
    return OK;
}

/* -- cutting -- */

static enum err write_kept(struct plog *log, const char *path, uint8_t *p, uint32_t size)
{
    struct iovec iov = {p, size};
    struct env_file *file;
    enum err err = plog_handles_open(log, path, ENV_OPEN_WRITE, &file);
    if (err)
        return err;
    if (size > 0)
        err = env_file_write(file, 0, &iov, 1);
    if (err == OK)
        err = env_file_truncate(file, size);
    env_file_close(file);
    return err;
}

/* Entry i of those at p. */
static struct txn_entry entry_at(const uint8_t *p, uint32_t i)
{
    struct txn_entry txn;
    bool loaded = txn_entry_load(p + (size_t)i * TXN_ENTRY, &txn);
    ASSERT(loaded);
    return txn;
}

/* The count entries at p with txn at place i: one more, or in the place of the one that is there. */
static enum err put_entry(struct plog *log, struct plog_segment *seg, const uint8_t *p, uint32_t count,
                          uint32_t i, bool replaces, const struct txn_entry *txn)
{
    char path[PLOG_PATH_MAX];
    uint32_t behind = count - i - (replaces ? 1 : 0), size = (i + 1 + behind) * TXN_ENTRY;
    uint8_t *merged = malloc(size);
    if (merged == NULL)
        return ERR_NOMEM;
    memcpy(merged, p, (size_t)i * TXN_ENTRY);
    txn_entry_store(merged + (size_t)i * TXN_ENTRY, *txn);
    memcpy(merged + (size_t)(i + 1) * TXN_ENTRY, p + (size_t)(count - behind) * TXN_ENTRY,
           (size_t)behind * TXN_ENTRY);
    plog_path(log, seg->base_offset, ".txnindex", path);
    enum err err = write_kept(log, path, merged, size);
    free(merged);
    seg->txn_dirty = seg->dirty = true;
    seg->txn_none = false;
    return err;
}

enum err plog_aborted_restore(struct plog *log, struct plog_segment *seg, const struct txn_entry *txn)
{
    char path[PLOG_PATH_MAX];
    uint8_t *p = NULL;
    uint32_t len = 0;
    plog_path(log, seg->base_offset, ".txnindex", path);
    enum err err = log_file_load(log->env, path, TXN_INDEX_BYTES_MAX, &p, &len);
    if ((err && err != ERR_NOT_FOUND) || plog_is_shadow(&log->asides)) {
        free(p);
        return err == ERR_NOT_FOUND ? OK : err;
    }
    uint32_t count = good_entries(p, len, INT64_MAX), i = count;
    while (i > 0 && entry_at(p, i - 1).last_offset >= txn->last_offset)
        i--;
    bool there = i < count && entry_at(p, i).last_offset == txn->last_offset;
    if (i == count && len / TXN_ENTRY == count) /* else what follows makes no sense, and goes */
        err = plog_aborted_add(log, seg, txn);
    else if (!there || entry_at(p, i).first_offset > txn->first_offset)
        err = put_entry(log, seg, p, count, i, there, txn);
    else
        err = OK;
    free(p);
    return err;
}

/* What stays is written again, to be synced with the segment: no sync of a killed process is believed. */
enum err plog_aborted_truncate(struct plog *log, struct plog_segment *seg, int64_t end)
{
    char path[PLOG_PATH_MAX];
    uint8_t *p = NULL;
    uint32_t len = 0;
    plog_path(log, seg->base_offset, ".txnindex", path);
    enum err err = log_file_load(log->env, path, TXN_INDEX_BYTES_MAX, &p, &len);
    if (err)
        return err == ERR_NOT_FOUND ? OK : err;
    err = write_kept(log, path, p, good_entries(p, len, end) * TXN_ENTRY);
    free(p);
    seg->txn_dirty = true;
    return err;
}

enum err plog_aborted_settle(struct plog *log)
{
    bool closed = false; /* one that was rolled, with a snapshot, and not synced */
    enum err err = OK;
    for (int32_t i = 0; i < log->segments_count && err == OK; i++) {
        closed |= log->segments[i].dirty && i + 1 < log->segments_count;
        if (log->segments[i].dirty)
            err = plog_aborted_truncate(log, &log->segments[i], log->end);
    }
    return err || !closed ? err : plog_snapshots_drop(log, log->synced_end);
}
