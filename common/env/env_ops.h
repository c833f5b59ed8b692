/* SPDX-License-Identifier: Apache-2.0 */
/* The other side of env.h: what an implementation of the seam (env_uv, the simulator) provides, and the parts
 * of a loop that both share (timer heap, tasks, mail). Only implementations include this. Every function here
 * runs on the loop's own thread unless it says otherwise. */
#ifndef SLUICE_ENV_ENV_OPS_H
#define SLUICE_ENV_ENV_OPS_H

#include "common/env/env.h"

/* -- objects: each implementation embeds these as the first member of its own -- */

struct env_conn {
    const struct env_conn_ops *ops;
};

struct env_listener {
    const struct env_listener_ops *ops;
};

struct env_file {
    const struct env_file_ops *ops;
};

/* What an env_io asks for; env_io.op. */
enum env_io_op {
    ENV_IO_SYNC,     /* fdatasync of target, a file */
    ENV_IO_FS_SYNC,  /* syncfs of the file system of target, a file */
    ENV_IO_READ,     /* exactly len bytes at offset of target, a file, into buf */
    ENV_IO_DIR_SYNC, /* fsync of a directory */
};

/* -- tables: the semantics are those of the function of the same name in env.h, env_net.h, env_disk.h -- */

struct env_conn_ops {
    void (*start)(struct env_conn *conn, const struct env_conn_handler *handler, void *ctx);
    /* p lies inside owner's data; the implementation takes its own reference. */
    void (*write)(struct env_conn *conn, struct iobuf *owner, const void *p, size_t len);
    void (*write_file)(struct env_conn *conn, struct env_file *file, uint64_t offset, size_t len);
    size_t (*queued)(const struct env_conn *conn);
    void (*set_high_mark)(struct env_conn *conn, size_t high_bytes);
    void (*pause)(struct env_conn *conn);
    void (*resume)(struct env_conn *conn);
    void (*close)(struct env_conn *conn);
};

struct env_listener_ops {
    void (*close)(struct env_listener *listener);
};

struct env_file_ops {
    void (*close)(struct env_file *file);
    void (*ref)(struct env_file *file);
    bool (*shared)(const struct env_file *file);
    void (*revoke)(struct env_file *file);
    bool (*revoked)(const struct env_file *file);
    bool (*cached)(struct env_file *file, uint64_t offset, size_t len);
    enum err (*size)(struct env_file *file, uint64_t *ret_size);
    enum err (*read)(struct env_file *file, uint64_t offset, void *buf, size_t len, size_t *ret_len);
    enum err (*write)(struct env_file *file, uint64_t offset, const struct iovec *iov, int iov_count);
    enum err (*truncate)(struct env_file *file, uint64_t size);
    enum err (*allocate)(struct env_file *file, uint64_t offset, uint64_t len);
    enum err (*sync_wait)(struct env_file *file);
    /* Starts io (op, done, offset, buf and len are set). It completes on the loop that opened the file. */
    void (*submit)(struct env_file *file, struct env_io *io);
};

struct env_net_ops {
    enum err (*listen)(struct env *env, const struct env_addr *addr, bool shared,
                       const struct env_listener_handler *handler, void *ctx,
                       struct env_listener **ret_listener, struct env_addr *ret_bound);
    struct env_conn *(*connect)(struct env *env, const struct env_addr *addr,
                                const struct env_conn_handler *handler, void *ctx);
};

struct env_disk_ops {
    enum err (*file_open)(struct env *env, const char *path, int flags, struct env_file **ret_file);
    enum err (*dir_sync_wait)(struct env *env, const char *path);
    void (*dir_sync)(struct env *env, const char *path, struct env_io *io);
    enum err (*mkdir)(struct env *env, const char *path);
    enum err (*rename)(struct env *env, const char *from, const char *to);
    enum err (*unlink)(struct env *env, const char *path);
    enum err (*rmdir)(struct env *env, const char *path);
    enum err (*path_exists)(struct env *env, const char *path,
                            bool *ret_is_dir); /* ret_is_dir is never NULL */
    enum err (*dir_list)(struct env *env, const char *path,
                         bool (*each)(void *ctx, const char *name, bool is_dir), void *ctx);
    enum err (*disk_space)(struct env *env, const char *path, uint64_t *ret_free, uint64_t *ret_total);
};

struct env_ops {
    uint64_t (*now_us)(struct env *env);
    int64_t (*wall_ms)(struct env *env);
    void (*random)(struct env *env, void *buf, size_t len);
    void (*wake)(struct env *env); /* from any thread: mail arrived in an empty box */
    void (*work_submit)(struct env *env, struct env_work *w);
    struct env *(*spawn)(struct env *parent, const char *name, struct env_msg *start_msg);
    void (*stop)(struct env *env);
    unsigned (*cpu_count)(struct env *env);
    uint32_t (*files_max)(struct env *env);
    void (*boot_id)(struct env *env, char out[37]);
    const struct env_net_ops *net;
    const struct env_disk_ops *disk;
};

/* -- the shared part of a loop -- */

/* Prepares env. seed feeds env->prng; the pool keeps at most pool_keep_bytes. False when memory is out
 * (nothing to free then). */
bool env_base_init(struct env *env, const struct env_ops *ops, uint64_t seed, size_t pool_keep_bytes);

/* Lets go of heap and pool. Timers, tasks and mail that still wait are their owners'. */
void env_base_free(struct env *env);

/* One turn (E5): env_turn_begin, then in any order env_run_timers, arrived I/O, env_run_mail; then
 * env_run_tasks; then the implementation flushes. env_turn_begin notes now_us: timers due by then run in this
 * turn, a timer set during the turn never does. */
void env_turn_begin(struct env *env, uint64_t now_us);
void env_run_timers(struct env *env);
void env_run_mail(struct env *env);  /* mail posted meanwhile waits for the next turn */
void env_run_tasks(struct env *env); /* including tasks deferred by tasks */

/* True when mail, a task or a timer that is due already waits for the next turn: then the loop must not
 * sleep. */
bool env_has_ready(struct env *env);

/* When the first timer is due, UINT64_MAX without timers. */
uint64_t env_next_deadline_us(const struct env *env);

#endif
