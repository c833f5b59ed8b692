/* SPDX-License-Identifier: Apache-2.0 */
/* What leaders have counted on, against what the disks hold. A high watermark that has passed an offset says
 * that every in-sync replica holds it for good. So whenever a broker dies, however, its disk is read as its
 * next life will find it, and what is there is written down beside what leaders had counted on by then. */
#ifndef SLUICE_SIM_COUNTED_H
#define SLUICE_SIM_COUNTED_H

#include "tests/sim/cluster.h"

struct counted {
    struct cluster *cluster;
    struct world_event tick;
    /* by broker, topic, partition: the highest high watermark of a leader that had the broker in its in-sync
     * set. It never goes back: what is committed is never cut. */
    int64_t ends[CLUSTER_BROKERS_MAX][CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX];
};

/* Looks at leaders from time to time, from now on; never changes anything. NULL when memory is out. */
struct counted *counted_new(struct cluster *cluster);
void counted_free(struct counted *counted); /* NULL is fine */

/* A node has died: a broker's logs are read and written down. */
void counted_died(struct counted *counted, struct node *node);

#endif
