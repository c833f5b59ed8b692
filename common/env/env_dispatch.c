/* SPDX-License-Identifier: Apache-2.0 */
/* The public functions of the seam, each handed to the implementation's table. */
#include "common/base/assert.h"
#include "common/env/env_ops.h"

/* -- clock, workers, loops -- */

uint64_t env_now_us(struct env *env)
{
    return env->ops->now_us(env);
}

int64_t env_wall_ms(struct env *env)
{
    return env->ops->wall_ms(env);
}

void env_random(struct env *env, void *buf, size_t len)
{
    env->ops->random(env, buf, len);
}

void env_work_submit(struct env *env, struct env_work *w)
{
    ASSERT(w->work != NULL && w->done != NULL);
    w->env = env;
    env->ops->work_submit(env, w);
}

struct env *env_spawn(struct env *parent, const char *name, struct env_msg *start_msg)
{
    return parent->ops->spawn(parent, name, start_msg);
}

void env_stop(struct env *env)
{
    env->ops->stop(env);
}

unsigned env_cpu_count(struct env *env)
{
    return env->ops->cpu_count(env);
}

uint32_t env_files_max(struct env *env)
{
    return env->ops->files_max(env);
}

void env_boot_id(struct env *env, char out[37])
{
    env->ops->boot_id(env, out);
}

/* -- network -- */

enum err env_listen(struct env *env, const struct env_addr *addr, bool shared,
                    const struct env_listener_handler *handler, void *ctx, struct env_listener **ret_listener,
                    struct env_addr *ret_bound)
{
    ASSERT(handler->accepted != NULL);
    return env->ops->net->listen(env, addr, shared, handler, ctx, ret_listener, ret_bound);
}

void env_listener_close(struct env_listener *listener)
{
    listener->ops->close(listener);
}

static void handler_check(const struct env_conn_handler *handler)
{
    ASSERT(handler->alloc != NULL && handler->read != NULL && handler->closed != NULL);
}

void env_conn_start(struct env_conn *conn, const struct env_conn_handler *handler, void *ctx)
{
    handler_check(handler);
    conn->ops->start(conn, handler, ctx);
}

struct env_conn *env_connect(struct env *env, const struct env_addr *addr,
                             const struct env_conn_handler *handler, void *ctx)
{
    handler_check(handler);
    return env->ops->net->connect(env, addr, handler, ctx);
}

void env_conn_write(struct env_conn *conn, struct iobuf *buf, size_t off, size_t len)
{
    ASSERT(off <= buf->cap && len <= buf->cap - off);
    if (len > 0)
        conn->ops->write(conn, buf, buf->data + off, len);
}

void env_conn_write_view(struct env_conn *conn, struct iobuf *owner, const void *p, size_t len)
{
    if (len == 0)
        return;
    const uint8_t *from = p;
    ASSERT(from >= owner->data && from + len <= owner->data + owner->cap);
    conn->ops->write(conn, owner, p, len);
}

void env_conn_write_file(struct env_conn *conn, struct env_file *file, uint64_t offset, size_t len)
{
    if (len > 0)
        conn->ops->write_file(conn, file, offset, len);
}

size_t env_conn_queued(const struct env_conn *conn)
{
    return conn->ops->queued(conn);
}

void env_conn_set_high_mark(struct env_conn *conn, size_t high_bytes)
{
    conn->ops->set_high_mark(conn, high_bytes);
}

void env_conn_pause(struct env_conn *conn)
{
    conn->ops->pause(conn);
}

void env_conn_resume(struct env_conn *conn)
{
    conn->ops->resume(conn);
}

void env_conn_close(struct env_conn *conn)
{
    conn->ops->close(conn);
}

/* -- files -- */

enum err env_file_open(struct env *env, const char *path, int flags, struct env_file **ret_file)
{
    ASSERT((flags & ENV_OPEN_EXCLUSIVE) == 0 || (flags & ENV_OPEN_CREATE) != 0);
    return env->ops->disk->file_open(env, path, flags, ret_file);
}

void env_file_close(struct env_file *file)
{
    file->ops->close(file);
}

struct env_file *env_file_ref(struct env_file *file)
{
    file->ops->ref(file);
    return file;
}

bool env_file_shared(const struct env_file *file)
{
    return file->ops->shared(file);
}

void env_file_revoke(struct env_file *file)
{
    file->ops->revoke(file);
}

bool env_file_revoked(const struct env_file *file)
{
    return file->ops->revoked(file);
}

bool env_file_cached(struct env_file *file, uint64_t offset, size_t len)
{
    return len == 0 || file->ops->cached(file, offset, len);
}

enum err env_file_size(struct env_file *file, uint64_t *ret_size)
{
    return file->ops->size(file, ret_size);
}

enum err env_file_read(struct env_file *file, uint64_t offset, void *buf, size_t len, size_t *ret_len)
{
    return file->ops->read(file, offset, buf, len, ret_len);
}

enum err env_file_write(struct env_file *file, uint64_t offset, const struct iovec *iov, int iov_count)
{
    ASSERT(iov_count >= 0);
    return file->ops->write(file, offset, iov, iov_count);
}

enum err env_file_truncate(struct env_file *file, uint64_t size)
{
    return file->ops->truncate(file, size);
}

enum err env_file_allocate(struct env_file *file, uint64_t offset, uint64_t len)
{
    return file->ops->allocate(file, offset, len);
}

enum err env_file_sync_wait(struct env_file *file)
{
    return file->ops->sync_wait(file);
}

static void file_submit(struct env_file *file, struct env_io *io, enum env_io_op op,
                        void (*done)(struct env_io *io, enum err err))
{
    ASSERT(done != NULL);
    io->op = op;
    io->done = done;
    io->target = file;
    file->ops->submit(file, io);
}

void env_file_sync(struct env_file *file, struct env_io *io, void (*done)(struct env_io *io, enum err err))
{
    file_submit(file, io, ENV_IO_SYNC, done);
}

void env_fs_sync(struct env_file *file, struct env_io *io, void (*done)(struct env_io *io, enum err err))
{
    file_submit(file, io, ENV_IO_FS_SYNC, done);
}

void env_file_read_async(struct env_file *file, uint64_t offset, void *buf, size_t len, struct env_io *io,
                         void (*done)(struct env_io *io, enum err err))
{
    io->offset = offset;
    io->buf = buf;
    io->len = len;
    file_submit(file, io, ENV_IO_READ, done);
}

void env_dir_sync(struct env *env, const char *path, struct env_io *io,
                  void (*done)(struct env_io *io, enum err err))
{
    ASSERT(done != NULL);
    io->op = ENV_IO_DIR_SYNC;
    io->done = done;
    io->target = NULL;
    env->ops->disk->dir_sync(env, path, io);
}

/* -- directories -- */

enum err env_dir_sync_wait(struct env *env, const char *path)
{
    return env->ops->disk->dir_sync_wait(env, path);
}

enum err env_mkdir(struct env *env, const char *path)
{
    return env->ops->disk->mkdir(env, path);
}

enum err env_rename(struct env *env, const char *from, const char *to)
{
    return env->ops->disk->rename(env, from, to);
}

enum err env_unlink(struct env *env, const char *path)
{
    return env->ops->disk->unlink(env, path);
}

enum err env_rmdir(struct env *env, const char *path)
{
    return env->ops->disk->rmdir(env, path);
}

enum err env_path_exists(struct env *env, const char *path, bool *ret_is_dir)
{
    bool is_dir = false;
    enum err err = env->ops->disk->path_exists(env, path, &is_dir);
    if (err == OK && ret_is_dir != NULL)
        *ret_is_dir = is_dir;
    return err;
}

enum err env_dir_list(struct env *env, const char *path,
                      bool (*each)(void *ctx, const char *name, bool is_dir), void *ctx)
{
    return env->ops->disk->dir_list(env, path, each, ctx);
}

enum err env_disk_space(struct env *env, const char *path, uint64_t *ret_free, uint64_t *ret_total)
{
    return env->ops->disk->disk_space(env, path, ret_free, ret_total);
}
