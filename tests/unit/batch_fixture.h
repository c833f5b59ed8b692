/* SPDX-License-Identifier: Apache-2.0 */
/* Batches for the tests of common/batch: golden ones of another encoder, and crafted ones from raw record
 * bytes. */
#ifndef SLUICE_TESTS_BATCH_FIXTURE_H
#define SLUICE_TESTS_BATCH_FIXTURE_H

#include <string.h>

#include "common/base/assert.h"
#include "common/batch/builder.h"

#define GOLDEN_BASE_MS 1700000000000
#define GOLDEN_COUNT   5
#define GOLDEN_MAX_MS  (GOLDEN_BASE_MS + 70000)

static const uint8_t golden_none[] = {
#include "tests/unit/data/batch_none.inc"
};
static const uint8_t golden_gzip[] = {
#include "tests/unit/data/batch_gzip.inc"
};
static const uint8_t golden_snappy[] = {
#include "tests/unit/data/batch_snappy.inc"
};
static const uint8_t golden_lz4[] = {
#include "tests/unit/data/batch_lz4.inc"
};
static const uint8_t golden_zstd[] = {
#include "tests/unit/data/batch_zstd.inc"
};
static const uint8_t golden_identity[] = {
#include "tests/unit/data/batch_identity.inc"
};

/* By codec number; the last is uncompressed with producer id 0x123456789, epoch 7, sequence 99,
 * transactional. */
static const struct {
    const uint8_t *p;
    size_t len;
} golden[] = {
    {golden_none, sizeof(golden_none)},     {golden_gzip, sizeof(golden_gzip)},
    {golden_snappy, sizeof(golden_snappy)}, {golden_lz4, sizeof(golden_lz4)},
    {golden_zstd, sizeof(golden_zstd)},     {golden_identity, sizeof(golden_identity)},
};

#define BYTES_LIT(lit) ((struct bytes){(const uint8_t *)(lit), (int32_t)sizeof(lit) - 1})

/* The records of data/make_batches.py. Static storage. */
static inline const struct record_in *golden_records(void)
{
    static struct record_header headers[3];
    static char digits[641];
    static struct record_in records[GOLDEN_COUNT];
    headers[0] = (struct record_header){STR_LIT("trace"), BYTES_LIT("\x00\x01\xff")};
    headers[1] = (struct record_header){STR_LIT("none"), BYTES_NULL};
    headers[2] = (struct record_header){STR_LIT(""), BYTES_LIT("")};
    for (int i = 0; i < 640; i++)
        digits[i] = "0123456789abcdef"[i % 16];
    records[0] = (struct record_in){GOLDEN_BASE_MS, BYTES_LIT("key-0"), BYTES_LIT("value-0"), NULL, 0};
    records[1] = (struct record_in){GOLDEN_BASE_MS + 5, BYTES_NULL, BYTES_LIT("no key"), NULL, 0};
    records[2] = (struct record_in){GOLDEN_BASE_MS - 7, BYTES_LIT("tombstone"), BYTES_NULL, NULL, 0};
    records[3] = (struct record_in){GOLDEN_BASE_MS + 1000, BYTES_LIT(""), BYTES_LIT(""), headers, 3};
    records[4] =
        (struct record_in){GOLDEN_MAX_MS, BYTES_LIT("long"), {(const uint8_t *)digits, 640}, NULL, 0};
    return records;
}

static inline void fix_crc(uint8_t *p)
{
    store_be32(p + BATCH_AT_CRC, batch_compute_crc(p));
}

/* A copy that may be changed, in memory of exactly its size; free() it. */
static inline uint8_t *copy_of(const uint8_t *p, size_t len)
{
    uint8_t *copy = malloc(len);
    memcpy(copy, p, len);
    return copy;
}

/* A batch of `count` records around raw record bytes, whatever they are. free() it. */
static inline uint8_t *crafted(const void *records, size_t len, int32_t count, enum codec codec,
                               size_t *ret_size)
{
    uint8_t *p = calloc(1, BATCH_HEADER_BYTES + len);
    *ret_size = BATCH_HEADER_BYTES + len;
    store_be32(p + BATCH_AT_LENGTH, (uint32_t)(*ret_size - BATCH_PREFIX_BYTES));
    p[BATCH_AT_MAGIC] = BATCH_MAGIC;
    store_be16(p + BATCH_AT_ATTRIBUTES, (uint16_t)codec);
    store_be32(p + BATCH_AT_LAST_OFFSET_DELTA, (uint32_t)count - 1);
    store_be64(p + BATCH_AT_BASE_TIMESTAMP, GOLDEN_BASE_MS);
    store_be64(p + BATCH_AT_MAX_TIMESTAMP, GOLDEN_BASE_MS);
    store_be64(p + BATCH_AT_PRODUCER_ID, UINT64_MAX);
    store_be16(p + BATCH_AT_PRODUCER_EPOCH, UINT16_MAX);
    store_be32(p + BATCH_AT_BASE_SEQUENCE, UINT32_MAX);
    store_be32(p + BATCH_AT_RECORD_COUNT, (uint32_t)count);
    memcpy(p + BATCH_HEADER_BYTES, records, len);
    fix_crc(p);
    return p;
}

#endif
