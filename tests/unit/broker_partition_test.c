/* SPDX-License-Identifier: Apache-2.0 */
/* A single replica that leads: appending, promises, reading, coming back. */
#include "broker/shard/partition_lookup.h"
#include "tests/unit/broker_fixture.h"

struct fixture {
    struct mem_world *world;
    struct broker b;
    struct partition_config config;
};

static void settle(struct fixture *f)
{
    mem_world_run(f->world, mem_world_now_us(f->world) + 1000000);
}

static void setup(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->world = mem_world_new(11);
    f->config = fixture_config();
    broker_start(&f->b, f->world, 1);
    broker_open(&f->b, &f->config);
    broker_apply(&f->b, 1, 0, 0, 1, 1, &f->config);
}

static void teardown(struct fixture *f)
{
    broker_stop(&f->b);
    settle(f);
    mem_world_free(f->world);
}

static bool answered(void *ctx)
{
    return ((struct waiter *)ctx)->answers > 0;
}

static struct partition_read_result read_at(struct fixture *f, int64_t offset, int32_t max_bytes)
{
    struct partition_read request = {.fetch_offset = offset,
                                     .max_bytes = max_bytes,
                                     .at_least_one = true,
                                     .replica_id = -1,
                                     .current_leader_epoch = -1,
                                     .last_fetched_epoch = -1};
    struct partition_read_result result;
    partition_read(f->b.p, &request, &result);
    return result;
}

/* Reads everything from offset on; returns the number of records, checking that they are consecutive. */
static int64_t read_all(struct fixture *f, int64_t offset)
{
    int64_t records = 0;
    for (;;) {
        struct partition_read_result result = read_at(f, offset, 4096);
        ck_assert_int_eq(result.error, KAFKA_NONE);
        if (result.bytes == 0)
            return records;
        struct reader r = reader_over(result.pieces[0].p, (size_t)result.pieces[0].len);
        size_t size;
        const uint8_t *batch;
        while ((batch = batch_next(&r, &size)) != NULL) {
            ck_assert_int_eq(batch_verify(batch, size), OK);
            ck_assert_int_le(batch_base_offset(batch), offset);
            records += batch_next_offset(batch) - offset;
            offset = batch_next_offset(batch);
        }
        ck_assert_int_eq(r.err, OK);
        partition_read_release(&result);
    }
}

START_TEST(acks_1_waits_for_the_sync)
{
    struct fixture f;
    struct waiter w;
    setup(&f);
    struct partition_appended ret = produce(&f.b, 3, 1, &w);
    ck_assert_int_eq(ret.error, KAFKA_NONE);
    ck_assert_int_eq(ret.base_offset, 0);
    ck_assert(ret.waits);
    ck_assert_int_eq(w.answers, 0);
    ck_assert_int_eq(view_of(&f.b).high_watermark, 0);
    ck_assert(mem_world_run_until(f.world, 1000000, answered, &w));
    ck_assert_int_eq(w.error, KAFKA_NONE);
    ck_assert_int_eq(view_of(&f.b).synced_end, 3);
    ck_assert_int_eq(view_of(&f.b).high_watermark, 3);
    teardown(&f);
}
END_TEST

START_TEST(without_sync_before_ack_an_append_settles_at_once)
{
    struct fixture f;
    struct waiter w;
    setup(&f);
    f.config.sync_before_ack = false;
    broker_apply(&f.b, 1, 0, 1, 1, 1, &f.config);
    ck_assert(!produce(&f.b, 3, 1, &w).waits);
    ck_assert(!produce(&f.b, 2, -1, &w).waits);
    ck_assert_int_eq(view_of(&f.b).high_watermark, 5);
    ck_assert_int_eq(w.answers, 0);
    teardown(&f);
}
END_TEST

START_TEST(what_was_appended_is_read_back)
{
    struct fixture f;
    struct waiter w = {0};
    setup(&f);
    for (int i = 0; i < 200; i++)
        ck_assert_int_eq(produce(&f.b, 1 + i % 7, 0, &w).error, KAFKA_NONE);
    ck_assert_int_eq(read_all(&f, 0), 0); /* nothing is committed before it is synced */
    settle(&f);
    int64_t end = view_of(&f.b).high_watermark;
    for (int64_t from = 0; from <= end; from += 13)
        ck_assert_int_eq(read_all(&f, from), end - from);
    ck_assert_int_eq(read_at(&f, end + 1, 100).error, KAFKA_OFFSET_OUT_OF_RANGE);
    ck_assert_int_eq(read_at(&f, -1, 100).error, KAFKA_OFFSET_OUT_OF_RANGE);
    teardown(&f);
}
END_TEST

START_TEST(a_failed_sync_takes_the_partition_offline_and_acks_nothing)
{
    struct fixture f;
    struct waiter w, late;
    setup(&f);
    settle(&f);
    mem_env_fail_sync_after(f.b.mem, 1);
    ck_assert(produce(&f.b, 1, 1, &w).waits);
    ck_assert(mem_world_run_until(f.world, 1000000, answered, &w));
    ck_assert_int_eq(w.error, KAFKA_KAFKA_STORAGE_ERROR);
    ck_assert_int_eq(f.b.failed, ERR_IO);
    ck_assert(view_of(&f.b).offline);
    ck_assert_int_eq(produce(&f.b, 1, 1, &late).error, KAFKA_KAFKA_STORAGE_ERROR);
    ck_assert_int_eq(read_at(&f, 0, 100).error, KAFKA_KAFKA_STORAGE_ERROR);
    teardown(&f);
}
END_TEST

static struct partition_lookup looked_up;
static int looked_ups;

static void on_found(struct partition_lookup *lookup)
{
    looked_ups++;
}

/* Fault catalogue D3. */
START_TEST(a_failed_read_takes_the_partition_offline_and_serves_nothing)
{
    struct fixture f;
    struct waiter w;
    setup(&f);
    settle(&f);
    for (int i = 0; i < 3; i++) {
        ck_assert(produce(&f.b, 1, 1, &w).waits);
        ck_assert(mem_world_run_until(f.world, mem_world_now_us(f.world) + 1000000, answered, &w));
    }
    mem_env_fail_reads(f.b.mem, true);
    if (_i == 0) {
        struct partition_read_result result = read_at(&f, 0, 100);
        ck_assert_int_eq(result.error, KAFKA_KAFKA_STORAGE_ERROR);
        ck_assert_int_eq(result.bytes, 0);
        partition_read_release(&result);
    } else {
        looked_up = (struct partition_lookup){
            .timestamp = _i == 1 ? 0 : -3, .replica_id = -1, .current_leader_epoch = -1, .done = on_found};
        looked_ups = 0;
        ck_assert(partition_list_offset(f.b.p, &looked_up));
        mem_world_run(f.world, mem_world_now_us(f.world) + 10000);
        ck_assert_int_eq(looked_ups, 1);
        ck_assert_int_eq(looked_up.error, KAFKA_KAFKA_STORAGE_ERROR);
        ck_assert_int_eq(looked_up.offset, -1);
    }
    mem_world_run(f.world, mem_world_now_us(f.world) + 10000);
    ck_assert_int_eq(f.b.failed, ERR_IO);
    ck_assert(view_of(&f.b).offline);
    teardown(&f);
}
END_TEST

/* Three batches of three records each; the first one's records become older one by one. */
static void timed_log(struct fixture *f)
{
    static const int64_t first_ms[] = {3000, 4000, 5000};
    struct waiter w;
    setup(f);
    settle(f);
    for (int i = 0; i < 3; i++) {
        struct iobuf *batch = make_timed(3, first_ms[i], i == 0 ? -1000 : 1);
        ck_assert(produce_batch(&f->b, batch, 1, &w).waits);
        ck_assert(mem_world_run_until(f->world, mem_world_now_us(f->world) + 1000000, answered, &w));
        iobuf_unref(batch);
    }
}

static void ask_time(struct fixture *f, int64_t timestamp_ms)
{
    looked_up = (struct partition_lookup){
        .timestamp = timestamp_ms, .replica_id = -1, .current_leader_epoch = -1, .done = on_found};
    looked_ups = 0;
    ck_assert(partition_list_offset(f->b.p, &looked_up));
}

static void found_at(struct fixture *f, int64_t offset, int64_t timestamp_ms)
{
    mem_world_run(f->world, mem_world_now_us(f->world) + 10000);
    ck_assert_int_eq(looked_ups, 1);
    ck_assert_int_eq(looked_up.error, KAFKA_NONE);
    ck_assert_int_eq(looked_up.offset, offset);
    ck_assert_int_eq(looked_up.found_timestamp, timestamp_ms);
}

/* Else its reader goes to the end of the log and never sees what is there. */
START_TEST(what_was_deleted_under_a_lookup_does_not_hide_what_comes_behind_it)
{
    struct fixture f;
    int64_t low;
    timed_log(&f);
    ask_time(&f, 2500);
    found_at(&f, 0, 3000);
    ask_time(&f,
             2500); /* the batch with the log start in it has a record that is late enough, but below it */
    ck_assert_int_eq(partition_delete_records(f.b.p, 1, &low), KAFKA_NONE);
    found_at(&f, 3, 4000);
    ask_time(&f, 2500);
    found_at(&f, 3, 4000);
    ask_time(&f, 1500);
    found_at(&f, 1, 2000);
    ask_time(&f, 2500); /* all of what it will find goes */
    ck_assert_int_eq(partition_delete_records(f.b.p, 6, &low), KAFKA_NONE);
    found_at(&f, 6, 5000);
    ask_time(&f, 2500);
    ck_assert_int_eq(partition_delete_records(f.b.p, 9, &low), KAFKA_NONE);
    found_at(&f, -1, -1);
    teardown(&f);
}
END_TEST

START_TEST(a_failed_write_takes_the_partition_offline)
{
    struct fixture f;
    struct waiter w;
    setup(&f);
    settle(&f);
    mem_env_fail_write_after(f.b.mem, 1);
    ck_assert_int_eq(produce(&f.b, 1, 1, &w).error, KAFKA_KAFKA_STORAGE_ERROR);
    mem_world_run(f.world, mem_world_now_us(f.world) + 1000000);
    ck_assert_int_eq(f.b.failed, ERR_IO);
    teardown(&f);
}
END_TEST

START_TEST(a_repeated_batch_is_answered_with_its_first_offset)
{
    struct fixture f;
    struct waiter w;
    setup(&f);
    for (int32_t i = 0; i < 6; i++) {
        struct iobuf *batch = make_batch(2, 10, 1000, 900, 0, i * 2);
        ck_assert_int_eq(produce_batch(&f.b, batch, 0, &w).base_offset, i * 2);
        iobuf_unref(batch);
    }
    struct iobuf *again = make_batch(2, 10, 1000, 900, 0, 4), *gap = make_batch(2, 10, 1000, 900, 0, 20),
                 *forgotten = make_batch(2, 10, 1000, 900, 0, 0);
    struct partition_appended ret = produce_batch(&f.b, again, 1, &w);
    ck_assert_int_eq(ret.error, KAFKA_NONE);
    ck_assert_int_eq(ret.base_offset, 4);
    ck_assert(ret.waits); /* the first one is not durable yet either */
    ck_assert_int_eq(view_of(&f.b).log_end, 12);
    ck_assert(mem_world_run_until(f.world, 1000000, answered, &w));
    ck_assert_int_eq(w.error, KAFKA_NONE);
    mem_world_run(f.world, mem_world_now_us(f.world) + 5000000); /* a new leader waits for gaps to close */
    ck_assert_int_eq(produce_batch(&f.b, gap, 1, &w).error, KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
    ck_assert_int_eq(produce_batch(&f.b, forgotten, 1, &w).error, KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
    struct iobuf *newer = make_batch(1, 10, 1000, 900, 1, 0), *older = make_batch(1, 10, 1000, 900, 0, 12);
    ck_assert_int_eq(produce_batch(&f.b, newer, 1, &w).error, KAFKA_NONE);
    partition_wait_cancel(&w.wait);
    ck_assert_int_eq(produce_batch(&f.b, older, 1, &w).error, KAFKA_INVALID_PRODUCER_EPOCH);
    iobuf_unref(again);
    iobuf_unref(gap);
    iobuf_unref(forgotten);
    iobuf_unref(newer);
    iobuf_unref(older);
    teardown(&f);
}
END_TEST

static void reopen(struct fixture *f, bool clean, int32_t leader_epoch)
{
    if (f->b.p)
        broker_close(&f->b, clean);
    mem_world_run(f->world, mem_world_now_us(f->world) + 1000000);
    broker_open(&f->b, &f->config);
    broker_apply(&f->b, 1, leader_epoch, leader_epoch, 1, 1, &f->config);
}

START_TEST(it_comes_back_after_a_clean_stop)
{
    struct fixture f;
    struct waiter w;
    setup(&f);
    for (int32_t i = 0; i < 40; i++) {
        struct iobuf *batch = make_batch(2, 500, 1000, 900, 0, i * 2);
        ck_assert_int_eq(produce_batch(&f.b, batch, 0, &w).error, KAFKA_NONE);
        iobuf_unref(batch);
    }
    settle(&f);
    reopen(&f, true, 1);
    ck_assert_int_eq(view_of(&f.b).log_end, 80);
    ck_assert_int_eq(view_of(&f.b).high_watermark, 80);
    ck_assert_int_eq(read_all(&f, 0), 80);
    struct iobuf *again =
        make_batch(2, 500, 1000, 900, 0, 72); /* three batches before the last: Kafka would have forgotten */
    ck_assert_int_eq(produce_batch(&f.b, again, 0, &w).base_offset, 72);
    iobuf_unref(again);
    int32_t epoch;
    int64_t end_offset;
    ck_assert_int_eq(partition_epoch_end(f.b.p, -1, 0, &epoch, &end_offset), KAFKA_NONE);
    ck_assert_int_eq(epoch, 0);
    ck_assert_int_eq(end_offset, 80);
    teardown(&f);
}
END_TEST

/* A consumer reads batches of 6 kB, tells the epoch of what it had before, and goes where it is sent. Returns
 * its position after so many reads. */
static int64_t follow(struct fixture *f, int64_t offset, int32_t max_bytes, int reads)
{
    int32_t epoch = -1;
    for (; reads > 0 && offset < view_of(&f->b).high_watermark; reads--) {
        struct partition_read request = {.fetch_offset = offset,
                                         .max_bytes = max_bytes,
                                         .at_least_one = true,
                                         .replica_id = -1,
                                         .current_leader_epoch = -1,
                                         .last_fetched_epoch = epoch};
        struct partition_read_result result;
        partition_read(f->b.p, &request, &result);
        if (result.diverging_epoch >= 0)
            offset = result.diverging_end_offset;
        for (int32_t i = 0; i < result.pieces_count; i++) {
            struct reader r = reader_over(result.pieces[i].p, (size_t)result.pieces[i].len);
            const uint8_t *batch;
            size_t size;
            while ((batch = batch_next(&r, &size)) != NULL) {
                offset = batch_next_offset(batch);
                epoch = batch_leader_epoch(batch);
            }
        }
        partition_read_release(&result);
        settle(f);
    }
    return offset;
}

/* A flipped bit lets an epoch begin inside a batch of the one before. Whoever has read that is not led back
 * to it each time. */
START_TEST(a_reader_who_is_led_back_by_a_wrong_checkpoint_gets_on)
{
    static const char *wrong[] = {"0\n2\n0 0\n1 10\n", "0\n2\n0 0\n1 16\n"}; /* 18 is right */
    struct fixture f;
    struct waiter w;
    uint64_t size;
    setup(&f);
    for (int i = 0; i < 10; i++) {
        if (i == 6)
            broker_apply(&f.b, 1, 1, 1, 1, 1, &f.config);
        struct iobuf *batch = make_batch(3, 2000, 1000, -1, -1, -1);
        ck_assert_int_eq(produce_batch(&f.b, batch, 0, &w).error, KAFKA_NONE);
        iobuf_unref(batch);
    }
    settle(&f);
    broker_close(&f.b, true);
    settle(&f);
    const char *path = DATA_DIR "/orders-0/leader-epoch-checkpoint";
    mem_env_resize(f.b.mem, path, strlen(wrong[_i & 1]));
    memcpy(mem_env_bytes(f.b.mem, path, &size), wrong[_i & 1], strlen(wrong[_i & 1]));
    reopen(&f, true, 2);
    ck_assert_int_eq(follow(&f, 0, _i & 2 ? 14000 : 7000, 20), 30); /* two batches at a time, or one */
    teardown(&f);
}
END_TEST

/* kind: what the crash does to what was not synced. Everything that was acknowledged must be there. */
static void crash_and_return(enum mem_crash kind)
{
    struct fixture f;
    struct waiter w[30];
    setup(&f);
    for (int i = 0; i < 30; i++) {
        struct iobuf *batch = make_batch(3, 300, 1000, 900, 0, i * 3);
        ck_assert_int_eq(produce_batch(&f.b, batch, 1, &w[i]).error, KAFKA_NONE);
        iobuf_unref(batch);
        if (i % 4 == 0)
            mem_world_run(f.world, mem_world_now_us(f.world) + 100);
    }
    int64_t acked = 0, end = view_of(&f.b).log_end;
    for (int i = 0; i < 30; i++)
        acked = w[i].answers && w[i].error == KAFKA_NONE ? (i + 1) * 3 : acked;
    mem_env_crash(f.b.mem, kind);
    partition_close(f.b.p, false);
    manifest_close(f.b.manifest, false);
    f.b.p = NULL;
    mem_env_restart(f.b.mem);
    reopen(&f, false, 1);
    int64_t found = view_of(&f.b).log_end;
    ck_assert_int_ge(found, acked);
    ck_assert_int_le(found, end);
    settle(&f);
    ck_assert_int_eq(view_of(&f.b).high_watermark, found);
    ck_assert_int_eq(read_all(&f, 0), found);
    if (found > 0) {
        struct iobuf *again = make_batch(3, 300, 1000, 900, 0, (int32_t)found - 3);
        ck_assert_int_eq(produce_batch(&f.b, again, 0, &w[0]).base_offset, found - 3);
        iobuf_unref(again);
    }
    teardown(&f);
}

START_TEST(it_comes_back_after_a_kill)
{
    crash_and_return(MEM_KEEP);
}
END_TEST

START_TEST(it_comes_back_after_a_power_cut)
{
    crash_and_return(MEM_DROP);
}
END_TEST

START_TEST(another_topics_directory_is_set_aside)
{
    struct fixture f;
    struct waiter w;
    setup(&f);
    produce(&f.b, 5, 0, &w);
    settle(&f);
    struct image_topic topic = fixture_topic();
    broker_close(&f.b, true);
    topic.id.b[0] = 9;
    struct manifest_report report;
    ck_assert_int_eq(manifest_open(f.b.env, DATA_DIR, &f.b.manifest, &report), OK);
    f.b.host.manifest = f.b.manifest;
    ck_assert_int_eq(partition_open(&f.b.host, &topic, 0, &f.config, &f.b.p), OK);
    ck_assert_int_eq(view_of(&f.b).log_end, 0);
    teardown(&f);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, acks_1_waits_for_the_sync);
    tcase_add_test(tcase, without_sync_before_ack_an_append_settles_at_once);
    tcase_add_test(tcase, what_was_appended_is_read_back);
    tcase_add_test(tcase, a_failed_sync_takes_the_partition_offline_and_acks_nothing);
    tcase_add_test(tcase, a_failed_write_takes_the_partition_offline);
    tcase_add_test(tcase, what_was_deleted_under_a_lookup_does_not_hide_what_comes_behind_it);
    tcase_add_loop_test(tcase, a_failed_read_takes_the_partition_offline_and_serves_nothing, 0, 3);
    tcase_add_test(tcase, a_repeated_batch_is_answered_with_its_first_offset);
    tcase_add_test(tcase, it_comes_back_after_a_clean_stop);
    tcase_add_loop_test(tcase, a_reader_who_is_led_back_by_a_wrong_checkpoint_gets_on, 0, 4);
    tcase_add_test(tcase, it_comes_back_after_a_kill);
    tcase_add_test(tcase, it_comes_back_after_a_power_cut);
    tcase_add_test(tcase, another_topics_directory_is_set_aside);
}

SLUICE_TEST_MAIN("broker_partition", add)
