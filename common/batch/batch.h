/* SPDX-License-Identifier: Apache-2.0 */
/* The v2 record batch (KIP-98): its 61-byte header as raw bytes, big-endian. Functions named batch_<field>(p)
 * read one field; p must have passed batch_peek(). Base offset and leader epoch lie outside the checksum, so
 * that a broker patches them in place. */
#ifndef SLUICE_BATCH_BATCH_H
#define SLUICE_BATCH_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/wire.h"
#include "common/compress/compress.h"

#define BATCH_HEADER_BYTES   61
#define BATCH_PREFIX_BYTES   12 /* base offset and length: not counted by the length field */
#define BATCH_MAGIC          2
#define BATCH_NO_TIMESTAMP   (-1)
#define BATCH_NO_PRODUCER_ID (-1)
#define BATCH_NO_EPOCH       (-1)
#define BATCH_NO_SEQUENCE    (-1)

/* Where the fields are. */
enum batch_at {
    BATCH_AT_BASE_OFFSET = 0,
    BATCH_AT_LENGTH = 8,
    BATCH_AT_LEADER_EPOCH = 12,
    BATCH_AT_MAGIC = 16,
    BATCH_AT_CRC = 17,
    BATCH_AT_ATTRIBUTES = 21, /* the checksum runs from here to the end */
    BATCH_AT_LAST_OFFSET_DELTA = 23,
    BATCH_AT_BASE_TIMESTAMP = 27,
    BATCH_AT_MAX_TIMESTAMP = 35,
    BATCH_AT_PRODUCER_ID = 43,
    BATCH_AT_PRODUCER_EPOCH = 51,
    BATCH_AT_BASE_SEQUENCE = 53,
    BATCH_AT_RECORD_COUNT = 57,
};

/* Bits of the attributes. */
enum batch_attribute {
    BATCH_CODEC_MASK = 0x07,
    BATCH_APPEND_TIME = 0x08, /* timestamps are the broker's: each record's is the batch's max timestamp */
    BATCH_TRANSACTIONAL = 0x10,
    BATCH_CONTROL = 0x20,
    BATCH_DELETE_HORIZON = 0x40, /* the base timestamp is the time from which tombstones may go (KIP-534) */
};

static inline int64_t batch_base_offset(const uint8_t *p)
{
    return (int64_t)load_be64(p + BATCH_AT_BASE_OFFSET);
}

/* Whole size in bytes, as the length field tells it. */
static inline size_t batch_size(const uint8_t *p)
{
    return BATCH_PREFIX_BYTES + (size_t)load_be32(p + BATCH_AT_LENGTH);
}

static inline int32_t batch_leader_epoch(const uint8_t *p)
{
    return (int32_t)load_be32(p + BATCH_AT_LEADER_EPOCH);
}

static inline uint32_t batch_crc(const uint8_t *p)
{
    return load_be32(p + BATCH_AT_CRC);
}

static inline uint16_t batch_attributes(const uint8_t *p)
{
    return load_be16(p + BATCH_AT_ATTRIBUTES);
}

/* May be CODEC_COUNT or above when a peer wrote nonsense. */
static inline enum codec batch_codec(const uint8_t *p)
{
    return (enum codec)(batch_attributes(p) & BATCH_CODEC_MASK);
}

static inline bool batch_is_append_time(const uint8_t *p)
{
    return batch_attributes(p) & BATCH_APPEND_TIME;
}

static inline bool batch_is_transactional(const uint8_t *p)
{
    return batch_attributes(p) & BATCH_TRANSACTIONAL;
}

static inline bool batch_is_control(const uint8_t *p)
{
    return batch_attributes(p) & BATCH_CONTROL;
}

static inline int32_t batch_last_offset_delta(const uint8_t *p)
{
    return (int32_t)load_be32(p + BATCH_AT_LAST_OFFSET_DELTA);
}

static inline int64_t batch_last_offset(const uint8_t *p)
{
    return (int64_t)((uint64_t)batch_base_offset(p) + (uint64_t)(int64_t)batch_last_offset_delta(p));
}

/* The offset of the batch that follows in a log without gaps. */
static inline int64_t batch_next_offset(const uint8_t *p)
{
    return (int64_t)((uint64_t)batch_last_offset(p) + 1);
}

static inline int64_t batch_base_timestamp(const uint8_t *p)
{
    return (int64_t)load_be64(p + BATCH_AT_BASE_TIMESTAMP);
}

static inline int64_t batch_max_timestamp(const uint8_t *p)
{
    return (int64_t)load_be64(p + BATCH_AT_MAX_TIMESTAMP);
}

static inline int64_t batch_producer_id(const uint8_t *p)
{
    return (int64_t)load_be64(p + BATCH_AT_PRODUCER_ID);
}

static inline int16_t batch_producer_epoch(const uint8_t *p)
{
    return (int16_t)load_be16(p + BATCH_AT_PRODUCER_EPOCH);
}

static inline int32_t batch_base_sequence(const uint8_t *p)
{
    return (int32_t)load_be32(p + BATCH_AT_BASE_SEQUENCE);
}

/* Sequence numbers run from 0 to INT32_MAX and start again at 0 (KIP-98). */
static inline int32_t batch_sequence_add(int32_t sequence, int32_t delta)
{
    return (int32_t)(((uint32_t)sequence + (uint32_t)delta) & INT32_MAX);
}

/* Sequence of the last record; BATCH_NO_SEQUENCE when the batch has none. */
static inline int32_t batch_last_sequence(const uint8_t *p)
{
    int32_t base = batch_base_sequence(p);
    return base < 0 ? BATCH_NO_SEQUENCE : batch_sequence_add(base, batch_last_offset_delta(p));
}

static inline int32_t batch_record_count(const uint8_t *p)
{
    return (int32_t)load_be32(p + BATCH_AT_RECORD_COUNT);
}

/* All fields at once, in host order. */
struct batch_header {
    int64_t base_offset, last_offset, base_timestamp, max_timestamp, producer_id;
    size_t size_bytes;
    uint32_t crc;
    int32_t leader_epoch, base_sequence, last_sequence, record_count;
    int16_t producer_epoch;
    uint16_t attributes;
};

/* Reads every field of a header that passed batch_peek(). */
struct batch_header batch_header_of(const uint8_t *p);

/* Is there a v2 header at p? Needs BATCH_HEADER_BYTES there, else ERR_TRUNCATED. ERR_VERSION: another magic;
 * ERR_CORRUPT: a length below that of a header, or negative. The body is not looked at and may reach past
 * len: compare *ret_size. */
int batch_peek(const uint8_t *p, size_t len, size_t *ret_size);

/* batch_peek(), the whole batch within len (else ERR_TRUNCATED), its checksum, offset range and count (else
 * ERR_CORRUPT). For batches from a log or a leader: compacted ones may have gaps or no records at all.
 * Records are not parsed. */
int batch_verify(const uint8_t *p, size_t len);

/* The next whole batch of a sequence of batches (a Fetch reply's records, a piece of a segment); *ret_size is
 * its size. NULL at the end, with r->err OK; ERR_TRUNCATED when the last batch is cut, as Fetch replies may
 * be; ERR_VERSION, ERR_CORRUPT. Checksums are not computed. */
const uint8_t *batch_next(struct reader *r, size_t *ret_size);

/* What the checksum of the whole batch at p should be. */
uint32_t batch_compute_crc(const uint8_t *p);

/* In-place changes; all but the first two recompute the checksum. The bytes must not be shared yet. */
void batch_set_base_offset(uint8_t *p, int64_t base_offset);
void batch_set_leader_epoch(uint8_t *p, int32_t leader_epoch);
void batch_set_max_timestamp(uint8_t *p, int64_t max_timestamp); /* and clears the append-time bit */
void batch_set_append_time(uint8_t *p, int64_t now_ms);          /* max timestamp and the append-time bit */
/* Another codec, and the size that the batch has with it. */
void batch_set_codec(uint8_t *p, enum codec codec, uint32_t size_bytes);
void batch_set_producer(uint8_t *p, int64_t producer_id, int16_t producer_epoch, int32_t base_sequence);

#endif
