/* SPDX-License-Identifier: Apache-2.0 */
/* Open files: synchronous calls and requests that complete later. */
#include <string.h>

#include "tests/sim/world/disk_int.h"
#include "tests/sim/world/net_int.h"

static const struct env_file_ops sim_file_ops;

static struct sim_file *file_of(struct env_file *file)
{
    return (struct sim_file *)file;
}

/* -- life -- */

static enum err open_inode(struct disk *disk, const char *path, int flags, struct inode **ret_inode)
{
    char name[PATH_MAX_LEN];
    struct inode *inode = path_find(disk, path), *dir = path_parent(disk, path, name);
    if (inode != NULL && (flags & ENV_OPEN_EXCLUSIVE))
        return ERR_EXISTS;
    if (inode != NULL && inode->is_dir)
        return ERR_INVALID;
    if (inode != NULL && (flags & ENV_OPEN_LOCK) && inode->locker != NULL)
        return ERR_BUSY;
    if (inode != NULL) {
        *ret_inode = inode_ref(inode);
        return OK;
    }
    if (!(flags & ENV_OPEN_CREATE) || dir == NULL)
        return ERR_NOT_FOUND;
    if (disk->capacity != UINT64_MAX && disk_used(disk->process) >= disk->capacity) {
        disk_refuse(disk);
        return ERR_NO_SPACE;
    }
    disk_change_begin(disk);
    inode = inode_new(disk, false);
    names_set(&dir->v_names, name, inode);
    dir_op_add(disk, DIR_LINK, dir, name, NULL, NULL, inode);
    *ret_inode = inode;
    return OK;
}

enum err sim_file_open(struct env *env, const char *path, int flags, struct env_file **ret_file)
{
    struct disk *disk = disk_of(env);
    struct inode *inode;
    enum err err = open_inode(disk, path, flags, &inode);
    if (err != OK)
        return err;
    size_t path_size = strlen(path) + 1;
    struct sim_file *file = host_alloc(sizeof(*file) + path_size);
    file->base.ops = &sim_file_ops;
    file->refs = 1;
    file->inode = inode;
    file->process = disk->process;
    file->loop = loop_of(env);
    file->writable = (flags & ENV_OPEN_WRITE) != 0;
    file->locks = (flags & ENV_OPEN_LOCK) != 0;
    file->revoked = false;
    memcpy(file->path, path, path_size);
    if (file->locks)
        inode->locker = file;
    list_push_back(&disk->handles, &file->link);
    *ret_file = &file->base;
    disk_change_end(
        disk); /* if it was made: the process may die here, and holds nothing that is not in a list */
    return OK;
}

static void file_free(struct sim_file *file)
{
    if (file->locks)
        file->inode->locker = NULL;
    list_remove(&file->link);
    inode_unref(file->inode);
    host_free(file);
}

static void file_close(struct env_file *base)
{
    struct sim_file *file = file_of(base);
    ASSERT(file->refs > 0);
    if (--file->refs == 0)
        file_free(file);
}

struct env_file *sim_file_ref(struct env_file *file)
{
    file_of(file)->refs++;
    return file;
}

static void file_ref(struct env_file *file)
{
    sim_file_ref(file);
}

static bool file_shared(const struct env_file *file)
{
    return ((const struct sim_file *)file)->refs > 1;
}

static void file_revoke(struct env_file *file)
{
    file_of(file)->revoked = true;
}

bool sim_file_revoked(const struct env_file *file)
{
    return ((const struct sim_file *)file)->revoked;
}

/* Bad luck: the kernel has dropped the pages. */
static bool file_cached(struct env_file *file, uint64_t offset, size_t len)
{
    const struct inode *inode = file_of(file)->inode;
    for (uint64_t i = offset / PAGE_BYTES; i * PAGE_BYTES < offset + len && i < inode->slot_count; i++)
        if (inode->flags[i] & PAGE_ROTTEN)
            return false;
    return !world_unlucky(file_of(file)->process->world, 4);
}

void handles_drop(struct disk *disk)
{
    while (!list_empty(&disk->handles))
        file_free(CONTAINER_OF(disk->handles.next, struct sim_file, link));
}

/* -- synchronous -- */

static enum err file_size(struct env_file *file, uint64_t *ret_size)
{
    *ret_size = file_of(file)->inode->v_size;
    return OK;
}

enum err sim_file_read(struct env_file *base, uint64_t offset, void *buf, size_t len, size_t *ret_len)
{
    struct sim_file *file = file_of(base);
    enum err err = disk_meets(file->process->disk, DISK_READ, file->path);
    if (err != OK)
        return err;
    loop_spend(file->loop, 1 + len / 8192);
    *ret_len = inode_read(file->inode, offset, buf, len);
    return OK;
}

static enum err write_pieces(struct sim_file *file, uint64_t offset, const struct iovec *iov, int iov_count)
{
    for (int i = 0; i < iov_count; i++) {
        enum err err = inode_write(file->inode, offset, iov[i].iov_base, iov[i].iov_len);
        if (err != OK)
            return err;
        offset += iov[i].iov_len;
    }
    return OK;
}

/* A write that fails may have done a part of its work. */
static enum err write_fails(struct sim_file *file, uint64_t offset, const struct iovec *iov, int iov_count,
                            enum err err)
{
    struct world *world = file->process->world;
    if (iov_count > 0 && iov[0].iov_len > 0 && world_below(world, 2) == 0) {
        struct iovec part = {.iov_base = iov[0].iov_base, .iov_len = world_below(world, iov[0].iov_len + 1)};
        write_pieces(file, offset, &part, 1);
    }
    return err;
}

static enum err file_write(struct env_file *base, uint64_t offset, const struct iovec *iov, int iov_count)
{
    struct sim_file *file = file_of(base);
    struct disk *disk = file->process->disk;
    if (!file->writable)
        return ERR_PERMISSION;
    disk_change_begin(disk);
    enum err err = disk_meets(disk, DISK_WRITE, file->path);
    if (err != OK)
        return write_fails(file, offset, iov, iov_count, err);
    err = write_pieces(file, offset, iov, iov_count);
    if (err == ERR_NO_SPACE)
        disk_refuse(disk);
    loop_spend(file->loop, 2);
    if (world_unlucky(disk->process->world, 50))
        inode_write_back(file->inode);
    disk_change_end(disk);
    return err;
}

static enum err file_truncate(struct env_file *base, uint64_t size)
{
    struct sim_file *file = file_of(base);
    struct disk *disk = file->process->disk;
    if (!file->writable)
        return ERR_PERMISSION;
    disk_change_begin(disk);
    enum err err = disk_meets(disk, DISK_WRITE, file->path);
    if (err == OK)
        inode_truncate(file->inode, size);
    disk_change_end(disk);
    return err;
}

/* Holes read as zeros and are not charged: room is promised to nobody here. */
static enum err file_allocate(struct env_file *base, uint64_t offset, uint64_t len)
{
    struct sim_file *file = file_of(base);
    struct disk *disk = file->process->disk;
    if (!file->writable)
        return ERR_PERMISSION;
    if (disk->capacity != UINT64_MAX && disk_used(disk->process) + len > disk->capacity) {
        disk_refuse(disk);
        return ERR_NO_SPACE;
    }
    disk_change_begin(disk);
    if (len > 0 && offset + len > file->inode->v_size)
        inode_truncate(file->inode, offset + len);
    disk_change_end(disk);
    return OK;
}

static enum err file_sync_wait(struct env_file *base)
{
    struct sim_file *file = file_of(base);
    struct disk *disk = file->process->disk;
    disk_change_begin(disk);
    enum err err = disk_meets(disk, DISK_SYNC, file->path);
    loop_spend(file->loop,
               disk_takes_us(disk, loop_now(file->loop), disk->process->world->options.disk_sync_us));
    struct capture *capture = capture_new(disk);
    capture_add_file(capture, file->inode);
    capture_finish(capture, err == OK);
    disk_change_end(disk);
    return err;
}

/* -- requests -- */

struct disk_job {
    struct job job; /* first */
    struct env_io *io;
    struct sim_file *file;   /* one reference; NULL: a directory */
    struct capture *capture; /* NULL: a read, or a request that failed at once */
    enum err err;            /* fails with this */
};

static void io_done(struct env_msg *mail)
{
    struct env_io *io = CONTAINER_OF(mail, struct env_io, mail);
    loop_of(io->env)->inflight--;
    if (io->op != ENV_IO_DIR_SYNC)
        file_close(io->target);
    io->done(io, (enum err)io->result);
}

static enum err job_read(const struct disk_job *job)
{
    size_t got = inode_read(job->file->inode, job->io->offset, job->io->buf, job->io->len);
    return got < job->io->len ? ERR_TRUNCATED : OK;
}

static void on_disk_job(struct world_event *event)
{
    struct disk_job *job = (struct disk_job *)CONTAINER_OF(event, struct job, event);
    struct env_io *io = job->io;
    enum err err = job->err;
    if (job->capture != NULL)
        capture_finish(job->capture, err == OK);
    else if (err == OK && io->op == ENV_IO_READ)
        err = job_read(job);
    world_mix(job->job.process->world, (uint64_t)io->op << 32 | (uint32_t)-err);
    list_remove(&job->job.link);
    host_free(job);
    io->result = err;
    io->mail.fn = io_done;
    env_post(io->env, &io->mail);
}

static struct disk_job *job_start(struct loop *loop, struct env_io *io, uint32_t base_us)
{
    struct process *process = loop->process;
    struct disk_job *job = host_alloc(sizeof(*job));
    job->job.process = process;
    job->job.loop = loop;
    job->job.event.fn = on_disk_job;
    job->io = io;
    io->env = &loop->env;
    list_push_back(&process->jobs, &job->job.link);
    loop->inflight++;
    uint64_t now_us = loop_now(loop);
    world_at(process->world, &job->job.event, now_us + disk_takes_us(process->disk, now_us, base_us));
    return job;
}

static void file_submit(struct env_file *base, struct env_io *io)
{
    struct sim_file *file = file_of(base);
    struct disk *disk = file->process->disk;
    const struct world_options *options = &disk->process->world->options;
    bool is_read = io->op == ENV_IO_READ;
    if (!is_read)
        disk_change_begin(disk);
    struct disk_job *job = job_start(file->loop, io, is_read ? options->disk_read_us : options->disk_sync_us);
    job->file = file_of(sim_file_ref(base));
    job->err = disk_meets(disk, is_read ? DISK_READ : DISK_SYNC, file->path);
    if (is_read)
        return;
    job->capture = capture_new(disk);
    if (io->op == ENV_IO_FS_SYNC)
        capture_add_all(job->capture, disk);
    else
        capture_add_file(job->capture, file->inode);
    disk_change_end(disk);
}

void sim_dir_sync(struct env *env, const char *path, struct env_io *io)
{
    struct disk *disk = disk_of(env);
    struct inode *dir = path_find(disk, path);
    disk_change_begin(disk);
    struct disk_job *job = job_start(loop_of(env), io, disk->process->world->options.disk_sync_us);
    if (dir == NULL || !dir->is_dir) {
        job->err = ERR_NOT_FOUND;
        return;
    }
    job->err = disk_meets(disk, DISK_SYNC, path);
    job->capture = capture_new(disk);
    capture_add_dir(job->capture, dir);
    disk_change_end(disk);
}

static const struct env_file_ops sim_file_ops = {
    .close = file_close,
    .ref = file_ref,
    .shared = file_shared,
    .revoke = file_revoke,
    .revoked = sim_file_revoked,
    .cached = file_cached,
    .size = file_size,
    .read = sim_file_read,
    .write = file_write,
    .truncate = file_truncate,
    .allocate = file_allocate,
    .sync_wait = file_sync_wait,
    .submit = file_submit,
};
