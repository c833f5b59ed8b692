/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/log/disk_guard.h"

#include "common/base/assert.h"
#include "common/log/log_path.h"

#define ASK_US        (250 * 1000)
#define LIMIT_MAX     (1ull << 30)
#define RESERVE_BYTES (8ull << 20)
#define PLENTY        64 /* the reserve is made when so many of it are free */

void disk_guard_init(struct disk_guard *guard, const char *path, int64_t free_min_bytes)
{
    *guard = (struct disk_guard){.path = path, .free_min_bytes = free_min_bytes};
    atomic_init(&guard->asked_us, 0);
    atomic_init(&guard->free_bytes, 0);
    atomic_init(&guard->refused, 0);
    atomic_init(&guard->full, false);
    atomic_init(&guard->changed, false);
}

/* Room comes back with a little more than what ended it, so that it does not flap. */
static void look(struct disk_guard *guard, struct env *env)
{
    uint64_t free_bytes, total;
    if (env_disk_space(env, guard->path, &free_bytes, &total) != OK)
        return;
    uint64_t limit =
        guard->free_min_bytes >= 0 ? (uint64_t)guard->free_min_bytes : MIN(total / 100, LIMIT_MAX);
    bool was = atomic_load(&guard->full);
    bool full = free_bytes < (was ? limit + limit / 4 : limit);
    atomic_store(&guard->free_bytes, free_bytes);
    if (atomic_exchange(&guard->full, full) != full)
        atomic_store(&guard->changed, true);
}

bool disk_guard_full(struct disk_guard *guard, struct env *env)
{
    uint64_t asked = atomic_load_explicit(&guard->asked_us, memory_order_relaxed);
    if (guard->free_min_bytes == 0)
        return false;
    uint64_t now = env_now_us(env);
    if ((asked == 0 || now - asked >= ASK_US) &&
        atomic_compare_exchange_strong(&guard->asked_us, &asked, MAX(now, 1)))
        look(guard, env);
    return atomic_load_explicit(&guard->full, memory_order_relaxed);
}

bool disk_guard_changed(struct disk_guard *guard)
{
    return atomic_load_explicit(&guard->changed, memory_order_relaxed) &&
           atomic_exchange(&guard->changed, false);
}

uint64_t disk_guard_free_bytes(const struct disk_guard *guard)
{
    return atomic_load_explicit(&guard->free_bytes, memory_order_relaxed);
}

/* -- the reserve -- */

void disk_reserve_make(struct env *env, const char *path)
{
    char name[LOG_PATH_MAX];
    uint64_t free_bytes, total;
    struct env_file *file;
    bool is_dir;
    if (log_path(name, path, DISK_RESERVE_NAME) != OK || env_path_exists(env, name, &is_dir) == OK)
        return;
    if (env_disk_space(env, path, &free_bytes, &total) != OK || free_bytes < PLENTY * RESERVE_BYTES)
        return;
    if (env_file_open(env, name, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file) != OK)
        return;
    enum err err = env_file_allocate(file, 0, RESERVE_BYTES);
    env_file_close(file);
    if (err)
        env_unlink(env, name);
}

bool disk_reserve_drop(struct env *env, const char *path)
{
    char name[LOG_PATH_MAX];
    return log_path(name, path, DISK_RESERVE_NAME) == OK && env_unlink(env, name) == OK;
}
