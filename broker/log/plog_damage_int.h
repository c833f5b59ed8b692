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
/* walk stands on bad bytes where `expected` should begin; where does the good part of the segment go on? */
enum err plog_damage_measure(struct plog *log, struct plog_walk *walk, int64_t expected, int64_t seg_end,
                             bool recovering, struct plog_damage *ret_damage);

/* Whether a batch that the walk has just passed stands at a wrong offset, where offsets may be missing: it
 * reaches into the next segment (seg_end), or it leaves some out (expected: the next one; -1: not known) and
 * the one behind it begins before it ends. */
bool plog_damage_jumps(const struct plog_walk *walk, const struct batch_header *batch, int64_t expected,
                       int64_t seg_end);
/* Whether the next good batch from position on (where one ends) begins within (expected, after): where
 * offsets may be missing, that is how a base offset shows that says too much. Reads up to that batch. */
enum err plog_damage_within(const struct plog_walk *walk, uint32_t position, int64_t expected, int64_t after,
                            bool *ret_within);

#endif
