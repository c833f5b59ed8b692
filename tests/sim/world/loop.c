/* SPDX-License-Identifier: Apache-2.0 */
/* Loops: turns, mail, workers, and the table of the seam. A turn happens at one moment of the world; what it
 * costs is added up and the loop is busy for that long afterwards. Its own clock shows the cost as it grows.
 */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/sim/world/world_int.h"

#define POOL_KEEP_BYTES (4u << 20)

struct loop *loop_of(struct env *env)
{
    return (struct loop *)env;
}

uint64_t loop_now(const struct loop *loop)
{
    return loop->process->world->now_us + (loop->in_turn ? loop->cost_us : 0);
}

void loop_spend(struct loop *loop, uint64_t us)
{
    if (loop->in_turn)
        loop->cost_us += us;
}

/* -- running code of a process -- */

static void on_assertion(void *ctx, const char *file, int line, const char *expr)
{
    struct world *world = ctx;
    static char text[512];
    if (world->inside == NULL)
        return; /* our own: abort */
    snprintf(text, sizeof(text), "assertion %s:%d: %s", file, line, expr);
    world->bites.assertions++;
    world->death_why = text;
    world->death = DEATH_KILL;
    longjmp(world->escape, 1);
}

static uint64_t cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void note_cpu(struct process *process, struct loop *loop, uint64_t took_ns)
{
    process->cpu_ns += took_ns;
    process->turn_max_ns = MAX(process->turn_max_ns, took_ns);
    if (process->world->options.charged)
        loop_spend(loop, took_ns / 1000);
}

bool process_run(struct process *process, struct loop *loop, void (*fn)(void *arg), void *arg)
{
    struct world *world = process->world;
    ASSERT(world->inside == NULL && process->alive);
    world->inside = process;
    world->running = loop;
    assert_set_hook(on_assertion, world);
    uint64_t began_ns = world->options.timed ? cpu_ns() : 0;
    if (setjmp(world->escape) == 0) {
        sim_heap_enter(process_heap_slot(process));
        fn(arg);
    } else {
        world->dying = true;
    }
    sim_heap_enter(SIM_HEAP_HOST);
    world->inside = NULL;
    world->running = NULL;
    if (world->options.timed)
        note_cpu(process, loop, cpu_ns() - began_ns);
    if (!world->dying)
        return true;
    world->dying = false;
    process_dispose(process, world->death, world->death_why);
    return false;
}

/* -- turns -- */

static void loop_run_ready(struct loop *loop)
{
    list_splice_back(&loop->landing, &loop->ready); /* what arrives meanwhile waits for the next turn */
    while (!list_empty(&loop->landing)) {
        struct arrival *arrival = CONTAINER_OF(loop->landing.next, struct arrival, link);
        list_remove(&arrival->link);
        arrival->fn(arrival);
    }
}

static void loop_turn(void *arg)
{
    struct loop *loop = arg;
    struct world *world = loop->process->world;
    bool timers_first = world_below(world, 2) == 0;
    env_turn_begin(&loop->env, process_mono_us(loop->process, world->now_us));
    if (timers_first)
        env_run_timers(&loop->env);
    loop_run_ready(loop);
    if (!timers_first)
        env_run_timers(&loop->env);
    env_run_mail(&loop->env);
    env_run_tasks(&loop->env);
    conns_flush(loop);
}

static bool loop_has_ready(struct loop *loop)
{
    return !list_empty(&loop->ready) || !list_empty(&loop->dirty) || env_has_ready(&loop->env);
}

static void loop_schedule(struct loop *loop)
{
    if (loop_has_ready(loop)) {
        loop_wake(loop, loop->busy_until_us);
        return;
    }
    uint64_t deadline_us = env_next_deadline_us(&loop->env);
    if (deadline_us != NEVER)
        loop_wake(loop, process_world_us(loop->process, deadline_us));
}

/* Nobody reads mail before its sender's turn is over: clocks of one process agree. */
static void siblings_wake(struct loop *loop)
{
    struct world *world = loop->process->world;
    list_for_each (it, &loop->process->loops) {
        struct loop *sibling = CONTAINER_OF(it, struct loop, link);
        if (sibling == loop || atomic_load(&sibling->env.mail) == NULL)
            continue;
        uint64_t delay_us = world_unlucky(world, 200) ? world_below(world, 3000) : world_below(world, 6);
        sibling->busy_until_us = MAX(sibling->busy_until_us, loop->busy_until_us);
        if (sibling->turn.node.slot != 0 && sibling->turn.node.key < sibling->busy_until_us)
            world_cancel(world, &sibling->turn);
        loop_wake(sibling, sibling->busy_until_us + delay_us);
    }
}

static void on_turn(struct world_event *event)
{
    struct loop *loop = CONTAINER_OF(event, struct loop, turn);
    struct world *world = loop->process->world;
    if (world->now_us < loop->process->paused_until_us) {
        world_at(world, event, loop->process->paused_until_us);
        return;
    }
    world_mix(world, (uint64_t)loop->process->index);
    loop->in_turn = true;
    loop->cost_us = 0;
    if (!process_run(loop->process, loop, loop_turn, loop))
        return;
    loop->in_turn = false;
    loop->busy_until_us = world->now_us + loop->cost_us + 1 + world_below(world, 4);
    siblings_wake(loop);
    if (loop->stopping && loop->inflight == 0 && !loop_has_ready(loop)) {
        loop->ended = true;
        loop_drop_net(loop);
    } else {
        loop_schedule(loop);
    }
}

void loop_wake(struct loop *loop, uint64_t at_us)
{
    if (loop->in_turn || loop->ended || at_us == NEVER)
        return; /* the end of the turn looks at everything */
    at_us = MAX(at_us, MAX(loop->busy_until_us, loop->process->paused_until_us));
    if (loop->turn.node.slot == 0 || at_us < loop->turn.node.key)
        world_at(loop->process->world, &loop->turn, at_us);
}

void loop_arrive(struct loop *loop, struct arrival *arrival)
{
    if (list_empty(&arrival->link))
        list_push_back(&loop->ready, &arrival->link);
    loop_wake(loop, loop->process->world->now_us);
}

/* -- workers -- */

struct work_job {
    struct job job; /* first */
    struct env_work *work;
};

static void work_done(struct env_msg *msg)
{
    struct env_work *work = CONTAINER_OF(msg, struct env_work, msg);
    loop_of(work->env)->inflight--;
    work->done(work);
}

static void work_call(void *arg)
{
    struct env_work *work = arg;
    work->work(work);
}

static void on_work(struct world_event *event)
{
    struct work_job *job = (struct work_job *)CONTAINER_OF(event, struct job, event);
    struct process *process = job->job.process;
    struct env_work *work = job->work;
    struct loop *loop = job->job.loop;
    if (process->world->now_us < process->paused_until_us) {
        world_at(process->world, event, process->paused_until_us);
        return;
    }
    list_remove(&job->job.link);
    host_free(job);
    if (!process_run(process, loop, work_call, work))
        return;
    work->msg.fn = work_done;
    env_post(&loop->env, &work->msg);
}

static void sim_work_submit(struct env *env, struct env_work *work)
{
    struct loop *loop = loop_of(env);
    struct work_job *job = host_alloc(sizeof(*job));
    job->job.process = loop->process;
    job->job.loop = loop;
    job->job.event.fn = on_work;
    job->work = work;
    list_push_back(&loop->process->jobs, &job->job.link);
    loop->inflight++;
    world_at(loop->process->world, &job->job.event,
             loop_now(loop) + 3 + world_below(loop->process->world, 200) + loop->process->work_delay_us);
}

void process_delay_work(struct process *process, uint64_t us)
{
    process->work_delay_us = us;
}

/* -- life -- */

static const struct env_ops sim_ops;

struct loop *loop_new(struct process *process, const char *name)
{
    struct loop *loop = host_alloc(sizeof(*loop));
    loop->process = process;
    snprintf(loop->name, sizeof(loop->name), "%s", name);
    loop->turn.fn = on_turn;
    list_init(&loop->ready);
    list_init(&loop->landing);
    list_init(&loop->dirty);
    int slot = sim_heap_enter(process_heap_slot(process));
    bool ok = env_base_init(&loop->env, &sim_ops, prng_next(&process->world->prng), POOL_KEEP_BYTES);
    sim_heap_enter(slot);
    ASSERT(ok);
    list_push_back(&process->loops, &loop->link);
    return loop;
}

void loop_forget(struct loop *loop)
{
    world_cancel(loop->process->world, &loop->turn);
    list_remove(&loop->link);
    host_free(loop);
}

static struct env *sim_spawn(struct env *parent, const char *name, struct env_msg *start_msg)
{
    struct loop *loop = loop_new(loop_of(parent)->process, name);
    loop->busy_until_us = loop_now(loop_of(parent)) + 20;
    env_post(&loop->env, start_msg);
    return &loop->env;
}

static void sim_stop(struct env *env)
{
    struct loop *loop = loop_of(env);
    loop->stopping = true;
    loop_wake(loop, loop->process->world->now_us);
}

static void sim_wake(struct env *env)
{
    struct loop *loop = loop_of(env);
    struct world *world = loop->process->world;
    uint64_t at_us = world->now_us;
    if (world->running != NULL) /* siblings_wake() looks again at the end of that turn */
        at_us += world->running->cost_us + 1;
    loop_wake(loop, at_us);
}

static uint64_t sim_now_us(struct env *env)
{
    struct loop *loop = loop_of(env);
    return process_mono_us(loop->process, loop_now(loop));
}

static int64_t sim_wall_ms(struct env *env)
{
    struct loop *loop = loop_of(env);
    struct process *process = loop->process;
    process->wall_looks++;
    if (process->wall_frozen_ms != 0)
        return process->wall_frozen_ms;
    return process->wall_offset_ms +
           (int64_t)((process_mono_us(process, loop_now(loop)) - process->mono_base_us) / 1000);
}

static void sim_random(struct env *env, void *buf, size_t len)
{
    uint8_t *p = buf;
    struct prng *prng = &loop_of(env)->process->prng;
    while (len > 0) {
        uint64_t bits = prng_next(prng);
        size_t step = MIN(len, sizeof(bits));
        memcpy(p, &bits, step);
        p += step;
        len -= step;
    }
}

static unsigned sim_cpu_count(struct env *env)
{
    (void)env;
    return 2;
}

static uint32_t sim_files_max(struct env *env)
{
    (void)env;
    return 1024;
}

static void sim_boot_id(struct env *env, char out[37])
{
    const struct process *process = loop_of(env)->process;
    snprintf(out, 37, "%08x-0000-4000-8000-%012x", process->boots, (unsigned)process->index);
}

static const struct env_ops sim_ops = {
    .now_us = sim_now_us,
    .wall_ms = sim_wall_ms,
    .random = sim_random,
    .wake = sim_wake,
    .work_submit = sim_work_submit,
    .spawn = sim_spawn,
    .stop = sim_stop,
    .cpu_count = sim_cpu_count,
    .files_max = sim_files_max,
    .boot_id = sim_boot_id,
    .net = &sim_net_ops,
    .disk = &sim_disk_ops,
};
