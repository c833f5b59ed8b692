/* SPDX-License-Identifier: Apache-2.0 */
/* Room on the disk of a data directory (fault catalogue D1). Below the soft limit nothing new is written,
 * while reading, deleting and retention go on; it ends by itself when there is room again. Below it lies a
 * reserve, a preallocated file that is given up when a start finds no room at all. Nothing polls: whoever
 * wants to write asks, and the file system is asked at most a few times a second. Any thread. */
#ifndef SLUICE_BROKER_LOG_DISK_GUARD_H
#define SLUICE_BROKER_LOG_DISK_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/env/env.h"

#define DISK_RESERVE_NAME ".reserve"

struct disk_guard {
    const char *path;       /* the directory; outlives the guard */
    int64_t free_min_bytes; /* soft limit; 0: none; -1: 1 % of the file system, at most 1 GiB */
    /* private */
    _Atomic uint64_t asked_us;
    _Atomic uint64_t free_bytes;
    _Atomic uint64_t refused; /* writes that were not let in; counted by the caller */
    atomic_bool full;
    atomic_bool changed;
};

/* Ready; asks nothing yet. */
void disk_guard_init(struct disk_guard *guard, const char *path, int64_t free_min_bytes);

/* Whether nothing new may be written. A file system that cannot tell counts as having room. */
bool disk_guard_full(struct disk_guard *guard, struct env *env);

/* True once after each change of disk_guard_full(): the caller says so in the log. */
bool disk_guard_changed(struct disk_guard *guard);

/* Bytes that were free when last asked. */
uint64_t disk_guard_free_bytes(const struct disk_guard *guard);

/* Makes the reserve when it is missing and there is plenty of room; never mind if not. Blocking, at start. */
void disk_reserve_make(struct env *env, const char *path);

/* Gives the reserve up. False: there was none. */
bool disk_reserve_drop(struct env *env, const char *path);

#endif
