/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions on a partition. Part of partition.h; include that. */
#ifndef SLUICE_BROKER_SHARD_PARTITION_TXN_H
#define SLUICE_BROKER_SHARD_PARTITION_TXN_H

#include <stdbool.h>
#include <stdint.h>

struct partition;
struct partition_appended;
struct partition_wait;
struct producer_info;

/* What must not have changed between the question to the transaction's coordinator and the append (KIP-890).
 */
struct partition_txn_guard {
    int64_t producer_id, marker_offset;
    int32_t leader_epoch;
};

/* True: the batch (its header must be there) begins a transaction on this partition, so its coordinator is to
 * be asked whether the partition belongs to it; append with *ret_guard then. */
bool partition_txn_begins(struct partition *p, const uint8_t *batch, struct partition_txn_guard *ret_guard);
/* The same for a producer whose batch is still to be made (offsets in a transaction). */
bool partition_txn_begins_for(struct partition *p, int64_t producer_id,
                              struct partition_txn_guard *ret_guard);
/* Nothing has changed since. */
bool partition_txn_holds(struct partition *p, const struct partition_txn_guard *guard);

struct partition_marker {
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t coordinator_epoch;
    bool commit;
    bool bumped; /* transaction protocol version 2 */
};
/* Writes the marker that ends a producer's transaction. wait and ret as for partition_append() with acks=all;
 * errors besides: INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED. */
void partition_append_marker(struct partition *p, const struct partition_marker *marker, int32_t timeout_ms,
                             struct partition_wait *wait, struct partition_appended *ret);

/* What readers of committed data may see: below the high watermark and below every open transaction. */
int64_t partition_last_stable(struct partition *p);

/* Every producer that the partition knows; KAFKA_NONE, or why not. */
int16_t partition_producers(struct partition *p, void (*each)(void *ctx, const struct producer_info *info),
                            void *ctx);

#endif
