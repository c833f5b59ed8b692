/* SPDX-License-Identifier: Apache-2.0 */
/* flush.messages and flush.ms: when a sync is asked for that nobody waits for, and that acknowledgments and
 * the high watermark do not depend on it. */
#include "tests/unit/broker_fixture.h"

#define MS 1000ull

struct fixture {
    struct mem_world *world;
    struct broker b;
    struct partition_config config;
};

static void setup(struct fixture *f, int64_t messages, int64_t ms)
{
    memset(f, 0, sizeof(*f));
    f->world = mem_world_new(7);
    f->config = fixture_config();
    f->config.sync_before_ack = false;
    f->config.flush_messages = messages;
    f->config.flush_ms = ms;
    broker_start(&f->b, f->world, 1);
    broker_open(&f->b, &f->config);
    broker_apply(&f->b, 1, 0, 1, 1, 1, &f->config);
}

static void teardown(struct fixture *f)
{
    broker_stop(&f->b);
    mem_world_run(f->world, mem_world_now_us(f->world) + 1000 * MS);
    mem_world_free(f->world);
}

static void run_ms(struct fixture *f, uint64_t ms)
{
    mem_world_run(f->world, mem_world_now_us(f->world) + ms * MS);
}

/* Appended and acknowledged at once, whatever acks says, and readable. */
static void acknowledged(struct fixture *f, int count)
{
    struct waiter w;
    int64_t end = view_of(&f->b).log_end + count;
    struct partition_appended ret = produce(&f->b, count, end % 2 ? 1 : -1, &w);
    ck_assert_int_eq(ret.error, KAFKA_NONE);
    ck_assert(!ret.waits);
    ck_assert_int_eq(view_of(&f->b).high_watermark, end);
    ck_assert_int_eq(view_of(&f->b).log_end, end);
}

START_TEST(a_sync_is_asked_for_when_so_many_records_wait)
{
    struct fixture f;
    setup(&f, 10, 0);
    acknowledged(&f, 4);
    acknowledged(&f, 5);
    run_ms(&f, 60000);
    ck_assert_int_eq(view_of(&f.b).synced_end, 0); /* nine wait, for ever */
    acknowledged(&f, 1);
    run_ms(&f, 100);
    ck_assert_int_eq(view_of(&f.b).synced_end, 10);
    acknowledged(&f, 9);
    run_ms(&f, 60000);
    ck_assert_int_eq(view_of(&f.b).synced_end, 10); /* counted anew */
    acknowledged(&f, 30);
    run_ms(&f, 100);
    ck_assert_int_eq(view_of(&f.b).synced_end, 49);
    teardown(&f);
}
END_TEST

START_TEST(a_sync_is_asked_for_when_the_oldest_has_waited)
{
    struct fixture f;
    setup(&f, INT64_MAX, 200);
    run_ms(&f, 5000);
    acknowledged(&f, 3);
    run_ms(&f, 150);
    acknowledged(&f, 2); /* does not put it off */
    ck_assert_int_eq(view_of(&f.b).synced_end, 0);
    run_ms(&f, 45);
    ck_assert_int_eq(view_of(&f.b).synced_end, 0);
    run_ms(&f, 20);
    ck_assert_int_eq(view_of(&f.b).synced_end, 5);
    run_ms(&f, 5000);
    acknowledged(&f, 1); /* its own 200 ms */
    run_ms(&f, 195);
    ck_assert_int_eq(view_of(&f.b).synced_end, 5);
    run_ms(&f, 20);
    ck_assert_int_eq(view_of(&f.b).synced_end, 6);
    teardown(&f);
}
END_TEST

START_TEST(whichever_comes_first_starts_the_other_anew)
{
    struct fixture f;
    setup(&f, 10, 200);
    acknowledged(&f, 3);
    run_ms(&f, 150);
    acknowledged(&f, 8);
    run_ms(&f, 20);
    ck_assert_int_eq(view_of(&f.b).synced_end, 11); /* by number */
    acknowledged(&f, 2);
    run_ms(&f, 150); /* the first record's time passes */
    ck_assert_int_eq(view_of(&f.b).synced_end, 11);
    run_ms(&f, 60);
    ck_assert_int_eq(view_of(&f.b).synced_end, 13);
    teardown(&f);
}
END_TEST

START_TEST(neither_is_kafkas_page_cache)
{
    struct fixture f;
    setup(&f, INT64_MAX, INT64_MAX);
    acknowledged(&f, 30);
    run_ms(&f, 24 * 3600 * 1000);
    ck_assert_int_eq(view_of(&f.b).synced_end, 0);
    teardown(&f);
}
END_TEST

START_TEST(new_settings_hold_for_what_waits_already)
{
    struct fixture f;
    setup(&f, INT64_MAX, 0);
    acknowledged(&f, 5);
    f.config.flush_ms = 100;
    broker_apply(&f.b, 1, 0, 1, 1, 1, &f.config);
    run_ms(&f, 120);
    ck_assert_int_eq(view_of(&f.b).synced_end, 5);
    acknowledged(&f, 5);
    f.config.flush_ms = 0;
    broker_apply(&f.b, 1, 0, 1, 1, 1, &f.config);
    run_ms(&f, 1000);
    ck_assert_int_eq(view_of(&f.b).synced_end, 5); /* the timer went with the setting */
    f.config.flush_messages = 5;
    broker_apply(&f.b, 1, 0, 1, 1, 1, &f.config);
    run_ms(&f, 100);
    ck_assert_int_eq(view_of(&f.b).synced_end, 10);
    f.config.flush_messages = 1;
    f.config.sync_before_ack = true;
    acknowledged(&f, 1); /* still by the old promise */
    broker_apply(&f.b, 1, 0, 1, 1, 1, &f.config);
    run_ms(&f, 100);
    ck_assert_int_eq(view_of(&f.b).synced_end, 11);
    teardown(&f);
}
END_TEST

START_TEST(a_follower_counts_by_itself_and_tells_what_is_durable)
{
    struct fixture f;
    struct partition_fetch_state state;
    struct iobuf *batch = make_batch(6, 50, 1000, -1, -1, -1);
    setup(&f, 10, 300);
    broker_apply(&f.b, 2, 1, 2, 2, 2, &f.config);
    batch_set_leader_epoch(batch->data, 1);
    for (int64_t offset = 0; offset < 12; offset += 6) {
        batch_set_base_offset(batch->data, offset);
        ck_assert_int_eq(partition_follower_append(f.b.p, 1, batch->data, (int32_t)batch->len, NULL, 0, 0),
                         OK);
        ck_assert(partition_fetch_state(f.b.p, &state));
        ck_assert_int_eq(state.durable_offset, 0);
        ck_assert_int_eq(state.fetch_offset, offset + 6);
        if (offset == 0)
            run_ms(&f, 200);
    }
    run_ms(&f, 50);
    ck_assert(partition_fetch_state(f.b.p, &state));
    ck_assert_int_eq(state.durable_offset, 12); /* ten were reached */
    /* cut, then half as many: counted from the cut on */
    partition_follower_diverged(f.b.p, 1, 1, 6);
    run_ms(&f, 50);
    ck_assert_int_eq(view_of(&f.b).log_end, 6);
    batch_set_base_offset(batch->data, 6);
    ck_assert_int_eq(partition_follower_append(f.b.p, 1, batch->data, (int32_t)batch->len, NULL, 0, 0), OK);
    run_ms(&f, 250);
    ck_assert_int_eq(view_of(&f.b).synced_end, 6);
    run_ms(&f, 100);
    ck_assert_int_eq(view_of(&f.b).synced_end, 12); /* by time */
    iobuf_unref(batch);
    teardown(&f);
}
END_TEST

START_TEST(a_failed_timed_sync_takes_the_log_offline)
{
    struct fixture f;
    setup(&f, INT64_MAX, 100);
    acknowledged(&f, 3);
    mem_env_fail_sync_after(f.b.mem, 1);
    run_ms(&f, 150);
    ck_assert(view_of(&f.b).offline);
    ck_assert_int_eq(f.b.failed, ERR_IO);
    mem_env_repair(f.b.mem);
    teardown(&f);
}
END_TEST

/* Ten thousand appends with flush.messages=100: a hundred syncs, not ten thousand, nor none. */
START_TEST(the_number_of_syncs_follows_the_setting)
{
    struct fixture f;
    setup(&f, 100, 0);
    int64_t synced = 0;
    int moves = 0;
    for (int i = 0; i < 1000; i++) {
        acknowledged(&f, 10);
        run_ms(&f, 20);
        ck_assert_int_lt(view_of(&f.b).log_end - view_of(&f.b).synced_end, 100);
        moves += view_of(&f.b).synced_end > synced;
        synced = view_of(&f.b).synced_end;
    }
    ck_assert_int_eq(moves, 100);
    teardown(&f);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_sync_is_asked_for_when_so_many_records_wait);
    tcase_add_test(tcase, a_sync_is_asked_for_when_the_oldest_has_waited);
    tcase_add_test(tcase, whichever_comes_first_starts_the_other_anew);
    tcase_add_test(tcase, neither_is_kafkas_page_cache);
    tcase_add_test(tcase, new_settings_hold_for_what_waits_already);
    tcase_add_test(tcase, a_follower_counts_by_itself_and_tells_what_is_durable);
    tcase_add_test(tcase, a_failed_timed_sync_takes_the_log_offline);
    tcase_add_test(tcase, the_number_of_syncs_follows_the_setting);
}

SLUICE_TEST_MAIN("broker_flush", add)
