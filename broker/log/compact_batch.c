/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/log/compact_batch.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/mutant.h"

#define VARLONG_MAX 10

enum err compact_reserve(struct compact_buffer *b, size_t n)
{
    if (b->cap - b->len >= n)
        return OK;
    size_t cap = MAX(b->cap * 2, b->len + n);
    uint8_t *grown = realloc(b->p, cap);
    if (grown == NULL)
        return ERR_NOMEM;
    b->p = grown;
    b->cap = cap;
    return OK;
}

static enum err put(struct compact_buffer *b, const void *p, size_t n)
{
    enum err err = compact_reserve(b, n);
    if (err == OK && n > 0)
        memcpy(b->p + b->len, p, n);
    if (err == OK)
        b->len += n;
    return err;
}

void compact_filter_free(struct compact_filter *filter)
{
    free(filter->keep.p);
    free(filter->plain.p);
    free(filter->out.p);
}

int64_t batch_delete_horizon(const uint8_t *batch)
{
    return batch_attributes(batch) & BATCH_DELETE_HORIZON ? batch_base_timestamp(batch) : -1;
}

/* -- which records stay -- */

struct pass {
    struct compact_filter *filter;
    const uint8_t *batch;
    int64_t horizon_ms;
    uint32_t before, after;
    bool tombstones; /* among those that stay */
    int64_t max_timestamp;
};

static bool stays(const struct pass *pass, const struct record *record)
{
    const struct compact_filter *filter = pass->filter;
    if (batch_is_control(pass->batch) || record->offset > filter->map->latest)
        return true;
    if (record->key.len < 0)
        return false; /* cannot be in a compacted log; Kafka drops it, too */
    if (record->offset < offset_map_get(filter->map, record->key))
        return false;
    if (MUTANT(DROP_TOMBSTONE_EARLY) && record->value.len < 0)
        return false;
    return record->value.len >= 0 || pass->horizon_ms < 0 || filter->now_ms < pass->horizon_ms;
}

static enum err choose(struct pass *pass, bool discard)
{
    struct batch_iter it;
    struct record record;
    struct compact_buffer *keep = &pass->filter->keep;
    keep->len = 0;
    enum err err = (enum err)batch_iter_init(&it, pass->batch, pass->filter->scratch);
    if (err)
        return err;
    while (batch_iter_next(&it, &record)) {
        uint8_t stay = !discard && stays(pass, &record);
        err = put(keep, &stay, 1);
        if (err)
            return err;
        pass->before++;
        pass->after += stay;
        if (!stay)
            continue;
        pass->tombstones = pass->tombstones || record.value.len < 0;
        pass->max_timestamp = MAX(pass->max_timestamp, record.timestamp);
    }
    return it.r.err;
}

/* -- the new batch -- */

static uint8_t *put_varlong(uint8_t *p, int64_t value)
{
    uint64_t v = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
    for (; v >= 0x80; v >>= 7)
        *p++ = (uint8_t)(v | 0x80);
    *p++ = (uint8_t)v;
    return p;
}

/* The record at raw, with its time told from another base. */
static enum err put_rebased(struct compact_buffer *b, const uint8_t *raw, const uint8_t *end, int64_t delta)
{
    struct reader r = reader_over(raw, (size_t)(end - raw));
    uint8_t head[2 * VARLONG_MAX + 1], body[VARLONG_MAX];
    reader_varint(&r);
    int8_t attributes = reader_i8(&r);
    reader_varlong(&r);
    ASSERT(r.err == OK); /* the iterator has read it */
    size_t delta_len = (size_t)(put_varlong(body, delta) - body);
    uint8_t *p = put_varlong(head, (int64_t)(1 + delta_len + reader_left(&r)));
    *p++ = (uint8_t)attributes;
    memcpy(p, body, delta_len);
    p += delta_len;
    enum err err = put(b, head, (size_t)(p - head));
    return err ? err : put(b, r.p, reader_left(&r));
}

/* rebase: the base timestamp becomes base_ms. */
static enum err gather(struct pass *pass, bool rebase, int64_t base_ms)
{
    struct compact_filter *filter = pass->filter;
    struct batch_iter it;
    struct record record;
    size_t i = 0;
    filter->plain.len = 0;
    enum err err = (enum err)batch_iter_init(&it, pass->batch, filter->scratch);
    for (const uint8_t *raw = it.r.p; err == OK && batch_iter_next(&it, &record); raw = it.r.p, i++) {
        uint64_t delta = (uint64_t)it.base_timestamp + (uint64_t)record.timestamp_delta - (uint64_t)base_ms;
        if (!filter->keep.p[i])
            continue;
        err = rebase ? put_rebased(&filter->plain, raw, it.r.p, (int64_t)delta)
                     : put(&filter->plain, raw, (size_t)(it.r.p - raw));
    }
    return err;
}

static enum err compress_plain(struct compact_filter *filter, enum codec codec)
{
    struct compact_buffer *out = &filter->out;
    size_t n = 0, bound = compress_bound(codec, filter->plain.len);
    enum err err = compact_reserve(out, bound);
    if (err == OK)
        err = (enum err)compress_into(filter->scratch->codecs, codec, COMPRESS_LEVEL_DEFAULT, filter->plain.p,
                                      filter->plain.len, out->p + out->len, bound, &n);
    out->len += n;
    return err;
}

static enum err build(struct pass *pass, int64_t horizon_ms, struct compact_result *ret)
{
    struct compact_filter *filter = pass->filter;
    struct compact_buffer *out = &filter->out;
    uint16_t attributes = batch_attributes(pass->batch);
    bool rebase = horizon_ms >= 0 && pass->horizon_ms < 0;
    enum codec codec = pass->after > 0 ? batch_codec(pass->batch) : CODEC_NONE;
    out->len = 0;
    enum err err = put(out, pass->batch, BATCH_HEADER_BYTES);
    if (err == OK && pass->after > 0)
        err = gather(pass, rebase, horizon_ms);
    if (err == OK && pass->after > 0)
        err = codec == CODEC_NONE ? put(out, filter->plain.p, filter->plain.len)
                                  : compress_plain(filter, codec);
    if (err)
        return err;
    uint8_t *p = out->p;
    attributes = (uint16_t)((attributes & ~BATCH_CODEC_MASK) | codec | (rebase ? BATCH_DELETE_HORIZON : 0));
    store_be16(p + BATCH_AT_ATTRIBUTES, attributes);
    store_be32(p + BATCH_AT_LENGTH, (uint32_t)(out->len - BATCH_PREFIX_BYTES));
    if (rebase)
        store_be64(p + BATCH_AT_BASE_TIMESTAMP, (uint64_t)horizon_ms);
    if (pass->after > 0 && !batch_is_append_time(p))
        store_be64(p + BATCH_AT_MAX_TIMESTAMP, (uint64_t)pass->max_timestamp);
    store_be32(p + BATCH_AT_RECORD_COUNT, pass->after);
    store_be32(p + BATCH_AT_CRC, batch_compute_crc(p));
    ret->p = p;
    ret->len = (uint32_t)out->len;
    return OK;
}

enum err compact_batch(struct compact_filter *filter, const uint8_t *batch, struct compact_fate fate,
                       struct compact_result *ret)
{
    struct pass pass = {.filter = filter,
                        .batch = batch,
                        .horizon_ms = batch_delete_horizon(batch),
                        .max_timestamp = BATCH_NO_TIMESTAMP};
    bool marker = batch_is_control(batch);
    /* a marker without data stays until its horizon, so that a reader that is on its way meets it */
    bool expired = pass.horizon_ms >= 0 && filter->now_ms >= pass.horizon_ms;
    enum err err = choose(&pass, marker ? fate.discard && expired : fate.discard);
    if (err)
        return err;
    bool decide = pass.horizon_ms < 0 && pass.after > 0 && (pass.tombstones || (marker && fate.discard));
    int64_t horizon_ms = pass.horizon_ms;
    if (decide)
        horizon_ms = filter->delete_retention_ms > INT64_MAX - filter->now_ms
                         ? INT64_MAX
                         : filter->now_ms + filter->delete_retention_ms;
    *ret = (struct compact_result){.p = batch,
                                   .records_before = pass.before,
                                   .records_after = pass.after,
                                   .horizon_ms = pass.after > 0 ? horizon_ms : -1};
    if (pass.after == 0 && !fate.keep_empty)
        return OK;
    ret->len = (uint32_t)batch_size(batch);
    return pass.after == pass.before && !decide ? OK : build(&pass, horizon_ms, ret);
}
