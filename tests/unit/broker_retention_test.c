/* SPDX-License-Identifier: Apache-2.0 */
/* Rolling by time and index size, and retention by time, size and count, in virtual time. */
#include <stdio.h>

#include "broker/log/disk_guard.h"
#include "tests/unit/broker_fixture.h"

#define HOUR_MS 3600000

struct fixture {
    struct mem_world *world;
    struct broker b;
    struct partition_config config;
};

static void setup(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->world = mem_world_new(21);
    f->config = fixture_config();
    f->config.deletes = true;
    f->config.retention_messages = -1;
    f->config.file_delete_delay_ms = 1000;
    f->config.max_compaction_lag_ms = INT64_MAX;
}

static void start(struct fixture *f)
{
    broker_start(&f->b, f->world, 1);
    broker_open(&f->b, &f->config);
    broker_apply(&f->b, 1, 0, 0, 1, 1, &f->config);
}

static void teardown(struct fixture *f)
{
    broker_stop(&f->b);
    mem_world_run(f->world, mem_world_now_us(f->world) + 1000000);
    mem_world_free(f->world);
}

static void pass(struct fixture *f, int64_t ms)
{
    mem_world_run(f->world, mem_world_now_us(f->world) + (uint64_t)ms * 1000);
}

/* count records with the time of now, committed. */
static void put(struct fixture *f, int count, int value_len)
{
    struct waiter w;
    struct iobuf *batch = make_batch(count, value_len, env_wall_ms(f->b.env), -1, -1, -1);
    ck_assert_int_eq(produce_batch(&f->b, batch, -1, &w).error, KAFKA_NONE);
    iobuf_unref(batch);
    pass(f, 100);
}

static uint32_t log_files(struct fixture *f)
{
    uint32_t count = 0;
    char path[128];
    uint64_t size;
    for (int64_t offset = 0; offset < 3000; offset++) {
        snprintf(path, sizeof(path), DATA_DIR "/orders-0/%020lld.log", (long long)offset);
        count += mem_env_bytes(f->b.mem, path, &size) != NULL;
    }
    return count;
}

START_TEST(a_quiet_topic_loses_what_is_too_old)
{
    struct fixture f;
    setup(&f);
    f.config.retention_ms = HOUR_MS;
    start(&f);
    put(&f, 10, 50);
    pass(&f, HOUR_MS / 2);
    put(&f, 5, 50);
    pass(&f, HOUR_MS / 2 - 10000);
    ck_assert_int_eq(view_of(&f.b).log_start, 0);
    ck_assert_uint_eq(log_files(&f), 1);
    pass(&f, 20000); /* the oldest is past it: the segment ended, and goes when its newest is */
    ck_assert_uint_eq(log_files(&f), 2);
    ck_assert_int_eq(view_of(&f.b).log_start, 0);
    pass(&f, HOUR_MS / 2);
    ck_assert_int_eq(view_of(&f.b).log_start, 15);
    ck_assert_int_eq(view_of(&f.b).log_end, 15);
    ck_assert_uint_eq(log_files(&f), 1);
    teardown(&f);
}
END_TEST

START_TEST(nothing_is_due_on_a_log_without_records_or_limits)
{
    struct fixture f;
    setup(&f);
    start(&f);
    put(&f, 10, 50);
    pass(&f, 400000); /* the first look, and writing the high watermark down */
    ck_assert_uint_eq(f.b.env->timers.count, 0);
    f.config.retention_ms = HOUR_MS;
    broker_apply(&f.b, 1, 0, 1, 1, 1, &f.config);
    pass(&f, 2000);
    ck_assert_uint_eq(f.b.env->timers.count, 1);
    pass(&f, 3 * HOUR_MS); /* all gone, nothing to wait for */
    ck_assert_int_eq(view_of(&f.b).log_start, 10);
    ck_assert_uint_eq(f.b.env->timers.count, 0);
    put(&f, 1, 50);
    pass(&f, 2 * HOUR_MS + 10000);
    ck_assert_int_eq(view_of(&f.b).log_start, 11);
    teardown(&f);
}
END_TEST

START_TEST(a_wall_clock_that_jumps_ahead_is_no_reason_to_be_late)
{
    struct fixture f;
    setup(&f);
    f.config.retention_ms = 48 * HOUR_MS;
    start(&f);
    put(&f, 10, 50);
    pass(&f, HOUR_MS);
    mem_env_shift_wall(f.b.mem, 50 * HOUR_MS);
    partition_clock_jumped(f.b.p); /* the shard has noticed */
    pass(&f, HOUR_MS / 4);
    ck_assert_int_eq(view_of(&f.b).log_start, 10);
    put(&f, 10, 50);
    mem_env_shift_wall(f.b.mem, -40 * HOUR_MS);
    partition_clock_jumped(f.b.p);
    pass(&f, 47 * HOUR_MS);
    ck_assert_int_eq(view_of(&f.b).log_start, 10); /* by the clock as it is they are young */
    pass(&f, 43 * HOUR_MS);
    ck_assert_int_eq(view_of(&f.b).log_start, 20);
    ck_assert_uint_eq(f.b.env->timers.count, 0);
    partition_clock_jumped(f.b.p);
    ck_assert_uint_eq(f.b.env->timers.count, 0); /* nothing waits for a time */
    teardown(&f);
}
END_TEST

START_TEST(size_takes_whole_segments)
{
    struct fixture f;
    setup(&f);
    f.config.segment_bytes = 3000;
    f.config.retention_bytes = 10000;
    start(&f);
    for (int i = 0; i < 40; i++)
        put(&f, 1, 900);
    pass(&f, 5000);
    struct partition_view view = view_of(&f.b);
    ck_assert_int_eq(view.log_end, 40);
    ck_assert_int_ge(view.log_end - view.log_start, 10); /* at least retention.bytes stay */
    ck_assert_int_le(view.log_end - view.log_start, 14); /* at most a segment more */
    ck_assert_uint_le(log_files(&f), 5);
    teardown(&f);
}
END_TEST

START_TEST(count_moves_the_start_to_the_exact_offset)
{
    struct fixture f;
    setup(&f);
    f.config.retention_messages = 25;
    start(&f);
    for (int i = 0; i < 30; i++)
        put(&f, 10, 20);
    pass(&f, 2000);
    ck_assert_int_eq(view_of(&f.b).log_start, 275);
    put(&f, 3, 20);
    pass(&f, 2000);
    ck_assert_int_eq(view_of(&f.b).log_start, 278);
    broker_close(&f.b, true); /* and it is remembered */
    broker_open(&f.b, &f.config);
    ck_assert_int_eq(view_of(&f.b).log_start, 278);
    teardown(&f);
}
END_TEST

START_TEST(what_is_not_committed_stays)
{
    struct fixture f;
    struct waiter w;
    setup(&f);
    f.config.retention_messages = 5;
    start(&f);
    put(&f, 10, 20);
    pass(&f, 2000);
    ck_assert_int_eq(view_of(&f.b).log_start, 5);
    broker_apply(&f.b, 1, 0, 1, 2, 2, &f.config); /* the other replica fetches nothing */
    struct iobuf *batch = make_batch(30, 20, env_wall_ms(f.b.env), -1, -1, -1);
    ck_assert_int_eq(produce_batch(&f.b, batch, 1, &w).error, KAFKA_NONE);
    iobuf_unref(batch);
    pass(&f, 3000);
    ck_assert_int_eq(view_of(&f.b).log_end, 40);
    ck_assert_int_le(view_of(&f.b).log_start, view_of(&f.b).high_watermark);
    ck_assert_int_eq(view_of(&f.b).high_watermark, 10);
    teardown(&f);
}
END_TEST

START_TEST(a_follower_leaves_it_to_the_leader)
{
    struct fixture f;
    setup(&f);
    f.config.retention_messages = 5;
    start(&f);
    broker_apply(&f.b, 2, 1, 1, 2, 2, &f.config);
    struct iobuf *batch = make_batch(30, 20, 1000, -1, -1, -1);
    batch_set_leader_epoch(batch->data, 1);
    ck_assert_int_eq(partition_follower_append(f.b.p, 1, batch->data, (int32_t)batch->len, batch, 30, 0), OK);
    pass(&f, 400000);
    ck_assert_int_eq(view_of(&f.b).log_start, 0);
    ck_assert_int_eq(partition_follower_append(f.b.p, 1, NULL, 0, NULL, 30, 25), OK);
    ck_assert_int_eq(view_of(&f.b).log_start, 25);
    iobuf_unref(batch);
    teardown(&f);
}
END_TEST

START_TEST(a_segment_ends_with_its_time)
{
    struct fixture f;
    setup(&f);
    f.config.segment_ms = 60000;
    start(&f);
    put(&f, 1, 20);
    pass(&f, 50000);
    put(&f, 1, 20);
    ck_assert_uint_eq(log_files(&f), 1);
    pass(&f, 10000);
    put(&f, 1, 20); /* the first record is a minute older */
    ck_assert_uint_eq(log_files(&f), 2);
    pass(&f, 10 * HOUR_MS); /* as in Kafka a quiet segment stays open */
    ck_assert_uint_eq(log_files(&f), 2);
    teardown(&f);
}
END_TEST

START_TEST(a_segment_ends_with_its_index)
{
    struct fixture f;
    setup(&f);
    f.config.segment_index_bytes = 32; /* four entries */
    f.config.index_interval_bytes = 100;
    start(&f);
    for (int i = 0; i < 40; i++)
        put(&f, 1, 200);
    ck_assert_uint_ge(log_files(&f), 7);
    teardown(&f);
}
END_TEST

/* A power cut may leave zeros in an index: nothing goes on its word. */
START_TEST(a_torn_time_index_costs_no_records)
{
    struct fixture f;
    uint64_t size;
    setup(&f);
    f.config.retention_ms = HOUR_MS;
    f.config.segment_bytes = 3000;
    f.config.index_interval_bytes = 100;
    start(&f);
    for (int i = 0; i < 12; i++)
        put(&f, 1, 900);
    pass(&f, 2000);
    uint32_t files = log_files(&f);
    broker_close(&f.b, true);
    for (int64_t offset = 0; offset < 12; offset++) {
        char path[128];
        snprintf(path, sizeof(path), DATA_DIR "/orders-0/%020lld.timeindex", (long long)offset);
        uint8_t *p = mem_env_bytes(f.b.mem, path, &size);
        if (p)
            memset(p, 0, size);
    }
    broker_open(&f.b, &f.config);
    broker_apply(&f.b, 1, 1, 1, 1, 1, &f.config);
    pass(&f, 600000);
    ck_assert_int_eq(view_of(&f.b).log_start, 0);
    ck_assert_uint_eq(log_files(&f), files);
    pass(&f, 2 * HOUR_MS + 10000);
    ck_assert_int_eq(view_of(&f.b).log_start, 12);
    teardown(&f);
}
END_TEST

/* Fault catalogue D1: what would free the disk must not wait for room, not even where not one byte is left:
 * the manifest gets the reserve. */
START_TEST(a_full_disk_is_freed_by_retention_and_deletion)
{
    struct fixture f;
    int64_t low;
    setup(&f);
    f.config.segment_bytes = 3000;
    f.config.retention_ms = _i == 0 ? HOUR_MS : -1;
    start(&f);
    for (int i = 0; i < 12; i++)
        put(&f, 1, 900);
    pass(&f, 2000);
    uint32_t files = log_files(&f);
    ck_assert_uint_ge(files, 4);
    disk_reserve_make(f.b.env, DATA_DIR);
    mem_env_set_free(f.b.mem, 0);
    if (_i == 0)
        pass(&f, 2 * HOUR_MS);
    else
        ck_assert_int_eq(partition_delete_records(f.b.p, 9, &low), KAFKA_NONE);
    pass(&f, 600000);
    ck_assert_int_ge(view_of(&f.b).log_start, 9);
    ck_assert_uint_lt(log_files(&f), files);
    mem_env_set_free(f.b.mem, 1ull << 40);
    pass(&f, 60000);
    ck_assert(!view_of(&f.b).offline);
    put(&f, 1, 900); /* by itself */
    teardown(&f);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_quiet_topic_loses_what_is_too_old);
    tcase_add_test(tcase, nothing_is_due_on_a_log_without_records_or_limits);
    tcase_add_test(tcase, a_torn_time_index_costs_no_records);
    tcase_add_test(tcase, a_wall_clock_that_jumps_ahead_is_no_reason_to_be_late);
    tcase_add_test(tcase, size_takes_whole_segments);
    tcase_add_test(tcase, count_moves_the_start_to_the_exact_offset);
    tcase_add_test(tcase, what_is_not_committed_stays);
    tcase_add_test(tcase, a_follower_leaves_it_to_the_leader);
    tcase_add_test(tcase, a_segment_ends_with_its_time);
    tcase_add_test(tcase, a_segment_ends_with_its_index);
    tcase_add_loop_test(tcase, a_full_disk_is_freed_by_retention_and_deletion, 0, 2);
}

SLUICE_TEST_MAIN("broker_retention", add)
