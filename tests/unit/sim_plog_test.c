/* SPDX-License-Identifier: Apache-2.0 */
/* What a partition log has synced outlives power cuts, also when the life before died at once or a sync
 * failed on the way (found by simulation: whole logs were set aside, because their partition.metadata was not
 * durable). */
#include <string.h>

#include "broker/log/plog_hooks.h"
#include "broker/log/plog_internal.h"
#include "broker/log/plog_txnindex.h"
#include "common/base/assert.h"
#include "common/batch/builder.h"
#include "tests/lib/unit.h"
#include "tests/sim/world/world.h"

#define SEEDS       40
#define DATA_DIR    "/data"
#define VALUE_BYTES 2000 /* some sectors */

static uint8_t sectors[VALUE_BYTES];
static struct plog_setup setup;
static struct plog *the_log;
static struct plog_report report;
static int64_t synced;
static enum err open_err;
static bool power_lost, clean;

static void on_synced(void *ctx, int64_t synced_end, enum err err)
{
    if (err == OK)
        synced = synced_end;
}

static void open_log(void *arg, struct env *env)
{
    env_mkdir(env, DATA_DIR);
    ASSERT(env_dir_sync_wait(env, "/") == OK);
    setup = (struct plog_setup){.env = env,
                                .data_dir = DATA_DIR,
                                .name = "orders-0",
                                .topic_id = {{1, 2, 3}},
                                .config = {.segment_bytes = 1 << 20, .producer_expiry_us = 1000000},
                                .recovery_point = synced,
                                .clean = clean,
                                .power_lost = power_lost,
                                .synced = on_synced};
    open_err = plog_open(&setup, &the_log, &report);
}

/* arg: NULL, or a value of VALUE_BYTES in place of a short one */
static void append_one(void *arg)
{
    struct bytes value = {.p = arg != NULL ? arg : "x", .len = arg != NULL ? VALUE_BYTES : 1};
    struct batch_opts opts = BATCH_OPTS_PLAIN;
    struct batch_builder builder;
    struct iobuf *batch;
    struct record_in record = {.key = BYTES_NULL, .value = value};
    ASSERT(batch_builder_init(&builder, &opts, NULL, 4096, 1 << 20) == OK &&
           batch_builder_add(&builder, &record) == OK && batch_builder_finish(&builder, NULL, &batch) == OK);
    batch_set_base_offset(batch->data, plog_end(the_log));
    batch_set_leader_epoch(batch->data, 0);
    ASSERT(plog_append(the_log, batch->data, batch->len) == OK);
    iobuf_unref(batch);
}

static void append_and_sync(void *arg)
{
    append_one(arg);
    plog_sync(the_log);
}

static void stop_with_a_round_under_way(void *arg)
{
    append_and_sync(arg);
    ASSERT(plog_close_clean(the_log) == ERR_BUSY); /* the round may fail, or the cut comes all the same */
}

static struct world *start(uint64_t seed, struct process **ret_host)
{
    struct world_options options = {.seed = seed, .disk_sync_us = 300};
    struct world *world = world_new(&options);
    *ret_host = world_process_new(world, "host");
    synced = 0;
    power_lost = clean = false;
    process_start(*ret_host, open_log, NULL);
    world_run(world, 10000);
    return world;
}

static void restart(struct world *world, struct process *host, enum world_death death)
{
    process_kill(host, death);
    power_lost = death == DEATH_POWER;
    process_start(host, open_log, NULL);
    world_run(world, world_now_us(world) + 10000);
    ck_assert_int_eq(open_err, OK);
    ck_assert_int_eq(plog_end(the_log), synced);
}

START_TEST(log_of_a_life_that_died_before_its_first_sync_is_kept)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct process *host;
        struct world *world = start(seed, &host);
        restart(world, host, DEATH_KILL);
        process_call(host, append_and_sync, NULL);
        world_run(world, 100000);
        ck_assert_int_eq(synced, 1);
        restart(world, host, DEATH_POWER);
        world_free(world);
    }
}
END_TEST

/* The machine lost its power once, and no controller has heard of it yet: the next life, after a kill, is
 * told so as well. */
START_TEST(log_that_a_killed_process_made_after_a_power_cut_is_kept)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct process *host;
        struct world *world = start(seed, &host);
        process_kill(host, DEATH_KILL);
        power_lost = true;
        process_start(host, open_log, NULL);
        world_run(world, 100000);
        process_call(host, append_and_sync, NULL);
        world_run(world, 200000);
        ck_assert_int_eq(synced, 1);
        process_kill(host, DEATH_POWER);
        process_start(host, open_log, NULL);
        world_run(world, 300000);
        ck_assert_int_eq(open_err, OK);
        ck_assert_int_eq(plog_end(the_log), 1);
        world_free(world);
    }
}
END_TEST

static void stop(void *arg)
{
    ASSERT(plog_close_clean(the_log) == OK);
}

/* Found by simulation: a leader set acknowledged commits aside and led on. */
START_TEST(log_that_was_empty_at_a_clean_stop_is_kept)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct process *host;
        struct world *world = start(seed, &host);
        process_call(host, stop, NULL);
        clean = true;
        restart(world, host, DEATH_KILL);
        clean = false;
        process_call(host, append_and_sync, NULL);
        world_run(world, 100000);
        ck_assert_int_eq(synced, 1);
        restart(world, host, DEATH_POWER);
        world_free(world);
    }
}
END_TEST

START_TEST(failed_sync_at_a_stop_costs_nothing_that_was_durable)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct process *host;
        struct world *world = start(seed, &host);
        process_call(host, append_and_sync, NULL);
        world_run(world, 100000);
        ck_assert_int_eq(synced, 1);
        disk_fail(host, DISK_SYNC, 1 + seed % 5, 1, ERR_IO, NULL);
        process_call(host, stop_with_a_round_under_way, NULL);
        world_run(world, 100000 + seed * 20);
        disk_mend(host); /* where less than that was synced */
        process_kill(host, DEATH_POWER);
        power_lost = true;
        process_start(host, open_log, NULL);
        world_run(world, 200000);
        ck_assert_int_eq(open_err, OK);
        ck_assert_int_ge(plog_end(the_log), 1);
        world_free(world);
    }
}
END_TEST

/* A sync has failed, and its process dies before it tells anybody; the next one syncs one batch more, then
 * the power goes. Nothing is damaged then. */
static void lives_on_and_loses_power(struct world *world, struct process *host, uint64_t now_us, int batches)
{
    ck_assert_uint_eq(disk_failures(host, DISK_SYNC), 1);
    process_kill(host, DEATH_KILL);
    process_start(host, open_log, NULL);
    world_run(world, now_us + 100000);
    process_call(host, append_and_sync, NULL);
    world_run(world, now_us + 200000);
    ck_assert_int_eq(synced, batches);
    restart(world, host, DEATH_POWER);
    ck_assert_int_eq(report.damages, 0);
    world_free(world);
}

/* The life that saw the sync fail was killed before it could tell anybody, and the next one found all of it
 * in the page cache. */
START_TEST(what_was_synced_after_a_sync_failed_unheard_survives_a_power_cut)
{
    memset(sectors, 'v', sizeof(sectors));
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct process *host;
        struct world *world = start(seed, &host);
        process_call(host, append_and_sync, NULL);
        world_run(world, 100000);
        ck_assert_int_eq(synced, 1);
        disk_fail(host, DISK_SYNC, 1, 1, ERR_IO, ".log");
        process_call(host, append_and_sync, sectors);
        world_run(world, 200000);
        ck_assert_int_eq(synced, 1);
        power_lost = seed % 2; /* once, before that: no controller has heard of it yet */
        lives_on_and_loses_power(world, host, 200000, 3);
    }
}
END_TEST

/* The same of partition.metadata, whose only sync is the first one. */
START_TEST(log_whose_first_sync_failed_unheard_is_kept)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct process *host;
        struct world *world = start(seed, &host);
        disk_fail(host, DISK_SYNC, 1, 1, ERR_IO, "partition.metadata");
        process_call(host, append_and_sync, NULL);
        world_run(world, 100000);
        ck_assert_int_eq(synced, 0);
        power_lost = seed % 2; /* once, before that: no controller has heard of it yet */
        lives_on_and_loses_power(world, host, 100000, 2);
    }
}
END_TEST

/* The marker is not in the log here: nothing but the index tells of it. */
static void add_aborted(void *arg)
{
    struct txn_entry txn = {.producer_id = 8, .first_offset = 0, .last_offset = 1, .last_stable_offset = 0};
    append_one(arg);
    ASSERT(plog_aborted_add(the_log, plog_active(the_log), &txn) == OK);
}

static void count_aborted(void *ctx, const struct txn_entry *txn)
{
    ++*(int *)ctx;
}

static void find_aborted(void *arg)
{
    ASSERT(plog_aborted_find(the_log, 0, plog_end(the_log), count_aborted, arg, NULL) == OK);
}

/* Before the recovery point moves: who is killed next would not make the entry anew. */
START_TEST(index_of_aborted_transactions_of_a_killed_process_is_synced_by_the_next)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct process *host;
        struct world *world = start(seed, &host);
        int found = 0;
        process_call(host, append_and_sync, NULL);
        world_run(world, 100000);
        ck_assert_int_eq(synced, 1);
        process_call(host, add_aborted, NULL);
        world_run(world, 110000);
        process_kill(host, DEATH_KILL);
        process_start(host, open_log, NULL);
        world_run(world, 200000);
        process_call(host, append_and_sync, NULL);
        world_run(world, 300000);
        ck_assert_int_eq(synced, 3);
        restart(world, host, DEATH_POWER);
        process_call(host, find_aborted, &found);
        world_run(world, 400000);
        ck_assert_int_eq(found, 1);
        world_free(world);
    }
}
END_TEST

static void append_three_segments(void *arg)
{
    for (int i = 0; i < 3; i++) {
        append_and_sync(arg);
        ASSERT(i == 2 || plog_roll_now(the_log) == OK);
    }
}

static void delete_log(void *arg)
{
    plog_delete(the_log);
}

/* Found by simulation: a replica that was moved away and came back began in the middle of its former log. */
START_TEST(log_that_was_being_deleted_comes_back_whole_or_not_at_all)
{
    int back = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct process *host;
        struct world *world = start(seed, &host);
        process_call(host, append_three_segments, NULL);
        world_run(world, 100000);
        ck_assert_int_eq(synced, 3);
        process_call(host, delete_log, NULL);
        world_run(world, world_now_us(world) + seed * 20);
        process_kill(host, DEATH_POWER);
        synced = 0; /* nobody knows it any more */
        power_lost = true;
        process_start(host, open_log, NULL);
        world_run(world, world_now_us(world) + 100000);
        ck_assert_int_eq(open_err, OK);
        ck_assert_int_eq(plog_start(the_log), 0);
        ck_assert(plog_end(the_log) == 0 || plog_end(the_log) == 3);
        back += plog_end(the_log) == 3;
        world_free(world);
    }
    ck_assert_int_gt(back, 0);
}
END_TEST

/* Found by simulation: a new replica filled two segments before its first sync had ended, lost the name of
 * the first one with the power, and led later with a log that began with the second. */
START_TEST(log_that_rolled_before_its_first_sync_keeps_its_beginning)
{
    int back = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct process *host;
        struct world *world = start(seed, &host);
        process_call(host, append_three_segments, NULL);
        world_run(world, world_now_us(world) + seed * 10);
        process_kill(host, DEATH_POWER);
        synced = 0;
        power_lost = true;
        process_start(host, open_log, NULL);
        world_run(world, world_now_us(world) + 100000);
        if (open_err == OK) { /* else it lost its metadata file as well, and is set aside */
            ck_assert_int_eq(plog_start(the_log), 0);
            back += plog_end(the_log) > 0;
        }
        world_free(world);
    }
    ck_assert_int_gt(back, 0);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, log_of_a_life_that_died_before_its_first_sync_is_kept);
    tcase_add_test(tcase, log_that_a_killed_process_made_after_a_power_cut_is_kept);
    tcase_add_test(tcase, log_that_was_empty_at_a_clean_stop_is_kept);
    tcase_add_test(tcase, what_was_synced_after_a_sync_failed_unheard_survives_a_power_cut);
    tcase_add_test(tcase, log_whose_first_sync_failed_unheard_is_kept);
    tcase_add_test(tcase, index_of_aborted_transactions_of_a_killed_process_is_synced_by_the_next);
    tcase_add_test(tcase, log_that_was_being_deleted_comes_back_whole_or_not_at_all);
    tcase_add_test(tcase, log_that_rolled_before_its_first_sync_keeps_its_beginning);
    tcase_add_test(tcase, failed_sync_at_a_stop_costs_nothing_that_was_durable);
}

SLUICE_TEST_MAIN("sim_plog", add)
