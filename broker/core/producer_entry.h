/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of producer_state, shared by its table and its snapshot. */
#ifndef SLUICE_BROKER_CORE_PRODUCER_ENTRY_H
#define SLUICE_BROKER_CORE_PRODUCER_ENTRY_H

#include "broker/core/producer_state.h"

#define PRODUCER_INDEX_NONE PRODUCER_COUNT_MAX

struct producer_range {
    int32_t first_sequence, last_sequence;
    int32_t offset_delta;
    int64_t last_offset;
    int64_t timestamp_ms;
};

struct producer_entry {
    int64_t producer_id;
    int16_t epoch;
    uint8_t count;             /* batches in the window, oldest first */
    int32_t coordinator_epoch; /* of the last marker, -1: none */
    int64_t txn_first;         /* first offset of the open transaction, -1: none */
    int64_t marker_offset;     /* of the last marker, PRODUCER_MARKER_NONE */
    int64_t marker_ms;
    uint32_t newer, older; /* order of last use */
    uint64_t used_us;
    struct producer_range window[PRODUCER_WINDOW]; /* all of this epoch */
};

/* NULL when unknown. */
struct producer_entry *producer_find(const struct producer_state *state, int64_t producer_id);

/* Adds an entry without batches, as newest. Room must have been reserved. */
struct producer_entry *producer_add(struct producer_state *state, int64_t producer_id, int16_t epoch,
                                    uint64_t now_us);

/* producer_txn.c: the entry's transaction begins; room must have been reserved for it. */
void producer_txn_open(struct producer_state *state, struct producer_entry *entry, int64_t first_offset);

/* A transaction that a snapshot knows, in its place. ERR_NOMEM. */
enum err producer_txn_restore(struct producer_state *state, const struct producer_txn *txn);

/* The entry was used: it is the newest. */
void producer_touch(struct producer_state *state, struct producer_entry *entry, uint64_t now_us);

/* Appends to the window; the oldest batch leaves a full one. */
void producer_window_push(struct producer_entry *entry, const struct producer_range *range);

#endif
