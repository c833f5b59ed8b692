/* SPDX-License-Identifier: Apache-2.0 */
/* Serving readers: from the tail cache, else as a range of the file when every byte of it is known to be
 * good, else from memory, checked (DESIGN, Fetch). What would wait for the disk is left to the caller. */
#include "broker/log/plog_internal.h"
#include "common/base/assert.h"
#include "common/base/mutant.h"

#define HEADERS_BYTES  4096                /* headers are looked at through a window of this size */
#define FILE_RANGE_MIN (32 * 1024)         /* less is copied: sendfile has a price, too */
#define COLD_BYTES_MAX PLOG_READ_BYTES_MAX /* one asynchronous read */

STATIC_ASSERT((PLOG_HINTS & (PLOG_HINTS - 1)) == 0, "the ring's counter may wrap");

/* The batch that a read begins with. */
struct target {
    uint32_t position, size;
    int64_t base_offset, next_offset;
};

struct fetch {
    struct plog *log;
    const struct plog_fetch *ask;
    struct plog_segment *seg;
    int32_t place;
    struct target first;
    int64_t expected; /* where the first batch must begin; -1: not known */
    int64_t indexed;  /* where it must end, as the index has it; -1: not known, or found to be so */
    struct plog_piece *ret;
};

/* -- what is known to be good -- */

/* The end of what this process has appended or checked in one piece from `from` on: bad bytes were looked at,
 * too, and are not good for it. */
static uint32_t good_until(const struct fetch *f, uint32_t from)
{
    const struct plog_damage *list;
    int32_t count = plog_damages_all(f->log, &list);
    if (MUTANT(SERVE_DAMAGED))
        return f->seg->size;
    uint32_t end = plog_ranges_end(&f->seg->verified, from);
    end = end >= f->seg->verified_from ? f->seg->size : end;
    for (int32_t i = 0; i < count; i++)
        if (list[i].segment == f->seg->base_offset && list[i].position >= from)
            end = MIN(end, list[i].position);
    return end;
}

/* The checksum, and what it does not cover: the batch begins where the one before it ended, and its epoch is
 * the one that the log knows for its offsets. expected -1: any offset. */
bool plog_batch_good(struct plog *log, const uint8_t *p, size_t size, int64_t expected)
{
    int32_t epoch = epoch_cache_at(&log->epochs, batch_base_offset(p));
    bool at = expected < 0 || batch_base_offset(p) == expected ||
              (log->config.may_have_gaps && batch_base_offset(p) > expected);
    if (MUTANT(SERVE_DAMAGED))
        return true;
    return at && (epoch < 0 || epoch == batch_leader_epoch(p)) && batch_verify(p, size) == OK;
}

/* -- what waits for the disk -- */

/* What comes from the disk once more is checked once more. */
static void unmark(struct plog_segment *seg, uint32_t from, uint32_t to)
{
    plog_ranges_remove(&seg->verified, from, to);
    if (to <= seg->verified_from)
        return;
    plog_ranges_add(&seg->verified, seg->verified_from, from);
    seg->verified_from = to;
}

/* ERR_AGAIN: the caller reads that range first, without the loop. */
static enum err warm(const struct fetch *f, struct env_file *file, uint64_t offset, uint32_t len)
{
    len = MIN(len, COLD_BYTES_MAX);
    if (f->ask->may_wait || env_file_cached(file, offset, len))
        return OK;
    if (file == f->seg->file)
        unmark(f->seg, (uint32_t)offset, (uint32_t)offset + len);
    *f->ret = (struct plog_piece){.file = env_file_ref(file), .file_offset = offset, .len = (int32_t)len};
    return ERR_AGAIN;
}

/* -- where the wanted batch begins -- */

static bool hint(const struct fetch *f, uint32_t *ret_position)
{
    for (int i = 0; i < PLOG_HINTS; i++) {
        const struct plog_hint *h = &f->log->hints[i];
        if (h->base_offset == f->seg->base_offset && h->offset == f->ask->offset &&
            h->position < f->seg->size) {
            *ret_position = h->position;
            return true;
        }
    }
    return false;
}

void plog_forget_places(struct plog *log)
{
    for (int i = 0; i < PLOG_HINTS; i++)
        log->hints[i].offset = -1;
    log->layout++;
}

static void note_hint(const struct fetch *f, int64_t offset, uint32_t position)
{
    f->log->hints[f->log->hints_count++ % PLOG_HINTS] =
        (struct plog_hint){.base_offset = f->seg->base_offset, .offset = offset, .position = position};
}

static bool recent(const struct fetch *f, uint32_t *ret_position)
{
    return f->seg == plog_active(f->log) && plog_recent_position(f->log, f->ask->offset, ret_position);
}

/* Which offset begins at position, if that is known without looking: behind what is damaged, and where the
 * segment begins. Else -1. */
static int64_t begins_there(const struct fetch *f, uint32_t position)
{
    const struct plog_damage *list;
    int32_t count = plog_damages_all(f->log, &list);
    for (int32_t i = count - 1; i >= 0; i--)
        if (list[i].segment == f->seg->base_offset && list[i].position + list[i].size == position &&
            list[i].end <= f->ask->offset)
            return list[i].end;
    return position == 0 ? f->seg->base_offset : -1;
}

/* What is looked up: the batch before the wanted one. */
static int64_t before(const struct fetch *f)
{
    return MAX(f->ask->offset - 1, f->seg->base_offset);
}

/* A place at or before the wanted batch. */
static enum err begin_at(struct fetch *f, bool exact, uint32_t *ret_position)
{
    struct env_file *file;
    uint32_t bytes, entry = 0;
    int64_t last = -1;
    f->expected = f->indexed = -1;
    if (exact && recent(f, ret_position))
        return OK;
    if (exact && hint(f, ret_position)) {
        f->expected = f->ask->offset;
        return OK;
    }
    enum err err = plog_index_files(f->log, f->seg, &file, &bytes);
    if (err == OK && file)
        err = warm(f, file, 0, bytes);
    /* from a batch that ends before the offset: what follows it is held against it */
    if (err == OK)
        err = plog_index_entry(f->log, f->seg, before(f), &entry, &last);
    if (err)
        return err;
    *ret_position = plog_damage_pass(f->log, f->seg, f->ask->offset, entry);
    f->indexed = entry > 0 && *ret_position == entry ? last : -1;
    f->expected = begins_there(f, *ret_position);
    return OK;
}

/* A look at the header at position through a window that moves along. */
struct window {
    uint8_t bytes[HEADERS_BYTES];
    uint32_t position, len;
};

static enum err header_at(const struct fetch *f, struct window *w, uint32_t position, const uint8_t **ret_p)
{
    struct env_file *file;
    size_t got, size;
    uint32_t left = f->seg->size - position;
    if (left < BATCH_HEADER_BYTES)
        return ERR_CORRUPT;
    if (position < w->position || position + BATCH_HEADER_BYTES > w->position + w->len) {
        enum err err = plog_segment_file(f->log, f->seg, &file);
        if (err == OK)
            err = warm(f, file, position, MIN(left, HEADERS_BYTES));
        if (err == OK)
            err = env_file_read(file, position, w->bytes, MIN(left, HEADERS_BYTES), &got);
        if (err)
            return err;
        w->position = position;
        w->len = (uint32_t)got;
        if (got < BATCH_HEADER_BYTES)
            return ERR_CORRUPT; /* shorter than we know it to be */
    }
    *ret_p = w->bytes + (position - w->position);
    bool sane = batch_peek(*ret_p, BATCH_HEADER_BYTES, &size) == OK && size <= left &&
                batch_base_offset(*ret_p) >= f->seg->base_offset &&
                batch_last_offset(*ret_p) >= batch_base_offset(*ret_p);
    return sane ? OK : ERR_CORRUPT;
}

/* Walks headers to the batch that holds the offset (or, with gaps, the next). ERR_NOT_FOUND: the segment ends
 * before. ERR_CORRUPT: *bad is where; also for one that says to end beyond its segment. */
static enum err walk_to(struct fetch *f, uint32_t position, uint32_t *bad)
{
    struct window w = {.len = 0};
    const uint8_t *p = NULL;
    while (position < f->seg->size) {
        *bad = position;
        enum err err = header_at(f, &w, position, &p);
        if (err)
            return err;
        if (f->expected >= 0 && batch_base_offset(p) < f->expected)
            return ERR_CORRUPT; /* offsets never go back */
        if (f->indexed >= 0 && batch_last_offset(p) != f->indexed)
            return ERR_CORRUPT; /* nor does the index, which has no checksum, lead over any */
        f->indexed = -1;
        if (batch_last_offset(p) >= f->ask->offset) {
            bool hole = batch_base_offset(p) > f->ask->offset && !f->log->config.may_have_gaps;
            bool beyond = batch_next_offset(p) > plog_segment_end(f->log, f->place);
            f->first = (struct target){position, (uint32_t)batch_size(p), batch_base_offset(p),
                                       batch_next_offset(p)};
            return hole || beyond ? ERR_CORRUPT : OK;
        }
        position += (uint32_t)batch_size(p);
        f->expected = batch_next_offset(p);
    }
    *bad = f->seg->size;
    return ERR_NOT_FOUND;
}

static enum err walk_from(struct fetch *f, bool exact, uint32_t *bad)
{
    uint32_t position;
    enum err err = begin_at(f, exact, &position);
    return err ? err : walk_to(f, position, bad);
}

/* A hint may be stale, and an index wrong: each is believed once. */
static enum err locate(struct fetch *f, uint32_t *bad)
{
    *bad = 0;
    enum err err = walk_from(f, true, bad);
    if (err != ERR_CORRUPT && err != ERR_NOT_FOUND)
        return err;
    err = walk_from(f, false, bad);
    while (err == ERR_CORRUPT && f->indexed >= 0 && f->seg->index.in_memory) {
        plog_index_forget(f->seg, before(f));
        err = walk_from(f, false, bad);
    }
    bool misled = f->indexed >= 0; /* an index that was checked may rot in its file, too */
    if (err != ERR_CORRUPT || f->seg->index.in_memory || (f->seg->index.trusted && !misled))
        return err;
    err = plog_rebuild_index(f->log, f->seg);
    return err ? err : walk_from(f, false, bad);
}

/* -- as a range of the file -- */

/* The last batch boundary at or before `limit` such that all before it ends at or before the offset bound;
 * 0: none that is worth it. */
static enum err boundary(const struct fetch *f, uint32_t limit, int64_t bound, uint32_t *ret_end,
                         int64_t *ret_next)
{
    struct window w = {.len = 0};
    const uint8_t *p;
    *ret_end = 0;
    if (limit >= f->seg->size && plog_segment_end(f->log, f->place) <= bound) {
        *ret_end = f->seg->size;
        *ret_next = plog_segment_end(f->log, f->place);
        return OK;
    }
    enum err err = plog_index_bound(f->log, f->seg, limit, bound, ret_end);
    if (err == OK && *ret_end > f->first.position)
        err = header_at(f, &w, *ret_end, &p);
    if (err == ERR_CORRUPT)
        *ret_end = 0; /* the index is wrong: the slow way will tell */
    else if (err == OK && *ret_end > f->first.position)
        *ret_next = batch_base_offset(p);
    if (err == OK && *ret_end > f->first.position && (*ret_next < f->first.next_offset || *ret_next > bound))
        *ret_end = 0;
    return err == ERR_CORRUPT ? OK : err;
}

/* At most what is looked at in the page cache. */
static uint32_t range_bytes(const struct fetch *f)
{
    return (uint32_t)MIN(f->ask->max_bytes, COLD_BYTES_MAX);
}

/* ret->len 0: not this way. */
static enum err give_range(struct fetch *f)
{
    struct env_file *file;
    uint32_t from = f->first.position, good = good_until(f, from), end;
    int64_t next, bound = MIN(f->ask->file_end_offset, f->ask->end_offset);
    uint32_t limit = (uint32_t)MIN((uint64_t)from + range_bytes(f), good);
    if (good - from < FILE_RANGE_MIN || bound < f->first.next_offset)
        return OK;
    enum err err = boundary(f, limit, bound, &end, &next);
    if (err)
        return err;
    if (end <= from && f->ask->at_least_one && from + f->first.size <= good) {
        end = from + f->first.size;
        next = f->first.next_offset;
    }
    if (end < from + FILE_RANGE_MIN)
        return OK;
    err = plog_segment_file(f->log, f->seg, &file);
    if (err == OK)
        err = warm(f, file, from, end - from);
    if (err)
        return err;
    *f->ret =
        (struct plog_piece){.file = env_file_ref(file), .file_offset = from, .len = (int32_t)(end - from)};
    f->ret->next_offset = next;
    note_hint(f, next, end);
    return OK;
}

/* -- from memory -- */

static enum err load(const struct fetch *f, uint32_t want, struct iobuf **ret_buf)
{
    struct env_file *file;
    size_t got = 0;
    enum err err = plog_segment_file(f->log, f->seg, &file);
    if (err == OK)
        err = warm(f, file, f->first.position, want);
    if (err)
        return err;
    struct iobuf *buf = iobuf_get(f->log->env->pool, want);
    if (buf == NULL)
        return ERR_NOMEM;
    err = env_file_read(file, f->first.position, buf->data, want, &got);
    buf->len = (uint32_t)got;
    if (err == OK && got < want)
        err = ERR_CORRUPT; /* shorter than we know it to be */
    if (err)
        iobuf_unref(buf);
    else
        *ret_buf = buf;
    return err;
}

/* Offsets may be missing before a batch, but none that the next one, or the next segment, begins with (as
 * plog_damage_jumps() has it). */
static bool jumps(int64_t expected, int64_t base_offset, int64_t next_offset, int64_t next_base)
{
    return expected >= 0 && base_offset > expected && next_base > expected && next_base < next_offset;
}

/* Without a batch before it, the first batch's offsets are held against what follows; with gaps, too, when it
 * does not begin where that one ended. */
static enum err know_expected(struct fetch *f)
{
    const struct target *first = &f->first;
    uint32_t end = first->position + first->size;
    struct window w = {.len = 0};
    const uint8_t *p;
    int64_t next;
    bool fits;
    if (first->base_offset == f->expected || good_until(f, first->position) >= end ||
        (f->expected >= 0 && !f->log->config.may_have_gaps))
        return OK;
    if (!plog_damage_behind(f->log, f->seg, end, &next)) {
        enum err err = header_at(f, &w, end, &p);
        if (err)
            return err; /* ERR_CORRUPT: bad bytes follow, and nobody knows yet */
        next = batch_base_offset(p);
    }
    if (f->log->config.may_have_gaps)
        fits = f->expected < 0 ? next >= first->next_offset
                               : !jumps(f->expected, first->base_offset, first->next_offset, next);
    else
        fits = next == first->next_offset;
    return fits ? OK : ERR_CORRUPT;
}

static bool wanted(const struct fetch *f, uint32_t taken, const uint8_t *p, size_t size)
{
    if (batch_next_offset(p) > f->ask->end_offset)
        return false;
    return taken + size <= (size_t)f->ask->max_bytes || (taken == 0 && f->ask->at_least_one);
}

/* The batch at `at`, not the first of the buffer, in a log with gaps: what follows it says whether it begins
 * where it may. False also when that is not in the buffer: another time it will be the first. */
static bool is_placed(const struct fetch *f, const struct iobuf *buf, uint32_t at, int64_t expected)
{
    const uint8_t *p = buf->data + at;
    uint32_t end = at + (uint32_t)batch_size(p);
    int64_t next;
    size_t size;
    if (!f->log->config.may_have_gaps || batch_base_offset(p) <= expected)
        return true;
    if (!plog_damage_behind(f->log, f->seg, f->first.position + end, &next)) {
        if (buf->len - end < BATCH_HEADER_BYTES ||
            batch_peek(buf->data + end, BATCH_HEADER_BYTES, &size) != OK)
            return false;
        next = batch_base_offset(buf->data + end);
    }
    return !jumps(expected, batch_base_offset(p), batch_next_offset(p), next);
}

/* Bytes of whole, good, wanted batches from the buffer's begin on. ERR_CORRUPT: the first is not good. */
static enum err take(const struct fetch *f, const struct iobuf *buf, uint32_t *ret_len, int64_t *ret_next)
{
    uint32_t at = 0, good = good_until(f, f->first.position) - f->first.position;
    int64_t expected = f->expected;
    while (at + BATCH_HEADER_BYTES <= buf->len) {
        const uint8_t *p = buf->data + at;
        size_t size;
        bool sane =
            batch_peek(p, BATCH_HEADER_BYTES, &size) == OK && batch_last_offset(p) >= batch_base_offset(p);
        if (sane && (!wanted(f, at, p, size) || size > buf->len - at))
            break;
        if (!sane || (at + size > good && !plog_batch_good(f->log, p, size, expected))) {
            if (at == 0)
                return ERR_CORRUPT;
            break;
        }
        if (at > 0 && at + size > good && !is_placed(f, buf, at, expected))
            break;
        expected = batch_next_offset(p);
        at += (uint32_t)size;
    }
    *ret_len = at;
    *ret_next = expected;
    return OK;
}

static enum err give_memory(struct fetch *f)
{
    struct iobuf *buf;
    uint32_t len, left = f->seg->size - f->first.position;
    uint32_t want = range_bytes(f);
    if (f->first.size > want && !f->ask->at_least_one && f->first.size > (uint32_t)f->ask->max_bytes)
        return OK;
    enum err err = know_expected(f);
    if (err == OK)
        err = load(f, MIN(MAX(want, f->first.size), left), &buf);
    if (err)
        return err;
    err = take(f, buf, &len, &f->ret->next_offset);
    if (err || len == 0) {
        iobuf_unref(buf);
        return err;
    }
    plog_verified(f->log, f->seg, f->first.position, f->first.position + len, f->ret->next_offset);
    note_hint(f, f->ret->next_offset, f->first.position + len);
    f->ret->p = buf->data;
    f->ret->owner = buf;
    f->ret->len = (int32_t)len;
    return OK;
}

/* -- all of it -- */

/* Whoever is given a segment to its end goes on in the next one: a last batch that does not reach that (the
 * segment has lost its end) is looked at each time. */
void plog_verified(struct plog *log, struct plog_segment *seg, uint32_t from, uint32_t to,
                   int64_t next_offset)
{
    int32_t place = (int32_t)(seg - log->segments);
    if (to == seg->size && to > from && !log->config.may_have_gaps &&
        next_offset != plog_segment_end(log, place))
        to--;
    plog_ranges_add(&seg->verified, from, MIN(to, seg->verified_from));
}

/* Who may wait is not told what waits for the disk (it has waited already, perhaps for another range): here,
 * too, what comes from the disk once more is checked once more. */
static enum err unmark_cold(const struct fetch *f)
{
    struct env_file *file;
    uint32_t from = f->first.position;
    uint32_t len = MIN(MAX(range_bytes(f), f->first.size), f->seg->size - from);
    enum err err = f->ask->may_wait ? plog_segment_file(f->log, f->seg, &file) : OK;
    if (f->ask->may_wait && err == OK && !env_file_cached(file, from, len))
        unmark(f->seg, from, from + len);
    return err;
}

/* ERR_NOT_FOUND: nothing of the wanted offsets is in this segment (which is more than that none fits now). */
static enum err fetch_segment(struct fetch *f)
{
    uint32_t bad;
    enum err err = locate(f, &bad);
    if (err || f->first.next_offset > f->ask->end_offset)
        return err;
    err = unmark_cold(f);
    if (err == OK)
        err = give_range(f);
    if (err == OK && f->ret->len == 0)
        err = give_memory(f);
    return err;
}

static bool from_tail(struct plog *log, const struct plog_fetch *ask, struct plog_piece *ret_piece)
{
    struct tail_read read = {.offset = ask->offset,
                             .end_offset = ask->end_offset,
                             .max_bytes = (uint32_t)ask->max_bytes,
                             .at_least_one = ask->at_least_one};
    if (!tail_read(&log->tail, &read))
        return false;
    if (read.len > 0)
        *ret_piece = (struct plog_piece){
            .p = read.p, .owner = read.owner, .len = (int32_t)read.len, .next_offset = read.next_offset};
    return true;
}

/* Reading rebuilt an index and met damage where the reader is: what lies behind it is not the answer. */
static bool found_damaged(struct plog *log, const struct plog_fetch *ask, struct plog_piece *piece)
{
    if (plog_damage_at(log, ask->offset, false) == NULL)
        return false;
    if (piece->owner)
        iobuf_unref(piece->owner);
    if (piece->file)
        env_file_close(piece->file);
    *piece = (struct plog_piece){0};
    return true;
}

static enum err fetch(struct plog *log, const struct plog_fetch *request, struct plog_piece *ret_piece)
{
    struct plog_fetch ask = *request;
    struct fetch f = {.log = log, .ask = &ask, .ret = ret_piece};
    if (ask.offset >= ask.end_offset || (ask.max_bytes == 0 && !ask.at_least_one))
        return OK;
    const struct plog_damage *damage = plog_damage_at(log, ask.offset, true);
    if (damage && damage->offset <= ask.offset)
        return ERR_CORRUPT;
    ask.end_offset = damage ? MIN(ask.end_offset, damage->offset) : ask.end_offset;
    if (from_tail(log, &ask, ret_piece))
        return OK;
    for (f.place = plog_segment_find(log, ask.offset); f.place < log->segments_count; f.place++) {
        f.seg = &log->segments[f.place];
        if (f.seg->base_offset >= ask.end_offset)
            return OK;
        enum err err = fetch_segment(&f);
        if (err != ERR_NOT_FOUND)
            return found_damaged(log, &ask, ret_piece) || err == ERR_TRUNCATED ? ERR_CORRUPT : err;
        if (!log->config.may_have_gaps)
            return ERR_CORRUPT; /* it ends before the next one begins */
    }
    return OK;
}

enum err plog_fetch(struct plog *log, const struct plog_fetch *request, struct plog_piece *ret_piece)
{
    struct plog_fetch ask = *request;
    ASSERT(ask.offset >= log->start && ask.offset <= log->end);
    ASSERT(ask.end_offset <= log->end);
    ask.max_bytes = MAX(ask.max_bytes, 0);
    *ret_piece = (struct plog_piece){0};
    if (log->failed)
        return log->failed;
    if (ask.end_offset > plog_written_end(log) && plog_staged_write(log) != OK)
        return log->failed;
    log->asides.no_block = ask.aside && log->learned != NULL;
    enum err err = fetch(log, &ask, ret_piece);
    log->asides.no_block = false;
    return err;
}

enum err plog_read(struct plog *log, int64_t offset, int64_t end_offset, int32_t max_bytes, bool at_least_one,
                   struct plog_piece *ret_piece)
{
    struct plog_fetch ask = {.offset = offset,
                             .end_offset = end_offset,
                             .file_end_offset = -1,
                             .max_bytes = max_bytes,
                             .at_least_one = at_least_one,
                             .may_wait = true};
    return plog_fetch(log, &ask, ret_piece);
}
