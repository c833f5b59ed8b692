/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "broker/log/manifest.h"
#include "tests/lib/mem_env.h"
#include "tests/lib/unit.h"

#define DATA_DIR  "/data"
#define FILE_PATH DATA_DIR "/" MANIFEST_NAME
#define ENTRIES   40

struct fixture {
    struct mem_world *world;
    struct mem_env *mem;
    struct env *env;
    struct manifest *m;
    struct manifest_report report;
};

static void start(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->world = mem_world_new(3);
    f->mem = mem_env_new(f->world);
    f->env = mem_env_env(f->mem);
    ck_assert_int_eq(env_mkdir(f->env, DATA_DIR), OK);
}

static void open_it(struct fixture *f)
{
    ck_assert_int_eq(manifest_open(f->env, DATA_DIR, &f->m, &f->report), OK);
}

static void run(struct fixture *f)
{
    mem_world_run(f->world, mem_world_now_us(f->world) + 100000);
}

static void stop(struct fixture *f)
{
    if (f->m)
        manifest_close(f->m, false);
    run(f);
    mem_world_free(f->world);
}

static struct uuid topic(int i)
{
    return (struct uuid){{(uint8_t)i, 1, 2, 3}};
}

static void put(struct fixture *f, int i, int64_t value, bool clean)
{
    struct manifest_entry entry = {.topic_id = topic(i / 4),
                                   .index = i % 4,
                                   .recovery_point = value,
                                   .high_watermark = value + 1,
                                   .log_start = value / 2,
                                   .clean = clean};
    manifest_put(f->m, &entry);
}

/* -1: not known. */
static int64_t get(struct fixture *f, int i)
{
    struct manifest_entry entry;
    if (!manifest_get(f->m, topic(i / 4), i % 4, &entry))
        return -1;
    ck_assert_int_eq(entry.high_watermark, entry.recovery_point + 1);
    ck_assert_int_eq(entry.log_start, entry.recovery_point / 2);
    ck_assert_int_eq(entry.index, i % 4);
    return entry.recovery_point;
}

static bool is_clean(struct fixture *f, int i)
{
    struct manifest_entry entry;
    return manifest_get(f->m, topic(i / 4), i % 4, &entry) && entry.clean;
}

START_TEST(what_was_put_is_there_at_once_and_after_a_restart)
{
    struct fixture f;
    start(&f);
    open_it(&f);
    ck_assert(f.report.created);
    for (int i = 0; i < ENTRIES; i++)
        put(&f, i, i * 10, false);
    for (int i = 0; i < ENTRIES; i++)
        ck_assert_int_eq(get(&f, i), i * 10);
    put(&f, 3, 777, false);
    manifest_remove(f.m, topic(1), 1);
    ck_assert_int_eq(get(&f, 5), -1);
    ck_assert_uint_eq(manifest_count(f.m), ENTRIES - 1);
    run(&f);
    ck_assert_int_eq(manifest_close(f.m, true), OK);
    open_it(&f);
    ck_assert(!f.report.created && f.report.clean_stop && f.report.same_boot && !f.report.damaged);
    ck_assert_uint_eq(f.report.partitions, ENTRIES - 1);
    for (int i = 0; i < ENTRIES; i++)
        ck_assert_int_eq(get(&f, i), i == 3 ? 777 : i == 5 ? -1 : i * 10);
    stop(&f);
}
END_TEST

START_TEST(only_the_mark_of_a_clean_stop_makes_entries_clean)
{
    struct fixture f;
    start(&f);
    open_it(&f);
    put(&f, 1, 10, true);
    put(&f, 2, 20, false);
    manifest_close(f.m, true);
    open_it(&f);
    ck_assert(is_clean(&f, 1));
    ck_assert(!is_clean(&f, 2));
    manifest_close(f.m, false); /* opened and killed: nothing can be believed to be clean */
    run(&f);
    open_it(&f);
    ck_assert(!f.report.clean_stop);
    ck_assert(!is_clean(&f, 1));
    ck_assert_int_eq(get(&f, 1), 10);
    stop(&f);
}
END_TEST

START_TEST(a_reboot_is_noticed)
{
    struct fixture f;
    start(&f);
    open_it(&f);
    put(&f, 1, 10, false);
    run(&f);
    mem_env_crash(f.mem, MEM_DROP);
    manifest_close(f.m, false);
    mem_env_restart(f.mem);
    open_it(&f);
    ck_assert(!f.report.same_boot && !f.report.clean_stop && !f.report.damaged);
    stop(&f);
}
END_TEST

static bool power_lost(struct fixture *f, int i)
{
    struct manifest_entry entry;
    ck_assert(manifest_get(f->m, topic(i / 4), i % 4, &entry));
    return entry.power_lost;
}

/* The process may die between its registration and the opening of a log, or not be able to open it. */
START_TEST(a_power_cut_is_remembered_of_each_log_until_it_is_opened)
{
    struct fixture f;
    start(&f);
    open_it(&f);
    put(&f, 1, 10, false);
    put(&f, 2, 20, false);
    manifest_close(f.m, true); /* all is durable */
    open_it(&f);
    run(&f);
    manifest_close(f.m, false);
    open_it(&f);
    ck_assert(!power_lost(&f, 1)); /* only killed */
    run(&f);
    mem_env_crash(f.mem, MEM_DROP);
    manifest_close(f.m, false);
    mem_env_restart(f.mem);
    open_it(&f);
    ck_assert(power_lost(&f, 1) && power_lost(&f, 2));
    put(&f, 1, 10, false); /* opened */
    manifest_trust(f.m);
    run(&f);
    manifest_close(f.m, false);
    open_it(&f);
    ck_assert(f.report.same_boot);
    ck_assert(!power_lost(&f, 1));
    ck_assert(power_lost(&f, 2));
    stop(&f);
}
END_TEST

START_TEST(doubt_lasts_until_the_controllers_have_heard_of_it)
{
    struct fixture f;
    start(&f);
    open_it(&f);
    run(&f);
    mem_env_crash(f.mem, MEM_DROP); /* a reboot without a clean stop */
    manifest_close(f.m, false);
    mem_env_restart(f.mem);
    for (int i = 0; i < 2; i++) { /* starts that end before they are registered, however they end */
        open_it(&f);
        ck_assert(!f.report.same_boot && !f.report.clean_stop);
        manifest_close(f.m, i == 1);
    }
    open_it(&f);
    ck_assert(!f.report.same_boot && !f.report.clean_stop);
    manifest_trust(f.m);
    manifest_close(f.m, false);
    open_it(&f);
    ck_assert(f.report.same_boot && !f.report.clean_stop);
    stop(&f);
}
END_TEST

START_TEST(doubt_stays_until_the_controllers_have_heard_of_it)
{
    struct fixture f;
    start(&f);
    open_it(&f);
    run(&f);
    mem_env_crash(f.mem, MEM_DROP);
    manifest_close(f.m, false);
    mem_env_restart(f.mem);
    for (int again = 0; again < 3; again++) { /* opened, never registered, stopped as cleanly as can be */
        open_it(&f);
        ck_assert(!f.report.clean_stop && !f.report.same_boot);
        manifest_close(f.m, again == 1);
        run(&f);
    }
    open_it(&f);
    manifest_trust(f.m);
    manifest_close(f.m, false);
    run(&f);
    open_it(&f);
    ck_assert(f.report.same_boot);
    stop(&f);
}
END_TEST

START_TEST(a_moved_log_start_survives_a_power_cut)
{
    struct fixture f;
    start(&f);
    open_it(&f);
    put(&f, 1, 10, false);
    run(&f);
    put(&f, 1, 500, false); /* log start 250 */
    run(&f);
    mem_env_crash(f.mem, MEM_DROP);
    manifest_close(f.m, false);
    mem_env_restart(f.mem);
    open_it(&f);
    ck_assert_int_eq(get(&f, 1), 500);
    stop(&f);
}
END_TEST

START_TEST(a_lowered_recovery_point_survives_a_power_cut)
{
    struct fixture f;
    start(&f);
    open_it(&f);
    put(&f, 1, 500, false);
    run(&f);
    put(&f, 1, 100, false);
    uint64_t mark = manifest_mark(f.m);
    ck_assert(!manifest_reached(f.m, mark));
    run(&f);
    ck_assert(manifest_reached(f.m, mark));
    mem_env_crash(f.mem, MEM_DROP);
    manifest_close(f.m, false);
    mem_env_restart(f.mem);
    open_it(&f);
    ck_assert_int_eq(get(&f, 1), 100);
    stop(&f);
}
END_TEST

START_TEST(a_removal_survives_a_power_cut)
{
    struct fixture f;
    start(&f);
    open_it(&f);
    put(&f, 1, 500, false);
    run(&f);
    manifest_remove(f.m, topic(0), 1);
    run(&f);
    mem_env_crash(f.mem, MEM_DROP);
    manifest_close(f.m, false);
    mem_env_restart(f.mem);
    open_it(&f);
    ck_assert_int_eq(get(&f, 1), -1);
    stop(&f);
}
END_TEST

START_TEST(it_is_rewritten_when_it_has_grown_and_loses_nothing)
{
    struct fixture f;
    uint64_t size, largest = 0;
    start(&f);
    open_it(&f);
    for (int64_t round = 1; round <= 700; round++) {
        for (int i = 0; i < ENTRIES; i++)
            put(&f, i, round * 2 * (i + 1), false);
        mem_world_run(f.world, mem_world_now_us(f.world) + 300);
        mem_env_bytes(f.mem, FILE_PATH, &size);
        largest = size > largest ? size : largest;
    }
    run(&f);
    mem_env_bytes(f.mem, FILE_PATH, &size);
    ck_assert_uint_lt(size, largest);
    ck_assert_uint_lt(largest, 4 << 20);
    ck_assert_int_eq(manifest_failed(f.m), OK);
    manifest_close(f.m, false);
    run(&f);
    open_it(&f);
    for (int i = 0; i < ENTRIES; i++)
        ck_assert_int_eq(get(&f, i), 700 * 2 * (i + 1));
    stop(&f);
}
END_TEST

/* Breaks off a life of updates, rewrites included, after so many turns; each entry must hold a value that was
 * put, and not an old one when it was synced. */
static void die_and_return(int turns, enum mem_crash kind, bool close_first)
{
    struct fixture f;
    start(&f);
    open_it(&f);
    for (int i = 0; i < ENTRIES; i++)
        put(&f, i, 2, false);
    run(&f);
    int64_t value = 2;
    for (int t = 0; t < 250 + turns; t++) {
        value += 2;
        for (int i = 0; i < ENTRIES * 2; i++)
            put(&f, i % ENTRIES, value, false);
        mem_world_run(f.world, mem_world_now_us(f.world) + 200);
    }
    if (close_first)
        ck_assert_int_eq(manifest_close(f.m, true), OK);
    mem_env_crash(f.mem, kind);
    if (!close_first)
        manifest_close(f.m, false);
    mem_env_restart(f.mem);
    run(&f);
    open_it(&f);
    ck_assert(!f.report.damaged);
    ck_assert_uint_eq(f.report.partitions, ENTRIES);
    for (int i = 0; i < ENTRIES; i++) {
        ck_assert_int_ge(get(&f, i), close_first || kind == MEM_KEEP ? value : 2);
        ck_assert_int_le(get(&f, i), value);
    }
    stop(&f);
}

START_TEST(a_death_at_any_moment_leaves_a_good_journal)
{
    die_and_return(_i, (enum mem_crash)(_i % 3), _i % 7 == 0);
}
END_TEST

START_TEST(every_cut_of_the_file_gives_a_prefix_of_its_history)
{
    struct fixture f;
    uint64_t size;
    start(&f);
    open_it(&f);
    for (int i = 0; i < 12; i++)
        put(&f, i, 10 + i, false);
    run(&f);
    manifest_close(f.m, false);
    run(&f);
    struct mem_disk *disk = mem_env_save(f.mem);
    mem_env_bytes(f.mem, FILE_PATH, &size);
    for (uint64_t cut = 0; cut < size; cut += 3) {
        mem_env_restore(f.mem, disk);
        mem_env_resize(f.mem, FILE_PATH, cut);
        open_it(&f);
        for (int i = 0; i < 12; i++)
            ck_assert(get(&f, i) == -1 || get(&f, i) == 10 + i);
        put(&f, 3, 99, false); /* and it can be written again */
        run(&f);
        manifest_close(f.m, true);
        run(&f);
        open_it(&f);
        ck_assert_int_eq(get(&f, 3), 99);
        manifest_close(f.m, false);
        run(&f);
    }
    f.m = NULL;
    mem_disk_free(disk);
    stop(&f);
}
END_TEST

static bool find_aside(void *ctx, const char *name, bool is_dir)
{
    *(bool *)ctx = *(bool *)ctx || strncmp(name, MANIFEST_NAME ".damaged-", 17) == 0;
    return true;
}

START_TEST(a_damaged_journal_is_set_aside_and_never_fatal)
{
    struct fixture f;
    uint64_t size;
    start(&f);
    open_it(&f);
    for (int i = 0; i < 12; i++)
        put(&f, i, 10 + i, true);
    manifest_close(f.m, true);
    run(&f);
    struct mem_disk *disk = mem_env_save(f.mem);
    mem_env_bytes(f.mem, FILE_PATH, &size);
    for (uint64_t at = 0; at + 200 < size; at += 7) {
        mem_env_restore(f.mem, disk);
        mem_env_bytes(f.mem, FILE_PATH, &size)[at] ^= 4;
        open_it(&f);
        bool aside = false;
        env_dir_list(f.env, DATA_DIR, find_aside, &aside);
        ck_assert(aside == f.report.damaged);
        for (int i = 0; i < 12; i++) {
            ck_assert(get(&f, i) == -1 || get(&f, i) == 10 + i);
            ck_assert(!f.report.damaged || !is_clean(&f, i));
        }
        bool damaged = f.report.damaged;
        manifest_close(f.m, true);
        run(&f);
        open_it(&f); /* never registered: the points are still lost */
        ck_assert(f.report.points_lost == damaged && !f.report.damaged);
        manifest_trust(f.m);
        manifest_close(f.m, true);
        run(&f);
        open_it(&f);
        ck_assert(!f.report.points_lost);
        manifest_close(f.m, true);
        run(&f);
    }
    f.m = NULL;
    mem_disk_free(disk);
    stop(&f);
}
END_TEST

/* From when a write failed until the new file is there. */
static void wait_healed(struct fixture *f)
{
    for (int i = 0; i < 100 && manifest_failed(f->m) != OK; i++)
        run(f);
    ck_assert_int_eq(manifest_failed(f->m), OK);
}

static void cut_power(struct fixture *f)
{
    mem_env_crash(f->mem, MEM_DROP);
    manifest_close(f->m, false);
    mem_env_restart(f->mem);
    open_it(f);
    ck_assert(!f->report.damaged && !f->report.created);
}

struct told {
    int failures, heals;
};

static void on_changed(void *ctx, enum err err)
{
    struct told *told = ctx;
    if (err != OK)
        told->failures++;
    else
        told->heals++;
}

START_TEST(its_owner_is_told_when_it_fails_and_when_it_heals)
{
    struct fixture f;
    struct told told = {0};
    start(&f);
    open_it(&f);
    manifest_watch(f.m, on_changed, &told);
    put(&f, 1, 10, false);
    run(&f);
    ck_assert(told.failures == 0 && told.heals == 0);
    mem_env_fail_sync_after(f.mem, 1);
    put(&f, 1, 30, false); /* moves the log start */
    for (int i = 0; i < 20; i++)
        run(&f); /* every new file fails as well */
    ck_assert(told.failures == 1 && told.heals == 0);
    mem_env_repair(f.mem);
    wait_healed(&f);
    ck_assert(told.failures == 1 && told.heals == 1);
    stop(&f);
}
END_TEST

START_TEST(after_a_failed_write_all_goes_into_a_new_file)
{
    struct fixture f;
    start(&f);
    open_it(&f);
    put(&f, 1, 10, false);
    put(&f, 2, 12, false);
    run(&f);
    mem_env_fail_write_after(f.mem, 1);
    put(&f, 1, 20, false);
    mem_world_run(f.world, mem_world_now_us(f.world) + 1000);
    ck_assert_int_eq(manifest_failed(f.m), ERR_IO);
    ck_assert_int_eq(get(&f, 1), 20);
    put(&f, 3, 30, false); /* while there is no file to write to */
    manifest_remove(f.m, topic(0), 2);
    uint64_t mark = manifest_mark(f.m);
    for (int i = 0; i < 5; i++)
        run(&f); /* it is tried in vain */
    ck_assert(!manifest_reached(f.m, mark));
    ck_assert_int_eq(manifest_failed(f.m), ERR_IO);
    mem_env_fail_write_after(f.mem, 0);
    wait_healed(&f);
    ck_assert(manifest_reached(f.m, mark));
    put(&f, 4, 40, false);
    run(&f);
    cut_power(&f);
    ck_assert_int_eq(get(&f, 1), 20);
    ck_assert_int_eq(get(&f, 2), -1);
    ck_assert_int_eq(get(&f, 3), 30);
    ck_assert_int_eq(get(&f, 4), 40);
    stop(&f);
}
END_TEST

START_TEST(after_a_failed_sync_all_goes_into_a_new_file)
{
    struct fixture f;
    start(&f);
    open_it(&f);
    put(&f, 1, 10, false);
    run(&f);
    mem_env_fail_sync_after(f.mem, 1);
    put(&f, 1, 20, false);
    mem_world_run(f.world, mem_world_now_us(f.world) + 5000);
    ck_assert_int_eq(manifest_failed(f.m), ERR_IO);
    mem_env_fail_sync_after(f.mem, 0);
    wait_healed(&f);
    cut_power(&f);
    ck_assert_int_eq(get(&f, 1), 20);
    stop(&f);
}
END_TEST

START_TEST(a_stop_after_a_failed_write_is_clean_in_a_new_file)
{
    struct fixture f;
    start(&f);
    open_it(&f);
    put(&f, 1, 10, false);
    run(&f);
    mem_env_fail_write_after(f.mem, 1);
    put(&f, 1, 20, true);
    mem_world_run(f.world, mem_world_now_us(f.world) + 1000);
    ck_assert_int_eq(manifest_failed(f.m), ERR_IO);
    mem_env_fail_write_after(f.mem, 0);
    ck_assert_int_eq(manifest_close(f.m, true), OK);
    run(&f);
    open_it(&f);
    ck_assert(f.report.clean_stop);
    ck_assert_int_eq(get(&f, 1), 20);
    stop(&f);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, what_was_put_is_there_at_once_and_after_a_restart);
    tcase_add_test(tcase, only_the_mark_of_a_clean_stop_makes_entries_clean);
    tcase_add_test(tcase, a_reboot_is_noticed);
    tcase_add_test(tcase, a_power_cut_is_remembered_of_each_log_until_it_is_opened);
    tcase_add_test(tcase, doubt_lasts_until_the_controllers_have_heard_of_it);
    tcase_add_test(tcase, doubt_stays_until_the_controllers_have_heard_of_it);
    tcase_add_test(tcase, a_moved_log_start_survives_a_power_cut);
    tcase_add_test(tcase, a_lowered_recovery_point_survives_a_power_cut);
    tcase_add_test(tcase, a_removal_survives_a_power_cut);
    tcase_add_test(tcase, it_is_rewritten_when_it_has_grown_and_loses_nothing);
    tcase_add_loop_test(tcase, a_death_at_any_moment_leaves_a_good_journal, 0, 21);
    tcase_add_test(tcase, every_cut_of_the_file_gives_a_prefix_of_its_history);
    tcase_add_test(tcase, a_damaged_journal_is_set_aside_and_never_fatal);
    tcase_add_test(tcase, its_owner_is_told_when_it_fails_and_when_it_heals);
    tcase_add_test(tcase, after_a_failed_write_all_goes_into_a_new_file);
    tcase_add_test(tcase, after_a_failed_sync_all_goes_into_a_new_file);
    tcase_add_test(tcase, a_stop_after_a_failed_write_is_clean_in_a_new_file);
}

SLUICE_TEST_MAIN("broker_manifest", add)
