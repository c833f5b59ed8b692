/* SPDX-License-Identifier: Apache-2.0 */
/* One batch through compaction: which of its records stay, and the batch that holds them. Offsets, producer
 * and epoch never change; a batch that loses records is built anew with its codec. Rules: Kafka 4.2,
 * Cleaner.cleanInto, MemoryRecords.filterTo, KIP-534. */
#ifndef SLUICE_BROKER_COMPACT_BATCH_H
#define SLUICE_BROKER_COMPACT_BATCH_H

#include "broker/log/offset_map.h"
#include "common/batch/record.h"

struct compact_buffer {
    uint8_t *p;
    size_t len, cap;
};

struct compact_filter {
    const struct offset_map *map;
    struct batch_scratch *scratch;
    int64_t now_ms;
    int64_t delete_retention_ms;
    struct compact_buffer keep;  /* one byte a record */
    struct compact_buffer plain; /* records that stay */
    struct compact_buffer out;   /* the new batch */
};

/* How the batch stands, beside its records. */
struct compact_fate {
    bool discard;    /* none of its records counts: data of an aborted transaction, or the marker of one
                        whose data is gone */
    bool keep_empty; /* its header stays even without records */
};

struct compact_result {
    const uint8_t *p; /* the batch as it stays: the given one, or in filter->out until the next call */
    uint32_t len;     /* 0: nothing stays */
    uint32_t records_before, records_after;
    int64_t horizon_ms; /* from when tombstones in it may go, -1: none */
};

/* batch: whole, checksum verified. Errors of reading it (as batch_iter_next), ERR_NOMEM. */
enum err compact_batch(struct compact_filter *filter, const uint8_t *batch, struct compact_fate fate,
                       struct compact_result *ret);

/* Frees the buffers, not map and scratch. */
void compact_filter_free(struct compact_filter *filter);

/* When tombstones of the batch may go, -1: not decided yet. */
int64_t batch_delete_horizon(const uint8_t *batch);

/* Makes room for n more bytes. ERR_NOMEM. */
enum err compact_reserve(struct compact_buffer *b, size_t n);

#endif
