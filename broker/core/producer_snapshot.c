/* SPDX-License-Identifier: Apache-2.0 */
/* Kafka's producer snapshot (common/logformat/snapshot_format.h), then our own part: magic, and for each
 * entry in the same order a count byte and the older batches of its window; then another magic, each entry's
 * last marker, and the transactions that ended but may not be decided for good. */
#include "broker/core/producer_state.h"

#include "broker/core/producer_entry.h"
#include "common/base/assert.h"
#include "common/base/wire.h"
#include "common/logformat/snapshot_format.h"

#define OLDER_SIZE  28
#define OLDER_MAGIC 0x534c5731u /* "SLW1" */
#define TXN_MAGIC   0x534c5431u /* "SLT1" */
#define MARKER_SIZE 16
#define ENDED_SIZE  24

static uint32_t count_ended(const struct producer_state *state)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < state->txns_count; i++)
        count += state->txns[i].last_offset >= 0;
    return count;
}

uint64_t producer_snapshot_size(const struct producer_state *state)
{
    uint64_t size = SNAPSHOT_HEAD_BYTES + 4 + 4 + (uint64_t)state->count * MARKER_SIZE + 4 +
                    (uint64_t)count_ended(state) * ENDED_SIZE +
                    (uint64_t)state->count * (SNAPSHOT_ENTRY_BYTES + 1);
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
                                         .coordinator_epoch = e->coordinator_epoch,
                                         .txn_first_offset = e->txn_first};
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

static uint8_t *put_txns(uint8_t *p, const struct producer_state *state)
{
    store_be32(p, TXN_MAGIC);
    p += 4;
    for (uint32_t i = state->oldest; i != PRODUCER_INDEX_NONE;
         i = state->entries[i].newer, p += MARKER_SIZE) {
        store_be64(p, (uint64_t)state->entries[i].marker_offset);
        store_be64(p + 8, (uint64_t)state->entries[i].marker_ms);
    }
    store_be32(p, count_ended(state));
    p += 4;
    for (uint32_t i = 0; i < state->txns_count; i++) {
        const struct producer_txn *txn = &state->txns[i];
        if (txn->last_offset < 0)
            continue;
        store_be64(p, (uint64_t)txn->producer_id);
        store_be64(p + 8, (uint64_t)txn->first_offset);
        store_be64(p + 16, (uint64_t)txn->last_offset);
        p += ENDED_SIZE;
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
    p = put_txns(p, state);
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
    e->coordinator_epoch = found.coordinator_epoch;
    if (found.txn_first_offset >= 0) {
        err = producer_txn_restore(state,
                                   &(struct producer_txn){found.producer_id, found.txn_first_offset, -1});
        if (err)
            return err;
        e->txn_first = found.txn_first_offset;
    }
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

static enum err get_ended(struct producer_state *state, struct reader *r)
{
    struct producer_txn txn = {.producer_id = reader_i64(r)};
    txn.first_offset = reader_i64(r);
    txn.last_offset = reader_i64(r);
    if (r->err || txn.first_offset < 0 || txn.last_offset <= txn.first_offset)
        return ERR_CORRUPT;
    return producer_txn_restore(state, &txn);
}

static enum err get_txns(struct producer_state *state, struct reader *r)
{
    enum err err = OK;
    if (reader_left(r) < 4 || reader_u32(r) != TXN_MAGIC)
        return OK; /* written before there were transactions */
    for (uint32_t i = state->oldest; i != PRODUCER_INDEX_NONE; i = state->entries[i].newer) {
        state->entries[i].marker_offset = reader_i64(r);
        state->entries[i].marker_ms = reader_i64(r);
    }
    uint32_t count = reader_u32(r);
    for (uint32_t i = 0; i < count && err == OK && r->err == OK; i++)
        err = get_ended(state, r);
    return r->err ? ERR_CORRUPT : err;
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
    return err ? err : get_txns(state, r);
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
