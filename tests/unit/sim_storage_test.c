/* SPDX-License-Identifier: Apache-2.0 */
/* What a controller read at its start must outlive a power cut, also when the process before it was killed
 * between a rename and its sync (found by simulation: the term of a killed process was believed, entries of
 * that term were synced, and the cut brought the older term back). */
#include <stdio.h>

#include "common/base/assert.h"
#include "controller/storage.h"
#include "tests/lib/unit.h"
#include "tests/sim/world/world.h"

#define SEEDS   20
#define DEATHS  30
#define TERMS   8
#define LIFE_US 2000000

struct life {
    enum err err;
    uint64_t term; /* as it was read */
    bool votes;    /* go on to later terms */
    char text[STORAGE_TEXT_MAX];
};

static void live(void *arg, struct env *env)
{
    struct life *life = arg;
    struct storage *storage;
    struct storage_options options = {.dir = "/metadata", .node_id = 1, .segment_bytes = 1 << 16};
    life->err = storage_open(env, &options, &storage, life->text);
    if (life->err)
        return;
    if (storage_is_new(storage))
        life->err = storage_bootstrap_wait(storage, 1, (struct bytes){(const uint8_t *)"c", 1});
    life->term = storage_term(storage);
    for (uint64_t term = life->term + 1; life->votes && term <= TERMS; term++)
        ASSERT(storage_set_vote_wait(storage, term, 1) == OK);
    storage_close(storage);
}

/* A life that is killed, one that reads what is left, a power cut, and the term that remains. */
static void term_survives(uint64_t seed, uint32_t die_at)
{
    struct world_options options = {.seed = seed, .disk_sync_us = 300};
    struct world *world = world_new(&options);
    struct process *host = world_process_new(world, "host");
    struct life first = {.votes = true}, second = {.votes = false}, third = {.votes = false};
    process_start(host, live, &first);
    disk_die_at(host, die_at, true, DEATH_KILL);
    world_run(world, LIFE_US);
    if (process_alive(host))
        process_kill(host, DEATH_KILL);
    process_start(host, live, &second);
    world_run(world, 2 * LIFE_US);
    process_kill(host, DEATH_POWER);
    process_start(host, live, &third);
    world_run(world, 3 * LIFE_US);
    ck_assert_msg(third.err == OK, "%s", third.text);
    ck_assert_uint_ge(third.term, second.term);
    world_free(world);
}

START_TEST(a_term_that_was_read_survives_a_power_cut)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        for (uint32_t die_at = 0; die_at < DEATHS; die_at++)
            term_survives(seed, die_at);
}
END_TEST

/* -- a sync fails, and the process dies before it can tell anybody -- */

struct append {
    uint32_t count;   /* entries to append and sync */
    enum err err;     /* of opening, or of the sync */
    uint64_t last[2]; /* as they were read, and with those appended */
    char text[STORAGE_TEXT_MAX];
};

static void live_and_append(void *arg, struct env *env)
{
    struct append *life = arg;
    struct storage *storage;
    struct storage_options options = {.dir = "/metadata", .node_id = 1, .segment_bytes = 1 << 16};
    struct raft_log_entry entry = {.term = 1, .type = 1, .data = "entry", .len = 5};
    life->err = storage_open(env, &options, &storage, life->text);
    if (life->err)
        return;
    if (storage_is_new(storage))
        life->err = storage_bootstrap_wait(storage, 1, (struct bytes){(const uint8_t *)"c", 1});
    struct raft_log *log = storage_log(storage);
    life->last[0] = raft_log_last(log);
    for (uint32_t i = 0; i < life->count; i++)
        ASSERT(raft_log_append(log, raft_log_last(log) + 1, &entry, 1) == OK);
    if (life->err == OK && life->count > 0)
        life->err = raft_log_sync_wait(log);
    life->last[1] = raft_log_last(log);
    storage_close(storage); /* writes nothing */
}

static void run_append(struct world *world, struct process *host, struct append *life)
{
    process_start(host, live_and_append, life);
    world_run(world, world_now_us(world) + LIFE_US);
}

START_TEST(entries_that_were_read_after_a_failed_sync_survive_a_power_cut)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct world_options options = {.seed = seed, .disk_sync_us = 300};
        struct world *world = world_new(&options);
        struct process *host = world_process_new(world, "host");
        struct append lives[4] = {{.count = 3}, {.count = 40}, {.count = 20}, {.count = 0}};
        run_append(world, host, &lives[0]);
        ck_assert_int_eq(lives[0].err, OK);
        process_kill(host, DEATH_KILL);
        disk_fail(host, DISK_SYNC, 2, 1, ERR_IO, ".log"); /* after that of opening */
        run_append(world, host, &lives[1]);
        ck_assert_int_eq(lives[1].err, ERR_IO);
        process_kill(host, DEATH_KILL);
        run_append(world, host, &lives[2]);
        ck_assert_msg(lives[2].err == OK, "%s", lives[2].text);
        process_kill(host, DEATH_POWER);
        run_append(world, host, &lives[3]);
        ck_assert_msg(lives[3].err == OK, "%s", lives[3].text);
        ck_assert_uint_eq(lives[3].last[0], lives[2].last[1]);
        world_free(world);
    }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, entries_that_were_read_after_a_failed_sync_survive_a_power_cut);
    tcase_add_test(tcase, a_term_that_was_read_survives_a_power_cut);
}

SLUICE_TEST_MAIN("sim_storage", add)
