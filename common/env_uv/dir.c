/* SPDX-License-Identifier: Apache-2.0 */
/* Directories and paths. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/env_uv/euv.h"

#define DIR_MODE 0755

static enum err rc_err(int rc)
{
    return rc == 0 ? OK : err_from_errno(errno);
}

/* -- syncing a directory -- */

static enum err dir_open(const char *path, int *ret_fd)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_from_errno(errno);
    *ret_fd = fd;
    return OK;
}

static enum err dir_sync_wait(struct env *env, const char *path)
{
    int fd = -1;
    (void)env;
    enum err err = dir_open(path, &fd);
    if (err != OK)
        return err;
    err = rc_err(fsync(fd));
    close(fd);
    return err;
}

static void dir_sync_failed(struct env_msg *mail)
{
    struct env_io *io = CONTAINER_OF(mail, struct env_io, mail);
    euv_loop_of(io->env)->inflight--;
    io->done(io, (enum err)io->result);
}

/* The descriptor travels in io->offset: path need not outlive the call. */
static void dir_sync(struct env *env, const char *path, struct env_io *io)
{
    int fd = -1;
    enum err err = dir_open(path, &fd);
    if (err == OK) {
        io->offset = (uint64_t)fd;
        euv_io_submit(euv_loop_of(env), io);
        return;
    }
    io->env = env;
    io->result = err;
    io->mail.fn = dir_sync_failed;
    euv_loop_of(env)->inflight++;
    env_post(env, &io->mail);
}

/* -- entries -- */

static enum err dir_make(struct env *env, const char *path)
{
    (void)env;
    return rc_err(mkdir(path, DIR_MODE));
}

static enum err dir_rename(struct env *env, const char *from, const char *to)
{
    (void)env;
    return rc_err(rename(from, to));
}

static enum err dir_unlink(struct env *env, const char *path)
{
    (void)env;
    return rc_err(unlink(path));
}

static enum err dir_remove(struct env *env, const char *path)
{
    (void)env;
    return rc_err(rmdir(path));
}

static enum err path_exists(struct env *env, const char *path, bool *ret_is_dir)
{
    struct stat st;
    (void)env;
    if (stat(path, &st) != 0)
        return errno == ENOTDIR ? ERR_NOT_FOUND : err_from_errno(errno);
    *ret_is_dir = S_ISDIR(st.st_mode);
    return OK;
}

static enum err disk_space(struct env *env, const char *path, uint64_t *ret_free, uint64_t *ret_total)
{
    struct statvfs vfs;
    (void)env;
    if (statvfs(path, &vfs) != 0)
        return err_from_errno(errno);
    *ret_free = (uint64_t)vfs.f_bavail * vfs.f_frsize;
    *ret_total = (uint64_t)vfs.f_blocks * vfs.f_frsize;
    return OK;
}

/* -- listing -- */

struct dir_entry {
    char *name;
    bool is_dir;
};

struct dir_names {
    struct dir_entry *entries;
    size_t count, cap;
};

static bool entry_is_dir(DIR *dir, const struct dirent *entry)
{
    struct stat st;
    if (entry->d_type != DT_UNKNOWN && entry->d_type != DT_LNK)
        return entry->d_type == DT_DIR;
    return fstatat(dirfd(dir), entry->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode);
}

static enum err names_add(struct dir_names *names, const char *name, bool is_dir)
{
    if (names->count == names->cap) {
        size_t cap = names->cap > 0 ? names->cap * 2 : 64;
        struct dir_entry *entries = realloc(names->entries, cap * sizeof(*entries));
        if (entries == NULL)
            return ERR_NOMEM;
        names->entries = entries;
        names->cap = cap;
    }
    char *copy = strdup(name);
    if (copy == NULL)
        return ERR_NOMEM;
    names->entries[names->count++] = (struct dir_entry){.name = copy, .is_dir = is_dir};
    return OK;
}

static enum err names_collect(DIR *dir, struct dir_names *names)
{
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (entry == NULL)
            return err_from_errno(errno);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        enum err err = names_add(names, entry->d_name, entry_is_dir(dir, entry));
        if (err != OK)
            return err;
    }
}

static int names_order(const void *a, const void *b)
{
    return strcmp(((const struct dir_entry *)a)->name, ((const struct dir_entry *)b)->name);
}

static void names_free(struct dir_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->entries[i].name);
    free(names->entries);
}

enum err euv_dir_list(struct env *env, const char *path,
                      bool (*each)(void *ctx, const char *name, bool is_dir), void *ctx)
{
    struct dir_names names = {.entries = NULL};
    (void)env;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return err_from_errno(errno);
    enum err err = names_collect(dir, &names);
    closedir(dir);
    if (err == OK && names.count > 0)
        qsort(names.entries, names.count, sizeof(*names.entries), names_order);
    for (size_t i = 0; err == OK && i < names.count; i++)
        if (!each(ctx, names.entries[i].name, names.entries[i].is_dir))
            break;
    names_free(&names);
    return err;
}

const struct env_disk_ops euv_disk_ops = {
    .file_open = euv_file_open,
    .dir_sync_wait = dir_sync_wait,
    .dir_sync = dir_sync,
    .mkdir = dir_make,
    .rename = dir_rename,
    .unlink = dir_unlink,
    .rmdir = dir_remove,
    .path_exists = path_exists,
    .dir_list = euv_dir_list,
    .disk_space = disk_space,
};
