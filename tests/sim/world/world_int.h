/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the world: shared by its files only. Everything here lives in the simulator's own memory, except
 * what a process's env keeps by itself. */
#ifndef SLUICE_SIM_WORLD_WORLD_INT_H
#define SLUICE_SIM_WORLD_WORLD_INT_H

#include <setjmp.h>

#include "common/base/assert.h"
#include "common/env/env_ops.h"
#include "tests/sim/world/sim_heap.h"
#include "tests/sim/world/world.h"

#define NEVER UINT64_MAX

struct disk;
struct wire;
struct conn;

struct link {
    uint32_t latency_us, jitter_us;
    uint32_t bytes_per_ms; /* 0: no limit */
    uint64_t free_us;      /* when the limited link has sent what it has */
    uint64_t clogged_until_us;
    bool cut;
    uint64_t sent_bytes;
    struct world_link_bites bites;
};

struct world {
    struct world_options options;
    struct heap events;
    uint64_t now_us;
    uint64_t event_count;
    uint64_t hash;
    struct prng prng;
    struct world_bites bites;
    bool cuts_keep_nothing; /* disk_cuts_keep_nothing() */
    struct process *processes[WORLD_PROCESSES_MAX];
    int process_count;
    struct link links[WORLD_PROCESSES_MAX][WORLD_PROCESSES_MAX]; /* [from][to] */
    struct list wires;
    /* while code of a process runs */
    struct loop *running;
    struct process *inside;
    jmp_buf escape;
    bool dying; /* escape was taken */
    enum world_death death;
    const char *death_why;
};

/* One thread of a process. In the simulator's memory; env's parts are in the process's. */
struct loop {
    struct env env; /* first */
    struct process *process;
    char name[16];
    struct world_event turn;
    uint64_t busy_until_us; /* world time */
    uint64_t cost_us;       /* of the present turn so far */
    struct list link;       /* in process->loops */
    struct list ready;      /* of struct arrival, to be run by the next turn */
    struct list landing; /* those that the present turn runs: not on its stack, which a death throws away */
    struct list dirty;   /* of struct conn: output to flush */
    uint32_t inflight;
    bool in_turn, stopping, ended;
};

/* I/O that arrived for a loop. */
struct arrival {
    struct list link;
    void (*fn)(struct arrival *arrival);
};

struct process_signal {
    struct list link;
    void (*fn)(void *arg);
    void *arg;
};

struct process {
    struct world *world;
    int index;
    char name[16];
    bool alive, host_up;
    uint32_t starts;
    uint32_t boots;
    struct list loops, conns, listeners, jobs; /* jobs: disk operations and work under way */
    struct loop *main;
    void (*begin)(void *arg, struct env *env);
    void *begin_arg;
    uint64_t work_delay_us;
    struct arrival signal_arrival;
    struct list signals;
    uint64_t paused_until_us;
    uint16_t next_port;
    struct prng prng; /* behind env_random */
    /* clocks */
    uint64_t mono_base_us, mono_at_us;
    int32_t ppm;
    int64_t wall_offset_ms;
    int64_t wall_frozen_ms; /* 0: runs */
    uint64_t wall_looks;
    uint64_t cpu_ns, turn_max_ns;
    struct disk *disk;
    void (*on_death)(void *ctx, struct process *process, const char *why);
    void *on_death_ctx;
    void (*tap)(void *ctx, const uint8_t *p, size_t len); /* NULL: none */
    void *tap_ctx;
};

/* -- memory: the simulator's own while inside the seam -- */
static inline int host_enter(void)
{
    return sim_heap_enter(SIM_HEAP_HOST);
}

static inline void host_leave(int slot)
{
    sim_heap_enter(slot);
}

/* In the simulator's memory, whoever runs. */
void *host_alloc(size_t size); /* zeroed, in the simulator's memory whoever runs; never NULL */
void *host_take(size_t size);  /* the same, not zeroed */
void host_free(void *p);

/* -- chance -- */
static inline uint64_t world_below(struct world *world, uint64_t bound)
{
    return prng_below(&world->prng, bound);
}

/* True once in `one_in`, and never without bad luck. */
bool world_unlucky(struct world *world, uint32_t one_in);

/* -- loops (loop.c) -- */
struct loop *loop_of(struct env *env);
struct loop *loop_new(struct process *process, const char *name);
void loop_forget(struct loop *loop);               /* frees it without running anything of the process */
void loop_wake(struct loop *loop, uint64_t at_us); /* a turn at at_us or as soon after as it may */
void loop_arrive(struct loop *loop, struct arrival *arrival);
uint64_t loop_now(const struct loop *loop); /* world time as this loop sees it: inside a turn, what the turn
                                               has cost is over */
void loop_spend(struct loop *loop, uint64_t us); /* the turn takes that much longer */

/* Runs fn(arg) as code of the process, in its memory. False when the process died of it (it is gone then). */
bool process_run(struct process *process, struct loop *loop, void (*fn)(void *arg), void *arg);

/* -- processes (process.c) -- */
uint64_t process_mono_us(const struct process *process, uint64_t world_us);
uint64_t process_world_us(const struct process *process,
                          uint64_t mono_us); /* first moment at which the clock shows that or more */
void process_dispose(struct process *process, enum world_death death, const char *why);

/* -- connections (conn.c, wire.c, listener.c, link.c) -- */
extern const struct env_net_ops sim_net_ops;
extern const struct env_conn_ops sim_conn_ops;

/* Between the files of the network. */
uint64_t link_arrival_us(struct world *world, int from, int to, uint64_t at_us, size_t len);
void conns_flush(struct loop *loop);
void process_drop_net(struct process *process, enum world_death death);
void loop_drop_net(struct loop *loop);                   /* the loop has ended: what its owner left open */
void wires_hurry(struct world *world);                   /* no way is clogged or slow any more */
void wires_retry(struct world *world, int from, int to); /* the link is open again; from -1: every link */
void wires_free(struct world *world);

/* -- disk (disk.c and others) -- */
extern const struct env_disk_ops sim_disk_ops;
struct disk *disk_new(struct process *process);
void disk_free(struct disk *disk);
void disk_process_died(struct disk *disk, enum world_death death);

/* A disk operation or work under way; made by host_alloc(), freed when it is over or its process is dead. */
struct job {
    struct list link;
    struct world_event event;
    struct process *process;
    struct loop *loop;
};
void process_drop_jobs(struct process *process);

#endif
