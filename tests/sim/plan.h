/* SPDX-License-Identifier: Apache-2.0 */
/* What a seed means: how large the cluster is, what its world is like, which faults it meets and how often.
 */
#ifndef SLUICE_SIM_PLAN_H
#define SLUICE_SIM_PLAN_H

#include "tests/sim/cluster.h"

/* X(NAME, "name"). Each is a way to hurt a running cluster that the contract promises to survive. */
#define FAULT_TABLE(X)                                                                                       \
    X(KILL_BROKER, "kill-broker")                                                                            \
    X(KILL_BROKERS, "kill-brokers")                                                                          \
    X(KILL_CONTROLLER, "kill-controller")                                                                    \
    X(KILL_CLIENT, "kill-client")                                                                            \
    X(POWER_BROKER, "power-broker")                                                                          \
    X(REPLACE_DISK, "replace-disk")                                                                          \
    X(POWER_CONTROLLER, "power-controller")                                                                  \
    X(POWER_ALL, "power-all")                                                                                \
    X(DIE_AT_BROKER, "die-at-change-broker")                                                                 \
    X(DIE_AT_CONTROLLER, "die-at-change-controller")                                                         \
    X(STOP, "stop")                                                                                          \
    X(ROLL, "rolling-restart")                                                                               \
    X(PAUSE, "pause")                                                                                        \
    X(PAUSE_LONG, "pause-past-session")                                                                      \
    X(CUT_ONE_WAY, "cut-one-way")                                                                            \
    X(CUT, "cut")                                                                                            \
    X(ISOLATE, "isolate")                                                                                    \
    X(SPLIT, "split")                                                                                        \
    X(BRIDGE, "bridge")                                                                                      \
    X(CLOG, "clog")                                                                                          \
    X(SLOW_LINK, "slow-link")                                                                                \
    X(RESET, "reset")                                                                                        \
    X(SKEW, "skew")                                                                                          \
    X(WALL_JUMP, "wall-jump")                                                                                \
    X(WALL_FREEZE, "wall-freeze")                                                                            \
    X(STALL, "stall")                                                                                        \
    X(SLOW_DISK, "slow-disk")                                                                                \
    X(SYNC_ERROR, "sync-error")                                                                              \
    X(WRITE_ERROR, "write-error")                                                                            \
    X(READ_ERROR, "read-error")                                                                              \
    X(DISK_FULL, "disk-full")                                                                                \
    X(BIT_FLIP, "bit-flip")

enum fault_kind {
#define X(id, name) FAULT_##id,
    FAULT_TABLE(X)
#undef X
        FAULT_COUNT
};

struct plan {
    uint64_t seed;
    struct world_options world;
    struct cluster_options cluster;
    uint64_t run_us;               /* of faults and load */
    uint64_t fault_interval_us;    /* mean; 0: no faults */
    uint32_t weights[FAULT_COUNT]; /* 0: not in this run */
    uint64_t down_max_us;          /* of what is killed */
};

/* seconds: length of the loaded part. */
struct plan plan_of(uint64_t seed, uint32_t seconds);

/* Whether a broker's machine may lose its power: by itself, or for a repair of its disk. */
bool plan_cuts_power(const struct plan *plan);

/* "kill-broker" and so on; FAULT_COUNT for an unknown name. */
const char *fault_name(enum fault_kind kind);
enum fault_kind fault_by_name(const char *name);

/* A few lines for people. */
void plan_print(const struct plan *plan, FILE *out);

#endif
