/* SPDX-License-Identifier: Apache-2.0 */
/* Producer ids of one shard: taken from the controller in blocks (facts §5, ProducerIdsBlock), handed out one
 * by one. */
#ifndef SLUICE_BROKER_SHARD_PRODUCER_IDS_H
#define SLUICE_BROKER_SHARD_PRODUCER_IDS_H

#include "broker/shard/shard.h"

/* Caller's memory until done, which may come from inside producer_id_take() when the block has ids left.
 * error: KAFKA_NONE, COORDINATOR_LOAD_IN_PROGRESS (the controllers do not answer: try again). */
struct producer_id_wait {
    struct list link;
    void (*done)(struct producer_id_wait *wait, int16_t error, int64_t id);
};

/* Gives the next id, from a new block if need be. */
void producer_id_take(struct shard *shard, struct producer_id_wait *wait);

#endif
