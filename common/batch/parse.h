/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of common/batch: the one parser of a record, inlined into iteration and validation. */
#ifndef SLUICE_BATCH_PARSE_H
#define SLUICE_BATCH_PARSE_H

#include "common/batch/record.h"

/* Nearly every varint in a batch has one or two bytes; the rest, and the end of the input, go to the general
 * reader. Returns the value before zigzag through ret, false when it is not such a short one. */
static inline bool parse_short(struct reader *r, uint32_t *ret)
{
    const uint8_t *p = r->p;
    if (r->end - p < 2)
        return false;
    if (p[0] < 0x80) {
        *ret = p[0];
        r->p = p + 1;
        return true;
    }
    if (p[1] >= 0x80)
        return false;
    *ret = (p[0] & 0x7fu) | (uint32_t)p[1] << 7;
    r->p = p + 2;
    return true;
}

static inline int32_t parse_varint(struct reader *r)
{
    uint32_t v;
    return parse_short(r, &v) ? (int32_t)(v >> 1 ^ -(v & 1)) : reader_varint(r);
}

static inline int64_t parse_varlong(struct reader *r)
{
    uint32_t v;
    return parse_short(r, &v) ? (int64_t)(int32_t)(v >> 1 ^ -(v & 1)) : reader_varlong(r);
}

static inline int8_t parse_i8(struct reader *r)
{
    return r->p < r->end ? (int8_t)*r->p++ : reader_i8(r);
}

static inline struct bytes parse_bytes(struct reader *r, int32_t len_min)
{
    int32_t len = parse_varint(r);
    if (len < 0) {
        if (len < len_min)
            reader_fail(r, ERR_MALFORMED);
        return BYTES_NULL;
    }
    const uint8_t *p = reader_left(r) >= (size_t)len ? r->p : NULL;
    if (!p || r->err != OK) {
        reader_fail(r, ERR_TRUNCATED);
        return BYTES_NULL;
    }
    r->p += len;
    return (struct bytes){p, len};
}

/* Key of a header: never null. */
static inline struct record_header parse_header(struct reader *r)
{
    struct bytes key = parse_bytes(r, 0), value = parse_bytes(r, -1);
    return (struct record_header){.key = {(const char *)key.p, key.len}, .value = value};
}

/* Everything between the record's length and its end. */
static inline void parse_body(struct reader *r, struct record *rec)
{
    rec->attributes = parse_i8(r);
    rec->timestamp_delta = parse_varlong(r);
    rec->offset_delta = parse_varint(r);
    rec->key = parse_bytes(r, -1);
    rec->value = parse_bytes(r, -1);
    rec->header_count = parse_varint(r);
    const uint8_t *headers = r->p;
    if (rec->header_count < 0)
        reader_fail(r, ERR_MALFORMED);
    for (int32_t i = 0; i < rec->header_count && r->err == OK; i++)
        parse_header(r);
    rec->headers = (struct bytes){headers, (int32_t)(r->p - headers)};
}

/* One record; offset and timestamp are left to the caller. False on any failure (also a body that is shorter
 * or longer than the record's own length), which is then recorded in r. */
static inline bool parse_record(struct reader *r, struct record *rec)
{
    int32_t len = parse_varint(r);
    if (r->err != OK || len < 0 || reader_left(r) < (size_t)len) {
        reader_fail(r, ERR_MALFORMED);
        return false;
    }
    struct reader body = {.p = r->p, .end = r->p + len, .err = OK};
    r->p += len;
    parse_body(&body, rec);
    if (body.err == OK && body.p == body.end)
        return true;
    reader_fail(r, ERR_MALFORMED);
    return false;
}

/* Positions r on the plain records of the batch. Errors as batch_iter_init(). */
int batch_open_records(const uint8_t *batch, struct batch_scratch *scratch, struct reader *ret_r);

#endif
