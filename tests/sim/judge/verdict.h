/* SPDX-License-Identifier: Apache-2.0 */
/* Judges a history: which promises of a replicated log were broken. Linear in the history (hash maps), but
 * for metadata registers, whose histories are short. Knows nothing of Sluice: only what clients and observers
 * wrote down. */
#ifndef SLUICE_SIM_JUDGE_VERDICT_H
#define SLUICE_SIM_JUDGE_VERDICT_H

#include <stdio.h>

#include "tests/sim/judge/history.h"

/* X(NAME, "name", "invariant", "what it means") */
#define VIOLATION_TABLE(X)                                                                                   \
    X(BAD_HISTORY, "bad-history", "-",                                                                       \
      "the history contradicts its own format: a value sent twice, an end without a start")                  \
    X(INCONSISTENT_OFFSETS, "inconsistent-offsets", "I1", "two values at one offset")                        \
    X(LOST_WRITE, "lost-write", "I2", "acknowledged, and readers have passed it without it")                 \
    X(UNSEEN, "unseen", "I3", "acknowledged, and not there in the final reads")                              \
    X(VANISHED_READ, "vanished-read", "I2", "read once, and not there in the final reads")                   \
    X(PHANTOM, "phantom", "I1", "read, and nobody sent it")                                                  \
    X(DUPLICATE, "duplicate", "I4", "one value at two offsets")                                              \
    X(ABORTED_READ, "aborted-read", "I5", "the value of a failed send or an aborted transaction was read")   \
    X(PRECOMMITTED_READ, "precommitted-read", "I6", "a transaction read its own uncommitted write")          \
    X(INT_POLL_SKIP, "int-poll-skip", "I7", "one poll left out a record")                                    \
    X(INT_NONMONOTONIC_POLL, "int-nonmonotonic-poll", "I7", "one poll went back")                            \
    X(POLL_SKIP, "poll-skip", "I8", "a record was left out between two polls")                               \
    X(NONMONOTONIC_POLL, "nonmonotonic-poll", "I8", "a poll went back")                                      \
    X(NONMONOTONIC_SEND, "nonmonotonic-send", "I9", "a producer's records changed their order")              \
    X(INT_NONMONOTONIC_SEND, "int-nonmonotonic-send", "I9", "the same within one transaction")               \
    X(TORN_TXN, "torn-txn", "I10", "a part of a transaction's writes is visible")                            \
    X(G1C, "g1c", "I10", "transactions read each other's writes in a circle")                                \
    X(CONSUMED_TWICE, "consumed-twice", "I11", "one input of an exactly-once pipe went in twice")            \
    X(REGRESS, "regress", "I12", "high watermark, last stable offset, log start or leader epoch went back")  \
    X(LOST_COMMIT, "lost-commit", "I13", "a group's committed position went back")                           \
    X(DOUBLE_OWNER, "double-owner", "I14", "two members own one partition in one generation")                \
    X(NOT_LINEARIZABLE, "not-linearizable", "I15", "metadata answers fit no order of the changes")           \
    X(DIVERGENCE, "divergence", "I16", "replicas differ below the high watermark")                           \
    X(TWO_LEADERS, "two-leaders", "-", "two leaders of one partition in one epoch")                          \
    X(TWO_TERM_LEADERS, "two-term-leaders", "-", "two Raft leaders in one term")                             \
    X(ENTRY_DIVERGENCE, "entry-divergence", "-", "two nodes applied different entries at one Raft index")    \
    X(IMAGE_DIVERGENCE, "image-divergence", "-", "two metadata images at one offset differ")                 \
    X(ISR_STRANGER, "isr-stranger", "-", "an in-sync replica is no replica")                                 \
    X(ISR_TOO_EARLY, "isr-too-early", "-",                                                                   \
      "a replica behind the high watermark joined the in-sync replicas")                                     \
    X(NOT_DURABLE, "not-durable", "-", "an in-sync replica did not hold what the high watermark had passed") \
    X(UNHEALTHY, "unhealthy", "I17", "something happened that never may")                                    \
    X(QUEUE_OVER_CAP, "queue-over-cap", "I17", "a queue grew past its cap")                                  \
    X(LEAK, "leak", "I17", "memory was held after the end")                                                  \
    X(STALE_READ, "stale-read", "I19", "a reader at the end missed a record for longer than allowed")        \
    X(GAP, "gap", "I20", "nothing was acknowledged for longer than allowed")

enum violation {
#define X(id, name, invariant, text) VIOLATION_##id,
    VIOLATION_TABLE(X)
#undef X
        VIOLATION_COUNT
};

struct check_options {
    uint64_t staleness_max_us; /* 0: measured only */
    uint64_t gap_max_us;       /* 0: measured only */
};

#define CHECK_EXAMPLE_MAX 512

struct check_report {
    uint64_t counts[VIOLATION_COUNT];
    char examples[VIOLATION_COUNT][CHECK_EXAMPLE_MAX]; /* the first of each */
    uint64_t violations;                               /* of all kinds */
    uint64_t sends_ok, sends_fail, sends_info, records_polled, keys;
    uint64_t staleness_us, gap_us; /* the worst */
    uint64_t registers_unchecked;  /* more than 64 operations without a pause */
};

/* Fills the report; true when nothing is wrong. */
bool check_history(const struct history *history, const struct check_options *options,
                   struct check_report *ret_report);

/* "lost-write" and so on. */
const char *violation_name(enum violation violation);

/* One line per violation with its first example, then one of totals. */
void check_report_print(const struct check_report *report, FILE *out);

#endif
