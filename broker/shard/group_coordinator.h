/* SPDX-License-Identifier: Apache-2.0 */
/* The group core (broker/core/group.h) on the coordinator runtime. */
#ifndef SLUICE_BROKER_SHARD_GROUP_COORDINATOR_H
#define SLUICE_BROKER_SHARD_GROUP_COORDINATOR_H

#include "broker/core/group.h"
#include "broker/shard/coordinator.h"

#define GROUP_TOPIC "__consumer_offsets"

extern const struct coordinator_type group_coordinator_type;

/* Every committed offset of the coordinator's groups, when it is loaded. */
void group_each_position(struct coordinator *c,
                         void (*each)(void *ctx, const struct group_position *position), void *ctx);

/* A call on its way. done comes once, on the coordinator's shard, never from inside group_submit(). */
struct group_request {
    struct group_call call;
    void (*done)(struct group_request *request);
};

/* On the shard that owns the partition. False: there is no coordinator (yet): call.error says why, done is
 * not called. */
bool group_submit(struct coordinator *c, struct group_request *request);

#endif
