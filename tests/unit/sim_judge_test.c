/* SPDX-License-Identifier: Apache-2.0 */
/* The judges of the simulator: what they let pass, and what they do not. */
#include <string.h>

#include "broker/broker.h"
#include "broker/shard/partition_internal.h"
#include "common/base/assert.h"
#include "common/batch/batch.h"
#include "tests/lib/unit.h"
#include "tests/sim/counted.h"
#include "tests/sim/faults.h"
#include "tests/sim/nodes.h"
#include "tests/sim/observe.h"
#include "tests/sim/range.h"
#include "tests/sim/run_int.h"

#define SECOND 1000000u

static struct world *world;
static struct cluster *cluster;
static int transactors; /* of the next setup */

static void run(uint64_t us)
{
    world_run(world, world_now_us(world) + us);
}

static bool whole(void *ctx)
{
    char why[CLUSTER_TEXT_MAX];
    return cluster_is_whole(cluster, why, sizeof(why));
}

static void setup_with(int brokers, int partitions, int admins)
{
    struct world_options options = {
        .seed = 1, .latency_us = 150, .jitter_us = 100, .disk_sync_us = 300, .disk_read_us = 50};
    struct cluster_options shape = {.controllers = 1,
                                    .brokers = brokers,
                                    .shards = 1,
                                    .topics = 1,
                                    .partitions = partitions,
                                    .admins = admins,
                                    .transactors = transactors,
                                    .replicas = 3,
                                    .min_isr = 2,
                                    .producers = 1,
                                    .trim_topic = -1,
                                    .compact_topic = -1,
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

/* Three brokers, one controller, one partition with some hundred records; nobody writes any more. */
static void setup(void)
{
    setup_with(3, 1, 0);
    run(3 * SECOND);
    cluster->draining = true;
    ck_assert(world_run_until(world, 30 * SECOND, whole, NULL));
    ck_assert_uint_gt(cluster->sends_acked, 100);
}

static void finish(void)
{
    for (int i = 0; i < cluster->node_count; i++) {
        cluster->nodes[i].wanted = false;
        node_kill(&cluster->nodes[i], DEATH_KILL, 0);
    }
    cluster_free(cluster);
    world_free(world);
    free(cluster);
}

static void take(void *ctx, struct partition *partition)
{
    struct partition **found = ctx;
    if (str_eq_z(partition_topic(partition), "t0"))
        *found = partition;
}

static struct partition *replica_of(const struct node *node)
{
    struct partition *found = NULL;
    broker_each_replica(node_broker(node), take, &found);
    ck_assert_ptr_nonnull(found);
    return found;
}

static struct node *a_follower(void)
{
    for (int i = 0;; i++) {
        struct node *node = cluster_node(cluster, ROLE_BROKER, i);
        if (replica_of(node)->core.role == REPLICA_FOLLOWER)
            return node;
    }
}

/* -- counted.c: who is in doubt -- */

/* How often a look finds somebody in the in-sync set who does not hold what its leader counts on. */
static size_t found_behind(void)
{
    const struct history_writer *history = &cluster->chronicle.writer;
    size_t before = history->used;
    counted_look(cluster->counted);
    return (history->used - before) / HISTORY_RECORD_BYTES;
}

START_TEST(replica_in_doubt_is_excused_until_it_could_have_told)
{
    setup();
    struct node *node = a_follower();
    struct partition *p = replica_of(node);
    int64_t end = p->core.log_end;
    uint64_t *since_us = &cluster->counted->doubted_us[node->id - CLUSTER_BROKER_BASE][0][0];
    ck_assert_uint_eq(found_behind(), 0);
    p->core.log_end = end - 5;
    ck_assert_uint_eq(found_behind(), 1); /* without a doubt: at once */
    p->back.doubt = true;
    *since_us = world_now_us(world) - COUNTED_DOUBT_US + 1000;
    ck_assert_uint_eq(found_behind(), 0);
    *since_us = world_now_us(world) - COUNTED_DOUBT_US;
    ck_assert_uint_eq(found_behind(), 1); /* no longer than that */
    p->back.doubt = false;
    ck_assert_uint_eq(found_behind(), 1);
    p->back.doubt = true; /* a new doubt has its own time */
    ck_assert_uint_eq(found_behind(), 0);
    p->back.doubt = false;
    p->core.log_end = end;
    ck_assert_uint_eq(found_behind(), 0);
    finish();
}
END_TEST

/* -- sound.c: what must be over at the end -- */

static void expect_trouble(const char *text)
{
    char why[CLUSTER_TEXT_MAX] = "";
    ck_assert(!cluster_is_whole(cluster, why, sizeof(why)));
    ck_assert_msg(strstr(why, text) != NULL, "%s", why);
}

START_TEST(cluster_with_a_replica_in_doubt_is_not_whole)
{
    setup();
    struct partition *p = replica_of(a_follower());
    p->back.doubt = true;
    expect_trouble("in doubt");
    p->back.doubt = false;
    ck_assert(whole(NULL));
    finish();
}
END_TEST

START_TEST(manifest_that_cannot_be_written_is_no_good_end)
{
    setup();
    struct node *node = cluster_node(cluster, ROLE_BROKER, 0);
    disk_fail(node->process, DISK_WRITE, 1, UINT32_MAX, ERR_IO, "/data/manifest");
    cluster->draining = false; /* new records, and with them new recovery points */
    run(8 * SECOND);
    cluster->draining = true;
    run(2 * SECOND);
    expect_trouble("manifest is given up");
    disk_mend(node->process);
    ck_assert(world_run_until(world, 60 * SECOND, whole, NULL)); /* it heals itself */
    finish();
}
END_TEST

/* A log start may be forgotten until it is written down, so that it is not judged before; but it is written
 * down in the end. */
START_TEST(log_start_that_is_not_durable_is_no_good_end)
{
    setup();
    struct node *node = a_follower();
    struct partition *p = replica_of(node);
    struct manifest_entry entry;
    ck_assert(manifest_get(p->host->manifest, p->topic_id, 0, &entry));
    disk_stall(node->process, 5 * SECOND);
    entry.log_start = 1;
    manifest_put(p->host->manifest, &entry);
    expect_trouble("log start is not durable");
    run(SECOND);
    expect_trouble("log start is not durable");
    ck_assert(world_run_until(world, 30 * SECOND, whole, NULL));
    finish();
}
END_TEST

/* -- replicas.c: which bits may flip -- */

struct log_file {
    struct process *process;
    char path[128];
    uint64_t end, newest; /* of the batches; where the last begins */
};

static bool find_log(void *ctx, const char *path, uint64_t size)
{
    struct log_file *file = ctx;
    size_t len = strlen(path);
    if (strcmp(path + len - 4, ".log") != 0 || size == 0)
        return true;
    snprintf(file->path, sizeof(file->path), "%s", path);
    return false;
}

static struct log_file log_of(struct node *node)
{
    uint8_t header[BATCH_HEADER_BYTES];
    size_t got;
    struct log_file file = {.process = node->process};
    disk_walk(node->process, "/data/t0-0", find_log, &file);
    file.end = replicas_data_end(node->process, file.path);
    for (uint64_t at = 0; at < file.end; at += batch_size(header)) {
        file.newest = at;
        ck_assert_int_eq(disk_peek(node->process, file.path, at, header, sizeof(header), &got), OK);
    }
    ck_assert_uint_gt(file.newest, 0);
    return file;
}

START_TEST(newest_batch_is_spared_until_its_sync_is_on_record)
{
    setup();
    struct node *node = a_follower();
    struct log_file file = log_of(node);
    ck_assert(replicas_may_flip(node, file.path, file.newest - 1)); /* good batches behind it */
    ck_assert(!replicas_may_flip(node, file.path, file.newest + 20));
    ck_assert(!replicas_may_flip(node, file.path, file.newest + 12)); /* its epoch, never */
    run(8 * SECOND);                                                  /* by now the manifest knows */
    ck_assert(!replicas_may_flip(node, file.path, file.newest + 20)); /* but a power cut may make it forget */
    cluster->options.no_power_cuts = true;
    ck_assert(replicas_may_flip(node, file.path, file.newest + 20));
    ck_assert(!replicas_may_flip(node, file.path, file.newest + 12));
    finish();
}
END_TEST

static bool mended(void *ctx)
{
    return !replicas_are_damaged(cluster);
}

START_TEST(damage_is_seen_until_it_is_mended)
{
    setup();
    struct node *node = a_follower();
    cluster->rotten = node;
    ck_assert(!replicas_are_damaged(cluster));
    ck_assert(replicas_rot(node->process, 0, 0, 3));
    ck_assert(replicas_are_damaged(cluster));
    ck_assert(world_run_until(world, 30 * SECOND, mended, NULL)); /* the scrubber finds it, others have it */
    finish();
}
END_TEST

/* -- faults_met.c, run.c, range.c: void runs -- */

START_TEST(cut_counts_only_what_it_held_itself)
{
    setup();
    struct faults faults = {.cluster = cluster};
    struct node *broker = cluster_node(cluster, ROLE_BROKER, 0),
                *other = cluster_node(cluster, ROLE_BROKER, 1);
    struct node *controller = cluster_node(cluster, ROLE_CONTROLLER, 0);
    struct node *producer = cluster_node(cluster, ROLE_PRODUCER, 0);
    struct active_fault busy = {.faults = &faults, .kind = FAULT_CUT_ONE_WAY, .a = broker, .b = controller};
    struct active_fault idle = {.faults = &faults, .kind = FAULT_CUT_ONE_WAY, .a = controller, .b = producer};
    struct active_fault elsewhere = {.faults = &faults, .kind = FAULT_CUT, .a = other, .b = controller};
    world_cut(world, broker->process, controller->process, true);
    world_cut(world, controller->process, producer->process, true); /* who never speak with each other */
    run(2 * SECOND);
    ck_assert_uint_gt(fault_met(&busy), 0);
    ck_assert_uint_eq(fault_met(&idle), 0);
    ck_assert_uint_eq(fault_met(&elsewhere), 0);
    uint64_t met = fault_met(&busy);
    world_heal(world);
    ck_assert_uint_eq(fault_met(&busy), met); /* healing forgets nothing */
    finish();
}
END_TEST

START_TEST(disk_fault_counts_on_its_own_disk_only)
{
    setup();
    struct faults faults = {.cluster = cluster};
    struct node *a = cluster_node(cluster, ROLE_BROKER, 0), *b = cluster_node(cluster, ROLE_BROKER, 1);
    struct active_fault on_a = {.faults = &faults, .kind = FAULT_STALL, .a = a};
    struct active_fault on_b = {.faults = &faults, .kind = FAULT_STALL, .a = b};
    struct active_fault death = {.faults = &faults, .kind = FAULT_DIE_AT_BROKER, .a = a};
    disk_stall(a->process, SECOND);
    cluster->draining = false;
    run(SECOND);
    ck_assert_uint_gt(fault_met(&on_a), 0);
    ck_assert_uint_eq(fault_met(&on_b), 0);
    node_kill(a, DEATH_POWER, SECOND);
    ck_assert_uint_eq(fault_met(&death), 0); /* it died of something else */
    run(5 * SECOND);
    disk_die_at(a->process, 1, false, DEATH_KILL);
    run(5 * SECOND);
    ck_assert_uint_eq(fault_met(&death), 1);
    finish();
}
END_TEST

static bool is_void(uint64_t operations, uint64_t asked, uint64_t bitten, uint64_t interval_us)
{
    struct plan plan = {.run_us = 60 * SECOND, .fault_interval_us = interval_us};
    struct run_result result = {.operations = operations};
    run_weigh(&plan, asked, bitten, &result);
    return result.is_void;
}

START_TEST(run_is_void_when_one_fault_did_not_bite)
{
    ck_assert(!is_void(2000, 10, 10, SECOND));
    ck_assert(is_void(2000, 10, 9, SECOND));
    ck_assert(is_void(2000, 0, 0, SECOND)); /* a plan with faults that asked for none */
    ck_assert(!is_void(2000, 0, 0, 0));     /* a healthy cluster */
    ck_assert(is_void(1999, 10, 10, SECOND));
}
END_TEST

static bool is_accepted(uint64_t seeds, uint64_t is_void, uint64_t operations, uint64_t bitten)
{
    struct range_options options = {.jobs = 1};
    struct range_totals totals = {.seeds = seeds,
                                  .is_void = is_void,
                                  .virtual_us = seeds * 60 * SECOND,
                                  .operations = operations * seeds,
                                  .asked = bitten * seeds,
                                  .bitten = bitten * seeds};
    FILE *out = tmpfile();
    bool good = range_report(&options, &totals, out);
    fclose(out);
    return good;
}

START_TEST(range_bears_one_void_run_in_twenty)
{
    ck_assert(is_accepted(20, 1, 2000, 10));
    ck_assert(!is_accepted(20, 2, 2000, 10));
    ck_assert(!is_accepted(39, 2, 2000, 10));
    ck_assert(is_accepted(40, 2, 2000, 10));
    ck_assert(!is_accepted(20, 0, 1999, 10));
    ck_assert(!is_accepted(20, 0, 2000, 9));
}
END_TEST

/* Of one broker and partition: samples that no move lies between, and those behind the first move. */
struct lives {
    uint32_t process; /* of the last sample; 0: none yet */
    bool moved;       /* since then */
};

static int look_at_lives(int broker, int partition)
{
    const struct history_writer *history = &cluster->chronicle.writer;
    struct lives lives = {0};
    int again = 0;
    for (size_t i = 0; i < history_count(history->used); i++) {
        struct history_record r;
        if (history_get(history->bytes, i, &r) != OK || r.topic != cluster_topic(0) ||
            r.partition != (int32_t)partition)
            continue;
        if (r.op == HISTORY_METADATA && r.what == HISTORY_ISR && !((uint64_t)r.arg2 >> broker % 64 & 1))
            lives.moved = true;
        if (r.op != HISTORY_SAMPLE || r.node != broker)
            continue;
        bool other = lives.process != 0 && r.process != lives.process;
        again += lives.process != 0 && lives.moved;
        ck_assert(lives.process == 0 || other == lives.moved);
        lives = (struct lives){.process = r.process};
    }
    return again;
}

/* Such a log begins anew, perhaps below what the broker's former log had heard of. */
START_TEST(a_replica_that_was_moved_away_and_back_is_sampled_as_another_one)
{
    struct observer observer;
    int again = 0;
    setup_with(5, 4, 2);
    observer_start(&observer, cluster);
    run(60 * SECOND);
    observer_end(&observer);
    for (int b = 0; b < 5; b++)
        for (int p = 0; p < 4; p++)
            again += look_at_lives(CLUSTER_BROKER_BASE + b, p);
    ck_assert_int_gt(again, 3);
    finish();
}
END_TEST

/* -- observe.c: what is whole -- */

static bool holds_data(const struct node *node)
{
    struct partition *found = NULL;
    broker_each_replica(node_broker(node), take, &found);
    return found != NULL;
}

/* Its replicas are compared in the end as those of the others. */
START_TEST(cluster_is_not_whole_while_replicas_of_the_transactions_are_missing)
{
    char why[CLUSTER_TEXT_MAX] = "";
    int without = 0;
    transactors = 1;
    setup_with(4, 1, 0);
    run(3 * SECOND);
    cluster->draining = true;
    ck_assert(world_run_until(world, 30 * SECOND, whole, NULL));
    while (without < 4 && holds_data(cluster_node(cluster, ROLE_BROKER, without)))
        without++;
    ck_assert_int_lt(without, 4);
    cluster_node(cluster, ROLE_BROKER, without)->wanted = false;
    node_kill(cluster_node(cluster, ROLE_BROKER, without), DEATH_KILL, 0);
    run(10 * SECOND); /* its session ends, others lead */
    ck_assert(!cluster_is_whole(cluster, why, sizeof(why)));
    ck_assert_ptr_nonnull(strstr(why, "tx-"));
    finish();
    transactors = 0;
}
END_TEST

/* The metadata are of before for as long as no session has ended; a reader would find high watermarks of old.
 */
START_TEST(cluster_is_not_whole_before_its_leaders_know_that_they_lead)
{
    char why[CLUSTER_TEXT_MAX] = "";
    setup();
    for (int i = 0; i < 3; i++)
        node_kill(cluster_node(cluster, ROLE_BROKER, i), DEATH_POWER, 0);
    run(SECOND / 10);
    for (int i = 0; i < 3; i++)
        ck_assert(cluster_node(cluster, ROLE_BROKER, i)->started);
    ck_assert(!cluster_is_whole(cluster, why, sizeof(why)));
    ck_assert(world_run_until(world, 30 * SECOND, whole, NULL));
    finish();
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, cluster_is_not_whole_before_its_leaders_know_that_they_lead);
    tcase_add_test(tcase, a_replica_that_was_moved_away_and_back_is_sampled_as_another_one);
    tcase_add_test(tcase, cluster_is_not_whole_while_replicas_of_the_transactions_are_missing);
    tcase_add_test(tcase, replica_in_doubt_is_excused_until_it_could_have_told);
    tcase_add_test(tcase, cluster_with_a_replica_in_doubt_is_not_whole);
    tcase_add_test(tcase, manifest_that_cannot_be_written_is_no_good_end);
    tcase_add_test(tcase, log_start_that_is_not_durable_is_no_good_end);
    tcase_add_test(tcase, newest_batch_is_spared_until_its_sync_is_on_record);
    tcase_add_test(tcase, damage_is_seen_until_it_is_mended);
    tcase_add_test(tcase, cut_counts_only_what_it_held_itself);
    tcase_add_test(tcase, disk_fault_counts_on_its_own_disk_only);
    tcase_add_test(tcase, run_is_void_when_one_fault_did_not_bite);
    tcase_add_test(tcase, range_bears_one_void_run_in_twenty);
}

SLUICE_TEST_MAIN("sim_judge", add)
