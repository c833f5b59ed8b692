/* SPDX-License-Identifier: Apache-2.0 */
/* Small files that are replaced as a whole: after a crash there is the old content or the new one, never a
 * mixture. For term and vote, identities, clean-stop marks.
 *
 * The content is followed by one line "#crc32c=xxxxxxxx" over all bytes before it; a text content thus stays
 * a text file that a person can read. Writing: name.tmp is written and synced, renamed to name, and the
 * directory is synced. */
#ifndef SLUICE_LOG_ATOMIC_FILE_H
#define SLUICE_LOG_ATOMIC_FILE_H

#include "common/base/err.h"
#include "common/env/env.h"
#include "common/log/log_path.h"

#define ATOMIC_FILE_MAX (64 * 1024) /* content of one such file */

/* Reads dir/name. On OK the content is in *ret_buf (one reference, len bytes, followed by a zero that is not
 * counted). ERR_NOT_FOUND, ERR_CORRUPT (checksum), ERR_TOO_LARGE, or the failure of the disk. */
enum err atomic_file_read(struct env *env, const char *dir, const char *name, struct iobuf **ret_buf);

/* Replaces dir/name and blocks until that is durable. After a failure either content may be there. For start
 * and stop, and the control plane's few KiB (env_disk.h). */
enum err atomic_file_write_wait(struct env *env, const char *dir, const char *name, const void *data,
                                size_t len);

/* The same without blocking. Owned by the caller until done; one write of a name at a time. */
struct atomic_file_write {
    void (*done)(struct atomic_file_write *w, enum err err); /* once, on the loop */
    /* private */
    struct env *env;
    struct env_file *file;
    struct env_io io;
    struct env_task task;
    enum err err;
    char dir[LOG_PATH_MAX], path[LOG_PATH_MAX], temp[LOG_PATH_MAX];
};
void atomic_file_write(struct atomic_file_write *w, struct env *env, const char *dir, const char *name,
                       const void *data, size_t len, void (*done)(struct atomic_file_write *w, enum err err));

/* Removes dir/name and blocks until that is durable. OK also when it was not there. */
enum err atomic_file_remove_wait(struct env *env, const char *dir, const char *name);

#endif
