/* SPDX-License-Identifier: Apache-2.0 */
/* The transaction core (broker/core/txn.h) on the coordinator runtime. */
#ifndef SLUICE_BROKER_SHARD_TXN_COORDINATOR_H
#define SLUICE_BROKER_SHARD_TXN_COORDINATOR_H

#include "broker/core/txn.h"
#include "broker/shard/coordinator.h"
#include "broker/shard/producer_ids.h"

#define TXN_TOPIC "__transaction_state"

extern const struct coordinator_type txn_coordinator_type;

/* A call on its way. done comes once, on the coordinator's shard, never from inside txn_submit(). */
struct txn_request {
    struct txn_call call;
    struct producer_id_wait id_wait; /* private */
    struct shard *shard;             /* private: the coordinator's, and where it is */
    struct uuid topic_id;
    int32_t index;
    void (*done)(struct txn_request *request);
};

/* On the shard that owns the partition. False: there is no coordinator (yet): call.error says why, done is
 * not called. */
bool txn_submit(struct shard *shard, struct uuid topic_id, int32_t index, struct txn_request *request);

#endif
