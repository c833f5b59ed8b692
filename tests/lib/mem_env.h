/* SPDX-License-Identifier: Apache-2.0 */
/* A very small env for unit tests of storage and consensus: virtual time, one thread, a disk in memory that
 * can crash. No network, no threads. The cluster simulator (tests/sim) is the real thing; this one only makes
 * small tests exact and fast. */
#ifndef SLUICE_TESTS_LIB_MEM_ENV_H
#define SLUICE_TESTS_LIB_MEM_ENV_H

#include "common/env/env.h"

struct mem_world; /* the clock and all loops */
struct mem_env;   /* one process: a loop and a disk */

/* An empty world; everything random in it comes from seed. */
struct mem_world *mem_world_new(uint64_t seed);
void mem_world_free(struct mem_world *world); /* with every env made from it */

/* A process with an empty disk; what the code under test sees of it. */
struct mem_env *mem_env_new(struct mem_world *world);
struct env *mem_env_env(struct mem_env *m);

/* Runs all loops until nothing is due any more or the clock has reached until_us. */
void mem_world_run(struct mem_world *world, uint64_t until_us);

/* Runs until done(ctx) holds; false when limit_us of virtual time have passed without it. */
bool mem_world_run_until(struct mem_world *world, uint64_t limit_us, bool (*done)(void *ctx), void *ctx);

/* The virtual clock. */
uint64_t mem_world_now_us(const struct mem_world *world);

/* What a crash does to each 512-byte sector that is not durable (and to each name whose directory is not
 * synced). */
enum mem_crash {
    MEM_KEEP, /* as when only the process is killed */
    MEM_DROP, /* the machine loses power: all is lost */
    MEM_MIX,  /* some is lost, in any order */
};

/* The process is gone: its disk becomes what a restart would find, and nothing it does from now on reaches
 * the disk. Its owner then lets its objects go and calls mem_env_restart(), which completes what was in
 * flight (with an error) and lets the env be used again. */
void mem_env_crash(struct mem_env *m, enum mem_crash kind);
void mem_env_restart(struct mem_env *m);

/* The n-th sync or write from now fails with ERR_IO, and all later ones too; 0: none does, the disk is
 * whole again. */
void mem_env_fail_sync_after(struct mem_env *m, uint32_t n);
void mem_env_fail_write_after(struct mem_env *m, uint32_t n);

/* Handles that are open now; from now on at most so many (0: any number), then ERR_FD_LIMIT. */
uint32_t mem_env_open_files(const struct mem_env *m);
void mem_env_limit_files(struct mem_env *m, uint32_t files_max);

/* Somebody sets the wall clock forward (or back). */
void mem_env_shift_wall(struct mem_env *m, int64_t ms);

/* From now on no range of any file is in the page cache (env_file_cached()), or every one is, as at first. */
void mem_env_set_cold(struct mem_env *m, bool cold);

/* From now on every read of a file gives ERR_IO, or none does, as at first. */
void mem_env_fail_reads(struct mem_env *m, bool fail);

/* Synchronous reads so far that were not a worker's. */
uint64_t mem_env_loop_reads(const struct mem_env *m);

/* Changes of the disk asked for so far: writes, truncations, room, syncs, creations, renames, removals. The
 * n-th from now fails, once; or it is the last that happens, as if the process died behind it. */
uint32_t mem_env_changes(const struct mem_env *m);
void mem_env_fail_change(struct mem_env *m, uint32_t n);
void mem_env_die_after(struct mem_env *m, uint32_t n);

/* What env_disk_space() says is free (1 TiB at first); 0: writes fail with ERR_NO_SPACE until a file with
 * bytes is removed. */
void mem_env_set_free(struct mem_env *m, uint64_t bytes);

/* Writes and syncs work again. */
void mem_env_repair(struct mem_env *m);

/* Straight access to a file's bytes; NULL when it is not there. *ret_size may be changed through
 * mem_env_resize. */
uint8_t *mem_env_bytes(struct mem_env *m, const char *path, uint64_t *ret_size);
void mem_env_resize(struct mem_env *m, const char *path, uint64_t size); /* also durable at once */

/* Copies the whole disk; put back with mem_env_restore(). For trying many faults on one state. */
struct mem_disk *mem_env_save(struct mem_env *m);
void mem_env_restore(struct mem_env *m, const struct mem_disk *disk);
void mem_disk_free(struct mem_disk *disk);

#endif
