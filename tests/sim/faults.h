/* SPDX-License-Identifier: Apache-2.0 */
/* The hand that hurts: injects the plan's faults at random times, heals them, and counts those that bit. */
#ifndef SLUICE_SIM_FAULTS_H
#define SLUICE_SIM_FAULTS_H

#include "common/base/types.h"
#include "tests/sim/plan.h"

#define FAULTS_ACTIVE_MAX 64

/* A fault that stands until it is healed; it has bitten when it met somebody meanwhile (fault_met()). */
struct active_fault {
    struct world_event heal;
    struct faults *faults;
    enum fault_kind kind;
    uint64_t before; /* fault_met() when it began */
    struct node *a, *b;
    uint64_t sides;  /* of a split: bit by node; of an isolation: bit by role */
    int step, waits; /* of a rolling restart */
    bool used;
};

struct faults {
    struct cluster *cluster;
    const struct plan *plan;
    struct prng prng;
    struct world_event next, retry;
    struct active_fault active[FAULTS_ACTIVE_MAX];
    uint64_t asked[FAULT_COUNT], bitten[FAULT_COUNT];
    uint64_t owed[FAULT_COUNT];      /* met nobody, and nobody can be hurt so now */
    struct node *flipped, *replaced; /* the broker whose disk rots; the last that got a new one */
    struct uuid replaced_disk;       /* its directory id before */
    bool over;
    bool again; /* something is repeated that met nobody */
};

/* Starts injecting, from after_us on. */
void faults_start(struct faults *faults, struct cluster *cluster, const struct plan *plan, uint64_t after_us);

/* No new ones; what was asked for may still find somebody. */
void faults_stop(struct faults *faults);

/* Traces what has not bitten yet. */
void faults_trace(struct faults *faults);

/* All that was asked for has bitten. */
bool faults_have_bitten(const struct faults *faults);

/* How often what stands in a's (and b's) way has met somebody so far: rises, and belongs to nobody else. */
uint64_t fault_met(const struct active_fault *fault);

/* What of the disk fails at such an error. */
enum disk_act fault_act(enum fault_kind kind);

/* Ends injecting and heals everything: network, disks, clocks' jumps excepted; what is down comes back. */
void faults_end(struct faults *faults);

/* Faults that were asked for, and those that bit. */
uint64_t faults_asked(const struct faults *faults);
uint64_t faults_bitten(const struct faults *faults);

#endif
