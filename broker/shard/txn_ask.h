/* SPDX-License-Identifier: Apache-2.0 */
/* Before a transaction begins on a partition, its leader asks the transaction's coordinator (KIP-890): is the
 * partition part of it (clients of version 1, who have said so), or makes it part (version 2). What is asked
 * in one turn of a coordinator's broker travels in one AddPartitionsToTxn. */
#ifndef SLUICE_BROKER_SHARD_TXN_ASK_H
#define SLUICE_BROKER_SHARD_TXN_ASK_H

#include "broker/shard/partition.h"
#include "broker/shard/shard.h"

struct txn_asks;

/* The caller's memory until done, strings too. */
struct txn_ask {
    struct list link; /* private */
    struct list same; /* private: asks for the same producer and partition, in the order they came */
    struct str transactional_id, topic;
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t index;
    bool add; /* version 2 */
    struct partition_txn_guard guard;
    int32_t broker_id; /* private */
    int16_t error;     /* private */
    /* error: KAFKA_NONE, or as Produce answers it. Never from inside txn_ask_start(). */
    void (*done)(struct txn_ask *ask, int16_t error);
};

/* NULL when memory is out. */
struct txn_asks *txn_asks_new(struct shard *shard);
void txn_asks_close(struct txn_asks *asks); /* what is asked from now on fails */
/* Nothing is asked any more. */
void txn_asks_free(struct txn_asks *asks);

/* True: a question for this producer and partition is under way; asking too keeps the order. */
bool txn_ask_pending(const struct txn_asks *asks, struct str topic, int32_t index, int64_t producer_id);

/* Asks. */
void txn_ask_start(struct txn_asks *asks, struct txn_ask *ask);

#endif
