/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of plog: damaged ranges (plog_damage.h). Included by plog_internal.h. */
#ifndef SLUICE_BROKER_LOG_PLOG_DAMAGE_INT_H
#define SLUICE_BROKER_LOG_PLOG_DAMAGE_INT_H

#include "broker/log/plog_damage.h"
#include "common/logwalk/walk.h"

struct plog_segment;

#define PLOG_MEND_SUFFIX ".log.mend" /* a segment being rewritten; removed when met at opening */
/* Adds a range; one that covers known ones, or a part of them, becomes one with them. ERR_NOMEM. */
enum err plog_damage_add(struct plog *log, const struct plog_damage *damage);
/* plog_damages(), and those below the log start, whose bytes readers have to step over while their segment is
 * there. */
int32_t plog_damages_all(const struct plog *log, const struct plog_damage **ret_list);
/* Forgets ranges outside [start, end). */
void plog_damage_keep(struct plog *log, int64_t start, int64_t end);
/* Behind the bad bytes that position lies in; else position. */
uint32_t plog_damage_hop(const struct plog *log, int64_t segment, uint32_t position);
/* position, or behind the bad bytes in front of offset when that is further on. */
uint32_t plog_damage_pass(const struct plog *log, const struct plog_segment *seg, int64_t offset,
                          uint32_t position);
/* Whether the segment holds a damaged range. */
bool plog_damage_in(const struct plog *log, const struct plog_segment *seg);
/* The walk stands on bad bytes where `expected` should begin: they become a range (if any offset is missing),
 * and the walk goes on behind them. */
enum err plog_damage_step(struct plog *log, struct plog_segment *seg, struct plog_walk *walk,
                          int64_t expected);
/* walk stands on bad bytes where `expected` should begin; where does the good part of the segment go on?
 * point: while the log is recovered its recovery point (INT64_MAX: the epochs ahead may not be known); else
 * -1. */
enum err plog_damage_measure(struct plog *log, struct plog_walk *walk, int64_t expected, int64_t seg_end,
                             int64_t point, struct plog_damage *ret_damage);

/* A walk in which each batch must stand where the one before it ended. */
struct plog_line {
    int64_t expected;  /* offset of the next batch; -1: not known */
    uint32_t position; /* of the batch that was met last */
    uint32_t good;     /* batches passed */
    bool inside;       /* it began at an index entry, not with the segment */
};

/* plog_walk_next(), but what is bad, or out of line, becomes a damaged range and is stepped over.
 * ERR_OUT_OF_RANGE: something is, and where it begins is not known (only the batch at the index entry tells,
 * which may be what is wrong): walk from the segment's beginning. */
enum err plog_damage_walk(struct plog *log, struct plog_segment *seg, struct plog_walk *walk,
                          struct plog_line *line, struct batch_header *ret_batch);

/* Whether a batch that the walk has just passed stands at a wrong offset, where offsets may be missing: it
 * reaches into the next segment (seg_end), or it leaves some out (expected: the next one; -1: not known) and
 * the one behind it begins before it ends. */
bool plog_damage_jumps(const struct plog_walk *walk, const struct batch_header *batch, int64_t expected,
                       int64_t seg_end);
/* Whether a batch that the walk has just passed stands where one may: where `expected` (-1: anything) or the
 * known damage there ends, or behind that where offsets may be missing; and it does not jump. */
bool plog_damage_in_line(const struct plog *log, const struct plog_walk *walk,
                         const struct batch_header *batch, int64_t expected, int64_t seg_end);
/* The offset that follows the bytes in front of position, where no batch of this segment says it: of what is
 * known to be damaged there, or (false, unless the segment ends there) of the next segment. */
bool plog_damage_behind(const struct plog *log, const struct plog_segment *seg, uint32_t position,
                        int64_t *ret_next);
/* Whether the next good batch from position on (where one ends) begins within (expected, after): where
 * offsets may be missing, that is how a base offset shows that says too much. Reads up to that batch. */
enum err plog_damage_within(const struct plog_walk *walk, uint32_t position, int64_t expected, int64_t after,
                            bool *ret_within);

#endif
