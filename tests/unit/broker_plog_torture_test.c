/* SPDX-License-Identifier: Apache-2.0 */
/* A scripted life of a partition log (append, roll, retain, truncate, restart, clean stop, delete), in which
 * every change of the disk in turn fails, or is the last before the process or the machine dies. After each
 * the log keeps its promises. */
#include "broker/log/plog_damage.h"
#include "tests/unit/broker_plog_fixture.h"

#define STEPS    44
#define OFFSETS  512
#define VERSIONS 8

/* What was ever written at an offset, newest last. */
struct written {
    uint32_t crc[VERSIONS];
    int count;
};

struct life {
    struct plog_fixture f;
    struct written at[OFFSETS];
    int64_t synced; /* durable as told, corrected by cuts */
    int64_t start;  /* the manifest's: durable before files go */
    bool clean;     /* closed cleanly since the last change */
    bool deleted;
};

static void note(struct life *life, int64_t offset, uint32_t crc)
{
    struct written *w = &life->at[offset];
    ck_assert_int_lt(offset, OFFSETS);
    ck_assert_int_lt(w->count, VERSIONS);
    w->crc[w->count++] = crc;
}

static enum err append_one(struct life *life, int count, int value_len)
{
    int64_t offset = plog_end(life->f.log);
    struct iobuf *batch = fixture_batch(offset, count, value_len, life->f.epoch);
    note(life, offset, batch_crc(batch->data)); /* also when the write fails: parts of it may be there */
    enum err err = plog_append_kept(life->f.log, batch->data, batch->len, batch);
    iobuf_unref(batch);
    return err;
}

/* What a turn of the loop appends, which ends with one write; or it does not end, and whoever comes next
 * finds batches that are not written. */
static enum err append(struct life *life, int count, int value_len, int i)
{
    enum err err = append_one(life, count, value_len);
    for (int more = i % 3; more > 0 && err == OK; more--)
        err = append_one(life, 1, 40);
    return err || i % 4 == 3 ? err : plog_write_out(life->f.log);
}

static enum err cut(struct life *life, int64_t to)
{
    int64_t end;
    life->synced = MIN(life->synced, MAX(to - 4, 0)); /* the manifest's recovery point goes down first */
    life->f.synced_end = MIN(life->f.synced_end, life->synced);
    return plog_truncate(life->f.log, to, &end);
}

static enum err retain(struct life *life)
{
    enum err err = plog_set_start(life->f.log, plog_end(life->f.log) / 3);
    if (err == OK)
        life->start = plog_start(life->f.log);
    return err ? err : plog_trim(life->f.log, life->start);
}

static enum err restart(struct life *life)
{
    int64_t at = plog_end(life->f.log) + 3;
    life->synced = life->f.synced_end = 0;
    enum err err = plog_restart(life->f.log, at);
    if (err == OK)
        life->start = at;
    return err;
}

static enum err stop_and_start(struct life *life)
{
    enum err err = plog_close_clean(life->f.log);
    if (err)
        return err;
    life->synced = life->f.synced_end = plog_end(life->f.log);
    life->clean = true;
    plog_close(life->f.log);
    life->f.log = NULL;
    fixture_run(&life->f);
    err = fixture_open(&life->f, true, life->synced, life->start);
    life->clean = err != OK;
    return err;
}

/* One step; an error when the log failed. */
static enum err live(struct life *life, int i)
{
    struct plog_fixture *f = &life->f;
    enum err err;
    f->epoch = i / 12;
    if (i % 5 == 4)
        plog_sync(f->log);
    if (i == STEPS - 1) {
        life->deleted = true;
        plog_delete(f->log);
        f->log = NULL;
        return OK;
    }
    if (i == 30)
        err = restart(life);
    else if (i % 13 == 10)
        err = cut(life, MAX(plog_end(f->log) - 5, plog_start(f->log) + 1));
    else if (i % 17 == 15)
        err = retain(life);
    else if (i == 24)
        err = stop_and_start(life);
    else
        err = append(life, 1 + i % 3, 30 + i * 37 % 200, i);
    if (err == OK && i % 4 == 0)
        mem_world_run(f->world, mem_world_now_us(f->world) + 900);
    life->synced = MAX(life->synced, f->synced_end);
    if (err == OK)
        err = f->synced_err;
    return err;
}

/* -- what must hold afterwards -- */

static bool known(const struct life *life, int64_t offset, uint32_t crc, bool newest)
{
    const struct written *w = &life->at[offset];
    for (int i = newest ? w->count - 1 : 0; i >= 0 && i < w->count; i++)
        if (w->crc[i] == crc)
            return true;
    return false;
}

static void check_batch(struct life *life, const uint8_t *p, int64_t *offset)
{
    int64_t base = batch_base_offset(p);
    ck_assert_int_le(base, *offset);
    ck_assert_msg(known(life, base, batch_crc(p), base < life->synced), "offset %lld is another batch",
                  (long long)base);
    ck_assert_int_eq(epoch_cache_at(plog_epochs(life->f.log), *offset), batch_leader_epoch(p));
    *offset = batch_next_offset(p);
}

static void check_content(struct life *life)
{
    struct plog *log = life->f.log;
    for (int64_t offset = plog_start(log); offset < plog_end(log);) {
        struct plog_piece piece;
        ck_assert_int_eq(plog_read(log, offset, plog_end(log), 400, true, &piece), OK);
        ck_assert_int_gt(piece.len, 0);
        for (int32_t at = 0; at < piece.len; at += (int32_t)batch_size(piece.p + at)) {
            ck_assert_int_eq(batch_verify(piece.p + at, (size_t)(piece.len - at)), OK);
            check_batch(life, piece.p + at, &offset);
        }
        iobuf_unref(piece.owner);
    }
}

/* What is known of the three producers: their last batches. (A cut shortens the window of those before.) */
static uint64_t producers_of(struct plog *log)
{
    uint64_t sum = 0;
    for (int64_t id = 500; id < 503; id++) {
        struct producer_batch last;
        if (producer_state_last(plog_producers(log), id, &last))
            sum = sum * 1000003 + (uint64_t)last.last_offset * 1009 + (uint64_t)last.last_sequence + 1;
    }
    return sum;
}

/* Derived files are as they would be without them. */
static void check_derived(struct life *life)
{
    static const char *const suffixes[] = {".snapshot", ".index", ".timeindex"};
    struct plog_fixture *f = &life->f;
    char path[128];
    int64_t end = plog_end(f->log), start = plog_start(f->log);
    uint64_t producers = producers_of(f->log);
    plog_close(f->log);
    f->log = NULL;
    fixture_run(f);
    for (size_t k = 0; k < ARRAY_LEN(suffixes); k++)
        for (int64_t o = 0; o <= end; o++)
            env_unlink(f->env, fixture_path(o, suffixes[k], path));
    ck_assert_int_eq(fixture_open(f, false, life->synced, start), OK);
    ck_assert_int_eq(plog_end(f->log), end);
    if (start == 0) /* else state of batches that are gone is known from snapshots only */
        ck_assert_uint_eq(producers_of(f->log), producers);
}

static void check_goes_on(struct life *life)
{
    struct plog_fixture *f = &life->f;
    f->synced_err = OK;
    f->epoch = 50;
    ck_assert_int_eq(append(life, 2, 30, 0), OK);
    plog_sync(f->log);
    fixture_run(f);
    ck_assert_int_eq(f->synced_err, OK);
    ck_assert_int_eq(plog_synced_end(f->log), plog_end(f->log));
    check_content(life);
}

static void check_life(struct life *life, const char *how, uint32_t n, enum mem_crash kind)
{
    struct plog_fixture *f = &life->f;
    f->setup.power_lost = kind != MEM_KEEP;
    enum err err = fixture_open(f, life->clean, life->synced, life->start);
    if (err ==
        ERR_MISMATCH) { /* its metadata, part of every first sync, is not there: nothing was promised */
        ck_assert_int_ne(kind, MEM_KEEP);
        ck_assert_int_eq(life->synced, 0);
        return;
    }
    ck_assert_msg(err == OK, "%s %u: %s %s", how, n, err_name(err), f->report.damage);
    ck_assert_msg(f->report.damages == 0, "%s %u kind %d: %s", how, n, kind, f->report.damage);
    if (life->deleted) /* whole, or gone: a new log */
        life->synced = MIN(life->synced, plog_end(f->log));
    ck_assert_msg(plog_end(f->log) >= life->synced, "%s %u kind %d: ends at %lld, synced %lld", how, n, kind,
                  (long long)plog_end(f->log), (long long)life->synced);
    check_content(life);
    check_derived(life);
    check_goes_on(life);
    epoch_cache_check(plog_epochs(f->log));
    producer_state_check(plog_producers(f->log));
}

/* -- every change in turn -- */

/* False when the life ended before its n-th change. */
static bool torture(uint32_t n, bool die, enum mem_crash kind)
{
    static struct life life;
    int step = 0;
    memset(&life, 0, sizeof(life));
    fixture_start(&life.f, 900, 1000 + n);
    if (die)
        mem_env_die_after(life.f.mem, n);
    else
        mem_env_fail_change(life.f.mem, n);
    enum err err = fixture_open(&life.f, false, 0, 0);
    while (err == OK && step < STEPS)
        err = live(&life, step++);
    bool reached = mem_env_changes(life.f.mem) >= n;
    mem_env_crash(life.f.mem, kind);
    if (life.f.log)
        plog_close(life.f.log);
    life.f.log = NULL;
    mem_env_restart(life.f.mem);
    check_life(&life, die ? "death behind change" : "failure of change", n, kind);
    if (life.f.log)
        plog_close(life.f.log);
    life.f.log = NULL;
    fixture_run(&life.f);
    plog_handles_free(&life.f.handles);
    mem_world_free(life.f.world);
    return reached;
}

static void torture_all(bool die, enum mem_crash kind)
{
    uint32_t n = 1;
    while (torture(n, die, kind))
        n++;
    ck_assert_uint_gt(n, 2 * STEPS);
}

START_TEST(every_change_fails_in_turn_and_the_process_dies)
{
    torture_all(false, MEM_KEEP);
}
END_TEST

START_TEST(every_change_fails_in_turn_and_the_power_goes)
{
    torture_all(false, MEM_DROP);
    torture_all(false, MEM_MIX);
}
END_TEST

START_TEST(every_change_in_turn_is_the_last_of_the_process)
{
    torture_all(true, MEM_KEEP);
}
END_TEST

START_TEST(every_change_in_turn_is_the_last_before_the_power_goes)
{
    torture_all(true, MEM_DROP);
    torture_all(true, MEM_MIX);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, every_change_fails_in_turn_and_the_process_dies);
    tcase_add_test(tcase, every_change_fails_in_turn_and_the_power_goes);
    tcase_add_test(tcase, every_change_in_turn_is_the_last_of_the_process);
    tcase_add_test(tcase, every_change_in_turn_is_the_last_before_the_power_goes);
}

SLUICE_TEST_MAIN("broker_plog_torture", add)
