/* SPDX-License-Identifier: Apache-2.0 */
/* Several controllers' consensus in one process and virtual time: lossy links, partitions, crashes that keep,
 * drop or tear unsynced writes, snapshots. Checks whatever happens that all apply one history, nothing
 * committed is lost, and one node leads a term.
 */
#ifndef SLUICE_TESTS_LIB_QUORUM_RIG_H
#define SLUICE_TESTS_LIB_QUORUM_RIG_H

#include "common/base/prng.h"
#include "controller/consensus.h"
#include "tests/lib/mem_env.h"

#define QUORUM_RIG_NODES 6
#define HISTORY_MAX      20000
#define TERMS_MAX        5000
#define STREAM_PAD       300000 /* makes a snapshot of several pieces */

struct cluster;

struct node {
    struct cluster *cluster;
    int32_t id;
    struct mem_env *m;
    struct env *env;
    struct storage *storage;
    struct consensus *consensus;
    bool joins;           /* its settings do not name itself */
    bool up, leads, sick; /* sick: its disk will fail, or has */
    uint64_t applied, hash, gained, lost, dropped, installs, snapshots, acked;
    uint64_t next_token;
    uint64_t source_left, source_applied, source_hash;
    enum err failed;
};

struct cluster {
    struct mem_world *world;
    struct prng prng;
    struct node nodes[QUORUM_RIG_NODES];
    bool cut[QUORUM_RIG_NODES][QUORUM_RIG_NODES];
    uint32_t drop_percent;
    uint64_t history[HISTORY_MAX]; /* hash after each index */
    uint64_t history_last, acked_last;
    int32_t leader_of[TERMS_MAX]; /* by term: id + 1 */
    uint64_t refused, pieces, disk_failures;
    struct mem_disk *nothing;
    int nodes_count, voters_count; /* the first voters_count nodes are the first configuration */
};

/* All nodes run; those past the first `voters` wait to be added. */
struct cluster *rig_cluster_new_of(uint64_t seed, int nodes, int voters);
void rig_cluster_free(struct cluster *k);

/* A process starts on its disk, and meets the others that run. */
void rig_node_start(struct node *n);

/* It dies; its unsynced writes fare as kind says. */
void rig_node_crash(struct node *n, enum mem_crash kind);

/* The node has an empty disk from now on. It must be down. */
void rig_node_wipe(struct node *n);

/* Virtual time passes. */
void rig_run(struct cluster *k, uint64_t us);

/* The leader of the newest term that is up, or NULL; conditions for mem_world_run_until(). */
struct node *rig_leader_of(struct cluster *k);
bool rig_has_leader(void *cluster);
bool rig_all_equal(void *cluster); /* every member (as the leader sees it) has applied everything */

/* The member as that node's newest configuration has it, NULL when it has none. */
const struct consensus_member *rig_member(struct node *viewer, int32_t node_id);

/* Proposes one entry of len bytes (at most 512). */
enum err rig_submit(struct node *n, uint32_t len);

/* Begins a snapshot of several pieces. */
enum err rig_take_snapshot(struct node *n);

#endif
