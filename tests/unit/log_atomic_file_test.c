/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/log/atomic_file.h"
#include "tests/lib/mem_env.h"
#include "tests/lib/unit.h"

static void expect(struct env *env, const char *content)
{
    struct iobuf *buf;
    ck_assert_int_eq(atomic_file_read(env, "/d", "f", &buf), OK);
    ck_assert_str_eq((const char *)buf->data, content);
    ck_assert_uint_eq(buf->len, strlen(content));
    iobuf_unref(buf);
}

START_TEST(content_comes_back_and_any_changed_byte_is_noticed)
{
    struct mem_world *world = mem_world_new(1);
    struct mem_env *m = mem_env_new(world);
    struct env *env = mem_env_env(m);
    struct iobuf *buf;
    uint64_t size;
    env_mkdir(env, "/d");
    ck_assert_int_eq(atomic_file_read(env, "/d", "f", &buf), ERR_NOT_FOUND);
    ck_assert_int_eq(atomic_file_write_wait(env, "/d", "f", "", 0), OK);
    expect(env, "");
    ck_assert_int_eq(atomic_file_write_wait(env, "/d", "f", "term=5\n", 7), OK);
    expect(env, "term=5\n");
    struct mem_disk *disk = mem_env_save(m);
    mem_env_bytes(m, "/d/f", &size);
    for (uint64_t i = 0; i < size; i++) {
        mem_env_bytes(m, "/d/f", &size)[i] ^= 4;
        ck_assert_int_eq(atomic_file_read(env, "/d", "f", &buf), ERR_CORRUPT);
        mem_env_bytes(m, "/d/f", &size)[i] ^= 4;
        mem_env_resize(m, "/d/f", i);
        ck_assert_int_eq(atomic_file_read(env, "/d", "f", &buf), ERR_CORRUPT);
        mem_env_restore(m, disk);
    }
    mem_disk_free(disk);
    ck_assert_int_eq(atomic_file_remove_wait(env, "/d", "f"), OK);
    ck_assert_int_eq(atomic_file_remove_wait(env, "/d", "f"), OK);
    ck_assert_int_eq(atomic_file_read(env, "/d", "f", &buf), ERR_NOT_FOUND);
    mem_world_free(world);
}
END_TEST

static void write_done(struct atomic_file_write *w, enum err err)
{
    w->err = err == OK ? OK : err;
    w->path[0] = 0; /* mark: it was called */
}

/* Every sync and write of a replacement fails in turn, then power is lost: the content is the old one or the
 * new one. */
START_TEST(a_crash_at_any_step_leaves_old_or_new)
{
    int old = 0, new = 0;
    for (uint64_t seed = 1; seed <= 120; seed++) {
        struct mem_world *world = mem_world_new(seed);
        struct mem_env *m = mem_env_new(world);
        struct env *env = mem_env_env(m);
        static struct atomic_file_write w;
        struct iobuf *buf;
        env_mkdir(env, "/d");
        ck_assert_int_eq(atomic_file_write_wait(env, "/d", "f", "old", 3), OK);
        if (seed % 4 != 0)
            mem_env_fail_sync_after(m, (uint32_t)(seed % 4));
        atomic_file_write(&w, env, "/d", "f", "newer", 5, write_done);
        mem_world_run(world, mem_world_now_us(world) + prng_below(&env->prng, 7000));
        bool acknowledged = w.path[0] == 0 && w.err == OK;
        mem_env_crash(m, seed % 2 ? MEM_MIX : MEM_DROP);
        mem_env_restart(m);
        ck_assert_int_eq(atomic_file_read(env, "/d", "f", &buf), OK);
        bool is_new = buf->len == 5 && memcmp(buf->data, "newer", 5) == 0;
        ck_assert(is_new || (buf->len == 3 && memcmp(buf->data, "old", 3) == 0));
        ck_assert(is_new || !acknowledged);
        iobuf_unref(buf);
        old += !is_new;
        new += is_new;
        mem_world_free(world);
    }
    ck_assert_int_gt(old, 5);
    ck_assert_int_gt(new, 5);
}
END_TEST

START_TEST(too_much_content_and_bad_paths_are_refused)
{
    struct mem_world *world = mem_world_new(1);
    struct mem_env *m = mem_env_new(world);
    struct env *env = mem_env_env(m);
    static char big[ATOMIC_FILE_MAX + 1];
    static char name[LOG_PATH_MAX];
    static struct atomic_file_write w;
    memset(name, 'n', sizeof(name) - 1);
    ck_assert_int_eq(atomic_file_write_wait(env, "/d", "f", big, sizeof(big)), ERR_TOO_LARGE);
    ck_assert_int_eq(atomic_file_write_wait(env, "/d", name, big, 1), ERR_TOO_LARGE);
    atomic_file_write(&w, env, "/d", name, big, 1, write_done);
    mem_world_run(world, mem_world_now_us(world) + 10);
    ck_assert_int_eq(w.err, ERR_TOO_LARGE);
    mem_world_free(world);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, content_comes_back_and_any_changed_byte_is_noticed);
    tcase_add_test(tcase, a_crash_at_any_step_leaves_old_or_new);
    tcase_add_test(tcase, too_much_content_and_bad_paths_are_refused);
}

SLUICE_TEST_MAIN("log_atomic_file", add)
