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

/* Entry i of those at p. */
static struct txn_entry entry_at(const uint8_t *p, uint32_t i)
{
    struct txn_entry txn;
    bool loaded = txn_entry_load(p + (size_t)i * TXN_ENTRY, &txn);
    ASSERT(loaded);
    return txn;
}

enum err plog_aborted_load(struct env *env, const char *path,
                           bool (*each)(void *ctx, const struct txn_entry *txn), void *ctx)
{
    uint8_t *p = NULL;
    uint32_t len = 0, i = 0;
    bool more = true;
    enum err err = log_file_load(env, path, TXN_INDEX_BYTES_MAX, &p, &len);
    if (err)
        return err == ERR_NOT_FOUND ? OK : err;
    if (good_entries(p, len, INT64_MAX) < len / TXN_ENTRY)
        err = ERR_CORRUPT;
    while (err == OK && more && i < len / TXN_ENTRY) {
        struct txn_entry txn = entry_at(p, i++);
        more = each(ctx, &txn);
    }
    free(p);
    return err;
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
        if (err == ERR_CORRUPT && (err = plog_aborted_check(log)) == OK)
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

/* Where the entry of a marker is in a segment's index, or belongs. */
struct entry_place {
    uint8_t *p; /* the file; to be freed */
    uint32_t len;
    uint32_t count; /* entries that are good, up to the first that is not */
    uint32_t i;
    bool there, bad; /* bad: not all are good */
};

static enum err find_entry(struct plog *log, const struct plog_segment *seg, int64_t marker,
                           struct entry_place *ret)
{
    char path[PLOG_PATH_MAX];
    struct entry_place at = {0};
    plog_path(log, seg->base_offset, ".txnindex", path);
    enum err err = log_file_load(log->env, path, TXN_INDEX_BYTES_MAX, &at.p, &at.len);
    if (err && err != ERR_NOT_FOUND)
        return err;
    at.count = at.i = good_entries(at.p, at.len, INT64_MAX);
    at.bad = at.count < at.len / TXN_ENTRY;
    while (at.i > 0 && entry_at(at.p, at.i - 1).last_offset >= marker)
        at.i--;
    at.there = at.i < at.count && entry_at(at.p, at.i).last_offset == marker;
    *ret = at;
    return OK;
}

/* The entries with txn at its place: one more, or instead of the one that is there; NULL: without that. */
static enum err put_entry(struct plog *log, struct plog_segment *seg, const struct entry_place *at,
                          const struct txn_entry *txn)
{
    char path[PLOG_PATH_MAX];
    uint32_t before = at->i, behind = at->count - at->i - (at->there ? 1 : 0), own = txn ? 1 : 0;
    uint32_t size = (before + own + behind) * TXN_ENTRY;
    uint8_t *merged = malloc(MAX(size, 1));
    if (merged == NULL)
        return ERR_NOMEM;
    memcpy(merged, at->p, (size_t)before * TXN_ENTRY);
    if (txn)
        txn_entry_store(merged + (size_t)before * TXN_ENTRY, *txn);
    memcpy(merged + (size_t)(before + own) * TXN_ENTRY, at->p + (size_t)(at->count - behind) * TXN_ENTRY,
           (size_t)behind * TXN_ENTRY);
    plog_path(log, seg->base_offset, ".txnindex", path);
    enum err err = write_kept(log, path, merged, size);
    free(merged);
    seg->txn_dirty = seg->dirty = true;
    seg->txn_none = false;
    return err;
}

/* What is not known there may be a marker, which ends one transaction and lets another begin. */
static bool reaches_over_damage(const struct plog *log, int64_t first, int64_t last)
{
    const struct plog_damage *damage = plog_damage_at(log, first, true);
    return damage && damage->offset <= last;
}

/* The batches are believed, unless some of them are not known: then whether a transaction began where they
 * say is not known either. The lower stable offset is always right: readers look further than they would have
 * to.
 */
static struct txn_entry believed(const struct plog *log, const struct txn_entry *there,
                                 const struct txn_entry *derived)
{
    struct txn_entry txn = *there;
    if (!reaches_over_damage(log, MIN(there->first_offset, derived->first_offset), derived->last_offset))
        return *derived;
    txn.last_stable_offset = MIN(txn.last_stable_offset, derived->last_stable_offset);
    return txn;
}

static enum err correct(struct plog *log, struct plog_segment *seg, const struct entry_place *at,
                        const struct txn_entry *derived)
{
    struct txn_entry there = entry_at(at->p, at->i), txn = believed(log, &there, derived);
    bool same = txn.producer_id == there.producer_id && txn.first_offset == there.first_offset &&
                txn.last_stable_offset == there.last_stable_offset;
    return same ? OK : put_entry(log, seg, at, &txn);
}

enum err plog_aborted_restore(struct plog *log, struct plog_segment *seg, const struct txn_entry *txn)
{
    struct entry_place at;
    if (log->remade) {
        plog_remade_add(log->remade, seg, txn);
        return OK;
    }
    enum err err = find_entry(log, seg, txn->last_offset, &at);
    if (err)
        return err;
    if (plog_is_shadow(&log->asides) || at.bad) /* it has read the file, and writes none; made anew later */
        err = OK;
    else if (at.there)
        err = correct(log, seg, &at, txn);
    else if (at.i == at.count)
        err = plog_aborted_add(log, seg, txn);
    else
        err = put_entry(log, seg, &at, txn);
    free(at.p);
    return err;
}

enum err plog_aborted_forget(struct plog *log, struct plog_segment *seg, int64_t marker)
{
    struct entry_place at;
    if (log->remade)
        return OK;
    enum err err = find_entry(log, seg, marker, &at);
    if (err)
        return err;
    if (at.there && !at.bad && !plog_is_shadow(&log->asides) &&
        !reaches_over_damage(log, entry_at(at.p, at.i).first_offset, marker))
        err = put_entry(log, seg, &at, NULL);
    free(at.p);
    return err;
}

/* What stays is written again, to be synced with the segment: no sync of a killed process is believed. A bad
 * entry stays, too: without it nobody would see that those behind it are missing. */
enum err plog_aborted_truncate(struct plog *log, struct plog_segment *seg, int64_t end)
{
    char path[PLOG_PATH_MAX];
    uint8_t *p = NULL;
    uint32_t len = 0;
    plog_path(log, seg->base_offset, ".txnindex", path);
    enum err err = log_file_load(log->env, path, TXN_INDEX_BYTES_MAX, &p, &len);
    if (err)
        return err == ERR_NOT_FOUND ? OK : err;
    uint32_t kept = good_entries(p, len, end), good = good_entries(p, len, INT64_MAX);
    if (kept == good && good < len / TXN_ENTRY)
        kept++;
    err = write_kept(log, path, p, kept * TXN_ENTRY);
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
