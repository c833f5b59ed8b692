/* SPDX-License-Identifier: Apache-2.0 */
/* The hand that hurts: injects the plan's faults at random times, heals them, and counts those that bit. */
#ifndef SLUICE_SIM_FAULTS_H
#define SLUICE_SIM_FAULTS_H

#include "tests/sim/plan.h"

#define FAULTS_ACTIVE_MAX 64

/* A fault that stands until it is healed; it has bitten when a counter of the world has moved meanwhile. */
struct active_fault {
    struct world_event heal;
    struct faults *faults;
    enum fault_kind kind;
    const uint64_t *counter;
    uint64_t before;
    struct node *a, *b;
    uint64_t sides;  /* of a split: bit by node */
    int step, waits; /* of a rolling restart */
    bool used;
};

struct faults {
    struct cluster *cluster;
    const struct plan *plan;
    struct prng prng;
    struct world_event next;
    struct active_fault active[FAULTS_ACTIVE_MAX];
    uint64_t asked[FAULT_COUNT], bitten[FAULT_COUNT];
    struct node *flipped, *replaced; /* the broker whose disk rots; the last that got a new one */
    bool over;
};

/* Starts injecting, from after_us on. */
void faults_start(struct faults *faults, struct cluster *cluster, const struct plan *plan, uint64_t after_us);

/* Ends injecting and heals everything: network, disks, clocks' jumps excepted; what is down comes back. */
void faults_end(struct faults *faults);

/* Faults that were asked for, and those that bit. */
uint64_t faults_asked(const struct faults *faults);
uint64_t faults_bitten(const struct faults *faults);

#endif
