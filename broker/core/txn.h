/* SPDX-License-Identifier: Apache-2.0 */
/* The transaction coordinator of one partition of __transaction_state: pure. Kafka's transactions, protocol
 * versions 1 and 2 (KIP-98, 360, 890; facts §5).
 *
 * State of a transactional id, and what may follow (txn_may_follow). A move counts when the log has it for
 * good: until then the id has a write pending and calls for it wait.
 *
 *   from \ to         Ongoing  PrepareCommit  PrepareAbort  CompleteCommit  CompleteAbort  Empty  Dead
 *   Empty                x                        x (v2)                                     x      x
 *   Ongoing              x          x             x
 *   PrepareCommit                                                 x
 *   PrepareAbort                                                                  x
 *   CompleteCommit       x                        x (v2)                                     x      x
 *   CompleteAbort        x                        x (v2)                                     x      x
 *
 * Events go in by txns_call(), txns_committed(), txns_failed(), txns_marker_done() and txns_tick(), each
 * after txns_set_time(). Effects are taken afterwards with txns_take_write(), txns_take_markers() and
 * txns_take_settled(), until all give nothing.
 *
 * Once Prepare* is in the log the outcome is fixed: its markers are asked for until every partition has one,
 * again by whoever loads the log next. Then Complete* is written.
 */
#ifndef SLUICE_BROKER_CORE_TXN_H
#define SLUICE_BROKER_CORE_TXN_H

#include "broker/core/coordinator_write.h"
#include "common/base/alloc.h"
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/types.h"

struct txns;

/* Kafka's numbers, which stand in the records. */
enum txn_state {
    TXN_EMPTY,
    TXN_ONGOING,
    TXN_PREPARE_COMMIT,
    TXN_PREPARE_ABORT,
    TXN_COMPLETE_COMMIT,
    TXN_COMPLETE_ABORT,
    TXN_DEAD,
    TXN_STATE_COUNT,
};

/* The table above. */
bool txn_may_follow(enum txn_state from, enum txn_state to);

/* Kafka's name of a state. */
const char *txn_state_name(enum txn_state state);

struct txn_settings {
    int32_t timeout_max_ms;  /* transaction.max.timeout.ms */
    int64_t expiration_ms;   /* transactional.id.expiration.ms */
    int64_t expiry_check_ms; /* transaction.remove.expired.transaction.cleanup.interval.ms */
    int32_t wait_ms;         /* the most that a call waits for another to end; then CONCURRENT_TRANSACTIONS */
};

struct txn_partition {
    struct str topic;
    int32_t index;
};

enum txn_call_type {
    TXN_CALL_INIT,     /* InitProducerId */
    TXN_CALL_ADD,      /* AddPartitionsToTxn, AddOffsetsToTxn, and their implicit form */
    TXN_CALL_VERIFY,   /* is each partition in the ongoing transaction? */
    TXN_CALL_END,      /* EndTxn */
    TXN_CALL_DESCRIBE, /* response: kafka_describe_transactions_response_transaction_state */
    TXN_CALL_LIST,     /* kafka_list_transactions_request, kafka_list_transactions_response */
    TXN_CALL_COUNT,
};

/* One request, or the part of one that concerns one transactional id. The caller's memory until it is
 * settled; exactly once. */
struct txn_call {
    struct list link; /* private while not settled */
    enum txn_call_type type;
    bool v2;       /* the client speaks protocol version 2 */
    bool commit;   /* END */
    bool needs_id; /* settled without an answer: to be called again with a fresh_id */
    bool settled;
    int16_t error; /* the answer: KAFKA_NONE, or why not (VERIFY: of all partitions) */
    struct str id;
    int64_t
        producer_id; /* INIT: -1, or the one that the client knows; changed to the answer by INIT and END */
    int16_t producer_epoch;
    int32_t timeout_ms;                     /* INIT */
    int64_t fresh_id;                       /* INIT, END: a producer id that nobody has had, -1: none */
    const struct txn_partition *partitions; /* ADD, VERIFY */
    int32_t partitions_count;
    int16_t *errors; /* VERIFY: of each partition */
    const void *request;
    void *response;       /* initialized */
    struct arena *arena;  /* for what the response points to */
    uint64_t deadline_us; /* private */
};

/* Markers to be written: one to each partition. */
struct txn_markers {
    uint64_t token; /* names this transaction to txns_marker_done() */
    struct str id;
    int64_t producer_id;
    int16_t producer_epoch;
    bool commit;
    bool bumped; /* protocol version 2: the epoch is above that of the transaction's records */
    const struct txn_partition *partitions;
    int32_t partitions_count;
};

#define TXNS_NO_DEADLINE UINT64_MAX

/* An empty coordinator in the state of loading. NULL: memory is out. alloc and settings outlive it. */
struct txns *txns_new(const struct core_alloc *alloc, const struct txn_settings *settings);
void txns_free(struct txns *t); /* every call has been settled and taken (txns_end) */

/* The present: monotonic microseconds and wall clock milliseconds. */
void txns_set_time(struct txns *t, uint64_t now_us, int64_t wall_ms);

/* Loading: one record of the log, in order; value len -1: a tombstone. ERR_MALFORMED: not one of ours, the
 * state is unchanged. ERR_VERSION: of a later version, skipped. */
enum err txns_replay(struct txns *t, struct bytes key, struct bytes value);
/* Everything has been replayed: time runs, markers that may be missing are asked for. */
void txns_loaded(struct txns *t);

/* A call comes in. It is settled at once, or later. */
void txns_call(struct txns *t, struct txn_call *call);
/* Every write up to seq is committed. */
void txns_committed(struct txns *t, uint64_t seq);
/* The writes first..last were not appended, for Kafka's reason error. */
void txns_failed(struct txns *t, uint64_t first, uint64_t last, int16_t error);
/* The partition has its marker, or needs none (it is gone). Unknown tokens and partitions are ignored. */
void txns_marker_done(struct txns *t, uint64_t token, struct str topic, int32_t index);
/* Time passed txns_deadline(). */
void txns_tick(struct txns *t);
/* This is the end: every call that waits is settled with NOT_COORDINATOR. */
void txns_end(struct txns *t);

/* Effects. False, NULL: none left. A write's memory lives until it is committed or failed, that of markers
 * until the next event. */
bool txns_take_write(struct txns *t, struct coordinator_write *ret);
bool txns_take_markers(struct txns *t, struct txn_markers *ret);
struct txn_call *txns_take_settled(struct txns *t);

/* When txns_tick() is due; may be earlier than needed. */
uint64_t txns_deadline(const struct txns *t);

uint32_t txns_count(const struct txns *t); /* how many ids */

/* A digest of all that is committed, equal for equal logs. Asserts the invariants of the whole. */
uint64_t txns_check(const struct txns *t);

#endif
