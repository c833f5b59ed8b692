/* SPDX-License-Identifier: Apache-2.0 */
/* A turn of the loop with several appends to one partition: one write, and nobody is told before it. */
#include "broker/log/tail_cache.h"
#include "common/env/env_ops.h"
#include "tests/unit/broker_fixture.h"

#define REQUESTS 12

struct fixture {
    struct mem_world *world;
    struct broker b;
    struct partition_config config;
    struct tail_cache tail_cache;
    _Atomic uint64_t writes;
    struct waiter w[REQUESTS];
};

static void settle(struct fixture *f)
{
    mem_world_run(f->world, mem_world_now_us(f->world) + 1000000);
}

static void setup(struct fixture *f, bool sync, int32_t replicas)
{
    memset(f, 0, sizeof(*f));
    f->world = mem_world_new(12);
    f->config = fixture_config();
    f->config.sync_before_ack = sync;
    broker_start(&f->b, f->world, 1);
    tail_cache_init(&f->tail_cache, NULL, f->b.env->pool, 1 << 20);
    f->b.host.tail_cache = &f->tail_cache;
    f->b.host.log_writes = &f->writes;
    broker_open(&f->b, &f->config);
    broker_apply(&f->b, 1, 0, 0, replicas, replicas, &f->config);
    settle(f);
}

static void teardown(struct fixture *f)
{
    broker_stop(&f->b);
    settle(f);
    tail_cache_free(&f->tail_cache);
    mem_world_free(f->world);
}

/* One append of a turn that goes on. Whoever asks waits for its end, also with acks=0. */
static void append(struct fixture *f, int i, int16_t acks)
{
    struct iobuf *batch = make_batch(1, 50, 1000, 900, 0, i);
    struct partition_appended ret = append_batch(&f->b, batch, acks, &f->w[i]);
    iobuf_unref(batch);
    ck_assert_int_eq(ret.error, KAFKA_NONE);
    ck_assert_int_eq(ret.base_offset, i);
    ck_assert(ret.waits);
}

static int answers(const struct fixture *f, int16_t error)
{
    int count = 0;
    for (int i = 0; i < REQUESTS; i++) {
        ck_assert_int_le(f->w[i].answers, 1);
        count += f->w[i].answers == 1 && f->w[i].error == error;
    }
    return count;
}

static int32_t bytes_for_follower(struct fixture *f)
{
    struct partition_read request = {.max_bytes = 1 << 20,
                                     .at_least_one = true,
                                     .replica_id = 2,
                                     .current_leader_epoch = -1,
                                     .last_fetched_epoch = -1};
    struct partition_read_result result;
    partition_read(f->b.p, &request, &result);
    ck_assert_int_eq(result.error, KAFKA_NONE);
    int32_t bytes = result.bytes;
    partition_read_release(&result);
    return bytes;
}

START_TEST(appends_of_a_turn_are_one_write_and_one_moment)
{
    static const int16_t acks[] = {0, 1, -1};
    struct fixture f;
    setup(&f, false, 1);
    for (int i = 0; i < REQUESTS; i++) {
        append(&f, i, acks[i % 3]);
        ck_assert_int_eq(bytes_for_follower(&f), 0);
    }
    ck_assert_uint_eq(f.writes, 0);
    ck_assert_int_eq(answers(&f, KAFKA_NONE), 0);
    ck_assert_int_eq(view_of(&f.b).high_watermark, 0);
    env_run_tasks(f.b.env);
    ck_assert_uint_eq(f.writes, 1);
    ck_assert_int_eq(answers(&f, KAFKA_NONE), REQUESTS);
    ck_assert_int_eq(view_of(&f.b).high_watermark, REQUESTS);
    ck_assert_int_gt(bytes_for_follower(&f), REQUESTS * 50);
    teardown(&f);
}
END_TEST

START_TEST(a_sync_that_is_waited_for_begins_behind_the_write)
{
    struct fixture f;
    setup(&f, true, 1);
    for (int i = 0; i < REQUESTS; i++)
        append(&f, i, i % 2 ? 1 : -1);
    env_run_tasks(f.b.env);
    ck_assert_uint_eq(f.writes, 1);
    ck_assert_int_eq(answers(&f, KAFKA_NONE), 0);
    ck_assert_int_eq(view_of(&f.b).synced_end, 0);
    settle(&f);
    ck_assert_uint_eq(f.writes, 1);
    ck_assert_int_eq(answers(&f, KAFKA_NONE), REQUESTS);
    ck_assert_int_eq(view_of(&f.b).synced_end, REQUESTS);
    teardown(&f);
}
END_TEST

START_TEST(a_duplicate_in_the_turn_of_its_original_is_answered_with_it)
{
    struct fixture f;
    struct waiter again;
    setup(&f, false, 1);
    append(&f, 0, 1);
    struct iobuf *batch = make_batch(1, 50, 1000, 900, 0, 0);
    struct partition_appended ret = append_batch(&f.b, batch, 1, &again);
    iobuf_unref(batch);
    ck_assert_int_eq(ret.error, KAFKA_NONE);
    ck_assert_int_eq(ret.base_offset, 0);
    ck_assert(ret.waits);
    env_run_tasks(f.b.env);
    ck_assert_int_eq(again.answers, 1);
    ck_assert_int_eq(again.error, KAFKA_NONE);
    ck_assert_int_eq(view_of(&f.b).log_end, 1);
    teardown(&f);
}
END_TEST

START_TEST(a_failed_write_is_everybodys_answer)
{
    static const int16_t acks[] = {0, 1, -1};
    struct fixture f;
    setup(&f, _i == 0, 1);
    for (int i = 0; i < REQUESTS; i++)
        append(&f, i, acks[i % 3]);
    mem_env_fail_write_after(f.b.mem, 1);
    env_run_tasks(f.b.env);
    ck_assert_int_eq(answers(&f, KAFKA_KAFKA_STORAGE_ERROR), REQUESTS);
    ck_assert(view_of(&f.b).offline);
    ck_assert_int_eq(view_of(&f.b).log_end, 0);
    ck_assert_int_eq(view_of(&f.b).high_watermark, 0);
    ck_assert_int_eq(f.b.failed, ERR_IO);
    settle(&f);
    teardown(&f);
}
END_TEST

/* The new epoch of whoever leads next, or of ourselves, begins behind what was appended before. */
START_TEST(a_new_state_in_the_turn_comes_behind_the_appends)
{
    struct fixture f;
    setup(&f, false, 2);
    for (int i = 0; i < REQUESTS; i++)
        append(&f, i, 1);
    broker_apply(&f.b, _i == 0 ? 1 : 2, 1, 1, 2, 2, &f.config);
    ck_assert_uint_eq(f.writes, 1);
    env_run_tasks(f.b.env);
    ck_assert_int_eq(answers(&f, KAFKA_NONE), REQUESTS); /* written when we led */
    ck_assert_int_eq(view_of(&f.b).log_end, REQUESTS);
    if (_i == 0) {
        int32_t epoch;
        int64_t end_offset;
        ck_assert_int_eq(partition_epoch_end(f.b.p, 1, 0, &epoch, &end_offset), KAFKA_NONE);
        ck_assert_int_eq(end_offset, REQUESTS);
    }
    teardown(&f);
}
END_TEST

/* A follower that is told of what is written does not cut a turn's write in two. */
START_TEST(fetches_between_appends_leave_it_one_write)
{
    struct fixture f;
    struct waiter first;
    setup(&f, true, 2);
    struct iobuf *batch = make_batch(1, 50, 1000, -1, -1, -1);
    ck_assert(produce_batch(&f.b, batch, 1, &first).waits);
    iobuf_unref(batch);
    settle(&f);
    ck_assert_int_eq(first.answers, 1);
    ck_assert_uint_eq(f.writes, 1);
    for (int i = 0; i < 4; i++) {
        batch = make_batch(1, 50, 1000, -1, -1, -1);
        ck_assert(append_batch(&f.b, batch, -1, &f.w[i]).waits);
        iobuf_unref(batch);
        ck_assert_int_eq(partition_follower_fetched(f.b.p, 2, 102, 1, 1, 0, 0), KAFKA_NONE);
        ck_assert_int_gt(bytes_for_follower(&f), 0);
    }
    ck_assert_int_eq(view_of(&f.b).high_watermark, 1);
    ck_assert_uint_eq(f.writes, 1);
    env_run_tasks(f.b.env);
    ck_assert_uint_eq(f.writes, 2);
    teardown(&f);
}
END_TEST

START_TEST(a_partition_that_closes_in_the_turn_has_written)
{
    struct fixture f;
    setup(&f, false, 1);
    for (int i = 0; i < REQUESTS; i++)
        append(&f, i, i % 2);
    partition_close(f.b.p, _i == 0);
    f.b.p = NULL;
    ck_assert_int_eq(answers(&f, KAFKA_NONE), REQUESTS);
    ck_assert_uint_eq(f.writes, 1);
    settle(&f);
    manifest_close(f.b.manifest, _i == 0);
    settle(&f);
    broker_open(&f.b, &f.config);
    ck_assert_int_eq(view_of(&f.b).log_end, REQUESTS);
    teardown(&f);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, appends_of_a_turn_are_one_write_and_one_moment);
    tcase_add_test(tcase, a_sync_that_is_waited_for_begins_behind_the_write);
    tcase_add_test(tcase, a_duplicate_in_the_turn_of_its_original_is_answered_with_it);
    tcase_add_loop_test(tcase, a_failed_write_is_everybodys_answer, 0, 2);
    tcase_add_loop_test(tcase, a_new_state_in_the_turn_comes_behind_the_appends, 0, 2);
    tcase_add_test(tcase, fetches_between_appends_leave_it_one_write);
    tcase_add_loop_test(tcase, a_partition_that_closes_in_the_turn_has_written, 0, 2);
}

SLUICE_TEST_MAIN("broker_turn", add)
