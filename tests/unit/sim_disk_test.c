/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated disk: what a death leaves, and what faults do. */
#include <string.h>

#include "common/base/assert.h"
#include "tests/lib/unit.h"
#include "tests/sim/world/world.h"

#define SEEDS 200

static struct world *world;
static struct process *host;
static struct env *env;

static void nothing(void *arg, struct env *main_env)
{
    (void)arg;
    (void)main_env;
}

static void setup(uint64_t seed)
{
    struct world_options options = {.seed = seed, .disk_sync_us = 300, .disk_read_us = 50};
    world = world_new(&options);
    host = world_process_new(world, "host");
    process_start(host, nothing, NULL);
    world_run(world, 1000);
    env = process_env(host);
}

static void restart(enum world_death death)
{
    process_kill(host, death);
    process_start(host, nothing, NULL);
    world_run(world, world_now_us(world) + 1000);
    env = process_env(host);
}

static struct env_file *open_file(const char *path)
{
    struct env_file *file;
    ck_assert_int_eq(env_file_open(env, path, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file), OK);
    return file;
}

static enum err write_bytes(struct env_file *file, uint64_t offset, char fill, size_t len)
{
    static char bytes[1 << 16];
    struct iovec iov = {.iov_base = bytes, .iov_len = len};
    memset(bytes, fill, len);
    return env_file_write(file, offset, &iov, 1);
}

/* Counts sectors of 512 bytes that hold only fill; *ret_mixed those with several values. */
static size_t sectors_of(const char *path, char fill, size_t *ret_mixed)
{
    static char bytes[1 << 16];
    size_t len = 0, count = 0;
    *ret_mixed = 0;
    if (disk_peek(host, path, 0, bytes, sizeof(bytes), &len) != OK)
        return 0;
    for (size_t at = 0; at + 512 <= len; at += 512) {
        bool same = true;
        for (size_t i = 1; i < 512; i++)
            same = same && bytes[at + i] == bytes[at];
        count += same && bytes[at] == fill;
        *ret_mixed += !same;
    }
    return count;
}

static void make_durable(struct env_file *file)
{
    ck_assert_int_eq(env_file_sync_wait(file), OK);
    ck_assert_int_eq(env_dir_sync_wait(env, "/"), OK);
}

START_TEST(kill_leaves_every_write_and_name)
{
    setup(1);
    struct env_file *file = open_file("/f");
    write_bytes(file, 0, 'a', 8192);
    restart(DEATH_KILL);
    size_t mixed;
    ck_assert_uint_eq(sectors_of("/f", 'a', &mixed), 16);
    world_free(world);
}
END_TEST

START_TEST(power_cut_keeps_what_was_synced_and_any_part_of_the_rest)
{
    bool none = false, all = false, some = false, short_file = false;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        setup(seed);
        struct env_file *file = open_file("/f");
        write_bytes(file, 0, 'a', 8192);
        make_durable(file);
        write_bytes(file, 4096, 'b', 8192);
        restart(DEATH_POWER);
        size_t mixed, a = sectors_of("/f", 'a', &mixed), b = sectors_of("/f", 'b', &mixed);
        uint64_t size = disk_file_size(host, "/f");
        ck_assert_uint_eq(mixed, 0);  /* sectors are whole */
        ck_assert_uint_ge(a, 8);      /* the first page was not touched again */
        ck_assert_uint_ge(a + b, 16); /* what was synced is old or new, never gone */
        ck_assert_uint_ge(size, 8192);
        none |= b == 0;
        all |= b == 16;
        some |= b > 0 && b < 16;
        short_file |= size < 12288;
        world_free(world);
    }
    ck_assert(none && all && some && short_file);
}
END_TEST

START_TEST(name_without_a_sync_of_its_directory_may_be_lost)
{
    int lost = 0, kept = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        setup(seed);
        struct env_file *file = open_file("/f");
        write_bytes(file, 0, 'a', 512);
        ck_assert_int_eq(env_file_sync_wait(file), OK);
        restart(DEATH_POWER);
        bool there = env_path_exists(env, "/f", NULL) == OK;
        kept += there;
        lost += !there;
        size_t mixed;
        ck_assert_uint_eq(sectors_of("/f", 'a', &mixed), there);
        world_free(world);
    }
    ck_assert(lost > 0 && kept > 0);
}
END_TEST

START_TEST(rename_is_old_or_new_never_both_never_none)
{
    int old = 0, new = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        setup(seed);
        struct env_file *file = open_file("/f");
        write_bytes(file, 0, 'a', 512);
        make_durable(file);
        struct env_file *temp = open_file("/f.new");
        write_bytes(temp, 0, 'b', 512);
        make_durable(temp);
        ck_assert_int_eq(env_rename(env, "/f.new", "/f"), OK);
        restart(DEATH_POWER);
        size_t mixed, a = sectors_of("/f", 'a', &mixed), b = sectors_of("/f", 'b', &mixed);
        ck_assert_uint_eq(a + b, 1);
        ck_assert_int_eq(env_path_exists(env, "/f.new", NULL), a == 1 ? OK : ERR_NOT_FOUND);
        old += a == 1;
        new += b == 1;
        world_free(world);
    }
    ck_assert(old > 0 && new > 0);
}
END_TEST

static bool io_is_done;
static enum err io_err;

static void io_done(struct env_io *io, enum err err)
{
    io_is_done = true;
    io_err = err;
}

static bool io_over(void *ctx)
{
    return io_is_done;
}

static void wait_io(void)
{
    ck_assert(world_run_until(world, 60000000, io_over, NULL));
    io_is_done = false;
}

START_TEST(sync_covers_exactly_what_was_written_before_it)
{
    bool later_lost = false;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        static struct env_io io;
        setup(seed);
        struct env_file *file = open_file("/f");
        write_bytes(file, 0, 'a', 4096);
        ck_assert_int_eq(env_dir_sync_wait(env, "/"), OK);
        env_file_sync(file, &io, io_done);
        write_bytes(file, 4096, 'b', 4096);
        wait_io();
        ck_assert_int_eq(io_err, OK);
        restart(DEATH_POWER);
        size_t mixed;
        ck_assert_uint_eq(sectors_of("/f", 'a', &mixed), 8);
        later_lost |= sectors_of("/f", 'b', &mixed) < 8;
        world_free(world);
    }
    ck_assert(later_lost);
}
END_TEST

START_TEST(failed_sync_is_not_made_good_by_the_next)
{
    setup(3);
    struct env_file *file = open_file("/f");
    write_bytes(file, 0, 'a', 4096);
    make_durable(file);
    write_bytes(file, 0, 'b', 4096);
    disk_fail(host, DISK_SYNC, 1, 1, ERR_IO, "/f");
    ck_assert_int_eq(env_file_sync_wait(file), ERR_IO);
    ck_assert_int_eq(env_file_sync_wait(file), OK); /* and it lies */
    size_t mixed;
    ck_assert_uint_eq(sectors_of("/f", 'b', &mixed), 8);
    restart(DEATH_POWER);
    ck_assert_uint_eq(sectors_of("/f", 'a', &mixed), 8);
    ck_assert_uint_eq(world_bites(world)->sync_errors, 1);
    world_free(world);
}
END_TEST

START_TEST(truncation_is_a_write)
{
    bool back = false, cut = false;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        setup(seed);
        struct env_file *file = open_file("/f");
        write_bytes(file, 0, 'a', 8192);
        make_durable(file);
        ck_assert_int_eq(env_file_truncate(file, 1024), OK);
        restart(DEATH_POWER);
        size_t mixed, a = sectors_of("/f", 'a', &mixed);
        ck_assert_uint_ge(a, 2);
        back |= a > 2;
        cut |= disk_file_size(host, "/f") == 1024;
        world_free(world);
    }
    ck_assert(back && cut);
}
END_TEST

START_TEST(fs_sync_covers_files_and_names_of_the_whole_disk)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        static struct env_io io;
        setup(seed);
        ck_assert_int_eq(env_mkdir(env, "/d"), OK);
        struct env_file *one = open_file("/d/one"), *two = open_file("/two");
        write_bytes(one, 0, '1', 4096);
        write_bytes(two, 0, '2', 4096);
        env_fs_sync(one, &io, io_done);
        wait_io();
        restart(DEATH_POWER);
        size_t mixed;
        ck_assert_uint_eq(sectors_of("/d/one", '1', &mixed), 8);
        ck_assert_uint_eq(sectors_of("/two", '2', &mixed), 8);
        world_free(world);
    }
}
END_TEST

/* -- faults -- */

START_TEST(faults_bite_where_they_should_and_are_counted)
{
    setup(1);
    struct env_file *log = open_file("/log"), *other = open_file("/other");
    char byte;
    size_t len;
    disk_fail(host, DISK_WRITE, 2, 1, ERR_IO, "/log");
    ck_assert_int_eq(write_bytes(other, 0, 'x', 10), OK);
    ck_assert_int_eq(write_bytes(log, 0, 'x', 10), OK);
    ck_assert_int_eq(write_bytes(other, 0, 'x', 10), OK);
    ck_assert_int_eq(write_bytes(log, 0, 'x', 10), ERR_IO);
    ck_assert_int_eq(write_bytes(log, 0, 'x', 10), OK);
    disk_fail(host, DISK_READ, 1, 2, ERR_IO, NULL);
    ck_assert_int_eq(env_file_read(log, 0, &byte, 1, &len), ERR_IO);
    ck_assert_int_eq(env_file_read(log, 0, &byte, 1, &len), ERR_IO);
    ck_assert_int_eq(env_file_read(log, 0, &byte, 1, &len), OK);
    ck_assert_uint_eq(world_bites(world)->write_errors, 1);
    ck_assert_uint_eq(world_bites(world)->read_errors, 2);
    world_free(world);
}
END_TEST

START_TEST(full_disk_refuses_and_has_room_again_after_a_removal)
{
    setup(1);
    struct env_file *file = open_file("/big");
    disk_set_capacity(host, 64 << 10);
    ck_assert_int_eq(write_bytes(file, 0, 'x', 48 << 10), OK);
    struct env_file *more = open_file("/more");
    ck_assert_int_eq(write_bytes(more, 0, 'x', 32 << 10), ERR_NO_SPACE);
    ck_assert_int_eq(write_bytes(file, 0, 'y', 48 << 10), OK); /* in place */
    env_file_close(file);
    ck_assert_int_eq(env_unlink(env, "/big"), OK);
    ck_assert_int_eq(env_file_truncate(more, 0), OK);
    ck_assert_int_eq(write_bytes(more, 0, 'x', 32 << 10), OK);
    ck_assert_uint_eq(world_bites(world)->no_space, 1);
    world_free(world);
}
END_TEST

START_TEST(stalled_disk_completes_after_the_stall)
{
    static struct env_io io;
    setup(1);
    struct env_file *file = open_file("/f");
    disk_stall(host, 5000000);
    env_file_sync(file, &io, io_done);
    world_run(world, 4900000);
    ck_assert(!io_is_done);
    wait_io();
    ck_assert_uint_eq(world_bites(world)->stalls, 1);
    world_free(world);
}
END_TEST

static bool never(void *ctx, const char *path, uint64_t offset)
{
    return ctx != NULL || path == NULL || offset > UINT32_MAX;
}

START_TEST(flipped_bit_is_read_and_survives_a_restart)
{
    setup(1);
    struct env_file *file = open_file("/f");
    size_t mixed;
    write_bytes(file, 0, 'a', 4096);
    make_durable(file);
    ck_assert(!disk_flip_bit(host, "nothing like it", "/f", NULL, NULL));
    ck_assert(!disk_flip_bit(host, "/f", "nothing like it", NULL, NULL));
    ck_assert(!disk_flip_bit(host, "/f", "", never, NULL));
    ck_assert_uint_eq(sectors_of("/f", 'a', &mixed), 8);
    ck_assert(disk_flip_bit(host, "/f", "", NULL, NULL));
    ck_assert_uint_eq(sectors_of("/f", 'a', &mixed), 7);
    restart(DEATH_POWER);
    ck_assert_uint_eq(sectors_of("/f", 'a', &mixed), 7);
    world_free(world);
}
END_TEST

static void write_thrice(void *arg)
{
    struct env_file *file = open_file("/f"); /* change 1 */
    write_bytes(file, 0, '1', 512);
    write_bytes(file, 512, '2', 512);
}

START_TEST(process_dies_exactly_at_the_chosen_change)
{
    for (int after = 0; after < 2; after++) {
        for (uint32_t nth = 1; nth <= 3; nth++) {
            setup(1);
            disk_die_at(host, nth, after, DEATH_KILL);
            process_call(host, write_thrice, NULL);
            world_run(world, world_now_us(world) + 1000);
            ck_assert(!process_alive(host));
            uint32_t done = nth - 1 + (uint32_t)after;
            ck_assert_uint_eq(disk_file_size(host, "/f"), done > 1 ? (done - 1) * 512 : 0);
            world_free(world);
        }
    }
}
END_TEST

START_TEST(replaced_disk_is_empty_and_locks_die_with_their_process)
{
    setup(1);
    struct env_file *lock;
    int flags = ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_LOCK;
    ck_assert_int_eq(env_file_open(env, "/lock", flags, &lock), OK);
    restart(DEATH_KILL);
    ck_assert_int_eq(env_file_open(env, "/lock", flags, &lock), OK);
    process_kill(host, DEATH_KILL);
    disk_replace(host);
    process_start(host, nothing, NULL);
    world_run(world, world_now_us(world) + 1000);
    ck_assert_int_eq(env_path_exists(process_env(host), "/lock", NULL), ERR_NOT_FOUND);
    world_free(world);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, kill_leaves_every_write_and_name);
    tcase_add_test(tcase, power_cut_keeps_what_was_synced_and_any_part_of_the_rest);
    tcase_add_test(tcase, name_without_a_sync_of_its_directory_may_be_lost);
    tcase_add_test(tcase, rename_is_old_or_new_never_both_never_none);
    tcase_add_test(tcase, sync_covers_exactly_what_was_written_before_it);
    tcase_add_test(tcase, failed_sync_is_not_made_good_by_the_next);
    tcase_add_test(tcase, truncation_is_a_write);
    tcase_add_test(tcase, fs_sync_covers_files_and_names_of_the_whole_disk);
    tcase_add_test(tcase, faults_bite_where_they_should_and_are_counted);
    tcase_add_test(tcase, full_disk_refuses_and_has_room_again_after_a_removal);
    tcase_add_test(tcase, stalled_disk_completes_after_the_stall);
    tcase_add_test(tcase, flipped_bit_is_read_and_survives_a_restart);
    tcase_add_test(tcase, process_dies_exactly_at_the_chosen_change);
    tcase_add_test(tcase, replaced_disk_is_empty_and_locks_die_with_their_process);
}

SLUICE_TEST_MAIN("sim_disk", add)
