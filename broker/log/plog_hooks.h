/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of plog: what the rest of it asks of rolling, retention, compaction and the index of aborted
 * transactions. */
#ifndef SLUICE_BROKER_LOG_PLOG_HOOKS_H
#define SLUICE_BROKER_LOG_PLOG_HOOKS_H

#include "broker/log/plog_internal.h"

/* -- plog_retain.c -- */
/* Whether batches that end at `end` begin a new segment. */
bool plog_roll_due(struct plog *log, const uint8_t *batches, uint32_t len, int64_t end);
/* The first batch of the segment is appended. */
void plog_segment_first_batch(struct plog *log, struct plog_segment *seg, int64_t max_timestamp);
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
enum err plog_aborted_truncate(struct plog *log, struct plog_segment *seg, int64_t end);
/* At a start that does not follow an orderly end: what stands behind the log's end, or a bad entry, goes,
 * and, where a closed segment was not synced, the snapshots of producers that are newer; so the replay
 * restores what is missing. */
enum err plog_aborted_settle(struct plog *log);
/* Makes a segment's index durable, if it has one; blocks. */
enum err plog_aborted_sync_wait(struct plog *log, struct plog_segment *seg);
/* Adds an entry to a segment's index. A failure is final for the log. */
enum err plog_aborted_add(struct plog *log, struct plog_segment *seg, const struct txn_entry *txn);
/* The same when it is not there (a crash may have lost it), at its place among those that are; or instead of
 * an entry of the same marker that says something else (batches were bad when it was made), unless a damaged
 * range lies within: then the one that is there stays, and readers may at most have to look further. */
enum err plog_aborted_restore(struct plog *log, struct plog_segment *seg, const struct txn_entry *txn);
/* The abort marker at that offset ends nothing: an entry of it goes, unless a damaged range lies within. */
enum err plog_aborted_forget(struct plog *log, struct plog_segment *seg, int64_t marker);
/* What a replay tells meanwhile goes into *remade alone (plog_remake.c). */
void plog_remade_add(struct plog_remade *remade, const struct plog_segment *seg, const struct txn_entry *txn);
/* The file of a segment's index, to be synced; the caller closes it. */
enum err plog_aborted_file(struct plog *log, const struct plog_segment *seg, struct env_file **ret_file);

#endif
