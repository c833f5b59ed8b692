/* SPDX-License-Identifier: Apache-2.0 */
/* Files and directories, synchronous. */
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "tests/env/conf_lib.h"

#define PIECES 200

static enum err open_named(const char *name, int flags, struct env_file **ret_file)
{
    return env_file_open(conf_env, conf_path(name), flags, ret_file);
}

static void make_file(const char *name, const char *text)
{
    struct env_file *file;
    struct iovec iov = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    ck_assert_int_eq(open_named(name, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file), OK);
    ck_assert_int_eq(env_file_write(file, 0, &iov, 1), OK);
    env_file_close(file);
}

static void check_file(const char *name, const char *text)
{
    struct env_file *file;
    char buf[256];
    size_t len;
    ck_assert_int_eq(open_named(name, ENV_OPEN_READ, &file), OK);
    ck_assert_int_eq(env_file_read(file, 0, buf, sizeof(buf), &len), OK);
    ck_assert_uint_eq(len, strlen(text));
    ck_assert_mem_eq(buf, text, len);
    env_file_close(file);
}

START_TEST(open_answers_for_missing_and_present_files)
{
    struct env_file *file = NULL;
    ck_assert_int_eq(open_named("f", ENV_OPEN_READ, &file), ERR_NOT_FOUND);
    ck_assert_int_eq(open_named("f", ENV_OPEN_WRITE, &file), ERR_NOT_FOUND);
    ck_assert_ptr_null(file);
    ck_assert_int_eq(open_named("f", ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_EXCLUSIVE, &file), OK);
    env_file_close(file);
    ck_assert_int_eq(open_named("f", ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_EXCLUSIVE, &file),
                     ERR_EXISTS);
    ck_assert_int_eq(open_named("f", ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file), OK);
    env_file_close(file);
    ck_assert_int_eq(open_named("f", ENV_OPEN_READ, &file), OK);
    env_file_close(file);
    ck_assert_int_eq(open_named("no/f", ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file), ERR_NOT_FOUND);
}
END_TEST

START_TEST(vectored_write_of_many_pieces_lands_whole)
{
    struct env_file *file;
    struct iovec iov[PIECES];
    uint8_t bytes[PIECES * PIECES], back[sizeof(bytes)];
    size_t at = 0, len;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = conf_pattern(i);
    for (size_t i = 0; i < PIECES; i++) { /* lengths 0, 1, 2 ... with empty ones between */
        size_t piece = i % 5 == 0 ? 0 : i;
        iov[i] = (struct iovec){.iov_base = bytes + at, .iov_len = piece};
        at += piece;
    }
    ck_assert_int_eq(open_named("v", ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file), OK);
    ck_assert_int_eq(env_file_write(file, 3, iov, PIECES), OK);
    ck_assert_int_eq(env_file_write(file, 0, NULL, 0), OK);
    uint64_t size;
    ck_assert_int_eq(env_file_size(file, &size), OK);
    ck_assert_uint_eq(size, at + 3);
    ck_assert_int_eq(env_file_read(file, 3, back, at, &len), OK);
    ck_assert_uint_eq(len, at);
    ck_assert_mem_eq(back, bytes, at);
    ck_assert_int_eq(env_file_read(file, 0, back, 3, &len), OK);
    ck_assert_mem_eq(back, "\0\0\0", 3);
    env_file_close(file);
}
END_TEST

START_TEST(read_is_short_only_at_the_end)
{
    struct env_file *file = conf_pattern_file("r", 1000);
    uint8_t buf[600];
    size_t len;
    ck_assert_int_eq(env_file_read(file, 0, buf, sizeof(buf), &len), OK);
    ck_assert_uint_eq(len, sizeof(buf));
    ck_assert_int_eq(env_file_read(file, 600, buf, sizeof(buf), &len), OK);
    ck_assert_uint_eq(len, 400);
    ck_assert_uint_eq(buf[0], conf_pattern(600));
    ck_assert_int_eq(env_file_read(file, 1000, buf, sizeof(buf), &len), OK);
    ck_assert_uint_eq(len, 0);
    ck_assert_int_eq(env_file_read(file, 5000, buf, sizeof(buf), &len), OK);
    ck_assert_uint_eq(len, 0);
    env_file_close(file);
}
END_TEST

START_TEST(truncate_cuts_and_extends_with_zeros)
{
    struct env_file *file = conf_pattern_file("t", 1000);
    uint64_t size;
    uint8_t buf[300];
    size_t len;
    ck_assert_int_eq(env_file_truncate(file, 100), OK);
    ck_assert_int_eq(env_file_size(file, &size), OK);
    ck_assert_uint_eq(size, 100);
    ck_assert_int_eq(env_file_truncate(file, 300), OK);
    ck_assert_int_eq(env_file_read(file, 0, buf, sizeof(buf), &len), OK);
    ck_assert_uint_eq(len, 300);
    for (size_t i = 0; i < 300; i++)
        ck_assert_uint_eq(buf[i], i < 100 ? conf_pattern(i) : 0);
    env_file_close(file);
}
END_TEST

START_TEST(allocate_grows_the_size_and_keeps_the_contents)
{
    struct env_file *file = conf_pattern_file("a", 1000);
    uint64_t size;
    uint8_t buf[1200];
    size_t len;
    ck_assert_int_eq(env_file_allocate(file, 500, 100), OK);
    ck_assert_int_eq(env_file_size(file, &size), OK);
    ck_assert_uint_eq(size, 1000);
    ck_assert_int_eq(env_file_allocate(file, 500, 1u << 20), OK);
    ck_assert_int_eq(env_file_size(file, &size), OK);
    ck_assert_uint_eq(size, 500 + (1u << 20));
    ck_assert_int_eq(env_file_read(file, 0, buf, sizeof(buf), &len), OK);
    ck_assert_uint_eq(len, sizeof(buf));
    for (size_t i = 0; i < sizeof(buf); i++)
        ck_assert_uint_eq(buf[i], i < 1000 ? conf_pattern(i) : 0);
    env_file_close(file);
}
END_TEST

START_TEST(lock_is_held_for_the_life_of_the_handle)
{
    struct env_file *first, *second = NULL, *plain;
    int flags = ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_LOCK;
    ck_assert_int_eq(open_named("lock", flags, &first), OK);
    ck_assert_int_eq(open_named("lock", flags, &second), ERR_BUSY);
    ck_assert_ptr_null(second);
    ck_assert_int_eq(open_named("lock", ENV_OPEN_READ, &plain), OK); /* who does not ask is not stopped */
    env_file_close(plain);
    ck_assert_int_eq(open_named("lock", flags, &second), ERR_BUSY);
    env_file_close(first);
    ck_assert_int_eq(open_named("lock", flags, &second), OK);
    env_file_close(second);
}
END_TEST

START_TEST(syncs_that_wait_succeed_on_files_and_directories)
{
    struct env_file *file = conf_pattern_file("s", 1000);
    ck_assert_int_eq(env_file_sync_wait(file), OK);
    ck_assert_int_eq(env_dir_sync_wait(conf_env, conf_impl->scratch_dir(conf_env)), OK);
    ck_assert_int_eq(env_dir_sync_wait(conf_env, conf_path("no")), ERR_NOT_FOUND);
    env_file_close(file);
}
END_TEST

/* -- paths -- */

START_TEST(rename_replaces_the_target)
{
    make_file("old", "old");
    make_file("new", "new");
    ck_assert_int_eq(env_rename(conf_env, conf_path("new"), conf_path("old")), OK);
    check_file("old", "new");
    ck_assert_int_eq(env_path_exists(conf_env, conf_path("new"), NULL), ERR_NOT_FOUND);
    ck_assert_int_eq(env_rename(conf_env, conf_path("new"), conf_path("old")), ERR_NOT_FOUND);
}
END_TEST

START_TEST(unlinked_file_stays_readable_through_its_handle)
{
    struct env_file *file = conf_pattern_file("u", 10);
    uint8_t buf[10];
    size_t len;
    ck_assert_int_eq(env_unlink(conf_env, conf_path("u")), OK);
    ck_assert_int_eq(env_unlink(conf_env, conf_path("u")), ERR_NOT_FOUND);
    ck_assert_int_eq(env_file_read(file, 0, buf, sizeof(buf), &len), OK);
    ck_assert_uint_eq(len, 10);
    env_file_close(file);
}
END_TEST

START_TEST(directories_are_made_listed_and_removed)
{
    bool is_dir = false;
    ck_assert_int_eq(env_mkdir(conf_env, conf_path("d")), OK);
    ck_assert_int_eq(env_mkdir(conf_env, conf_path("d")), ERR_EXISTS);
    ck_assert_int_eq(env_path_exists(conf_env, conf_path("d"), &is_dir), OK);
    ck_assert(is_dir);
    make_file("d/f", "x");
    ck_assert_int_eq(env_path_exists(conf_env, conf_path("d/f"), &is_dir), OK);
    ck_assert(!is_dir);
    ck_assert_int_ne(env_rmdir(conf_env, conf_path("d")), OK);
    ck_assert_int_eq(env_rename(conf_env, conf_path("d"), conf_path("e")), OK);
    check_file("e/f", "x");
    ck_assert_int_eq(env_unlink(conf_env, conf_path("e/f")), OK);
    ck_assert_int_eq(env_rmdir(conf_env, conf_path("e")), OK);
    ck_assert_int_eq(env_rmdir(conf_env, conf_path("e")), ERR_NOT_FOUND);
}
END_TEST

struct listing {
    char text[256];
    size_t stop_after;
};

static bool listing_each(void *ctx, const char *name, bool is_dir)
{
    struct listing *listing = ctx;
    strcat(listing->text, name);
    strcat(listing->text, is_dir ? "/ " : " ");
    return --listing->stop_after > 0;
}

START_TEST(listing_is_in_byte_order_and_can_be_stopped)
{
    struct listing all = {.stop_after = 100}, two = {.stop_after = 2};
    ck_assert_int_eq(env_mkdir(conf_env, conf_path("l")), OK);
    ck_assert_int_eq(env_mkdir(conf_env, conf_path("l/b")), OK);
    make_file("l/a-10", "");
    make_file("l/a-9", "");
    make_file("l/Z", "");
    make_file("l/.hidden", "");
    ck_assert_int_eq(env_dir_list(conf_env, conf_path("l"), listing_each, &all), OK);
    ck_assert_str_eq(all.text, ".hidden Z a-10 a-9 b/ ");
    ck_assert_int_eq(env_dir_list(conf_env, conf_path("l"), listing_each, &two), OK);
    ck_assert_str_eq(two.text, ".hidden Z ");
    ck_assert_int_eq(env_dir_list(conf_env, conf_path("no"), listing_each, &all), ERR_NOT_FOUND);
}
END_TEST

START_TEST(each_reference_keeps_the_handle)
{
    struct env_file *file = conf_pattern_file("refs", 100);
    uint8_t byte;
    size_t got;
    ck_assert_ptr_eq(env_file_ref(file), file);
    env_file_close(file);
    ck_assert_int_eq(env_file_read(file, 42, &byte, 1, &got), OK);
    ck_assert_uint_eq(byte, conf_pattern(42));
    env_file_close(file);
}
END_TEST

/* The answer is a hint; whatever it is, asking again after a read comes to a yes. */
START_TEST(what_was_just_read_is_cached_soon)
{
    static uint8_t buf[70000];
    struct env_file *file = conf_pattern_file("cached", sizeof(buf));
    bool cached = false;
    size_t got;
    for (int i = 0; i < 100 && !cached; i++) {
        ck_assert_int_eq(env_file_read(file, 0, buf, sizeof(buf), &got), OK);
        CONF_CALL(cached = env_file_cached(file, 0, sizeof(buf)));
    }
    ck_assert(cached);
    ck_assert(env_file_cached(file, 5, 0));
    env_file_close(file);
}
END_TEST

START_TEST(disk_space_is_told)
{
    uint64_t free_bytes, total_bytes;
    ck_assert_int_eq(env_disk_space(conf_env, conf_impl->scratch_dir(conf_env), &free_bytes, &total_bytes),
                     OK);
    ck_assert_uint_gt(total_bytes, 0);
    ck_assert_uint_le(free_bytes, total_bytes);
    ck_assert_int_eq(env_disk_space(conf_env, conf_path("no"), &free_bytes, &total_bytes), ERR_NOT_FOUND);
}
END_TEST

void conf_add_file(TCase *tcase)
{
    tcase_add_test(tcase, open_answers_for_missing_and_present_files);
    tcase_add_test(tcase, vectored_write_of_many_pieces_lands_whole);
    tcase_add_test(tcase, read_is_short_only_at_the_end);
    tcase_add_test(tcase, truncate_cuts_and_extends_with_zeros);
    tcase_add_test(tcase, allocate_grows_the_size_and_keeps_the_contents);
    tcase_add_test(tcase, lock_is_held_for_the_life_of_the_handle);
    tcase_add_test(tcase, syncs_that_wait_succeed_on_files_and_directories);
    tcase_add_test(tcase, rename_replaces_the_target);
    tcase_add_test(tcase, unlinked_file_stays_readable_through_its_handle);
    tcase_add_test(tcase, directories_are_made_listed_and_removed);
    tcase_add_test(tcase, listing_is_in_byte_order_and_can_be_stopped);
    tcase_add_test(tcase, each_reference_keeps_the_handle);
    tcase_add_test(tcase, what_was_just_read_is_cached_soon);
    tcase_add_test(tcase, disk_space_is_told);
}
