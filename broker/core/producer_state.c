/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/producer_state.h"

#include <string.h>

#include "broker/core/producer_entry.h"
#include "common/base/assert.h"
#include "common/base/map.h"

#define EXPIRE_PER_CALL                                                                                      \
    2 /* more than come in per call, so the backlog shrinks; bounds the work of one append */

void producer_state_init(struct producer_state *state, const struct core_alloc *alloc, uint64_t expiry_us)
{
    ASSERT(alloc != NULL);
    *state = (struct producer_state){
        .alloc = alloc, .expiry_us = expiry_us, .newest = PRODUCER_INDEX_NONE, .oldest = PRODUCER_INDEX_NONE};
}

void producer_state_free(struct producer_state *state)
{
    core_resize(state->alloc, state->entries, state->entries_cap * sizeof(*state->entries), 0);
    core_resize(state->alloc, state->slots, state->slots_cap * sizeof(*state->slots), 0);
    core_resize(state->alloc, state->txns, state->txns_cap * sizeof(*state->txns), 0);
    producer_state_init(state, state->alloc, state->expiry_us);
}

void producer_state_clear(struct producer_state *state)
{
    if (state->slots)
        memset(state->slots, 0, state->slots_cap * sizeof(*state->slots));
    state->count = state->txns_count = 0;
    state->newest = state->oldest = PRODUCER_INDEX_NONE;
}

int32_t producer_sequence_add(int32_t sequence, int32_t n)
{
    ASSERT(sequence >= 0 && n >= 0);
    if (sequence > INT32_MAX - n)
        return n - (INT32_MAX - sequence) - 1;
    return sequence + n;
}

/* -- table -- */

static uint32_t home_slot(const struct producer_state *state, int64_t producer_id)
{
    uint64_t mixed = (uint64_t)producer_id * 0x9e3779b97f4a7c15ull;
    return (uint32_t)(mixed >> 32) & (state->slots_cap - 1);
}

/* The slot that holds producer_id, or the empty one where it belongs. */
static uint32_t find_slot(const struct producer_state *state, int64_t producer_id)
{
    uint32_t slot = home_slot(state, producer_id);
    while (state->slots[slot] != 0 && state->entries[state->slots[slot] - 1].producer_id != producer_id)
        slot = (slot + 1) & (state->slots_cap - 1);
    return slot;
}

struct producer_entry *producer_find(const struct producer_state *state, int64_t producer_id)
{
    if (state->count == 0)
        return NULL;
    uint32_t index = state->slots[find_slot(state, producer_id)];
    return index ? &state->entries[index - 1] : NULL;
}

/* Closes the gap at slot so that every other entry is still reachable from its home. */
static void clear_slot(struct producer_state *state, uint32_t slot)
{
    uint32_t mask = state->slots_cap - 1, next = slot;
    state->slots[slot] = 0;
    for (;;) {
        next = (next + 1) & mask;
        if (state->slots[next] == 0)
            return;
        uint32_t home = home_slot(state, state->entries[state->slots[next] - 1].producer_id);
        if (((next - home) & mask) < ((next - slot) & mask))
            continue;
        state->slots[slot] = state->slots[next];
        state->slots[next] = 0;
        slot = next;
    }
}

static void unlink_entry(struct producer_state *state, uint32_t index)
{
    struct producer_entry *e = &state->entries[index];
    if (e->newer == PRODUCER_INDEX_NONE)
        state->newest = e->older;
    else
        state->entries[e->newer].older = e->older;
    if (e->older == PRODUCER_INDEX_NONE)
        state->oldest = e->newer;
    else
        state->entries[e->older].newer = e->newer;
}

static void link_newest(struct producer_state *state, uint32_t index)
{
    struct producer_entry *e = &state->entries[index];
    e->newer = PRODUCER_INDEX_NONE;
    e->older = state->newest;
    if (state->newest == PRODUCER_INDEX_NONE)
        state->oldest = index;
    else
        state->entries[state->newest].newer = index;
    state->newest = index;
}

/* Moves the last entry into the hole at index. */
static void fill_hole(struct producer_state *state, uint32_t index)
{
    uint32_t last = state->count;
    if (index == last)
        return;
    state->slots[find_slot(state, state->entries[last].producer_id)] = index + 1;
    state->entries[index] = state->entries[last];
    const struct producer_entry *e = &state->entries[index];
    if (e->newer == PRODUCER_INDEX_NONE)
        state->newest = index;
    else
        state->entries[e->newer].older = index;
    if (e->older == PRODUCER_INDEX_NONE)
        state->oldest = index;
    else
        state->entries[e->older].newer = index;
}

static void remove_oldest(struct producer_state *state)
{
    uint32_t index = state->oldest;
    ASSERT(index < state->count);
    clear_slot(state, find_slot(state, state->entries[index].producer_id));
    unlink_entry(state, index);
    state->count--;
    fill_hole(state, index);
}

static enum err grow_slots(struct producer_state *state, uint32_t cap)
{
    uint32_t *slots = core_resize(state->alloc, NULL, 0, cap * sizeof(*slots));
    if (slots == NULL)
        return ERR_NOMEM;
    memset(slots, 0, cap * sizeof(*slots));
    core_resize(state->alloc, state->slots, state->slots_cap * sizeof(*slots), 0);
    state->slots = slots;
    state->slots_cap = cap;
    for (uint32_t i = 0; i < state->count; i++)
        slots[find_slot(state, state->entries[i].producer_id)] = i + 1;
    return OK;
}

static enum err grow(struct producer_state *state)
{
    uint32_t cap = state->entries_cap ? state->entries_cap * 2 : 2;
    void *grown = core_resize(state->alloc, state->entries, state->entries_cap * sizeof(*state->entries),
                              cap * sizeof(*state->entries));
    if (grown == NULL)
        return ERR_NOMEM;
    state->entries = grown;
    state->entries_cap = cap;
    return state->slots_cap >= cap * 2 ? OK : grow_slots(state, cap * 2);
}

void producer_touch(struct producer_state *state, struct producer_entry *entry, uint64_t now_us)
{
    uint32_t index = (uint32_t)(entry - state->entries);
    unlink_entry(state, index);
    link_newest(state, index);
    entry->used_us = now_us;
}

/* Whoever has a transaction open is not forgotten: its end must find it. */
static void forget_oldest(struct producer_state *state, uint64_t now_us)
{
    struct producer_entry *oldest = &state->entries[state->oldest];
    if (oldest->txn_first >= 0)
        producer_touch(state, oldest, now_us);
    else
        remove_oldest(state);
}

enum err producer_state_reserve(struct producer_state *state, uint64_t now_us)
{
    for (int i = 0; i < EXPIRE_PER_CALL && state->count > 0; i++) {
        if (state->entries[state->oldest].used_us + state->expiry_us > now_us)
            break;
        forget_oldest(state, now_us);
    }
    for (uint32_t i = 0; i < PRODUCER_COUNT_MAX && state->count == PRODUCER_COUNT_MAX; i++)
        forget_oldest(state, now_us);
    if (state->count == PRODUCER_COUNT_MAX)
        return ERR_NOMEM;
    if (state->count < state->entries_cap && state->slots_cap >= state->entries_cap * 2)
        return OK;
    return grow(state);
}

struct producer_entry *producer_add(struct producer_state *state, int64_t producer_id, int16_t epoch,
                                    uint64_t now_us)
{
    ASSERT(state->count < state->entries_cap);
    uint32_t slot = find_slot(state, producer_id);
    ASSERT(state->slots[slot] == 0);
    uint32_t index = state->count++;
    state->slots[slot] = index + 1;
    state->entries[index] = (struct producer_entry){.producer_id = producer_id,
                                                    .epoch = epoch,
                                                    .coordinator_epoch = -1,
                                                    .txn_first = -1,
                                                    .marker_offset = PRODUCER_MARKER_NONE,
                                                    .used_us = now_us};
    link_newest(state, index);
    return &state->entries[index];
}

void producer_window_push(struct producer_entry *entry, const struct producer_range *range)
{
    if (entry->count == PRODUCER_WINDOW) {
        memmove(entry->window, entry->window + 1, (PRODUCER_WINDOW - 1) * sizeof(*range));
        entry->count--;
    }
    entry->window[entry->count++] = *range;
}

/* -- rules -- */

static void fill_batch(const struct producer_entry *entry, const struct producer_range *range,
                       struct producer_batch *ret)
{
    *ret = (struct producer_batch){
        .producer_id = entry->producer_id,
        .producer_epoch = entry->epoch,
        .first_sequence = range->first_sequence,
        .last_sequence = range->last_sequence,
        .offset_delta = range->offset_delta,
        .last_offset = range->last_offset,
        .timestamp_ms = range->timestamp_ms,
    };
}

static bool find_duplicate(const struct producer_entry *entry, const struct producer_batch *batch,
                           struct producer_batch *ret_original)
{
    for (uint32_t i = 0; i < entry->count; i++) {
        const struct producer_range *range = &entry->window[i];
        if (range->first_sequence != batch->first_sequence || range->last_sequence != batch->last_sequence)
            continue;
        fill_batch(entry, range, ret_original);
        return true;
    }
    return false;
}

enum producer_verdict producer_state_judge(const struct producer_state *state,
                                           const struct producer_batch *batch,
                                           struct producer_batch *ret_original)
{
    ASSERT(batch->producer_id >= 0);
    ASSERT(batch->first_sequence >= 0 && batch->last_sequence >= 0);
    const struct producer_entry *entry = producer_find(state, batch->producer_id);
    if (entry == NULL)
        return PRODUCER_APPEND;
    if (batch->producer_epoch < entry->epoch)
        return PRODUCER_FENCED;
    if (entry->txn_first >= 0 && !batch->transactional)
        return PRODUCER_TXN_OPEN;
    if (batch->producer_epoch > entry->epoch)
        return batch->first_sequence == 0 ? PRODUCER_APPEND : PRODUCER_OUT_OF_ORDER;
    if (find_duplicate(entry, batch, ret_original))
        return PRODUCER_DUPLICATE;
    if (entry->count == 0)
        return entry->marker_offset == PRODUCER_MARKER_NONE || batch->first_sequence == 0
                   ? PRODUCER_APPEND
                   : PRODUCER_OUT_OF_ORDER;
    int32_t next = producer_sequence_add(entry->window[entry->count - 1].last_sequence, 1);
    return batch->first_sequence == next ? PRODUCER_APPEND : PRODUCER_OUT_OF_ORDER;
}

bool producer_state_gap(const struct producer_state *state, const struct producer_batch *batch)
{
    const struct producer_entry *entry = producer_find(state, batch->producer_id);
    if (entry && batch->producer_epoch < entry->epoch)
        return false;
    if (entry == NULL || batch->producer_epoch > entry->epoch || entry->count == 0)
        return batch->first_sequence > 0;
    int32_t next = producer_sequence_add(entry->window[entry->count - 1].last_sequence, 1);
    uint32_t ahead = (uint32_t)(batch->first_sequence - next) & INT32_MAX; /* numbers wrap at 2^31 */
    return ahead > 0 && ahead < 1u << 30;
}

enum err producer_state_update(struct producer_state *state, const struct producer_batch *batch,
                               uint64_t now_us)
{
    ASSERT(batch->producer_id >= 0);
    ASSERT(batch->last_offset >= batch->offset_delta);
    struct producer_entry *entry = producer_find(state, batch->producer_id);
    if (entry == NULL) {
        enum err err = producer_state_reserve(state, now_us);
        if (err)
            return err;
        entry = producer_add(state, batch->producer_id, batch->producer_epoch, now_us);
    } else {
        producer_touch(state, entry, now_us);
    }
    if (batch->transactional && entry->txn_first < 0) {
        enum err err = producer_state_reserve_txn(state);
        if (err)
            return err;
        producer_txn_open(state, entry, batch->last_offset - batch->offset_delta);
    }
    if (entry->epoch != batch->producer_epoch) {
        entry->epoch = batch->producer_epoch;
        entry->count = 0;
    }
    if (batch->first_sequence < 0)
        return OK; /* a coordinator's: never sent twice */
    producer_window_push(entry, &(struct producer_range){.first_sequence = batch->first_sequence,
                                                         .last_sequence = batch->last_sequence,
                                                         .offset_delta = batch->offset_delta,
                                                         .last_offset = batch->last_offset,
                                                         .timestamp_ms = batch->timestamp_ms});
    return OK;
}

bool producer_state_truncate(struct producer_state *state, int64_t end_offset)
{
    bool whole = state->txns_count == 0 || state->txns[state->txns_count - 1].first_offset < end_offset;
    for (uint32_t i = 0; i < state->count; i++) {
        struct producer_entry *entry = &state->entries[i];
        bool had = entry->count > 0;
        while (entry->count > 0 && entry->window[entry->count - 1].last_offset >= end_offset)
            entry->count--;
        whole = whole && !(had && entry->count == 0) && entry->marker_offset < end_offset;
    }
    return whole;
}

bool producer_state_last(const struct producer_state *state, int64_t producer_id,
                         struct producer_batch *ret_last)
{
    const struct producer_entry *entry = producer_find(state, producer_id);
    if (entry == NULL || entry->count == 0)
        return false;
    fill_batch(entry, &entry->window[entry->count - 1], ret_last);
    return true;
}

void producer_state_check(const struct producer_state *state)
{
    ASSERT(state->count <= state->entries_cap);
    ASSERT((state->count == 0) == (state->newest == PRODUCER_INDEX_NONE));
    uint32_t linked = 0;
    for (uint32_t i = state->newest; i != PRODUCER_INDEX_NONE; i = state->entries[i].older) {
        const struct producer_entry *e = &state->entries[i];
        ASSERT(i < state->count && linked < state->count);
        ASSERT(producer_find(state, e->producer_id) == e);
        ASSERT(e->count <= PRODUCER_WINDOW);
        for (uint32_t k = 1; k < e->count; k++)
            ASSERT(e->window[k].last_offset > e->window[k - 1].last_offset);
        ASSERT(e->txn_first < 0 || producer_state_open_txn(state, e->producer_id) == e->txn_first);
        linked++;
    }
    ASSERT(linked == state->count);
    for (uint32_t i = 1; i < state->txns_count; i++)
        ASSERT(state->txns[i].first_offset > state->txns[i - 1].first_offset);
}

static uint64_t hash_entry(const struct producer_entry *e)
{
    uint64_t hash = hash_bytes(&e->producer_id, sizeof(e->producer_id), (uint64_t)(uint16_t)e->epoch);
    for (uint32_t i = 0; i < e->count; i++) {
        const struct producer_range *r = &e->window[i];
        int64_t words[5] = {r->first_sequence, r->last_sequence, r->offset_delta, r->last_offset,
                            r->timestamp_ms};
        hash = hash_bytes(words, sizeof(words), hash);
    }
    return e->txn_first < 0 ? hash : hash_bytes(&e->txn_first, sizeof(e->txn_first), hash);
}

uint64_t producer_state_hash(const struct producer_state *state)
{
    uint64_t hash = state->count;
    for (uint32_t i = 0; i < state->count; i++)
        hash += hash_entry(&state->entries[i]);
    return hash;
}
