/* SPDX-License-Identifier: Apache-2.0 */
/* Where the replicas of new partitions go: pure, deterministic. Each partition's replicas lie on different
 * brokers and on as many racks as there are; leaders (the first replicas) are spread evenly, then replicas by
 * count. Brokers without a rack count as one rack of their own. */
#ifndef SLUICE_CONTROLLER_CORE_PLACEMENT_H
#define SLUICE_CONTROLLER_CORE_PLACEMENT_H

#include <stdint.h>

#include "common/base/err.h"
#include "common/base/types.h"

struct placement_broker {
    int32_t id;
    struct str rack;                       /* null: none */
    int64_t leaders, replicas;             /* what it has of all topics; raised by what it is given */
    int64_t topic_leaders, topic_replicas; /* the same of the topic being placed; the caller resets them */
};

/* Writes partitions * replication_factor ids, partition by partition, to ret_replicas. brokers: those that
 * may take replicas; their counts are kept up to date, so that several topics of one request spread too.
 * ERR_INVALID when there are fewer brokers than replicas. */
enum err placement_place(struct placement_broker *brokers, int32_t brokers_count, int32_t partitions,
                         int32_t replication_factor, int32_t *ret_replicas);

#endif
