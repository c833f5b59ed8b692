/* SPDX-License-Identifier: Apache-2.0 */
/* Syncs of one file system, together: while one runs, others queue up; few are done one by one, many with one
 * syncfs, whichever has cost less so far (DESIGN, Durability contract). A syncfs that fails says nothing
 * about which file: every file is then synced by itself, whose own result counts, and never together again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/env_uv/env_uv.h"
#include "common/env_uv/euv.h"

#define TOGETHER_MIN 4   /* fewer are never worth a syncfs: it also writes what nobody asked for */
#define COUNT_MAX    256 /* enough to decide; the queue may be much longer */
#define AVERAGE      8   /* weight of the past in the running averages */
#define FORGET       64  /* a syncfs that was slow once is tried again after about as many others */

/* File systems whose syncfs reports every failed write-back since the descriptor was opened (Linux 5.8). */
static bool reports_errors(int fd)
{
    static const unsigned long known[] = {0xEF53 /* ext */, 0x58465342 /* xfs */, 0x9123683E /* btrfs */,
                                          0xF2F52010 /* f2fs */, 0x01021994 /* tmpfs */};
    struct statfs st;
    struct utsname name;
    int major = 0, minor = 0;
    if (uname(&name) != 0 || sscanf(name.release, "%d.%d", &major, &minor) != 2)
        return false;
    if (major < 5 || (major == 5 && minor < 8) || fstatfs(fd, &st) != 0)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if ((unsigned long)st.f_type == known[i])
            return true;
    return false;
}

/* The folder of path, opened: the descriptor must be older than the first write that it answers for. */
static int open_folder(const char *path)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    if (len >= sizeof(folder))
        return -1;
    memcpy(folder, path, len);
    folder[len] = 0;
    const char *name = slash == path ? "/" : len ? folder : ".";
    return open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static struct euv_fs *add_fs(struct euv_process *process, uint64_t dev, const char *path)
{
    if (process->fs_count == EUV_FS_MAX)
        return NULL;
    struct euv_fs *fs = &process->fs[process->fs_count++];
    *fs = (struct euv_fs){.dev = dev, .fd = open_folder(path)};
    fs->together = fs->fd >= 0 && reports_errors(fs->fd);
    return fs;
}

struct euv_fs *euv_fs_of(struct euv_process *process, int fd, const char *path)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return NULL;
    pthread_mutex_lock(&process->mutex);
    struct euv_fs *found = NULL;
    for (unsigned i = 0; i < process->fs_count; i++)
        if (process->fs[i].dev == (uint64_t)st.st_dev)
            found = &process->fs[i];
    if (found == NULL)
        found = add_fs(process, (uint64_t)st.st_dev, path);
    pthread_mutex_unlock(&process->mutex);
    return found;
}

void euv_fs_free(struct euv_process *process)
{
    for (unsigned i = 0; i < process->fs_count; i++)
        if (process->fs[i].fd >= 0)
            close(process->fs[i].fd);
}

/* -- which run together (under the pool's mutex) -- */

static bool belongs(struct list *node, const struct euv_fs *fs)
{
    const struct env_io *io = CONTAINER_OF(node, struct env_io, link);
    return io->op == ENV_IO_SYNC && euv_file_fs(io->target) == fs;
}

static uint64_t count_of(struct euv_pool *pool, const struct euv_fs *fs)
{
    uint64_t count = 0, seen = 0;
    list_for_each (it, &pool->queue) {
        count += belongs(it, fs);
        if (++seen == COUNT_MAX)
            break;
    }
    return count;
}

static bool worth_it(const struct euv_fs *fs, uint64_t count)
{
    if (count < TOGETHER_MIN)
        return false;
    return fs->together_us == 0 || fs->together_us < fs->one_us * count;
}

void euv_sync_take(struct euv_pool *pool, struct list *batch)
{
    struct list *first = pool->queue.next;
    const struct env_io *io = CONTAINER_OF(first, struct env_io, link);
    struct euv_fs *fs = io->op == ENV_IO_SYNC ? euv_file_fs(io->target) : NULL;
    bool together = fs && fs->together && worth_it(fs, count_of(pool, fs));
    list_for_each_safe (it, tmp, &pool->queue) {
        if (it != first && (!together || !belongs(it, fs)))
            continue;
        list_remove(it);
        list_push_back(batch, it);
        if (!together)
            return;
    }
}

/* -- on a disk thread -- */

static uint64_t clock_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static uint64_t average(uint64_t before, uint64_t now)
{
    now = MAX(now, 1);
    return before == 0 ? now : (before * (AVERAGE - 1) + now + AVERAGE - 1) / AVERAGE;
}

static void learn(struct euv_pool *pool, struct euv_fs *fs, bool together, uint64_t took_us)
{
    pthread_mutex_lock(&pool->mutex);
    if (together) {
        fs->together_us = average(fs->together_us, took_us);
        fs->together_count++;
    } else {
        fs->one_us = average(fs->one_us, took_us);
        fs->one_count++;
        fs->together_us -= fs->together_us / FORGET;
    }
    pthread_mutex_unlock(&pool->mutex);
}

static void run_one(struct euv_pool *pool, struct list *node)
{
    const struct env_io *io = CONTAINER_OF(node, struct env_io, link);
    struct euv_fs *fs = io->op == ENV_IO_SYNC ? euv_file_fs(io->target) : NULL;
    uint64_t begin_us = clock_us();
    euv_io_run(node); /* io may be gone afterwards */
    if (fs)
        learn(pool, fs, false, clock_us() - begin_us);
}

/* False: it failed, nothing was answered. */
static bool run_together(struct euv_pool *pool, struct euv_fs *fs, struct list *batch)
{
    uint64_t begin_us = clock_us();
    int rc = syncfs(fs->fd);
    learn(pool, fs, true, clock_us() - begin_us);
    if (rc != 0) {
        pthread_mutex_lock(&pool->mutex);
        fs->together = false;
        pthread_mutex_unlock(&pool->mutex);
        return false;
    }
    list_for_each_safe (it, tmp, batch) {
        list_remove(it);
        euv_io_answer(CONTAINER_OF(it, struct env_io, link), OK);
    }
    return true;
}

void euv_sync_run(struct euv_pool *pool, struct list *batch)
{
    struct list *first = batch->next;
    bool several = first->next != batch;
    if (several && run_together(pool, euv_file_fs(CONTAINER_OF(first, struct env_io, link)->target), batch))
        return;
    list_for_each_safe (it, tmp, batch) {
        list_remove(it);
        run_one(pool, it);
    }
}

void env_uv_sync_counts(struct env *env, uint64_t *ret_alone, uint64_t *ret_together)
{
    struct euv_process *process = euv_loop_of(env)->process;
    *ret_alone = *ret_together = 0;
    pthread_mutex_lock(&process->sync.mutex);
    for (unsigned i = 0; i < process->fs_count; i++) {
        *ret_alone += process->fs[i].one_count;
        *ret_together += process->fs[i].together_count;
    }
    pthread_mutex_unlock(&process->sync.mutex);
}
