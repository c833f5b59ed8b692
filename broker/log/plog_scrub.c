/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/log/plog_scrub.h"

#include "broker/log/plog_internal.h"
#include "common/base/assert.h"

/* The first segment at or behind the one that the pass stands in; NULL: none. */
static struct plog_segment *segment_of(struct plog *log, const struct plog_scrub *scrub)
{
    for (int32_t i = 0; i < log->segments_count; i++)
        if (!scrub->begun || log->segments[i].base_offset >= scrub->segment)
            return &log->segments[i];
    return NULL;
}

static void enter(struct plog_scrub *scrub, struct plog_segment *seg)
{
    scrub->begun = true;
    scrub->segment = seg->base_offset;
    scrub->position = 0;
    scrub->expected = seg->base_offset;
    scrub->need = 0;
    seg->verified_from = seg->size;
    plog_ranges_clear(&seg->verified);
}

/* Steps over damage that is known. */
static void pass_damage(const struct plog *log, struct plog_scrub *scrub)
{
    const struct plog_damage *list;
    int32_t count = plog_damages_all(log, &list);
    for (int32_t i = 0; i < count; i++) {
        const struct plog_damage *d = &list[i];
        bool here = scrub->position == d->position ||
                    (scrub->position > d->position && scrub->position - d->position < d->size);
        if (d->segment != scrub->segment || !here)
            continue;
        scrub->position = d->position + d->size;
        scrub->expected = d->end;
        scrub->need = 0;
    }
}

/* The pass stands behind the last byte of a segment that ends before the next one begins, and nobody knows.
 */
static bool lacks_end(const struct plog *log, const struct plog_scrub *scrub, const struct plog_segment *seg)
{
    int32_t place = (int32_t)(seg - log->segments);
    return scrub->position >= seg->size && !log->config.may_have_gaps &&
           scrub->expected < plog_segment_end(log, place) && !plog_damage_at(log, scrub->expected, false);
}

enum err plog_scrub_next(struct plog *log, struct plog_scrub *scrub, uint64_t *ret_offset, uint32_t *ret_len)
{
    struct env_file *file;
    struct plog_segment *seg;
    ASSERT(scrub->file == NULL);
    if (log->failed)
        return ERR_NOT_FOUND;
    while ((seg = segment_of(log, scrub)) != NULL) {
        if (!scrub->begun || seg->base_offset != scrub->segment)
            enter(scrub, seg);
        pass_damage(log, scrub);
        if (scrub->position < seg->size || lacks_end(log, scrub, seg))
            break;
        scrub->segment = seg->base_offset + 1; /* the next one */
    }
    if (seg == NULL)
        return ERR_NOT_FOUND;
    enum err err = plog_segment_file(log, seg, &file);
    if (err)
        return err;
    scrub->file = env_file_ref(file);
    *ret_offset = scrub->position;
    *ret_len = scrub->position < seg->size
                   ? MIN(seg->size - scrub->position, MAX(scrub->need, PLOG_SCRUB_BYTES))
                   : 0;
    return OK;
}

/* Where the batch that ends at bytes + end may end at most: where the next one begins, or what is known to be
 * damaged, or the next segment. -1: bad bytes follow; -2: that is not in bytes. */
static int64_t ends_before(const struct plog *log, const struct plog_scrub *scrub,
                           const struct plog_segment *seg, const uint8_t *bytes, uint32_t len, uint32_t end)
{
    size_t size;
    int64_t next;
    if (plog_damage_behind(log, seg, scrub->position + end, &next))
        return next;
    if (len - end < BATCH_HEADER_BYTES)
        return -2;
    return batch_peek(bytes + end, BATCH_HEADER_BYTES, &size) == OK ? batch_base_offset(bytes + end) : -1;
}

/* Goes over the batches in bytes; *used is what was good. False: bad bytes follow. */
static bool check(struct plog *log, struct plog_scrub *scrub, const struct plog_segment *seg,
                  const uint8_t *bytes, uint32_t len, uint32_t *used)
{
    size_t size;
    uint32_t left = seg->size - scrub->position;
    *used = 0;
    scrub->need = 0;
    while (len - *used >= BATCH_HEADER_BYTES) {
        const uint8_t *p = bytes + *used;
        if (batch_peek(p, BATCH_HEADER_BYTES, &size) != OK || size > left - *used ||
            batch_last_offset(p) < batch_base_offset(p))
            return false;
        if (size > len - *used) {
            scrub->need = *used == 0 ? (uint32_t)size : 0;
            return true;
        }
        if (!plog_batch_good(log, p, size, scrub->expected))
            return false;
        if (batch_base_offset(p) > scrub->expected) { /* offsets are missing: or it says too much */
            int64_t next = ends_before(log, scrub, seg, bytes, len, *used + (uint32_t)size);
            if (next == -2) {
                scrub->need = *used == 0 ? (uint32_t)size + BATCH_HEADER_BYTES : 0;
                return true;
            }
            if (next < 0 || (next > scrub->expected && next < batch_next_offset(p)))
                return false;
        }
        scrub->expected = batch_next_offset(p);
        *used += (uint32_t)size;
    }
    return *used > 0 || left >= BATCH_HEADER_BYTES;
}

enum err plog_scrub_take(struct plog *log, struct plog_scrub *scrub, const uint8_t *bytes, uint32_t len,
                         int64_t *ret_offset)
{
    struct plog_segment *seg = segment_of(log, scrub);
    bool same = seg && seg->base_offset == scrub->segment && seg->file == scrub->file &&
                (scrub->position < seg->size ? len <= seg->size - scrub->position
                                             : len == 0 && lacks_end(log, scrub, seg));
    uint32_t used;
    plog_scrub_end(scrub);
    if (!same) { /* cut or replaced meanwhile */
        plog_scrub_skip(scrub);
        return OK;
    }
    bool good = len > 0 && check(log, scrub, seg, bytes, len, &used);
    if (len > 0) {
        plog_verified(log, seg, scrub->position, scrub->position + used, scrub->expected);
        scrub->position += used;
    }
    *ret_offset = scrub->expected;
    bool known = !good && plog_damage_at(log, scrub->expected, false);
    return good || known ? OK : ERR_CORRUPT;
}

void plog_scrub_skip(struct plog_scrub *scrub)
{
    scrub->segment++;
}

void plog_scrub_end(struct plog_scrub *scrub)
{
    if (scrub->file)
        env_file_close(scrub->file);
    scrub->file = NULL;
}
