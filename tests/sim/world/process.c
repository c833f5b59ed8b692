/* SPDX-License-Identifier: Apache-2.0 */
/* Processes: their life, death and clocks. */
#include <stdio.h>
#include <string.h>

#include "tests/sim/world/world_int.h"

#define WALL_START_MS  1767225600000 /* 2026 begins */
#define FAR_US         (1ull << 50)
#define EPHEMERAL_PORT 32768

static void process_run_signals(struct arrival *arrival)
{
    struct process *process = CONTAINER_OF(arrival, struct process, signal_arrival);
    while (!list_empty(&process->signals)) {
        struct process_signal *signal = CONTAINER_OF(process->signals.next, struct process_signal, link);
        struct process_signal copy = *signal;
        list_remove(&signal->link);
        host_free(signal);
        copy.fn(copy.arg);
    }
}

struct process *world_process_new(struct world *world, const char *name)
{
    ASSERT(world->process_count < WORLD_PROCESSES_MAX);
    STATIC_ASSERT(WORLD_PROCESSES_MAX < SIM_HEAP_SLOTS, "a slot for each process beside the simulator's");
    struct process *process = host_alloc(sizeof(*process));
    process->world = world;
    process->index = world->process_count;
    snprintf(process->name, sizeof(process->name), "%s", name);
    list_init(&process->loops);
    list_init(&process->conns);
    list_init(&process->listeners);
    list_init(&process->jobs);
    list_init(&process->signals);
    list_init(&process->signal_arrival.link);
    process->signal_arrival.fn = process_run_signals;
    process->disk = disk_new(process);
    prng_seed(&process->prng, prng_next(&world->prng));
    process->wall_offset_ms = WALL_START_MS + (int64_t)(world->now_us / 1000);
    world->processes[world->process_count++] = process;
    return process;
}

struct process *world_process(struct world *world, int index)
{
    return index < world->process_count ? world->processes[index] : NULL;
}

int process_index(const struct process *process)
{
    return process->index;
}

const char *process_name(const struct process *process)
{
    return process->name;
}

bool process_host_up(const struct process *process)
{
    return process->host_up;
}

bool process_alive(const struct process *process)
{
    return process->alive;
}

uint32_t process_starts(const struct process *process)
{
    return process->starts;
}

struct env *process_env(const struct process *process)
{
    return process->alive ? &process->main->env : NULL;
}

int process_heap_slot(const struct process *process)
{
    return process->index + 1;
}

/* -- clocks -- */

uint64_t process_mono_us(const struct process *process, uint64_t world_us)
{
    uint64_t passed_us = world_us - process->mono_at_us;
    int64_t drift_us =
        (int64_t)passed_us / 1000000 * process->ppm + (int64_t)(passed_us % 1000000) * process->ppm / 1000000;
    return process->mono_base_us + (uint64_t)((int64_t)passed_us + drift_us);
}

uint64_t process_world_us(const struct process *process, uint64_t mono_us)
{
    uint64_t now_us = process->world->now_us, mono_now_us = process_mono_us(process, now_us);
    if (mono_us <= mono_now_us)
        return now_us;
    if (mono_us - mono_now_us > FAR_US)
        return NEVER;
    uint64_t ahead_us = (uint64_t)((double)(mono_us - mono_now_us) * 1e6 / (1e6 + process->ppm));
    uint64_t at_us = now_us + (ahead_us > 2 ? ahead_us - 2 : 0);
    while (process_mono_us(process, at_us) < mono_us)
        at_us++;
    return at_us;
}

/* The same time as before, from another base: the wall clock is counted from the base too. */
static void process_rebase(struct process *process)
{
    uint64_t mono_us = process_mono_us(process, process->world->now_us);
    process->wall_offset_ms += (int64_t)((mono_us - process->mono_base_us) / 1000);
    process->mono_base_us = mono_us;
    process->mono_at_us = process->world->now_us;
}

static void process_reschedule(struct process *process)
{
    list_for_each (it, &process->loops) {
        struct loop *loop = CONTAINER_OF(it, struct loop, link);
        uint64_t deadline_us = env_next_deadline_us(&loop->env);
        if (deadline_us != NEVER)
            loop_wake(loop, process_world_us(process, deadline_us));
    }
}

void process_set_skew(struct process *process, int32_t ppm)
{
    ASSERT(ppm > -500000 && ppm < 1000000);
    process_rebase(process);
    process->ppm = ppm;
    process_reschedule(process);
}

void process_wall_jump(struct process *process, int64_t ms)
{
    process->wall_offset_ms += ms;
    process->world->bites.wall_jumps++;
    world_trace(process->world, "%s: wall clock jumps by %lld ms", process->name, (long long)ms);
}

uint64_t process_wall_looks(const struct process *process)
{
    return process->wall_looks;
}

uint64_t process_cpu_ns(const struct process *process)
{
    return process->cpu_ns;
}

uint64_t process_turn_max_ns(const struct process *process)
{
    return process->turn_max_ns;
}

void process_turns_forget(struct process *process)
{
    process->turn_max_ns = 0;
}

void process_wall_freeze(struct process *process, bool frozen)
{
    if (frozen == (process->wall_frozen_ms != 0))
        return;
    uint64_t mono_us = process_mono_us(process, process->world->now_us);
    int64_t wall_ms = process->wall_offset_ms + (int64_t)((mono_us - process->mono_base_us) / 1000);
    process->wall_frozen_ms = frozen ? wall_ms : 0;
}

void process_pause(struct process *process, uint64_t for_us)
{
    if (!process->alive)
        return;
    process->paused_until_us = MAX(process->paused_until_us, process->world->now_us + for_us);
    process->world->bites.pauses++;
    world_trace(process->world, "%s: paused for %llu us", process->name, (unsigned long long)for_us);
}

/* -- life -- */

static void process_boot(struct process *process)
{
    process->host_up = true;
    process->boots++;
    process->mono_base_us = 1000000 + world_below(process->world, 1000000000000);
    process->wall_offset_ms = WALL_START_MS + (int64_t)(process->world->now_us / 1000);
    process->mono_at_us = process->world->now_us;
    process->next_port = EPHEMERAL_PORT;
}

void process_call(struct process *process, void (*fn)(void *arg), void *arg)
{
    if (!process->alive)
        return;
    struct process_signal *signal = host_alloc(sizeof(*signal));
    signal->fn = fn;
    signal->arg = arg;
    list_push_back(&process->signals, &signal->link);
    loop_arrive(process->main, &process->signal_arrival);
}

static void begin_call(void *arg)
{
    struct process *process = arg;
    process->begin(process->begin_arg, &process->main->env);
}

void process_start(struct process *process, void (*begin)(void *arg, struct env *env), void *arg)
{
    ASSERT(!process->alive && process->world->inside == NULL);
    if (!process->host_up)
        process_boot(process);
    process->alive = true;
    process->starts++;
    process->paused_until_us = 0;
    process->main = loop_new(process, "main");
    world_trace(process->world, "%s: starts (%u)", process->name, process->starts);
    process->begin = begin;
    process->begin_arg = arg;
    process_call(process, begin_call, process);
    wires_retry(process->world, -1, process->index);
}

void process_drop_jobs(struct process *process)
{
    while (!list_empty(&process->jobs)) {
        struct job *job = CONTAINER_OF(process->jobs.next, struct job, link);
        world_cancel(process->world, &job->event);
        list_remove(&job->link);
        host_free(job);
    }
}

static void process_drop_signals(struct process *process)
{
    while (!list_empty(&process->signals)) {
        struct process_signal *signal = CONTAINER_OF(process->signals.next, struct process_signal, link);
        list_remove(&signal->link);
        host_free(signal);
    }
    list_remove(&process->signal_arrival.link);
}

static void process_drop_loops(struct process *process)
{
    while (!list_empty(&process->loops))
        loop_forget(CONTAINER_OF(process->loops.next, struct loop, link));
    process->main = NULL;
}

void process_dispose(struct process *process, enum world_death death, const char *why)
{
    struct world *world = process->world;
    ASSERT(process->alive && world->inside == NULL);
    world_trace(world, "%s: dies (%s), %s", process->name, death == DEATH_POWER ? "power" : "kill", why);
    process->alive = false;
    process->host_up = death != DEATH_POWER;
    process_drop_net(process, death);
    process_drop_jobs(process);
    process_drop_signals(process);
    process_drop_loops(process);
    sim_heap_drop(process_heap_slot(process));
    disk_process_died(process->disk, death);
    if (process->on_death != NULL)
        process->on_death(process->on_death_ctx, process, why);
}

void process_kill(struct process *process, enum world_death death)
{
    struct world *world = process->world;
    if (!process->alive)
        return;
    if (death == DEATH_POWER)
        world->bites.power_cuts++;
    else
        world->bites.kills++;
    if (world->inside == process) {
        world->death = death;
        world->death_why = "killed at a chosen moment";
        longjmp(world->escape, 1);
    }
    process_dispose(process, death, "killed");
}

bool process_is_alone(const struct process *process)
{
    list_for_each (it, &process->loops) {
        const struct loop *loop = CONTAINER_OF(it, struct loop, link);
        if (loop != process->main && !loop->ended)
            return false;
    }
    return true;
}

bool process_is_idle(const struct process *process)
{
    list_for_each (it, &process->loops)
        if (CONTAINER_OF(it, struct loop, link)->inflight > 0)
            return false;
    return true;
}

static void loops_free(struct process *process)
{
    int slot = sim_heap_enter(process_heap_slot(process));
    list_for_each (it, &process->loops)
        env_base_free(&CONTAINER_OF(it, struct loop, link)->env);
    sim_heap_enter(slot);
}

static void trace_block(void *ctx, const void *p, size_t size)
{
    const struct process *process = ctx;
    const uint8_t *bytes = p;
    char text[33] = "";
    for (size_t i = 0; i < MIN(size, sizeof(text) - 1); i++)
        text[i] = bytes[i] >= 32 && bytes[i] < 127 ? (char)bytes[i] : '.';
    world_trace(process->world, "%s: still holds %zu bytes at %p: %s", process->name, size, p, text);
}

size_t process_end(struct process *process)
{
    ASSERT(process->alive && process->world->inside == NULL);
    list_for_each (it, &process->loops)
        loop_drop_net(CONTAINER_OF(it, struct loop, link));
    loops_free(process);
    size_t left = sim_heap_blocks(process_heap_slot(process));
    sim_heap_each(process_heap_slot(process), trace_block, process);
    process_dispose(process, DEATH_KILL, "ended");
    return left;
}

void process_on_death(struct process *process,
                      void (*fn)(void *ctx, struct process *process, const char *why), void *ctx)
{
    process->on_death = fn;
    process->on_death_ctx = ctx;
}

void process_tap(struct process *process, void (*fn)(void *ctx, const uint8_t *p, size_t len), void *ctx)
{
    process->tap = fn;
    process->tap_ctx = ctx;
}
