/* SPDX-License-Identifier: Apache-2.0 */
/* The sync scheduler of a file system: one by one or one syncfs, whichever costs less as measured, and what a
 * syncfs that fails means for the files that it stood for. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/env_uv/env_uv.h"
#include "common/env_uv/euv.h"
#include "tests/lib/unit.h"

#define FILES_MAX 20

static struct env *env;
static struct euv_process *process;
static struct euv_fs *fs;
static char dir[] = "/tmp/sluice-syncs-XXXXXX";
static struct env_file *files[FILES_MAX];
static struct env_io ios[FILES_MAX];
static enum err results[FILES_MAX];
static int answered;

static void file_path(int i, char out[64])
{
    snprintf(out, 64, "%s/%d", dir, i);
}

static void begin(void)
{
    char path[64];
    env = env_uv_main_new();
    process = euv_loop_of(env)->process;
    ck_assert_ptr_nonnull(mkdtemp(dir));
    for (int i = 0; i < FILES_MAX; i++) {
        file_path(i, path);
        ck_assert_int_eq(env_file_open(env, path, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &files[i]), OK);
    }
    fs = euv_file_fs(files[0]);
    ck_assert_ptr_nonnull(fs);
    ck_assert_int_ge(fs->fd, 0);
    fs->together = true; /* whatever file system the test is on: its errors are not waited for here */
}

static void end(void)
{
    char path[64];
    for (int i = 0; i < FILES_MAX; i++) {
        file_path(i, path);
        env_file_close(files[i]);
        unlink(path);
    }
    rmdir(dir);
    env_uv_main_free(env);
}

/* As if so much had been measured. */
static void costs(uint64_t one_us, uint64_t together_us)
{
    pthread_mutex_lock(&process->sync.mutex);
    fs->one_us = one_us;
    fs->together_us = together_us;
    pthread_mutex_unlock(&process->sync.mutex);
}

static void synced(struct env_io *io, enum err err)
{
    results[io - ios] = err;
    answered++;
}

/* All answers are here, and the threads have noted what they took. */
static void wait_rest(int count)
{
    bool rests = false;
    while (answered < count)
        env_uv_main_turn(env);
    while (!rests) {
        sched_yield();
        pthread_mutex_lock(&process->sync.mutex);
        rests = list_empty(&process->sync.queue) && process->sync.idle == process->sync.started;
        pthread_mutex_unlock(&process->sync.mutex);
    }
}

/* One turn that asks for count syncs; how many calls of each kind the kernel got for them. */
static void sync_files(int count, uint64_t *ret_alone, uint64_t *ret_together)
{
    struct iovec byte = {(void *)(uintptr_t) "x", 1};
    uint64_t alone, together;
    env_uv_sync_counts(env, &alone, &together);
    answered = 0;
    for (int i = 0; i < count; i++) {
        ck_assert_int_eq(env_file_write(files[i], 0, &byte, 1), OK);
        env_file_sync(files[i], &ios[i], synced);
    }
    wait_rest(count);
    env_uv_sync_counts(env, ret_alone, ret_together);
    *ret_alone -= alone;
    *ret_together -= together;
}

START_TEST(the_cheaper_way_is_taken)
{
    static const struct {
        uint64_t one_us, together_us;
        int files;
        uint64_t alone, together;
    } rows[] = {
        {1, UINT64_C(1) << 50, 20, 20, 0},   /* a syncfs would write what others have written */
        {UINT64_C(1) << 40, 1000, 20, 0, 1}, /* many dirty logs */
        {UINT64_C(1) << 40, 1000, 3, 3, 0},  /* few are never worth it */
        {UINT64_C(1) << 40, 0, 20, 0, 1},    /* never tried yet */
    };
    uint64_t alone, together;
    begin();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        costs(rows[i].one_us, rows[i].together_us);
        sync_files(rows[i].files, &alone, &together);
        ck_assert_msg(alone == rows[i].alone && together == rows[i].together, "row %d: %llu and %llu", (int)i,
                      (unsigned long long)alone, (unsigned long long)together);
        for (int k = 0; k < rows[i].files; k++)
            ck_assert_int_eq(results[k], OK);
    }
    end();
}
END_TEST

START_TEST(both_ways_are_measured)
{
    uint64_t alone, together;
    begin();
    ck_assert(fs->one_us == 0 && fs->together_us == 0);
    sync_files(1, &alone, &together);
    ck_assert_uint_gt(fs->one_us, 0);
    sync_files(20, &alone, &together); /* has no measure yet */
    ck_assert_uint_eq(together, 1);
    ck_assert_uint_gt(fs->together_us, 0);
    costs(1, UINT64_C(1) << 40); /* slow once: tried again after some others */
    sync_files(20, &alone, &together);
    ck_assert_uint_eq(alone, 20);
    ck_assert_uint_lt(fs->together_us, (UINT64_C(1) << 40) / 4 * 3);
    end();
}
END_TEST

/* Nobody is told that his file is durable; each is synced by itself, and gets its own result. */
START_TEST(a_failed_syncfs_is_nobodys_answer)
{
    uint64_t alone, together;
    int pipe_fds[2], folder;
    begin();
    folder = fs->fd;
    costs(UINT64_C(1) << 40, 1);
    fs->fd = -1; /* the syncfs fails */
    ck_assert_int_eq(pipe(pipe_fds), 0);
    ck_assert_int_ge(dup2(pipe_fds[0], euv_file_fd(files[7])), 0); /* and so does this one's fdatasync */
    answered = 0;
    for (int i = 0; i < FILES_MAX; i++)
        env_file_sync(files[i], &ios[i], synced);
    wait_rest(FILES_MAX);
    for (int i = 0; i < FILES_MAX; i++)
        ck_assert_int_eq(results[i] == OK, i != 7);
    env_uv_sync_counts(env, &alone, &together);
    ck_assert_uint_eq(alone, FILES_MAX);
    ck_assert(!fs->together); /* for good: its descriptor has told its error */
    fs->fd = folder;
    for (int i = 0; i < FILES_MAX; i++)
        if (i != 7)
            env_file_sync(files[i], &ios[i], synced);
    wait_rest(2 * FILES_MAX - 1);
    env_uv_sync_counts(env, &alone, &together);
    ck_assert_uint_eq(alone, 2 * FILES_MAX - 1);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    end();
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, the_cheaper_way_is_taken);
    tcase_add_test(tcase, both_ways_are_measured);
    tcase_add_test(tcase, a_failed_syncfs_is_nobodys_answer);
}

SLUICE_TEST_MAIN("env_uv_sync", add)
