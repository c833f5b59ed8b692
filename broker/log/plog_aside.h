/* SPDX-License-Identifier: Apache-2.0 */
/* What may read much of a log is done aside, so that its loop waits for no disk (DESIGN, Data: cold reads
 * never block a loop): on a worker, over a shadow of the log (a copy of what the loop knows of segments,
 * epochs and damage) and over files that the worker opens itself. Back on the loop, what was learned (times
 * of segments, indexes, damaged ranges, epochs) goes into the log, unless its segments were cut, replaced or
 * removed meanwhile.
 */
#ifndef SLUICE_BROKER_LOG_PLOG_ASIDE_H
#define SLUICE_BROKER_LOG_PLOG_ASIDE_H

#include "broker/log/plog.h"

enum plog_aside_task {
    PLOG_ASIDE_FIND,   /* the first batch whose largest timestamp is >= key */
    PLOG_ASIDE_MAX,    /* the batch with the largest timestamp */
    PLOG_ASIDE_LEARN,  /* times of the segment that holds offset key */
    PLOG_ASIDE_INDEX,  /* its indexes, made anew */
    PLOG_ASIDE_DAMAGE, /* the damaged range at or behind offset key, as plog_damage_search() finds it */
    /* Reads what plog_replace_range() at offset key will read on the loop, so that it is in the page cache:
     * the range, its neighbours and what producer state comes from; MEND_COPY: the whole segment, too. */
    PLOG_ASIDE_MEND,
    PLOG_ASIDE_MEND_COPY,
};

struct plog_aside_result {
    /* ERR_STALE: segments were cut, replaced or removed meanwhile, ask again. ERR_NOT_FOUND: nothing is so
     * late, the log is empty, nothing is damaged. Else as the synchronous calls. */
    enum err err;
    const uint8_t *batch; /* FIND, MAX: whole, its checksum is right; valid during the call */
    uint32_t len;
};

struct plog_aside;

/* Begins a search; done follows, later (E2), unless it is cancelled or the log closes first. key: see above.
 * ERR_NOMEM, or the log's failure. */
enum err plog_aside_start(struct plog *log, enum plog_aside_task task, int64_t key,
                          void (*done)(void *ctx, const struct plog_aside_result *result), void *ctx,
                          struct plog_aside **ret_aside);

/* PLOG_ASIDE_FIND among the batches that reach `from`, or the log start if that is behind it. */
enum err plog_aside_find(struct plog *log, int64_t timestamp, int64_t from,
                         void (*done)(void *ctx, const struct plog_aside_result *result), void *ctx,
                         struct plog_aside **ret_aside);

/* done is not called any more. The worker ends soon. */
void plog_aside_cancel(struct plog_aside *aside);

/* Somebody met bad bytes at or behind offset: OK: they are known as damaged. ERR_BUSY: they are looked for,
 * plog_setup.learned tells the end. ERR_NOT_FOUND: they were looked for since the last call, all is good.
 * Else the search could not begin. Without plog_setup.learned: at once, as plog_damage_search(). */
enum err plog_damage_seek(struct plog *log, int64_t offset);

#endif
