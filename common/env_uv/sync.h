/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of env_uv: syncs of one file system, together (sync.c). */
#ifndef SLUICE_ENV_UV_SYNC_H
#define SLUICE_ENV_UV_SYNC_H

#include "common/env/env_ops.h"

struct euv_pool;
struct euv_process;

/* A file system that files of ours are on (sync.c). What one fdatasync and one syncfs take, on average, and
 * how many there were: under the sync pool's mutex. */
struct euv_fs {
    uint64_t dev;
    int fd;        /* for syncfs; never closed before the end, so that it sees every error */
    bool together; /* syncfs may be used */
    uint64_t one_us, together_us;
    uint64_t one_count, together_count;
};
#define EUV_FS_MAX 8

struct euv_fs *euv_file_fs(const struct env_file *file); /* NULL: opened for reading, or not known */
/* The file system of an open file at path; NULL when there are too many. */
struct euv_fs *euv_fs_of(struct euv_process *process, int fd, const char *path);
void euv_fs_free(struct euv_process *process);
void euv_sync_take(struct euv_pool *pool, struct list *batch);
void euv_sync_run(struct euv_pool *pool, struct list *batch);
void euv_io_answer(struct env_io *io, enum err err); /* on a disk thread */

#endif
