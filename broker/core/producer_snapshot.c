/* SPDX-License-Identifier: Apache-2.0 */
/* Kafka's producer snapshot (common/logformat/snapshot_format.h), then our own part: magic, and for each
 * entry in the same order a count byte and the older batches of its window. */
#include "broker/core/producer_state.h"

#include "broker/core/producer_entry.h"
#include "common/base/assert.h"
#include "common/base/wire.h"
#include "common/logformat/snapshot_format.h"

#define OLDER_SIZE  28
#define OLDER_MAGIC 0x534c5731u /* "SLW1" */

uint64_t producer_snapshot_size(const struct producer_state *state)
{
    uint64_t size = SNAPSHOT_HEAD_BYTES + 4 + (uint64_t)state->count * (SNAPSHOT_ENTRY_BYTES + 1);
    for (uint32_t i = 0; i < state->count; i++)
        size += state->entries[i].count > 1 ? (state->entries[i].count - 1u) * OLDER_SIZE : 0;
    return size;
}

/* An entry without batches is written with sequence -1, as Kafka does after a transaction marker. */
static uint8_t *put_entry(uint8_t *p, const struct producer_entry *e)
{
    static const struct producer_range none = {-1, -1, 0, -1, -1};
    const struct producer_range *last = e->count ? &e->window[e->count - 1] : &none;
    const struct snapshot_entry entry = {.producer_id = e->producer_id,
                                         .producer_epoch = e->epoch,
                                         .last_sequence = last->last_sequence,
                                         .last_offset = last->last_offset,
                                         .offset_delta = last->offset_delta,
                                         .timestamp_ms = last->timestamp_ms,
                                         .coordinator_epoch = -1, /* no transactions yet */
                                         .txn_first_offset = -1};
    return snapshot_entry_put(p, &entry);
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
    uint8_t *p = out + SNAPSHOT_HEAD_BYTES;
    for (uint32_t i = state->oldest; i != PRODUCER_INDEX_NONE; i = state->entries[i].newer)
        p = put_entry(p, &state->entries[i]);
    store_be32(p, OLDER_MAGIC);
    p += 4;
    for (uint32_t i = state->oldest; i != PRODUCER_INDEX_NONE; i = state->entries[i].newer)
        p = put_older(p, &state->entries[i]);
    ASSERT((uint64_t)(p - out) == size);
    snapshot_seal(out, size, state->count);
}

/* first sequence = last - delta, back over the wrap. */
static int32_t first_of(int32_t last_sequence, int32_t offset_delta)
{
    return last_sequence >= offset_delta ? last_sequence - offset_delta
                                         : INT32_MAX - (offset_delta - last_sequence) + 1;
}

static enum err get_entry(struct producer_state *state, struct reader *r, uint64_t now_us)
{
    struct snapshot_entry found;
    if (snapshot_entry_get(r, &found) != OK)
        return ERR_CORRUPT;
    enum err err = producer_state_reserve(state, now_us);
    if (err)
        return err;
    if (producer_find(state, found.producer_id) != NULL)
        return ERR_CORRUPT;
    struct producer_entry *e = producer_add(state, found.producer_id, found.producer_epoch, now_us);
    if (found.last_sequence < 0)
        return OK;
    struct producer_range last = {.last_sequence = found.last_sequence,
                                  .offset_delta = found.offset_delta,
                                  .last_offset = found.last_offset,
                                  .timestamp_ms = found.timestamp_ms};
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

static enum err get_all(struct producer_state *state, struct reader *r, int32_t count, uint64_t now_us)
{
    enum err err = (uint32_t)count > PRODUCER_COUNT_MAX ? ERR_CORRUPT : OK;
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
    struct reader r;
    int32_t count;
    producer_state_clear(state);
    enum err err = snapshot_open(p, len, &r, &count);
    if (err == OK)
        err = get_all(state, &r, count, now_us);
    if (err)
        producer_state_clear(state);
    return err;
}
