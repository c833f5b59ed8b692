/* SPDX-License-Identifier: Apache-2.0 */
/* Partitions that compact themselves: when, on leaders and followers, and what replication makes of the gaps.
 */
#include <stdio.h>
#include <stdlib.h>

#include "broker/shard/cleaner.h"
#include "broker/shard/partition_internal.h"
#include "tests/unit/broker_fixture.h"

#define KEYS 8

struct side {
    struct broker b;
    struct cleaner cleaner;
    int runs;
    struct plog_compacted last;
};

struct fixture {
    struct mem_world *world;
    struct side leader, follower;
    struct partition_config config;
    int64_t put;
};

static void ended(void *ctx, struct partition *p, const struct plog_compacted *result)
{
    struct side *side = ctx;
    side->runs += result->err == OK;
    side->last = *result;
}

static void side_start(struct fixture *f, struct side *side, int32_t id)
{
    broker_start(&side->b, f->world, id);
    side->cleaner = (struct cleaner){.env = side->b.env,
                                     .map_bytes = 1 << 20,
                                     .backoff_us = 1000 * 1000,
                                     .batch_bytes_max = 1 << 20,
                                     .ended = ended,
                                     .ctx = side};
    cleaner_init(&side->cleaner);
    side->b.host.cleaner = &side->cleaner;
    side->b.host.retention_check_ms = 1000;
    broker_open(&side->b, &f->config);
}

static void setup(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->world = mem_world_new(31);
    f->config = fixture_config();
    f->config.compacted = true;
    f->config.segment_bytes = 4000;
    f->config.retention_messages = -1;
    f->config.max_compaction_lag_ms = INT64_MAX;
    f->config.segment_ms = INT64_MAX;
    f->config.delete_retention_ms = 86400000;
    f->config.min_cleanable_dirty_ratio = 0.5;
    side_start(f, &f->leader, 1);
    broker_apply(&f->leader.b, 1, 0, 0, 1, 1, &f->config);
}

static void pass(struct fixture *f, int64_t ms)
{
    mem_world_run(f->world, mem_world_now_us(f->world) + (uint64_t)ms * 1000);
}

static void teardown(struct fixture *f)
{
    broker_stop(&f->leader.b);
    pass(f, 1000);
    mem_world_free(f->world);
}

static struct iobuf *keyed(struct fixture *f, int count, bool with_key)
{
    struct batch_opts opts = BATCH_OPTS_PLAIN;
    struct batch_builder builder;
    struct iobuf *batch;
    ck_assert_int_eq(batch_builder_init(&builder, &opts, NULL, 1024, 1 << 20), OK);
    for (int i = 0; i < count; i++) {
        char key[16], value[128];
        int key_len = snprintf(key, sizeof(key), "k%lld", (long long)((f->put + i) % KEYS));
        int value_len = snprintf(value, sizeof(value), "%0100lld", (long long)(f->put + i));
        struct record_in record = {.timestamp_ms = env_wall_ms(f->leader.b.env),
                                   .key = {(uint8_t *)key, with_key ? key_len : -1},
                                   .value = {(uint8_t *)value, value_len}};
        ck_assert_int_eq(batch_builder_add(&builder, &record), OK);
    }
    ck_assert_int_eq(batch_builder_finish(&builder, NULL, &batch), OK);
    return batch;
}

static void put(struct fixture *f, int batches)
{
    for (int i = 0; i < batches; i++) {
        struct waiter w;
        struct iobuf *batch = keyed(f, 4, true);
        ck_assert_int_eq(produce_batch(&f->leader.b, batch, 1, &w).error, KAFKA_NONE);
        iobuf_unref(batch);
        f->put += 4;
        pass(f, 20);
    }
}

/* Copies what the leader has into the follower as a fetcher would. */
static void replicate(struct fixture *f)
{
    for (;;) {
        struct partition_fetch_state state;
        struct partition_read_result result;
        ck_assert(partition_fetch_state(f->follower.b.p, &state));
        struct partition_read request = {.fetch_offset = state.fetch_offset,
                                         .max_bytes = 5000,
                                         .at_least_one = true,
                                         .replica_id = 2,
                                         .current_leader_epoch = -1,
                                         .last_fetched_epoch = state.last_fetched_epoch};
        partition_read(f->leader.b.p, &request, &result);
        ck_assert_int_eq(result.error, KAFKA_NONE);
        ck_assert_int_eq(result.diverging_epoch, -1);
        if (result.bytes == 0)
            break;
        for (int32_t i = 0; i < result.pieces_count; i++) {
            const struct partition_piece *piece = &result.pieces[i];
            static uint8_t copy[1 << 16];
            const uint8_t *p = piece->p;
            size_t got = 0;
            if (p == NULL) {
                ck_assert_int_eq(
                    env_file_read(piece->file, piece->file_offset, copy, (size_t)piece->len, &got), OK);
                p = copy;
            }
            enum err err = partition_follower_append(f->follower.b.p, state.leader_epoch, p, piece->len,
                                                     piece->owner, result.high_watermark, result.log_start);
            ck_assert(err == OK || err == ERR_CORRUPT); /* the first gap is asked for twice */
        }
        partition_read_release(&result);
        pass(f, 10);
    }
}

static int take_batch(const uint8_t *batch, struct batch_scratch *scratch, int64_t newest[KEYS])
{
    struct batch_iter it;
    struct record record;
    int records = 0;
    ck_assert_int_eq(batch_iter_init(&it, batch, scratch), OK);
    while (batch_iter_next(&it, &record)) {
        char value[128] = {0};
        memcpy(value, record.value.p, 100);
        ck_assert_int_eq(atoll(value), record.offset);
        newest[record.offset % KEYS] = record.offset;
        records++;
    }
    return records;
}

/* The newest value of each key, and how many records there are in all. */
static int newest(struct side *side, int64_t end, int64_t ret_newest[KEYS])
{
    int records = 0;
    int64_t offset = view_of(&side->b).log_start;
    for (int i = 0; i < KEYS; i++)
        ret_newest[i] = -1;
    while (offset < end) {
        struct plog_piece piece;
        ck_assert_int_eq(plog_read(side->b.p->log, offset, end, 100000, true, &piece), OK);
        ck_assert_int_gt(piece.len, 0);
        for (int32_t at = 0; at < piece.len; at += (int32_t)batch_size(piece.p + at)) {
            records += take_batch(piece.p + at, &side->b.scratch, ret_newest);
            offset = batch_next_offset(piece.p + at);
        }
        iobuf_unref(piece.owner);
    }
    return records;
}

START_TEST(a_dirty_partition_is_compacted)
{
    struct fixture f;
    int64_t found[KEYS];
    setup(&f);
    put(&f, 60);
    pass(&f, 5000);
    ck_assert_int_ge(f.leader.runs, 1);
    int records = newest(&f.leader, f.put, found);
    ck_assert_int_lt(records, f.put / 2);
    for (int64_t i = f.put - KEYS; i < f.put; i++)
        ck_assert_int_eq(found[i % KEYS], i);
    int runs = f.leader.runs;
    pass(&f, 3600000); /* nothing new: it rests, and no timer waits */
    ck_assert_int_eq(f.leader.runs, runs);
    ck_assert_uint_eq(f.leader.b.env->timers.count, 0);
    broker_close(&f.leader.b, true);
    broker_open(&f.leader.b, &f.config);
    broker_apply(&f.leader.b, 1, 1, 1, 1, 1, &f.config);
    pass(&f, 10000); /* how far it was compacted is remembered */
    ck_assert_int_eq(f.leader.runs, runs);
    ck_assert_int_eq(newest(&f.leader, f.put, found), records);
    teardown(&f);
}
END_TEST

START_TEST(a_little_dirt_waits_for_its_lag)
{
    struct fixture f;
    setup(&f);
    f.config.min_cleanable_dirty_ratio = 1;
    f.config.max_compaction_lag_ms = 600000;
    broker_apply(&f.leader.b, 1, 0, 1, 1, 1, &f.config);
    put(&f, 60);
    pass(&f, 500000);
    ck_assert_int_eq(f.leader.runs, 0);
    pass(&f, 150000);
    ck_assert_int_ge(f.leader.runs, 1);
    pass(&f, 1200000); /* the active segment rolled by itself: all of it is compacted */
    ck_assert_int_eq(f.leader.last.cleaned_to, f.put);
    teardown(&f);
}
END_TEST

START_TEST(young_records_stay)
{
    struct fixture f;
    setup(&f);
    f.config.min_compaction_lag_ms = 600000;
    broker_apply(&f.leader.b, 1, 0, 1, 1, 1, &f.config);
    put(&f, 60);
    pass(&f, 500000);
    ck_assert_int_eq(f.leader.runs, 0);
    pass(&f, 200000);
    ck_assert_int_ge(f.leader.runs, 1);
    teardown(&f);
}
END_TEST

START_TEST(records_need_keys)
{
    struct fixture f;
    struct waiter w;
    setup(&f);
    struct iobuf *batch = keyed(&f, 2, false);
    ck_assert_int_eq(produce_batch(&f.leader.b, batch, 1, &w).error, KAFKA_INVALID_RECORD);
    iobuf_unref(batch);
    teardown(&f);
}
END_TEST

START_TEST(a_follower_takes_the_gaps_and_compacts_for_itself)
{
    struct fixture f;
    int64_t found[KEYS], there[KEYS];
    setup(&f);
    put(&f, 60);
    pass(&f, 5000);
    ck_assert_int_ge(f.leader.runs, 1);
    if (_i)
        f.config.compacted = false; /* the policy changed: the gaps are still there */
    side_start(&f, &f.follower, 2);
    broker_apply(&f.leader.b, 1, 0, 1, 2, 1, &f.config);
    broker_apply(&f.follower.b, 1, 0, 1, 2, 1, &f.config);
    replicate(&f);
    int records = newest(&f.leader, f.put, found);
    ck_assert_int_eq(newest(&f.follower, f.put, there), records);
    ck_assert_mem_eq(found, there, sizeof(found));
    broker_close(&f.follower.b, true);
    broker_open(&f.follower.b, &f.config);
    ck_assert(!view_of(&f.follower.b).offline);
    ck_assert_int_eq(view_of(&f.follower.b).log_end, f.put);
    broker_apply(&f.follower.b, 1, 0, 1, 2, 1, &f.config);
    put(&f, 60);
    replicate(&f);
    for (int64_t i = f.put - KEYS; i < f.put; i++) /* whoever has compacted how much */
        ck_assert_int_eq((newest(&f.follower, f.put, there), there[i % KEYS]), i);
    if (!_i) {
        struct partition_fetch_state state;
        ck_assert(partition_fetch_state(f.follower.b.p, &state));
        partition_follower_append(f.follower.b.p, state.leader_epoch, NULL, 0, NULL, f.put, 0);
        pass(&f, 10000);
        ck_assert_int_ge(f.follower.runs, 1);
    }
    for (int64_t i = f.put - KEYS; i < f.put; i++)
        ck_assert_int_eq((newest(&f.follower, f.put, there), there[i % KEYS]), i);
    broker_stop(&f.follower.b);
    teardown(&f);
}
END_TEST

START_TEST(nothing_uncommitted_is_compacted)
{
    struct fixture f;
    setup(&f);
    broker_apply(&f.leader.b, 1, 0, 1, 2, 2, &f.config); /* the other one fetches nothing */
    put(&f, 60);
    pass(&f, 60000);
    ck_assert_int_eq(view_of(&f.leader.b).high_watermark, 0);
    ck_assert_int_eq(f.leader.runs, 0);
    teardown(&f);
}
END_TEST

/* cleanup.policy=compact,delete: both; compact alone: nothing goes for its age. _i: the former. */
START_TEST(a_compacted_partition_is_also_retained_where_the_policy_says_so)
{
    struct fixture f;
    int64_t low = -1;
    setup(&f);
    f.config.deletes = _i;
    f.config.retention_ms = 3600000;
    broker_apply(&f.leader.b, 1, 0, 1, 1, 1, &f.config);
    put(&f, 60);
    pass(&f, 5000);
    ck_assert_int_ge(f.leader.runs, 1);
    ck_assert_int_eq(view_of(&f.leader.b).log_start, 0);
    pass(&f, 2 * 3600000);
    ck_assert_int_eq(view_of(&f.leader.b).log_start, _i ? f.put : 0);
    ck_assert_int_eq(partition_delete_records(f.leader.b.p, -1, &low),
                     _i ? KAFKA_NONE : KAFKA_POLICY_VIOLATION);
    put(&f, 60); /* and it goes on */
    pass(&f, 5000);
    ck_assert_int_ge(f.leader.runs, 2);
    teardown(&f);
}
END_TEST

START_TEST(a_partition_may_go_while_it_is_compacted)
{
    struct fixture f;
    setup(&f);
    put(&f, 60);
    for (int i = 0; i < _i * 3 && f.leader.cleaner.running == NULL; i++)
        pass(&f, 100);
    pass(&f, 0);
    mem_world_run(f.world, mem_world_now_us(f.world) + (uint64_t)_i * 100);
    partition_delete(f.leader.b.p);
    f.leader.b.p = NULL;
    ck_assert_ptr_null(f.leader.cleaner.running);
    pass(&f, 10000);
    manifest_close(f.leader.b.manifest, true);
    batch_scratch_free(&f.leader.b.scratch);
    pass(&f, 1000);
    mem_world_free(f.world);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_dirty_partition_is_compacted);
    tcase_add_test(tcase, a_little_dirt_waits_for_its_lag);
    tcase_add_test(tcase, young_records_stay);
    tcase_add_test(tcase, records_need_keys);
    tcase_add_loop_test(tcase, a_follower_takes_the_gaps_and_compacts_for_itself, 0, 2);
    tcase_add_test(tcase, nothing_uncommitted_is_compacted);
    tcase_add_loop_test(tcase, a_compacted_partition_is_also_retained_where_the_policy_says_so, 0, 2);
    tcase_add_loop_test(tcase, a_partition_may_go_while_it_is_compacted, 0, 12);
}

SLUICE_TEST_MAIN("broker_cleaner", add)
