/* SPDX-License-Identifier: Apache-2.0 */
/* Partitions on the real env: real files, real syncs, and a counter that says whether the steady path
 * allocates. */
#include <stdio.h>
#include <unistd.h>

#include "common/env_uv/env_uv.h"
#include "tests/unit/broker_fixture.h"

#define DEADLINE_US (20 * 1000 * 1000)

struct fixture {
    char dir[64], data[BROKERS_MAX][96];
    struct env *env;
    struct broker b[2];
    struct partition_config config;
};

static void setup(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    strcpy(f->dir, "/tmp/sluice-partition-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(f->dir));
    f->env = env_uv_main_new();
    f->config = fixture_config();
    for (int i = 0; i < 2; i++) {
        snprintf(f->data[i], sizeof(f->data[i]), "%s/%d", f->dir, i + 1);
        broker_init(&f->b[i], f->env, i + 1, f->data[i]);
        broker_open(&f->b[i], &f->config);
    }
}

static bool remove_one(void *ctx, const char *name, bool is_dir)
{
    const char *dir = ((const char **)ctx)[0];
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (is_dir) {
        const char *inner[2] = {path, ((const char **)ctx)[1]};
        env_dir_list(((struct env **)ctx)[1], path, remove_one, inner);
        rmdir(path);
    } else {
        unlink(path);
    }
    return true;
}

static void teardown(struct fixture *f)
{
    void *ctx[2] = {f->dir, f->env};
    for (int i = 0; i < 2; i++)
        broker_stop(&f->b[i]);
    env_uv_main_stop(f->env);
    env_uv_main_run(f->env);
    env_dir_list(f->env, f->dir, remove_one, ctx);
    rmdir(f->dir);
    env_uv_main_free(f->env);
}

static void tick(struct env_timer *timer)
{
}

/* A turn that sleeps for a millisecond at most. */
static void turn(struct fixture *f)
{
    struct env_timer timer;
    env_timer_init(&timer, tick);
    env_timer_set(f->env, &timer, env_now_us(f->env) + 1000);
    env_uv_main_turn(f->env);
    env_timer_cancel(f->env, &timer);
}

static void turn_until(struct fixture *f, const int *answers)
{
    uint64_t deadline = env_now_us(f->env) + DEADLINE_US;
    while (*answers == 0 && env_now_us(f->env) < deadline)
        turn(f);
    ck_assert_int_ne(*answers, 0);
}

/* One fetch of broker 2 from broker 1. */
static void fetch(struct fixture *f)
{
    struct partition_fetch_state state;
    struct partition_read_result result;
    ck_assert(partition_fetch_state(f->b[1].p, &state));
    ck_assert_int_eq(partition_follower_fetched(f->b[0].p, 2, 102, state.fetch_offset, state.durable_offset,
                                                state.leader_epoch, state.last_fetched_epoch),
                     KAFKA_NONE);
    struct partition_read request = {.fetch_offset = state.fetch_offset,
                                     .max_bytes = 1 << 20,
                                     .at_least_one = true,
                                     .replica_id = 2,
                                     .current_leader_epoch = state.leader_epoch,
                                     .last_fetched_epoch = state.last_fetched_epoch};
    partition_read(f->b[0].p, &request, &result);
    ck_assert_int_eq(result.error, KAFKA_NONE);
    if (result.diverging_epoch >= 0)
        partition_follower_diverged(f->b[1].p, state.leader_epoch, result.diverging_epoch,
                                    result.diverging_end_offset);
    else
        ck_assert_int_eq(partition_follower_append(
                             f->b[1].p, state.leader_epoch, result.pieces_count ? result.pieces[0].p : NULL,
                             result.bytes, result.pieces_count ? result.pieces[0].owner : NULL,
                             result.high_watermark, result.log_start),
                         OK);
    partition_read_release(&result);
}

static void hooked(void *ctx, struct partition *p)
{
    ++*(int *)ctx;
}

START_TEST(acks_all_is_answered_when_both_disks_have_it)
{
    struct fixture f;
    struct waiter w;
    setup(&f);
    for (int i = 0; i < 2; i++)
        broker_apply(&f.b[i], 1, 0, 1, 2, 2, &f.config);
    int moved = 0;
    partition_set_fetch_hook(f.b[1].p, hooked, &moved);
    for (int round = 0; round < 20; round++) {
        ck_assert(produce(&f.b[0], 3, -1, &w).waits);
        fetch(&f);
        while (view_of(&f.b[1]).synced_end < 3 * round + 3) {
            moved = 0;
            turn_until(&f, &moved); /* the follower's sync */
        }
        ck_assert_int_eq(view_of(&f.b[1]).synced_end, 3 * round + 3);
        fetch(&f);
        turn_until(&f, &w.answers);
        ck_assert_int_eq(w.error, KAFKA_NONE);
        ck_assert_int_eq(view_of(&f.b[0]).high_watermark, 3 * round + 3);
    }
    teardown(&f);
}
END_TEST

START_TEST(a_diverged_follower_is_cut_and_both_end_equal)
{
    struct fixture f;
    struct waiter w;
    setup(&f);
    broker_apply(&f.b[1], 2, 0, 1, 2, 2, &f.config);
    ck_assert_int_eq(produce(&f.b[1], 5, 1, &w).error, KAFKA_NONE); /* only there */
    turn_until(&f, &w.answers);
    for (int i = 0; i < 2; i++)
        broker_apply(&f.b[i], 1, 1, 2, 2, 2, &f.config);
    ck_assert(produce(&f.b[0], 2, -1, &w).waits);
    uint64_t deadline = env_now_us(f.env) + DEADLINE_US;
    while (w.answers == 0 && env_now_us(f.env) < deadline) {
        fetch(&f);
        turn(&f);
    }
    ck_assert_int_eq(w.answers, 1);
    ck_assert_int_eq(w.error, KAFKA_NONE);
    ck_assert_int_eq(view_of(&f.b[1]).log_end, 2);
    ck_assert_int_eq(view_of(&f.b[1]).leader_epoch, 1);
    teardown(&f);
}
END_TEST

START_TEST(all_is_there_after_closing_and_opening_again)
{
    struct fixture f;
    struct waiter w = {0};
    setup(&f);
    for (int clean = 0; clean < 2; clean++) {
        broker_apply(&f.b[0], 1, clean, 1 + clean, 1, 1, &f.config);
        for (int i = 0; i < 100; i++)
            ck_assert_int_eq(produce(&f.b[0], 2, i == 99 ? 1 : 0, &w).error, KAFKA_NONE);
        turn_until(&f, &w.answers);
        int64_t end = view_of(&f.b[0]).log_end;
        broker_close(&f.b[0], clean);
        broker_open(&f.b[0], &f.config);
        ck_assert_int_eq(view_of(&f.b[0]).log_end, end);
        ck_assert_int_eq(end, 200 * (clean + 1));
    }
    teardown(&f);
}
END_TEST

START_TEST(a_steady_produce_and_fetch_allocates_nothing)
{
    struct fixture f;
    struct waiter w;
    setup(&f);
    for (int i = 0; i < 2; i++)
        broker_apply(&f.b[i], 1, 0, 1, 2, 2, &f.config);
    struct iobuf *batch = make_batch(1, 100, 1000, -1, -1, -1);
    struct iobuf *copy = iobuf_get(f.env->pool, batch->len);
    uint64_t before = 0;
    for (int i = 0; i < 300; i++) {
        struct partition_appended ret;
        struct partition_append request = {.records = copy->data,
                                           .len = (int32_t)batch->len,
                                           .owner = copy,
                                           .acks = 1,
                                           .timeout_ms = 30000,
                                           .current_leader_epoch = -1};
        ck_assert_uint_eq(atomic_load(&copy->refs), 1); /* what the last turn appended is written */
        memcpy(copy->data, batch->data, batch->len);
        memset(&w, 0, sizeof(w));
        w.wait.done = waiter_done;
        partition_append(f.b[0].p, &request, &w.wait, &ret);
        ck_assert_int_eq(ret.error, KAFKA_NONE);
        turn_until(&f, &w.answers);
        fetch(&f);
        if (i == 50)
            before = iobuf_pool_mallocs(f.env->pool);
    }
    ck_assert_uint_eq(iobuf_pool_mallocs(f.env->pool), before);
    iobuf_unref(copy);
    iobuf_unref(batch);
    teardown(&f);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, acks_all_is_answered_when_both_disks_have_it);
    tcase_add_test(tcase, a_diverged_follower_is_cut_and_both_end_equal);
    tcase_add_test(tcase, all_is_there_after_closing_and_opening_again);
    tcase_add_test(tcase, a_steady_produce_and_fetch_allocates_nothing);
}

SLUICE_TEST_MAIN("broker_partition_uv", add)
