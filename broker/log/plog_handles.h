/* SPDX-License-Identifier: Apache-2.0 */
/* A budget of file descriptors for the partition logs of one loop. A log opens what it reads and writes when
 * it is needed; what was used least recently is closed when there are too many. Nothing is closed that
 * somebody else still holds (a connection that sends from it, a read under way: env_file_shared), nor a file
 * with bytes that no sync covers: its descriptor is what tells that writing them back failed. Such a log is
 * synced first.
 *
 * Of other logs files are closed when one is opened; of the log that opens it, at the end of the turn, since
 * that log may be using them.
 */
#ifndef SLUICE_BROKER_LOG_PLOG_HANDLES_H
#define SLUICE_BROKER_LOG_PLOG_HANDLES_H

#include <stdatomic.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/list.h"
#include "common/env/env.h"

#define PLOG_SEGMENT_FILES 3 /* .log, .index, .timeindex: what one segment may hold open */
#define PLOG_HANDLES_MIN   4 /* segments; fewer are taken for so many */

/* One loop's. Outlives the logs that use it (plog_setup.handles). */
struct plog_handles {
    struct env *env;
    struct list used; /* of struct plog_slot; the first was used least recently */
    struct list spare;
    uint32_t max; /* segments with open files */
    struct env_task trim;
    _Atomic int64_t segments;       /* with open files, now */
    _Atomic uint64_t closed;        /* closed for want of room, ever */
    _Atomic uint64_t limit_reached; /* times that the process had no descriptor left for a log */
    _Atomic int64_t asides_waiting; /* work aside (plog_aside.h) that somebody waits for, now */
    _Atomic uint64_t asides;        /* begun, ever */
    _Atomic uint64_t asides_stale;  /* what they brought was thrown away: the log had changed */
};

/* files_max: descriptors that logs may hold together. */
void plog_handles_init(struct plog_handles *handles, struct env *env, uint32_t files_max);

/* No log uses it any more. */
void plog_handles_free(struct plog_handles *handles);

struct plog;
struct plog_segment;
struct plog_slot;

/* -- for the logs -- */

/* Files of seg are used, or about to be opened. ERR_NOMEM. */
enum err plog_handles_use(struct plog *log, struct plog_segment *seg);

/* They are closed. */
void plog_handles_drop(struct plog_segment *seg);

/* env_file_open() for a file of log; when the process has no descriptor left, other logs' are closed and it
 * is tried once more. */
enum err plog_handles_open(struct plog *log, const char *path, int flags, struct env_file **ret_file);

/* The process has no descriptor left: closes what can be closed. */
void plog_handles_relieve(struct plog *log);

/* A sync ended: files may be closed that could not be before. */
void plog_handles_settled(struct plog *log);

#endif
