/* SPDX-License-Identifier: Apache-2.0 */
/* What clients did and saw, as fixed-size records (reliability facts, section 3). A call is an `invoke`
 * record and its completion; unique values make every check linear. The format is little-endian, versioned,
 * and the same for simulated and real processes. */
#ifndef SLUICE_TESTS_CHECKER_HISTORY_H
#define SLUICE_TESTS_CHECKER_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

#define HISTORY_MAGIC        "SLHISTRY"
#define HISTORY_VERSION      1
#define HISTORY_HEADER_BYTES 32
#define HISTORY_RECORD_BYTES 88

#define HISTORY_QUORUM UINT32_MAX /* topic number that stands for the controllers' quorum */

/* X(name, text). OK and FAIL are certain: fail proves that it did not and will not happen. INFO (time-out,
 * broken connection, crash): it may have happened, or may yet. A call without a completion counts as INFO. */
#define HISTORY_TYPES(X)                                                                                     \
    X(INVOKE, "invoke")                                                                                      \
    X(OK, "ok")                                                                                              \
    X(FAIL, "fail")                                                                                          \
    X(INFO, "info")

/* X(name, text, is a call). Calls have an invoke; the others are single OK records of something that was
 * seen. Fields beyond type, op, process, time and node:
 * - PRODUCE: key, value; OK: offset (-1 unknown), epoch; txn if in one; arg = value it was made from, or 0;
 * arg2 = number of its key in a compacted topic (with MAY_BE_LOST), or 0
 * - POLL: one OK record for each record that came, in order, all with the invoke's call: key, value, offset,
 *   epoch (of its batch); an OK with offset -1 says "asked for this key, nothing came"; group and txn in a
 *   pipe
 * - SAMPLE: what = LATEST, HIGH_WATERMARK, LAST_STABLE or LOG_START; OK: key, offset, epoch of the answering
 *   leader. FINAL: no transaction is under way any more; LAST_STABLE first, then HIGH_WATERMARK of one answer
 * - COMMIT: group, key, offset; txn when committed in a transaction; epoch: the member's generation, if
 *   known; OK: epoch of the coordinator, if known. COMMITTED: group, key, epoch: the newest of the
 *   coordinator's partition that the broker knows; OK: offset (-1: none). With require_stable when the group
 *   commits in transactions. A commit that its member sends again over another connection is one call, each
 *   attempt that was given up one more: INFO, with OVER when nothing is left of its connection. COMMIT,
 *   ASSIGN: arg = number of the static member (KIP-345) or 0. These and BEAT: arg2 = number that stands for
 *   the member's id, 0 unknown
 * - BEAT: a heartbeat or a SyncGroup: group, epoch = generation that it names, node = broker that is asked,
 *   arg = by how many generations it may be behind (KIP-848: an answer may have got lost)
 * - TXN_BEGIN, TXN_COMMIT, TXN_ABORT: txn, an id that is never used again
 * - ADMIN: what = SET, GET, CREATE or DELETE of the register named by key; arg = value (0: absent)
 * - ASSIGN: key (or none: all keys of the process), offset it starts at (-1 unknown), group and epoch =
 *   generation, node = coordinator that gave it. REVOKE: key (or none), group
 * - SEEK: key (or none), offset (-1 unknown). Not a reset after an out-of-range answer, but one that went
 *   back: TRIM says what may be passed over
 * - TRIM: key, offset: from now on retention or DeleteRecords may remove what is below it
 * - METADATA: key; what = LEADER: epoch, node = leader (topic HISTORY_QUORUM, partition 0, epoch = term: the
 *   leader of the controllers); ISR: arg, arg2 = bit sets of ISR and replicas; JOINED: node was in the ISR
 *   with log end `offset` while the high watermark was arg; HELD: when the node died its disk held all up to
 *   `offset`, and a leader had counted on it for arg
 * - REPLICA: key, node, call = round of comparison; what = BATCH: offset, epoch, arg = CRC; with COMPACTED
 * arg2 = number that stands for the record's key (negative: of a tombstone), 0 unknown, txn != 0: in a
 * transaction; HIGH_WATERMARK or LOG_START of that replica: offset
 * - IMAGE: metadata image of a node: offset, arg = hash. ENTRY: entry `offset` of the quorum's log as a node
 *   applied it: epoch = term, arg = CRC, or what else tells it from others
 * - HEALTH: arg = how much there was of something, arg2 = how much may be
 * - FAULT: a fault began or ended; arg is the writer's own number for it. Only shown. */
#define HISTORY_OPS(X)                                                                                       \
    X(PRODUCE, "produce", true)                                                                              \
    X(POLL, "poll", true)                                                                                    \
    X(SAMPLE, "sample", true)                                                                                \
    X(COMMIT, "commit", true)                                                                                \
    X(COMMITTED, "committed", true)                                                                          \
    X(TXN_BEGIN, "txn-begin", true)                                                                          \
    X(TXN_COMMIT, "txn-commit", true)                                                                        \
    X(TXN_ABORT, "txn-abort", true)                                                                          \
    X(ADMIN, "admin", true)                                                                                  \
    X(ASSIGN, "assign", false)                                                                               \
    X(REVOKE, "revoke", false)                                                                               \
    X(SEEK, "seek", false)                                                                                   \
    X(TRIM, "trim", false)                                                                                   \
    X(METADATA, "metadata", false)                                                                           \
    X(REPLICA, "replica", false)                                                                             \
    X(IMAGE, "image", false)                                                                                 \
    X(ENTRY, "entry", false)                                                                                 \
    X(HEALTH, "health", false)                                                                               \
    X(FAULT, "fault", false)                                                                                 \
    X(BEAT, "beat", true)

/* X(name, text): what a SAMPLE, ADMIN, METADATA or REPLICA is about. */
#define HISTORY_WHATS(X)                                                                                     \
    X(LATEST, "latest")                                                                                      \
    X(HIGH_WATERMARK, "high-watermark")                                                                      \
    X(LAST_STABLE, "last-stable")                                                                            \
    X(LOG_START, "log-start")                                                                                \
    X(SET, "set")                                                                                            \
    X(GET, "get")                                                                                            \
    X(CREATE, "create")                                                                                      \
    X(DELETE, "delete")                                                                                      \
    X(LEADER, "leader")                                                                                      \
    X(ISR, "isr")                                                                                            \
    X(JOINED, "joined")                                                                                      \
    X(HELD, "held")                                                                                          \
    X(BATCH, "batch")

/* X(name, bit, text). The defaults (no flag) are the strict ones. */
#define HISTORY_FLAGS(X)                                                                                     \
    X(FINAL, 0x01, "final") /* POLL: part of the last reading after everything healed; SAMPLE: then */       \
    X(UNCOMMITTED, 0x02, "uncommitted") /* POLL: isolation level read_uncommitted */                         \
    X(MAY_REPEAT, 0x04, "may-repeat")   /* PRODUCE: not idempotent; may stand twice and out of order */      \
    X(MAY_BE_LOST, 0x08, "may-be-lost") /* PRODUCE: acks below all, a weaker flush, or a compacted key */    \
    X(DENIED, 0x10, "denied")           /* any call: this principal must be refused */                       \
    X(UNCLEAN, 0x20, "unclean")         /* METADATA LEADER: an allowed unclean election (fault R2) */        \
    X(COMPACTED, 0x40, "compacted")     /* REPLICA: entries may be missing, but never differ */              \
    X(OVER, 0x80, "over")               /* COMMIT, INFO: it may have happened, but does not happen any more */

enum history_type {
    HISTORY_TYPE_NONE,
#define X(name, text) HISTORY_##name,
    HISTORY_TYPES(X)
#undef X
        HISTORY_TYPE_COUNT
};

enum history_op {
    HISTORY_OP_NONE,
#define X(name, text, call) HISTORY_##name,
    HISTORY_OPS(X)
#undef X
        HISTORY_OP_COUNT
};

enum history_what {
    HISTORY_WHAT_NONE,
#define X(name, text) HISTORY_##name,
    HISTORY_WHATS(X)
#undef X
        HISTORY_WHAT_COUNT
};

enum history_flag {
#define X(name, bit, text) HISTORY_##name = (bit),
    HISTORY_FLAGS(X)
#undef X
};

/* A value that is produced once in the life of a history: writer ids start at 1, so 0 is "none". */
static inline uint64_t history_value(uint32_t writer, uint32_t counter)
{
    return (uint64_t)writer << 32 | counter;
}

/* One record. Fields that do not apply keep what history_record() gives them. */
struct history_record {
    uint8_t type, op, what, flags; /* enum history_type, _op, _what; bits of enum history_flag */
    int32_t error;                 /* Kafka's error code, 0 none */
    int64_t time_us;               /* one clock for all processes of the run; never goes back within a file */
    uint32_t process;  /* one logical thread of calls; a client that crashed comes back as another */
    int32_t node;      /* node that answered (or that it is about), -1 unknown */
    uint32_t call;     /* ties completions to their invoke within a process (PRODUCE: the value does) */
    int32_t epoch;     /* leader epoch or group generation, -1 unknown */
    uint32_t topic;    /* number of the topic *id*, from 1; 0: no key */
    int32_t partition; /* -1: no key */
    uint64_t value;    /* history_value(), 0 none */
    int64_t offset;    /* -1 unknown */
    uint64_t txn;      /* 0: not in a transaction */
    uint32_t group;    /* 0: none */
    int64_t arg, arg2; /* by op, see above */
};

/* A record with everything else unknown. */
struct history_record history_record(enum history_type type, enum history_op op, uint32_t process,
                                     int64_t time_us);

/* Who wrote a file or buffer. */
struct history_header {
    uint32_t client;
    uint64_t seed;
};

/* Appends records to memory of the caller. Pure: no allocation, no I/O. */
struct history_writer {
    uint8_t *bytes; /* the caller's */
    size_t size, used;
};

/* Starts a history in bytes[0..size) with its header; size must be at least HISTORY_HEADER_BYTES. A client
 * whose buffer is full goes on in another one, under the same header: the checker puts them together by time.
 */
void history_writer_init(struct history_writer *w, void *bytes, size_t size,
                         const struct history_header *header);

/* Appends one record. False when the buffer has no room (nothing is written then). */
bool history_put(struct history_writer *w, const struct history_record *record);

/* Checks the header of len bytes. ERR_TRUNCATED: shorter than a header; ERR_MALFORMED: no history;
 * ERR_VERSION. */
enum err history_open(const void *bytes, size_t len, struct history_header *ret_header);

/* Whole records in a history of len bytes; the torn one at the end that a killed writer may leave is not
 * counted. */
size_t history_count(size_t len);

/* The record at position i < history_count(len). ERR_MALFORMED when type, op or what are out of range. */
enum err history_get(const void *bytes, size_t i, struct history_record *ret_record);

/* Names for text forms; "?" when out of range. */
const char *history_type_name(unsigned type);
const char *history_op_name(unsigned op);     /* see HISTORY_OPS */
const char *history_what_name(unsigned what); /* see HISTORY_WHATS */

/* Whether an op has an invoke. */
bool history_op_is_call(unsigned op);

#endif
