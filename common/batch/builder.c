/* SPDX-License-Identifier: Apache-2.0 */
#include "common/batch/builder.h"

#include <string.h>

#include "common/base/assert.h"

#define RECORD_BYTES_MAX INT32_MAX

static inline uint64_t zigzag(int64_t v)
{
    return (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
}

/* Seven bits a byte; zero takes one. */
static inline size_t varint_size(int64_t v)
{
    return (size_t)(63 - __builtin_clzll(zigzag(v) | 1)) / 7 + 1;
}

static inline uint8_t *put_varint(uint8_t *p, int64_t v)
{
    uint64_t z = zigzag(v);
    for (; z >= 0x80; z >>= 7)
        *p++ = (uint8_t)(z | 0x80);
    *p++ = (uint8_t)z;
    return p;
}

static inline size_t bytes_size(int32_t len)
{
    return varint_size(len) + (size_t)MAX(len, 0);
}

static inline uint8_t *put_bytes(uint8_t *p, const void *from, int32_t len)
{
    p = put_varint(p, len);
    if (len > 0)
        memcpy(p, from, (size_t)len);
    return p + MAX(len, 0);
}

int batch_builder_init(struct batch_builder *b, const struct batch_opts *opts, struct iobuf_pool *pool,
                       size_t size_hint, size_t cap_bytes)
{
    ASSERT(cap_bytes >= BATCH_HEADER_BYTES && cap_bytes <= INT32_MAX);
    ASSERT((unsigned)opts->codec < CODEC_COUNT);
    *b = (struct batch_builder){.opts = *opts, .pool = pool, .max_timestamp = BATCH_NO_TIMESTAMP};
    writer_init(&b->w, pool, MAX(size_hint, (size_t)BATCH_HEADER_BYTES), cap_bytes);
    uint8_t *header = writer_reserve(&b->w, BATCH_HEADER_BYTES);
    if (!header) {
        writer_free(&b->w);
        return ERR_NOMEM;
    }
    memset(header, 0, BATCH_HEADER_BYTES);
    return OK;
}

void batch_builder_free(struct batch_builder *b)
{
    writer_free(&b->w);
}

static int64_t timestamp_delta(const struct batch_builder *b, const struct record_in *rec)
{
    return b->count == 0 ? 0 : (int64_t)((uint64_t)rec->timestamp_ms - (uint64_t)b->base_timestamp);
}

static size_t headers_size(const struct record_in *rec)
{
    size_t size = varint_size(rec->header_count);
    for (int32_t i = 0; i < rec->header_count; i++)
        size += bytes_size(rec->headers[i].key.len) + bytes_size(rec->headers[i].value.len);
    return size;
}

/* Of the record without its own length. */
static size_t body_size(const struct batch_builder *b, const struct record_in *rec)
{
    return 1 + varint_size(timestamp_delta(b, rec)) + varint_size(b->count) + bytes_size(rec->key.len) +
           bytes_size(rec->value.len) + headers_size(rec);
}

size_t batch_builder_size_with(const struct batch_builder *b, const struct record_in *rec)
{
    size_t body = body_size(b, rec);
    return batch_builder_size(b) + varint_size((int64_t)body) + body;
}

static bool record_ok(const struct record_in *rec)
{
    if (rec->key.len < -1 || rec->value.len < -1 || rec->header_count < 0)
        return false;
    for (int32_t i = 0; i < rec->header_count; i++)
        if (rec->headers[i].key.len < 0 || rec->headers[i].value.len < -1)
            return false;
    return true;
}

static uint8_t *put_record(uint8_t *p, const struct batch_builder *b, const struct record_in *rec,
                           size_t body)
{
    p = put_varint(p, (int64_t)body);
    *p++ = 0; /* attributes */
    p = put_varint(p, timestamp_delta(b, rec));
    p = put_varint(p, b->count);
    p = put_bytes(p, rec->key.p, rec->key.len);
    p = put_bytes(p, rec->value.p, rec->value.len);
    p = put_varint(p, rec->header_count);
    for (int32_t i = 0; i < rec->header_count; i++) {
        p = put_bytes(p, rec->headers[i].key.p, rec->headers[i].key.len);
        p = put_bytes(p, rec->headers[i].value.p, rec->headers[i].value.len);
    }
    return p;
}

int batch_builder_add(struct batch_builder *b, const struct record_in *rec)
{
    if (!record_ok(rec))
        return ERR_INVALID;
    size_t body = body_size(b, rec), size = varint_size((int64_t)body) + body;
    if (size > RECORD_BYTES_MAX || batch_builder_size(b) + size > b->w.cap_bytes)
        return ERR_TOO_LARGE;
    uint8_t *p = writer_reserve(&b->w, size);
    if (!p)
        return ERR_NOMEM;
    uint8_t *end = put_record(p, b, rec, body);
    ASSERT(end == p + size);
    if (b->count == 0)
        b->base_timestamp = rec->timestamp_ms;
    b->max_timestamp = MAX(b->max_timestamp, rec->timestamp_ms);
    b->count++;
    return OK;
}

void batch_builder_set_producer(struct batch_builder *b, int64_t producer_id, int16_t producer_epoch,
                                int32_t base_sequence)
{
    b->opts.producer_id = producer_id;
    b->opts.producer_epoch = producer_epoch;
    b->opts.base_sequence = base_sequence;
}

static uint16_t attributes_of(const struct batch_opts *opts)
{
    return (uint16_t)((unsigned)opts->codec | (opts->transactional ? BATCH_TRANSACTIONAL : 0u) |
                      (opts->control ? BATCH_CONTROL : 0u));
}

static void fill_header(const struct batch_builder *b, uint8_t *p, size_t size)
{
    store_be64(p + BATCH_AT_BASE_OFFSET, 0);
    store_be32(p + BATCH_AT_LENGTH, (uint32_t)(size - BATCH_PREFIX_BYTES));
    store_be32(p + BATCH_AT_LEADER_EPOCH, (uint32_t)BATCH_NO_EPOCH);
    p[BATCH_AT_MAGIC] = BATCH_MAGIC;
    store_be16(p + BATCH_AT_ATTRIBUTES, attributes_of(&b->opts));
    store_be32(p + BATCH_AT_LAST_OFFSET_DELTA, (uint32_t)(b->count - 1));
    store_be64(p + BATCH_AT_BASE_TIMESTAMP, (uint64_t)b->base_timestamp);
    store_be64(p + BATCH_AT_MAX_TIMESTAMP, (uint64_t)b->max_timestamp);
    store_be32(p + BATCH_AT_RECORD_COUNT, (uint32_t)b->count);
    batch_set_producer(p, b->opts.producer_id, b->opts.producer_epoch,
                       b->opts.base_sequence); /* and the checksum */
}

/* Compressed data is often far below its bound: move it to a buffer of its own size rather than hold the
 * large one. */
static struct iobuf *fit(struct batch_builder *b, struct iobuf *buf)
{
    if (buf->len > buf->cap / 2)
        return buf;
    struct iobuf *small = iobuf_get(b->pool, buf->len);
    if (!small)
        return buf;
    memcpy(small->data, buf->data, buf->len);
    small->len = buf->len;
    iobuf_unref(buf);
    return small;
}

static int compressed(struct batch_builder *b, struct compress_ctx *codecs, struct iobuf **ret_batch)
{
    const uint8_t *plain = b->w.buf->data + BATCH_HEADER_BYTES;
    size_t n, plain_len = b->w.buf->len - BATCH_HEADER_BYTES,
              bound = compress_bound(b->opts.codec, plain_len);
    struct iobuf *buf = iobuf_get(b->pool, BATCH_HEADER_BYTES + bound);
    if (!buf)
        return ERR_NOMEM;
    int err = compress_into(codecs, b->opts.codec, b->opts.level, plain, plain_len,
                            buf->data + BATCH_HEADER_BYTES, bound, &n);
    if (err) {
        iobuf_unref(buf);
        return err;
    }
    buf->len = (uint32_t)(BATCH_HEADER_BYTES + n);
    *ret_batch = fit(b, buf);
    return OK;
}

int batch_builder_finish(struct batch_builder *b, struct compress_ctx *codecs, struct iobuf **ret_batch)
{
    ASSERT(b->count > 0);
    ASSERT(codecs != NULL || b->opts.codec == CODEC_NONE);
    struct iobuf *batch = NULL;
    int err = b->w.err;
    if (err == OK && b->opts.codec == CODEC_NONE)
        batch = writer_take(&b->w);
    else if (err == OK)
        err = compressed(b, codecs, &batch);
    writer_free(&b->w);
    if (err)
        return err;
    fill_header(b, batch->data, batch->len);
    *ret_batch = batch;
    return OK;
}
