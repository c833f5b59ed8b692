/* SPDX-License-Identifier: Apache-2.0 */
/* A world of simulated processes in virtual time, on one thread, from one seed: the other implementation of
 * common/env (the real one is env_uv).
 *
 * W1 One event at a time, in order of time and then of insertion; every choice comes from the seed. Same
 * seed, same program: same world_hash(). W2 A process is a host: an address, a clock, a disk, loops. Killed,
 * all its memory is gone (sim_heap.h); its disk is what it was (kill -9) or what a power cut leaves: each
 * unsynced sector and name kept or dropped, in any order. W3 A fault that is asked for is counted only when
 * it bites (struct world_bites).
 */
#ifndef SLUICE_SIM_WORLD_WORLD_H
#define SLUICE_SIM_WORLD_WORLD_H

#include <stdio.h>

#include "common/env/env.h"

struct world;
struct process;

#define WORLD_PROCESSES_MAX 48

/* What the network and the disks are like when nothing is broken. */
struct world_options {
    uint64_t seed;
    uint32_t latency_us, jitter_us;      /* of a message between hosts; spikes are far longer */
    uint32_t disk_sync_us, disk_read_us; /* typical */
    uint32_t window_bytes;               /* in flight on one connection; 0: 256 KiB */
    bool bad_luck; /* background write-back, short reads, latency spikes, late mail: legal, and unkind */
    bool timed;    /* the processor time of every turn is measured, see process_cpu_ns() */
    bool charged;  /* and a turn takes that long in the world, too: no run is like another then */
    FILE *trace;   /* NULL: none */
};

/* Faults that happened to somebody. */
struct world_bites {
    uint64_t kills, power_cuts, pauses, segments_stalled, resets, clogged, refused_full;
    uint64_t write_errors, sync_errors, read_errors, no_space, stalls, bits_flipped, wall_jumps;
    uint64_t sectors_dropped, sectors_torn, names_dropped, assertions;
};

/* What met a broken way from one host to another: segments and handshakes held by a cut, segments held by a
 * clog, segments that went a slow way. */
struct world_link_bites {
    uint64_t cut, clogged, slowed;
};

/* An empty world. options is copied; its trace stays the caller's. Never NULL. */
struct world *world_new(const struct world_options *options);
void world_free(struct world *world); /* with all processes, without their destructors */

/* Where it stands: true time since its beginning, its generator (for choices of the simulator's own), the
 * hash of all that happened, faults. */
uint64_t world_now_us(const struct world *world);
struct prng *world_prng(struct world *world);
uint64_t world_hash(const struct world *world);
void world_mix(struct world *world, uint64_t value); /* adds to the hash */
uint64_t world_events(const struct world *world);    /* done so far */
struct world_bites *world_bites(struct world *world);

/* Adds a line to the trace; costs nothing without one. */
bool world_is_traced(const struct world *world);
void world_trace(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Something of the simulator's own that happens at a time. */
struct world_event {
    struct heap_node node;
    void (*fn)(struct world_event *event);
};
void world_at(struct world *world, struct world_event *event, uint64_t at_us); /* moves it when it is set */
void world_cancel(struct world *world, struct world_event *event);

/* Does the next event. False when there is none. */
bool world_step(struct world *world);
void world_run(struct world *world, uint64_t until_us);
/* Runs until done(ctx): true; or limit_us of virtual time have passed: false. */
bool world_run_until(struct world *world, uint64_t limit_us, bool (*done)(void *ctx), void *ctx);

/* -- processes (process.c) -- */
enum world_death {
    DEATH_KILL,  /* the process: the page cache survives, the kernel closes its connections */
    DEATH_POWER, /* the machine: nothing answers, what was not synced may be lost */
};

/* A host with an empty disk, named name (at most 15 characters; it resolves). Nothing runs on it yet. */
struct process *world_process_new(struct world *world, const char *name);
struct process *world_process(struct world *world, int index); /* NULL past the last */
int process_index(const struct process *process);
const char *process_name(const struct process *process);

/* Starts it: begin(arg, main_env) is called on its main loop, in its memory. died (may be NULL) is called in
 * the simulator's when it is gone. */
void process_start(struct process *process, void (*begin)(void *arg, struct env *env), void *arg);

/* Calls fn(arg) on the main loop's next turn, in the process's memory: a signal. No-op when it is dead. */
void process_call(struct process *process, void (*fn)(void *arg), void *arg);

/* At once when called from outside; from inside the process, it does not return. */
void process_kill(struct process *process, enum world_death death);

/* The process ends by itself, everything let go: whatever it still holds is a leak, and is returned in
 * blocks. Outside only. */
size_t process_end(struct process *process);

/* All its loops but the main one have ended. */
bool process_is_alone(const struct process *process);

/* No disk operation or work is under way that will still be told of. */
bool process_is_idle(const struct process *process);

/* Whether it runs now, and how often it was started. */
bool process_host_up(const struct process *process); /* its machine has power */
bool process_alive(const struct process *process);
uint32_t process_starts(const struct process *process);

/* Its main loop, stops, and what its clocks do. */
struct env *process_env(const struct process *process);       /* of its main loop; NULL when dead */
void process_pause(struct process *process, uint64_t for_us); /* SIGSTOP, then SIGCONT */
void process_set_skew(struct process *process, int32_t ppm);  /* of both clocks, from now on */

/* What its workers do takes so much longer from now on. 0: as it was. */
void process_delay_work(struct process *process, uint64_t us);

/* The wall clock alone: ms forward (or back); frozen: it stands. */
void process_wall_jump(struct process *process, int64_t ms);
void process_wall_freeze(struct process *process, bool frozen);
/* How often it has looked at its wall clock, over all its lives. */
uint64_t process_wall_looks(const struct process *process);

/* fn is called in the simulator's memory after each death that was not process_end()'s, why: one line. */
void process_on_death(struct process *process,
                      void (*fn)(void *ctx, struct process *process, const char *why), void *ctx);

/* fn is called with all that the process writes to connections from now on, as it writes it, in the process's
 * context: what it keeps must not be allocated there. */
void process_tap(struct process *process, void (*fn)(void *ctx, const uint8_t *p, size_t len), void *ctx);

/* Of a timed world: real processor time of its code over all its lives; the longest turn since
 * process_turns_forget(). */
uint64_t process_cpu_ns(const struct process *process);
uint64_t process_turn_max_ns(const struct process *process);
void process_turns_forget(struct process *process);

/* The memory of the process, for looking at its objects from outside. Never keep what is found. */
int process_heap_slot(const struct process *process);

/* -- network (link.c) -- */
void world_cut(struct world *world, const struct process *from, const struct process *to,
               bool cut); /* one way */
bool world_is_cut(const struct world *world, const struct process *from, const struct process *to);
uint64_t world_sent_bytes(const struct world *world, const struct process *from, const struct process *to);
/* Whether somebody may yet read what `from` wrote to a connection that it has closed since. */
bool world_outlives_close(const struct world *world, const struct process *from);
void world_heal(struct world *world); /* every cut, clog and slow link */
void world_clog(struct world *world, const struct process *from, const struct process *to, uint64_t for_us);
/* For the life of the world. */
const struct world_link_bites *world_link_bites(const struct world *world, const struct process *from,
                                                const struct process *to);
void world_slow(struct world *world, const struct process *from, const struct process *to,
                uint32_t latency_us, uint32_t bytes_per_ms); /* 0, 0: as it was */
/* Breaks one connection between a and b (b NULL: any peer) with what is in flight. False when there is none.
 */
bool world_reset_one(struct world *world, const struct process *a, const struct process *b);

#include "tests/sim/world/world_disk.h"

#endif
