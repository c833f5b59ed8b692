/* SPDX-License-Identifier: Apache-2.0 */
/* What leaders have counted on, against what the disks hold. A high watermark that has passed an offset says
 * that every in-sync replica holds it for good. So whenever a broker dies, however, its disk is read as its
 * next life will find it, and what is there is written down beside what leaders had counted on by then.
 * While it lives, its log must not end below that either. */
#ifndef SLUICE_SIM_COUNTED_H
#define SLUICE_SIM_COUNTED_H

#include "tests/sim/cluster.h"

#define COUNTED_DOUBT_US 10000000u /* a broker that is not fenced has told by then that it doubts */

/* What the newest metadata say of a partition. */
struct counted_known {
    bool said;              /* they know it */
    uint32_t replicas, isr; /* bits of brokers, by their place */
};

struct counted {
    struct cluster *cluster;
    struct world_event tick;
    /* By broker, topic, partition. ends: the highest high watermark of a leader that had the broker in its
     * in-sync set (-1: there was none); it never goes back, for what is committed is never cut. open: where
     * the replica's log ends at this look; -1: it is not open. */
    int64_t ends[CLUSTER_BROKERS_MAX][CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX];
    /* The highest log start that the replica had: below it anything may be missing. */
    int64_t starts[CLUSTER_BROKERS_MAX][CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX];
    int32_t epochs[CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX]; /* of the newest leader */
    /* The highest log start that a leader had. */
    int64_t leader_starts[CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX];
    bool lost[CLUSTER_BROKERS_MAX][CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX]; /* see counted_lost() */
    uint64_t doubted_us[CLUSTER_BROKERS_MAX][CLUSTER_TOPICS_MAX]
                       [CLUSTER_PARTITIONS_MAX]; /* and unfenced since */
    int64_t open[CLUSTER_BROKERS_MAX][CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX];
    uint64_t index; /* of the newest metadata that anybody has applied so far */
    struct counted_known known[CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX];
};

/* Looks at leaders from time to time, from now on; never changes anything. NULL when memory is out. */
struct counted *counted_new(struct cluster *cluster);
void counted_free(struct counted *counted); /* NULL is fine */

/* Looks now: something is about to die. NULL is fine, here and in the next. */
void counted_look(struct counted *counted);

/* A node has died: a broker's logs are read and written down. */
void counted_died(struct counted *counted, struct node *node);

/* The broker's disk is gone: it owes nothing until a leader has had it out of its in-sync set. */
void counted_lost(struct counted *counted, struct node *node);

/* Where the replica's log may begin: where a leader's began once, if the replica has heard of it. A leader
 * that came later may begin before that (DeleteRecords and retention reach the others with their next fetch).
 */
int64_t counted_start(const struct counted *counted, int broker, int topic, int partition);

bool counted_any_lost(const struct counted *counted); /* such a broker is still in some in-sync set */

#endif
