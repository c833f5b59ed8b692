/* SPDX-License-Identifier: Apache-2.0 */
/* Directories that processes make for themselves must outlive a power cut (found by simulation: whole data
 * and metadata directories vanished, synced files and all). */
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/log/log_path.h"
#include "tests/lib/unit.h"
#include "tests/sim/world/world.h"

#define SEEDS 60

static void make_dir(void *arg, struct env *env)
{
    struct env_file *file;
    ASSERT(log_dir_make_wait(env, "/var/lib/data/") == OK);
    ASSERT(env_file_open(env, "/var/lib/data/f", ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file) == OK);
    ASSERT(env_file_sync_wait(file) == OK && env_dir_sync_wait(env, "/var/lib/data") == OK);
    env_file_close(file);
    *(bool *)arg = true;
}

static bool survives(uint64_t seed, uint32_t die_first_at)
{
    struct world_options options = {.seed = seed, .disk_sync_us = 300};
    struct world *world = world_new(&options);
    struct process *host = world_process_new(world, "host");
    bool made = false;
    process_start(host, make_dir, &made);
    disk_die_at(host, die_first_at, true, DEATH_KILL);
    world_run(world, 1000000);
    if (!process_alive(host)) {
        process_start(host, make_dir, &made);
        world_run(world, 2000000);
    }
    ck_assert(made);
    process_kill(host, DEATH_POWER);
    bool exists = false;
    process_start(host, make_dir, &made);
    exists = disk_peek(host, "/var/lib/data/f", 0, NULL, 0, &(size_t){0}) == OK;
    world_free(world);
    return exists;
}

START_TEST(made_directory_survives_a_power_cut_also_after_a_death_half_way)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        for (uint32_t die_at = 0; die_at < 6; die_at++)
            ck_assert(survives(seed, die_at));
}
END_TEST

START_TEST(file_in_the_way_is_an_error)
{
    struct world_options options = {.seed = 1};
    struct world *world = world_new(&options);
    struct process *host = world_process_new(world, "host");
    bool made = false;
    process_start(host, make_dir, &made);
    world_run(world, 1000000);
    ck_assert_int_eq(log_dir_make_wait(process_env(host), "/var/lib/data/f"), ERR_EXISTS);
    ck_assert_int_ne(log_dir_make_wait(process_env(host), "/var/lib/data/f/g"), OK);
    ck_assert_int_eq(log_dir_make_wait(process_env(host), ""), ERR_INVALID);
    world_free(world);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, made_directory_survives_a_power_cut_also_after_a_death_half_way);
    tcase_add_test(tcase, file_in_the_way_is_an_error);
}

SLUICE_TEST_MAIN("sim_log_dir", add)
