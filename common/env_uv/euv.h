/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of env_uv. */
#ifndef SLUICE_ENV_UV_EUV_H
#define SLUICE_ENV_UV_EUV_H

#include <netdb.h>
#include <pthread.h>
#include <sys/socket.h>
#include <uv.h>

#include "common/env/env_ops.h"
#include "common/env_uv/sync.h"

#define EUV_POOL_KEEP_BYTES   (16u << 20)  /* freed buffers a loop keeps */
#define EUV_READ_TURN_BYTES   (256u << 10) /* read from one connection in one turn */
#define EUV_FILE_TURN_BYTES   (1u << 20)   /* sent from files to one connection in one turn */
#define EUV_ACCEPT_TURN_COUNT 64           /* connections accepted from one listener in one turn */
#define EUV_ACCEPT_RETRY_US   100000       /* pause of accepting when descriptors are out */
#define EUV_IOV_COUNT         64           /* pieces per sendmsg */
#define EUV_HIGH_MARK_BYTES   (1u << 20)
#define EUV_BACKLOG           4096
#define EUV_SIGNALS_MAX       8

/* -- helper threads (threads.c) -- */
#define EUV_POOL_THREADS 2

/* A queue and its threads, shared by all loops of the process. run() is called on a thread with one node at a
 * time. */
struct euv_pool {
    const char *name;
    void (*run)(struct list *node);
    /* NULL: one node at a time. Else take() moves those that run together from the queue (not empty; the
     * mutex is held) to batch, and run_all() runs them. */
    void (*take)(struct euv_pool *pool, struct list *batch);
    void (*run_all)(struct euv_pool *pool, struct list *batch);
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    struct list queue;
    unsigned started;
    unsigned idle;
    bool stopping;
    pthread_t threads[EUV_POOL_THREADS];
};

/* Submitting, on any thread, starts threads as needed; without one the nodes (a list: emptied) run there. */
void euv_pool_init(struct euv_pool *pool, const char *name, void (*run)(struct list *node));
void euv_pool_submit(struct euv_pool *pool, struct list *node);
void euv_pool_submit_all(struct euv_pool *pool, struct list *nodes);
void euv_pool_free(struct euv_pool *pool); /* runs what is queued, then ends the threads */
/* pthread_create with all signals blocked and a name. OK or an error. */
enum err euv_thread_start(pthread_t *thread, size_t stack_bytes, void *(*fn)(void *), void *arg);

/* One per process: owned by the main loop, outlives the others. */
struct euv_process {
    struct euv_pool sync, read, work, resolve;
    pthread_mutex_t mutex;        /* guards loops */
    struct list loops;            /* of struct euv_loop made by env_spawn */
    struct euv_fs fs[EUV_FS_MAX]; /* added to under the mutex, never removed */
    unsigned fs_count;
};

/* -- loops (loop.c) -- */
struct euv_out; /* a piece of pending output, out.c */
struct euv_out_chunk;

struct euv_signal {
    uv_signal_t handle;
    void (*fn)(void *ctx, int signo);
    void *ctx;
};

/* Common start of everything that owns a uv_poll_t: lets the end of a loop find and free it. */
struct euv_sock {
    uv_poll_t poll; /* data: this */
    struct euv_loop *loop;
    void (*destroy)(struct euv_sock *sock); /* at the end of the loop: release without callbacks */
};

struct euv_loop {
    struct env env; /* first */
    struct euv_process *process;
    uv_loop_t uv;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle;       /* active: do not sleep */
    struct euv_sock wake; /* polls wake_fd, an eventfd: a poster has found us asleep */
    int wake_fd;
    uv_timer_t timer;
    uint64_t timer_armed_us; /* deadline the uv timer stands for, UINT64_MAX: none */
    atomic_bool sleeping;    /* a poster must wake us */
    bool in_turn;
    bool stopping;
    uint32_t inflight;   /* requests at helper threads */
    struct list syncs;   /* requests of this turn (env_io.link): they reach the sync threads together */
    struct list dirty;   /* connections with output to flush (euv_conn.dirty) */
    struct list pending; /* connections that owe their owner closed() or drained() (euv_conn.pending) */
    struct euv_out *out_free;
    struct euv_out_chunk *out_chunks;
    pthread_t thread; /* env_spawn only */
    struct list link; /* in process->loops */
    char name[16];
    struct euv_signal *signals; /* main loop, [EUV_SIGNALS_MAX], lazily */
    unsigned signal_count;
};

static inline struct euv_loop *euv_loop_of(struct env *env)
{
    return (struct euv_loop *)env;
}

/* init: loop is zeroed; on failure nothing is left to free. run: until env_stop and until nothing accepted is
 * outstanding. free: closes what is left open, frees loop itself; after run, on any thread. */
enum err euv_loop_init(struct euv_loop *loop, struct euv_process *process);
void euv_loop_free(struct euv_loop *loop);
void euv_loop_run(struct euv_loop *loop);

/* Every libuv callback starts with this: the first of a turn notes the time. */
void euv_turn_enter(struct euv_loop *loop);

/* env_spawn() (process.c). */
struct env *euv_spawn(struct env *parent, const char *name, struct env_msg *start_msg);

/* -- pending output (out.c) -- */

struct euv_out {
    struct euv_out *next;
    struct iobuf *owner;   /* memory piece */
    struct env_file *file; /* or file range */
    union {
        const uint8_t *p;
        uint64_t offset;
    };
    size_t len;
};

struct euv_outq {
    struct euv_out *head, *tail;
    size_t bytes;
};

/* Taking references of owner and file. */
void euv_outq_add(struct euv_loop *loop, struct euv_outq *q, struct iobuf *owner, const uint8_t *p,
                  size_t len);
void euv_outq_add_file(struct euv_loop *loop, struct euv_outq *q, struct env_file *file, uint64_t offset,
                       size_t len);
void euv_outq_consume(struct euv_loop *loop, struct euv_outq *q, size_t len);
void euv_outq_clear(struct euv_loop *loop, struct euv_outq *q);
/* Memory pieces up to the first file range. Returns their count; *ret_more: something follows them. */
int euv_outq_gather(const struct euv_outq *q, struct iovec *iov, int iov_max, size_t *ret_len,
                    bool *ret_more);
void euv_out_free_all(struct euv_loop *loop);

/* -- connections (conn.c, connect.c, listener.c) -- */

enum euv_conn_state {
    CONN_ACCEPTED,   /* waits for start or close inside accepted() */
    CONN_CONNECTING, /* name resolution or handshake */
    CONN_OPEN,
    CONN_DYING, /* descriptor closed, closed() is due */
};

struct euv_dial; /* state of an outgoing connection until it stands */
struct euv_conn {
    struct env_conn base; /* first */
    struct euv_sock sock;
    const struct env_conn_handler *handler;
    void *ctx;
    struct euv_dial *dial;
    struct list dirty;
    struct list pending;
    struct euv_outq out;
    size_t high_bytes;
    int fd;
    enum err why;
    uint8_t state;
    uint8_t armed;               /* UV_READABLE | UV_WRITABLE asked of libuv */
    bool has_poll;               /* sock.poll is initialised */
    bool poll_closing, released; /* the memory goes when libuv and the loop both let go of it */
    bool paused;                 /* by the owner; taken back lazily (the next event disarms) */
    bool want_out;               /* the kernel took less than all */
    bool above_high;
    bool drained_due;
    bool eof; /* the peer closed; ends after this turn's flush */
};

/* Makes a connection around a connected descriptor (or fd -1 for one that is to be dialled). NULL when memory
 * is out; fd stays the caller's then. */
struct euv_conn *euv_conn_new(struct euv_loop *loop, int fd);
bool euv_conn_poll_init(struct euv_conn *conn);
void euv_conn_update_poll(struct euv_conn *conn);
void euv_conn_opened(struct euv_conn *conn); /* the handshake is done */
void euv_conn_end(struct euv_conn *conn, enum err why);
void euv_conns_flush(struct euv_loop *loop);        /* end of a turn */
void euv_conns_run_pending(struct euv_loop *loop);  /* closed() and drained() */
void euv_conns_forget_ended(struct euv_loop *loop); /* the loop ends: closed() is not called any more */

void euv_dial_ready(struct euv_conn *conn);  /* the handshake ended one way or the other */
void euv_dial_cancel(struct euv_conn *conn); /* lets go of conn->dial */
void euv_resolve_run(struct list *node);     /* on a resolver thread */
/* getaddrinfo for a stream; blocks unless flags hold AI_NUMERICHOST. The list is the caller's to free. */
enum err euv_resolve_now(const struct env_addr *addr, int flags, struct addrinfo **ret_list);

/* env_listen(). */
enum err euv_listen(struct env *env, const struct env_addr *addr, bool shared,
                    const struct env_listener_handler *handler, void *ctx, struct env_listener **ret_listener,
                    struct env_addr *ret_bound);

extern const struct env_net_ops euv_net_ops;
extern const struct env_conn_ops euv_conn_ops;

/* -- the transport of a connection (transport.c): plain TCP -- */

/* The three return bytes moved, 0 at the end (recv: the peer closed; file: the range is shorter), -EAGAIN, or
 * another negative errno. */
ssize_t euv_transport_recv(struct euv_conn *conn, void *buf, size_t len);
ssize_t euv_transport_send(struct euv_conn *conn, struct iovec *iov, int iov_count, bool more);
ssize_t euv_transport_send_file(struct euv_conn *conn, struct env_file *file, uint64_t offset, size_t len);
void euv_transport_close(
    struct euv_conn *conn); /* orderly, for what was sent to arrive; then the descriptor is gone */

/* Nagle off, keepalive on; accepted sockets inherit both. An address as env_addr has it. */
void euv_socket_options(int fd);
void euv_sockaddr_format(const struct sockaddr_storage *sa, struct env_addr *ret_addr);

/* -- files (file.c, dir.c, disk.c) -- */
extern const struct env_disk_ops euv_disk_ops;
/* The descriptor, valid while a reference is held; another reference, from any thread. */
int euv_file_fd(const struct env_file *file);
struct env_file *euv_file_ref(struct env_file *file);
bool euv_file_revoked(const struct env_file *file);
bool euv_file_cached(struct env_file *file, uint64_t offset, size_t len);
void euv_io_run(struct list *node); /* on a disk thread */
/* Hands io to the disk threads, a sync at the end of the turn; it completes on loop. */
void euv_io_submit(struct euv_loop *loop, struct env_io *io);
void euv_io_flush(struct euv_loop *loop);
enum err euv_file_open(struct env *env, const char *path, int flags, struct env_file **ret_file);
enum err euv_dir_list(struct env *env, const char *path,
                      bool (*each)(void *ctx, const char *name, bool is_dir), void *ctx);

/* -- the machine (machine.c): the functions of env.h with the same names -- */
uint64_t euv_now_us(struct env *env);
int64_t euv_wall_ms(struct env *env);
void euv_random(struct env *env, void *buf, size_t len);
unsigned euv_cpu_count(struct env *env);
uint32_t euv_files_max(struct env *env);
void euv_boot_id(struct env *env, char out[37]);
void euv_work_submit(struct env *env, struct env_work *w);
void euv_work_run(struct list *node);

#endif
