/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/wire.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"

#define SPLICE_BYTES_MIN 1024 /* a smaller piece is cheaper to copy than to send as its own segment */
#define SPLICES_FIRST    16
#define LINEAR_BYTES_MIN 256

STATIC_ASSERT(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "the swaps in wire.h assume a little-endian machine (x86-64, aarch64)");

/* --- reader --- */

void reader_fail(struct reader *r, enum err err)
{
    ASSERT(err != OK);
    if (r->err == OK)
        r->err = err;
    r->p = r->end;
}

const uint8_t *reader_raw(struct reader *r, size_t len)
{
    if (r->err != OK || reader_left(r) < len) {
        reader_fail(r, ERR_TRUNCATED);
        return NULL;
    }
    const uint8_t *p = r->p;
    r->p += len;
    return p;
}

int8_t reader_i8(struct reader *r)
{
    const uint8_t *p = reader_raw(r, 1);
    return p ? (int8_t)*p : 0;
}

bool reader_bool(struct reader *r)
{
    return reader_i8(r) != 0;
}

uint16_t reader_u16(struct reader *r)
{
    const uint8_t *p = reader_raw(r, 2);
    return p ? load_be16(p) : 0;
}

uint32_t reader_u32(struct reader *r)
{
    const uint8_t *p = reader_raw(r, 4);
    return p ? load_be32(p) : 0;
}

int16_t reader_i16(struct reader *r)
{
    return (int16_t)reader_u16(r);
}

int32_t reader_i32(struct reader *r)
{
    return (int32_t)reader_u32(r);
}

int64_t reader_i64(struct reader *r)
{
    const uint8_t *p = reader_raw(r, 8);
    return p ? (int64_t)load_be64(p) : 0;
}

double reader_f64(struct reader *r)
{
    uint64_t bits = (uint64_t)reader_i64(r);
    double v;
    memcpy(&v, &bits, sizeof(v));
    return v;
}

/* LEB128 of at most `bits` bits. Bits beyond that, or a further byte, break the format. */
static uint64_t read_leb(struct reader *r, uint32_t bits)
{
    uint64_t value = 0;
    for (uint32_t shift = 0; shift < bits; shift += 7) {
        if (r->p == r->end) {
            reader_fail(r, ERR_TRUNCATED);
            return 0;
        }
        uint8_t byte = *r->p++;
        if (bits - shift < 7 && (byte & 0x7f) >> (bits - shift) != 0)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    reader_fail(r, ERR_MALFORMED);
    return 0;
}

uint32_t reader_uvarint(struct reader *r)
{
    return (uint32_t)read_leb(r, 32);
}

int32_t reader_varint(struct reader *r)
{
    uint32_t v = (uint32_t)read_leb(r, 32);
    return (int32_t)(v >> 1 ^ -(v & 1));
}

int64_t reader_varlong(struct reader *r)
{
    uint64_t v = read_leb(r, 64);
    return (int64_t)(v >> 1 ^ -(v & 1));
}

struct uuid reader_uuid(struct reader *r)
{
    struct uuid id = {{0}};
    const uint8_t *p = reader_raw(r, sizeof(id.b));
    if (p)
        memcpy(id.b, p, sizeof(id.b));
    return id;
}

/* --- writer --- */

void writer_init(struct writer *w, struct iobuf_pool *pool, size_t size_hint, size_t cap_bytes)
{
    *w = (struct writer){.pool = pool, .cap_bytes = cap_bytes};
    w->buf = iobuf_get(pool, MIN(MAX(size_hint, (size_t)LINEAR_BYTES_MIN), MAX(cap_bytes, (size_t)1)));
    if (!w->buf)
        writer_fail(w, ERR_NOMEM);
}

void writer_clear(struct writer *w)
{
    for (uint32_t i = 0; i < w->splice_count; i++)
        iobuf_unref(w->splices[i].owner);
    iobuf_unref(w->buf);
    w->buf = NULL;
    w->splice_count = 0;
    w->spliced_bytes = 0;
}

void writer_reset(struct writer *w, struct iobuf_pool *pool, size_t size_hint, size_t cap_bytes)
{
    writer_clear(w);
    struct splice *splices = w->splices;
    uint32_t splice_cap = w->splice_cap;
    writer_init(w, pool, size_hint, cap_bytes);
    w->splices = splices;
    w->splice_cap = splice_cap;
}

void writer_free(struct writer *w)
{
    writer_clear(w);
    free(w->splices);
    w->splices = NULL;
    w->splice_cap = 0;
}

struct iobuf *writer_take(struct writer *w)
{
    if (w->err != OK)
        return NULL;
    struct iobuf *buf = w->buf;
    w->buf = NULL;
    return buf;
}

void writer_fail(struct writer *w, enum err err)
{
    ASSERT(err != OK);
    if (w->err == OK)
        w->err = err;
}

size_t writer_total(const struct writer *w)
{
    return writer_pos(w) + w->spliced_bytes;
}

static inline bool over_cap(const struct writer *w, size_t len)
{
    size_t total = w->spliced_bytes + w->buf->len;
    return total > w->cap_bytes || len > w->cap_bytes - total;
}

/* Moves the linear part to a buffer of at least twice the size. */
static bool grow(struct writer *w, size_t len)
{
    size_t need = w->buf->len + len;
    struct iobuf *bigger = iobuf_get(w->pool, MAX(need, MIN((size_t)w->buf->cap * 2, w->cap_bytes)));
    if (!bigger) {
        writer_fail(w, ERR_NOMEM);
        return false;
    }
    memcpy(bigger->data, w->buf->data, w->buf->len);
    bigger->len = w->buf->len;
    iobuf_unref(w->buf);
    w->buf = bigger;
    return true;
}

/* Part of each function below: an answer is written field by field, and calls would cost more than the rest.
 */
static inline __attribute__((always_inline)) uint8_t *reserve(struct writer *w, size_t len)
{
    if (w->err != OK)
        return NULL;
    ASSERT(w->buf != NULL);
    if (over_cap(w, len)) {
        writer_fail(w, ERR_TOO_LARGE);
        return NULL;
    }
    if (w->buf->cap - w->buf->len < len && !grow(w, len))
        return NULL;
    uint8_t *p = w->buf->data + w->buf->len;
    w->buf->len += (uint32_t)len;
    return p;
}

uint8_t *writer_reserve(struct writer *w, size_t len)
{
    return reserve(w, len);
}

void writer_i8(struct writer *w, int8_t v)
{
    uint8_t *p = reserve(w, 1);
    if (p)
        *p = (uint8_t)v;
}

void writer_bool(struct writer *w, bool v)
{
    writer_i8(w, v);
}

void writer_u16(struct writer *w, uint16_t v)
{
    uint8_t *p = reserve(w, 2);
    if (p)
        store_be16(p, v);
}

void writer_u32(struct writer *w, uint32_t v)
{
    uint8_t *p = reserve(w, 4);
    if (p)
        store_be32(p, v);
}

void writer_i16(struct writer *w, int16_t v)
{
    writer_u16(w, (uint16_t)v);
}

void writer_i32(struct writer *w, int32_t v)
{
    writer_u32(w, (uint32_t)v);
}

void writer_i64(struct writer *w, int64_t v)
{
    uint8_t *p = reserve(w, 8);
    if (p)
        store_be64(p, (uint64_t)v);
}

void writer_f64(struct writer *w, double v)
{
    int64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    writer_i64(w, bits);
}

static void write_leb(struct writer *w, uint64_t v)
{
    uint8_t tmp[10];
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        tmp[n++] = (uint8_t)(v | 0x80);
    tmp[n++] = (uint8_t)v;
    writer_raw(w, tmp, n);
}

void writer_uvarint(struct writer *w, uint32_t v)
{
    write_leb(w, v);
}

void writer_varint(struct writer *w, int32_t v)
{
    write_leb(w, (uint32_t)v << 1 ^ (uint32_t)(v >> 31));
}

void writer_varlong(struct writer *w, int64_t v)
{
    write_leb(w, (uint64_t)v << 1 ^ (uint64_t)(v >> 63));
}

void writer_uuid(struct writer *w, struct uuid v)
{
    writer_raw(w, v.b, sizeof(v.b));
}

void writer_raw(struct writer *w, const void *p, size_t len)
{
    uint8_t *to = reserve(w, len);
    if (to && len > 0)
        memcpy(to, p, len);
}

void writer_patch_i32(struct writer *w, size_t pos, int32_t v)
{
    if (w->err != OK)
        return;
    ASSERT(pos + 4 <= writer_pos(w));
    store_be32(w->buf->data + pos, (uint32_t)v);
}

/* A free row of the splice table, or NULL when it is full or memory is out. */
static struct splice *splice_slot(struct writer *w)
{
    if (w->splice_count == w->splice_cap) {
        uint32_t cap = w->splice_cap ? w->splice_cap * 2 : SPLICES_FIRST;
        if (cap > WRITER_SPLICES_MAX)
            return NULL;
        struct splice *splices = realloc(w->splices, cap * sizeof(*splices));
        if (!splices)
            return NULL;
        w->splices = splices;
        w->splice_cap = cap;
    }
    return &w->splices[w->splice_count];
}

STATIC_ASSERT(WRITER_SPLICES_MAX % SPLICES_FIRST == 0,
              "doubling from the first size must reach the maximum exactly");

static void add_splice(struct writer *w, struct splice *slot, struct splice splice)
{
    *slot = splice;
    w->splice_count++;
    w->spliced_bytes += splice.len;
}

void writer_splice(struct writer *w, const uint8_t *p, size_t len, struct iobuf *owner)
{
    if (w->err != OK)
        return;
    if (over_cap(w, len)) {
        writer_fail(w, ERR_TOO_LARGE);
        return;
    }
    struct splice *slot = len < SPLICE_BYTES_MIN || owner == NULL ? NULL : splice_slot(w);
    if (!slot) {
        writer_raw(w, p, len);
        return;
    }
    add_splice(w, slot, (struct splice){.at = writer_pos(w), .p = p, .owner = iobuf_ref(owner), .len = len});
}

void writer_splice_file(struct writer *w, struct env_file *file, uint64_t offset, size_t len)
{
    if (w->err != OK || len == 0)
        return;
    if (over_cap(w, len)) {
        writer_fail(w, ERR_TOO_LARGE);
        return;
    }
    struct splice *slot = splice_slot(w);
    if (!slot) {
        writer_fail(w, ERR_FULL);
        return;
    }
    add_splice(w, slot,
               (struct splice){.at = writer_pos(w), .file = file, .file_offset = offset, .len = len});
}
