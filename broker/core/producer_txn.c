/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions of a partition: which are open, which ended, and what is stable (Kafka 4.2,
 * ProducerStateManager). */
#include <string.h>

#include "broker/core/producer_entry.h"
#include "common/base/assert.h"
#include "common/base/mutant.h"
#include "proto/kafka/error.h"

enum err producer_state_reserve_txn(struct producer_state *state)
{
    if (state->txns_count < state->txns_cap)
        return OK;
    uint32_t cap = state->txns_cap ? state->txns_cap * 2 : 4;
    void *grown = core_resize(state->alloc, state->txns, state->txns_cap * sizeof(*state->txns),
                              cap * sizeof(*state->txns));
    if (grown == NULL)
        return ERR_NOMEM;
    state->txns = grown;
    state->txns_cap = cap;
    return OK;
}

/* The place of the transaction that began at first_offset, or where it belongs. */
static uint32_t place_of(const struct producer_state *state, int64_t first_offset)
{
    uint32_t low = 0, high = state->txns_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (state->txns[middle].first_offset < first_offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void insert(struct producer_state *state, const struct producer_txn *txn)
{
    uint32_t at = place_of(state, txn->first_offset);
    ASSERT(state->txns_count < state->txns_cap);
    memmove(&state->txns[at + 1], &state->txns[at], (state->txns_count - at) * sizeof(*txn));
    state->txns[at] = *txn;
    state->txns_count++;
}

void producer_txn_open(struct producer_state *state, struct producer_entry *entry, int64_t first_offset)
{
    ASSERT(entry->txn_first < 0 && first_offset >= 0);
    entry->txn_first = first_offset;
    insert(state, &(struct producer_txn){entry->producer_id, first_offset, -1});
}

enum err producer_txn_restore(struct producer_state *state, const struct producer_txn *txn)
{
    uint32_t at = place_of(state, txn->first_offset);
    if (at < state->txns_count && state->txns[at].first_offset == txn->first_offset)
        return ERR_CORRUPT;
    enum err err = producer_state_reserve_txn(state);
    if (err == OK)
        insert(state, txn);
    return err;
}

int16_t producer_state_judge_marker(const struct producer_state *state, const struct producer_marker *marker,
                                    bool bumped, int64_t *ret_written)
{
    const struct producer_entry *entry = producer_find(state, marker->producer_id);
    *ret_written = -1;
    if (entry == NULL)
        return KAFKA_NONE;
    if (marker->coordinator_epoch < entry->coordinator_epoch)
        return KAFKA_TRANSACTION_COORDINATOR_FENCED;
    if (marker->producer_epoch < entry->epoch)
        return KAFKA_INVALID_PRODUCER_EPOCH;
    if (!bumped || marker->producer_epoch > entry->epoch)
        return KAFKA_NONE;
    if (entry->txn_first >= 0 && MUTANT(LATE_MARKER))
        return KAFKA_NONE;
    if (entry->txn_first >= 0)
        return KAFKA_INVALID_PRODUCER_EPOCH; /* of a later transaction: this marker comes late (KIP-1228) */
    *ret_written = entry->marker_offset;
    return KAFKA_NONE;
}

static void end_txn(struct producer_state *state, struct producer_entry *entry, int64_t marker_offset,
                    struct producer_txn *ret_ended)
{
    struct producer_txn *txn = &state->txns[place_of(state, entry->txn_first)];
    ASSERT(txn->producer_id == entry->producer_id && txn->first_offset == entry->txn_first);
    txn->last_offset = marker_offset;
    entry->txn_first = -1;
    *ret_ended = *txn;
}

static int64_t first_open(const struct producer_state *state, int64_t otherwise)
{
    for (uint32_t i = 0; i < state->txns_count; i++)
        if (state->txns[i].last_offset < 0)
            return state->txns[i].first_offset;
    return otherwise;
}

enum err producer_state_marker(struct producer_state *state, const struct producer_marker *marker,
                               uint64_t now_us, struct producer_txn *ret_ended, int64_t *ret_stable)
{
    struct producer_entry *entry = producer_find(state, marker->producer_id);
    *ret_ended = (struct producer_txn){marker->producer_id, -1, -1};
    if (entry == NULL) {
        enum err err = producer_state_reserve(state, now_us);
        if (err)
            return err;
        entry = producer_add(state, marker->producer_id, marker->producer_epoch, now_us);
    } else {
        producer_touch(state, entry, now_us);
    }
    if (marker->producer_epoch > entry->epoch) {
        entry->epoch = marker->producer_epoch;
        entry->count = 0;
    }
    entry->coordinator_epoch = marker->coordinator_epoch;
    entry->marker_offset = marker->offset;
    entry->marker_ms = marker->timestamp_ms;
    if (entry->txn_first >= 0)
        end_txn(state, entry, marker->offset, ret_ended);
    *ret_stable = first_open(state, marker->offset + 1);
    return OK;
}

int64_t producer_state_first_unstable(struct producer_state *state, int64_t high_watermark)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < state->txns_count; i++) {
        const struct producer_txn *txn = &state->txns[i];
        if (txn->last_offset < 0 || txn->last_offset >= high_watermark)
            state->txns[kept++] = *txn;
    }
    state->txns_count = kept;
    return kept > 0 ? state->txns[0].first_offset : INT64_MAX;
}

int64_t producer_state_open_txn(const struct producer_state *state, int64_t producer_id)
{
    const struct producer_entry *entry = producer_find(state, producer_id);
    if (entry == NULL || entry->txn_first < 0)
        return -1;
    uint32_t at = place_of(state, entry->txn_first);
    ASSERT(at < state->txns_count && state->txns[at].producer_id == producer_id);
    ASSERT(state->txns[at].last_offset < 0);
    return entry->txn_first;
}

int64_t producer_state_last_marker(const struct producer_state *state, int64_t producer_id)
{
    const struct producer_entry *entry = producer_find(state, producer_id);
    return entry ? entry->marker_offset : PRODUCER_MARKER_NONE;
}

int16_t producer_state_epoch(const struct producer_state *state, int64_t producer_id)
{
    const struct producer_entry *entry = producer_find(state, producer_id);
    return entry ? entry->epoch : PRODUCER_EPOCH_NONE;
}

void producer_state_each(const struct producer_state *state,
                         void (*each)(void *ctx, const struct producer_info *info), void *ctx)
{
    for (uint32_t i = 0; i < state->count; i++) {
        const struct producer_entry *e = &state->entries[i];
        const struct producer_range *last = e->count ? &e->window[e->count - 1] : NULL;
        struct producer_info info = {.producer_id = e->producer_id,
                                     .timestamp_ms = last ? last->timestamp_ms : -1,
                                     .txn_first_offset = e->txn_first,
                                     .last_sequence = last ? last->last_sequence : -1,
                                     .coordinator_epoch = e->coordinator_epoch,
                                     .producer_epoch = e->epoch};
        if (e->marker_offset != PRODUCER_MARKER_NONE && e->marker_ms > info.timestamp_ms)
            info.timestamp_ms = e->marker_ms;
        each(ctx, &info);
    }
}
