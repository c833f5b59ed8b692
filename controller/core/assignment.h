/* SPDX-License-Identifier: Apache-2.0 */
/* Replicas of new partitions: placed automatically or named in the request. Shared by CreateTopics and
 * CreatePartitions. */
#ifndef SLUICE_CONTROLLER_CORE_ASSIGNMENT_H
#define SLUICE_CONTROLLER_CORE_ASSIGNMENT_H

#include "controller/core/config_change.h"
#include "controller/core/placement.h"

/* The active brokers and their loads, read once for a request. */
struct assigner {
    struct command *command;
    struct placement_broker *brokers;
    int32_t brokers_count;
    bool ready;
};

/* Chooses replicas for `partitions` new partitions of a topic (NULL: a new one): *ret_ids gets partitions *
 * replication_factor ids of the command's life. INVALID_REPLICATION_FACTOR when there are too few active
 * brokers. */
struct problem assign_automatically(struct assigner *assigner, const struct image_topic *topic,
                                    int32_t partitions, int32_t replication_factor, int32_t **ret_ids);

/* Checks the replicas that a request names for a partition. replication_factor: that of the others, 0 for the
 * first. */
struct problem assignment_check(struct command *command, int64_t partition, const int32_t *ids, int32_t count,
                                int32_t replication_factor);

/* Plans a new partition: the active replicas are in sync, the first of them leads. At least one is active. */
void plan_new_partition(struct plan *plan, struct uuid topic_id, int32_t index, int32_t *ids, int32_t count);

#endif
