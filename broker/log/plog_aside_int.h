/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of plog: work aside (plog_aside.h). Included by plog_internal.h. */
#ifndef SLUICE_BROKER_LOG_PLOG_ASIDE_INT_H
#define SLUICE_BROKER_LOG_PLOG_ASIDE_INT_H

#include <stdatomic.h>

#include "broker/log/plog_aside.h"

struct plog_segment;

/* What a log has aside. */
struct plog_asides {
    struct list jobs;  /* of struct plog_aside */
    bool no_block;     /* a call that must not wait is under way */
    atomic_bool *stop; /* set in a shadow, and only there: the worker gives up when it is true */
    /* What the last search for damage found at `sought`, for the next who asks. */
    int64_t sought; /* -1: nobody has looked */
    enum err sought_err;
};

/* Nothing is aside. */
void plog_asides_init(struct plog_asides *asides);

/* Whether log is a shadow on a worker: it writes no files, and indexes that it makes stay in memory. */
static inline bool plog_is_shadow(const struct plog_asides *asides)
{
    return asides->stop != NULL;
}

/* Starts `task` on seg unless it runs. ERR_BUSY: plog_setup.learned follows; ERR_NOMEM. */
enum err plog_aside_begin(struct plog *log, enum plog_aside_task task, const struct plog_segment *seg);

/* A shadow is done with a segment for now: no files stay open. */
void plog_aside_pass(struct plog *log, struct plog_segment *seg);

/* The log goes away: nobody is told any more. */
void plog_asides_leave(struct plog *log);

#endif
