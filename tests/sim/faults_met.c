/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a fault bites: counters of the world that only this fault can move. */
#include "tests/sim/faults.h"

static const struct world_link_bites *bites_of(const struct active_fault *fault, const struct node *from,
                                               const struct node *to)
{
    return world_link_bites(fault->faults->cluster->world, from->process, to->process);
}

/* -- of the ways between hosts -- */

static uint64_t met_by_isolation(const struct active_fault *fault)
{
    uint64_t met = 0;
    struct cluster *cluster = fault->faults->cluster;
    for (int i = 0; i < cluster->node_count; i++) {
        const struct node *other = &cluster->nodes[i];
        if (other != fault->a && (fault->sides & 1ull << other->role))
            met += bites_of(fault, fault->a, other)->cut + bites_of(fault, other, fault->a)->cut;
    }
    return met;
}

static uint64_t met_by_split(const struct active_fault *fault)
{
    uint64_t met = 0;
    struct cluster *cluster = fault->faults->cluster;
    for (int i = 0; i < cluster->node_count; i++) {
        for (int k = 0; k < cluster->node_count; k++) {
            const struct node *a = &cluster->nodes[i], *b = &cluster->nodes[k];
            bool apart = ((fault->sides >> i ^ fault->sides >> k) & 1) != 0;
            if (a != b && apart && a != fault->a && b != fault->a)
                met += bites_of(fault, a, b)->cut;
        }
    }
    return met;
}

static uint64_t met_by_roll(const struct active_fault *fault)
{
    uint64_t met = 0;
    struct cluster *cluster = fault->faults->cluster;
    for (int i = 0; i < cluster->options.brokers; i++)
        met += cluster_node(cluster, ROLE_BROKER, i)->graceful_stops;
    return met;
}

enum disk_act fault_act(enum fault_kind kind)
{
    return kind == FAULT_SYNC_ERROR ? DISK_SYNC : kind == FAULT_WRITE_ERROR ? DISK_WRITE : DISK_READ;
}

uint64_t fault_met(const struct active_fault *fault)
{
    switch (fault->kind) {
    case FAULT_CUT:
        return bites_of(fault, fault->a, fault->b)->cut + bites_of(fault, fault->b, fault->a)->cut;
    case FAULT_CUT_ONE_WAY: return bites_of(fault, fault->a, fault->b)->cut;
    case FAULT_CLOG: return bites_of(fault, fault->a, fault->b)->clogged;
    case FAULT_SLOW_LINK: return bites_of(fault, fault->a, fault->b)->slowed;
    case FAULT_ISOLATE: return met_by_isolation(fault);
    case FAULT_SPLIT:
    case FAULT_BRIDGE: return met_by_split(fault);
    case FAULT_DIE_AT_BROKER:
    case FAULT_DIE_AT_CONTROLLER: return disk_bites(fault->a->process)->deaths;
    case FAULT_STOP: return fault->a->graceful_stops;
    case FAULT_ROLL: return met_by_roll(fault);
    case FAULT_WALL_JUMP:
    case FAULT_WALL_FREEZE: return process_wall_looks(fault->a->process);
    case FAULT_STALL: return disk_bites(fault->a->process)->stalled;
    case FAULT_SLOW_DISK: return disk_bites(fault->a->process)->slowed;
    case FAULT_SYNC_ERROR:
    case FAULT_WRITE_ERROR:
    case FAULT_READ_ERROR: return disk_failures(fault->a->process, fault_act(fault->kind));
    case FAULT_DISK_FULL: return disk_refusals(fault->a->process);
    default: return 0; /* the others bite at once, or are not placed */
    }
}
