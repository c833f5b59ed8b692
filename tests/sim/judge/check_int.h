/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the checker: what the passes share. */
#ifndef SLUICE_SIM_JUDGE_CHECK_INT_H
#define SLUICE_SIM_JUDGE_CHECK_INT_H

#include "common/base/map.h"
#include "tests/sim/judge/verdict.h"

/* A value that somebody sent. */
struct send {
    const struct history_record *invoke, *end; /* end NULL: never told, as INFO */
    uint64_t value;
    uint32_t key_index;
    int64_t offset; /* where it was seen: by its acknowledgment or a poll; -1: nowhere */
    bool polled, polled_final;
};

/* A place in a log: what is there. */
struct cell {
    uint64_t value;
    int64_t offset;
    uint32_t rank;                      /* in the version order of its key, from 0; set by check_versions() */
    const struct history_record *first; /* who said so */
    struct send *send;                  /* NULL: a phantom */
};

struct key_state {
    uint32_t key;
    uint32_t index;
    struct cell **cells;
    uint32_t cell_count, cell_cap;
    int64_t final_max;  /* highest offset of the final reads; -1: none */
    int64_t polled_max; /* of any read */
    int64_t log_start;  /* the highest told */
    bool has_final;
};

struct txn {
    uint64_t id;
    const struct history_record *invoke, *end; /* of its end */
    bool seen;                                 /* one of its writes was read, committed */
    uint32_t index;
    uint32_t readers_left; /* for the search of circles */
};

struct check {
    const struct history *history;
    struct check_options options;
    struct check_report *report;
    struct map sends; /* value -> struct send */
    struct map keys;  /* key + 1 -> struct key_state */
    struct map cells; /* cell_id -> struct cell */
    struct map txns;  /* id -> struct txn */
    struct map calls; /* process << 32 | op_id -> INVOKE record, of what has not ended */
    struct key_state **key_list;
    uint32_t key_count, key_cap;
    struct list_of {
        void **at;
        size_t count, cap;
    } garbage; /* freed at the end */
};

/* Counts a violation; the first of a kind is described by the format and the record (may be NULL). */
void check_violates(struct check *check, enum violation violation, const struct history_record *record,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));

void *check_alloc(struct check *check, size_t size); /* zeroed, freed with the check */
/* Lookups: by topic and partition, by value, and how a send ended. */
struct key_state *check_key(struct check *check, uint32_t key);
struct cell *check_cell(struct check *check, uint32_t key, int64_t offset); /* NULL: nothing known */
struct send *check_send(struct check *check, uint64_t value);
struct txn *check_txn(struct check *check, uint64_t id); /* makes it */
bool send_is_acked(const struct send *send);
bool send_is_refused(const struct check *check,
                     const struct send *send); /* failed, or its transaction aborted */
const struct history_record *call_begin(struct check *check, const struct history_record *end);

/* The passes, in this order. */
void check_values(struct check *check);    /* I1 I4 I9: who sent what, what is where */
void check_versions(struct check *check);  /* ranks */
void check_losses(struct check *check);    /* I2 I3 */
void check_polls(struct check *check);     /* I5 to I8, I19 */
void check_txns(struct check *check);      /* I10 I11 */
void check_observed(struct check *check);  /* I12 I13 I14 I17, leaders, ISR, images */
void check_replicas(struct check *check);  /* I16 */
void check_registers(struct check *check); /* I15 */
void check_gaps(struct check *check);      /* I20 */

#endif
