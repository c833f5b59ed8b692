/* SPDX-License-Identifier: Apache-2.0 */
/* Leader epochs from the batches, where the checkpoint is missing or wrong: no checksum covers that file. */
#include "broker/log/plog_internal.h"
#include "common/base/assert.h"

#define OTHERS_MIN 2 /* one batch may be wrong itself */

struct rebuild {
    struct plog *log;
    const struct epoch_cache *doubted; /* NULL: nothing to hold the batches against */
    int64_t limit;                     /* of the batches that are held against it */
    uint32_t others;                   /* of them that say another epoch */
    int64_t behind;                    /* the last batch */
    bool unread;                       /* bad bytes follow that */
    struct epoch_entry pending;        /* the newest batch's; epoch EPOCH_NONE: none */
};

static enum err settle(struct rebuild *r)
{
    struct epoch_entry entry = r->pending;
    r->pending.epoch = EPOCH_NONE;
    return entry.epoch > epoch_cache_latest(&r->log->epochs)
               ? epoch_cache_assign(&r->log->epochs, entry.epoch, entry.start_offset, NULL)
               : OK;
}

int64_t plog_epoch_began(const struct epoch_cache *said, int32_t epoch, int64_t behind, int64_t base_offset,
                         int64_t unsaid)
{
    for (uint32_t i = 0; said && i < said->count; i++) {
        const struct epoch_entry *e = &said->entries[i];
        if (e->epoch == epoch && e->start_offset >= behind && e->start_offset <= base_offset)
            return e->start_offset;
    }
    return unsaid;
}

/* Where nobody knows, with the first offset that compaction took. Bad bytes are not taken for such a gap: who
 * is sent back in front of them gives up what may be the only good copy. */
static int64_t began(const struct rebuild *r, const struct batch_header *batch)
{
    bool gap = r->log->config.may_have_gaps && !r->unread;
    int64_t first = gap ? MIN(MAX(r->behind, r->log->start), batch->base_offset) : batch->base_offset;
    return plog_epoch_began(r->doubted, batch->leader_epoch, r->behind, batch->base_offset, first);
}

/* An epoch counts once the batch behind does not say an older one: a flipped bit in one header must not make
 * all that follow it wrong. */
static enum err take(struct rebuild *r, const struct batch_header *batch)
{
    if (r->doubted && batch->base_offset < r->limit) {
        int32_t known = epoch_cache_at(r->doubted, batch->base_offset);
        r->others += known >= 0 && known != batch->leader_epoch;
    }
    enum err err = batch->leader_epoch >= r->pending.epoch ? settle(r) : OK;
    r->pending = (struct epoch_entry){batch->leader_epoch, began(r, batch)};
    r->behind = batch->last_offset + 1;
    r->unread = false;
    return err;
}

/* Epochs of a segment that may have bad batches: those behind a bad one count as well. */
static enum err rebuild_segment(struct rebuild *r, struct plog_segment *seg, int64_t limit)
{
    struct plog_walk walk;
    struct batch_header batch;
    uint32_t position;
    int64_t expected = seg->base_offset;
    bool found = true, loose = r->log->config.may_have_gaps; /* what follows may begin later */
    enum err err = plog_walk_begin(&walk, r->log, seg, 0, false);
    while (err == OK && found) {
        err = plog_walk_next(&walk, &batch, NULL);
        bool bad = err == ERR_CORRUPT || err == ERR_TRUNCATED;
        if (bad)
            err = plog_walk_search(&walk, expected - 1, limit, &found, &position);
        bool fits = !bad && err == OK && batch.base_offset < limit &&
                    (loose ? batch.base_offset >= expected : batch.base_offset == expected);
        r->unread = r->unread || bad || (err == OK && !fits);
        if (fits)
            err = take(r, &batch);
        expected = fits ? batch.last_offset + 1 : expected;
        loose = r->log->config.may_have_gaps || !fits;
    }
    plog_walk_end(&walk);
    return err == ERR_NOT_FOUND ? OK : err;
}

static enum err rebuild(struct rebuild *r)
{
    struct plog *log = r->log;
    enum err err = OK;
    r->pending.epoch = EPOCH_NONE;
    for (int32_t i = 0; i < log->segments_count && err == OK; i++)
        err = rebuild_segment(r, &log->segments[i],
                              i + 1 < log->segments_count ? log->segments[i + 1].base_offset : INT64_MAX);
    return err ? err : settle(r);
}

enum err plog_rebuild_epochs(struct plog *log)
{
    struct rebuild r = {.log = log};
    epoch_cache_clear(&log->epochs);
    enum err err = rebuild(&r);
    log->epochs_dirty = true;
    return err;
}

enum err plog_epochs_renew(struct plog *log, bool *ret_renewed)
{
    *ret_renewed = false;
    if (log->epochs_renewed)
        return OK;
    enum err err = plog_rebuild_epochs(log);
    *ret_renewed = log->epochs_renewed = err == OK;
    return err;
}

enum err plog_epochs_doubt(struct plog *log, const struct epoch_cache *doubted, int64_t limit,
                           bool *ret_renewed)
{
    struct epoch_cache old = log->epochs;
    struct rebuild r = {.log = log, .doubted = doubted ? doubted : &old, .limit = limit};
    *ret_renewed = false;
    if (log->epochs_renewed || log->epochs_asked)
        return OK;
    epoch_cache_init(&log->epochs, &log->alloc);
    enum err err = rebuild(&r);
    const struct epoch_entry *last = old.count > 0 ? &old.entries[old.count - 1] : NULL;
    if (err == OK && last && last->start_offset >= log->end && last->start_offset >= r.behind &&
        last->epoch > epoch_cache_latest(&log->epochs))
        err = epoch_cache_assign(&log->epochs, last->epoch, last->start_offset, NULL); /* no batch yet */
    log->epochs_asked = err == OK;
    bool renewed = err == OK && r.others >= OTHERS_MIN;
    if (!renewed) {
        struct epoch_cache fresh = log->epochs;
        log->epochs = old;
        epoch_cache_free(&fresh);
        return err;
    }
    epoch_cache_free(&old);
    *ret_renewed = log->epochs_renewed = log->epochs_dirty = true;
    return OK;
}
