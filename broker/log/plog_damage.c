/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/log/plog_damage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/log/plog_hooks.h"
#include "broker/log/plog_internal.h"
#include "common/base/assert.h"
#include "common/batch/marker.h"

/* -- the list -- */

int32_t plog_damages(const struct plog *log, const struct plog_damage **ret_list)
{
    int32_t below = 0;
    while (below < log->damages_count && log->damages[below].end <= log->start)
        below++;
    *ret_list = log->damages + below;
    return log->damages_count - below;
}

int32_t plog_damages_all(const struct plog *log, const struct plog_damage **ret_list)
{
    *ret_list = log->damages;
    return log->damages_count;
}

const struct plog_damage *plog_damage_at(const struct plog *log, int64_t offset, bool behind)
{
    for (int32_t i = 0; i < log->damages_count; i++) {
        const struct plog_damage *d = &log->damages[i];
        if (offset < d->end)
            return behind || offset >= d->offset ? d : NULL;
    }
    return NULL;
}

static void remove_at(struct plog *log, int32_t i)
{
    memmove(log->damages + i, log->damages + i + 1,
            (size_t)(log->damages_count - i - 1) * sizeof(*log->damages));
    log->damages_count--;
}

/* What was found covers a known range, or a part of it: they become one, and swallow what lies between. */
static enum err merge(struct plog *log, int32_t i, const struct plog_damage *damage)
{
    struct plog_damage *d = &log->damages[i];
    ASSERT(d->segment == damage->segment);
    for (;;) {
        uint32_t end = MAX(d->position + d->size, damage->position + damage->size);
        d->offset = MIN(d->offset, damage->offset);
        d->end = MAX(d->end, damage->end);
        d->position = MIN(d->position, damage->position);
        d->size = end - d->position;
        if (i + 1 == log->damages_count || d[1].offset >= d->end || d[1].segment != d->segment)
            return OK;
        struct plog_damage next = d[1];
        remove_at(log, i + 1);
        d->end = MAX(d->end, next.end);
        d->size = MAX(d->position + d->size, next.position + next.size) - d->position;
    }
}

enum err plog_damage_add(struct plog *log, const struct plog_damage *damage)
{
    int32_t at = 0;
    ASSERT(damage->offset < damage->end);
    if (log->damages_count == log->damages_cap) {
        int32_t cap = log->damages_cap ? log->damages_cap * 2 : 4;
        void *grown = realloc(log->damages, (size_t)cap * sizeof(*log->damages));
        if (grown == NULL)
            return ERR_NOMEM;
        log->damages = grown;
        log->damages_cap = cap;
    }
    while (at < log->damages_count && log->damages[at].offset < damage->offset)
        at++;
    if (at > 0 && log->damages[at - 1].end > damage->offset)
        return merge(log, at - 1, damage);
    if (at < log->damages_count && log->damages[at].offset < damage->end)
        return merge(log, at, damage);
    memmove(log->damages + at + 1, log->damages + at,
            (size_t)(log->damages_count - at) * sizeof(*log->damages));
    log->damages[at] = *damage;
    log->damages_count++;
    return OK;
}

void plog_damage_keep(struct plog *log, int64_t start, int64_t end)
{
    for (int32_t i = log->damages_count - 1; i >= 0; i--)
        if (log->damages[i].end <= start || log->damages[i].offset >= end)
            remove_at(log, i);
}

uint32_t plog_damage_hop(const struct plog *log, int64_t segment, uint32_t position)
{
    for (int32_t i = 0; i < log->damages_count; i++) {
        const struct plog_damage *d = &log->damages[i];
        if (d->segment == segment && position >= d->position && position - d->position < d->size)
            position = d->position + d->size; /* where the next one may begin */
    }
    return position;
}

uint32_t plog_damage_pass(const struct plog *log, const struct plog_segment *seg, int64_t offset,
                          uint32_t position)
{
    for (int32_t i = 0; i < log->damages_count; i++) {
        const struct plog_damage *d = &log->damages[i];
        if (d->segment == seg->base_offset && d->end <= offset)
            position = MAX(position, d->position + d->size);
    }
    return position;
}

bool plog_damage_behind(const struct plog *log, const struct plog_segment *seg, uint32_t position,
                        int64_t *ret_next)
{
    for (int32_t i = 0; i < log->damages_count; i++)
        if (log->damages[i].segment == seg->base_offset && log->damages[i].position == position) {
            *ret_next = log->damages[i].offset;
            return true;
        }
    *ret_next = plog_segment_end(log, (int32_t)(seg - log->segments));
    return position >= seg->size;
}

bool plog_damage_in(const struct plog *log, const struct plog_segment *seg)
{
    for (int32_t i = 0; i < log->damages_count; i++)
        if (log->damages[i].segment == seg->base_offset)
            return true;
    return false;
}

/* -- finding -- */

enum err plog_damage_within(const struct plog_walk *walk, uint32_t position, int64_t expected, int64_t after,
                            bool *ret_within)
{
    struct plog_walk ahead;
    struct batch_header batch;
    uint32_t found_at;
    enum err err = plog_walk_start(&ahead, walk->file, walk->base_offset, position, walk->limit, true);
    if (err == OK)
        err = plog_walk_next(&ahead, &batch, NULL);
    *ret_within = err == OK && batch.base_offset > expected && batch.base_offset < after;
    if (err == ERR_CORRUPT || err == ERR_TRUNCATED)
        err = plog_walk_search(&ahead, expected, after, ret_within, &found_at);
    plog_walk_end(&ahead);
    return err == ERR_NOT_FOUND ? OK : err;
}

/* What is looked for behind bad bytes. */
struct measure {
    struct plog *log;
    struct plog_walk *walk;
    int64_t expected, seg_end;
    int64_t point; /* as plog_damage_measure() has it */
    int64_t claim; /* the last offset that the bad batch says to have; -1: it says nothing */
};

/* Nothing but its own word may say that a batch ends where the one behind it, or the segment, does not allow,
 * or reaches over the recovery point (which was the end of one). */
static bool ends_within(const struct measure *m, const uint8_t *p)
{
    int64_t last = batch_last_offset(p);
    return last < m->seg_end && last - m->walk->base_offset <= INT32_MAX &&
           !(batch_base_offset(p) < m->point && last >= m->point);
}

/* Where a log ends is not known while it is recovered, and what was not synced may lack the end of a segment.
 */
static bool may_lack_end(const struct measure *m)
{
    return m->seg_end == INT64_MAX || (m->point >= 0 && m->expected >= m->point);
}

/* Where offsets may be missing, and the bad batch says to have some of those of p: one of the two is wrong.
 * It is p unless the next batch begins where p ends. */
static enum err contradicted(const struct measure *m, const uint8_t *p, uint32_t next, bool *ret_wrong)
{
    uint8_t header[BATCH_HEADER_BYTES];
    size_t got = 0, size;
    *ret_wrong = false;
    if (!m->log->config.may_have_gaps || batch_base_offset(p) > m->claim)
        return OK;
    if (next >= m->walk->limit) {
        *ret_wrong = !may_lack_end(m) && batch_next_offset(p) != m->seg_end;
        return OK;
    }
    enum err err = env_file_read(m->walk->file, next, header, sizeof(header), &got);
    *ret_wrong = got < sizeof(header) || batch_peek(header, sizeof(header), &size) != OK ||
                 batch_base_offset(header) != batch_next_offset(p);
    return err;
}

/* The walk stands on a batch with a good checksum, which does not cover its base offset and epoch: do they
 * fit what is known, and what follows? Where offsets may be missing, or bad bytes follow, the next good batch
 * may begin anywhere but within this one. */
static enum err fits_behind(const struct measure *m, bool *ret_fits)
{
    uint8_t header[BATCH_HEADER_BYTES];
    size_t got = 0, next_size;
    struct plog_walk *walk = m->walk;
    const uint8_t *p = walk->buf + walk->used;
    uint32_t next = walk->position + (uint32_t)batch_size(p);
    int32_t epoch = epoch_cache_at(&m->log->epochs, batch_base_offset(p));
    bool recovering = m->point >= 0, within, wrong, unknown = m->log->config.may_have_gaps;
    int64_t after = batch_next_offset(p), follows = may_lack_end(m) ? after : m->seg_end;
    /* while a log is scanned the cache does not know the epochs ahead */
    *ret_fits =
        (epoch < 0 || epoch == batch_leader_epoch(p) || (recovering && batch_leader_epoch(p) > epoch)) &&
        ends_within(m, p);
    enum err err = *ret_fits ? contradicted(m, p, next, &wrong) : OK;
    *ret_fits = *ret_fits && err == OK && !wrong;
    if (!*ret_fits)
        return err;
    if (next < walk->limit && !unknown) {
        err = env_file_read(walk->file, next, header, sizeof(header), &got);
        unknown = got < sizeof(header) || batch_peek(header, sizeof(header), &next_size) != OK;
        follows = unknown ? after : batch_base_offset(header);
    }
    if (err == OK && !unknown)
        *ret_fits = follows == after;
    else if (err == OK)
        err = plog_damage_within(walk, next, m->expected, after, &within);
    if (err == OK && unknown)
        *ret_fits = !within;
    return err;
}

/* What the bad batch at the walk's position says to end with, if it says anything that can be. */
static enum err read_claim(struct measure *m)
{
    uint8_t header[BATCH_HEADER_BYTES];
    size_t got = 0, size;
    m->claim = -1;
    enum err err = env_file_read(m->walk->file, m->walk->position, header, sizeof(header), &got);
    if (err == OK && got == sizeof(header) && batch_peek(header, sizeof(header), &size) == OK)
        m->claim = batch_last_offset(header);
    return err;
}

/* The walk stands on bad bytes where a batch with base offset `expected` should begin: where does the good
 * part go on? seg_end: first offset behind the segment. */
enum err plog_damage_measure(struct plog *log, struct plog_walk *walk, int64_t expected, int64_t seg_end,
                             int64_t point, struct plog_damage *ret_damage)
{
    bool found = false, fits = false;
    struct measure m = {log, walk, expected, seg_end, point, -1};
    uint32_t bad = walk->position, next = walk->limit;
    int64_t end = seg_end;
    enum err err = read_claim(&m);
    while (err == OK && !fits) {
        err = plog_walk_search(walk, expected, seg_end, &found, &next);
        if (err == OK && !found)
            break;
        if (err == OK)
            err = fits_behind(&m, &fits);
    }
    if (err)
        return err;
    if (found)
        end = batch_base_offset(walk->buf + walk->used);
    else
        next = walk->limit;
    *ret_damage = (struct plog_damage){.offset = expected,
                                       .end = MAX(end, expected + 1),
                                       .segment = walk->base_offset,
                                       .position = bad,
                                       .size = next - bad};
    return OK;
}

enum err plog_damage_step(struct plog *log, struct plog_segment *seg, struct plog_walk *walk,
                          int64_t expected)
{
    struct plog_damage damage;
    int64_t seg_end = plog_segment_end(log, plog_segment_find(log, seg->base_offset));
    if (expected >= seg_end) { /* nothing is missing: room, or something too much */
        walk->position = walk->limit;
        return OK;
    }
    enum err err = plog_damage_measure(log, walk, expected, seg_end, INT64_MAX, &damage);
    if (err == OK)
        err = plog_damage_add(log, &damage);
    walk->position = damage.position + damage.size;
    walk->used = walk->have = 0;
    return err;
}

bool plog_damage_jumps(const struct plog_walk *walk, const struct batch_header *batch, int64_t expected,
                       int64_t seg_end)
{
    uint8_t header[BATCH_HEADER_BYTES];
    size_t got = 0, size;
    bool within;
    uint32_t next = walk->hop ? walk->hop(walk->hop_ctx, walk->base_offset, walk->position) : walk->position;
    if (batch->last_offset >= seg_end)
        return true;
    if (expected < 0 || batch->base_offset <= expected || next >= walk->limit)
        return false; /* nothing to hold it against */
    if (env_file_read(walk->file, next, header, sizeof(header), &got) == OK && got == sizeof(header) &&
        batch_peek(header, sizeof(header), &size) == OK)
        return batch_base_offset(header) > expected && batch_base_offset(header) <= batch->last_offset;
    return plog_damage_within(walk, next, expected, batch->last_offset + 1, &within) == OK && within;
}

/* The offset behind the damaged ranges that begin there, one beside the other. */
static int64_t behind_known(const struct plog *log, int64_t offset)
{
    for (const struct plog_damage *known; (known = plog_damage_at(log, offset, false)) != NULL;)
        offset = known->end;
    return offset;
}

bool plog_damage_in_line(const struct plog *log, const struct plog_walk *walk,
                         const struct batch_header *batch, int64_t expected, int64_t seg_end)
{
    int64_t from = behind_known(log, expected);
    return batch->base_offset >= from &&
           (batch->base_offset == from || from < 0 || log->config.may_have_gaps) &&
           !plog_damage_jumps(walk, batch, from, seg_end);
}

enum err plog_damage_walk(struct plog *log, struct plog_segment *seg, struct plog_walk *walk,
                          struct plog_line *line, struct batch_header *ret_batch)
{
    int64_t seg_end = plog_segment_end(log, plog_segment_find(log, seg->base_offset));
    enum err err = OK;
    while (err == OK) {
        line->position = plog_damage_hop(log, seg->base_offset, walk->position);
        err = plog_walk_next(walk, ret_batch, NULL);
        if (err == OK && plog_damage_in_line(log, walk, ret_batch, line->expected, seg_end)) {
            line->expected = ret_batch->last_offset + 1;
            line->good++;
            return OK;
        }
        if (err != OK && err != ERR_CORRUPT && err != ERR_TRUNCATED)
            return err;
        if (line->inside && line->good < 2)
            return ERR_OUT_OF_RANGE;
        walk->position = line->position;
        walk->used = walk->have = 0;
        err = plog_damage_step(log, seg, walk, line->expected);
    }
    return err;
}

/* Neither epochs nor the checkpoint have a checksum: where they differ, most batches decide. */
static enum err check_epoch(struct plog *log, const struct batch_header *batch)
{
    bool renewed;
    int32_t epoch = epoch_cache_at(&log->epochs, batch->base_offset);
    if (epoch < 0 || batch->leader_epoch == epoch)
        return OK;
    enum err err = plog_epochs_doubt(log, NULL, log->end, &renewed);
    if (err)
        return err;
    epoch = epoch_cache_at(&log->epochs, batch->base_offset);
    return epoch < 0 || batch->leader_epoch == epoch ? OK : ERR_CORRUPT;
}

/* Steps over good batches in line; stops on the first that is not, standing on it. *expected: what belongs
 * there; -1: whatever comes first. */
static enum err walk_to_bad(struct plog *log, struct plog_walk *walk, int64_t *expected, int64_t seg_end,
                            uint32_t *ret_good)
{
    struct batch_header batch;
    enum err err = OK;
    *ret_good = 0;
    while (err == OK) {
        uint32_t position = plog_damage_hop(log, walk->base_offset, walk->position);
        err = plog_walk_next(walk, &batch, NULL);
        if (err)
            break;
        err = check_epoch(log, &batch);
        if (err == OK && !plog_damage_in_line(log, walk, &batch, *expected, seg_end))
            err = ERR_CORRUPT;
        if (err == ERR_CORRUPT) {
            walk->position = position;
            walk->used = walk->have = 0;
        }
        if (err == OK) {
            *expected = batch.last_offset + 1;
            ++*ret_good;
        }
    }
    return err;
}

/* One try from position. ERR_OUT_OF_RANGE: bad bytes, but where they begin only the batch at position says,
 * which nothing was held against: its offset may be what is wrong. */
static enum err search_from(struct plog *log, int32_t place, uint32_t position,
                            struct plog_damage *ret_damage)
{
    struct plog_walk walk;
    struct plog_segment *seg = &log->segments[place];
    int64_t expected = position > 0 ? -1 : seg->base_offset, seg_end = plog_segment_end(log, place);
    uint32_t good = 0;
    enum err err = plog_walk_begin(&walk, log, seg, position, true);
    if (err == OK)
        err = walk_to_bad(log, &walk, &expected, seg_end, &good);
    if (err == ERR_NOT_FOUND && expected < seg_end && !log->config.may_have_gaps &&
        !plog_damage_at(log, expected, false))
        err = ERR_TRUNCATED; /* all there is is good, but the segment has lost its end */
    if (err == ERR_CORRUPT || err == ERR_TRUNCATED)
        err = expected < 0 || expected >= seg_end || (position > 0 && good == 1)
                  ? ERR_OUT_OF_RANGE
                  : plog_damage_measure(log, &walk, expected, seg_end, -1, ret_damage);
    plog_walk_end(&walk);
    return err;
}

enum err plog_damage_search(struct plog *log, int64_t offset, struct plog_damage *ret_damage)
{
    uint32_t position;
    int64_t last;
    ASSERT(offset >= log->start && offset <= log->end);
    int32_t place = plog_segment_find(log, offset);
    struct plog_segment *seg = &log->segments[place];
    /* from a batch that ends before offset: what follows must begin where it ended */
    enum err err = plog_index_entry(log, seg, MAX(offset - 1, seg->base_offset), &position, &last);
    if (err == OK && position > 0 && plog_damage_hop(log, seg->base_offset, position) == position)
        err = plog_index_check(log, seg, position, last);
    if (err == ERR_CORRUPT)
        err = ERR_OUT_OF_RANGE;
    if (err == OK)
        err = search_from(log, place, position, ret_damage);
    bool misled = err == ERR_OUT_OF_RANGE; /* by the indexed batch itself, or the index */
    if (misled)
        err = search_from(log, place, 0, ret_damage);
    if (err == ERR_NOT_FOUND && misled && !seg->index.in_memory) { /* it rotted since it was checked */
        enum err rebuilt = plog_rebuild_index(log, seg);
        err = rebuilt ? rebuilt : err;
    }
    return err ? err : plog_damage_add(log, ret_damage);
}

/* -- mending -- */

struct mend {
    struct plog *log;
    struct plog_segment *seg;
    struct plog_damage *damage;
    const uint8_t *batches;
    uint32_t len;
    int64_t end;
    int64_t from;    /* the piece's first offset */
    int64_t before;  /* an offset of the batch before the damage, -1: there is none */
    bool new_epochs; /* batches of an epoch that the cache does not have there */
    bool moved;      /* what lies behind them, so that the index is void */
};

/* The first offset of the good batch before the damage, where the checkpoint says the same as it: an epoch
 * that is said to begin later within it does not begin there. The last offset when there is no such batch. */
static int64_t first_before(const struct mend *mend)
{
    struct plog_walk walk;
    struct batch_header batch;
    uint32_t position;
    const struct epoch_cache *epochs = &mend->log->epochs;
    int64_t last = mend->damage->offset - 1, first = last;
    enum err err = plog_index_lookup(mend->log, mend->seg, last, &position);
    if (err)
        return last;
    err = plog_walk_begin(&walk, mend->log, mend->seg, position, true);
    while (err == OK && walk.position < mend->damage->position) {
        err = plog_walk_next(&walk, &batch, NULL);
        if (err == OK && batch.last_offset == last &&
            batch.leader_epoch == epoch_cache_at(epochs, batch.base_offset))
            first = batch.base_offset;
    }
    plog_walk_end(&walk);
    return err ? last : first;
}

static enum err check_batch(struct mend *mend, const uint8_t *p, int64_t expected)
{
    struct plog *log = mend->log;
    int64_t behind = mend->damage->end;
    int32_t epoch = batch_leader_epoch(p);
    bool gap = batch_base_offset(p) > expected && !log->config.may_have_gaps;
    if (gap || batch_base_offset(p) < expected || batch_next_offset(p) > mend->end)
        return ERR_MISMATCH;
    if (mend->before >= 0 && epoch < epoch_cache_at(&log->epochs, mend->before))
        mend->before = first_before(mend);
    if (epoch < 0 || (mend->before >= 0 && epoch < epoch_cache_at(&log->epochs, mend->before)))
        return ERR_MISMATCH;
    int32_t epoch_behind = behind < log->end ? epoch_cache_at(&log->epochs, behind) : EPOCH_NONE;
    if (epoch_behind != EPOCH_NONE && epoch > epoch_behind)
        return ERR_MISMATCH;
    if (behind >= log->end && epoch > epoch_cache_latest(&log->epochs))
        return ERR_MISMATCH; /* a tail that the leader has not judged yet would be taken for its own */
    if (epoch != epoch_cache_at(&log->epochs, batch_base_offset(p)))
        mend->new_epochs = true;
    return OK;
}

static enum err check_batches(struct mend *mend)
{
    int64_t expected = mend->damage->offset;
    for (uint32_t at = 0; at < mend->len;) {
        const uint8_t *p = mend->batches + at;
        size_t size;
        if (batch_peek(p, mend->len - at, &size) != OK || size > mend->len - at ||
            batch_verify(p, size) != OK)
            return ERR_CORRUPT;
        enum err err = check_batch(mend, p, expected);
        if (err)
            return err;
        expected = batch_next_offset(p);
        at += (uint32_t)size;
    }
    return expected == mend->end || mend->log->config.may_have_gaps ? OK : ERR_MISMATCH;
}

static enum err write_at(struct env_file *file, uint64_t at, const uint8_t *p, uint32_t len)
{
    struct iovec iov = {(void *)(uintptr_t)p, len};
    return len ? env_file_write(file, at, &iov, 1) : OK;
}

/* The bytes fit: over the bad ones, or behind all others of a segment that is not written to any more. */
static enum err write_in_place(struct mend *mend, bool last_piece)
{
    struct env_file *file;
    struct plog_damage *d = mend->damage;
    struct plog_segment *seg = mend->seg;
    bool at_end = d->position + d->size == seg->size;
    enum err err = plog_segment_file(mend->log, seg, &file);
    if (err == OK)
        err = write_at(file, d->position, mend->batches, mend->len);
    if (err == OK && at_end && last_piece && mend->len < d->size)
        err = env_file_truncate(file, d->position + mend->len);
    if (err)
        return err;
    if (at_end && (last_piece || mend->len > d->size))
        seg->size = d->position + mend->len;
    mend->log->layout++;
    d->size = mend->len < d->size ? d->size - mend->len : 0;
    d->position += mend->len;
    return OK;
}

static enum err copy_bytes(struct env_file *from, uint64_t at, struct env_file *to, uint64_t to_at,
                           uint64_t len)
{
    uint8_t *buf = malloc(PLOG_CHUNK);
    enum err err = buf ? OK : ERR_NOMEM;
    while (err == OK && len > 0) {
        size_t want = MIN(len, PLOG_CHUNK), got = 0;
        err = env_file_read(from, at, buf, want, &got);
        if (err == OK && got < want)
            err = ERR_TRUNCATED;
        if (err == OK)
            err = write_at(to, to_at, buf, (uint32_t)want);
        at += want;
        to_at += want;
        len -= want;
    }
    free(buf);
    return err;
}

/* Bytes of another length: a new file takes the segment's name once it is durable. */
static enum err fill_copy(struct mend *mend, struct env_file *from, struct env_file *to)
{
    const struct plog_damage *d = mend->damage;
    uint32_t behind = d->position + d->size;
    enum err err = env_file_truncate(to, 0);
    if (err == OK)
        err = copy_bytes(from, 0, to, 0, d->position);
    if (err == OK)
        err = write_at(to, d->position, mend->batches, mend->len);
    if (err == OK)
        err = copy_bytes(from, behind, to, (uint64_t)d->position + mend->len, mend->seg->size - behind);
    return err ? err : env_file_sync_wait(to);
}

static void shift(struct mend *mend)
{
    struct plog *log = mend->log;
    struct plog_damage *d = mend->damage;
    int64_t by = (int64_t)mend->len - d->size;
    for (int32_t i = (int32_t)(d - log->damages) + 1; i < log->damages_count; i++)
        if (log->damages[i].segment == d->segment)
            log->damages[i].position = (uint32_t)(log->damages[i].position + by);
    mend->seg->size = mend->seg->allocated = (uint32_t)(mend->seg->size + by);
    mend->seg->verified_from = mend->seg->size; /* places have moved: what was checked where is void */
    plog_ranges_clear(&mend->seg->verified);
    plog_forget_places(log);
    d->position += mend->len;
    d->size = 0;
    log->recent_count = 0;
}

static enum err rewrite_segment(struct mend *mend)
{
    char path[PLOG_PATH_MAX], temp[PLOG_PATH_MAX];
    struct plog *log = mend->log;
    struct env_file *from, *to;
    plog_path(log, mend->seg->base_offset, ".log", path);
    plog_path(log, mend->seg->base_offset, PLOG_MEND_SUFFIX, temp);
    enum err err = plog_segment_file(log, mend->seg, &from);
    if (err == OK)
        err = plog_handles_open(log, temp, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &to);
    if (err)
        return err;
    err = fill_copy(mend, from, to);
    if (err == OK)
        err = env_rename(log->env, temp, path);
    env_file_close(to);
    if (err)
        return err;
    log->dir_dirty = true;
    env_file_close(mend->seg->file);
    mend->seg->file = NULL;
    shift(mend);
    mend->moved = true;
    return OK;
}

static enum err assign_newer(struct epoch_cache *epochs, int32_t epoch, int64_t start_offset)
{
    return epoch > epoch_cache_latest(epochs) ? epoch_cache_assign(epochs, epoch, start_offset, NULL) : OK;
}

/* Of an epoch's first batch that is left, the one before which ended at `behind`. */
static enum err assign_behind(const struct mend *mend, struct epoch_cache *epochs, int32_t epoch,
                              int64_t behind, int64_t base_offset)
{
    int64_t began = plog_epoch_began(&mend->log->epochs, epoch, behind, base_offset, behind);
    return assign_newer(epochs, epoch, began);
}

/* Between what came before the piece and what comes behind it, its batches say which epochs are there. */
static enum err merge_epochs(const struct mend *mend, struct epoch_cache *merged)
{
    const struct epoch_cache *old = &mend->log->epochs;
    int64_t behind = mend->from;
    enum err err = OK;
    for (uint32_t i = 0; i < old->count && err == OK && old->entries[i].start_offset <= mend->before; i++)
        err = assign_newer(merged, old->entries[i].epoch, old->entries[i].start_offset);
    for (uint32_t at = 0; at < mend->len && err == OK; at += (uint32_t)batch_size(mend->batches + at)) {
        const uint8_t *p = mend->batches + at;
        err = assign_behind(mend, merged, batch_leader_epoch(p), behind, batch_base_offset(p));
        behind = batch_next_offset(p);
    }
    if (err == OK)
        err = assign_behind(mend, merged, epoch_cache_at(old, mend->end), behind, mend->end);
    for (uint32_t i = 0; i < old->count && err == OK; i++)
        if (old->entries[i].start_offset > mend->end)
            err = assign_newer(merged, old->entries[i].epoch, old->entries[i].start_offset);
    return err;
}

static enum err take_epochs(const struct mend *mend)
{
    struct epoch_cache merged, *epochs = &mend->log->epochs;
    if (!mend->new_epochs)
        return OK;
    epoch_cache_init(&merged, &mend->log->alloc);
    enum err err = merge_epochs(mend, &merged);
    if (err) {
        epoch_cache_free(&merged);
        return err;
    }
    epoch_cache_free(epochs);
    *epochs = merged;
    mend->log->epochs_dirty = true;
    return OK;
}

/* Snapshots that do not know the batches that were bad: lost power must not bring them back beside these.
 * What is derived then is made again, in whichever life. */
static enum err drop_snapshots(struct plog *log, int64_t offset)
{
    enum err err = plog_snapshots_drop(log, offset);
    if (err == OK && log->dir_dirty)
        err = env_dir_sync_wait(log->env, log->dir);
    return err ? plog_fail(log, err) : OK;
}

static enum err put(struct mend *mend, bool last_piece)
{
    const struct plog_damage *d = mend->damage;
    bool at_end = d->position + d->size == mend->seg->size && mend->seg != plog_active(mend->log);
    bool fits = last_piece ? mend->len == d->size : mend->len <= d->size;
    uint64_t grown = (uint64_t)mend->seg->size + mend->len - MIN(mend->len, d->size);
    if (grown > PLOG_SEGMENT_BYTES_MAX)
        return ERR_TOO_LARGE;
    enum err err = fits || at_end ? write_in_place(mend, last_piece) : rewrite_segment(mend);
    return err ? plog_fail(mend->log, err) : OK;
}

enum err plog_replace_range(struct plog *log, int64_t offset, int64_t end, const uint8_t *batches,
                            uint32_t len)
{
    if (log->failed)
        return log->failed;
    enum err err = plog_compact_stop(log);
    if (err)
        return err;
    int32_t i = 0;
    while (i < log->damages_count && log->damages[i].offset != offset)
        i++;
    if (i == log->damages_count)
        return ERR_NOT_FOUND;
    struct plog_damage *d = &log->damages[i];
    struct mend mend = {.log = log,
                        .seg = &log->segments[plog_segment_find(log, d->segment)],
                        .damage = d,
                        .batches = batches,
                        .len = len,
                        .end = end,
                        .from = offset,
                        .before = offset - 1};
    ASSERT(mend.seg->base_offset == d->segment);
    if (end <= offset || end > d->end)
        return ERR_MISMATCH;
    err = check_batches(&mend);
    if (err == OK)
        err = drop_snapshots(log, offset);
    if (err == OK)
        err = put(&mend, end == d->end);
    if (err)
        return err;
    mend.seg->dirty = true;
    d->offset = end;
    bool whole = end == d->end;
    err = take_epochs(&mend);
    if (whole)
        remove_at(log, i);
    if (err == OK && mend.moved) /* may find more damage, and the list moves: `d` is void from here on */
        err = plog_index_renew(log, mend.seg);
    if (err == OK && whole) /* what is derived from the batches has them too */
        err = plog_producers_load(log);
    return err ? plog_fail(log, err) : OK;
}
