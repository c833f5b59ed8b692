/* SPDX-License-Identifier: Apache-2.0 */
#include "common/batch/batch.h"

#include "common/base/assert.h"
#include "common/base/crc32c.h"

struct batch_header batch_header_of(const uint8_t *p)
{
    return (struct batch_header){
        .base_offset = batch_base_offset(p),
        .last_offset = batch_last_offset(p),
        .base_timestamp = batch_base_timestamp(p),
        .max_timestamp = batch_max_timestamp(p),
        .producer_id = batch_producer_id(p),
        .size_bytes = batch_size(p),
        .crc = batch_crc(p),
        .leader_epoch = batch_leader_epoch(p),
        .base_sequence = batch_base_sequence(p),
        .last_sequence = batch_last_sequence(p),
        .record_count = batch_record_count(p),
        .producer_epoch = batch_producer_epoch(p),
        .attributes = batch_attributes(p),
    };
}

int batch_peek(const uint8_t *p, size_t len, size_t *ret_size)
{
    if (len < BATCH_HEADER_BYTES)
        return ERR_TRUNCATED;
    if (p[BATCH_AT_MAGIC] != BATCH_MAGIC)
        return ERR_VERSION;
    if ((int32_t)load_be32(p + BATCH_AT_LENGTH) < BATCH_HEADER_BYTES - BATCH_PREFIX_BYTES)
        return ERR_CORRUPT;
    *ret_size = batch_size(p);
    return OK;
}

uint32_t batch_compute_crc(const uint8_t *p)
{
    return crc32c(0, p + BATCH_AT_ATTRIBUTES, batch_size(p) - BATCH_AT_ATTRIBUTES);
}

int batch_verify(const uint8_t *p, size_t len)
{
    size_t size;
    int err = batch_peek(p, len, &size);
    if (err)
        return err;
    if (size > len)
        return ERR_TRUNCATED;
    if (batch_compute_crc(p) != batch_crc(p))
        return ERR_CORRUPT;
    int32_t delta = batch_last_offset_delta(p), count = batch_record_count(p);
    bool range_ok = batch_base_offset(p) >= 0 && delta >= 0 && batch_base_offset(p) <= INT64_MAX - delta - 1;
    bool count_ok = count >= 0 && (int64_t)count <= (int64_t)delta + 1;
    return range_ok && count_ok ? OK : ERR_CORRUPT;
}

const uint8_t *batch_next(struct reader *r, size_t *ret_size)
{
    size_t size;
    if (r->err != OK || reader_left(r) == 0)
        return NULL;
    int err = batch_peek(r->p, reader_left(r), &size);
    if (err) {
        reader_fail(r, (enum err)err);
        return NULL;
    }
    const uint8_t *p = reader_raw(r, size);
    if (p)
        *ret_size = size;
    return p;
}

void batch_set_base_offset(uint8_t *p, int64_t base_offset)
{
    store_be64(p + BATCH_AT_BASE_OFFSET, (uint64_t)base_offset);
}

void batch_set_leader_epoch(uint8_t *p, int32_t leader_epoch)
{
    store_be32(p + BATCH_AT_LEADER_EPOCH, (uint32_t)leader_epoch);
}

static void update_crc(uint8_t *p)
{
    store_be32(p + BATCH_AT_CRC, batch_compute_crc(p));
}

static void set_times(uint8_t *p, uint16_t attributes, int64_t max_timestamp)
{
    store_be16(p + BATCH_AT_ATTRIBUTES, attributes);
    store_be64(p + BATCH_AT_MAX_TIMESTAMP, (uint64_t)max_timestamp);
    update_crc(p);
}

void batch_set_max_timestamp(uint8_t *p, int64_t max_timestamp)
{
    set_times(p, (uint16_t)(batch_attributes(p) & ~BATCH_APPEND_TIME), max_timestamp);
}

void batch_set_append_time(uint8_t *p, int64_t now_ms)
{
    ASSERT(now_ms >= 0);
    set_times(p, batch_attributes(p) | BATCH_APPEND_TIME, now_ms);
}

void batch_set_producer(uint8_t *p, int64_t producer_id, int16_t producer_epoch, int32_t base_sequence)
{
    store_be64(p + BATCH_AT_PRODUCER_ID, (uint64_t)producer_id);
    store_be16(p + BATCH_AT_PRODUCER_EPOCH, (uint16_t)producer_epoch);
    store_be32(p + BATCH_AT_BASE_SEQUENCE, (uint32_t)base_sequence);
    update_crc(p);
}

void batch_set_codec(uint8_t *p, enum codec codec, uint32_t size_bytes)
{
    ASSERT(codec < CODEC_COUNT && size_bytes >= BATCH_HEADER_BYTES);
    store_be32(p + BATCH_AT_LENGTH, size_bytes - BATCH_PREFIX_BYTES);
    store_be16(p + BATCH_AT_ATTRIBUTES, (uint16_t)((batch_attributes(p) & ~BATCH_CODEC_MASK) | codec));
    update_crc(p);
}
