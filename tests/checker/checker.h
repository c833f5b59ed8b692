/* SPDX-License-Identifier: Apache-2.0 */
/* Judges histories against the invariants of the reliability facts, section 3. It knows nothing of the system
 * that it judges but what the histories say. Use: checker_new(), checker_add() for each history,
 * checker_run() once, then look. */
#ifndef SLUICE_TESTS_CHECKER_CHECKER_H
#define SLUICE_TESTS_CHECKER_CHECKER_H

#include <stdio.h>

#include "tests/checker/history.h"

/* X(name, text, invariant, meaning): everything that can be found. Names as in the facts' table, ours where
 * it has none. */
#define CHECKER_TABLE(X)                                                                                     \
    X(BAD_HISTORY, "bad-history", "-",                                                                       \
      "the history contradicts itself (no invoke, a value or a transaction used twice, time going back)")    \
    X(INCONSISTENT_OFFSETS, "inconsistent-offsets", "I1",                                                    \
      "two values were seen at one offset of one partition")                                                 \
    X(LOST_WRITE, "lost-write", "I2",                                                                        \
      "an acknowledged or already read record is gone although later ones were read")                        \
    X(UNSEEN, "unseen", "I3",                                                                                \
      "an acknowledged or already read record is behind all that the final reads found")                     \
    X(NO_FINAL_READ, "no-final-read", "I3",                                                                  \
      "records of this partition were acknowledged, but it was not read at the end")                         \
    X(DUPLICATE, "duplicate", "I4", "a value of an idempotent producer stands at two offsets")               \
    X(ABORTED_READ, "G1a", "I5", "a record was read whose write failed or whose transaction was aborted")    \
    X(PRECOMMITTED_READ, "precommitted-read", "I6",                                                          \
      "a record was read before its transaction asked to commit")                                            \
    X(INT_POLL_SKIP, "int-poll-skip", "I7", "one poll left out a record between two that it returned")       \
    X(INT_NONMONOTONIC_POLL, "int-nonmonotonic-poll", "I7", "one poll returned records against their order") \
    X(POLL_SKIP, "poll-skip", "I8",                                                                          \
      "a consumer's poll does not go on where it stood: a record was left out")                              \
    X(NONMONOTONIC_POLL, "nonmonotonic-poll", "I8",                                                          \
      "a consumer's poll went back without a seek or a new assignment")                                      \
    X(INT_NONMONOTONIC_SEND, "int-nonmonotonic-send", "I9",                                                  \
      "one transaction's sends stand against the order of sending")                                          \
    X(NONMONOTONIC_SEND, "nonmonotonic-send", "I9",                                                          \
      "one producer's sends stand against the order of sending")                                             \
    X(TORN_TXN, "torn-txn", "I10", "some writes of a transaction can be read, others cannot")                \
    X(CIRCULAR, "G1c", "I10", "transactions have read from each other in a circle")                          \
    X(CONSUME_COUNT, "consume-count", "I11",                                                                 \
      "two committed transactions of one group consumed the same record")                                    \
    X(REGRESS, "regress", "I12", "an offset or leader epoch that must only grow went back")                  \
    X(EARLY_DELETE, "early-delete", "I12",                                                                   \
      "the log start passed what retention or a deletion was allowed to remove")                             \
    X(PAST_HIGH_WATERMARK, "past-high-watermark", "-",                                                       \
      "a leader's log start or last stable offset is above its high watermark")                              \
    X(LOST_COMMIT, "lost-commit", "I13", "a group's committed offset is below one that was acknowledged")    \
    X(DIRTY_COMMIT, "dirty-commit", "I5",                                                                    \
      "a group stands where nobody, or only a transaction that was aborted or not to commit yet, put it")    \
    X(HANGING_TXN, "hanging-txn", "I10",                                                                     \
      "a log is not stable up to its end although every transaction has ended")                              \
    X(DOUBLE_OWNER, "double-owner", "I14", "two members own one partition in one generation of their group") \
    X(STALE_GENERATION, "stale-generation", "I14",                                                           \
      "a commit, heartbeat or sync of a generation that its member had left behind was accepted")            \
    X(NOT_LINEARIZABLE, "not-linearizable", "I15",                                                           \
      "no order of the operations on this register explains this answer")                                    \
    X(UNDECIDED, "undecided", "I15",                                                                         \
      "too many operations at once on this register to decide: make the workload smaller")                   \
    X(DIVERGENCE, "divergence", "I16", "replicas differ below the high watermark")                           \
    X(HEALTH, "health", "I17", "something that never may happen did, or there was more of it than allowed")  \
    X(AUTHZ, "authz", "I18", "an operation that must be refused was allowed")                                \
    X(REALTIME_LAG, "realtime-lag", "I19",                                                                   \
      "a poll missed a record that was acknowledged longer ago than allowed")                                \
    X(GAP, "gap", "I20", "a partition answered no write for longer than allowed")                            \
    X(TWO_LEADERS, "two-leaders", "-", "one leader epoch of a partition has two leaders")                    \
    X(IMAGE_DIVERGENCE, "image-divergence", "-", "metadata images differ at the same offset")                \
    X(ENTRY_DIVERGENCE, "entry-divergence", "-",                                                             \
      "two nodes applied different entries at one index of the quorum's log")                                \
    X(ISR_FOREIGN, "isr-foreign", "-", "a broker that is no replica is in the ISR")                          \
    X(ISR_BEHIND, "isr-behind", "-", "a replica behind the high watermark joined the ISR")                   \
    X(NOT_DURABLE, "not-durable", "-",                                                                       \
      "after a crash a replica does not hold what the high watermark had counted on it for")                 \
    X(PHANTOM_READ, "phantom-read", "-", "a record was read that nobody ever wrote")                         \
    X(WRONG_KEY, "wrong-key", "-", "a record was read from another partition than it was written to")

enum checker_kind {
#define X(name, text, invariant, meaning) CHECKER_##name,
    CHECKER_TABLE(X)
#undef X
        CHECKER_KIND_COUNT
};

#define CHECKER_SLICE_MAX 6  /* records that show one violation */
#define CHECKER_KEPT_MAX  32 /* violations kept of each kind; all are counted */

struct checker_options {
    bool partial;       /* the run has no final reads: do not ask for them (I3 is not checked then) */
    int64_t lag_max_us; /* I19: report polls that miss more than this; 0: only measure. Final reads do not
                           count */
    int64_t gap_max_us; /* I20: report partitions without an answer for longer; 0: only measure */
};

/* One record and where it came from. */
struct checker_event {
    struct history_record rec;
    uint32_t source;                    /* of checker_source() */
    uint32_t position;                  /* record number (binary, from 0) or line number (text, from 1) */
    const struct checker_event *invoke; /* of a completion; NULL for an invoke and for what is no call */
    const struct checker_event *done;   /* of an invoke: its first completion, NULL when there is none */
};

/* One thing that is wrong. events: the smallest set of records that shows it, in order of the story. */
struct checker_violation {
    enum checker_kind kind;
    uint32_t topic; /* 0: not about one partition */
    int32_t partition;
    uint64_t value; /* 0: not about one value */
    int64_t offset; /* -1: not about one offset */
    const struct checker_event *events[CHECKER_SLICE_MAX];
    uint32_t event_count;
};

/* What was seen; all zero when nothing was. */
struct checker_stats {
    uint64_t records, sources, keys, values, acked, read, txns, polls;
    uint64_t excused; /* would be violations, but belong to allowed unclean elections, or to records that were
                         deleted */
    uint64_t violations;
    int64_t gap_max_us; /* I20, of all keys */
    int64_t lag_max_us; /* I19, of all keys and consumers */
};

struct checker;

/* An empty checker; options are copied. NULL when memory is out. The caller frees it with checker_free(). */
struct checker *checker_new(const struct checker_options *options);

/* Frees the checker and everything that its getters returned. NULL is allowed. */
void checker_free(struct checker *c);

/* Adds a binary history (history.h) or the text form (history_text.h), told apart by the magic. The bytes are
 * not kept; `name` is copied. Errors: as history_open(); ERR_MALFORMED with *ret_position = the bad record or
 * line; ERR_NOMEM. After an error the checker can only be freed. ret_position may be NULL. Before
 * checker_run() only. */
enum err checker_add(struct checker *c, const char *name, const void *bytes, size_t len,
                     uint32_t *ret_position);

/* Judges everything that was added; once. ERR_NOMEM: no verdict. OK says nothing about violations: see
 * checker_stats(). */
enum err checker_run(struct checker *c);

/* The kept violations, in order of kind, then as found; NULL from the end on. */
const struct checker_violation *checker_violation(const struct checker *c, uint32_t i);

/* All violations of one kind, kept or not. */
uint64_t checker_count(const struct checker *c, enum checker_kind kind);

/* Valid until checker_free(). */
const struct checker_stats *checker_stats(const struct checker *c);

/* The name under which a history was added. */
const char *checker_source(const struct checker *c, uint32_t source);

/* Name ("lost-write"), invariant ("I2") and meaning of a kind. */
const char *checker_kind_name(enum checker_kind kind);
const char *checker_kind_invariant(enum checker_kind kind);
const char *checker_kind_meaning(enum checker_kind kind);

/* One line for each kept violation; with explain its meaning and its records (file:position and text form)
 * below it; a line for each kind of which more were found than kept. */
void checker_print(const struct checker *c, FILE *out, bool explain);

/* The summary line: `records=... keys=... ... violations=0`. */
void checker_print_summary(const struct checker *c, FILE *out);

#endif
