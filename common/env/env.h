/* SPDX-License-Identifier: Apache-2.0 */
/* The one door to the outside (DESIGN, One door). A `struct env` is one loop: clock, timers, network, disk,
 * workers and mail of one thread. Everything above reaches the world only through it; env_uv (libuv, real)
 * and tests/sim (virtual time) implement the same contract, and one conformance suite runs on both.
 *
 * Laws, for every operation here:
 *  E1 All calls are made on the loop's own thread, except env_post().
 *  E2 A completion (done, read, closed, timer, task, message) is called on the loop's thread, from the loop,
 * never from inside the call that asked for it. E3 Every accepted asynchronous operation completes exactly
 * once. The caller owns the request memory until then. E4 Order: writes on one connection arrive in call
 * order; synchronous file calls take effect in call order; env_file_sync() covers every write to that file
 * that returned before the call, and nothing promises anything about later ones; messages posted by one
 * thread to one loop arrive in order. Nothing else is ordered, in particular not asynchronous operations on
 * different files. E5 A turn: due timers, arrived I/O and mail run their callbacks; then tasks given to
 * env_defer() run; then every connection with pending output is flushed once. Then the loop sleeps until
 * something is due. It never polls.
 */
#ifndef SLUICE_ENV_ENV_H
#define SLUICE_ENV_ENV_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "common/base/err.h"
#include "common/base/heap.h"
#include "common/base/iobuf.h"
#include "common/base/list.h"
#include "common/base/prng.h"
#include "common/env/env_msg.h"

struct env_ops;

struct env {
    const struct env_ops *ops;
    struct heap timers;             /* of struct env_timer, key = deadline_us */
    struct list deferred;           /* of struct env_task */
    _Atomic(struct env_msg *) mail; /* newest first, reversed by the receiver */
    struct prng prng;
    struct iobuf_pool *pool; /* buffers of this loop */
    uint64_t turn_us;        /* when the present or last turn began; private to the seam */
};

/* -- clock and randomness -- */

/* Monotonic microseconds; never goes back; unrelated to the wall clock. Read afresh at each call. */
uint64_t env_now_us(struct env *env);

/* Milliseconds since 1970, for timestamps in data only: it may jump. */
int64_t env_wall_ms(struct env *env);

/* Fills buf with random bytes fit for ids (real: the kernel's generator; simulated: from the seed). */
void env_random(struct env *env, void *buf, size_t len);

/* -- timers and tasks -- */

struct env_timer {
    struct heap_node node;
    void (*fn)(struct env_timer *timer);
};

/* fn is set once by env_timer_init; env_timer_set arms or re-arms at deadline_us (env_now_us scale; in the
 * past: next turn). */
void env_timer_init(struct env_timer *timer, void (*fn)(struct env_timer *timer));
void env_timer_set(struct env *env, struct env_timer *timer, uint64_t deadline_us);
void env_timer_cancel(struct env *env, struct env_timer *timer); /* no-op when not armed */
bool env_timer_armed(const struct env_timer *timer);

struct env_task {
    struct list link;
    void (*fn)(struct env_task *task);
};

/* Runs fn once at the end of this turn (E5). Deferring a task that waits already is a no-op. A task deferred
 * by a task runs in the same turn. */
void env_task_init(struct env_task *task, void (*fn)(struct env_task *task));
void env_defer(struct env *env, struct env_task *task);
void env_task_cancel(struct env_task *task);

/* -- mail -- */

/* From any thread: msg->fn(msg) runs on the loop of `to`. Wakes the loop at most once per batch. */
void env_post(struct env *to, struct env_msg *msg);

/* -- worker threads -- */

/* work runs on a worker thread (it must touch only what the request owns), then done on the loop. Of env it
 * may use the clocks and the synchronous calls of env_disk.h, on files that only the request uses (E1's other
 * exception). */
struct env_work {
    void (*work)(struct env_work *w);
    void (*done)(struct env_work *w);
    struct env *env; /* set by env_work_submit */
    struct env_msg msg;
    struct list link;
};
void env_work_submit(struct env *env, struct env_work *w);

/* -- life of loops -- */

/* Starts another loop of this process with a thread of its own (simulated: another loop of the same process
 * object) and runs start_msg on it first. NULL when it cannot. name: up to 15 characters, copied. */
struct env *env_spawn(struct env *parent, const char *name, struct env_msg *start_msg);

/* Asks this loop to end after the present turn; everything opened on it must be closed by its owner first.
 * For loops made by env_spawn. */
void env_stop(struct env *env);

/* CPUs this process may use (affinity and cgroup quota honoured), at least 1. */
unsigned env_cpu_count(struct env *env);

/* Descriptors that this process may have open: files, connections, all. At least 1. */
uint32_t env_files_max(struct env *env);

/* Text that changes with each boot of the machine (page cache lost), at least 37 bytes of room. Constant
 * while the machine is up. */
void env_boot_id(struct env *env, char out[37]);

#include "common/env/env_disk.h"
#include "common/env/env_net.h"

#endif
