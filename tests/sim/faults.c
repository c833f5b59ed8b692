/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/faults.h"

#include "common/base/assert.h"
#include "tests/sim/counted.h"
#include "tests/sim/observe.h"

#define SECOND_US 1000000u

/* -- choosing -- */

static uint64_t below(struct faults *faults, uint64_t bound)
{
    return prng_below(&faults->prng, bound);
}

static struct world *world_of(struct faults *faults)
{
    return faults->cluster->world;
}

static struct node *any_of(struct faults *faults, enum role role)
{
    return cluster_node(faults->cluster, role,
                        (int)below(faults, (uint64_t)cluster_count(faults->cluster, role)));
}

static struct node *any_server(struct faults *faults)
{
    return any_of(faults, below(faults, 5) < 3 ? ROLE_BROKER : ROLE_CONTROLLER);
}

static struct node *any_node(struct faults *faults)
{
    uint64_t dice = below(faults, 8);
    return any_of(faults, dice < 4   ? ROLE_BROKER
                          : dice < 6 ? ROLE_CONTROLLER
                          : dice < 7 ? ROLE_PRODUCER
                                     : ROLE_CONSUMER);
}

static struct node *any_client(struct faults *faults)
{
    uint64_t dice = below(faults, 5);
    bool admin = dice == 4 && faults->cluster->options.admins > 0;
    return any_of(faults, admin ? ROLE_ADMIN : dice % 2 == 0 ? ROLE_PRODUCER : ROLE_CONSUMER);
}

static uint64_t down_us(struct faults *faults)
{
    return 1000 + below(faults, faults->plan->down_max_us);
}

/* How long a fault stands: mostly short, sometimes past a session. */
static uint64_t stands_us(struct faults *faults)
{
    return below(faults, 3) == 0 ? 1 + below(faults, 12 * SECOND_US) : 1 + below(faults, SECOND_US);
}

/* -- faults that stand for a while -- */

static void bite(struct faults *faults, enum fault_kind kind)
{
    faults->bitten[kind]++;
}

static void each_pair(struct active_fault *fault, bool cut)
{
    struct cluster *cluster = fault->faults->cluster;
    for (int i = 0; i < cluster->node_count; i++) {
        for (int k = 0; k < cluster->node_count; k++) {
            struct node *a = &cluster->nodes[i], *b = &cluster->nodes[k];
            bool apart = ((fault->sides >> i ^ fault->sides >> k) & 1) != 0;
            if (a != b && apart && a != fault->a && b != fault->a) /* fault->a: the bridge */
                world_cut(cluster->world, a->process, b->process, cut);
        }
    }
}

static void isolate(struct active_fault *fault, bool cut)
{
    struct cluster *cluster = fault->faults->cluster;
    for (int i = 0; i < cluster->node_count; i++) {
        struct node *other = &cluster->nodes[i];
        if (other == fault->a || !(fault->sides & 1ull << other->role))
            continue;
        world_cut(cluster->world, fault->a->process, other->process, cut);
        world_cut(cluster->world, other->process, fault->a->process, cut);
    }
}

/* A log that met an error is offline until its broker starts again: somebody replaces the cable and reboots.
 */
static void disk_repaired(struct active_fault *fault)
{
    disk_mend(fault->a->process);
    if (*fault->counter > fault->before)
        node_kill(fault->a, DEATH_POWER, down_us(fault->faults));
}

static void heal_now(struct active_fault *fault)
{
    struct faults *faults = fault->faults;
    struct world *world = world_of(faults);
    switch (fault->kind) {
    case FAULT_CUT: world_cut(world, fault->b->process, fault->a->process, false); /* fall through */
    case FAULT_CUT_ONE_WAY: world_cut(world, fault->a->process, fault->b->process, false); break;
    case FAULT_ISOLATE: isolate(fault, false); break;
    case FAULT_SPLIT:
    case FAULT_BRIDGE: each_pair(fault, false); break;
    case FAULT_SLOW_LINK: world_slow(world, fault->a->process, fault->b->process, 0, 0); break;
    case FAULT_SLOW_DISK: disk_slow(fault->a->process, 1); break;
    case FAULT_DISK_FULL:
        disk_set_capacity(fault->a->process, UINT64_MAX);
        disk_repaired(fault);
        break;
    case FAULT_WALL_FREEZE: process_wall_freeze(fault->a->process, false); break;
    case FAULT_SYNC_ERROR:
    case FAULT_WRITE_ERROR:
    case FAULT_READ_ERROR: disk_repaired(fault); break;
    default: break;
    }
    if (fault->counter == NULL || *fault->counter > fault->before)
        bite(faults, fault->kind);
    fault->used = false;
}

static void on_heal(struct world_event *event)
{
    heal_now(CONTAINER_OF(event, struct active_fault, heal));
}

/* counter NULL: it bites by being there. */
static struct active_fault *stand(struct faults *faults, enum fault_kind kind, const uint64_t *counter,
                                  uint64_t for_us)
{
    for (int i = 0; i < FAULTS_ACTIVE_MAX; i++) {
        struct active_fault *fault = &faults->active[i];
        if (fault->used)
            continue;
        *fault = (struct active_fault){.faults = faults,
                                       .kind = kind,
                                       .counter = counter,
                                       .before = counter != NULL ? *counter : 0,
                                       .used = true,
                                       .heal.fn = on_heal};
        world_at(world_of(faults), &fault->heal, world_now_us(world_of(faults)) + for_us);
        return fault;
    }
    return NULL;
}

/* -- deaths: they bite at once, or not at all -- */

static void kill_one(struct faults *faults, enum fault_kind kind, struct node *node, enum world_death death)
{
    if (!process_alive(node->process))
        return;
    node_kill(node, death, down_us(faults));
    bite(faults, kind);
}

static void inject_power_all(struct faults *faults)
{
    uint64_t scope = below(faults, 3); /* brokers, controllers, all */
    uint64_t back_us = down_us(faults);
    for (int i = 0; i < faults->cluster->node_count; i++) {
        struct node *node = &faults->cluster->nodes[i];
        bool hit = (node->role == ROLE_BROKER && scope != 1) || (node->role == ROLE_CONTROLLER && scope != 0);
        if (hit)
            node_kill(node, DEATH_POWER, back_us + below(faults, SECOND_US));
    }
    bite(faults, FAULT_POWER_ALL);
}

/* A new disk for a broker. Only while every replica is in sync, so that no second copy is missing: what two
 * losses at once destroy, three replicas do not promise to keep. */
static void inject_replace_disk(struct faults *faults)
{
    struct node *node = any_of(faults, ROLE_BROKER);
    if (!process_alive(node->process) || !cluster_is_in_sync(faults->cluster) ||
        counted_any_lost(faults->cluster->counted))
        return;
    for (int i = 0; i < FAULTS_ACTIVE_MAX; i++)
        if (faults->active[i].used && faults->active[i].a == node)
            return; /* a fault of the old disk stands */
    node_kill(node, DEATH_POWER, down_us(faults));
    disk_replace(node->process);
    counted_lost(faults->cluster->counted, node);
    bite(faults, FAULT_REPLACE_DISK);
}

/* Most brokers at once: in-sync sets shrink to nothing, and who comes back first may not know all. */
static void inject_kill_brokers(struct faults *faults)
{
    bool bit = false;
    for (int i = 0; i < faults->cluster->options.brokers; i++) {
        struct node *node = cluster_node(faults->cluster, ROLE_BROKER, i);
        if (below(faults, 4) == 0 || !process_alive(node->process))
            continue;
        node_kill(node, DEATH_KILL, down_us(faults));
        bit = true;
    }
    if (bit)
        bite(faults, FAULT_KILL_BROKERS);
}

static void inject_die_at(struct faults *faults, enum fault_kind kind, enum role role)
{
    struct node *node = any_of(faults, role);
    struct world_bites *bites = world_bites(world_of(faults));
    bool power = below(faults, 2) == 0;
    if (!process_alive(node->process))
        return;
    disk_die_at(node->process, 1 + (uint32_t)below(faults, 30), below(faults, 2) == 0,
                power ? DEATH_POWER : DEATH_KILL);
    stand(faults, kind, power ? &bites->power_cuts : &bites->kills, 5 * SECOND_US);
}

static void inject_stop(struct faults *faults)
{
    struct node *node = any_node(faults);
    if (!process_alive(node->process) || node->stopping)
        return;
    stand(faults, FAULT_STOP, &faults->cluster->graceful_stops, 15 * SECOND_US);
    node_stop(node, down_us(faults));
}

/* -- network -- */

static void inject_cut(struct faults *faults, enum fault_kind kind)
{
    struct node *a = any_node(faults), *b = any_server(faults);
    struct active_fault *fault;
    if (a == b || (fault = stand(faults, kind, &world_bites(world_of(faults))->segments_stalled,
                                 stands_us(faults))) == NULL)
        return;
    fault->a = a;
    fault->b = b;
    world_cut(world_of(faults), a->process, b->process, true);
    if (kind == FAULT_CUT)
        world_cut(world_of(faults), b->process, a->process, true);
}

static void inject_isolate(struct faults *faults)
{
    static const uint64_t scopes[] = {UINT64_MAX, 1ull << ROLE_CONTROLLER, 1ull << ROLE_BROKER};
    struct active_fault *fault =
        stand(faults, FAULT_ISOLATE, &world_bites(world_of(faults))->segments_stalled, stands_us(faults));
    if (fault == NULL)
        return;
    fault->a = any_node(faults);
    fault->sides = scopes[below(faults, ARRAY_LEN(scopes))];
    isolate(fault, true);
}

static void inject_split(struct faults *faults, enum fault_kind kind)
{
    struct active_fault *fault =
        stand(faults, kind, &world_bites(world_of(faults))->segments_stalled, stands_us(faults));
    if (fault == NULL)
        return;
    fault->sides = prng_next(&faults->prng);
    fault->a = kind == FAULT_BRIDGE ? any_server(faults) : NULL;
    each_pair(fault, true);
}

static void inject_clog(struct faults *faults)
{
    struct node *a = any_node(faults), *b = any_server(faults);
    if (a == b)
        return;
    uint64_t for_us = stands_us(faults);
    stand(faults, FAULT_CLOG, &world_bites(world_of(faults))->clogged, for_us);
    world_clog(world_of(faults), a->process, b->process, for_us);
}

static void inject_slow_link(struct faults *faults)
{
    struct node *a = any_node(faults), *b = any_server(faults);
    struct active_fault *fault = a != b ? stand(faults, FAULT_SLOW_LINK, NULL, stands_us(faults)) : NULL;
    if (fault == NULL)
        return;
    fault->a = a;
    fault->b = b;
    world_slow(world_of(faults), a->process, b->process, 1000 + (uint32_t)below(faults, 200000),
               50 + (uint32_t)below(faults, 1000));
}

static void inject_reset(struct faults *faults)
{
    if (world_reset_one(world_of(faults), any_node(faults)->process, NULL))
        bite(faults, FAULT_RESET);
}

/* -- time -- */

static void inject_pause(struct faults *faults)
{
    struct node *node = any_node(faults);
    if (!process_alive(node->process))
        return;
    process_pause(node->process, 1 + below(faults, below(faults, 2) == 0 ? SECOND_US : 8 * SECOND_US));
    bite(faults, FAULT_PAUSE);
}

static void inject_skew(struct faults *faults)
{
    static const int32_t ppms[] = {0, 100, -100, 5000, -5000, 50000, -50000};
    process_set_skew(any_node(faults)->process, ppms[below(faults, ARRAY_LEN(ppms))]);
    bite(faults, FAULT_SKEW);
}

static void inject_wall_jump(struct faults *faults)
{
    int64_t ms = (int64_t)below(faults, 2 * 3600 * 1000) - 3600 * 1000;
    process_wall_jump(any_node(faults)->process, ms);
    bite(faults, FAULT_WALL_JUMP);
}

static void inject_wall_freeze(struct faults *faults)
{
    struct active_fault *fault = stand(faults, FAULT_WALL_FREEZE, NULL, stands_us(faults));
    if (fault == NULL)
        return;
    fault->a = any_node(faults);
    process_wall_freeze(fault->a->process, true);
}

/* -- disks -- */

static void inject_stall(struct faults *faults)
{
    uint64_t for_us = 1 + below(faults, 6 * SECOND_US);
    stand(faults, FAULT_STALL, &world_bites(world_of(faults))->stalls, for_us + SECOND_US);
    disk_stall(any_server(faults)->process, for_us);
}

static void inject_slow_disk(struct faults *faults)
{
    struct active_fault *fault = stand(faults, FAULT_SLOW_DISK, NULL, stands_us(faults));
    if (fault == NULL)
        return;
    fault->a = any_server(faults);
    disk_slow(fault->a->process, 2 + (uint32_t)below(faults, 100));
}

static void inject_disk_error(struct faults *faults, enum fault_kind kind)
{
    enum disk_act act = kind == FAULT_SYNC_ERROR    ? DISK_SYNC
                        : kind == FAULT_WRITE_ERROR ? DISK_WRITE
                                                    : DISK_READ;
    struct node *node = any_server(faults);
    struct active_fault *fault = stand(faults, kind, disk_failures(node->process, act), 4 * SECOND_US);
    if (fault == NULL)
        return;
    fault->a = node;
    disk_fail(fault->a->process, act, 1 + (uint32_t)below(faults, 20), 1, ERR_IO, NULL);
}

static void inject_disk_full(struct faults *faults)
{
    struct active_fault *fault = stand(faults, FAULT_DISK_FULL, &world_bites(world_of(faults))->no_space,
                                       stands_us(faults) + SECOND_US);
    if (fault == NULL)
        return;
    fault->a = any_of(faults, ROLE_BROKER);
    disk_set_capacity(fault->a->process, disk_used(fault->a->process) + below(faults, 65536));
}

/* -- the clockwork -- */

static void inject(struct faults *faults, enum fault_kind kind)
{
    switch (kind) {
    case FAULT_KILL_BROKER: kill_one(faults, kind, any_of(faults, ROLE_BROKER), DEATH_KILL); break;
    case FAULT_KILL_BROKERS: inject_kill_brokers(faults); break;
    case FAULT_KILL_CONTROLLER: kill_one(faults, kind, any_of(faults, ROLE_CONTROLLER), DEATH_KILL); break;
    case FAULT_KILL_CLIENT: kill_one(faults, kind, any_client(faults), DEATH_KILL); break;
    case FAULT_POWER_BROKER: kill_one(faults, kind, any_of(faults, ROLE_BROKER), DEATH_POWER); break;
    case FAULT_REPLACE_DISK: inject_replace_disk(faults); break;
    case FAULT_POWER_CONTROLLER: kill_one(faults, kind, any_of(faults, ROLE_CONTROLLER), DEATH_POWER); break;
    case FAULT_POWER_ALL: inject_power_all(faults); break;
    case FAULT_DIE_AT_BROKER: inject_die_at(faults, kind, ROLE_BROKER); break;
    case FAULT_DIE_AT_CONTROLLER: inject_die_at(faults, kind, ROLE_CONTROLLER); break;
    case FAULT_STOP: inject_stop(faults); break;
    case FAULT_PAUSE: inject_pause(faults); break;
    case FAULT_CUT_ONE_WAY:
    case FAULT_CUT: inject_cut(faults, kind); break;
    case FAULT_ISOLATE: inject_isolate(faults); break;
    case FAULT_SPLIT:
    case FAULT_BRIDGE: inject_split(faults, kind); break;
    case FAULT_CLOG: inject_clog(faults); break;
    case FAULT_SLOW_LINK: inject_slow_link(faults); break;
    case FAULT_RESET: inject_reset(faults); break;
    case FAULT_SKEW: inject_skew(faults); break;
    case FAULT_WALL_JUMP: inject_wall_jump(faults); break;
    case FAULT_WALL_FREEZE: inject_wall_freeze(faults); break;
    case FAULT_STALL: inject_stall(faults); break;
    case FAULT_SLOW_DISK: inject_slow_disk(faults); break;
    case FAULT_SYNC_ERROR:
    case FAULT_WRITE_ERROR:
    case FAULT_READ_ERROR: inject_disk_error(faults, kind); break;
    case FAULT_DISK_FULL: inject_disk_full(faults); break;
    case FAULT_COUNT: UNREACHABLE();
    }
}

static enum fault_kind choose(struct faults *faults)
{
    uint64_t total = 0;
    for (int kind = 0; kind < FAULT_COUNT; kind++)
        total += faults->plan->weights[kind];
    uint64_t dice = below(faults, total);
    int kind = 0;
    while (dice >= faults->plan->weights[kind])
        dice -= faults->plan->weights[kind++];
    return (enum fault_kind)kind;
}

static void plan_next(struct faults *faults)
{
    uint64_t in_us = 1 + below(faults, 2 * faults->plan->fault_interval_us);
    world_at(world_of(faults), &faults->next, world_now_us(world_of(faults)) + in_us);
}

static void on_next(struct world_event *event)
{
    struct faults *faults = CONTAINER_OF(event, struct faults, next);
    enum fault_kind kind = choose(faults);
    world_trace(world_of(faults), "fault: %s", fault_name(kind));
    faults->asked[kind]++;
    inject(faults, kind);
    plan_next(faults);
}

void faults_start(struct faults *faults, struct cluster *cluster, const struct plan *plan, uint64_t after_us)
{
    *faults = (struct faults){.cluster = cluster, .plan = plan, .next.fn = on_next};
    prng_seed(&faults->prng, plan->seed ^ 0xfa017);
    if (plan->fault_interval_us > 0)
        world_at(cluster->world, &faults->next, world_now_us(cluster->world) + after_us);
}

void faults_end(struct faults *faults)
{
    struct cluster *cluster = faults->cluster;
    world_cancel(cluster->world, &faults->next);
    for (int i = 0; i < FAULTS_ACTIVE_MAX; i++) {
        if (!faults->active[i].used)
            continue;
        world_cancel(cluster->world, &faults->active[i].heal);
        heal_now(&faults->active[i]);
    }
    world_heal(cluster->world);
    for (int i = 0; i < cluster->node_count; i++) {
        struct node *node = &cluster->nodes[i];
        disk_mend(node->process);
        process_set_skew(node->process, 0);
        process_wall_freeze(node->process, false);
    }
}

static uint64_t sum(const uint64_t *counts)
{
    uint64_t total = 0;
    for (int kind = 0; kind < FAULT_COUNT; kind++)
        total += counts[kind];
    return total;
}

uint64_t faults_asked(const struct faults *faults)
{
    return sum(faults->asked);
}

uint64_t faults_bitten(const struct faults *faults)
{
    return sum(faults->bitten);
}
