/* SPDX-License-Identifier: Apache-2.0 */
/* Repair of damaged ranges: one repairer per shard asks the other replicas of a partition, one after the
 * other, for the bytes that ours lacks, with Kafka's Fetch on their replication listener (replica id -2:
 * reads to the log's end, counts as nobody), and puts the answer into the log (partition_repair.h). A range
 * that nobody has is asked for again later, with a growing pause; until then it answers CORRUPT_MESSAGE. A
 * leader of which such a range is not committed gives its log up instead, if another replica may lead. */
#ifndef SLUICE_BROKER_SHARD_REPAIR_H
#define SLUICE_BROKER_SHARD_REPAIR_H

#include "broker/shard/shard.h"

struct repairer;

/* NULL when memory is out. */
struct repairer *repairer_new(struct shard *shard);

/* Ends the connection; frees itself when it is gone, sets shard->repairer to NULL and looks whether the shard
 * is idle. */
void repairer_close(struct repairer *repairer);

/* p has damaged ranges. No-op when it is known already. */
void repairer_add(struct repairer *repairer, const struct partition *p);

#endif
