/* SPDX-License-Identifier: Apache-2.0 */
/* Readers and writers of big-endian wire data with sticky errors: after the first failure every later call is
 * a no-op (reads give zero), so a decoder checks once at its end. */
#ifndef SLUICE_BASE_WIRE_H
#define SLUICE_BASE_WIRE_H

#include <string.h>

#include "common/base/err.h"
#include "common/base/iobuf.h"
#include "common/base/types.h"

struct reader {
    const uint8_t *p, *end;
    enum err err; /* first failure, or OK */
};

static inline struct reader reader_over(const void *p, size_t len)
{
    return (struct reader){.p = (const uint8_t *)p, .end = (const uint8_t *)p + len, .err = OK};
}

static inline size_t reader_left(const struct reader *r)
{
    return (size_t)(r->end - r->p);
}

/* Records err (if none is recorded yet) and moves to the end. */
void reader_fail(struct reader *r, enum err err);

/* Fixed width, big-endian; zero after a failure. A bool is true for any byte but 0. */
bool reader_bool(struct reader *r);
int8_t reader_i8(struct reader *r);
int16_t reader_i16(struct reader *r);
int32_t reader_i32(struct reader *r);
int64_t reader_i64(struct reader *r);
uint16_t reader_u16(struct reader *r);
uint32_t reader_u32(struct reader *r);
double reader_f64(struct reader *r);
struct uuid reader_uuid(struct reader *r);

/* Variable width: seven bits a byte, the lowest first. */
uint32_t reader_uvarint(struct reader *r); /* LEB128, at most 5 bytes; longer is ERR_MALFORMED */
int32_t reader_varint(struct reader *r);   /* zigzag */
int64_t reader_varlong(struct reader *r);  /* zigzag, at most 10 bytes */
const uint8_t *reader_raw(struct reader *r, size_t len); /* view of len bytes, NULL on failure */

/* Growable output with a cap. Large byte fields can be spliced in by reference instead of copied
 * (writer_splice). */
struct splice {
    size_t at;        /* position in the linear part before which the bytes go */
    const uint8_t *p; /* memory: p and owner; the owner is referenced by the writer until writer_free() */
    struct iobuf *owner;
    struct env_file *file; /* or a file range (sendfile): file, file_offset; p and owner are NULL then */
    uint64_t file_offset;
    size_t len;
};

#define WRITER_SPLICES_MAX 1024 /* a reply with more partitions than this copies the rest */

struct writer {
    struct iobuf *buf; /* linear part; buf->len is kept up to date */
    struct iobuf_pool *pool;
    size_t cap_bytes; /* of linear + spliced bytes */
    size_t spliced_bytes;
    struct splice *splices; /* malloc'd on first use */
    uint32_t splice_count, splice_cap;
    enum err err;
};

/* pool may be NULL. size_hint: first size of the linear part. */
void writer_init(struct writer *w, struct iobuf_pool *pool, size_t size_hint, size_t cap_bytes);

/* Drops what the writer holds and starts anew like writer_init(), but keeps the memory of the splice table: a
 * pooled writer splices without allocation. The writer must have been initialized before, or be all zero. */
void writer_reset(struct writer *w, struct iobuf_pool *pool, size_t size_hint, size_t cap_bytes);

/* Drops what the writer holds, but keeps the memory of the splice table for the next writer_reset(). */
void writer_clear(struct writer *w);

/* Drops the linear buffer (unless taken with writer_take) and the splices' references. */
void writer_free(struct writer *w);

/* Hands over the linear buffer (one reference); the caller unrefs it. NULL when the writer failed. Splices
 * stay until writer_free(). */
struct iobuf *writer_take(struct writer *w);

static inline size_t writer_pos(const struct writer *w)
{
    return w->buf ? w->buf->len : 0;
}

/* Records err unless one is recorded; every later write does nothing. */
void writer_fail(struct writer *w, enum err err);

/* len bytes at the end of the linear part, for the caller to fill at once (valid until the next write). NULL
 * when the writer has failed, now or before. */
uint8_t *writer_reserve(struct writer *w, size_t len);
/* The counterparts of the readers. */
void writer_bool(struct writer *w, bool v);
void writer_i8(struct writer *w, int8_t v);
void writer_i16(struct writer *w, int16_t v);
void writer_i32(struct writer *w, int32_t v);
void writer_i64(struct writer *w, int64_t v);
void writer_u16(struct writer *w, uint16_t v);
void writer_u32(struct writer *w, uint32_t v);
void writer_f64(struct writer *w, double v);
void writer_uvarint(struct writer *w, uint32_t v);
void writer_varint(struct writer *w, int32_t v);
void writer_varlong(struct writer *w, int64_t v);
void writer_uuid(struct writer *w, struct uuid v);
void writer_raw(struct writer *w, const void *p, size_t len);
void writer_patch_i32(struct writer *w, size_t pos, int32_t v); /* overwrites 4 bytes written before */

/* Appends len bytes by reference: takes its own reference on owner. Copies when the splice table is full or
 * the piece is below 1 KiB. */
void writer_splice(struct writer *w, const uint8_t *p, size_t len, struct iobuf *owner);

/* Appends len bytes of a file, to be sent with sendfile. ERR_FULL when the splice table is full. The file
 * must stay open until sent. */
void writer_splice_file(struct writer *w, struct env_file *file, uint64_t offset, size_t len);

/* Linear plus spliced bytes so far. */
size_t writer_total(const struct writer *w);

/* Plain big-endian loads and stores on unaligned memory. */
static inline uint16_t load_be16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return __builtin_bswap16(v);
}

static inline uint32_t load_be32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return __builtin_bswap32(v);
}

static inline uint64_t load_be64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return __builtin_bswap64(v);
}

static inline void store_be16(void *p, uint16_t v)
{
    v = __builtin_bswap16(v);
    memcpy(p, &v, sizeof(v));
}

static inline void store_be32(void *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, sizeof(v));
}

static inline void store_be64(void *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(p, &v, sizeof(v));
}

#endif
