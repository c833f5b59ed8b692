/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "broker/log/data_dir.h"
#include "broker/log/disk_guard.h"
#include "broker/log/partition_meta.h"
#include "common/logformat/file_name.h"
#include "tests/lib/mem_env.h"
#include "tests/lib/unit.h"

#define PATH "/data"

struct fixture {
    struct mem_world *world;
    struct env *env;
    struct data_dir *dir;
    char message[DATA_DIR_MESSAGE_MAX];
};

static const struct uuid none, cluster = {{1, 2, 3}}, other = {{9, 9}};

static void start(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->world = mem_world_new(3);
    f->env = mem_env_env(mem_env_new(f->world));
}

static void stop(struct fixture *f)
{
    if (f->dir)
        data_dir_close(f->dir, true);
    mem_world_run(f->world, mem_world_now_us(f->world) + 100000);
    mem_world_free(f->world);
}

static enum err open_as(struct fixture *f, int32_t node_id, struct uuid cluster_id)
{
    return data_dir_open(f->env, PATH, node_id, cluster_id, &f->dir, f->message);
}

START_TEST(a_directory_keeps_its_identity)
{
    struct fixture f;
    start(&f);
    ck_assert_int_eq(open_as(&f, 4, none), OK);
    struct uuid id = f.dir->directory_id;
    ck_assert(!uuid_is_zero(id));
    ck_assert(uuid_is_zero(f.dir->cluster_id));
    ck_assert_int_eq(data_dir_set_cluster(f.dir, cluster), OK);
    ck_assert_int_eq(data_dir_set_cluster(f.dir, cluster), OK);
    ck_assert_int_eq(data_dir_set_cluster(f.dir, other), ERR_MISMATCH);
    ck_assert_int_eq(data_dir_close(f.dir, true), OK);
    ck_assert_int_eq(open_as(&f, 4, none), OK);
    ck_assert(uuid_eq(f.dir->directory_id, id));
    ck_assert(uuid_eq(f.dir->cluster_id, cluster));
    ck_assert(data_dir_clean_start(f.dir));
    stop(&f);
}
END_TEST

START_TEST(a_foreign_directory_is_refused_in_one_line_that_names_file_and_fix)
{
    static const struct {
        int32_t node_id;
        struct uuid cluster_id;
        const char *says;
    } rows[] = {{5, {{1, 2, 3}}, "node"}, {4, {{9, 9}}, "cluster"}};
    struct fixture f;
    start(&f);
    ck_assert_int_eq(open_as(&f, 4, cluster), OK);
    data_dir_close(f.dir, true);
    for (int i = 0; i < 2; i++) {
        f.dir = NULL;
        ck_assert_int_eq(open_as(&f, rows[i].node_id, rows[i].cluster_id), ERR_MISMATCH);
        ck_assert_ptr_nonnull(strstr(f.message, PATH "/meta.properties"));
        ck_assert_ptr_nonnull(strstr(f.message, rows[i].says));
        ck_assert_ptr_nonnull(strstr(f.message, "data directory"));
        ck_assert_ptr_null(strchr(f.message, '\n'));
    }
    stop(&f);
}
END_TEST

START_TEST(two_processes_cannot_share_a_directory)
{
    struct fixture f;
    struct data_dir *second = NULL;
    start(&f);
    ck_assert_int_eq(open_as(&f, 4, cluster), OK);
    ck_assert_int_eq(data_dir_open(f.env, PATH, 4, cluster, &second, f.message), ERR_BUSY);
    ck_assert_ptr_nonnull(strstr(f.message, "in use by another process"));
    data_dir_close(f.dir, false);
    ck_assert_int_eq(open_as(&f, 4, cluster), OK); /* free again */
    stop(&f);
}
END_TEST

START_TEST(damaged_identity_is_refused)
{
    struct fixture f;
    struct env_file *file;
    start(&f);
    ck_assert_int_eq(open_as(&f, 4, cluster), OK);
    data_dir_close(f.dir, true);
    f.dir = NULL;
    ck_assert_int_eq(env_file_open(f.env, PATH "/meta.properties", ENV_OPEN_WRITE, &file), OK);
    struct iovec iov = {(void *)(uintptr_t) "x", 1};
    ck_assert_int_eq(env_file_write(file, 12, &iov, 1), OK);
    env_file_close(file);
    ck_assert_int_eq(open_as(&f, 4, cluster), ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(f.message, "meta.properties"));
    stop(&f);
}
END_TEST

static bool know_orders_0(void *ctx, const char *name, struct uuid topic_id, int32_t index)
{
    ++*(int *)ctx;
    return strcmp(name, "orders-0") == 0 && index == 0;
}

START_TEST(unknown_partition_directories_are_set_aside_never_deleted)
{
    static const char *const names[] = {"orders-0", "orders-1",  "x-y.z_1-17",
                                        "notes",    "orders-1x", "lost+found"};
    struct fixture f;
    char path[64];
    int asked = 0;
    uint32_t gone;
    bool is_dir;
    start(&f);
    ck_assert_int_eq(open_as(&f, 4, cluster), OK);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        strcpy(stpcpy(path, PATH "/"), names[i]);
        ck_assert_int_eq(env_mkdir(f.env, path), OK);
    }
    for (int again = 0; again < 2; again++) {
        asked = 0;
        ck_assert_int_eq(data_dir_sweep(f.dir, know_orders_0, &asked, &gone), OK);
        ck_assert_int_eq(asked, again ? 1 : 3);
        ck_assert_uint_eq(gone, again ? 0 : 2); /* what was set aside is not looked at again */
    }
    ck_assert_int_eq(env_path_exists(f.env, PATH "/orders-0", &is_dir), OK);
    ck_assert_int_eq(env_path_exists(f.env, PATH "/orders-1", &is_dir), ERR_NOT_FOUND);
    ck_assert_int_eq(env_path_exists(f.env, PATH "/notes", &is_dir), OK);
    stop(&f);
}
END_TEST

START_TEST(what_a_crash_left_of_a_deleted_topic_goes_at_the_next_start)
{
    struct fixture f;
    struct env_file *file;
    bool is_dir;
    start(&f);
    ck_assert_int_eq(open_as(&f, 4, cluster), OK);
    ck_assert_int_eq(env_mkdir(f.env, PATH "/orders-0.0a1b2c3d-delete"), OK);
    ck_assert_int_eq(env_mkdir(f.env, PATH "/my-delete"), OK);
    ck_assert_int_eq(
        env_file_open(f.env, PATH "/orders-0.0a1b2c3d-delete/x.log", ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file),
        OK);
    env_file_close(file);
    data_dir_close(f.dir, true);
    ck_assert_int_eq(open_as(&f, 4, cluster), OK);
    ck_assert_int_eq(env_path_exists(f.env, PATH "/orders-0.0a1b2c3d-delete", &is_dir), ERR_NOT_FOUND);
    ck_assert_int_eq(env_path_exists(f.env, PATH "/my-delete", &is_dir), OK);
    stop(&f);
}
END_TEST

START_TEST(only_names_of_partitions_are_taken_for_them)
{
    static const struct {
        const char *name;
        int32_t index;
    } rows[] = {{"a-0", 0},
                {"a-b-12", 12},
                {"a", -1},
                {"-1", -1},
                {"a-", -1},
                {"a-1x", -1},
                {"a b-1", -1},
                {"a/b-1", -1},
                {"a-99999999999", -1},
                {"a-2147483647", 2147483647},
                {"a-0.quarantined-x00000001", -1},
                {"a-0.0a0b0c0d-delete", -1}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int32_t index = -1;
        ck_assert_msg(log_dir_name_parse(rows[i].name, &index) == (rows[i].index >= 0), "%s", rows[i].name);
        ck_assert_int_eq(index, rows[i].index);
    }
}
END_TEST

START_TEST(a_full_disk_gives_up_its_reserve_so_that_the_broker_starts)
{
    struct fixture f;
    bool is_dir;
    memset(&f, 0, sizeof(f));
    f.world = mem_world_new(3);
    struct mem_env *mem = mem_env_new(f.world);
    f.env = mem_env_env(mem);
    ck_assert_int_eq(open_as(&f, 4, cluster), OK);
    ck_assert_int_eq(env_path_exists(f.env, PATH "/" DISK_RESERVE_NAME, &is_dir), OK);
    ck_assert_int_eq(data_dir_close(f.dir, true), OK);
    mem_env_set_free(mem, 0);
    f.dir = NULL;
    ck_assert_int_eq(open_as(&f, 4, cluster), OK);
    ck_assert_int_eq(env_path_exists(f.env, PATH "/" DISK_RESERVE_NAME, &is_dir), ERR_NOT_FOUND);
    ck_assert(data_dir_clean_start(f.dir));
    ck_assert_int_eq(data_dir_close(f.dir, true), OK);
    mem_env_set_free(mem, 0); /* and again: there is none left to give */
    f.dir = NULL;
    ck_assert_int_eq(open_as(&f, 4, cluster), ERR_NO_SPACE);
    mem_env_set_free(mem, 1ull << 40);
    ck_assert_int_eq(open_as(&f, 4, cluster), OK);
    ck_assert_int_eq(env_path_exists(f.env, PATH "/" DISK_RESERVE_NAME, &is_dir), OK);
    stop(&f);
}
END_TEST

START_TEST(a_guard_refuses_below_its_limit_and_lets_in_again_by_itself)
{
    struct fixture f;
    struct disk_guard guard;
    memset(&f, 0, sizeof(f));
    f.world = mem_world_new(3);
    struct mem_env *mem = mem_env_new(f.world);
    f.env = mem_env_env(mem);
    disk_guard_init(&guard, PATH, 1000);
    mem_env_set_free(mem, 1000);
    mem_world_run(f.world, mem_world_now_us(f.world) + 300000);
    ck_assert(!disk_guard_full(&guard, f.env));
    mem_env_set_free(mem, 999);
    ck_assert(!disk_guard_full(&guard, f.env)); /* it was asked just now */
    mem_world_run(f.world, mem_world_now_us(f.world) + 300000);
    ck_assert(disk_guard_full(&guard, f.env));
    ck_assert(disk_guard_changed(&guard));
    ck_assert(!disk_guard_changed(&guard));
    mem_env_set_free(mem, 1100); /* not worth it yet */
    mem_world_run(f.world, mem_world_now_us(f.world) + 300000);
    ck_assert(disk_guard_full(&guard, f.env));
    mem_env_set_free(mem, 1250);
    mem_world_run(f.world, mem_world_now_us(f.world) + 300000);
    ck_assert(!disk_guard_full(&guard, f.env));
    ck_assert(disk_guard_changed(&guard));
    disk_guard_init(&guard, PATH, 0);
    mem_env_set_free(mem, 0);
    ck_assert(!disk_guard_full(&guard, f.env));
    mem_world_free(f.world);
}
END_TEST

/* Fault catalogue D15. A start says in one line what it could not do with which path, and changes nothing. */
START_TEST(a_directory_that_cannot_be_used_is_named)
{
    struct fixture f;
    struct env_file *file;
    memset(&f, 0, sizeof(f));
    f.world = mem_world_new(3);
    struct mem_env *mem = mem_env_new(f.world);
    f.env = mem_env_env(mem);
    if (_i == 0) { /* something else is there */
        ck_assert_int_eq(env_file_open(f.env, PATH, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file), OK);
        env_file_close(file);
    } else {
        ck_assert_int_eq(open_as(&f, 4, cluster), OK);
        data_dir_close(f.dir, true);
        f.dir = NULL;
    }
    if (_i == 1) /* nothing can be written any more */
        mem_env_fail_write_after(mem, 1);
    if (_i == 2) /* nor read */
        mem_env_fail_reads(mem, true);
    ck_assert_int_ne(open_as(&f, 4, cluster), OK);
    ck_assert_ptr_null(f.dir);
    ck_assert_ptr_nonnull(strstr(f.message, PATH));
    ck_assert_ptr_null(strchr(f.message, '\n'));
    if (_i > 0) { /* mounted as it should be */
        mem_env_repair(mem);
        mem_env_fail_reads(mem, false);
        ck_assert_int_eq(open_as(&f, 4, cluster), OK);
        ck_assert(data_dir_clean_start(f.dir));
    }
    stop(&f);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_full_disk_gives_up_its_reserve_so_that_the_broker_starts);
    tcase_add_test(tcase, a_guard_refuses_below_its_limit_and_lets_in_again_by_itself);
    tcase_add_test(tcase, a_directory_keeps_its_identity);
    tcase_add_test(tcase, a_foreign_directory_is_refused_in_one_line_that_names_file_and_fix);
    tcase_add_test(tcase, two_processes_cannot_share_a_directory);
    tcase_add_test(tcase, damaged_identity_is_refused);
    tcase_add_loop_test(tcase, a_directory_that_cannot_be_used_is_named, 0, 3);
    tcase_add_test(tcase, unknown_partition_directories_are_set_aside_never_deleted);
    tcase_add_test(tcase, what_a_crash_left_of_a_deleted_topic_goes_at_the_next_start);
    tcase_add_test(tcase, only_names_of_partitions_are_taken_for_them);
}

SLUICE_TEST_MAIN("broker_data_dir", add)
