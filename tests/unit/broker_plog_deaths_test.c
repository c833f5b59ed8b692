/* SPDX-License-Identifier: Apache-2.0 */
/* A partition log whose process or machine dies at every one of its writes comes back with what it promised.
 */
#include "broker/log/plog_damage.h"
#include "broker/log/plog_torn.h"
#include "tests/unit/broker_plog_fixture.h"

/* -- a scripted life, broken off at every write -- */

#define LIFE_STEPS 60

struct life {
    int64_t end[LIFE_STEPS + 1]; /* log end after each finished step */
    int64_t synced;              /* what was told as durable, corrected by cuts */
    int64_t start;
    int steps;
};

/* One step; false when the log failed. */
static bool live(struct plog_fixture *f, struct life *life, int i)
{
    int64_t end;
    enum err err = OK;
    f->epoch = i / 15;
    if (i % 11 == 7)
        plog_sync(f->log);
    if (i % 17 == 13) {
        int64_t to = MAX(plog_end(f->log) - 5, plog_start(f->log) + 1);
        life->synced = MIN(life->synced, MAX(to - 3, 0));
        f->synced_end = MIN(f->synced_end, life->synced);
        err = plog_truncate(f->log, to, &end);
    } else if (i % 19 == 15) {
        err = plog_set_start(f->log, plog_end(f->log) / 3);
        life->start = plog_start(f->log); /* the manifest has it before files go */
        err = err ? err : plog_trim(f->log, plog_start(f->log));
    } else {
        err = fixture_append(f, 1 + i % 3, 30 + i * 37 % 200);
    }
    if (err == OK && i % 5 == 0)
        mem_world_run(f->world, mem_world_now_us(f->world) + 700);
    life->synced = MAX(life->synced, f->synced_end);
    return err == OK && f->synced_err == OK;
}

/* Of an unsynced batch that lacks less than PIECE_MIN bytes (plog_torn.c) nothing tells that it did not go
 * bad: it is kept as damage. */
static void only_unsynced_bytes_are_damaged(struct plog_fixture *f, int64_t synced, enum mem_crash kind)
{
    const struct plog_damage *list;
    int64_t end, count = plog_damages(f->log, &list);
    ck_assert(count == 0 || kind == MEM_MIX);
    for (int32_t i = 0; i < count; i++)
        ck_assert_int_ge(list[i].offset, synced);
    if (count > 0)
        return;
    fixture_read_all(f, plog_start(f->log), 500, &end);
    ck_assert_int_eq(end, plog_end(f->log));
}

/* Runs until the n-th write fails (0: never); then the process or the machine dies, and comes back. */
static bool die_at_write(uint32_t n, enum mem_crash kind)
{
    struct plog_fixture f;
    struct life life = {.steps = 0};
    fixture_start(&f, 1000, 100 + n);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    mem_env_fail_write_after(f.mem, n);
    while (life.steps < LIFE_STEPS && live(&f, &life, life.steps))
        life.steps++;
    bool broke = life.steps < LIFE_STEPS;
    mem_env_crash(f.mem, kind);
    plog_close(f.log);
    f.log = NULL;
    mem_env_restart(f.mem);
    f.setup.power_lost = kind != MEM_KEEP;
    enum err err = fixture_open(&f, false, life.synced, life.start);
    if (err == ERR_MISMATCH) { /* its metadata, part of every first sync, is not there: nothing was
                                         promised */
        ck_assert_int_ne(kind, MEM_KEEP);
        ck_assert_int_eq(life.synced, 0);
        f.log = NULL;
    } else {
        ck_assert_msg(err == OK, "write %u: %s %s", n, err_name(err), f.report.damage);
        ck_assert_int_ge(plog_end(f.log), life.synced);
        only_unsynced_bytes_are_damaged(&f, life.synced, kind);
        f.epoch = 50;
        ck_assert_int_eq(fixture_append(&f, 1, 10), OK);
        epoch_cache_check(plog_epochs(f.log));
        producer_state_check(plog_producers(f.log));
    }
    fixture_stop(&f);
    return broke;
}

static void die_at_every_write(enum mem_crash kind)
{
    uint32_t n = 1;
    while (die_at_write(n, kind))
        n++;
    ck_assert_uint_gt(n, LIFE_STEPS);
}

START_TEST(a_process_killed_at_any_write_comes_back)
{
    die_at_every_write(MEM_KEEP);
}
END_TEST

START_TEST(a_machine_that_dies_at_any_write_comes_back_with_all_that_was_synced)
{
    die_at_every_write(MEM_DROP);
}
END_TEST

START_TEST(writes_that_reach_the_disk_in_any_order_lose_nothing_that_was_synced)
{
    die_at_every_write(MEM_MIX);
}
END_TEST

/* -- what was cut, and written over -- */

#define CUT_SEEDS 60

/* Batches of one sector each: what is written behind a cut lies where the old ones lay. */
static void append_some(struct plog_fixture *f, int32_t epoch, int batches)
{
    f->epoch = epoch;
    for (int i = 0; i < batches; i++)
        ck_assert_int_eq(fixture_append(f, 1, 442), OK);
    ck_assert_uint_eq(plog_size_bytes(f->log), 512 * (uint64_t)plog_end(f->log));
}

static void lose_power(struct plog_fixture *f, int64_t recovery_point)
{
    mem_env_crash(f->mem, MEM_MIX);
    plog_close(f->log);
    f->log = NULL;
    mem_env_restart(f->mem);
    f->setup.power_lost = true;
    ck_assert_int_eq(fixture_open(f, false, recovery_point, 0), OK);
}

/* How many batches there are from offset on; all are good, and of that epoch. */
static int only_of_epoch(struct plog_fixture *f, int64_t offset, int32_t epoch)
{
    int count = 0;
    ck_assert_int_eq(f->report.damages, 0);
    for (; offset < plog_end(f->log); offset++) { /* a batch is one record */
        struct plog_piece piece;
        ck_assert_int_eq(plog_read(f->log, offset, plog_end(f->log), 1, true, &piece), OK);
        ck_assert_int_eq(batch_base_offset(piece.p), offset);
        ck_assert_int_eq(batch_leader_epoch(piece.p), epoch);
        iobuf_unref(piece.owner);
        count++;
    }
    return count;
}

/* Found by simulation: a diverging tail was cut and written over; the power went, and a sector of what was
 * cut came back in between, with a good checksum. */
START_TEST(what_was_cut_does_not_come_back_between_what_was_written_over_it)
{
    int seen = 0;
    for (uint64_t seed = 1; seed <= CUT_SEEDS; seed++) {
        struct plog_fixture f;
        int64_t end;
        fixture_start(&f, 1 << 20, seed);
        ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
        append_some(&f, 1, 60);
        plog_sync(f.log);
        fixture_run(&f);
        ck_assert_int_eq(f.synced_end, 60);
        ck_assert_int_eq(plog_truncate(f.log, 20, &end), OK);
        append_some(&f, 2, 50);
        lose_power(&f, 20);
        seen += only_of_epoch(&f, 20, 2);
        fixture_stop(&f);
    }
    ck_assert_int_gt(seen, CUT_SEEDS / 6); /* some of it survives, or nothing is shown */
}
END_TEST

START_TEST(what_recovery_cuts_does_not_come_back_between_what_was_written_over_it)
{
    int seen = 0;
    for (uint64_t seed = 1; seed <= CUT_SEEDS; seed++) {
        struct plog_fixture f;
        fixture_start(&f, 1 << 20, seed);
        ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
        append_some(&f, 1, 20);
        plog_sync(f.log);
        fixture_run(&f);
        append_some(&f, 1, 40);
        lose_power(&f, 20);
        int64_t end = plog_end(f.log);
        append_some(&f, 2, 50);
        lose_power(&f, 20);
        seen += only_of_epoch(&f, end, 2);
        fixture_stop(&f);
    }
    ck_assert_int_gt(seen, CUT_SEEDS / 6);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_process_killed_at_any_write_comes_back);
    tcase_add_test(tcase, a_machine_that_dies_at_any_write_comes_back_with_all_that_was_synced);
    tcase_add_test(tcase, writes_that_reach_the_disk_in_any_order_lose_nothing_that_was_synced);
    tcase_add_test(tcase, what_was_cut_does_not_come_back_between_what_was_written_over_it);
    tcase_add_test(tcase, what_recovery_cuts_does_not_come_back_between_what_was_written_over_it);
}

SLUICE_TEST_MAIN("broker_plog_deaths", add)
