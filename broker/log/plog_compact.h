/* SPDX-License-Identifier: Apache-2.0 */
/* Compaction of one log: the newest value of each key stays (Kafka's Cleaner). Closed segments below a bound
 * are read and written anew on worker threads, in small steps, and swapped in on the log's loop.
 *
 * Crash-safe with Kafka's names: a new segment is written as `.cleaned` and synced; renamed to `.swap`, and
 * that made durable: from here on recovery finishes the swap. Then the old segments' names go, durably, and
 * `.swap` becomes `.log`. Anything that cuts the log first stops a compaction, or finishes its swap.
 */
#ifndef SLUICE_BROKER_PLOG_COMPACT_H
#define SLUICE_BROKER_PLOG_COMPACT_H

#include "broker/log/plog.h"

/* What decides how much is to be gained. */
struct plog_dirt {
    int64_t first_dirty;  /* offsets below it were compacted */
    int64_t end;          /* closed, committed, synced and old enough segments end here */
    uint64_t clean_bytes; /* of segments below first_dirty */
    uint64_t dirty_bytes; /* between first_dirty and end */
    int64_t oldest_ms;    /* time of the first dirty segment, INT64_MAX: none is dirty */
    int64_t lag_due_ms;   /* when min.compaction.lag.ms lets the next segment in, INT64_MAX: not it */
    bool waits;           /* a closed segment is not committed or synced yet */
};

/* Looks at what may be compacted now. bound: high watermark and last stable offset. ERR_BUSY: a
 * segment is looked at aside first (plog_setup.learned). Errors of the disk. */
enum err plog_dirt(struct plog *log, int64_t bound, int64_t min_lag_ms, struct plog_dirt *ret);

struct plog_compact_rules {
    int64_t end; /* plog_dirt.end */
    int64_t delete_retention_ms;
    uint64_t map_bytes;        /* memory for keys */
    uint64_t bytes_per_second; /* read and written together */
    uint64_t batch_bytes_max;  /* of one batch, decompressed */
};

struct plog_compacted {
    enum err err;       /* ERR_CANCELED: the log was cut meanwhile, or closes */
    int64_t cleaned_to; /* plog_cleaned_to now */
    uint64_t bytes_read, bytes_written, records_before, records_after, keys;
    uint32_t segments_before, segments_after;
};

/* Starts; done(ctx, result) follows once, later, on the log's loop, unless the log is closed or deleted
 * first. ERR_BUSY: one runs; ERR_INVALID: nothing below end; ERR_NOMEM. */
enum err plog_compact(struct plog *log, const struct plog_compact_rules *rules,
                      void (*done)(void *ctx, const struct plog_compacted *result), void *ctx);

/* Below it every key has its newest value of then; 0: nothing was compacted. For the manifest. */
int64_t plog_cleaned_to(const struct plog *log);

#endif
