/* SPDX-License-Identifier: Apache-2.0 */
/* Looks into controllers and brokers from outside, at short intervals of virtual time, and writes down what
 * the judge wants to know: leaders of terms and epochs, in-sync sets, images, watermarks. Never changes
 * anything. */
#ifndef SLUICE_SIM_OBSERVE_H
#define SLUICE_SIM_OBSERVE_H

#include "common/base/types.h"
#include "tests/sim/cluster.h"

struct observer {
    struct cluster *cluster;
    struct world_event tick;
    uint64_t image_seen[CLUSTER_NODES_MAX]; /* index of the last image written down, by node */
    uint64_t term_seen[CLUSTER_NODES_MAX];
    uint64_t entry_seen[CLUSTER_NODES_MAX]; /* of the quorum's log: the last that it had applied */
    uint64_t newest_index;                  /* of any image */
    struct seen_partition {
        int32_t epoch, leader_epoch, isr_count;
        uint64_t complete; /* in sync or eligible */
        uint64_t replicas;
    } partitions[CLUSTER_LOOKED_AT][CLUSTER_PARTITIONS_MAX];
    struct sampled {
        int32_t epoch; /* plus 1; 0: none yet */
        int64_t log_start, high_watermark, last_stable;
    } sampled[CLUSTER_BROKERS_MAX][CLUSTER_LOOKED_AT][CLUSTER_PARTITIONS_MAX]; /* as last written down */
    /* How often the replica was moved away, and its log with it. */
    uint32_t moved[CLUSTER_BROKERS_MAX][CLUSTER_LOOKED_AT][CLUSTER_PARTITIONS_MAX];
    uint64_t fenced;
    uint32_t calls;
};

/* Looks from now on, until the end. */
void observer_start(struct observer *observer, struct cluster *cluster);
void observer_end(struct observer *observer);

/* Writes a line for every replica to the trace. */
void observer_trace(struct observer *observer);

/* Every broker runs, has registered since it started and is not fenced: the metadata speak of its disk, not
 * of one that was replaced. If not, why gets a line. */
bool cluster_is_registered(struct cluster *cluster, char *why, size_t size);

/* Every partition of the plan exists, has a leader, and all its replicas in sync, as the active controller
 * sees it; all of them are sound; every broker is registered. If not, why gets a line. */
bool cluster_is_whole(struct cluster *cluster, char *why, size_t size);

/* No broker's manifest is given up or behind, no replica is offline, in doubt, or known to be damaged. */
bool cluster_is_sound(struct cluster *cluster, char *why, size_t size);

/* Every partition of every topic has a leader and all its replicas in sync, as the newest controller image
 * says. */
bool cluster_is_in_sync(struct cluster *cluster);

/* The directory id that the broker has registered with, as the active controller says; zeros: it does not
 * know the broker, or there is no such controller (others may know an older disk only). */
struct uuid cluster_disk(struct cluster *cluster, const struct node *broker);

/* Where the log of the partition's leader ends, committed or not; -1: nobody leads now. After an election a
 * high watermark may be behind what was committed before, until the in-sync replicas have fetched (and while
 * they are fewer than min.insync.replicas it stays there): a reader at the high watermark has not read all
 * that was acknowledged before it is here. */
int64_t cluster_log_end(struct cluster *cluster, const char *topic, int partition);

/* The high watermark of that leader; -1: nobody leads now. */
int64_t cluster_high_watermark(struct cluster *cluster, const char *topic, int partition);

/* Reads the registers of the history (settings, which spare topics exist) from the newest controller image:
 * after everything has come to rest. */
void observe_registers(struct cluster *cluster);

/* A partition as the newest controller image says: bit sets of (node id - CLUSTER_BROKER_BASE), the leader's
 * id or -1. */
struct cluster_part {
    bool known;
    int leader, isr_count;
    uint64_t isr, replicas;
};
void cluster_look(struct cluster *cluster, int topic, int partition, struct cluster_part *ret_part);

/* Sets bits (node id - 101) of the brokers that hold a replica, as the newest controller image says. */
uint64_t cluster_replicas(struct cluster *cluster, int topic, int partition);

#endif
