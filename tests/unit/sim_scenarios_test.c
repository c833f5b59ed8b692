/* SPDX-License-Identifier: Apache-2.0 */
/* Scripted lives of small simulated clusters: what random seeds found once, step by step. */
#include <stdio.h>
#include <string.h>

#include "common/base/assert.h"
#include "proto/cluster/image.h"
#include "tests/checker/checker.h"
#include "tests/lib/unit.h"
#include "tests/sim/faults.h"
#include "tests/sim/nodes.h"
#include "tests/sim/observe.h"
#include "tests/sim/world/sim_heap.h"

#define SECOND 1000000u

static struct world *world;
static struct cluster *cluster;

static void setup_with(const struct cluster_options *shape)
{
    struct world_options options = {.seed = 1,
                                    .latency_us = 150,
                                    .jitter_us = 100,
                                    .disk_sync_us = 300,
                                    .disk_read_us = 50,
                                    .trace = getenv("SLUICE_TRACE") != NULL ? stderr : NULL};
    world = world_new(&options);
    cluster = calloc(1, sizeof(*cluster));
    cluster_init(cluster, world, shape);
    for (int i = 0; i < cluster->node_count; i++)
        node_start(&cluster->nodes[i], (uint64_t)i * 1000);
}

static struct cluster_options shape_of(int controllers, int brokers)
{
    return (struct cluster_options){.controllers = controllers,
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
}

static void setup(int controllers, int brokers)
{
    struct cluster_options shape = shape_of(controllers, brokers);
    setup_with(&shape);
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

static bool transactions_are_judged(void *ctx)
{
    return cluster->txns.judged;
}

/* The brokers among a partition's replicas, as bits (node id - CLUSTER_BROKER_BASE). */
static uint64_t replicas_of(const char *topic, int index, int count)
{
    const struct image *image = controller_image(node_controller(cluster_node(cluster, ROLE_CONTROLLER, 0)));
    const struct image_topic *found = image_topic_by_name(image, str_from(topic));
    ck_assert_ptr_nonnull(found);
    const struct image_partition *p = image_partition(image, found, index);
    uint64_t bits = 0;
    for (int i = 0; i < count; i++)
        bits |= 1ull << (p->replicas[i] - CLUSTER_BROKER_BASE);
    return bits;
}

/* With disks that work from then on. */
static void kill_brokers(uint64_t bits, uint64_t down_us)
{
    struct node *broker;
    for (int i = 0; (broker = cluster_node(cluster, ROLE_BROKER, i)) != NULL; i++) {
        if (!(bits & 1ull << i))
            continue;
        node_kill(broker, DEATH_KILL, down_us);
        disk_mend(broker->process);
    }
}

/* Two of four brokers come back, so that the transactional id has its coordinator again, but some partitions
 * have one replica of three only: it leads with the high watermark that was written down last, long ago. What
 * was committed behind it is not lost: whoever reads to the end waits. */
START_TEST(transactions_are_read_to_the_end_of_the_log_after_an_election)
{
    struct cluster_options shape = shape_of(1, 4);
    shape.replicas = 3;
    shape.transactors = 1;
    setup_with(&shape);
    run(SECOND);
    for (int i = 0; i < 4; i++)
        disk_fail(cluster_node(cluster, ROLE_BROKER, i)->process, DISK_WRITE, 1, UINT32_MAX, ERR_IO,
                  "manifest");
    run(4 * SECOND);
    node_kill(cluster_node(cluster, ROLE_TXN, 0), DEATH_KILL, 25 * SECOND);
    run(20 * SECOND);                                         /* what was open has timed out */
    uint64_t back = replicas_of("__transaction_state", 0, 2); /* of "txn" */
    kill_brokers(~back, 20 * SECOND);
    run(4 * SECOND); /* longer than a session */
    kill_brokers(back, SECOND / 10);
    cluster->draining = true;
    ck_assert(world_run_until(world, 60 * SECOND, transactions_are_judged, NULL));
    finish();
}
END_TEST

/* A broker that holds nothing of the workload's topics gets a new disk: as long as the controllers do not
 * know that, its replicas of the transactions pass for good copies, and no second disk may go. */
START_TEST(no_disk_is_replaced_while_the_metadata_do_not_tell_of_the_last_one)
{
    struct cluster_options shape = shape_of(1, 4);
    struct plan plan = {.seed = 1, .fault_interval_us = 2 * SECOND, .down_max_us = SECOND};
    static struct faults faults;
    shape.partitions = 1;
    shape.replicas = 3;
    shape.transactors = 1;
    plan.weights[FAULT_REPLACE_DISK] = plan.weights[FAULT_KILL_BROKER] = 1;
    setup_with(&shape);
    run(2 * SECOND);
    faults_start(&faults, cluster, &plan, 0);
    run(120 * SECOND);
    faults_stop(&faults);
    faults_end(&faults);
    ck_assert_uint_gt(faults.bitten[FAULT_REPLACE_DISK], 5);
    cluster->draining = true;
    ck_assert(world_run_until(world, 60 * SECOND, transactions_are_judged, NULL));
    finish();
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, healthy_cluster_loses_nothing);
    tcase_add_test(tcase, registration_that_hangs_at_a_deposed_controller_is_repeated);
    tcase_add_test(tcase, transactions_are_read_to_the_end_of_the_log_after_an_election);
    tcase_add_test(tcase, no_disk_is_replaced_while_the_metadata_do_not_tell_of_the_last_one);
    tcase_add_test(tcase, silent_leader_is_asked_over_a_new_connection);
    tcase_add_test(tcase, broker_follows_metadata_again_after_a_controller_could_not_read);
}

SLUICE_TEST_MAIN("sim_scenarios", add)
