/* SPDX-License-Identifier: Apache-2.0 */
/* The frame of a long-running process: see README.md. Main thread only. */
#ifndef SLUICE_PROCESS_PROCESS_H
#define SLUICE_PROCESS_PROCESS_H

#include "common/config/config.h"
#include "common/config/logging_config.h"
#include "common/config/security_config.h"
#include "common/config/setting.h"
#include "common/env_uv/env_uv.h"
#include "common/obs/flight.h"
#include "common/obs/metrics.h"

struct admin_http;
struct tls;

/* Zero it, then call the functions in the order of their declarations. */
struct process {
    struct config *settings;
    struct logging_config logging;
    struct logger log;
    struct metrics *metrics;
    struct env *env;         /* the main loop */
    struct flight_deck deck; /* recorders of the main thread */
    struct admin_http *admin;
    struct tls *tls; /* NULL: plain text everywhere */
    const char *logging_role;
    void (*stop)(void *ctx);
    void *ctx;
    int status; /* what main() returns after the run */
};

/* "<program>: <line>" on standard error. */
void process_say(const char *line);

/* Makes the settings: those of logging and of security, and the process's own table into values. False: no
 * memory. */
bool process_settings(struct process *process, const struct setting_table *table, void *values,
                      struct security_config *security);

/* problem (NULL: none) is what is wrong with the settings: said, and *ret_status is how the process exits.
 * True: there is none. */
bool process_settings_hold(const char *problem, int *ret_status);

/* Opens logger (warnings of the settings are its first lines), metrics and loop, installs the flight recorder
 * and takes the signals: SIGTERM and SIGINT call stop(ctx), each time. False: said why; call process_close().
 */
bool process_open(struct process *process, const char *role, int32_t node_id, void (*stop)(void *ctx),
                  void *ctx);

/* Reads the certificates that security names, when it names any, into process->tls, and watches their files.
 * It lives until process_end_loops(). False: said why. */
bool process_open_tls(struct process *process, const struct security_config *security);

/* Starts /metrics, /healthz, /readyz on the first endpoint of listener (none: nothing to do). False: said
 * why. */
bool process_start_admin(struct process *process, const struct endpoints *listener,
                         bool (*ready)(void *ctx, char *reason, size_t size), void *ready_ctx);

/* Runs the loop until process_finish(). */
void process_run(struct process *process);

/* Something that the process cannot go on without has failed: logged as "<role>.failed", said, and the exit
 * status is a failure. The caller then ends its parts. */
void process_failed(struct process *process, const char *why);

/* All parts have ended: stops the admin port, then the loop. */
void process_finish(struct process *process);

/* Waits for all loops and frees them, and the metrics. Objects whose address such a loop may have held are
 * freed after this. */
void process_end_loops(struct process *process);

/* Frees the rest: logger, settings. */
void process_close(struct process *process);

#endif
