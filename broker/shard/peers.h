/* SPDX-License-Identifier: Apache-2.0 */
/* Questions of one shard to other brokers (or to this one, over the same way) in Kafka's protocol, on their
 * replication listeners: one connection per broker, opened when it is needed, questions pipelined on it.
 * Nothing is repeated here: a broken connection answers what was asked with a failure, and whoever asked
 * decides.
 */
#ifndef SLUICE_BROKER_SHARD_PEERS_H
#define SLUICE_BROKER_SHARD_PEERS_H

#include "broker/shard/shard.h"
#include "common/base/wire.h"

struct broker_peers;

/* One question. The caller's memory until done. */
struct peer_call {
    struct list link; /* private */
    int32_t broker_id, correlation_id;
    int16_t api_key, api_version;
    uint64_t deadline_us; /* private */
    /* Writes the request's body. */
    void (*encode)(struct peer_call *call, struct writer *w);
    /* body: the reply behind its header, valid during the call; NULL: nobody answered. Never from inside
     * broker_peers_call(). Once. */
    void (*done)(struct peer_call *call, struct reader *body);
};

/* NULL when memory is out. */
struct broker_peers *broker_peers_new(struct shard *shard);

/* Closes the connections; what is under way fails. Frees itself when the env has called back, and sets
 * shard->peers to NULL. */
void broker_peers_close(struct broker_peers *peers);

/* Sends a question, at the end of the turn. */
void broker_peers_call(struct broker_peers *peers, struct peer_call *call);

#endif
