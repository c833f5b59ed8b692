/* SPDX-License-Identifier: Apache-2.0 */
/* A scripted life of the manifest (updates, moved log starts, removals, rewrites, clean and unclean stops),
 * in which every change of the disk in turn fails, or is the last before the process or the machine dies.
 * After each the journal opens, tells nothing that was never true, and has not forgotten what it called
 * durable. */
#include <string.h>

#include "broker/log/manifest.h"
#include "common/base/assert.h"
#include "tests/lib/mem_env.h"
#include "tests/lib/unit.h"

#define DATA_DIR    "/data"
#define PARTITIONS  12
#define STEPS       36
#define BURST_AT    18        /* so many updates that the file is rewritten: */
#define BURST_TURNS 30        /* in so many turns, */
#define FILLERS     400       /* to so many more partitions, whose log starts stand still */
#define GROWN       (1 << 20) /* bytes of a file that is rewritten */
#define START_EACH  40        /* values until the log start moves */
#define VALUES_MAX  (STEPS * 20 + 200)
#define NONE        (-1)

struct life {
    struct mem_world *world;
    struct mem_env *mem;
    struct env *env;
    struct manifest *m;
    struct manifest_report report;
    int8_t owner[VALUES_MAX];    /* which partition a value was put for; PARTITIONS: nobody */
    int64_t next;                /* the next value */
    int64_t last[PARTITIONS];    /* put last, NONE: removed or never put */
    int64_t removed[PARTITIONS]; /* removed before this value was given out; NONE */
    int64_t written[PARTITIONS]; /* in the page cache for certain */
    int64_t sure[PARTITIONS];    /* with a log start that is durable for certain */
    bool named;                  /* a first manifest_open() has returned: the file is there */
    bool closed_clean, may_be_clean;
    uint32_t heals;
    uint32_t calm_from, calm_to; /* changes of the disk between which the file only grows */
    bool rewritten;              /* having grown */
};

static struct uuid topic(int i)
{
    return (struct uuid){{(uint8_t)(i / 3), 9, 9}};
}

static void put(struct life *life, int i, bool clean)
{
    int64_t v = life->next++;
    ck_assert_int_lt(v, VALUES_MAX);
    struct manifest_entry entry = {.topic_id = topic(i),
                                   .index = i % 3,
                                   .recovery_point = v,
                                   .high_watermark = v + 1,
                                   .log_start = v / START_EACH,
                                   .clean = clean};
    life->owner[v] = (int8_t)i;
    life->last[i] = v;
    manifest_put(life->m, &entry);
}

static void take_away(struct life *life, int i)
{
    life->removed[i] = life->next;
    life->last[i] = NONE;
    manifest_remove(life->m, topic(i), i % 3);
}

static void run(struct life *life)
{
    mem_world_run(life->world, mem_world_now_us(life->world) + 30000);
}

/* What is known by now, unless the process died in this step. */
static void note(struct life *life, uint64_t mark)
{
    if (manifest_failed(life->m) != OK) {
        life->heals++;
        return;
    }
    bool reached = manifest_reached(life->m, mark);
    for (int i = 0; i < PARTITIONS; i++) {
        life->written[i] = life->last[i];
        if (reached && life->last[i] >= START_EACH)
            life->sure[i] = MAX(life->sure[i], life->last[i]);
    }
}

static bool reopen(struct life *life, bool clean)
{
    if (clean)
        for (int i = 0; i < PARTITIONS; i++)
            if (life->last[i] != NONE)
                put(life, i, true);
    life->may_be_clean = clean;
    enum err err = manifest_close(life->m, clean);
    life->m = NULL;
    life->closed_clean = clean && err == OK;
    if (life->closed_clean)
        memcpy(life->sure, life->last, sizeof(life->sure));
    if (err == OK)
        memcpy(life->written, life->last, sizeof(life->written));
    run(life);
    bool closed_clean = life->closed_clean;
    life->closed_clean = false; /* whatever becomes of the opening */
    if (manifest_open(life->env, DATA_DIR, &life->m, &life->report) != OK)
        return false;
    ck_assert(!life->report.damaged);
    if (closed_clean)
        ck_assert(life->report.clean_stop);
    life->may_be_clean = false;
    return true;
}

static uint64_t size_of(const struct life *life)
{
    uint64_t size = 0;
    mem_env_bytes(life->mem, DATA_DIR "/" MANIFEST_NAME, &size);
    return size;
}

static void grow(struct life *life, int turn)
{
    for (int i = 0; i < FILLERS; i++) {
        struct manifest_entry entry = {.topic_id = topic(PARTITIONS + i),
                                       .index = (PARTITIONS + i) % 3,
                                       .recovery_point = turn,
                                       .high_watermark = i};
        manifest_put(life->m, &entry);
    }
    uint64_t before = size_of(life);
    life->calm_from = life->calm_from ? life->calm_from : mem_env_changes(life->mem);
    if (before < GROWN / 10 * 9)
        life->calm_to = mem_env_changes(life->mem);
    mem_world_run(life->world, mem_world_now_us(life->world) + 4000);
    life->rewritten = life->rewritten || size_of(life) < before;
}

/* False: the process ended. */
static bool live(struct life *life, int step, bool die, uint32_t n)
{
    if ((step == 12 || step == 26) && !reopen(life, step == 12))
        return false;
    if (step == 14 || step == 28)
        manifest_trust(life->m);
    for (int turn = 0; step == BURST_AT && turn < BURST_TURNS; turn++)
        grow(life, turn);
    for (int k = 0; k < 3; k++)
        put(life, (step * 5 + k * 7) % PARTITIONS, false);
    if (step % 11 == 10)
        take_away(life, step % PARTITIONS);
    uint64_t mark = manifest_mark(life->m);
    run(life);
    if (die && mem_env_changes(life->mem) >= n)
        return false;
    note(life, mark);
    return true;
}

static void check_entry(const struct life *life, int i, const char *how, uint32_t n, enum mem_crash kind)
{
    struct manifest_entry entry;
    int64_t least = MAX(life->sure[i], kind == MEM_KEEP ? life->written[i] : NONE);
    if (!manifest_get(life->m, topic(i), i % 3, &entry)) {
        ck_assert_msg(least == NONE || life->removed[i] > least,
                      "%s %u kind %d: partition %d is forgotten, %lld", how, n, kind, i, (long long)least);
        return;
    }
    int64_t v = entry.recovery_point;
    ck_assert_msg(v >= 0 && v < life->next && life->owner[v] == i, "%s %u kind %d: never put", how, n, kind);
    ck_assert_int_eq(entry.high_watermark, v + 1);
    ck_assert_int_eq(entry.log_start, v / START_EACH);
    int64_t floor = least == life->sure[i] ? least / START_EACH * START_EACH : least;
    ck_assert_msg(least == NONE || v >= floor, "%s %u kind %d: partition %d is at %lld, was at %lld", how, n,
                  kind, i, (long long)v, (long long)least);
    ck_assert(!entry.clean || life->report.clean_stop);
    if (kind == MEM_KEEP && life->last[i] == NONE) /* removed in a turn that ended: it does not come back */
        ck_assert(life->written[i] != NONE || life->removed[i] == NONE);
}

static void check_goes_on(struct life *life)
{
    for (int i = 0; i < PARTITIONS; i++)
        put(life, i, false);
    run(life);
    for (int i = 0; i < PARTITIONS; i++)
        put(life, i, true);
    uint32_t count = manifest_count(life->m);
    manifest_trust(life->m);
    ck_assert_int_eq(manifest_close(life->m, true), OK);
    run(life);
    ck_assert_int_eq(manifest_open(life->env, DATA_DIR, &life->m, &life->report), OK);
    ck_assert(life->report.clean_stop && life->report.same_boot);
    ck_assert_uint_eq(life->report.partitions, count);
    for (int i = 0; i < PARTITIONS; i++) {
        struct manifest_entry entry;
        ck_assert(manifest_get(life->m, topic(i), i % 3, &entry));
        ck_assert_int_eq(entry.recovery_point, life->last[i]);
        ck_assert(entry.clean);
    }
}

static void check_life(struct life *life, const char *how, uint32_t n, enum mem_crash kind)
{
    enum err err = manifest_open(life->env, DATA_DIR, &life->m, &life->report);
    ck_assert_msg(err == OK, "%s %u kind %d: %s", how, n, kind, err_name(err));
    ck_assert_msg(!life->report.damaged && !life->report.points_lost, "%s %u kind %d: damaged", how, n, kind);
    ck_assert_msg(!life->report.created || !life->named, "%s %u kind %d: it is gone", how, n, kind);
    ck_assert_msg(!life->report.clean_stop || life->may_be_clean, "%s %u kind %d: clean", how, n, kind);
    ck_assert_msg(life->report.clean_stop || !life->closed_clean, "%s %u kind %d: unclean", how, n, kind);
    for (int i = 0; i < PARTITIONS; i++)
        check_entry(life, i, how, n, kind);
    check_goes_on(life);
}

static struct life life; /* the present one */

/* False when the life ended before its n-th change. */
static bool torture(uint32_t n, bool die, enum mem_crash kind, uint32_t *heals)
{
    memset(&life, 0, sizeof(life));
    memset(life.owner, PARTITIONS, sizeof(life.owner));
    for (int i = 0; i < PARTITIONS; i++)
        life.last[i] = life.removed[i] = life.written[i] = life.sure[i] = NONE;
    life.world = mem_world_new(40 + n);
    life.mem = mem_env_new(life.world);
    life.env = mem_env_env(life.mem);
    ck_assert_int_eq(env_mkdir(life.env, DATA_DIR), OK);
    uint32_t before = mem_env_changes(life.mem);
    if (die)
        mem_env_die_after(life.mem, before + n);
    else
        mem_env_fail_change(life.mem, before + n);
    bool alive = manifest_open(life.env, DATA_DIR, &life.m, &life.report) == OK;
    life.named = alive;
    for (int step = 0; step < STEPS && alive; step++)
        alive = live(&life, step, die, before + n);
    bool reached = mem_env_changes(life.mem) >= before + n;
    mem_env_crash(life.mem, kind);
    if (life.m)
        manifest_close(life.m, false);
    life.m = NULL;
    mem_env_restart(life.mem);
    check_life(&life, die ? "death behind change" : "failure of change", n, kind);
    *heals += life.heals;
    ck_assert(reached || life.rewritten);
    manifest_close(life.m, false);
    run(&life);
    mem_world_free(life.world);
    return reached;
}

static uint32_t torture_all(bool die, enum mem_crash kind)
{
    uint32_t n = 1, heals = 0, ignored = 0;
    torture(1000000, false, MEM_KEEP, &ignored); /* undisturbed */
    uint32_t calm_from = life.calm_from, calm_to = life.calm_to;
    ck_assert_uint_gt(calm_to, calm_from + 100);
    while (torture(n, die, kind, &heals))
        n += n > calm_from && n < calm_to ? 40 : 1; /* one such write is like the next */
    ck_assert_uint_gt(n, 2 * STEPS);
    return heals;
}

START_TEST(every_change_fails_in_turn_and_the_process_dies)
{
    ck_assert_uint_gt(torture_all(false, MEM_KEEP), STEPS); /* many are noticed, and the life goes on */
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
    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, every_change_fails_in_turn_and_the_process_dies);
    tcase_add_test(tcase, every_change_fails_in_turn_and_the_power_goes);
    tcase_add_test(tcase, every_change_in_turn_is_the_last_of_the_process);
    tcase_add_test(tcase, every_change_in_turn_is_the_last_before_the_power_goes);
}

SLUICE_TEST_MAIN("broker_manifest_torture", add)
