/* SPDX-License-Identifier: Apache-2.0 */
/* What the generated Kafka decoders and encoders are made of: the protocol's types in both wire forms. "flex"
 * chooses the compact form of flexible versions (KIP-482). Failures are sticky in the reader and the writer
 * (common/base/wire.h). */
#ifndef SLUICE_PROTO_KAFKA_CODEC_H
#define SLUICE_PROTO_KAFKA_CODEC_H

#include "common/base/arena.h"
#include "common/base/types.h"
#include "common/base/wire.h"

/* A run of record batches. A decoder sets p and len only (a view of the reader's memory). An encoder emits,
 * in this order of preference: the pieces (in a row; each a plain one, their lengths add up); a range of
 * `file`, not copied; memory that `owner` keeps alive, not copied; a copy of p. len -1 is null. With pieces,
 * len and p are not looked at. */
struct kafka_records {
    const uint8_t *p;
    struct iobuf *owner;
    struct env_file *file;
    uint64_t file_offset;
    const struct kafka_records *pieces;
    int32_t pieces_count;
    int32_t len;
};

#define KAFKA_RECORDS_NULL ((struct kafka_records){.len = -1})
#define KAFKA_STRING_MAX   32767 /* bytes, in both forms */

/* Reading. `nullable` false: null is ERR_MALFORMED. Results are views of the reader's memory, or live in the
 * arena. */
struct str kafka_get_str(struct reader *r, bool flex, bool nullable);
struct bytes kafka_get_bytes(struct reader *r, bool flex, bool nullable);
struct kafka_records kafka_get_records(struct reader *r, bool flex, bool nullable);

/* The count of an array, -1 for null. ERR_TRUNCATED when the bytes left cannot hold that many elements of at
 * least min_size bytes. */
int32_t kafka_get_count(struct reader *r, bool flex, bool nullable, size_t min_size);

/* Room for count elements of size bytes, not initialized. NULL when count is not positive or the arena is at
 * its cap (ERR_NOMEM). */
void *kafka_get_array(struct reader *r, struct arena *a, int32_t count, size_t size);

/* Whole arrays of plain values; ret_count as kafka_get_count. */
int8_t *kafka_get_i8s(struct reader *r, struct arena *a, bool flex, bool nullable, int32_t *ret_count);
int16_t *kafka_get_i16s(struct reader *r, struct arena *a, bool flex, bool nullable, int32_t *ret_count);
int32_t *kafka_get_i32s(struct reader *r, struct arena *a, bool flex, bool nullable, int32_t *ret_count);
int64_t *kafka_get_i64s(struct reader *r, struct arena *a, bool flex, bool nullable, int32_t *ret_count);
struct str *kafka_get_strs(struct reader *r, struct arena *a, bool flex, bool nullable, int32_t *ret_count);

/* Walks a section of tagged fields. Tags must rise strictly; each body is confined to its declared size. */
struct kafka_tags {
    uint32_t left;
    int64_t last; /* tag before this one, -1 at the start */
};

/* Reads how many tagged fields follow. */
struct kafka_tags kafka_get_tags(struct reader *r);

/* The next tag and a reader over its body. False at the end or on failure. A body that is not read is an
 * unknown field and skipped. */
bool kafka_next_tag(struct reader *r, struct kafka_tags *tags, uint32_t *ret_tag, struct reader *ret_body);

/* After a known tag: passes the body's failure on to r; bytes left over in the body are ERR_MALFORMED. */
void kafka_end_tag(struct reader *r, const struct reader *body);

/* Skips a whole section of tagged fields. */
void kafka_skip_tags(struct reader *r);

/* Writing. Null where nullable is false, a negative length other than -1 and a string over KAFKA_STRING_MAX
 * are ERR_INVALID. */
void kafka_put_str(struct writer *w, struct str s, bool flex, bool nullable);
void kafka_put_bytes(struct writer *w, struct bytes b, bool flex, bool nullable);
void kafka_put_records(struct writer *w, const struct kafka_records *records, bool flex, bool nullable);
void kafka_put_count(struct writer *w, int32_t count, bool flex, bool nullable);
void kafka_put_i8s(struct writer *w, const int8_t *p, int32_t count, bool flex, bool nullable);
void kafka_put_i16s(struct writer *w, const int16_t *p, int32_t count, bool flex, bool nullable);
void kafka_put_i32s(struct writer *w, const int32_t *p, int32_t count, bool flex, bool nullable);
void kafka_put_i64s(struct writer *w, const int64_t *p, int32_t count, bool flex, bool nullable);
void kafka_put_strs(struct writer *w, const struct str *p, int32_t count, bool flex, bool nullable);

/* Starts a tagged field; its body follows. Returns the mark for kafka_finish_tag(), which fills in the size.
 * Nothing may be spliced between. */
size_t kafka_start_tag(struct writer *w, uint32_t tag);
void kafka_finish_tag(struct writer *w, size_t mark);

/* Encoded bytes of a records field without its length: the sum of the pieces, or len (-1 for null). */
int64_t kafka_records_size(const struct kafka_records *records);

#endif
