/* SPDX-License-Identifier: Apache-2.0 */
/* Replication throttles (KIP-73): bytes per second of those replicas that a topic names, of all shards
 * together. leader.replication.throttled.rate holds back what leaders here send to followers that are not in
 * sync, follower.replication.throttled.rate what followers here fetch. Without a rate nothing is looked at.
 */
#ifndef SLUICE_BROKER_SHARD_THROTTLE_H
#define SLUICE_BROKER_SHARD_THROTTLE_H

#include <stdatomic.h>

#include "common/base/types.h"

struct image;
struct image_topic;

#define THROTTLE_LEADER_REPLICAS   "leader.replication.throttled.replicas"
#define THROTTLE_FOLLOWER_REPLICAS "follower.replication.throttled.replicas"

struct throttle {
    _Atomic int64_t rate;     /* bytes per second; 0: none */
    _Atomic uint64_t free_us; /* until then (env_now_us) what went before is being paid for */
};

/* Reads both rates of this broker from the metadata (its own setting, else that of all brokers). */
void throttles_configure(struct throttle *in, struct throttle *out, const struct image *image,
                         int32_t broker_id);

/* When the next bytes may go, 0: now. */
uint64_t throttle_wait_until(const struct throttle *t, uint64_t now_us);

/* Bytes went. A burst is paid for afterwards, so that the rate holds on average. */
void throttle_charge(struct throttle *t, uint64_t now_us, int64_t bytes);

/* Whether the topic's setting `key` (one of the above) names this partition at broker_id, and the follower is
 * not in sync: those that are never wait. topic may be NULL. */
bool throttle_holds(const struct image *image, const struct image_topic *topic, const char *key,
                    int32_t partition, int32_t broker_id, int32_t follower_id);

/* Whether the text of such a setting names it: "partition:broker,..." or "*". */
bool throttle_list_has(struct str list, int32_t partition, int32_t broker_id);

#endif
