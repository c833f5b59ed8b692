/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/faults.h"

#include <stdio.h>

#include "common/base/assert.h"
#include "controller/controller.h"
#include "tests/sim/counted.h"
#include "tests/sim/nodes.h"
#include "tests/sim/observe.h"
#include "tests/sim/run_int.h"
#include "tests/sim/txn_client.h"

#define SECOND_US    1000000u
#define PLACE_TRIES  8
#define RETRY_US     200000u
#define ROLL_STEP_US 200000u
#define ROLL_WAITS   25 /* steps after which the next broker's turn comes anyhow */

#define OTHERS_ROT_ONE_IN 3 /* flips: in what coordinators and transactors have written */

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
    if (dice == 3 && faults->cluster->options.members > 0)
        return any_of(faults, ROLE_MEMBER);
    if (dice == 2 && faults->cluster->options.transactors > 0)
        return any_of(faults, ROLE_TXN);
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
    if (fault_met(fault) > fault->before)
        node_kill(fault->a, DEATH_POWER, down_us(fault->faults));
}

static bool place(struct faults *faults, enum fault_kind kind);

/* It has met nobody: somebody else must meet it. */
static void missed(struct faults *faults, enum fault_kind kind)
{
    if (faults->over)
        return;
    world_trace(world_of(faults), "fault: %s again, it met nobody", fault_name(kind));
    faults->again = true; /* where it is met soon */
    faults->owed[kind] += !place(faults, kind);
    faults->again = false;
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
    fault->used = false;
    if (fault_met(fault) > fault->before)
        bite(faults, fault->kind);
    else
        missed(faults, fault->kind);
}

static void roll_on(struct active_fault *fault);

static void on_heal(struct world_event *event)
{
    struct active_fault *fault = CONTAINER_OF(event, struct active_fault, heal);
    if (fault->kind == FAULT_ROLL)
        roll_on(fault);
    else
        heal_now(fault);
}

/* fault: its kind, and whom it stands in the way of. */
static bool stand(struct faults *faults, struct active_fault fault, uint64_t for_us)
{
    for (int i = 0; i < FAULTS_ACTIVE_MAX; i++) {
        struct active_fault *place = &faults->active[i];
        if (place->used)
            continue;
        *place = fault;
        place->faults = faults;
        place->used = true;
        place->heal = (struct world_event){.fn = on_heal};
        place->before = fault_met(place);
        world_at(world_of(faults), &place->heal, world_now_us(world_of(faults)) + for_us);
        return true;
    }
    return false;
}

/* -- deaths: they bite at once, or not at all -- */

static bool kill_one(struct faults *faults, enum fault_kind kind, struct node *node, enum world_death death)
{
    if (!process_alive(node->process))
        return false;
    node_kill(node, death, down_us(faults));
    bite(faults, kind);
    return true;
}

static bool inject_power_all(struct faults *faults)
{
    bool bit = false;
    uint64_t scope = below(faults, 3); /* brokers, controllers, all */
    uint64_t back_us = down_us(faults);
    for (int i = 0; i < faults->cluster->node_count; i++) {
        struct node *node = &faults->cluster->nodes[i];
        bool hit = (node->role == ROLE_BROKER && scope != 1) || (node->role == ROLE_CONTROLLER && scope != 0);
        if (!hit || !process_alive(node->process))
            continue;
        node_kill(node, DEATH_POWER, back_us + below(faults, SECOND_US));
        bit = true;
    }
    if (bit)
        bite(faults, FAULT_POWER_ALL);
    return bit;
}

/* Whether the metadata tell of every disk that was replaced: until its broker registers, they call its
 * replicas in sync. */
static bool replaced_is_known(const struct faults *faults)
{
    if (faults->replaced == NULL)
        return true;
    struct uuid disk = cluster_disk(faults->cluster, faults->replaced);
    return !uuid_is_zero(disk) && !uuid_eq(disk, faults->replaced_disk);
}

/* A disk was replaced, and not all that it held is back. A write that a power cut tears, and that may have
 * been promised, or a flipped bit were a second loss (nobody leads then until an operator says so: known gap
 * 81), so there is none meanwhile. */
static bool a_disk_is_missed(const struct faults *faults)
{
    return !replaced_is_known(faults) || counted_any_lost(faults->cluster->counted);
}

/* A log that meets one is not complete any more. */
static bool fails_a_log(enum fault_kind kind)
{
    return kind == FAULT_SYNC_ERROR || kind == FAULT_WRITE_ERROR || kind == FAULT_READ_ERROR ||
           kind == FAULT_DISK_FULL;
}

static bool may_fail_a_log(const struct faults *faults, const struct node *node)
{
    return node->role != ROLE_BROKER || !a_disk_is_missed(faults);
}

static bool any_log_may_fail(const struct faults *faults)
{
    for (int i = 0; i < FAULTS_ACTIVE_MAX; i++) {
        const struct active_fault *fault = &faults->active[i];
        if (fault->used && fails_a_log(fault->kind) && fault->a->role == ROLE_BROKER)
            return true;
    }
    return false;
}

/* Only while every replica is in sync, no log is about to fail, and all flipped bits are mended, so that no
 * second copy is missing: what two losses at once destroy, three replicas do not promise to keep. */
static bool may_lose_a_disk(const struct faults *faults)
{
    return !a_disk_is_missed(faults) && cluster_is_in_sync(faults->cluster) && !any_log_may_fail(faults) &&
           !replicas_are_damaged(faults->cluster);
}

/* A new disk for a broker. */
static bool inject_replace_disk(struct faults *faults)
{
    struct node *node = any_of(faults, ROLE_BROKER);
    if (!process_alive(node->process) || !may_lose_a_disk(faults) || node == faults->flipped)
        return false;
    for (int i = 0; i < FAULTS_ACTIVE_MAX; i++)
        if (faults->active[i].used && faults->active[i].a == node)
            return false; /* a fault of the old disk stands */
    node_kill(node, DEATH_POWER, down_us(faults));
    disk_replace(node->process);
    counted_lost(faults->cluster->counted, node);
    faults->replaced = node;
    faults->replaced_disk = cluster_disk(faults->cluster, node);
    disk_cuts_keep_nothing(world_of(faults), true);
    bite(faults, FAULT_REPLACE_DISK);
    return true;
}

/* Most brokers at once: in-sync sets shrink to nothing, and who comes back first may not know all. */
static bool inject_kill_brokers(struct faults *faults)
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
    return bit;
}

/* The controller that leads, or NULL. */
static struct node *leading_controller(const struct faults *faults)
{
    for (int i = 0; i < cluster_count(faults->cluster, ROLE_CONTROLLER); i++) {
        struct node *node = cluster_node(faults->cluster, ROLE_CONTROLLER, i);
        struct controller *controller = node_controller(node);
        if (controller != NULL && controller_status(controller).leads)
            return node;
    }
    return NULL;
}

static bool inject_die_at(struct faults *faults, enum fault_kind kind, enum role role)
{
    struct node *node = any_of(faults, role);
    struct node *other = any_of(faults, role);
    if (faults->again && role == ROLE_CONTROLLER && leading_controller(faults) != NULL)
        other = leading_controller(faults);
    bool power = below(faults, 2) == 0;
    if (!process_alive(node->process) ||
        !stand(faults, (struct active_fault){.kind = kind, .a = node}, 5 * SECOND_US))
        return false;
    disk_die_at(node->process, 1 + (uint32_t)below(faults, faults->again ? 1 : 30), below(faults, 2) == 0,
                power ? DEATH_POWER : DEATH_KILL);
    if (faults->again && role == ROLE_CONTROLLER && other != node && process_alive(other->process))
        process_pause(other->process,
                      2 * SECOND_US); /* where nothing changes: perhaps there is an election */
    return true;
}

static bool inject_stop(struct faults *faults)
{
    struct node *node = any_node(faults);
    if (!process_alive(node->process) || node->stopping ||
        !stand(faults, (struct active_fault){.kind = FAULT_STOP, .a = node}, 15 * SECOND_US))
        return false;
    node_stop(node, down_us(faults));
    return true;
}

/* All brokers one after the other, as an operator restarts them: the next when all replicas are in sync
 * again. */
static void roll_on(struct active_fault *fault)
{
    struct faults *faults = fault->faults;
    struct cluster *cluster = faults->cluster;
    if (fault->step < cluster->options.brokers &&
        (cluster_is_in_sync(cluster) || ++fault->waits > ROLL_WAITS)) {
        struct node *node = cluster_node(cluster, ROLE_BROKER, fault->step++);
        fault->waits = 0;
        if (process_alive(node->process) && !node->stopping)
            node_stop(node, 1000 + below(faults, SECOND_US));
    }
    if (fault->step == cluster->options.brokers && fault_met(fault) > fault->before)
        heal_now(fault);
    else
        world_at(world_of(faults), &fault->heal, world_now_us(world_of(faults)) + ROLL_STEP_US);
}

static bool is_rolling(const struct faults *faults)
{
    for (int i = 0; i < FAULTS_ACTIVE_MAX; i++)
        if (faults->active[i].used && faults->active[i].kind == FAULT_ROLL)
            return true;
    return faults->owed[FAULT_ROLL] > 0;
}

static bool inject_roll(struct faults *faults)
{
    return stand(faults, (struct active_fault){.kind = FAULT_ROLL}, 1);
}

/* -- network -- */

static bool inject_cut(struct faults *faults, enum fault_kind kind)
{
    struct node *a = any_node(faults), *b = any_server(faults);
    if (a == b || !stand(faults, (struct active_fault){.kind = kind, .a = a, .b = b}, stands_us(faults)))
        return false;
    world_cut(world_of(faults), a->process, b->process, true);
    if (kind == FAULT_CUT)
        world_cut(world_of(faults), b->process, a->process, true);
    return true;
}

static bool inject_isolate(struct faults *faults)
{
    static const uint64_t scopes[] = {UINT64_MAX, 1ull << ROLE_CONTROLLER, 1ull << ROLE_BROKER};
    struct active_fault fault = {.faults = faults,
                                 .kind = FAULT_ISOLATE,
                                 .a = any_node(faults),
                                 .sides = scopes[below(faults, ARRAY_LEN(scopes))]};
    if (!stand(faults, fault, stands_us(faults)))
        return false;
    isolate(&fault, true);
    return true;
}

static bool inject_split(struct faults *faults, enum fault_kind kind)
{
    struct active_fault fault = {.faults = faults,
                                 .kind = kind,
                                 .a = kind == FAULT_BRIDGE ? any_server(faults) : NULL,
                                 .sides = prng_next(&faults->prng)};
    if (!stand(faults, fault, stands_us(faults)))
        return false;
    each_pair(&fault, true);
    return true;
}

static bool inject_clog(struct faults *faults)
{
    struct node *a = any_node(faults), *b = any_server(faults);
    uint64_t for_us = stands_us(faults);
    if (a == b || !stand(faults, (struct active_fault){.kind = FAULT_CLOG, .a = a, .b = b}, for_us))
        return false;
    world_clog(world_of(faults), a->process, b->process, for_us);
    return true;
}

static bool inject_slow_link(struct faults *faults)
{
    struct node *a = any_node(faults), *b = any_server(faults);
    if (a == b ||
        !stand(faults, (struct active_fault){.kind = FAULT_SLOW_LINK, .a = a, .b = b}, stands_us(faults)))
        return false;
    world_slow(world_of(faults), a->process, b->process, 1000 + (uint32_t)below(faults, 200000),
               50 + (uint32_t)below(faults, 1000));
    return true;
}

static bool inject_reset(struct faults *faults)
{
    bool bit = world_reset_one(world_of(faults), any_node(faults)->process, NULL);
    if (bit)
        bite(faults, FAULT_RESET);
    return bit;
}

/* -- time: it bites who is alive -- */

static bool inject_pause(struct faults *faults, enum fault_kind kind)
{
    struct node *node = kind == FAULT_PAUSE ? any_node(faults) : any_server(faults);
    uint64_t session_us = faults->cluster->options.session_us;
    if (!process_alive(node->process))
        return false;
    process_pause(node->process, kind == FAULT_PAUSE ? 1 + below(faults, SECOND_US)
                                                     : session_us + below(faults, 2 * session_us));
    bite(faults, kind);
    return true;
}

static bool inject_skew(struct faults *faults)
{
    static const int32_t ppms[] = {100, -100, 5000, -5000, 50000, -50000};
    struct node *node = any_node(faults);
    if (!process_alive(node->process))
        return false;
    process_set_skew(node->process, ppms[below(faults, ARRAY_LEN(ppms))]);
    bite(faults, FAULT_SKEW);
    return true;
}

static bool inject_wall(struct faults *faults, enum fault_kind kind)
{
    struct node *node = any_node(faults);
    if (!process_alive(node->process) ||
        !stand(faults, (struct active_fault){.kind = kind, .a = node}, stands_us(faults)))
        return false;
    if (kind == FAULT_WALL_FREEZE)
        process_wall_freeze(node->process, true);
    else
        process_wall_jump(node->process, (int64_t)below(faults, 2 * 3600 * 1000) - 3600 * 1000);
    return true;
}

/* -- disks -- */

static bool inject_stall(struct faults *faults)
{
    uint64_t for_us = 1 + below(faults, 6 * SECOND_US);
    struct node *node = any_server(faults);
    if (!process_alive(node->process) ||
        !stand(faults, (struct active_fault){.kind = FAULT_STALL, .a = node}, for_us + SECOND_US))
        return false;
    disk_stall(node->process, for_us);
    return true;
}

static bool inject_slow_disk(struct faults *faults)
{
    struct node *node = any_server(faults);
    if (!process_alive(node->process) ||
        !stand(faults, (struct active_fault){.kind = FAULT_SLOW_DISK, .a = node}, stands_us(faults)))
        return false;
    disk_slow(node->process, 2 + (uint32_t)below(faults, 100));
    return true;
}

static bool inject_disk_error(struct faults *faults, enum fault_kind kind)
{
    struct node *node = any_server(faults);
    enum disk_act act = fault_act(kind);
    uint32_t nth =
        act == DISK_READ || faults->again ? 1 : 1 + (uint32_t)below(faults, 20); /* reads are few */
    if (!process_alive(node->process) || !may_fail_a_log(faults, node) ||
        !stand(faults, (struct active_fault){.kind = kind, .a = node}, 4 * SECOND_US))
        return false;
    disk_fail(node->process, act, nth, 1, ERR_IO, NULL);
    return true;
}

static bool inject_disk_full(struct faults *faults)
{
    struct node *node = any_of(faults, ROLE_BROKER);
    if (!process_alive(node->process) || !may_fail_a_log(faults, node) ||
        !stand(faults, (struct active_fault){.kind = FAULT_DISK_FULL, .a = node},
               stands_us(faults) + SECOND_US))
        return false;
    disk_set_capacity(node->process, disk_used(node->process) + (faults->again ? 0 : below(faults, 16384)));
    return true;
}

/* The partitions that rot: mostly users', else those of the transactors or of a coordinator. path: of their
 * directories, as far as they have it in common. */
static void choose_rotten(struct faults *faults, char *path, size_t size)
{
    static const char *const others[] = {TXN_TOPIC, "__consumer_offsets", "__transaction_state"};
    const struct cluster_options *options = &faults->cluster->options;
    bool other = below(faults, OTHERS_ROT_ONE_IN) == 0;
    if (other && options->transactors > 0)
        snprintf(path, size, "/data/%s-", others[below(faults, ARRAY_LEN(others))]);
    else if (other && options->members > 0)
        snprintf(path, size, "/data/__consumer_offsets-");
    else
        snprintf(path, size, "/data/t%llu-", (unsigned long long)below(faults, (uint64_t)options->topics));
}

static const char *choose_part(struct faults *faults, const char *path)
{
    static const char *const parts[] = {".log",   ".log",       ".log",      ".log",
                                        ".index", ".timeindex", ".snapshot", "epoch"};
    bool transactional = strcmp(path, "/data/" TXN_TOPIC "-") == 0;
    return transactional && below(faults, 4) == 0 ? ".txnindex" : parts[below(faults, ARRAY_LEN(parts))];
}

/* One bit at rest, always on the same machine: what two damaged copies lose together, a third alone does not
 * promise to keep. */
static bool inject_bit_flip(struct faults *faults)
{
    char path[64];
    struct node *node;
    if (faults->flipped == NULL && (node = any_of(faults, ROLE_BROKER)) != faults->replaced)
        faults->flipped = node;
    if (faults->flipped == NULL || a_disk_is_missed(faults))
        return false;
    choose_rotten(faults, path, sizeof(path));
    if (!disk_flip_bit(faults->flipped->process, path, choose_part(faults, path), replicas_may_flip,
                       faults->flipped))
        return false;
    faults->cluster->rotten = faults->flipped;
    bite(faults, FAULT_BIT_FLIP);
    return true;
}

/* -- the clockwork -- */

/* Hurts somebody; false when the one that was chosen cannot be hurt so now. */
static bool inject(struct faults *faults, enum fault_kind kind)
{
    switch (kind) {
    case FAULT_KILL_BROKER: return kill_one(faults, kind, any_of(faults, ROLE_BROKER), DEATH_KILL);
    case FAULT_KILL_BROKERS: return inject_kill_brokers(faults);
    case FAULT_KILL_CONTROLLER: return kill_one(faults, kind, any_of(faults, ROLE_CONTROLLER), DEATH_KILL);
    case FAULT_KILL_CLIENT: return kill_one(faults, kind, any_client(faults), DEATH_KILL);
    case FAULT_POWER_BROKER: return kill_one(faults, kind, any_of(faults, ROLE_BROKER), DEATH_POWER);
    case FAULT_REPLACE_DISK: return inject_replace_disk(faults);
    case FAULT_POWER_CONTROLLER: return kill_one(faults, kind, any_of(faults, ROLE_CONTROLLER), DEATH_POWER);
    case FAULT_POWER_ALL: return inject_power_all(faults);
    case FAULT_DIE_AT_BROKER: return inject_die_at(faults, kind, ROLE_BROKER);
    case FAULT_DIE_AT_CONTROLLER: return inject_die_at(faults, kind, ROLE_CONTROLLER);
    case FAULT_STOP: return inject_stop(faults);
    case FAULT_ROLL: return inject_roll(faults);
    case FAULT_PAUSE:
    case FAULT_PAUSE_LONG: return inject_pause(faults, kind);
    case FAULT_CUT_ONE_WAY:
    case FAULT_CUT: return inject_cut(faults, kind);
    case FAULT_ISOLATE: return inject_isolate(faults);
    case FAULT_SPLIT:
    case FAULT_BRIDGE: return inject_split(faults, kind);
    case FAULT_CLOG: return inject_clog(faults);
    case FAULT_SLOW_LINK: return inject_slow_link(faults);
    case FAULT_RESET: return inject_reset(faults);
    case FAULT_SKEW: return inject_skew(faults);
    case FAULT_WALL_JUMP:
    case FAULT_WALL_FREEZE: return inject_wall(faults, kind);
    case FAULT_STALL: return inject_stall(faults);
    case FAULT_SLOW_DISK: return inject_slow_disk(faults);
    case FAULT_SYNC_ERROR:
    case FAULT_WRITE_ERROR:
    case FAULT_READ_ERROR: return inject_disk_error(faults, kind);
    case FAULT_DISK_FULL: return inject_disk_full(faults);
    case FAULT_BIT_FLIP: return inject_bit_flip(faults);
    case FAULT_COUNT: break;
    }
    UNREACHABLE();
}

/* Several times, because who is chosen may be dead. */
static bool place(struct faults *faults, enum fault_kind kind)
{
    for (int i = 0; i < PLACE_TRIES; i++)
        if (inject(faults, kind))
            return true;
    return false;
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

/* What the contract does not promise to survive at present is not asked for. */
static bool is_promised(const struct faults *faults, enum fault_kind kind)
{
    if (kind == FAULT_REPLACE_DISK)
        return may_lose_a_disk(faults);
    if (kind == FAULT_ROLL) /* one at a time */
        return !is_rolling(faults);
    return kind != FAULT_BIT_FLIP || !counted_any_lost(faults->cluster->counted);
}

static void on_next(struct world_event *event)
{
    struct faults *faults = CONTAINER_OF(event, struct faults, next);
    plan_next(faults);
    for (int i = 0; i < PLACE_TRIES; i++) { /* where nobody can be hurt so now, in another way */
        enum fault_kind kind = choose(faults);
        if (!is_promised(faults, kind) || !place(faults, kind))
            continue;
        world_trace(world_of(faults), "fault: %s", fault_name(kind));
        faults->asked[kind]++;
        return;
    }
}

/* What met nobody, and could not be repeated at once. */
static void on_retry(struct world_event *event)
{
    struct faults *faults = CONTAINER_OF(event, struct faults, retry);
    faults->again = true;
    disk_cuts_keep_nothing(world_of(faults), a_disk_is_missed(faults));
    for (int kind = 0; kind < FAULT_COUNT; kind++)
        if (faults->owed[kind] > 0 && is_promised(faults, (enum fault_kind)kind))
            faults->owed[kind] -= place(faults, (enum fault_kind)kind);
    faults->again = false;
    world_at(world_of(faults), event, world_now_us(world_of(faults)) + RETRY_US);
}

void faults_start(struct faults *faults, struct cluster *cluster, const struct plan *plan, uint64_t after_us)
{
    *faults = (struct faults){.cluster = cluster, .plan = plan, .next.fn = on_next, .retry.fn = on_retry};
    prng_seed(&faults->prng, plan->seed ^ 0xfa017);
    if (plan->fault_interval_us == 0)
        return;
    world_at(cluster->world, &faults->next, world_now_us(cluster->world) + after_us);
    world_at(cluster->world, &faults->retry, world_now_us(cluster->world) + after_us + RETRY_US);
}

void faults_trace(struct faults *faults)
{
    for (int kind = 0; kind < FAULT_COUNT; kind++)
        if (faults->owed[kind] > 0)
            world_trace(world_of(faults), "fault: %s found nobody", fault_name((enum fault_kind)kind));
    for (int i = 0; i < FAULTS_ACTIVE_MAX; i++) {
        const struct active_fault *fault = &faults->active[i];
        if (fault->used && fault_met(fault) == fault->before)
            world_trace(world_of(faults), "fault: %s of %s met nobody", fault_name(fault->kind),
                        fault->a != NULL ? process_name(fault->a->process) : "many");
    }
}

void faults_stop(struct faults *faults)
{
    world_cancel(faults->cluster->world, &faults->next);
}

bool faults_have_bitten(const struct faults *faults)
{
    for (int kind = 0; kind < FAULT_COUNT; kind++)
        if (faults->owed[kind] > 0)
            return false;
    for (int i = 0; i < FAULTS_ACTIVE_MAX; i++)
        if (faults->active[i].used && fault_met(&faults->active[i]) == faults->active[i].before)
            return false;
    return true;
}

void faults_end(struct faults *faults)
{
    struct cluster *cluster = faults->cluster;
    faults->over = true;
    world_cancel(cluster->world, &faults->next);
    world_cancel(cluster->world, &faults->retry);
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
