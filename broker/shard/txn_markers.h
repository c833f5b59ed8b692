/* SPDX-License-Identifier: Apache-2.0 */
/* Sends the markers of one transaction coordinator to the leaders of their partitions (WriteTxnMarkers),
 * again and again until each partition has its marker, is gone, or knows a newer coordinator. */
#ifndef SLUICE_BROKER_SHARD_TXN_MARKERS_H
#define SLUICE_BROKER_SHARD_TXN_MARKERS_H

#include "broker/core/txn.h"
#include "broker/shard/shard.h"

struct txn_sender;

/* done: the partition of the transaction named by token needs no marker any more. NULL: memory is out. */
struct txn_sender *txn_sender_new(struct shard *shard, int32_t coordinator_epoch,
                                  void (*done)(void *ctx, uint64_t token, struct str topic, int32_t index),
                                  void *ctx);

/* Stops; what is on its way is not waited for. */
void txn_sender_close(struct txn_sender *sender);

/* Copies what is to be sent. */
void txn_sender_add(struct txn_sender *sender, const struct txn_markers *markers);

#endif
