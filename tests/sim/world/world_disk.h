/* SPDX-License-Identifier: Apache-2.0 */
/* Faults of a process's disk. Part of world.h. */
#ifndef SLUICE_SIM_WORLD_WORLD_DISK_H
#define SLUICE_SIM_WORLD_WORLD_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct process;

enum disk_act { DISK_READ, DISK_WRITE, DISK_SYNC, DISK_ACT_COUNT };

/* The n-th act from now on fails with err (1: the next one), and times - 1 more after it. path_part: only on
 * files whose path holds it; NULL: any. Stands until it has bitten or disk_mend(). */
void disk_fail(struct process *process, enum disk_act act, uint32_t nth, uint32_t times, enum err err,
               const char *path_part);
/* Counters, for the life of the host: acts that failed because of disk_fail(), and writes that found it full.
 */
uint64_t disk_failures(const struct process *process, enum disk_act act);
uint64_t disk_refusals(const struct process *process);
/* Operations that waited for disk_stall(), that disk_slow() made longer, and deaths by disk_die_at(): for the
 * life of the host. */
struct disk_bites {
    uint64_t stalled, slowed, deaths;
};
const struct disk_bites *disk_bites(const struct process *process);
void disk_mend(struct process *process); /* no fault stands any more; capacity as given */

void disk_stall(struct process *process, uint64_t for_us); /* whatever waits for the disk waits longer */
void disk_slow(struct process *process, uint32_t factor);  /* 1: as it was */
void disk_set_capacity(struct process *process, uint64_t bytes); /* UINT64_MAX: endless */

/* From now on a power cut keeps nothing, on any disk, of what was on its way: no write is torn. */
void disk_cuts_keep_nothing(struct world *world, bool nothing);

/* Bytes of pages in use. */
uint64_t disk_used(const struct process *process);

/* The process dies right before (or after) its n-th change of the disk from now on: write, truncate, create,
 * rename, remove, sync. 0: not. */
void disk_die_at(struct process *process, uint32_t nth, bool after, int death);

/* Changes of the disk so far, of the kind counted by disk_die_at(). */
uint64_t disk_changes(const struct process *process);

/* Flips one bit somewhere in a file whose path holds both parts, at rest and in the cache, where may() allows
 * it (NULL: anywhere). False when there is no such byte, or the one that was chosen is not allowed. */
bool disk_flip_bit(struct process *process, const char *path_part, const char *other_part,
                   bool (*may)(void *ctx, const char *path, uint64_t offset), void *ctx);

/* Whether a power cut now would leave every file whose path holds the part as the process sees it. */
bool disk_is_durable(struct process *process, const char *path_part);

/* An empty disk in place of the old one. The process must be dead. */
void disk_replace(struct process *process);

/* The bytes of a file as the process would read them: *ret_len at most cap. For checkers. */
enum err disk_peek(struct process *process, const char *path, uint64_t offset, void *buf, size_t cap,
                   size_t *ret_len);
uint64_t disk_file_size(struct process *process, const char *path); /* 0 when missing */

/* Every file below dir, by path, in byte order. each returns false to stop. */
void disk_walk(struct process *process, const char *dir,
               bool (*each)(void *ctx, const char *path, uint64_t size), void *ctx);

/* Renames a directory or file, for good. The process must be dead. False when there is no such thing. */
bool disk_rename(struct process *process, const char *from, const char *to);

/* Flips the bits of mask in one byte, at rest and in the cache. False: nothing is stored there. */
bool disk_flip_at(struct process *process, const char *path, uint64_t offset, uint8_t mask);

/* Cuts a file short, at rest and in the cache (damage). False when it is missing or shorter. */
bool disk_chop(struct process *process, const char *path, uint64_t size);

#endif
