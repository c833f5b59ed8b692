/* SPDX-License-Identifier: Apache-2.0 */
/* What a turn appends to a log is one write, and whoever looks at the file finds it there. */
#include "broker/log/plog_aside.h"
#include "broker/log/plog_scrub.h"
#include "tests/unit/broker_plog_fixture.h"

#define PIECES_MAX 64
#define BYTES_MAX  (512 * 1024)

static struct plog_fixture f;
static _Atomic uint64_t writes;

static void start(int64_t segment_bytes)
{
    writes = 0;
    fixture_start(&f, segment_bytes, 21);
    f.setup.writes = &writes;
    f.setup.config.index_interval_bytes = 1 << 20; /* no write but those of batches */
    ck_assert_int_eq(fixture_open(&f, true, 0, 0), OK);
}

static enum err stage(int count, int value_len)
{
    struct iobuf *batch = fixture_batch(plog_end(f.log), count, value_len, f.epoch);
    enum err err = plog_append_kept(f.log, batch->data, batch->len, batch);
    iobuf_unref(batch);
    return err;
}

/* Room is made ahead by the first append: from here on a write is the only change of the disk. */
static void start_with_room(void)
{
    start(1 << 20);
    ck_assert_int_eq(fixture_append(&f, 1, 100), OK);
    writes = 0;
}

static void check_all(void)
{
    int64_t end;
    fixture_read_all(&f, 0, 1 << 20, &end);
    ck_assert_int_eq(end, plog_end(f.log));
}

START_TEST(appends_of_a_turn_are_one_write)
{
    start_with_room();
    for (int turn = 1; turn <= 5; turn++) {
        uint32_t before = mem_env_changes(f.mem);
        for (int i = 0; i < 20; i++)
            ck_assert_int_eq(stage(1 + i % 3, 50), OK);
        ck_assert_uint_eq(mem_env_changes(f.mem), before);
        ck_assert_int_eq(plog_write_out(f.log), OK);
        ck_assert_uint_eq(mem_env_changes(f.mem), before + 1);
        ck_assert_int_eq(plog_write_out(f.log), OK); /* nothing is left to write */
        ck_assert_uint_eq(mem_env_changes(f.mem), before + 1);
        ck_assert_uint_eq(writes, turn);
    }
    check_all();
    int64_t end = plog_end(f.log);
    mem_env_crash(f.mem, MEM_KEEP);
    plog_close(f.log);
    mem_env_restart(f.mem);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    ck_assert_int_eq(plog_end(f.log), end);
    check_all();
    fixture_stop(&f);
}
END_TEST

START_TEST(a_batch_that_cannot_wait_takes_along_what_does)
{
    start_with_room();
    ck_assert_int_eq(stage(1, 50), OK);
    ck_assert_int_eq(stage(2, 50), OK);
    ck_assert_int_eq(fixture_append(&f, 1, 50), OK); /* nobody owns its bytes afterwards */
    ck_assert_uint_eq(writes, 1);
    check_all();
    fixture_stop(&f);
}
END_TEST

START_TEST(what_waits_is_bounded_in_pieces_and_in_bytes)
{
    start(8 << 20);
    for (int i = 1; i < PIECES_MAX; i++)
        ck_assert_int_eq(stage(1, 50), OK);
    ck_assert_uint_eq(writes, 0);
    ck_assert_int_eq(stage(1, 50), OK);
    ck_assert_uint_eq(writes, 1);
    for (int bytes = 0; bytes + 40 * 4096 < BYTES_MAX; bytes += 41 * 4096)
        ck_assert_int_eq(stage(40, 4000), OK);
    ck_assert_uint_eq(writes, 1);
    ck_assert_int_eq(stage(40, 4000), OK);
    ck_assert_uint_eq(writes, 2);
    ck_assert_int_eq(stage(150, 4000), OK); /* as much by itself */
    ck_assert_uint_eq(writes, 3);
    check_all();
    fixture_stop(&f);
}
END_TEST

/* -- whoever looks -- */

static void nobody_told(void *ctx, const struct plog_aside_result *result)
{
}

static void by_fetch(void)
{
    check_all();
}

static void by_sync(void)
{
    plog_sync(f.log);
}

static void by_roll(void)
{
    ck_assert_int_eq(plog_roll_now(f.log), OK);
}

static void by_time(void)
{
    int64_t offset;
    ck_assert_int_eq(plog_find_time(f.log, 1000000, &offset), OK);
}

static void by_cut(void)
{
    int64_t end;
    ck_assert_int_eq(plog_truncate(f.log, plog_end(f.log) - 1, &end), OK);
}

static void by_scrub(void)
{
    struct plog_scrub scrub = {.begun = false};
    uint64_t offset;
    uint32_t len;
    ck_assert_int_eq(plog_scrub_next(f.log, &scrub, &offset, &len), OK);
    plog_scrub_end(&scrub);
}

static void by_aside(void)
{
    struct plog_aside *aside;
    ck_assert_int_eq(plog_aside_start(f.log, PLOG_ASIDE_MAX, 0, nobody_told, NULL, &aside), OK);
}

static void by_retention(void)
{
    struct plog_retention want = {
        .ms = 1, .bytes = -1, .messages = -1, .roll_ms = -1, .now_ms = INT64_MAX / 2};
    int64_t start, next_ms;
    ck_assert_int_eq(plog_retain(f.log, &want, &start, &next_ms), OK);
}

static void by_clean_stop(void)
{
    int64_t end = plog_end(f.log);
    ck_assert_int_eq(plog_close_clean(f.log), OK);
    plog_close(f.log);
    fixture_run(&f);
    ck_assert_int_eq(fixture_open(&f, true, end, 0), OK);
    ck_assert_int_eq(plog_end(f.log), end);
}

static void (*const looks[])(void) = {by_fetch, by_sync,  by_roll,      by_time,      by_cut,
                                      by_scrub, by_aside, by_retention, by_clean_stop};

START_TEST(whoever_looks_at_the_file_finds_it_there)
{
    start_with_room();
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(stage(2, 50), OK);
    ck_assert_uint_eq(writes, 0);
    looks[_i]();
    ck_assert_uint_eq(writes, 1);
    check_all();
    ck_assert_int_eq(stage(1, 50), OK);
    ck_assert_int_eq(plog_write_out(f.log), OK);
    fixture_run(&f);
    check_all();
    fixture_stop(&f);
}
END_TEST

START_TEST(a_reader_of_what_is_written_does_not_cause_a_write)
{
    struct plog_piece piece;
    start_with_room();
    int64_t written = plog_end(f.log);
    ck_assert_int_eq(stage(2, 50), OK);
    struct plog_fetch ask = {
        .end_offset = written, .file_end_offset = written, .max_bytes = 1 << 20, .may_wait = true};
    f.setup.tail_cache = NULL;
    ck_assert_int_eq(plog_estimate(f.log, 0, written) > 0, 1);
    ask.offset = written; /* nothing there for it */
    ck_assert_int_eq(plog_fetch(f.log, &ask, &piece), OK);
    ck_assert_int_eq(piece.len, 0);
    ck_assert_uint_eq(writes, 0);
    ask.end_offset = plog_end(f.log);
    ck_assert_int_eq(plog_fetch(f.log, &ask, &piece), OK);
    ck_assert_int_gt(piece.len, 0);
    ck_assert_uint_eq(writes, 1);
    iobuf_unref(piece.owner);
    fixture_stop(&f);
}
END_TEST

/* -- a segment ends in the turn -- */

START_TEST(a_segment_that_ends_is_written_before_the_next_begins)
{
    int64_t end;
    start(900);
    for (int i = 0; i < 12; i++)
        ck_assert_int_eq(stage(1, 200), OK);
    uint32_t rolls = plog_rolls(f.log);
    ck_assert_uint_ge(rolls, 3);
    ck_assert_int_eq(plog_write_out(f.log), OK);
    ck_assert_uint_eq(writes, rolls + 1);
    end = plog_end(f.log);
    mem_env_crash(f.mem, MEM_KEEP);
    plog_close(f.log);
    mem_env_restart(f.mem);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    ck_assert_int_eq(f.report.damages, 0);
    ck_assert_int_eq(plog_end(f.log), end);
    check_all();
    fixture_stop(&f);
}
END_TEST

/* -- failures -- */

START_TEST(a_write_that_fails_is_final_whoever_meets_it)
{
    int64_t end;
    struct plog_piece piece;
    start_with_room();
    size_t out = iobuf_pool_bytes_out(f.env->pool);
    ck_assert_int_eq(stage(1, 50), OK);
    ck_assert_int_eq(stage(1, 50), OK);
    mem_env_fail_write_after(f.mem, 1);
    if (_i == 0)
        ck_assert_int_eq(plog_write_out(f.log), ERR_IO);
    if (_i == 1)
        ck_assert_int_eq(plog_read(f.log, 1, plog_end(f.log), 1000, true, &piece), ERR_IO);
    if (_i == 2)
        ck_assert_int_eq(plog_truncate(f.log, 2, &end), ERR_IO);
    if (_i == 3)
        ck_assert_int_eq(fixture_append(&f, 1, 50), ERR_IO);
    if (_i == 4)
        ck_assert_int_eq(plog_roll_now(f.log), ERR_IO);
    if (_i == 5)
        ck_assert_int_eq(plog_close_clean(f.log), ERR_IO);
    if (_i == 6) {
        plog_sync(f.log);
        fixture_run(&f);
        ck_assert_int_eq(f.synced_err, ERR_IO);
    }
    mem_env_repair(f.mem);
    ck_assert_int_eq(plog_failed(f.log), ERR_IO);
    ck_assert_int_eq(plog_write_out(f.log), ERR_IO); /* never tried again and believed */
    ck_assert_int_eq(stage(1, 50), ERR_IO);
    ck_assert_int_eq(plog_read(f.log, 0, 1, 1000, true, &piece), ERR_IO);
    ck_assert_uint_eq(iobuf_pool_bytes_out(f.env->pool), out);
    fixture_stop(&f);
}
END_TEST

START_TEST(a_full_disk_refuses_a_batch_and_keeps_those_before_it)
{
    start(1 << 20);
    ck_assert_int_eq(stage(1, 50), OK);
    mem_env_set_free(f.mem, 0);
    int64_t end = plog_end(f.log);
    enum err err = OK;
    while ((err = stage(10, 2000)) == OK)
        end = plog_end(f.log); /* the room that was made */
    ck_assert_int_eq(err, ERR_NO_SPACE);
    ck_assert_int_eq(plog_failed(f.log), OK);
    ck_assert_int_eq(plog_end(f.log), end);
    mem_env_set_free(f.mem, 1ull << 40);
    ck_assert_int_eq(stage(10, 2000), OK);
    ck_assert_int_eq(plog_write_out(f.log), OK);
    check_all();
    fixture_stop(&f);
}
END_TEST

START_TEST(a_log_that_is_closed_lets_go_of_what_waits)
{
    start_with_room();
    size_t out = iobuf_pool_bytes_out(f.env->pool);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(stage(1, 50), OK);
    ck_assert_uint_gt(iobuf_pool_bytes_out(f.env->pool), out);
    plog_close(f.log);
    f.log = NULL;
    ck_assert_uint_eq(iobuf_pool_bytes_out(f.env->pool), out);
    ck_assert_uint_eq(writes, 0);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    ck_assert_int_eq(plog_end(f.log), 1);
    fixture_stop(&f);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, appends_of_a_turn_are_one_write);
    tcase_add_test(tcase, a_batch_that_cannot_wait_takes_along_what_does);
    tcase_add_test(tcase, what_waits_is_bounded_in_pieces_and_in_bytes);
    tcase_add_loop_test(tcase, whoever_looks_at_the_file_finds_it_there, 0, (int)ARRAY_LEN(looks));
    tcase_add_test(tcase, a_reader_of_what_is_written_does_not_cause_a_write);
    tcase_add_test(tcase, a_segment_that_ends_is_written_before_the_next_begins);
    tcase_add_loop_test(tcase, a_write_that_fails_is_final_whoever_meets_it, 0, 7);
    tcase_add_test(tcase, a_full_disk_refuses_a_batch_and_keeps_those_before_it);
    tcase_add_test(tcase, a_log_that_is_closed_lets_go_of_what_waits);
}

SLUICE_TEST_MAIN("broker_plog_stage", add)
