/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/mem_env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/env/env_ops.h"
#include "common/log/log_path.h"
#include "tests/lib/mem_node.h"

#define FILES_MAX   512
#define ENVS_MAX    8
#define SECTOR      512u
#define SYNC_MIN_US 200
#define SYNC_MAX_US 3000

struct name {
    char path[LOG_PATH_MAX];
    bool is_dir;
    struct node *node; /* NULL for directories */
};

struct names {
    struct name *list[FILES_MAX];
    int count;
};

struct mem_disk {
    struct names now, durable;
};

struct handle {
    struct env_file base;
    struct mem_env *m;
    struct node *node;
    struct list link;
    uint32_t refs;
    bool lock;
};

struct pending {
    struct list link;
    uint64_t at_us;
    struct env_io *io;
    struct node *node; /* NULL: directory */
    struct image captured;
    uint64_t captured_at;
    struct names names;
    enum err err;
};

struct mem_env {
    struct env env;
    struct mem_world *world;
    struct mem_disk disk;
    struct list pending; /* by time */
    struct list handles;
    bool dead;
    uint32_t fail_sync, fail_write;
    uint32_t files_max; /* 0: no limit */
    uint32_t changes, fail_change, last_change;
    uint64_t free_bytes; /* 0: writes fail with ERR_NO_SPACE; else only told */
    bool sync_broken, write_broken;
    int64_t wall_shift_ms;
    bool cold; /* env_file_cached() says no */
    bool unreadable;
    bool working; /* a worker has the disk */
    uint64_t loop_reads;
    uint32_t boots; /* changes when the machine, not only the process, went down */
};

struct mem_world {
    struct prng prng;
    uint64_t now_us;
    struct mem_env *envs[ENVS_MAX];
    int count;
};

/* -- nodes and names -- */

static struct name *name_new(const char *path, bool is_dir, struct node *node)
{
    struct name *name = must(calloc(1, sizeof(*name)));
    snprintf(name->path, sizeof(name->path), "%s", path);
    name->is_dir = is_dir;
    name->node = node;
    if (node != NULL)
        node->refs++;
    return name;
}

static void name_free(struct name *name)
{
    node_unref(name->node);
    free(name);
}

static int names_find(const struct names *names, const char *path)
{
    for (int i = 0; i < names->count; i++) {
        if (strcmp(names->list[i]->path, path) == 0)
            return i;
    }
    return -1;
}

static void names_add(struct names *names, const char *path, bool is_dir, struct node *node)
{
    ASSERT(names->count < FILES_MAX);
    names->list[names->count++] = name_new(path, is_dir, node);
}

static void names_remove(struct names *names, int at)
{
    name_free(names->list[at]);
    memmove(names->list + at, names->list + at + 1, (size_t)(names->count - at - 1) * sizeof(names->list[0]));
    names->count--;
}

static void names_clear(struct names *names)
{
    while (names->count > 0)
        names_remove(names, names->count - 1);
}

static void names_copy(struct names *to, const struct names *from)
{
    to->count = 0;
    for (int i = 0; i < from->count; i++)
        names_add(to, from->list[i]->path, from->list[i]->is_dir, from->list[i]->node);
}

static bool parent_is(const char *path, const char *dir)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL && strlen(dir) == (size_t)(slash - path) && memcmp(path, dir, strlen(dir)) == 0;
}

/* The durable names below dir become those of `from`. */
static void settle_dir(struct names *durable, const struct names *from, const char *dir)
{
    for (int i = durable->count - 1; i >= 0; i--) {
        if (parent_is(durable->list[i]->path, dir))
            names_remove(durable, i);
    }
    for (int i = 0; i < from->count; i++) {
        if (parent_is(from->list[i]->path, dir))
            names_add(durable, from->list[i]->path, from->list[i]->is_dir, from->list[i]->node);
    }
}

static void image_set(struct image *to, const struct image *from)
{
    free(to->data);
    *to = image_copy(from);
}

/* -- files -- */

#define HANDLE(file) CONTAINER_OF(file, struct handle, base)

static bool count_down(uint32_t *left, bool *broken)
{
    if (*left > 0 && --*left == 0)
        *broken = true;
    return *broken;
}

/* One more change of the disk is asked for: ERR_IO when it does not happen. */
static enum err change(struct mem_env *m)
{
    m->changes++;
    if (m->dead || m->changes == m->fail_change)
        return ERR_IO;
    m->dead = m->changes == m->last_change; /* this one happens */
    return OK;
}

static void file_close(struct env_file *file)
{
    struct handle *h = HANDLE(file);
    if (--h->refs > 0)
        return;
    list_remove(&h->link);
    node_unref(h->node);
    free(h);
}

static void file_ref(struct env_file *file)
{
    HANDLE(file)->refs++;
}

static bool file_shared(const struct env_file *file)
{
    return ((const struct handle *)file)->refs > 1;
}

/* No connections here. */
static void file_revoke(struct env_file *file)
{
}

static bool file_revoked(const struct env_file *file)
{
    return false;
}

static bool file_cached(struct env_file *file, uint64_t offset, size_t len)
{
    return !HANDLE(file)->m->cold;
}

static enum err file_size(struct env_file *file, uint64_t *ret_size)
{
    *ret_size = HANDLE(file)->node->now.size;
    return OK;
}

static enum err file_read(struct env_file *file, uint64_t offset, void *buf, size_t len, size_t *ret_len)
{
    const struct image *image = &HANDLE(file)->node->now;
    HANDLE(file)->m->loop_reads += !HANDLE(file)->m->working;
    *ret_len = 0;
    if (HANDLE(file)->m->unreadable)
        return ERR_IO;
    *ret_len = offset >= image->size ? 0 : (size_t)MIN(len, image->size - offset);
    if (*ret_len > 0)
        memcpy(buf, image->data + offset, *ret_len);
    return OK;
}

static enum err file_write(struct env_file *file, uint64_t offset, const struct iovec *iov, int iov_count)
{
    struct handle *h = HANDLE(file);
    if (change(h->m) || count_down(&h->m->fail_write, &h->m->write_broken))
        return ERR_IO;
    if (h->m->free_bytes == 0)
        return ERR_NO_SPACE;
    for (int i = 0; i < iov_count; i++) {
        if (offset + iov[i].iov_len > h->node->now.size)
            image_resize(&h->node->now, offset + iov[i].iov_len);
        memcpy(h->node->now.data + offset, iov[i].iov_base, iov[i].iov_len);
        offset += iov[i].iov_len;
    }
    return OK;
}

static enum err file_truncate(struct env_file *file, uint64_t size)
{
    if (change(HANDLE(file)->m))
        return ERR_IO;
    image_resize(&HANDLE(file)->node->now, size);
    return OK;
}

static enum err file_allocate(struct env_file *file, uint64_t offset, uint64_t len)
{
    struct node *node = HANDLE(file)->node;
    if (change(HANDLE(file)->m))
        return ERR_IO;
    if (HANDLE(file)->m->free_bytes == 0)
        return ERR_NO_SPACE;
    if (offset + len > node->now.size)
        image_resize(&node->now, offset + len);
    return OK;
}

static enum err file_sync_wait(struct env_file *file)
{
    struct handle *h = HANDLE(file);
    if (change(h->m) || count_down(&h->m->fail_sync, &h->m->sync_broken))
        return ERR_IO;
    image_set(&h->node->durable, &h->node->now);
    h->node->durable_at = ++h->node->syncs;
    return OK;
}

static void submit(struct mem_env *m, struct env_io *io, struct pending *p)
{
    p->io = io;
    p->at_us = m->world->now_us + SYNC_MIN_US + prng_below(&m->world->prng, SYNC_MAX_US - SYNC_MIN_US);
    struct list *at = m->pending.prev;
    while (at != &m->pending && CONTAINER_OF(at, struct pending, link)->at_us > p->at_us)
        at = at->prev;
    list_add_between(&p->link, at, at->next);
}

static void file_submit(struct env_file *file, struct env_io *io)
{
    struct handle *h = HANDLE(file);
    struct pending *p = must(calloc(1, sizeof(*p)));
    if (io->op == ENV_IO_READ) {
        size_t got;
        file_read(file, io->offset, io->buf, io->len, &got);
        p->err = got == io->len ? OK : ERR_TRUNCATED;
    } else {
        p->node = h->node;
        h->node->refs++;
        p->captured = image_copy(&h->node->now);
        p->captured_at = ++h->node->syncs;
        if (change(h->m) || count_down(&h->m->fail_sync, &h->m->sync_broken))
            p->err = ERR_IO;
    }
    submit(h->m, io, p);
}

static const struct env_file_ops file_ops = {.close = file_close,
                                             .ref = file_ref,
                                             .shared = file_shared,
                                             .revoke = file_revoke,
                                             .revoked = file_revoked,
                                             .cached = file_cached,
                                             .size = file_size,
                                             .read = file_read,
                                             .write = file_write,
                                             .truncate = file_truncate,
                                             .allocate = file_allocate,
                                             .sync_wait = file_sync_wait,
                                             .submit = file_submit};

/* -- the directory tree -- */

#define MEM(e) CONTAINER_OF(e, struct mem_env, env)

uint32_t mem_env_open_files(const struct mem_env *m)
{
    uint32_t count = 0;
    list_for_each (it, &m->handles)
        count++;
    return count;
}

void mem_env_limit_files(struct mem_env *m, uint32_t files_max)
{
    m->files_max = files_max;
}

static bool locked(struct mem_env *m, const struct node *node)
{
    list_for_each (it, &m->handles) {
        struct handle *h = CONTAINER_OF(it, struct handle, link);
        if (h->node == node && h->lock)
            return true;
    }
    return false;
}

static enum err disk_open(struct env *env, const char *path, int flags, struct env_file **ret_file)
{
    struct mem_env *m = MEM(env);
    int at = names_find(&m->disk.now, path);
    if (m->dead)
        return ERR_IO;
    if (m->files_max > 0 && mem_env_open_files(m) >= m->files_max)
        return ERR_FD_LIMIT;
    if (at < 0 && !(flags & ENV_OPEN_CREATE))
        return ERR_NOT_FOUND;
    if (at >= 0 && (flags & ENV_OPEN_EXCLUSIVE))
        return ERR_EXISTS;
    if (at < 0) {
        if (change(m))
            return ERR_IO;
        struct node *node = node_new();
        names_add(&m->disk.now, path, false, node);
        node_unref(node);
        at = names_find(&m->disk.now, path);
    }
    struct node *node = m->disk.now.list[at]->node;
    if ((flags & ENV_OPEN_LOCK) && locked(m, node))
        return ERR_BUSY;
    struct handle *h = must(calloc(1, sizeof(*h)));
    h->base.ops = &file_ops;
    h->m = m;
    h->node = node;
    h->refs = 1;
    h->lock = (flags & ENV_OPEN_LOCK) != 0;
    node->refs++;
    list_push_back(&m->handles, &h->link);
    *ret_file = &h->base;
    return OK;
}

static enum err disk_dir_sync_wait(struct env *env, const char *path)
{
    struct mem_env *m = MEM(env);
    if (change(m) || count_down(&m->fail_sync, &m->sync_broken))
        return ERR_IO;
    settle_dir(&m->disk.durable, &m->disk.now, path);
    return OK;
}

static void disk_dir_sync(struct env *env, const char *path, struct env_io *io)
{
    struct mem_env *m = MEM(env);
    struct pending *p = must(calloc(1, sizeof(*p)));
    p->err = change(m) || count_down(&m->fail_sync, &m->sync_broken) ? ERR_IO : OK;
    if (p->err == OK)
        settle_dir(&m->disk.durable, &m->disk.now, path); /* early is as good as any moment before done */
    submit(m, io, p);
}

static enum err disk_mkdir(struct env *env, const char *path)
{
    struct mem_env *m = MEM(env);
    if (names_find(&m->disk.now, path) >= 0)
        return ERR_EXISTS;
    names_add(&m->disk.now, path, true, NULL);
    names_add(&m->disk.durable, path, true, NULL);
    return OK;
}

/* With all that is below it; durable at once, as if the file system ordered it. */
static enum err rename_dir(struct mem_env *m, const char *from, const char *to)
{
    struct names *both[] = {&m->disk.now, &m->disk.durable};
    size_t len = strlen(from);
    if (names_find(&m->disk.now, to) >= 0)
        return ERR_EXISTS;
    for (size_t k = 0; k < ARRAY_LEN(both); k++) {
        for (int i = 0; i < both[k]->count; i++) {
            struct name *name = both[k]->list[i];
            char rest[LOG_PATH_MAX];
            if (strncmp(name->path, from, len) != 0 || (name->path[len] != 0 && name->path[len] != '/'))
                continue;
            snprintf(rest, sizeof(rest), "%s", name->path + len);
            ASSERT(strlen(to) + strlen(rest) < sizeof(name->path));
            stpcpy(stpcpy(name->path, to), rest);
        }
    }
    return OK;
}

static enum err disk_rename(struct env *env, const char *from, const char *to)
{
    struct mem_env *m = MEM(env);
    int at = names_find(&m->disk.now, from);
    if (m->dead)
        return ERR_IO;
    if (at < 0)
        return ERR_NOT_FOUND;
    if (change(m))
        return ERR_IO;
    if (m->disk.now.list[at]->is_dir)
        return rename_dir(m, from, to);
    struct node *node = m->disk.now.list[at]->node;
    node->refs++;
    names_remove(&m->disk.now, at);
    at = names_find(&m->disk.now, to);
    if (at >= 0)
        names_remove(&m->disk.now, at);
    names_add(&m->disk.now, to, false, node);
    node_unref(node);
    return OK;
}

static enum err disk_unlink(struct env *env, const char *path)
{
    struct mem_env *m = MEM(env);
    int at = names_find(&m->disk.now, path);
    if (m->dead)
        return ERR_IO;
    if (at < 0)
        return ERR_NOT_FOUND;
    if (change(m))
        return ERR_IO;
    m->free_bytes += m->disk.now.list[at]->is_dir ? 0 : m->disk.now.list[at]->node->now.size;
    names_remove(&m->disk.now, at);
    return OK;
}

static enum err disk_rmdir(struct env *env, const char *path)
{
    const struct names *names = &MEM(env)->disk.now;
    for (int i = 0; i < names->count; i++)
        if (parent_is(names->list[i]->path, path))
            return ERR_EXISTS;
    return disk_unlink(env, path);
}

static enum err disk_path_exists(struct env *env, const char *path, bool *ret_is_dir)
{
    struct mem_env *m = MEM(env);
    int at = names_find(&m->disk.now, path);
    if (at < 0)
        return ERR_NOT_FOUND;
    *ret_is_dir = m->disk.now.list[at]->is_dir;
    return OK;
}

static int by_path(const void *a, const void *b)
{
    return strcmp((*(struct name *const *)a)->path, (*(struct name *const *)b)->path);
}

/* each may remove what it is told of, so the names are copied first. */
static enum err disk_dir_list(struct env *env, const char *path,
                              bool (*each)(void *ctx, const char *name, bool is_dir), void *ctx)
{
    struct names *now = &MEM(env)->disk.now, copy = {.count = 0};
    qsort(now->list, (size_t)now->count, sizeof(now->list[0]), by_path);
    for (int i = 0; i < now->count; i++)
        if (parent_is(now->list[i]->path, path))
            names_add(&copy, now->list[i]->path, now->list[i]->is_dir, NULL);
    for (int i = 0; i < copy.count; i++)
        if (!each(ctx, strrchr(copy.list[i]->path, '/') + 1, copy.list[i]->is_dir))
            break;
    names_clear(&copy);
    return OK;
}

static enum err disk_space(struct env *env, const char *path, uint64_t *ret_free, uint64_t *ret_total)
{
    *ret_total = 1ull << 40;
    *ret_free = MEM(env)->free_bytes;
    return OK;
}

static const struct env_disk_ops disk_ops = {.file_open = disk_open,
                                             .dir_sync_wait = disk_dir_sync_wait,
                                             .dir_sync = disk_dir_sync,
                                             .mkdir = disk_mkdir,
                                             .rename = disk_rename,
                                             .unlink = disk_unlink,
                                             .rmdir = disk_rmdir,
                                             .path_exists = disk_path_exists,
                                             .dir_list = disk_dir_list,
                                             .disk_space = disk_space};

/* -- the loop -- */

static uint64_t loop_now_us(struct env *env)
{
    return MEM(env)->world->now_us;
}

static int64_t loop_wall_ms(struct env *env)
{
    return 1700000000000 + MEM(env)->wall_shift_ms + (int64_t)(MEM(env)->world->now_us / 1000);
}

static void loop_random(struct env *env, void *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)buf)[i] = (uint8_t)prng_next(&MEM(env)->world->prng);
}

static void loop_wake(struct env *env)
{
}

static void loop_boot_id(struct env *env, char out[37])
{
    snprintf(out, 37, "00000000-0000-0000-0000-%012u", MEM(env)->boots);
}

static void work_done(struct env_msg *msg)
{
    struct env_work *work = CONTAINER_OF(msg, struct env_work, msg);
    work->done(work);
}

/* There are no threads: the work is done at once, and told about in another turn. */
static void loop_work_submit(struct env *env, struct env_work *work)
{
    work->msg.fn = work_done;
    MEM(env)->working = true;
    work->work(work);
    MEM(env)->working = false;
    env_post(env, &work->msg);
}

static const struct env_ops mem_ops = {.now_us = loop_now_us,
                                       .wall_ms = loop_wall_ms,
                                       .random = loop_random,
                                       .wake = loop_wake,
                                       .work_submit = loop_work_submit,
                                       .boot_id = loop_boot_id,
                                       .disk = &disk_ops};

static void complete(struct pending *p)
{
    if (p->node != NULL && p->err == OK && p->captured_at > p->node->durable_at) {
        image_set(&p->node->durable, &p->captured);
        p->node->durable_at = p->captured_at;
    }
    struct env_io *io = p->io;
    enum err err = p->err;
    list_remove(&p->link);
    node_unref(p->node);
    free(p->captured.data);
    free(p);
    io->done(io, err);
}

static void turn(struct mem_env *m)
{
    env_turn_begin(&m->env, m->world->now_us);
    env_run_timers(&m->env);
    while (!list_empty(&m->pending)) {
        struct pending *p = CONTAINER_OF(m->pending.next, struct pending, link);
        if (p->at_us > m->world->now_us)
            break;
        complete(p);
    }
    env_run_mail(&m->env);
    env_run_tasks(&m->env);
}

static uint64_t next_due(struct mem_env *m)
{
    uint64_t due = env_next_deadline_us(&m->env);
    if (!list_empty(&m->pending))
        due = MIN(due, CONTAINER_OF(m->pending.next, struct pending, link)->at_us);
    if (env_has_ready(&m->env))
        due = m->world->now_us;
    return due;
}

/* One step of the world; false when nothing is due before until_us. */
static bool step(struct mem_world *world, uint64_t until_us)
{
    uint64_t due = UINT64_MAX;
    for (int i = 0; i < world->count; i++)
        due = MIN(due, next_due(world->envs[i]));
    if (due > until_us)
        return false;
    world->now_us = MAX(world->now_us + 1, due);
    for (int i = 0; i < world->count; i++)
        turn(world->envs[i]);
    return true;
}

void mem_world_run(struct mem_world *world, uint64_t until_us)
{
    while (world->now_us < until_us && step(world, until_us)) {
    }
    world->now_us = MAX(world->now_us, until_us);
}

bool mem_world_run_until(struct mem_world *world, uint64_t limit_us, bool (*done)(void *ctx), void *ctx)
{
    uint64_t until = world->now_us + limit_us;
    while (!done(ctx)) {
        if (world->now_us >= until || !step(world, until))
            return done(ctx);
    }
    return true;
}

uint64_t mem_world_now_us(const struct mem_world *world)
{
    return world->now_us;
}

struct mem_world *mem_world_new(uint64_t seed)
{
    struct mem_world *world = must(calloc(1, sizeof(*world)));
    prng_seed(&world->prng, seed);
    world->now_us = 1000000;
    return world;
}

struct mem_env *mem_env_new(struct mem_world *world)
{
    ASSERT(world->count < ENVS_MAX);
    struct mem_env *m = must(calloc(1, sizeof(*m)));
    m->world = world;
    m->free_bytes = 1ull << 40;
    list_init(&m->pending);
    list_init(&m->handles);
    ASSERT(env_base_init(&m->env, &mem_ops, prng_next(&world->prng), 1 << 20));
    world->envs[world->count++] = m;
    return m;
}

struct env *mem_env_env(struct mem_env *m)
{
    return &m->env;
}

void mem_world_free(struct mem_world *world)
{
    for (int i = 0; i < world->count; i++) {
        struct mem_env *m = world->envs[i];
        mem_env_crash(m, MEM_KEEP);
        mem_env_restart(m);
        names_clear(&m->disk.now);
        names_clear(&m->disk.durable);
        env_base_free(&m->env);
        free(m);
    }
    free(world);
}

/* -- crashes and faults -- */

static bool lost(struct mem_world *world, enum mem_crash kind)
{
    return kind == MEM_DROP || (kind == MEM_MIX && prng_below(&world->prng, 2) == 0);
}

static void crash_content(struct mem_world *world, struct node *node, enum mem_crash kind)
{
    struct image after = image_copy(&node->now);
    if (node->now.size != node->durable.size && lost(world, kind))
        image_resize(&after, node->durable.size);
    for (uint64_t at = 0; at < after.size; at += SECTOR) {
        uint64_t len = MIN(SECTOR, after.size - at);
        uint64_t old = at < node->durable.size ? MIN(len, node->durable.size - at) : 0;
        bool same = old == len && at + len <= node->now.size &&
                    memcmp(after.data + at, node->durable.data + at, (size_t)len) == 0;
        if (same || !lost(world, kind))
            continue;
        memset(after.data + at, 0, (size_t)len);
        if (old > 0)
            memcpy(after.data + at, node->durable.data + at, (size_t)old);
    }
    image_set(&node->now, &after);
    image_set(&node->durable, &after);
    free(after.data);
}

/* The file was renamed and the new name is lost: then the old one is not, a rename is one step. */
static bool renamed_away(const struct names *after, const struct names *now, int i)
{
    const struct node *node = after->list[i]->node;
    bool lives = false, other = false;
    for (int k = 0; k < now->count && node != NULL; k++)
        lives = lives || now->list[k]->node == node;
    for (int k = 0; k < after->count; k++)
        other = other || (k != i && after->list[k]->node == node);
    return lives && !other;
}

static void crash_names(struct mem_world *world, struct mem_disk *disk, enum mem_crash kind)
{
    struct names after = {.count = 0};
    names_copy(&after, &disk->durable);
    for (int i = 0; i < disk->now.count; i++) {
        const struct name *name = disk->now.list[i];
        int at = names_find(&after, name->path);
        if ((at >= 0 && after.list[at]->node == name->node) || lost(world, kind))
            continue;
        if (at >= 0)
            names_remove(&after, at);
        names_add(&after, name->path, name->is_dir, name->node);
    }
    for (int i = after.count - 1; i >= 0; i--) {
        if (names_find(&disk->now, after.list[i]->path) < 0 && !renamed_away(&after, &disk->now, i) &&
            !lost(world, kind))
            names_remove(&after, i);
    }
    names_clear(&disk->now);
    names_clear(&disk->durable);
    disk->now = after;
    names_copy(&disk->durable, &after);
}

void mem_env_crash(struct mem_env *m, enum mem_crash kind)
{
    crash_names(m->world, &m->disk, kind);
    for (int i = 0; i < m->disk.now.count; i++) {
        if (m->disk.now.list[i]->node != NULL)
            crash_content(m->world, m->disk.now.list[i]->node, kind);
    }
    m->boots += kind != MEM_KEEP;
    m->dead = true;
}

void mem_env_restart(struct mem_env *m)
{
    while (!list_empty(&m->pending)) {
        struct pending *p = CONTAINER_OF(m->pending.next, struct pending, link);
        p->err = ERR_IO;
        complete(p);
    }
    m->dead = false;
    mem_env_repair(m);
}

void mem_env_repair(struct mem_env *m)
{
    m->sync_broken = m->write_broken = false;
    m->fail_sync = m->fail_write = 0;
    m->fail_change = m->last_change = 0;
}

void mem_env_set_free(struct mem_env *m, uint64_t bytes)
{
    m->free_bytes = bytes;
}

void mem_env_fail_change(struct mem_env *m, uint32_t n)
{
    m->fail_change = m->changes + n;
}

void mem_env_die_after(struct mem_env *m, uint32_t n)
{
    m->last_change = m->changes + n;
}

uint32_t mem_env_changes(const struct mem_env *m)
{
    return m->changes;
}

void mem_env_fail_sync_after(struct mem_env *m, uint32_t n)
{
    m->fail_sync = n;
    m->sync_broken = m->sync_broken && n > 0;
}

void mem_env_shift_wall(struct mem_env *m, int64_t ms)
{
    m->wall_shift_ms += ms;
}

void mem_env_set_cold(struct mem_env *m, bool cold)
{
    m->cold = cold;
}

void mem_env_fail_reads(struct mem_env *m, bool fail)
{
    m->unreadable = fail;
}

uint64_t mem_env_loop_reads(const struct mem_env *m)
{
    return m->loop_reads;
}

void mem_env_fail_write_after(struct mem_env *m, uint32_t n)
{
    m->fail_write = n;
    m->write_broken = m->write_broken && n > 0;
}

uint8_t *mem_env_bytes(struct mem_env *m, const char *path, uint64_t *ret_size)
{
    int at = names_find(&m->disk.now, path);
    if (at < 0)
        return NULL;
    *ret_size = m->disk.now.list[at]->node->now.size;
    return m->disk.now.list[at]->node->now.data;
}

void mem_env_resize(struct mem_env *m, const char *path, uint64_t size)
{
    int at = names_find(&m->disk.now, path);
    ASSERT(at >= 0);
    struct node *node = m->disk.now.list[at]->node;
    image_resize(&node->now, size);
    image_set(&node->durable, &node->now);
}

static void copy_disk(struct mem_disk *to, const struct mem_disk *from)
{
    to->now.count = to->durable.count = 0;
    for (int i = 0; i < from->now.count; i++) {
        const struct name *name = from->now.list[i];
        struct node *node = NULL;
        if (name->node != NULL) {
            node = node_new();
            node->now = image_copy(&name->node->now);
            node->durable = image_copy(&name->node->now);
        }
        names_add(&to->now, name->path, name->is_dir, node);
        names_add(&to->durable, name->path, name->is_dir, node);
        node_unref(node);
    }
}

struct mem_disk *mem_env_save(struct mem_env *m)
{
    struct mem_disk *disk = must(calloc(1, sizeof(*disk)));
    copy_disk(disk, &m->disk);
    return disk;
}

void mem_env_restore(struct mem_env *m, const struct mem_disk *disk)
{
    names_clear(&m->disk.now);
    names_clear(&m->disk.durable);
    copy_disk(&m->disk, disk);
}

void mem_disk_free(struct mem_disk *disk)
{
    names_clear(&disk->now);
    names_clear(&disk->durable);
    free(disk);
}
