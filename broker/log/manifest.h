/* SPDX-License-Identifier: Apache-2.0 */
/* The journal of a data directory (DESIGN, Data): which partition replicas it holds, and for each its
 * recovery point, high watermark and log start. One append-only, checksummed file (common/log/segfile) that
 * is rewritten when it has grown; nothing is rewritten periodically. A lost or damaged one costs time (logs
 * are scanned from the start), not data.
 *
 * Owned by one loop, which writes the file; manifest_get/put/remove may be called from any thread. Updates
 * are in the page cache after the owner's next turn; a moved log start, a lowered recovery point and a
 * removal are also synced.
 */
#ifndef SLUICE_BROKER_LOG_MANIFEST_H
#define SLUICE_BROKER_LOG_MANIFEST_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/types.h"
#include "common/env/env.h"

#define MANIFEST_NAME "manifest"

struct manifest;

struct manifest_entry {
    struct uuid topic_id;
    int32_t index;
    int64_t recovery_point; /* everything below was synced */
    int64_t high_watermark;
    int64_t log_start;
    int64_t cleaned_to; /* compacted below (plog_compact.h) */
    bool gaps;          /* offsets may be missing between batches: the topic was compacted once */
    bool clean;         /* closed cleanly at recovery_point and not opened since */
    bool distrust;      /* a write or sync failed: nothing above recovery_point is to be believed */
    bool power_lost;    /* the machine lost its page cache, and the log was not opened since */
};

struct manifest_report {
    bool created;     /* there was none */
    bool damaged;     /* bad bytes: set aside as manifest.damaged-..., what could be read is used */
    bool clean_stop;  /* the last run ended with manifest_close(clean) */
    bool same_boot;   /* the last run was under this boot of the machine: its page cache survived */
    bool points_lost; /* recovery points are missing since a damage or loss that the controllers were not told
                         of yet: what was synced once is not known */
    uint32_t partitions;
};

/* Opens or creates data_dir's manifest on the owner's loop and marks the directory as running (durably).
 * Errors of the disk, ERR_NOMEM, ERR_VERSION. */
enum err manifest_open(struct env *owner, const char *data_dir, struct manifest **ret_manifest,
                       struct manifest_report *ret_report);

/* The same; was_there: the directory has been in use. Where there is no manifest all the same it was lost,
 * and with it the recovery points: that is told (created and points_lost) until manifest_trust(). */
enum err manifest_open_again(struct env *owner, const char *data_dir, bool was_there,
                             struct manifest **ret_manifest, struct manifest_report *ret_report);

/* The controllers have registered this run as what it is, unclean perhaps: from now on the directory counts
 * as running under this boot. Until then a run whose predecessor ended in doubt (neither a clean stop nor the
 * same boot) leaves that doubt to its successor: an unclean start that dies before it was heard must not be
 * followed by a clean one. Blocks for one small sync. Owner's loop. */
void manifest_trust(struct manifest *manifest);

/* Writes what is pending, with clean = true also the mark of a clean stop (not while the former run's end is
 * in doubt), blocks until durable, and frees. On the owner's loop, when no other thread uses it any more. The
 * error is that of the writing; the manifest is gone anyway. */
enum err manifest_close(struct manifest *manifest, bool clean);

/* Any thread. False: not known. */
bool manifest_get(struct manifest *manifest, struct uuid topic_id, int32_t index,
                  struct manifest_entry *ret_entry);

/* Any thread. Adds or replaces; written soon. Out of memory: the update is lost, which costs scanning time.
 */
void manifest_put(struct manifest *manifest, const struct manifest_entry *entry);

/* Any thread. What has been put so far, for manifest_reached(): whether every log start and every lowered
 * recovery point among it is durable. */
uint64_t manifest_mark(struct manifest *manifest);
bool manifest_reached(struct manifest *manifest, uint64_t mark);

/* Any thread. */
void manifest_remove(struct manifest *manifest, struct uuid topic_id, int32_t index);

/* Entries now. */
uint32_t manifest_count(struct manifest *manifest);

/* changed(ctx, err) is called on the owner's loop when the file fails (err), and when a new one has taken its
 * place (OK). May be called from inside manifest_trust() and manifest_close(). */
void manifest_watch(struct manifest *manifest, void (*changed)(void *ctx, enum err err), void *ctx);

/* Why the file is not to be believed, OK: it is. After a failed write or sync it is not written again; what
 * is in memory goes to a new file (with back-off), and OK comes back once that is durable. */
enum err manifest_failed(struct manifest *manifest);

#endif
