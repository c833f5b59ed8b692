/* SPDX-License-Identifier: Apache-2.0 */
/* Files and directories. Part of env.h; include that. Paths are the process's own; the simulator gives each
 * process a disk of its own.
 *
 * Writes go to the page cache and return at once: only a completed sync makes them durable. A crash keeps,
 * drops or tears anything that was not synced, in any order, including creations, renames and removals whose
 * directory was not synced. Truncation counts as a write. */
#ifndef SLUICE_ENV_ENV_DISK_H
#define SLUICE_ENV_ENV_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "common/base/err.h"
#include "common/base/list.h"
#include "common/env/env_msg.h"

struct env;
struct env_file;

/* One asynchronous disk request, owned by the caller until done. */
struct env_io {
    void (*done)(struct env_io *io, enum err err); /* once, on the loop (E2, E3) */
    /* private to the implementation */
    struct env *env;
    struct list link;
    void *target;
    uint64_t offset;
    void *buf;
    size_t len;
    int op;
    int result;
    struct env_msg mail;
};

enum env_open_flags {
    ENV_OPEN_READ = 0,
    ENV_OPEN_WRITE = 1,     /* read and write */
    ENV_OPEN_CREATE = 2,    /* create when missing */
    ENV_OPEN_EXCLUSIVE = 4, /* with CREATE: ERR_EXISTS when it is there */
    ENV_OPEN_LOCK =
        8, /* take an exclusive lock for the life of the handle: ERR_BUSY when another process holds it */
};

/* Synchronous: quick metadata and page-cache calls. -- */

/* Opens; the handle has one reference. ERR_NOT_FOUND, ERR_EXISTS, ERR_PERMISSION, ERR_FD_LIMIT, ERR_NO_SPACE,
 * ERR_IO. */
enum err env_file_open(struct env *env, const char *path, int flags, struct env_file **ret_file);

/* Drops a reference; the descriptor closes with the last one (connections that still send from it hold
 * theirs). Never fails, never syncs. */
void env_file_close(struct env_file *file);

/* One more reference, on any thread; each is dropped with env_file_close(). Returns file. */
struct env_file *env_file_ref(struct env_file *file);

/* Whether somebody else holds a reference: a connection that sends from it, a request under way. Others drop
 * theirs on any thread, and take none while the caller has the only one: false stays true until the caller
 * hands the file on. */
bool env_file_shared(const struct env_file *file);

/* The bytes behind this handle are about to change under readers: no range of it that is queued on a
 * connection is sent any more, such a connection closes (ERR_TRUNCATED) when its turn comes. Everything else
 * goes on working. On any thread. */
void env_file_revoke(struct env_file *file);

/* Whether that was called. For what stands between an owner and a connection (TLS). On any thread. */
bool env_file_revoked(const struct env_file *file);

/* Whether a read (or sending) of the range would likely not wait for the disk. A hint: it may be wrong, and
 * false is never wrong to say. */
bool env_file_cached(struct env_file *file, uint64_t offset, size_t len);

/* Present size in bytes. */
enum err env_file_size(struct env_file *file, uint64_t *ret_size);

/* Reads up to len bytes; *ret_len < len only at the end of the file. Meant for ranges that are likely in the
 * page cache, and for start-up. */
enum err env_file_read(struct env_file *file, uint64_t offset, void *buf, size_t len, size_t *ret_len);

/* Writes everything or fails (short writes are continued). After a failure the contents of the range are
 * unknown: the log's owner takes it offline. */
enum err env_file_write(struct env_file *file, uint64_t offset, const struct iovec *iov, int iov_count);

/* Cuts the file, or extends it with zeros. */
enum err env_file_truncate(struct env_file *file, uint64_t size);

/* Makes room for len bytes from offset without changing what reads return below the size; the size grows to
 * cover it. */
enum err env_file_allocate(struct env_file *file, uint64_t offset, uint64_t len);

/* Blocks until durable. Only at start and stop, when a log is cut, and for files of the control plane of at
 * most a few KiB; never on a shard's hot path. */
enum err env_file_sync_wait(struct env_file *file);
enum err env_dir_sync_wait(struct env *env, const char *path);

/* Changes of a directory. Durable after a sync of that directory (both, for a rename across two).
 * ERR_NOT_FOUND, ERR_PERMISSION, ERR_NO_SPACE, ERR_IO. */
enum err env_mkdir(struct env *env, const char *path);                  /* ERR_EXISTS when it is there */
enum err env_rename(struct env *env, const char *from, const char *to); /* replaces to, atomically */
enum err env_unlink(struct env *env, const char *path);
enum err env_rmdir(struct env *env, const char *path);                         /* must be empty */
enum err env_path_exists(struct env *env, const char *path, bool *ret_is_dir); /* OK or ERR_NOT_FOUND */

/* Calls each(ctx, name, is_dir) for every entry but "." and "..", in byte order of the names. each returns
 * false to stop. */
enum err env_dir_list(struct env *env, const char *path,
                      bool (*each)(void *ctx, const char *name, bool is_dir), void *ctx);

/* Bytes free for us and total of the file system that holds path. */
enum err env_disk_space(struct env *env, const char *path, uint64_t *ret_free, uint64_t *ret_total);

/* Asynchronous, on the process's own disk threads (one queue per file system, syncs and reads apart). -- */

/* fdatasync: durable are all writes to this file that returned before this call (E4). An error is final for
 * the file: never retry and believe. */
void env_file_sync(struct env_file *file, struct env_io *io, void (*done)(struct env_io *io, enum err err));

/* fsync of the directory: creations, renames and removals in it that returned before this call. */
void env_dir_sync(struct env *env, const char *path, struct env_io *io,
                  void (*done)(struct env_io *io, enum err err));

/* syncfs of the file system that holds file: covers every file on it. */
void env_fs_sync(struct env_file *file, struct env_io *io, void (*done)(struct env_io *io, enum err err));

/* Cold read of exactly len bytes into buf (caller's until done); ERR_TRUNCATED when the file is shorter. */
void env_file_read_async(struct env_file *file, uint64_t offset, void *buf, size_t len, struct env_io *io,
                         void (*done)(struct env_io *io, enum err err));

#endif
