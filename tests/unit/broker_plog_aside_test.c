/* SPDX-License-Identifier: Apache-2.0 */
/* What reads much of a log does it on a worker: the answers are those of the synchronous calls, the loop
 * reads nothing, and a log that changes or goes meanwhile is never told something old. */
#include "broker/log/plog_aside.h"

#include "broker/log/plog_compact.h"
#include "broker/log/plog_damage.h"
#include "tests/unit/broker_plog_fixture.h"

#define BATCHES 120

struct aside_test {
    struct plog_fixture f;
    int learned, damaged;
    enum err learned_err;
    struct plog_damage damage;
    int answers;
    struct plog_aside_result result;
    uint8_t batch[8192];
};

static struct aside_test t;

static void on_learned(void *ctx, enum err err)
{
    ck_assert_ptr_eq(ctx, &t.f);
    t.learned++;
    t.learned_err = err;
}

static void on_damaged(void *ctx, const struct plog_damage *damage)
{
    ck_assert_ptr_eq(ctx, &t.f);
    t.damaged++;
    t.damage = *damage;
}

static void on_answer(void *ctx, const struct plog_aside_result *result)
{
    ck_assert_ptr_eq(ctx, &t);
    t.answers++;
    t.result = *result;
    ck_assert_uint_le(result->len, sizeof(t.batch));
    if (result->len > 0)
        memcpy(t.batch, result->batch, result->len);
}

/* A log of several segments, closed cleanly and opened again: nothing is known but what its files say. */
static void start(void)
{
    memset(&t, 0, sizeof(t));
    fixture_start(&t.f, 2500, 7);
    t.f.setup.learned = on_learned;
    t.f.setup.damaged = on_damaged;
    ck_assert_int_eq(fixture_open(&t.f, false, 0, 0), OK);
    for (int i = 0; i < BATCHES; i++) {
        t.f.epoch = i / 40;
        ck_assert_int_eq(fixture_append(&t.f, 1 + i % 4, 20 + i % 7 * 9), OK);
    }
}

static void again(void)
{
    int64_t end = plog_end(t.f.log);
    fixture_close(&t.f, true);
    ck_assert_int_eq(fixture_open(&t.f, true, end, 0), OK);
}

static void stop(void)
{
    fixture_stop(&t.f);
}

/* One question, answered in a later turn, without a read on the loop. */
static enum err ask(enum plog_aside_task task, int64_t key)
{
    struct plog_aside *aside;
    uint64_t reads = mem_env_loop_reads(t.f.mem);
    int before = t.answers;
    ck_assert_int_eq(plog_aside_start(t.f.log, task, key, on_answer, &t, &aside), OK);
    ck_assert_int_eq(t.answers, before);
    fixture_run(&t.f);
    ck_assert_int_eq(t.answers, before + 1);
    ck_assert_uint_eq(mem_env_loop_reads(t.f.mem), reads);
    return t.result.err;
}

START_TEST(it_finds_what_the_synchronous_search_finds)
{
    start();
    for (int round = 0; round < 2; round++) {
        int64_t end = plog_end(t.f.log), time, offset;
        for (int64_t o = 0; o < end; o += 5) {
            ck_assert_int_eq(ask(PLOG_ASIDE_FIND, 1000000 + o * 10 - 3), OK);
            ck_assert_int_eq(batch_verify(t.batch, t.result.len), OK);
            ck_assert_int_le(batch_base_offset(t.batch), o);
            ck_assert_int_ge(batch_last_offset(t.batch), o);
        }
        ck_assert_int_eq(ask(PLOG_ASIDE_FIND, 1000000 + end * 10), ERR_NOT_FOUND);
        ck_assert_int_eq(ask(PLOG_ASIDE_MAX, 0), OK);
        ck_assert_int_eq(plog_max_time(t.f.log, &time, &offset), OK);
        ck_assert_int_eq(batch_max_timestamp(t.batch), time);
        ck_assert_int_eq(batch_last_offset(t.batch), offset);
        again();
    }
    stop();
}
END_TEST

START_TEST(an_empty_log_has_no_times)
{
    memset(&t, 0, sizeof(t));
    fixture_start(&t.f, 2500, 7);
    t.f.setup.learned = on_learned;
    ck_assert_int_eq(fixture_open(&t.f, false, 0, 0), OK);
    ck_assert_int_eq(ask(PLOG_ASIDE_FIND, 5), ERR_NOT_FOUND);
    ck_assert_int_eq(ask(PLOG_ASIDE_MAX, 0), ERR_NOT_FOUND);
    stop();
}
END_TEST

START_TEST(what_changed_meanwhile_is_stale_and_what_was_appended_is_not)
{
    struct plog_aside *aside;
    int64_t end;
    start();
    again();
    ck_assert_int_eq(plog_aside_start(t.f.log, PLOG_ASIDE_MAX, 0, on_answer, &t, &aside), OK);
    ck_assert_int_eq(fixture_append(&t.f, 2, 30), OK);
    fixture_run(&t.f);
    ck_assert_int_eq(t.result.err, OK);
    ck_assert_int_eq(plog_aside_start(t.f.log, PLOG_ASIDE_MAX, 0, on_answer, &t, &aside), OK);
    ck_assert_int_eq(plog_truncate(t.f.log, plog_end(t.f.log) - 100, &end), OK);
    fixture_run(&t.f);
    ck_assert_int_eq(t.result.err, ERR_STALE);
    ck_assert_int_eq(ask(PLOG_ASIDE_MAX, 0), OK);
    ck_assert_int_lt(batch_last_offset(t.batch), end);
    ck_assert_int_eq(plog_set_start(t.f.log, end - 20), OK);
    ck_assert_int_eq(plog_aside_start(t.f.log, PLOG_ASIDE_FIND, 0, on_answer, &t, &aside), OK);
    ck_assert_int_eq(plog_trim(t.f.log, end - 20), OK);
    fixture_run(&t.f);
    ck_assert_int_eq(t.result.err, ERR_STALE);
    stop();
}
END_TEST

static void counted(int64_t waiting, uint64_t begun, uint64_t stale)
{
    ck_assert_int_eq(atomic_load(&t.f.handles.asides_waiting), waiting);
    ck_assert_uint_eq(atomic_load(&t.f.handles.asides), begun);
    ck_assert_uint_eq(atomic_load(&t.f.handles.asides_stale), stale);
}

START_TEST(it_is_counted_while_somebody_waits)
{
    struct plog_aside *aside, *other;
    start();
    counted(0, 0, 0);
    ck_assert_int_eq(plog_aside_start(t.f.log, PLOG_ASIDE_MAX, 0, on_answer, &t, &aside), OK);
    ck_assert_int_eq(plog_aside_find(t.f.log, 0, 0, on_answer, &t, &other), OK);
    counted(2, 2, 0);
    plog_aside_cancel(aside);
    counted(1, 2, 0);
    ck_assert_int_eq(plog_set_start(t.f.log, plog_end(t.f.log) - 20), OK);
    ck_assert_int_eq(plog_trim(t.f.log, plog_end(t.f.log) - 20), OK);
    fixture_run(&t.f);
    counted(0, 2, 1);
    ck_assert_int_eq(plog_aside_start(t.f.log, PLOG_ASIDE_MAX, 0, on_answer, &t, &aside), OK);
    fixture_close(&t.f, true);
    counted(0, 3, 1);
    ck_assert_int_eq(fixture_open(&t.f, true, 0, 0), OK);
    stop();
}
END_TEST

START_TEST(it_looks_from_an_offset_on)
{
    struct plog_aside *aside;
    start();
    for (int64_t from = 0; from < plog_end(t.f.log); from += 7) {
        ck_assert_int_eq(plog_aside_find(t.f.log, 0, from, on_answer, &t, &aside), OK);
        fixture_run(&t.f);
        ck_assert_int_eq(t.result.err, OK);
        ck_assert_int_le(batch_base_offset(t.batch), from);
        ck_assert_int_ge(batch_last_offset(t.batch), from);
    }
    ck_assert_int_eq(plog_aside_find(t.f.log, 0, plog_end(t.f.log), on_answer, &t, &aside), OK);
    fixture_run(&t.f);
    ck_assert_int_eq(t.result.err, ERR_NOT_FOUND);
    stop();
}
END_TEST

START_TEST(who_cancels_or_closes_is_not_told)
{
    struct plog_aside *aside, *other;
    start();
    again();
    ck_assert_int_eq(plog_aside_start(t.f.log, PLOG_ASIDE_MAX, 0, on_answer, &t, &aside), OK);
    ck_assert_int_eq(plog_aside_start(t.f.log, PLOG_ASIDE_FIND, 0, on_answer, &t, &other), OK);
    plog_aside_cancel(aside);
    fixture_run(&t.f);
    ck_assert_int_eq(t.answers, 1);
    ck_assert_int_eq(plog_aside_start(t.f.log, PLOG_ASIDE_MAX, 0, on_answer, &t, &aside), OK);
    plog_delete(t.f.log);
    t.f.log = NULL;
    fixture_run(&t.f);
    ck_assert_int_eq(t.answers, 1);
    fixture_stop(&t.f);
}
END_TEST

static struct plog_retention by_time(int64_t now_ms)
{
    return (struct plog_retention){.ms = 100,
                                   .bytes = -1,
                                   .messages = -1,
                                   .roll_ms = -1,
                                   .now_ms = now_ms,
                                   .high_watermark = plog_end(t.f.log)};
}

/* Repeats until nothing is left to be read aside. */
static int retain(const struct plog_retention *want, int64_t *ret_start)
{
    int64_t next_ms;
    enum err err;
    int times = 0;
    uint64_t reads = mem_env_loop_reads(t.f.mem);
    while ((err = plog_retain(t.f.log, want, ret_start, &next_ms)) == ERR_BUSY) {
        int learned = t.learned;
        ck_assert_int_eq(plog_retain(t.f.log, want, ret_start, &next_ms), ERR_BUSY); /* it is one job */
        fixture_run(&t.f);
        ck_assert_int_eq(t.learned, learned + 1);
        ck_assert_int_eq(t.learned_err, OK);
        ck_assert_int_lt(++times, 2 * BATCHES);
    }
    ck_assert_int_eq(err, OK);
    ck_assert_uint_eq(mem_env_loop_reads(t.f.mem), reads);
    return times;
}

static const char *const derived[] = {NULL, ".index", ".timeindex"};

START_TEST(retention_learns_times_aside_and_rebuilds_what_is_lost)
{
    int64_t start_offset, all;
    char path[128];
    start();
    again();
    for (int64_t o = 0; derived[_i] && o < plog_end(t.f.log); o++)
        env_unlink(t.f.env, fixture_path(o, derived[_i], path));
    struct plog_retention none = by_time(1000050), half = by_time(1000000 + plog_end(t.f.log) * 5);
    ck_assert_int_ge(retain(&none, &start_offset), 1);
    ck_assert_int_eq(start_offset, 0);
    ck_assert_int_ge(retain(&half, &start_offset), 3);
    ck_assert_int_gt(start_offset, 20);
    ck_assert_int_lt(start_offset, plog_end(t.f.log) / 2);
    ck_assert_int_eq(retain(&half, &all), 0); /* it is known now */
    ck_assert_int_eq(all, start_offset);
    struct plog_dirt dirt;
    enum err err;
    while ((err = plog_dirt(t.f.log, plog_end(t.f.log), 60000, &dirt)) == ERR_BUSY)
        fixture_run(&t.f);
    ck_assert_int_eq(err, OK);
    stop();
}
END_TEST

START_TEST(a_reader_waits_while_an_index_is_made_anew)
{
    struct plog_piece piece;
    char path[128];
    uint64_t size;
    start();
    again();
    for (int64_t o = 0; o < plog_end(t.f.log); o++)
        env_unlink(t.f.env, fixture_path(o, ".index", path));
    struct plog_fetch request = {.offset = 60,
                                 .end_offset = plog_end(t.f.log),
                                 .file_end_offset = -1,
                                 .max_bytes = 10,
                                 .at_least_one = true,
                                 .may_wait = true,
                                 .aside = true};
    ck_assert_int_eq(plog_fetch(t.f.log, &request, &piece), ERR_BUSY);
    ck_assert_int_eq(plog_fetch(t.f.log, &request, &piece), ERR_BUSY);
    fixture_run(&t.f);
    ck_assert_int_eq(t.learned, 1);
    ck_assert_int_eq(plog_fetch(t.f.log, &request, &piece), OK);
    ck_assert_int_le(batch_base_offset(piece.p), 60);
    ck_assert_int_ge(batch_last_offset(piece.p), 60);
    iobuf_unref(piece.owner);
    int files = 0;
    for (int64_t o = 0; o < plog_end(t.f.log); o++)
        files += mem_env_bytes(t.f.mem, fixture_path(o, ".index", path), &size) != NULL && size > 0;
    ck_assert_int_eq(files, 1); /* of the segment that was asked for */
    stop();
}
END_TEST

/* Cutting cannot wait: it makes the index itself. */
START_TEST(a_cut_does_not_wait)
{
    char path[128];
    int64_t end;
    start();
    again();
    for (int64_t o = 0; o < plog_end(t.f.log); o++)
        env_unlink(t.f.env, fixture_path(o, ".index", path));
    ck_assert_int_eq(plog_truncate(t.f.log, 61, &end), OK);
    ck_assert_int_le(end, 61);
    ck_assert_int_gt(end, 56);
    stop();
}
END_TEST

/* The n-th batch of the first segment. */
static uint8_t *batch_at(int n, uint64_t *ret_left)
{
    char path[128];
    uint64_t size, at = 0;
    uint8_t *bytes = mem_env_bytes(t.f.mem, fixture_path(0, ".log", path), &size);
    while (n-- > 0)
        at += batch_size(bytes + at);
    ck_assert_uint_lt(at, size);
    *ret_left = size - at;
    return bytes + at;
}

START_TEST(damage_is_measured_aside)
{
    static const int places[] = {70, BATCH_AT_BASE_OFFSET + 7, BATCH_AT_LEADER_EPOCH + 3, BATCH_AT_LENGTH + 2,
                                 BATCH_AT_MAGIC};
    uint64_t left;
    start();
    again();
    uint8_t *bad = batch_at(5, &left);
    int64_t offset = batch_base_offset(bad), end = batch_next_offset(bad);
    bad[places[_i]] ^= 0x10;
    uint64_t reads = mem_env_loop_reads(t.f.mem);
    ck_assert_int_eq(plog_damage_seek(t.f.log, offset), ERR_BUSY);
    ck_assert_int_eq(plog_damage_seek(t.f.log, offset), ERR_BUSY);
    fixture_run(&t.f);
    ck_assert_int_eq(t.learned, 1);
    ck_assert_int_eq(t.damaged, 1);
    ck_assert_int_eq(t.damage.offset, offset);
    ck_assert_int_eq(t.damage.end, end);
    ck_assert_int_eq(plog_damage_seek(t.f.log, offset), OK);
    ck_assert_ptr_nonnull(plog_damage_at(t.f.log, offset, false));
    ck_assert_uint_eq(mem_env_loop_reads(t.f.mem), reads);
    stop();
}
END_TEST

START_TEST(nothing_damaged_is_said_once_and_looked_for_again)
{
    uint64_t left;
    start();
    again();
    for (int round = 0; round < 2; round++) {
        ck_assert_int_eq(plog_damage_seek(t.f.log, 3), ERR_BUSY);
        fixture_run(&t.f);
        ck_assert_int_eq(plog_damage_seek(t.f.log, 3), ERR_NOT_FOUND);
    }
    batch_at(4, &left)[70] ^= 1;
    ck_assert_int_eq(plog_damage_seek(t.f.log, 3), ERR_BUSY);
    fixture_run(&t.f);
    ck_assert_int_eq(t.damaged, 1);
    stop();
}
END_TEST

START_TEST(out_of_memory_of_descriptors_is_said_and_passes)
{
    struct plog_aside *aside;
    start();
    again();
    mem_env_limit_files(t.f.mem, 1);
    ck_assert_int_eq(plog_aside_start(t.f.log, PLOG_ASIDE_MAX, 0, on_answer, &t, &aside), OK);
    fixture_run(&t.f);
    ck_assert_int_eq(t.result.err, ERR_FD_LIMIT);
    mem_env_limit_files(t.f.mem, 0);
    ck_assert_int_eq(ask(PLOG_ASIDE_MAX, 0), OK);
    stop();
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, it_finds_what_the_synchronous_search_finds);
    tcase_add_test(tcase, an_empty_log_has_no_times);
    tcase_add_test(tcase, what_changed_meanwhile_is_stale_and_what_was_appended_is_not);
    tcase_add_test(tcase, it_is_counted_while_somebody_waits);
    tcase_add_test(tcase, it_looks_from_an_offset_on);
    tcase_add_test(tcase, who_cancels_or_closes_is_not_told);
    tcase_add_loop_test(tcase, retention_learns_times_aside_and_rebuilds_what_is_lost, 0, 3);
    tcase_add_test(tcase, a_reader_waits_while_an_index_is_made_anew);
    tcase_add_test(tcase, a_cut_does_not_wait);
    tcase_add_loop_test(tcase, damage_is_measured_aside, 0, 5);
    tcase_add_test(tcase, nothing_damaged_is_said_once_and_looked_for_again);
    tcase_add_test(tcase, out_of_memory_of_descriptors_is_said_and_passes);
}

SLUICE_TEST_MAIN("broker_plog_aside", add)
