/* SPDX-License-Identifier: Apache-2.0 */
/* The compactions of one shard: partitions that want one, the dirtiest first, one at a time (Kafka's
 * LogCleanerManager). The work itself runs on worker threads (broker/log/plog_compact.h). All on the shard's
 * loop. */
#ifndef SLUICE_BROKER_SHARD_CLEANER_H
#define SLUICE_BROKER_SHARD_CLEANER_H

#include "broker/log/plog_compact.h"
#include "common/base/list.h"
#include "common/env/env.h"

struct partition;

struct cleaner {
    struct env *env;
    uint64_t map_bytes;        /* log.cleaner.dedupe.buffer.size, this shard's share */
    uint64_t bytes_per_second; /* log.cleaner.io.max.bytes.per.second, this shard's share */
    uint64_t backoff_us;       /* log.cleaner.backoff.ms */
    uint64_t batch_bytes_max;  /* of one decompressed batch */
    struct list waiting;       /* of struct partition_cleaning, private to partition */
    struct partition *running;
    struct env_task start;
    /* A compaction ended; may be NULL. */
    void (*ended)(void *ctx, struct partition *p, const struct plog_compacted *result);
    void *ctx;
};

/* The caller has filled in everything but waiting, running and start. */
void cleaner_init(struct cleaner *cleaner);

/* No more compactions begin. */
void cleaner_stop(struct cleaner *cleaner);

#endif
