/* SPDX-License-Identifier: Apache-2.0 */
/* A budget of descriptors for many logs: what was used least recently is closed, never what somebody holds or
 * what no sync covers, and a closed file's log goes on as if nothing had happened. */
#include "broker/log/plog_handles.h"
#include "tests/unit/broker_plog_fixture.h"

#define LOGS_MAX 40

struct fixture {
    struct mem_world *world;
    struct mem_env *mem;
    struct env *env;
    struct plog_handles handles;
    struct plog_fixture at[LOGS_MAX]; /* log, setup and what was told */
    char names[LOGS_MAX][24];
    int count;
    uint32_t files_before;
};

static struct fixture f;

static void open_log(int i, bool clean)
{
    struct plog_fixture *at = &f.at[i];
    ck_assert_int_eq(fixture_open(at, clean, clean ? at->synced_end : 0, 0), OK);
}

static void setup(int count, uint32_t files_max)
{
    memset(&f, 0, sizeof(f));
    f.world = mem_world_new(3);
    f.mem = mem_env_new(f.world);
    f.env = mem_env_env(f.mem);
    f.count = count;
    ck_assert_int_eq(env_mkdir(f.env, DATA_DIR), OK);
    plog_handles_init(&f.handles, f.env, files_max);
    for (int i = 0; i < count; i++) {
        struct plog_fixture *at = &f.at[i];
        snprintf(f.names[i], sizeof(f.names[i]), "orders-%d", i);
        *at = (struct plog_fixture){.world = f.world, .mem = f.mem, .env = f.env};
        at->setup = (struct plog_setup){.env = f.env,
                                        .handles = &f.handles,
                                        .data_dir = DATA_DIR,
                                        .name = f.names[i],
                                        .topic_id = {{1, 2, 3, 4, 5, 6, 7, 8, 9}},
                                        .config = {.segment_bytes = 4000,
                                                   .index_interval_bytes = 200,
                                                   .producer_expiry_us = 3600ull * 1000 * 1000},
                                        .synced = fixture_synced,
                                        .ctx = at};
        open_log(i, false);
    }
    f.files_before = mem_env_open_files(f.mem);
    ck_assert_uint_eq(f.files_before, 0); /* opened, idle logs hold none */
}

static void run(void)
{
    mem_world_run(f.world, mem_world_now_us(f.world) + 50000);
}

static void teardown(void)
{
    for (int i = 0; i < f.count; i++)
        if (f.at[i].log)
            plog_close(f.at[i].log);
    plog_handles_free(&f.handles);
    run();
    ck_assert_uint_eq(mem_env_open_files(f.mem), 0);
    mem_world_free(f.world);
}

static void append(int i, bool sync)
{
    ck_assert_int_eq(fixture_append(&f.at[i], 2, 100), OK);
    if (sync)
        plog_sync(f.at[i].log);
}

static void check_all(int64_t end)
{
    for (int i = 0; i < f.count; i++) {
        int64_t got;
        ck_assert_int_eq(plog_end(f.at[i].log), end);
        fixture_read_all(&f.at[i], 0, 500, &got);
        ck_assert_int_eq(got, end);
        ck_assert_int_eq(plog_failed(f.at[i].log), OK);
    }
}

START_TEST(many_logs_live_with_few_descriptors)
{
    setup(20, 12);
    for (int round = 0; round < 20; round++) { /* rolls every few rounds */
        for (int i = 0; i < f.count; i++) {
            append(i, true);
            run();
            ck_assert_uint_le(mem_env_open_files(f.mem), 12);
        }
    }
    for (int i = 0; i < f.count; i++)
        ck_assert_int_eq(f.at[i].synced_end, 40);
    check_all(40);
    run();
    ck_assert_uint_le(mem_env_open_files(f.mem), 12);
    ck_assert_uint_gt(f.handles.closed, 300);
    ck_assert_int_le(f.handles.segments, 4);
    ck_assert_uint_eq(f.handles.limit_reached, 0);
    teardown();
}
END_TEST

/* The process's limit lies below the budget: logs give way to each other instead of failing. */
START_TEST(a_process_without_descriptors_closes_what_is_idle)
{
    setup(20, 100000);
    mem_env_limit_files(f.mem, 16);
    for (int round = 0; round < 15; round++)
        for (int i = 0; i < f.count; i++) {
            append(i, true);
            run();
        }
    check_all(30);
    ck_assert_uint_gt(f.handles.limit_reached, 10);
    mem_env_limit_files(f.mem, 0);
    teardown();
}
END_TEST

/* Somebody else has taken all descriptors: nothing is appended, nothing is lost, no log goes offline. */
START_TEST(without_any_descriptor_an_append_is_refused_and_the_log_goes_on)
{
    setup(2, 100);
    append(0, true);
    run();
    mem_env_limit_files(f.mem, mem_env_open_files(f.mem));
    plog_sync(f.at[0].log);
    struct plog_piece piece = {0};
    struct plog_fetch ask = {
        .offset = 0, .end_offset = 2, .file_end_offset = -1, .max_bytes = 1000, .may_wait = true};
    append(0, true); /* its file is open */
    struct env_file *held = NULL;
    ck_assert_int_eq(plog_handles_open(f.at[0].log, LOG_DIR "/00000000000000000000.log", 0, &held),
                     ERR_FD_LIMIT);
    ck_assert_int_eq(fixture_append(&f.at[1], 1, 100), ERR_FD_LIMIT); /* the other's file is not synced */
    ck_assert_int_eq(plog_failed(f.at[1].log), OK);
    ck_assert_int_eq(plog_end(f.at[1].log), 0);
    run();
    ck_assert_int_eq(fixture_append(&f.at[1], 2, 100), OK); /* now it could be closed */
    ask.offset = 0;
    ck_assert_int_eq(plog_fetch(f.at[0].log, &ask, &piece), ERR_FD_LIMIT); /* log 1 holds the one there is */
    ck_assert_int_eq(plog_failed(f.at[0].log), OK);
    mem_env_limit_files(f.mem, 0);
    plog_sync(f.at[1].log);
    run();
    ck_assert_int_eq(f.at[1].synced_end, 2);
    teardown();
}
END_TEST

/* A connection that still sends from it, a read under way: the handle stays, so that a cut can revoke it. */
START_TEST(a_file_that_somebody_holds_stays_open)
{
    struct plog_piece piece;
    struct plog_fetch ask = {.offset = 0,
                             .end_offset = 80,
                             .file_end_offset = 80,
                             .max_bytes = 100000,
                             .at_least_one = true,
                             .may_wait = true};
    setup(40, 12);
    struct iobuf *big = fixture_batch(0, 80, 4000, 0); /* worth a range of the file */
    f.at[0].setup.config.segment_bytes = 1 << 20;
    plog_set_config(f.at[0].log, &f.at[0].setup.config);
    ck_assert_int_eq(plog_append(f.at[0].log, big->data, big->len), OK);
    iobuf_unref(big);
    plog_sync(f.at[0].log);
    run();
    ck_assert_int_eq(plog_fetch(f.at[0].log, &ask, &piece), OK);
    ck_assert_ptr_nonnull(piece.file);
    for (int i = 1; i < 40; i++) {
        append(i, true);
        run();
    }
    ck_assert(env_file_shared(piece.file)); /* the log has it, too, still */
    env_file_close(piece.file);
    for (int i = 1; i < 40; i++) {
        append(i, true);
        run();
    }
    ck_assert_uint_le(mem_env_open_files(f.mem), 12);
    teardown();
}
END_TEST

/* Page-cache logs are synced before they give up their descriptor, and a failure of that sync is found. */
START_TEST(what_is_not_synced_is_synced_first)
{
    setup(30, 12);
    for (int i = 0; i < 30; i++)
        append(i, false);
    ck_assert_uint_ge(mem_env_open_files(f.mem), 30);
    run();
    append(0, false);
    run();
    ck_assert_uint_le(mem_env_open_files(f.mem), 12);
    int synced = 0;
    for (int i = 1; i < 30; i++)
        synced += plog_synced_end(f.at[i].log) == 2;
    ck_assert_int_ge(synced, 25);
    mem_env_fail_sync_after(f.mem, 1);
    for (int i = 0; i < 30; i++)
        ck_assert_int_ne(fixture_append(&f.at[i], 1, 100), ERR_FD_LIMIT);
    run();
    int failed = 0;
    for (int i = 0; i < 30; i++)
        failed += plog_failed(f.at[i].log) == ERR_IO;
    ck_assert_int_ge(failed, 20); /* told, not forgotten with the descriptor */
    mem_env_repair(f.mem);
    teardown();
}
END_TEST

/* A log with more segments than the budget, read from its beginning; cut; recovered. */
START_TEST(one_log_with_many_segments_stays_in_the_budget)
{
    int64_t end;
    setup(2, 12);
    for (int i = 0; i < 300; i++) {
        append(0, i % 3 == 0);
        run();
        ck_assert_uint_le(mem_env_open_files(f.mem), 12);
    }
    ck_assert_uint_gt(plog_rolls(f.at[0].log), 15);
    for (int64_t offset = 0; offset < 600; offset += 10) {
        struct plog_piece piece;
        ck_assert_int_eq(plog_read(f.at[0].log, offset, 600, 1000, true, &piece), OK);
        iobuf_unref(piece.owner);
        run(); /* the end of the turn */
        ck_assert_uint_le(mem_env_open_files(f.mem), 12);
    }
    ck_assert_int_eq(plog_truncate(f.at[0].log, 111, &end), OK);
    run();
    append(0, true);
    run();
    int64_t now = plog_end(f.at[0].log);
    fixture_read_all(&f.at[0], 0, 500, &end);
    ck_assert_int_eq(end, now);
    plog_close(f.at[0].log);
    open_log(0, false); /* a scan of all */
    ck_assert_int_eq(plog_end(f.at[0].log), now);
    ck_assert_uint_le(mem_env_open_files(f.mem), 12);
    teardown();
}
END_TEST

/* Closed while a sync runs (the log goes away, its round does not), and deleted. */
START_TEST(logs_that_go_give_their_descriptors_back)
{
    setup(20, 12);
    for (int i = 0; i < 20; i++)
        append(i, true);
    for (int i = 0; i < 10; i++) {
        plog_close(f.at[i].log);
        f.at[i].log = NULL;
    }
    for (int i = 10; i < 20; i++) {
        plog_delete(f.at[i].log);
        f.at[i].log = NULL;
    }
    ck_assert_int_eq(f.handles.segments, 0);
    teardown();
}
END_TEST

static void add(TCase *tcase)
{
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, many_logs_live_with_few_descriptors);
    tcase_add_test(tcase, a_process_without_descriptors_closes_what_is_idle);
    tcase_add_test(tcase, without_any_descriptor_an_append_is_refused_and_the_log_goes_on);
    tcase_add_test(tcase, a_file_that_somebody_holds_stays_open);
    tcase_add_test(tcase, what_is_not_synced_is_synced_first);
    tcase_add_test(tcase, one_log_with_many_segments_stays_in_the_budget);
    tcase_add_test(tcase, logs_that_go_give_their_descriptors_back);
}

SLUICE_TEST_MAIN("broker_plog_handles", add)
