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
#define PRODUCER_ID_NONE     (-1)
#define PRODUCER_EPOCH_NONE  (-1)
#define PRODUCER_MARKER_NONE (-1) /* no marker is known */

/* The producer's part of a batch header. */
struct producer_batch {
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t first_sequence; /* -1: a coordinator's, which has none */
    int32_t last_sequence;  /* producer_sequence_add(first_sequence, last offset delta) */
    int32_t offset_delta;   /* last offset - first offset */
    int64_t last_offset;    /* -1 in questions */
    int64_t timestamp_ms;   /* largest of the batch */
    bool transactional;
};

/* A transaction on this partition, from its first batch on. */
struct producer_txn {
    int64_t producer_id, first_offset;
    int64_t last_offset; /* of its marker; -1: open */
};

/* A marker as it stands in the log. */
struct producer_marker {
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t coordinator_epoch;
    int64_t offset, timestamp_ms;
};

struct producer_entry;

struct producer_state {
    const struct core_alloc *alloc;
    struct producer_entry *entries; /* dense, [0, count) */
    uint32_t *slots;                /* open addressing over entries: index + 1, 0 empty */
    uint32_t count, entries_cap, slots_cap;
    uint32_t newest, oldest; /* ends of the order of last use; PRODUCER_COUNT_MAX: none */
    uint64_t expiry_us;
    /* By first offset: the open ones, and those whose marker was not known to be below the high watermark. */
    struct producer_txn *txns;
    uint32_t txns_count, txns_cap;
};

enum producer_verdict {
    PRODUCER_APPEND,       /* in sequence: append it */
    PRODUCER_DUPLICATE,    /* was appended before: answer with the original offset */
    PRODUCER_OUT_OF_ORDER, /* Kafka 45 */
    PRODUCER_FENCED,       /* Kafka 47, INVALID_PRODUCER_EPOCH */
    PRODUCER_TXN_OPEN,     /* Kafka 48, INVALID_TXN_STATE: not transactional while its transaction is open */
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

/* Whether batches of its producer are missing in front of this one: it lies ahead of the number that comes
 * next, or begins above 0 though nothing is known here of its producer or its epoch. */
bool producer_state_gap(const struct producer_state *state, const struct producer_batch *batch);

/* Makes room for one more producer, so that a following update cannot fail; forgets expired ones (at most two
 * a call). ERR_NOMEM. */
enum err producer_state_reserve(struct producer_state *state, uint64_t now_us);

/* The same for the first batch of a transaction. ERR_NOMEM. */
enum err producer_state_reserve_txn(struct producer_state *state);

/* A batch was appended (leader: after PRODUCER_APPEND; follower and replay: as it is in the log, unchecked).
 * ERR_NOMEM only without reserve. */
enum err producer_state_update(struct producer_state *state, const struct producer_batch *batch,
                               uint64_t now_us);

/* -- transactions (producer_txn.c) -- */

/* May this marker be written (facts §5: WriteTxnMarkers)? bumped: of protocol version 2 (KIP-890), whose
 * markers carry an epoch above that of the transaction. Kafka's error: INVALID_PRODUCER_EPOCH,
 * TRANSACTION_COORDINATOR_FENCED. *ret_written: >= 0: it stands in the log at that offset already (only for
 * version 2, which can tell); else -1. */
int16_t producer_state_judge_marker(const struct producer_state *state, const struct producer_marker *marker,
                                    bool bumped, int64_t *ret_written);

/* A marker was appended. *ret_ended: the transaction that it ended, first_offset -1 if it ended none; and
 * *ret_stable: what was below the first open transaction but this one (Kafka's lastStableOffset of an aborted
 * transaction). ERR_NOMEM only without producer_state_reserve(). */
enum err producer_state_marker(struct producer_state *state, const struct producer_marker *marker,
                               uint64_t now_us, struct producer_txn *ret_ended, int64_t *ret_stable);

/* The first offset that is not decided: of an open transaction, or of one whose marker is not below
 * high_watermark. INT64_MAX: none. Forgets what is decided for good. */
int64_t producer_state_first_unstable(struct producer_state *state, int64_t high_watermark);

/* First offset of the producer's open transaction; -1: none. */
int64_t producer_state_open_txn(const struct producer_state *state, int64_t producer_id);

/* Offset of the producer's last marker that is known, PRODUCER_MARKER_NONE: none. Unchanged: no transaction
 * of this producer has ended here since. */
int64_t producer_state_last_marker(const struct producer_state *state, int64_t producer_id);

/* The newest epoch that is known of the producer; PRODUCER_EPOCH_NONE. */
int16_t producer_state_epoch(const struct producer_state *state, int64_t producer_id);

/* Every producer, for DescribeProducers. */
struct producer_info {
    int64_t producer_id, timestamp_ms, txn_first_offset;
    int32_t last_sequence, coordinator_epoch;
    int16_t producer_epoch;
};
void producer_state_each(const struct producer_state *state,
                         void (*each)(void *ctx, const struct producer_info *info), void *ctx);

/* The log now ends at end_offset. True: done. False: a producer's whole window, a transaction's beginning or
 * a marker was cut, so the state must be rebuilt (snapshot and replay). */
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
