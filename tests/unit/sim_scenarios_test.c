/* SPDX-License-Identifier: Apache-2.0 */
/* Scripted lives of small simulated clusters: what random seeds found once, step by step. */
#include <stdio.h>
#include <string.h>

#include "common/base/assert.h"
#include "tests/checker/checker.h"
#include "tests/lib/unit.h"
#include "tests/sim/nodes.h"
#include "tests/sim/observe.h"
#include "tests/sim/world/sim_heap.h"

#define SECOND 1000000u

static struct world *world;
static struct cluster *cluster;

static void setup(int controllers, int brokers)
{
    struct world_options options = {.seed = 1,
                                    .latency_us = 150,
                                    .jitter_us = 100,
                                    .disk_sync_us = 300,
                                    .disk_read_us = 50,
                                    .trace = getenv("SLUICE_TRACE") != NULL ? stderr : NULL};
    struct cluster_options shape = {.controllers = controllers,
                                    .brokers = brokers,
                                    .shards = 1,
                                    .topics = 1,
                                    .partitions = 2,
                                    .replicas = brokers,
                                    .min_isr = brokers > 1 ? 2 : 1,
                                    .producers = 1,
                                    .trim_topic = -1,
                                    .consumers = 1,
                                    .send_interval_us = 5000,
                                    .record_bytes_max = 100,
                                    .session_us = 3 * SECOND,
                                    .segment_bytes = 1 << 20,
                                    .snapshot_entries = 1000};
    world = world_new(&options);
    cluster = calloc(1, sizeof(*cluster));
    cluster_init(cluster, world, &shape);
    for (int i = 0; i < cluster->node_count; i++)
        node_start(&cluster->nodes[i], (uint64_t)i * 1000);
}

static void run(uint64_t us)
{
    world_run(world, world_now_us(world) + us);
}

static bool whole(void *ctx)
{
    char why[CLUSTER_TEXT_MAX];
    return cluster_is_whole(cluster, why, sizeof(why));
}

/* Judges what was seen; there are no final reads here. */
static uint64_t violations(void)
{
    const struct checker_options options = {.partial = true};
    const struct history_writer *history = &cluster->chronicle.writer;
    struct checker *checker = checker_new(&options);
    ck_assert_ptr_nonnull(checker);
    ck_assert_int_eq(checker_add(checker, "scenario", history->bytes, history->used, NULL), OK);
    ck_assert_int_eq(checker_run(checker), OK);
    uint64_t found = checker_stats(checker)->violations;
    checker_print(checker, stderr, true);
    checker_free(checker);
    return found;
}

/* No new records; everything comes to rest; nothing that was promised is broken. */
static void finish(void)
{
    cluster->draining = true;
    ck_assert(world_run_until(world, 60 * SECOND, whole, NULL));
    ck_assert_uint_eq(violations(), 0);
    ck_assert_uint_gt(cluster->sends_acked, 100);
    for (int i = 0; i < cluster->node_count; i++) {
        cluster->nodes[i].wanted = false;
        node_kill(&cluster->nodes[i], DEATH_KILL, 0);
    }
    cluster_free(cluster);
    world_free(world);
    free(cluster);
}

/* The network swallows what leader and follower say while both speak with the controllers. A follower that
 * has said all it may say hears of no failed transmission, so it must not wait for its answer for ever. */
START_TEST(silent_leader_is_asked_over_a_new_connection)
{
    setup(1, 2);
    run(3 * SECOND);
    struct node *a = cluster_node(cluster, ROLE_BROKER, 0), *b = cluster_node(cluster, ROLE_BROKER, 1);
    world_cut(world, a->process, b->process, true);
    world_cut(world, b->process, a->process, true);
    run(8 * SECOND);
    ck_assert_uint_eq(cluster->reached[REACH_LEADER_SILENT], 0);
    run(4 * SECOND);
    ck_assert_uint_gt(cluster->reached[REACH_LEADER_SILENT], 0);
    world_heal(world);
    run(2 * SECOND);
    finish();
}
END_TEST

START_TEST(healthy_cluster_loses_nothing)
{
    setup(3, 3);
    run(5 * SECOND);
    finish();
}
END_TEST

/* The active controller could not read its log for one poll of a broker: the broker took its own image for
 * damaged, asked for a snapshot that did not exist, and never asked for entries again. */
START_TEST(broker_follows_metadata_again_after_a_controller_could_not_read)
{
    setup(1, 1);
    run(2 * SECOND);
    struct node *controller = cluster_node(cluster, ROLE_CONTROLLER, 0);
    node_kill(cluster_node(cluster, ROLE_BROKER, 0), DEATH_KILL, 2 * SECOND);
    run(1 *
        SECOND); /* the controller has nothing more to write down: its next read is the broker's first poll */
    disk_fail(controller->process, DISK_READ, 1, 1, ERR_IO, ".log");
    run(8 * SECOND);
    ck_assert_uint_ge(world_bites(world)->read_errors, 1);
    ck_assert(process_alive(controller->process));
    finish();
}
END_TEST

/* A broker that waits for its former session to end asks again and again. Its controller is cut off from
 * everybody and replaced; when it is back its refusal of the waiting poll, which names the successor, comes
 * first, and the one of the registration from a controller that is not asked any more. */
static void depose_while_a_broker_registers(int controller, uint64_t cut_us)
{
    setup(3, 1);
    run(2 * SECOND);
    struct node *alone = cluster_node(cluster, ROLE_CONTROLLER, controller);
    node_kill(cluster_node(cluster, ROLE_BROKER, 0), DEATH_POWER, SECOND / 10);
    run(SECOND / 2);
    for (int i = 0; i < cluster->node_count; i++) {
        struct node *other = &cluster->nodes[i];
        if (other == alone)
            continue;
        world_cut(world, alone->process, other->process, true);
        world_cut(world, other->process, alone->process, true);
    }
    run(cut_us);
    world_heal(world);
    run(5 * SECOND);
    finish();
}

START_TEST(registration_that_hangs_at_a_deposed_controller_is_repeated)
{
    for (int i = 0; i < 3; i++)
        for (uint64_t cut_us = SECOND / 2; cut_us < 2 * SECOND; cut_us += SECOND / 8)
            depose_while_a_broker_registers(i, cut_us);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, healthy_cluster_loses_nothing);
    tcase_add_test(tcase, registration_that_hangs_at_a_deposed_controller_is_repeated);
    tcase_add_test(tcase, silent_leader_is_asked_over_a_new_connection);
    tcase_add_test(tcase, broker_follows_metadata_again_after_a_controller_could_not_read);
}

SLUICE_TEST_MAIN("sim_scenarios", add)
