/* SPDX-License-Identifier: Apache-2.0 */
/* The real env: libuv loops, sockets, files and threads of this machine. Only main() functions, tests and
 * benchmarks include this; everything else sees `struct env`. */
#ifndef SLUICE_ENV_UV_ENV_UV_H
#define SLUICE_ENV_UV_ENV_UV_H

#include <stdbool.h>

#include "common/base/err.h"
#include "common/env/env.h"

/* Makes the env of the main loop; call it once, on the main thread, before other threads exist. Ignores
 * SIGPIPE and raises the soft limit of descriptors to the hard one. Starts no thread: disk, worker and
 * resolver threads start with the first request for them. NULL when memory or descriptors are out. */
struct env *env_uv_main_new(void);

/* Runs the loop on the calling thread until env_stop() (or env_uv_main_stop()). What was accepted before the
 * stop (disk requests, work, mail, closed()) is still completed. */
void env_uv_main_run(struct env *main_env);

/* Runs one turn, sleeping first until something is due. For tests and tools that wait for a condition of
 * their own. */
void env_uv_main_turn(struct env *main_env);

/* Calls fn(ctx, signo) on the main loop for each arrival of signo (SIGTERM, SIGINT, SIGHUP ...; several may
 * be one). At most 8 signals. ERR_FULL, ERR_INVALID. */
enum err env_uv_main_on_signal(struct env *main_env, int signo, void (*fn)(void *ctx, int signo), void *ctx);

/* The same as env_stop() on the main loop; loop thread only. */
void env_uv_main_stop(struct env *main_env);

/* Waits for all loops made by env_spawn (each must have been stopped), ends the helper threads and frees
 * everything. Connections, listeners that are still open are torn down without a callback. */
void env_uv_main_free(struct env *main_env);

/* How many fdatasyncs, and how many syncfs in place of several of them, the process has done. Any thread. */
void env_uv_sync_counts(struct env *env, uint64_t *ret_alone, uint64_t *ret_together);

#endif
