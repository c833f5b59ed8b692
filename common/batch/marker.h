/* SPDX-License-Identifier: Apache-2.0 */
/* Transaction markers: control batches of one record that end a producer's transaction on a partition
 * (Kafka's EndTransactionMarker; key: int16 version 0, int16 type; value: int16 version 0, int32 coordinator
 * epoch). */
#ifndef SLUICE_BATCH_MARKER_H
#define SLUICE_BATCH_MARKER_H

#include "common/batch/batch.h"

struct iobuf;
struct iobuf_pool;

enum marker_type { MARKER_ABORT = 0, MARKER_COMMIT = 1 };

struct marker {
    enum marker_type type;
    int32_t coordinator_epoch; /* leader epoch of the coordinator's partition of __transaction_state */
};

#define MARKER_BYTES_MAX 256 /* of a batch that holds one: larger control batches are something else */

/* Reads the marker of a whole batch. ERR_NOT_FOUND: it is none (no control batch, another control record, or
 * one that was emptied by compaction); ERR_MALFORMED. */
int marker_parse(const uint8_t *batch, struct marker *ret_marker);

/* Builds the batch of a marker: offset and leader epoch are assigned by whoever appends it. ERR_NOMEM. */
int marker_build(struct iobuf_pool *pool, int64_t producer_id, int16_t producer_epoch,
                 const struct marker *marker, int64_t now_ms, struct iobuf **ret_batch);

#endif
