/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/log/plog_internal.h"
#include "common/base/assert.h"

/* A read in one segment. */
struct read_plan {
    struct plog *log;
    struct plog_segment *seg;
    int64_t offset, end_offset;
    int32_t max_bytes;
    bool at_least_one;
    uint32_t position; /* where reading begins; the wanted batch is here or shortly behind */
    uint32_t slack;    /* how much may come before it */
};

/* Exact start of the batch that holds offset, when it is among the last few. */
static bool recent_position(const struct plog *log, int64_t offset, uint32_t *ret_position)
{
    uint32_t kept = MIN(log->recent_count, PLOG_RECENT);
    for (uint32_t i = 1; i <= kept; i++) {
        const struct plog_recent *r = &log->recent[(log->recent_count - i) % PLOG_RECENT];
        if (r->base_offset <= offset) {
            *ret_position = r->position;
            return true;
        }
    }
    return false;
}

static enum err plan_position(struct read_plan *plan)
{
    struct plog *log = plan->log;
    plan->slack = 0;
    if (plan->seg == plog_active(log) && recent_position(log, plan->offset, &plan->position))
        return OK;
    plan->slack = (uint32_t)log->config.index_interval_bytes + PLOG_INDEX_INTERVAL;
    enum err err = plog_index_lookup(log, plan->seg, plan->offset, &plan->position);
    if (err == OK)
        plan->position = plog_damage_pass(log, plan->seg, plan->offset, plan->position);
    return err;
}

static enum err load(struct read_plan *plan, uint32_t want, struct iobuf **ret_buf)
{
    struct env_file *file;
    size_t got = 0;
    enum err err = plog_segment_file(plan->log, plan->seg, &file);
    if (err)
        return err;
    struct iobuf *buf = iobuf_get(plan->log->env->pool, want);
    if (buf == NULL)
        return ERR_NOMEM;
    err = env_file_read(file, plan->position, buf->data, want, &got);
    buf->len = (uint32_t)got;
    if (err) {
        iobuf_unref(buf);
        return err;
    }
    *ret_buf = buf;
    return OK;
}

/* What was found in the bytes at plan->position. */
struct found {
    uint32_t skip, len; /* [skip, skip + len) are whole wanted batches */
    uint32_t next; /* the wanted batch begins here in the buffer, but is not all there; valid when len is 0 */
    uint32_t next_size; /* its size; 0: not even its header is there */
    bool past_end;      /* the next batch reaches past end_offset or max_bytes: nothing more to come */
};

/* Bytes that this process has neither appended nor checked are checked before they leave (DESIGN, Fetch). */
static bool good(const struct read_plan *plan, const uint8_t *p, uint32_t at, size_t size)
{
    return plan->position + at >= plan->seg->verified_from || batch_verify(p, size) == OK;
}

static bool wanted(const struct read_plan *plan, const struct found *f, const uint8_t *p, size_t size)
{
    if (batch_next_offset(p) > plan->end_offset)
        return false;
    return f->len + size <= (size_t)plan->max_bytes || (f->len == 0 && plan->at_least_one);
}

static enum err search(const struct read_plan *plan, const struct iobuf *buf, struct found *f)
{
    uint32_t at = 0;
    *f = (struct found){0};
    while (at + BATCH_HEADER_BYTES <= buf->len) {
        const uint8_t *p = buf->data + at;
        size_t size;
        if (batch_peek(p, BATCH_HEADER_BYTES, &size) != OK || batch_last_offset(p) < batch_base_offset(p) ||
            size > plan->seg->size - plan->position - at)
            return f->len ? OK : ERR_CORRUPT;
        if (f->len == 0 && batch_last_offset(p) < plan->offset) {
            at += (uint32_t)size;
            continue;
        }
        f->past_end = !wanted(plan, f, p, size);
        f->next_size = (uint32_t)size;
        if (f->past_end || at + size > buf->len)
            break;
        if (!good(plan, p, at, size))
            return f->len ? OK : ERR_CORRUPT;
        f->skip = f->len ? f->skip : at;
        f->len += (uint32_t)size;
        at += (uint32_t)size;
        f->next_size = 0;
    }
    f->next = at;
    return OK;
}

static void give(struct iobuf *buf, const struct found *f, struct plog_piece *ret_piece)
{
    *ret_piece = (struct plog_piece){.p = buf->data + f->skip, .owner = buf, .len = (int32_t)f->len};
}

/* Reads again from where the wanted batch begins until it is there whole. OK with len 0: this segment has
 * nothing for us. */
static enum err read_segment(struct read_plan *plan, struct plog_piece *ret_piece)
{
    struct iobuf *buf;
    struct found f;
    uint32_t need = (uint32_t)MIN(plan->max_bytes, PLOG_READ_BYTES_MAX - (int32_t)plan->slack) + plan->slack;
    while (plan->position < plan->seg->size) {
        uint32_t left = plan->seg->size - plan->position;
        uint32_t want = MIN(left, MAX(need, BATCH_HEADER_BYTES));
        enum err err = load(plan, want, &buf);
        if (err)
            return err;
        err = buf->len < want ? ERR_CORRUPT : search(plan, buf, &f); /* shorter than we know it to be */
        if (err == OK && f.len > 0) {
            give(buf, &f, ret_piece);
            return OK;
        }
        iobuf_unref(buf);
        if (err || f.past_end)
            return err;
        ASSERT(f.next > 0 || f.next_size > want); /* progress: further on, or a larger buffer */
        plan->position += f.next;
        need = MAX(f.next_size, (uint32_t)MIN(plan->max_bytes, PLOG_READ_BYTES_MAX));
    }
    return OK;
}

/* An index of a former life that led astray is rebuilt, once. */
static enum err read_checked(struct read_plan *plan, struct plog_piece *ret_piece)
{
    enum err err = plan_position(plan);
    if (err == OK)
        err = read_segment(plan, ret_piece);
    if (err != ERR_CORRUPT || plan->seg->index.in_memory || plan->seg->index.trusted)
        return err;
    err = plog_rebuild_index(plan->log, plan->seg);
    if (err == OK)
        err = plan_position(plan);
    return err ? err : read_segment(plan, ret_piece);
}

enum err plog_read(struct plog *log, int64_t offset, int64_t end_offset, int32_t max_bytes, bool at_least_one,
                   struct plog_piece *ret_piece)
{
    ASSERT(offset >= log->start && offset <= log->end);
    ASSERT(end_offset <= log->end);
    *ret_piece = (struct plog_piece){0};
    if (log->failed)
        return log->failed;
    if (offset >= end_offset || (max_bytes <= 0 && !at_least_one))
        return OK;
    const struct plog_damage *damage = plog_damage_at(log, offset, true);
    if (damage && damage->offset <= offset)
        return ERR_CORRUPT;
    end_offset = damage ? MIN(end_offset, damage->offset) : end_offset;
    for (int32_t i = plog_segment_find(log, offset); i < log->segments_count; i++) {
        struct read_plan plan = {.log = log,
                                 .seg = &log->segments[i],
                                 .offset = offset,
                                 .end_offset = end_offset,
                                 .max_bytes = MAX(max_bytes, 0),
                                 .at_least_one = at_least_one};
        if (plan.seg->base_offset >= end_offset)
            return OK;
        enum err err = read_checked(&plan, ret_piece);
        if (err || ret_piece->len > 0 || !log->config.may_have_gaps)
            return err;
    }
    return OK;
}

/* Position of offset without I/O, not beyond the true one. */
static uint32_t near_position(struct plog *log, int32_t place, int64_t offset)
{
    struct plog_segment *seg = &log->segments[place];
    uint32_t position = 0;
    if (offset >= plog_segment_end(log, place))
        return seg->size;
    if (seg->index.in_memory && !(seg == plog_active(log) && recent_position(log, offset, &position)))
        plog_index_lookup(log, seg, offset, &position);
    return position;
}

int64_t plog_estimate(struct plog *log, int64_t offset, int64_t end_offset)
{
    if (offset >= end_offset || offset < log->start)
        return 0;
    int32_t first = plog_segment_find(log, offset), last = plog_segment_find(log, end_offset);
    int64_t bytes = -(int64_t)near_position(log, first, offset);
    for (int32_t i = first; i < last; i++)
        bytes += log->segments[i].size;
    bytes += near_position(log, last, end_offset);
    return MAX(bytes, 1);
}

/* -- by time -- */

/* The largest timestamp of a segment; a closed one keeps it as the last entry of its time index. */
enum err plog_segment_times(struct plog *log, struct plog_segment *seg)
{
    struct time_entry e;
    if (seg->times_known)
        return OK;
    if (plog_index_time(log, seg, INT64_MAX, &e)) {
        seg->max_timestamp = e.timestamp;
        seg->max_timestamp_offset = seg->base_offset + (int64_t)e.delta;
        seg->times_known = true;
        return OK;
    }
    return seg->size > 0 && !seg->times_known ? plog_rebuild_index(log, seg) : OK;
}

static enum err find_in_segment(struct plog *log, struct plog_segment *seg, int64_t timestamp,
                                int64_t *ret_base_offset)
{
    struct time_entry e;
    struct plog_walk walk;
    struct batch_header batch;
    uint32_t position = 0;
    enum err err = OK;
    if (plog_index_time(log, seg, timestamp, &e))
        err = plog_index_lookup(log, seg, seg->base_offset + (int64_t)e.delta, &position);
    if (err == OK)
        err = plog_walk_begin(&walk, log, seg, position, false);
    if (err)
        return err;
    while ((err = plog_walk_next(&walk, &batch, NULL)) == OK)
        if (batch.max_timestamp >= timestamp && batch.last_offset >= log->start)
            break;
    plog_walk_end(&walk);
    if (err == OK)
        *ret_base_offset = batch.base_offset;
    return err;
}

enum err plog_find_time(struct plog *log, int64_t timestamp, int64_t *ret_base_offset)
{
    if (log->failed)
        return log->failed;
    for (int32_t i = 0; i < log->segments_count; i++) {
        struct plog_segment *seg = &log->segments[i];
        enum err err = plog_segment_times(log, seg);
        if (err)
            return err;
        if (seg->max_timestamp < timestamp || seg->size == 0)
            continue;
        err = find_in_segment(log, seg, timestamp, ret_base_offset);
        if (err != ERR_NOT_FOUND)
            return err;
    }
    return ERR_NOT_FOUND;
}

enum err plog_max_time(struct plog *log, int64_t *ret_timestamp, int64_t *ret_offset)
{
    int64_t best = -1;
    for (int32_t i = 0; i < log->segments_count; i++) {
        struct plog_segment *seg = &log->segments[i];
        enum err err = plog_segment_times(log, seg);
        if (err)
            return err;
        if (seg->max_timestamp <= best)
            continue;
        best = *ret_timestamp = seg->max_timestamp;
        *ret_offset = seg->max_timestamp_offset;
    }
    return best < 0 ? ERR_NOT_FOUND : OK;
}
