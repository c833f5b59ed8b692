/* SPDX-License-Identifier: Apache-2.0 */
#include "common/logformat/snapshot_format.h"

#include "common/base/assert.h"
#include "common/base/crc32c.h"

static uint32_t checksum(const uint8_t *p, uint64_t len)
{
    return crc32c(0, p + SNAPSHOT_COUNT_AT, len - SNAPSHOT_COUNT_AT);
}

enum err snapshot_open(const uint8_t *p, uint64_t len, struct reader *ret_r, int32_t *ret_count)
{
    if (len < SNAPSHOT_HEAD_BYTES)
        return ERR_CORRUPT;
    if (load_be16(p) != SNAPSHOT_VERSION)
        return ERR_VERSION;
    if (load_be32(p + SNAPSHOT_CRC_AT) != checksum(p, len))
        return ERR_CORRUPT;
    int32_t count = (int32_t)load_be32(p + SNAPSHOT_COUNT_AT);
    if (count < 0 || (uint64_t)count > (len - SNAPSHOT_HEAD_BYTES) / SNAPSHOT_ENTRY_BYTES)
        return ERR_CORRUPT;
    *ret_r = reader_over(p + SNAPSHOT_HEAD_BYTES, len - SNAPSHOT_HEAD_BYTES);
    *ret_count = count;
    return OK;
}

enum err snapshot_entry_get(struct reader *r, struct snapshot_entry *ret)
{
    struct snapshot_entry e = {.producer_id = reader_i64(r)};
    e.producer_epoch = reader_i16(r);
    e.last_sequence = reader_i32(r);
    e.last_offset = reader_i64(r);
    e.offset_delta = reader_i32(r);
    e.timestamp_ms = reader_i64(r);
    e.coordinator_epoch = reader_i32(r);
    e.txn_first_offset = reader_i64(r);
    if (r->err || e.producer_id < 0 || e.offset_delta < 0)
        return ERR_CORRUPT;
    *ret = e;
    return OK;
}

uint8_t *snapshot_entry_put(uint8_t *p, const struct snapshot_entry *entry)
{
    ASSERT(entry->producer_id >= 0);
    store_be64(p, (uint64_t)entry->producer_id);
    store_be16(p + 8, (uint16_t)entry->producer_epoch);
    store_be32(p + 10, (uint32_t)entry->last_sequence);
    store_be64(p + 14, (uint64_t)entry->last_offset);
    store_be32(p + 22, (uint32_t)entry->offset_delta);
    store_be64(p + 26, (uint64_t)entry->timestamp_ms);
    store_be32(p + 34, (uint32_t)entry->coordinator_epoch);
    store_be64(p + 38, (uint64_t)entry->txn_first_offset);
    return p + SNAPSHOT_ENTRY_BYTES;
}

void snapshot_seal(uint8_t *p, uint64_t len, uint32_t count)
{
    ASSERT(len >= SNAPSHOT_HEAD_BYTES);
    store_be16(p, SNAPSHOT_VERSION);
    store_be32(p + SNAPSHOT_COUNT_AT, count);
    store_be32(p + SNAPSHOT_CRC_AT, checksum(p, len));
}
