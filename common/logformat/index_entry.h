/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of a segment's sparse indexes, big-endian on disk (Kafka's OffsetIndex, TimeIndex,
 * TransactionIndex). A delta is relative to the segment's base offset. Each reader needs that many bytes at
 * p. */
#ifndef SLUICE_LOGFORMAT_INDEX_ENTRY_H
#define SLUICE_LOGFORMAT_INDEX_ENTRY_H

#include <stdbool.h>

#include "common/base/wire.h"

#define OFFSET_ENTRY      8
#define TIME_ENTRY        12
#define TXN_ENTRY         34
#define TXN_ENTRY_VERSION 0

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

/* False: written by a newer version. */
static inline bool txn_entry_load(const uint8_t *p, struct txn_entry *ret)
{
    if (load_be16(p) != TXN_ENTRY_VERSION)
        return false;
    *ret = (struct txn_entry){(int64_t)load_be64(p + 2), (int64_t)load_be64(p + 10),
                              (int64_t)load_be64(p + 18), (int64_t)load_be64(p + 26)};
    return true;
}

static inline void txn_entry_store(uint8_t *p, struct txn_entry e)
{
    store_be16(p, TXN_ENTRY_VERSION);
    store_be64(p + 2, (uint64_t)e.producer_id);
    store_be64(p + 10, (uint64_t)e.first_offset);
    store_be64(p + 18, (uint64_t)e.last_offset);
    store_be64(p + 26, (uint64_t)e.last_stable_offset);
}

#endif
