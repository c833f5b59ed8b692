/* SPDX-License-Identifier: Apache-2.0 */
#include "common/log/atomic_file.h"

#include <stdio.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/crc32c.h"

#define TRAILER_SIZE 17 /* "#crc32c=" 8 digits "\n" */

static void trailer_format(char out[TRAILER_SIZE + 1], const void *data, size_t len)
{
    snprintf(out, TRAILER_SIZE + 1, "#crc32c=%08x\n", crc32c(0, data, len));
}

static enum err read_whole(struct env_file *file, struct iobuf **ret_buf)
{
    uint64_t size;
    enum err err = env_file_size(file, &size);
    if (err != OK)
        return err;
    if (size > ATOMIC_FILE_MAX + TRAILER_SIZE)
        return ERR_TOO_LARGE;
    struct iobuf *buf = iobuf_get(NULL, (size_t)size + 1);
    if (buf == NULL)
        return ERR_NOMEM;
    size_t len = 0;
    err = env_file_read(file, 0, buf->data, (size_t)size, &len);
    if (err != OK) {
        iobuf_unref(buf);
        return err;
    }
    buf->len = (uint32_t)len;
    *ret_buf = buf;
    return OK;
}

/* Checks the trailer and takes it off. */
static enum err check_trailer(struct iobuf *buf)
{
    char trailer[TRAILER_SIZE + 1];
    if (buf->len < TRAILER_SIZE)
        return ERR_CORRUPT;
    uint32_t len = buf->len - TRAILER_SIZE;
    trailer_format(trailer, buf->data, len);
    if (memcmp(buf->data + len, trailer, TRAILER_SIZE) != 0)
        return ERR_CORRUPT;
    buf->data[len] = 0;
    buf->len = len;
    return OK;
}

enum err atomic_file_read(struct env *env, const char *dir, const char *name, struct iobuf **ret_buf)
{
    char path[LOG_PATH_MAX];
    struct env_file *file;
    struct iobuf *buf = NULL;
    enum err err = log_path(path, dir, name);
    if (err == OK)
        err = env_file_open(env, path, ENV_OPEN_READ, &file);
    if (err != OK)
        return err;
    err = read_whole(file, &buf);
    env_file_close(file);
    if (err == OK)
        err = check_trailer(buf);
    if (err != OK) {
        iobuf_unref(buf);
        return err;
    }
    *ret_buf = buf;
    return OK;
}

static enum err make_paths(struct atomic_file_write *w, struct env *env, const char *dir, const char *name)
{
    char temp[LOG_PATH_MAX];
    w->env = env;
    w->file = NULL;
    snprintf(w->dir, sizeof(w->dir), "%s", dir);
    if (snprintf(temp, sizeof(temp), "%s.tmp", name) >= (int)sizeof(temp))
        return ERR_TOO_LARGE;
    enum err err = log_path(w->path, dir, name);
    return err != OK ? err : log_path(w->temp, dir, temp);
}

/* The first step of both forms: the new content in the temporary file, not yet durable. */
static enum err write_temp(struct atomic_file_write *w, const void *data, size_t len)
{
    if (len > ATOMIC_FILE_MAX)
        return ERR_TOO_LARGE;
    enum err err = env_file_open(w->env, w->temp, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &w->file);
    if (err != OK)
        return err;
    char trailer[TRAILER_SIZE + 1];
    trailer_format(trailer, data, len);
    err = env_file_truncate(w->file, 0);
    struct iovec iov[2] = {{.iov_base = (void *)(uintptr_t)data, .iov_len = len},
                           {.iov_base = trailer, .iov_len = TRAILER_SIZE}};
    if (err == OK)
        err = env_file_write(w->file, 0, len > 0 ? iov : iov + 1, len > 0 ? 2 : 1);
    return err;
}

static void drop_file(struct atomic_file_write *w)
{
    if (w->file != NULL)
        env_file_close(w->file);
    w->file = NULL;
}

enum err atomic_file_write_wait(struct env *env, const char *dir, const char *name, const void *data,
                                size_t len)
{
    struct atomic_file_write w;
    enum err err = make_paths(&w, env, dir, name);
    if (err == OK)
        err = write_temp(&w, data, len);
    if (err == OK)
        err = env_file_sync_wait(w.file);
    drop_file(&w);
    if (err == OK)
        err = env_rename(env, w.temp, w.path);
    if (err == OK)
        err = env_dir_sync_wait(env, dir);
    return err;
}

static void dir_synced(struct env_io *io, enum err err)
{
    struct atomic_file_write *w = CONTAINER_OF(io, struct atomic_file_write, io);
    w->done(w, err);
}

static void temp_synced(struct env_io *io, enum err err)
{
    struct atomic_file_write *w = CONTAINER_OF(io, struct atomic_file_write, io);
    drop_file(w);
    if (err == OK)
        err = env_rename(w->env, w->temp, w->path);
    if (err == OK)
        env_dir_sync(w->env, w->dir, &w->io, dir_synced);
    else
        w->done(w, err);
}

static void report_failure(struct env_task *task)
{
    struct atomic_file_write *w = CONTAINER_OF(task, struct atomic_file_write, task);
    drop_file(w);
    w->done(w, w->err);
}

void atomic_file_write(struct atomic_file_write *w, struct env *env, const char *dir, const char *name,
                       const void *data, size_t len, void (*done)(struct atomic_file_write *w, enum err err))
{
    w->done = done;
    w->err = make_paths(w, env, dir, name);
    if (w->err == OK)
        w->err = write_temp(w, data, len);
    env_task_init(&w->task, report_failure);
    if (w->err == OK)
        env_file_sync(w->file, &w->io, temp_synced);
    else
        env_defer(env, &w->task);
}

enum err atomic_file_remove_wait(struct env *env, const char *dir, const char *name)
{
    char path[LOG_PATH_MAX];
    enum err err = log_path(path, dir, name);
    if (err == OK)
        err = env_unlink(env, path);
    if (err == ERR_NOT_FOUND)
        return OK;
    return err == OK ? env_dir_sync_wait(env, dir) : err;
}
