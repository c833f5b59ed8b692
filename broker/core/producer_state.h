/* SPDX-License-Identifier: Apache-2.0 */
/* What one partition knows of its idempotent producers (KIP-98): per producer id the epoch and the last five
 * batches, so that a repeated batch is answered with its first offset and a gap is refused. Pure; times are
 * the caller's monotonic microseconds. Rules: Kafka 4.2, ProducerAppendInfo / ProducerStateEntry. */
#ifndef SLUICE_BROKER_CORE_PRODUCER_STATE_H
#define SLUICE_BROKER_CORE_PRODUCER_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/alloc.h"
#include "common/base/err.h"

#define PRODUCER_WINDOW 5 /* batches kept per producer; what a client may have in flight */
#define PRODUCER_COUNT_MAX                                                                                   \
    (1u << 20) /* producers per partition; beyond it the one that was silent longest is forgotten */
#define PRODUCER_ID_NONE    (-1)
#define PRODUCER_EPOCH_NONE (-1)

/* The producer's part of a batch header. */
struct producer_batch {
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t first_sequence;
    int32_t last_sequence; /* producer_sequence_add(first_sequence, last offset delta) */
    int32_t offset_delta;  /* last offset - first offset */
    int64_t last_offset;   /* -1 in questions */
    int64_t timestamp_ms;  /* largest of the batch */
};

struct producer_entry;

struct producer_state {
    const struct core_alloc *alloc;
    struct producer_entry *entries; /* dense, [0, count) */
    uint32_t *slots;                /* open addressing over entries: index + 1, 0 empty */
    uint32_t count, entries_cap, slots_cap;
    uint32_t newest, oldest; /* ends of the order of last use; PRODUCER_COUNT_MAX: none */
    uint64_t expiry_us;
};

enum producer_verdict {
    PRODUCER_APPEND,       /* in sequence: append it */
    PRODUCER_DUPLICATE,    /* was appended before: answer with the original offset */
    PRODUCER_OUT_OF_ORDER, /* Kafka 45 */
    PRODUCER_FENCED,       /* Kafka 47, INVALID_PRODUCER_EPOCH */
};

/* alloc must outlive the state. expiry_us: a producer silent for that long is forgotten
 * (producer.id.expiration.ms). */
void producer_state_init(struct producer_state *state, const struct core_alloc *alloc, uint64_t expiry_us);
void producer_state_free(struct producer_state *state);
void producer_state_clear(struct producer_state *state);

/* sequence + n, wrapping from INT32_MAX to 0. */
int32_t producer_sequence_add(int32_t sequence, int32_t n);

/* Judges a batch from a client. For PRODUCER_DUPLICATE *ret_original is the batch as first appended. */
enum producer_verdict producer_state_judge(const struct producer_state *state,
                                           const struct producer_batch *batch,
                                           struct producer_batch *ret_original);

/* Makes room for one more producer, so that a following update cannot fail; forgets expired ones (at most two
 * a call). ERR_NOMEM. */
enum err producer_state_reserve(struct producer_state *state, uint64_t now_us);

/* A batch was appended (leader: after PRODUCER_APPEND; follower and replay: as it is in the log, unchecked).
 * ERR_NOMEM only without reserve. */
enum err producer_state_update(struct producer_state *state, const struct producer_batch *batch,
                               uint64_t now_us);

/* The log now ends at end_offset. True: done. False: a producer's whole window was cut, so the state must be
 * rebuilt (snapshot and replay). */
bool producer_state_truncate(struct producer_state *state, int64_t end_offset);

/* Newest batch of a producer, for tests and DescribeProducers. False when unknown. */
bool producer_state_last(const struct producer_state *state, int64_t producer_id,
                         struct producer_batch *ret_last);

/* Kafka's .snapshot format version 1, followed by the older batches of each window, which Kafka does not keep
 * (it ignores what follows its entries). Bytes that encode writes. */
uint64_t producer_snapshot_size(const struct producer_state *state);
void producer_snapshot_encode(const struct producer_state *state, uint8_t *out);

/* Replaces the state; producers count as seen at now_us. ERR_CORRUPT, ERR_VERSION, ERR_NOMEM; the state is
 * empty then. */
enum err producer_snapshot_decode(struct producer_state *state, const uint8_t *p, uint64_t len,
                                  uint64_t now_us);

/* Asserts the invariants. */
void producer_state_check(const struct producer_state *state);

/* Independent of the order of use. */
uint64_t producer_state_hash(const struct producer_state *state);

#endif
