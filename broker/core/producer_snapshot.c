/* SPDX-License-Identifier: Apache-2.0 */
/* Kafka's producer snapshot: int16 version, uint32 CRC-32C of all that follows, int32 count, entries of 46
 * bytes. Then our own part: magic, and for each entry in the same order a count byte and the older batches of
 * its window. */
#include "broker/core/producer_state.h"

#include "broker/core/producer_entry.h"
#include "common/base/assert.h"
#include "common/base/crc32c.h"
#include "common/base/wire.h"

#define SNAPSHOT_VERSION 1
#define CRC_AT           2
#define ENTRIES_AT       6
#define ENTRY_SIZE       46
#define OLDER_SIZE       28
#define OLDER_MAGIC      0x534c5731u /* "SLW1" */

uint64_t producer_snapshot_size(const struct producer_state *state)
{
    uint64_t size = ENTRIES_AT + 4 + 4 + (uint64_t)state->count * (ENTRY_SIZE + 1);
    for (uint32_t i = 0; i < state->count; i++)
        size += state->entries[i].count > 1 ? (state->entries[i].count - 1u) * OLDER_SIZE : 0;
    return size;
}

/* An entry without batches is written with sequence -1, as Kafka does after a transaction marker. */
static uint8_t *put_entry(uint8_t *p, const struct producer_entry *e)
{
    static const struct producer_range none = {-1, -1, 0, -1, -1};
    const struct producer_range *last = e->count ? &e->window[e->count - 1] : &none;
    store_be64(p, (uint64_t)e->producer_id);
    store_be16(p + 8, (uint16_t)e->epoch);
    store_be32(p + 10, (uint32_t)last->last_sequence);
    store_be64(p + 14, (uint64_t)last->last_offset);
    store_be32(p + 22, (uint32_t)last->offset_delta);
    store_be64(p + 26, (uint64_t)last->timestamp_ms);
    store_be32(p + 34, (uint32_t)-1); /* coordinator epoch: no transactions yet */
    store_be64(p + 38, (uint64_t)-1); /* first offset of the open transaction */
    return p + ENTRY_SIZE;
}

static uint8_t *put_older(uint8_t *p, const struct producer_entry *e)
{
    uint8_t older = e->count > 1 ? e->count - 1 : 0;
    *p++ = older;
    for (uint8_t i = 0; i < older; i++, p += OLDER_SIZE) {
        const struct producer_range *r = &e->window[i];
        store_be32(p, (uint32_t)r->first_sequence);
        store_be32(p + 4, (uint32_t)r->last_sequence);
        store_be32(p + 8, (uint32_t)r->offset_delta);
        store_be64(p + 12, (uint64_t)r->last_offset);
        store_be64(p + 20, (uint64_t)r->timestamp_ms);
    }
    return p;
}

/* Entries are written from the one silent longest to the newest, so that decoding restores the order of use.
 */
void producer_snapshot_encode(const struct producer_state *state, uint8_t *out)
{
    uint64_t size = producer_snapshot_size(state);
    uint8_t *p = out + ENTRIES_AT;
    store_be16(out, SNAPSHOT_VERSION);
    store_be32(p, state->count);
    p += 4;
    for (uint32_t i = state->oldest; i != PRODUCER_INDEX_NONE; i = state->entries[i].newer)
        p = put_entry(p, &state->entries[i]);
    store_be32(p, OLDER_MAGIC);
    p += 4;
    for (uint32_t i = state->oldest; i != PRODUCER_INDEX_NONE; i = state->entries[i].newer)
        p = put_older(p, &state->entries[i]);
    ASSERT((uint64_t)(p - out) == size);
    store_be32(out + CRC_AT, crc32c(0, out + ENTRIES_AT, size - ENTRIES_AT));
}

/* first sequence = last - delta, back over the wrap. */
static int32_t first_of(int32_t last_sequence, int32_t offset_delta)
{
    return last_sequence >= offset_delta ? last_sequence - offset_delta
                                         : INT32_MAX - (offset_delta - last_sequence) + 1;
}

static enum err get_entry(struct producer_state *state, struct reader *r, uint64_t now_us)
{
    int64_t producer_id = reader_i64(r);
    int16_t epoch = reader_i16(r);
    struct producer_range last = {0};
    last.last_sequence = reader_i32(r);
    last.last_offset = reader_i64(r);
    last.offset_delta = reader_i32(r);
    last.timestamp_ms = reader_i64(r);
    reader_i32(r);
    reader_i64(r);
    if (r->err || producer_id < 0 || last.offset_delta < 0)
        return ERR_CORRUPT;
    enum err err = producer_state_reserve(state, now_us);
    if (err)
        return err;
    if (producer_find(state, producer_id) != NULL)
        return ERR_CORRUPT;
    struct producer_entry *e = producer_add(state, producer_id, epoch, now_us);
    if (last.last_sequence < 0)
        return OK;
    last.first_sequence = first_of(last.last_sequence, last.offset_delta);
    producer_window_push(e, &last);
    return OK;
}

static enum err get_older(struct producer_entry *e, struct reader *r)
{
    uint8_t count = (uint8_t)reader_i8(r);
    if (r->err || count >= PRODUCER_WINDOW || (count > 0 && e->count != 1))
        return ERR_CORRUPT;
    struct producer_range last = e->window[0];
    e->count = count > 0 ? 0 : e->count;
    for (uint8_t i = 0; i < count; i++) {
        struct producer_range range = {0};
        range.first_sequence = reader_i32(r);
        range.last_sequence = reader_i32(r);
        range.offset_delta = reader_i32(r);
        range.last_offset = reader_i64(r);
        range.timestamp_ms = reader_i64(r);
        if (r->err || range.last_offset >= last.last_offset)
            return ERR_CORRUPT;
        producer_window_push(e, &range);
    }
    if (count > 0)
        producer_window_push(e, &last);
    return OK;
}

static enum err get_all(struct producer_state *state, struct reader *r, uint64_t now_us)
{
    int32_t count = reader_i32(r);
    if (count < 0 || (uint64_t)count > reader_left(r) / ENTRY_SIZE || (uint32_t)count > PRODUCER_COUNT_MAX)
        return ERR_CORRUPT;
    enum err err = OK;
    for (int32_t i = 0; i < count && err == OK; i++)
        err = get_entry(state, r, now_us);
    if (err || reader_left(r) < 4 || reader_u32(r) != OLDER_MAGIC)
        return err; /* a snapshot of Kafka's own ends here */
    for (uint32_t i = state->oldest; i != PRODUCER_INDEX_NONE && err == OK; i = state->entries[i].newer)
        err = get_older(&state->entries[i], r);
    return err;
}

enum err producer_snapshot_decode(struct producer_state *state, const uint8_t *p, uint64_t len,
                                  uint64_t now_us)
{
    producer_state_clear(state);
    if (len < ENTRIES_AT + 4)
        return ERR_CORRUPT;
    if (load_be16(p) != SNAPSHOT_VERSION)
        return ERR_VERSION;
    if (load_be32(p + CRC_AT) != crc32c(0, p + ENTRIES_AT, len - ENTRIES_AT))
        return ERR_CORRUPT;
    struct reader r = reader_over(p + ENTRIES_AT, len - ENTRIES_AT);
    enum err err = get_all(state, &r, now_us);
    if (err)
        producer_state_clear(state);
    return err;
}
