/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of plog: what the rest of it asks of rolling, retention, compaction and the index of aborted
 * transactions. */
#ifndef SLUICE_BROKER_LOG_PLOG_HOOKS_H
#define SLUICE_BROKER_LOG_PLOG_HOOKS_H

#include "broker/log/plog_internal.h"

/* -- plog_retain.c -- */
/* Whether batches that end at `end` begin a new segment. */
bool plog_roll_due(struct plog *log, const uint8_t *batches, uint32_t len, int64_t end);
void plog_segment_began(struct plog *log, struct plog_segment *seg);
/* When the segment began, by its first batch. */
enum err plog_segment_first_time(struct plog *log, struct plog_segment *seg, int64_t *ret_ms);

/* -- plog_compact.c -- */
/* Before the log is cut: the compaction under way is given up, a swap that readers see already is finished.
 */
enum err plog_compact_stop(struct plog *log);
/* The log goes away; recovery finishes or undoes what is left. */
void plog_compact_leave(struct plog *log);

/* -- plog_compact_recover.c -- */
enum err plog_compact_recover(struct plog *log, struct plog_report *report);

/* -- plog_txnindex.c -- */
/* The segment ends at `end` now. */
enum err plog_aborted_truncate(struct plog *log, const struct plog_segment *seg, int64_t end);

#endif
