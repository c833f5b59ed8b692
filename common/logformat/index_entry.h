/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of a segment's sparse indexes, big-endian on disk (Kafka's OffsetIndex, TimeIndex,
 * TransactionIndex). A delta is relative to the segment's base offset. Each reader needs that many bytes at
 * p. */
#ifndef SLUICE_LOGFORMAT_INDEX_ENTRY_H
#define SLUICE_LOGFORMAT_INDEX_ENTRY_H

#include <stdbool.h>

#include "common/base/crc32c.h"
#include "common/base/wire.h"

#define OFFSET_ENTRY 8
#define TIME_ENTRY   12
#define TXN_ENTRY    34

/* Kafka's entries have version 0 and no checksum, and its readers take any version up to 0
 * (TransactionIndex.iterator). So ours is negative, and its other bits are a checksum of what follows. */
#define TXN_ENTRY_VERSION 0
#define TXN_ENTRY_CHECKED 0x8000u
#define TXN_ENTRY_SUM     0x7fffu

/* The last offset of a batch, and the byte of the segment where the batch begins. */
struct offset_entry {
    uint32_t delta, position;
};

/* The largest timestamp so far, and the last offset of the batch that has it. */
struct time_entry {
    int64_t timestamp;
    uint32_t delta;
};

/* One aborted transaction: absolute offsets, the last one is its marker's. */
struct txn_entry {
    int64_t producer_id, first_offset, last_offset, last_stable_offset;
};

static inline struct offset_entry offset_entry_load(const uint8_t *p)
{
    return (struct offset_entry){load_be32(p), load_be32(p + 4)};
}

static inline void offset_entry_store(uint8_t *p, struct offset_entry e)
{
    store_be32(p, e.delta);
    store_be32(p + 4, e.position);
}

static inline struct time_entry time_entry_load(const uint8_t *p)
{
    return (struct time_entry){(int64_t)load_be64(p), load_be32(p + 8)};
}

static inline void time_entry_store(uint8_t *p, struct time_entry e)
{
    store_be64(p, (uint64_t)e.timestamp);
    store_be32(p + 8, e.delta);
}

static inline uint16_t txn_entry_version(const uint8_t *p)
{
    return (uint16_t)(TXN_ENTRY_CHECKED | (crc32c(0, p + 2, TXN_ENTRY - 2) & TXN_ENTRY_SUM));
}

/* False: not as it was written, or by a newer version. */
static inline bool txn_entry_load(const uint8_t *p, struct txn_entry *ret)
{
    uint16_t version = load_be16(p);
    if (version != TXN_ENTRY_VERSION && version != txn_entry_version(p))
        return false;
    *ret = (struct txn_entry){(int64_t)load_be64(p + 2), (int64_t)load_be64(p + 10),
                              (int64_t)load_be64(p + 18), (int64_t)load_be64(p + 26)};
    return true;
}

static inline void txn_entry_store(uint8_t *p, struct txn_entry e)
{
    store_be64(p + 2, (uint64_t)e.producer_id);
    store_be64(p + 10, (uint64_t)e.first_offset);
    store_be64(p + 18, (uint64_t)e.last_offset);
    store_be64(p + 26, (uint64_t)e.last_stable_offset);
    store_be16(p, txn_entry_version(p));
}

#endif
