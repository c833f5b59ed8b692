/* SPDX-License-Identifier: Apache-2.0 */
/* Files: synchronous calls on the caller's thread, requests for the disk threads. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/env_uv/euv.h"

#define FILE_MODE      0644
#define FILE_IOV_COUNT 64

struct euv_file {
    struct env_file base; /* first */
    atomic_uint refs;     /* dropped on any thread that sends from it or syncs it */
    atomic_bool revoked;  /* see env_file_revoke() */
    int fd;
    struct euv_fs *fs;     /* NULL: syncs of it never run together with others */
    struct euv_loop *loop; /* completions go there */
};

static const struct env_file_ops file_ops;

static struct euv_file *file_of(const struct env_file *file)
{
    return (struct euv_file *)(uintptr_t)file;
}

int euv_file_fd(const struct env_file *file)
{
    return file_of(file)->fd;
}

struct env_file *euv_file_ref(struct env_file *file)
{
    unsigned before = atomic_fetch_add_explicit(&file_of(file)->refs, 1, memory_order_relaxed);
    ASSERT(before > 0);
    return file;
}

struct euv_fs *euv_file_fs(const struct env_file *file)
{
    return file_of(file)->fs;
}

static void file_ref(struct env_file *file)
{
    euv_file_ref(file);
}

/* Acquires what the last one to drop a reference has done. */
static bool file_shared(const struct env_file *file)
{
    return atomic_load_explicit(&file_of(file)->refs, memory_order_acquire) > 1;
}

static void file_revoke(struct env_file *file)
{
    atomic_store_explicit(&file_of(file)->revoked, true, memory_order_release);
}

bool euv_file_revoked(const struct env_file *file)
{
    return atomic_load_explicit(&file_of(file)->revoked, memory_order_acquire);
}

static void file_close(struct env_file *base)
{
    struct euv_file *file = file_of(base);
    unsigned before = atomic_fetch_sub_explicit(&file->refs, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before > 1)
        return;
    close(file->fd); /* releases the lock too */
    free(file);
}

/* -- opening -- */

static int open_flags(int flags)
{
    return O_CLOEXEC | ((flags & ENV_OPEN_WRITE) ? O_RDWR : O_RDONLY) |
           ((flags & ENV_OPEN_CREATE) ? O_CREAT : 0) | ((flags & ENV_OPEN_EXCLUSIVE) ? O_EXCL : 0);
}

static enum err open_descriptor(const char *path, int flags, int *ret_fd)
{
    int fd;
    do {
        fd = open(path, open_flags(flags), FILE_MODE);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return err_from_errno(errno);
    if ((flags & ENV_OPEN_LOCK) && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        enum err err = errno == EWOULDBLOCK ? ERR_BUSY : err_from_errno(errno);
        close(fd);
        return err;
    }
    *ret_fd = fd;
    return OK;
}

enum err euv_file_open(struct env *env, const char *path, int flags, struct env_file **ret_file)
{
    int fd = -1;
    enum err err = open_descriptor(path, flags, &fd);
    if (err != OK)
        return err;
    struct euv_file *file = malloc(sizeof(*file));
    if (file == NULL) {
        close(fd);
        return ERR_NOMEM;
    }
    file->base.ops = &file_ops;
    atomic_init(&file->refs, 1);
    atomic_init(&file->revoked, false);
    file->fd = fd;
    file->loop = euv_loop_of(env);
    file->fs = flags & ENV_OPEN_WRITE ? euv_fs_of(file->loop->process, fd, path) : NULL;
    *ret_file = &file->base;
    return OK;
}

/* -- synchronous -- */

static enum err file_size(struct env_file *file, uint64_t *ret_size)
{
    struct stat st;
    if (fstat(euv_file_fd(file), &st) != 0)
        return err_from_errno(errno);
    *ret_size = (uint64_t)st.st_size;
    return OK;
}

static enum err fd_read(int fd, uint64_t offset, void *buf, size_t len, size_t *ret_len)
{
    size_t got = 0;
    while (got < len) {
        ssize_t n = pread(fd, (uint8_t *)buf + got, len - got, (off_t)(offset + got));
        if (n == 0)
            break;
        if (n > 0)
            got += (size_t)n;
        else if (errno != EINTR)
            return err_from_errno(errno);
    }
    *ret_len = got;
    return OK;
}

static enum err file_read(struct env_file *file, uint64_t offset, void *buf, size_t len, size_t *ret_len)
{
    return fd_read(euv_file_fd(file), offset, buf, len, ret_len);
}

/* Writes one window of iovecs completely; iov is ours to change. */
static enum err fd_write_window(int fd, uint64_t *offset, struct iovec *iov, int count)
{
    while (count > 0) {
        if (iov->iov_len == 0) {
            iov++;
            count--;
            continue;
        }
        ssize_t n = pwritev(fd, iov, count, (off_t)*offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 ? ERR_IO : err_from_errno(errno);
        *offset += (uint64_t)n;
        for (size_t left = (size_t)n; left > 0;) {
            size_t step = MIN(left, iov->iov_len);
            iov->iov_base = (uint8_t *)iov->iov_base + step;
            iov->iov_len -= step;
            left -= step;
            if (iov->iov_len == 0 && count > 0) {
                iov++;
                count--;
            }
        }
    }
    return OK;
}

static enum err file_write(struct env_file *file, uint64_t offset, const struct iovec *iov, int iov_count)
{
    struct iovec window[FILE_IOV_COUNT];
    for (int at = 0; at < iov_count;) {
        int count = MIN(iov_count - at, FILE_IOV_COUNT);
        for (int i = 0; i < count; i++)
            window[i] = iov[at + i];
        enum err err = fd_write_window(euv_file_fd(file), &offset, window, count);
        if (err != OK)
            return err;
        at += count;
    }
    return OK;
}

static enum err file_truncate(struct env_file *file, uint64_t size)
{
    int rc;
    do {
        rc = ftruncate(euv_file_fd(file), (off_t)size);
    } while (rc != 0 && errno == EINTR);
    return rc == 0 ? OK : err_from_errno(errno);
}

/* A file system without fallocate still gets the size. */
static enum err file_grow(struct env_file *file, uint64_t size_min)
{
    uint64_t size;
    enum err err = file_size(file, &size);
    if (err != OK || size >= size_min)
        return err;
    return file_truncate(file, size_min);
}

static enum err file_allocate(struct env_file *file, uint64_t offset, uint64_t len)
{
    int rc;
    if (len == 0)
        return OK;
    do {
        rc = fallocate(euv_file_fd(file), 0, (off_t)offset, (off_t)len);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
        return file_grow(file, offset + len);
    return rc == 0 ? OK : err_from_errno(errno);
}

static enum err file_sync_wait(struct env_file *file)
{
    return fdatasync(euv_file_fd(file)) == 0 ? OK : err_from_errno(errno);
}

/* -- on disk threads -- */

static enum err io_read(const struct env_io *io)
{
    size_t got = 0;
    enum err err = fd_read(euv_file_fd(io->target), io->offset, io->buf, io->len, &got);
    if (err == OK && got < io->len)
        return ERR_TRUNCATED;
    return err;
}

/* A sync is never repeated: after a failure the kernel may report success for data it has lost. */
static enum err io_do(struct env_io *io)
{
    switch ((enum env_io_op)io->op) {
    case ENV_IO_SYNC: return fdatasync(euv_file_fd(io->target)) == 0 ? OK : err_from_errno(errno);
    case ENV_IO_FS_SYNC: return syncfs(euv_file_fd(io->target)) == 0 ? OK : err_from_errno(errno);
    case ENV_IO_READ: return io_read(io);
    case ENV_IO_DIR_SYNC: return fsync((int)io->offset) == 0 ? OK : err_from_errno(errno);
    }
    UNREACHABLE();
}

void euv_io_run(struct list *node)
{
    struct env_io *io = CONTAINER_OF(node, struct env_io, link);
    euv_io_answer(io, io_do(io));
}

void euv_io_answer(struct env_io *io, enum err err)
{
    io->result = err;
    env_post(io->env, &io->mail);
}

static void io_done(struct env_msg *mail)
{
    struct env_io *io = CONTAINER_OF(mail, struct env_io, mail);
    euv_loop_of(io->env)->inflight--;
    if (io->op == ENV_IO_DIR_SYNC)
        close((int)io->offset);
    else
        file_close(io->target);
    io->done(io, (enum err)io->result);
}

void euv_io_submit(struct euv_loop *loop, struct env_io *io)
{
    struct euv_process *process = loop->process;
    io->env = &loop->env;
    io->mail.fn = io_done;
    list_init(&io->link);
    loop->inflight++;
    if (io->op == ENV_IO_READ)
        euv_pool_submit(&process->read, &io->link);
    else
        list_push_back(&loop->syncs, &io->link);
}

/* All syncs of a turn at once: a thread that has not seen the last of them could not take them together. */
void euv_io_flush(struct euv_loop *loop)
{
    if (!list_empty(&loop->syncs))
        euv_pool_submit_all(&loop->process->sync, &loop->syncs);
}

static void file_submit(struct env_file *file, struct env_io *io)
{
    euv_file_ref(file);
    euv_io_submit(file_of(file)->loop, io);
}

static const struct env_file_ops file_ops = {
    .close = file_close,
    .ref = file_ref,
    .shared = file_shared,
    .revoke = file_revoke,
    .revoked = euv_file_revoked,
    .cached = euv_file_cached,
    .size = file_size,
    .read = file_read,
    .write = file_write,
    .truncate = file_truncate,
    .allocate = file_allocate,
    .sync_wait = file_sync_wait,
    .submit = file_submit,
};
