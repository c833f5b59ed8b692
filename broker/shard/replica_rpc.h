/* SPDX-License-Identifier: Apache-2.0 */
/* AlterPartition on its way: from a partition, over the control loop, to the active controller and back. */
#ifndef SLUICE_BROKER_SHARD_REPLICA_RPC_H
#define SLUICE_BROKER_SHARD_REPLICA_RPC_H

#include "broker/shard/shard.h"

/* partition_host.alter_partition: copies the request, calls the controller, and answers with
 * partition_alter_done(), also when memory is out or the controllers are away (then REQUEST_TIMED_OUT). The
 * partition may be gone by then: it is looked up anew. */
void shard_alter_partition(void *ctx, struct partition *p, const struct rpc_alter_partition *request);

#endif
