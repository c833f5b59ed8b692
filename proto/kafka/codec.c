/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/kafka/codec.h"

#include "common/base/assert.h"

#include <string.h>

/* The length or count in front of a variable field. Compact lengths are stored plus one, so that 0 means
 * null. */
static int32_t get_length(struct reader *r, bool flex)
{
    if (!flex)
        return reader_i32(r);
    uint32_t plus_one = reader_uvarint(r);
    if (plus_one <= (uint32_t)INT32_MAX)
        return (int32_t)plus_one - 1;
    reader_fail(r, ERR_MALFORMED);
    return -1;
}

/* -1 for an allowed null and after a failure. */
static int32_t check_length(struct reader *r, int32_t length, bool nullable)
{
    if (length >= 0)
        return length;
    if (!nullable || length != -1)
        reader_fail(r, ERR_MALFORMED);
    return -1;
}

struct str kafka_get_str(struct reader *r, bool flex, bool nullable)
{
    int32_t length = check_length(r, flex ? get_length(r, true) : reader_i16(r), nullable);
    if (length > KAFKA_STRING_MAX)
        reader_fail(r, ERR_MALFORMED);
    if (length < 0 || r->err != OK)
        return STR_NULL;
    const uint8_t *p = reader_raw(r, (size_t)length);
    return p ? (struct str){(const char *)p, length} : STR_NULL;
}

struct bytes kafka_get_bytes(struct reader *r, bool flex, bool nullable)
{
    int32_t length = check_length(r, get_length(r, flex), nullable);
    if (length < 0 || r->err != OK)
        return BYTES_NULL;
    const uint8_t *p = reader_raw(r, (size_t)length);
    return p ? (struct bytes){p, length} : BYTES_NULL;
}

struct kafka_records kafka_get_records(struct reader *r, bool flex, bool nullable)
{
    struct bytes view = kafka_get_bytes(r, flex, nullable);
    return (struct kafka_records){.p = view.p, .len = view.len};
}

int32_t kafka_get_count(struct reader *r, bool flex, bool nullable, size_t min_size)
{
    ASSERT(min_size > 0);
    int32_t count = check_length(r, get_length(r, flex), nullable);
    if (count > 0 && (size_t)count > reader_left(r) / min_size)
        reader_fail(r, ERR_TRUNCATED);
    if (r->err != OK)
        return 0;
    return count;
}

void *kafka_get_array(struct reader *r, struct arena *a, int32_t count, size_t size)
{
    if (count <= 0 || r->err != OK)
        return NULL;
    ASSERT((size_t)count <= SIZE_MAX / size);
    void *room = arena_alloc(a, (size_t)count * size);
    if (!room)
        reader_fail(r, ERR_NOMEM);
    return room;
}

int8_t *kafka_get_i8s(struct reader *r, struct arena *a, bool flex, bool nullable, int32_t *ret_count)
{
    int32_t count = kafka_get_count(r, flex, nullable, sizeof(int8_t));
    int8_t *items = kafka_get_array(r, a, count, sizeof *items);
    for (int32_t i = 0; items && i < count; i++)
        items[i] = reader_i8(r);
    *ret_count = count;
    return items;
}

int16_t *kafka_get_i16s(struct reader *r, struct arena *a, bool flex, bool nullable, int32_t *ret_count)
{
    int32_t count = kafka_get_count(r, flex, nullable, sizeof(int16_t));
    int16_t *items = kafka_get_array(r, a, count, sizeof *items);
    for (int32_t i = 0; items && i < count; i++)
        items[i] = reader_i16(r);
    *ret_count = count;
    return items;
}

int32_t *kafka_get_i32s(struct reader *r, struct arena *a, bool flex, bool nullable, int32_t *ret_count)
{
    int32_t count = kafka_get_count(r, flex, nullable, sizeof(int32_t));
    int32_t *items = kafka_get_array(r, a, count, sizeof *items);
    for (int32_t i = 0; items && i < count; i++)
        items[i] = reader_i32(r);
    *ret_count = count;
    return items;
}

int64_t *kafka_get_i64s(struct reader *r, struct arena *a, bool flex, bool nullable, int32_t *ret_count)
{
    int32_t count = kafka_get_count(r, flex, nullable, sizeof(int64_t));
    int64_t *items = kafka_get_array(r, a, count, sizeof *items);
    for (int32_t i = 0; items && i < count; i++)
        items[i] = reader_i64(r);
    *ret_count = count;
    return items;
}

struct str *kafka_get_strs(struct reader *r, struct arena *a, bool flex, bool nullable, int32_t *ret_count)
{
    int32_t count = kafka_get_count(r, flex, nullable, flex ? 1 : sizeof(int16_t));
    struct str *items = kafka_get_array(r, a, count, sizeof *items);
    for (int32_t i = 0; items && i < count; i++)
        items[i] = kafka_get_str(r, flex, false);
    *ret_count = count;
    return items;
}

struct kafka_tags kafka_get_tags(struct reader *r)
{
    uint32_t count = reader_uvarint(r);
    /* Each takes at least a tag and a size. */
    if (count > reader_left(r) / 2)
        reader_fail(r, ERR_TRUNCATED);
    return (struct kafka_tags){.left = r->err == OK ? count : 0, .last = -1};
}

bool kafka_next_tag(struct reader *r, struct kafka_tags *tags, uint32_t *ret_tag, struct reader *ret_body)
{
    if (tags->left == 0 || r->err != OK)
        return false;
    tags->left--;
    uint32_t tag = reader_uvarint(r);
    uint32_t size = reader_uvarint(r);
    if (tag > (uint32_t)INT32_MAX || (int64_t)tag <= tags->last)
        reader_fail(r, ERR_MALFORMED);
    const uint8_t *body = reader_raw(r, size);
    if (!body || r->err != OK)
        return false;
    tags->last = tag;
    *ret_tag = tag;
    *ret_body = reader_over(body, size);
    return true;
}

void kafka_end_tag(struct reader *r, const struct reader *body)
{
    if (body->err != OK)
        reader_fail(r, body->err);
    else if (reader_left(body) > 0)
        reader_fail(r, ERR_MALFORMED);
}

void kafka_skip_tags(struct reader *r)
{
    struct kafka_tags tags = kafka_get_tags(r);
    struct reader body;
    uint32_t tag;
    while (kafka_next_tag(r, &tags, &tag, &body))
        ;
}

/* True when that many bytes or elements follow. */
static bool put_length(struct writer *w, int32_t length, bool flex, bool nullable)
{
    if (length < (nullable ? -1 : 0) || length == INT32_MAX) {
        writer_fail(w, ERR_INVALID);
        return false;
    }
    if (flex)
        writer_uvarint(w, (uint32_t)(length + 1));
    else
        writer_i32(w, length);
    return length > 0;
}

void kafka_put_str(struct writer *w, struct str s, bool flex, bool nullable)
{
    if (s.len > KAFKA_STRING_MAX || s.len < (nullable ? -1 : 0)) {
        writer_fail(w, ERR_INVALID);
        return;
    }
    if (flex)
        writer_uvarint(w, (uint32_t)(s.len + 1));
    else
        writer_i16(w, (int16_t)s.len);
    if (s.len > 0)
        writer_raw(w, s.p, (size_t)s.len);
}

void kafka_put_bytes(struct writer *w, struct bytes b, bool flex, bool nullable)
{
    if (put_length(w, b.len, flex, nullable))
        writer_raw(w, b.p, (size_t)b.len);
}

int64_t kafka_records_size(const struct kafka_records *records)
{
    if (records->pieces_count == 0)
        return records->len;
    int64_t size = 0;
    for (int32_t i = 0; i < records->pieces_count; i++)
        size += MAX(records->pieces[i].len, 0);
    return size;
}

static void put_piece(struct writer *w, const struct kafka_records *piece)
{
    if (piece->len <= 0)
        return;
    size_t len = (size_t)piece->len;
    if (piece->file)
        writer_splice_file(w, piece->file, piece->file_offset, len);
    else if (piece->owner)
        writer_splice(w, piece->p, len, piece->owner);
    else
        writer_raw(w, piece->p, len);
}

void kafka_put_records(struct writer *w, const struct kafka_records *records, bool flex, bool nullable)
{
    int64_t size = kafka_records_size(records);
    if (size >= INT32_MAX) {
        writer_fail(w, ERR_TOO_LARGE);
        return;
    }
    if (!put_length(w, (int32_t)size, flex, nullable))
        return;
    if (records->pieces_count == 0)
        put_piece(w, records);
    for (int32_t i = 0; i < records->pieces_count; i++)
        put_piece(w, &records->pieces[i]);
}

void kafka_put_count(struct writer *w, int32_t count, bool flex, bool nullable)
{
    put_length(w, count, flex, nullable);
}

void kafka_put_i8s(struct writer *w, const int8_t *p, int32_t count, bool flex, bool nullable)
{
    if (!put_length(w, count, flex, nullable))
        return;
    for (int32_t i = 0; i < count; i++)
        writer_i8(w, p[i]);
}

void kafka_put_i16s(struct writer *w, const int16_t *p, int32_t count, bool flex, bool nullable)
{
    if (!put_length(w, count, flex, nullable))
        return;
    for (int32_t i = 0; i < count; i++)
        writer_i16(w, p[i]);
}

void kafka_put_i32s(struct writer *w, const int32_t *p, int32_t count, bool flex, bool nullable)
{
    if (!put_length(w, count, flex, nullable))
        return;
    for (int32_t i = 0; i < count; i++)
        writer_i32(w, p[i]);
}

void kafka_put_i64s(struct writer *w, const int64_t *p, int32_t count, bool flex, bool nullable)
{
    if (!put_length(w, count, flex, nullable))
        return;
    for (int32_t i = 0; i < count; i++)
        writer_i64(w, p[i]);
}

void kafka_put_strs(struct writer *w, const struct str *p, int32_t count, bool flex, bool nullable)
{
    if (!put_length(w, count, flex, nullable))
        return;
    for (int32_t i = 0; i < count && w->err == OK; i++)
        kafka_put_str(w, p[i], flex, false);
}

size_t kafka_start_tag(struct writer *w, uint32_t tag)
{
    writer_uvarint(w, tag);
    writer_i8(w, 0);
    return writer_pos(w);
}

/* Nearly every body is below 128 bytes and fits the byte kept for its size; a longer one is moved up. */
void kafka_finish_tag(struct writer *w, size_t mark)
{
    if (w->err != OK)
        return;
    size_t size = writer_pos(w) - mark;
    size_t more = 0;
    for (size_t rest = size >> 7; rest > 0; rest >>= 7)
        more++;
    static const uint8_t zeros[8];
    writer_raw(w, zeros, more);
    if (w->err != OK)
        return;
    uint8_t *at = w->buf->data + mark - 1;
    if (more > 0)
        memmove(at + 1 + more, at + 1, size);
    for (size_t i = 0; i <= more; i++)
        at[i] = (uint8_t)(((size >> (7 * i)) & 0x7f) | (i < more ? 0x80 : 0));
}
