/* SPDX-License-Identifier: Apache-2.0 */
/* Replica fetchers of one shard: for each broker that leads partitions which this shard follows, one
 * connection to its replication listener, over which Kafka's Fetch is repeated without end. At most two
 * fetches are in flight on it: one that may wait at the leader, and one that follows it to report a newer
 * durable offset (the leader answers the older one at once; DESIGN, Followers).
 */
#ifndef SLUICE_BROKER_SHARD_FETCHER_H
#define SLUICE_BROKER_SHARD_FETCHER_H

#include "broker/shard/shard.h"

struct replica_fetchers;

/* NULL when memory is out. */
struct replica_fetchers *fetchers_new(struct shard *shard);

/* Closes the connections; partitions must have been removed. Frees itself when the env has called back, and
 * sets shard->fetchers to NULL. */
void fetchers_close(struct replica_fetchers *fetchers);

/* A partition of this shard exists from now on; it is fetched for whenever it follows. */
void fetchers_add(struct replica_fetchers *fetchers, struct partition *p);
void fetchers_remove(struct replica_fetchers *fetchers, struct partition *p);

/* Its role, leader or epoch may have changed. */
void fetchers_changed(struct replica_fetchers *fetchers, struct partition *p);

/* The shard has a new image: addresses of leaders may have changed. */
void fetchers_image_changed(struct replica_fetchers *fetchers);

#endif
