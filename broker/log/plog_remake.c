/* SPDX-License-Identifier: Apache-2.0 */
/* Indexes of aborted transactions made anew from the batches, after an entry turned out to be bad (rot, or a
 * write that lost power tore). Nothing is taken over from the old one: who cannot trust one entry of a file
 * cannot know which are missing. */
#include <stdio.h>
#include <stdlib.h>

#include "broker/log/plog_damage_int.h"
#include "broker/log/plog_hooks.h"
#include "broker/log/plog_txnindex.h"
#include "common/base/assert.h"
#include "common/base/probe.h"

#define ENTRIES_MIN 16

struct plog_remade {
    const struct plog_segment *seg;
    uint8_t *entries;
    uint32_t len, cap;
    bool no_memory;
};

static bool reserve(struct plog_remade *remade)
{
    if (remade->len + TXN_ENTRY <= remade->cap)
        return true;
    uint32_t cap = MAX(2 * remade->cap, ENTRIES_MIN * TXN_ENTRY);
    uint8_t *grown = realloc(remade->entries, cap);
    if (grown == NULL)
        return false;
    remade->entries = grown;
    remade->cap = cap;
    return true;
}

void plog_remade_add(struct plog_remade *remade, const struct plog_segment *seg, const struct txn_entry *txn)
{
    if (seg != remade->seg) /* one in front of it, replayed for its producers */
        return;
    remade->no_memory = remade->no_memory || !reserve(remade);
    if (remade->no_memory)
        return;
    txn_entry_store(remade->entries + remade->len, *txn);
    remade->len += TXN_ENTRY;
}

/* Where a transaction began may lie in what is not known, and a marker that ended one. */
static bool is_damaged(const struct plog *log, int64_t end)
{
    const struct plog_damage *list;
    return plog_damages(log, &list) > 0 && list[0].offset < end;
}

/* The live state is not touched: producers are replayed into one of their own. */
static enum err replay(struct plog *log, int32_t place, struct plog_remade *remade)
{
    struct producer_state live = log->producers;
    producer_state_init(&log->producers, &log->alloc, log->config.producer_expiry_us);
    log->remade = remade;
    enum err err = plog_producers_replay(log, place);
    log->remade = NULL;
    producer_state_free(&log->producers);
    log->producers = live;
    return err == OK && remade->no_memory ? ERR_NOMEM : err;
}

/* All at once and durably: of an index that lost its end nobody could tell. */
static enum err replace(struct plog *log, struct plog_segment *seg, const struct plog_remade *remade)
{
    char path[PLOG_PATH_MAX], temp[PLOG_PATH_MAX + 4];
    struct iovec iov = {remade->entries, remade->len};
    struct env_file *file;
    plog_path(log, seg->base_offset, ".txnindex", path);
    snprintf(temp, sizeof(temp), "%s.tmp", path);
    enum err err = plog_handles_open(log, temp, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file);
    if (err)
        return err;
    err = env_file_truncate(file, 0);
    if (err == OK && remade->len > 0)
        err = env_file_write(file, 0, &iov, 1);
    if (err == OK)
        err = env_file_sync_wait(file);
    env_file_close(file);
    if (err == OK)
        err = env_rename(log->env, temp, path);
    if (err == OK)
        err = env_dir_sync_wait(log->env, log->dir);
    seg->txn_none = false;
    return err;
}

static enum err remake(struct plog *log, int32_t place)
{
    struct plog_remade remade = {.seg = &log->segments[place]};
    int64_t end = plog_segment_end(log, place);
    if (is_damaged(log, end))
        return ERR_BUSY;
    enum err err = replay(log, place, &remade);
    if (err == OK && is_damaged(log, end)) /* met on the way */
        err = ERR_BUSY;
    if (err == OK)
        err = replace(log, &log->segments[place], &remade);
    free(remade.entries);
    log->remade_count += err == OK;
    if (err == OK)
        PROBE(TXNINDEX_REMADE);
    return err;
}

uint32_t plog_aborted_remade(const struct plog *log)
{
    return log->remade_count;
}

static bool is_any(void *ctx, const struct txn_entry *txn)
{
    return true;
}

enum err plog_aborted_check(struct plog *log)
{
    char path[PLOG_PATH_MAX];
    ASSERT(log->remade == NULL);
    enum err err = plog_staged_write(log);
    for (int32_t i = 0; i < log->segments_count && err == OK; i++) {
        plog_path(log, log->segments[i].base_offset, ".txnindex", path);
        err = plog_aborted_load(log->env, path, is_any, NULL);
        if (err == ERR_CORRUPT)
            err = remake(log, i);
    }
    return err;
}
