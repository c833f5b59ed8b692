/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "common/base/assert.h"
#include "common/log/group_sync.h"
#include "tests/lib/mem_env.h"
#include "tests/lib/unit.h"

#define WAITS 8

struct fixture {
    struct mem_world *world;
    struct mem_env *m;
    struct env_file *file;
    struct group_sync gs;
    struct group_sync_wait waits[WAITS];
    int order[WAITS], told;
    enum err errs[WAITS];
    bool gone;
};

static struct fixture *fixture; /* the done callback has no context */

static void told(struct group_sync_wait *wait, enum err err)
{
    int i = (int)(wait - fixture->waits);
    fixture->order[fixture->told++] = i;
    fixture->errs[i] = err;
    if (err == OK)
        ck_assert_uint_ge(fixture->gs.synced, wait->position);
}

static void setup(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    fixture = f;
    f->world = mem_world_new(3);
    f->m = mem_env_new(f->world);
    struct env *env = mem_env_env(f->m);
    ck_assert_int_eq(env_file_open(env, "/f", ENV_OPEN_WRITE | ENV_OPEN_CREATE, &f->file), OK);
    group_sync_init(&f->gs, env, f->file, 0);
}

static void teardown(struct fixture *f)
{
    env_file_close(f->file);
    mem_world_free(f->world);
}

static bool five_told(void *ctx)
{
    return ((struct fixture *)ctx)->told == 5;
}

static bool running(void *ctx)
{
    return group_sync_running(&((struct fixture *)ctx)->gs);
}

START_TEST(what_is_written_during_a_sync_joins_the_next_one)
{
    struct fixture f;
    setup(&f);
    group_sync_wrote(&f.gs, 10);
    group_sync_until(&f.gs, &f.waits[0], 10, told);
    ck_assert_int_eq(f.told, 0);
    ck_assert(mem_world_run_until(f.world, 100000, running, &f));
    group_sync_wrote(&f.gs, 50);
    group_sync_until(&f.gs, &f.waits[1], 50, told);
    group_sync_until(&f.gs, &f.waits[2], 30, told);
    group_sync_until(&f.gs, &f.waits[3], 10, told);
    group_sync_until(&f.gs, &f.waits[4], 40, told);
    ck_assert(mem_world_run_until(f.world, 100000, five_told, &f));
    ck_assert_uint_eq(f.gs.syncs, 2);
    int expected[5] = {0, 3, 2, 4, 1};
    ck_assert_int_eq(memcmp(f.order, expected, sizeof(expected)), 0);
    ck_assert_uint_eq(f.gs.synced, 50);
    teardown(&f);
}
END_TEST

START_TEST(a_durable_position_is_told_without_a_sync)
{
    struct fixture f;
    setup(&f);
    group_sync_init(&f.gs, mem_env_env(f.m), f.file, 100);
    group_sync_until(&f.gs, &f.waits[0], 100, told);
    mem_world_run(f.world, mem_world_now_us(f.world) + 100000);
    ck_assert_int_eq(f.told, 1);
    ck_assert_uint_eq(f.gs.syncs, 0);
    teardown(&f);
}
END_TEST

START_TEST(a_failed_sync_fails_everybody_and_is_never_retried)
{
    struct fixture f;
    setup(&f);
    mem_env_fail_sync_after(f.m, 1);
    group_sync_wrote(&f.gs, 10);
    group_sync_until(&f.gs, &f.waits[0], 10, told);
    group_sync_until(&f.gs, &f.waits[1], 5, told);
    mem_world_run(f.world, mem_world_now_us(f.world) + 100000);
    ck_assert_int_eq(f.told, 2);
    ck_assert_int_eq(f.errs[0], ERR_IO);
    ck_assert_int_eq(f.errs[1], ERR_IO);
    mem_env_restart(f.m); /* the disk works again: it is not believed */
    group_sync_until(&f.gs, &f.waits[2], 10, told);
    mem_world_run(f.world, mem_world_now_us(f.world) + 100000);
    ck_assert_int_eq(f.told, 3);
    ck_assert_int_eq(f.errs[2], ERR_IO);
    ck_assert_uint_eq(f.gs.syncs, 1);
    ck_assert_uint_eq(f.gs.synced, 0);
    teardown(&f);
}
END_TEST

static void gone(void *ctx)
{
    ((struct fixture *)ctx)->gone = true;
}

START_TEST(an_abandoned_one_tells_nobody_but_its_owner)
{
    struct fixture f;
    setup(&f);
    group_sync_wrote(&f.gs, 10);
    group_sync_until(&f.gs, &f.waits[0], 10, told);
    ck_assert(mem_world_run_until(f.world, 100000, running, &f));
    ck_assert(!group_sync_abandon(&f.gs, gone, &f));
    ck_assert(!f.gone);
    mem_world_run(f.world, mem_world_now_us(f.world) + 100000);
    ck_assert(f.gone);
    ck_assert_int_eq(f.told, 0);
    group_sync_init(&f.gs, mem_env_env(f.m), f.file, 0);
    ck_assert(group_sync_abandon(&f.gs, gone, &f));
    teardown(&f);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, what_is_written_during_a_sync_joins_the_next_one);
    tcase_add_test(tcase, a_durable_position_is_told_without_a_sync);
    tcase_add_test(tcase, a_failed_sync_fails_everybody_and_is_never_retried);
    tcase_add_test(tcase, an_abandoned_one_tells_nobody_but_its_owner);
}

SLUICE_TEST_MAIN("log_group_sync", add)
