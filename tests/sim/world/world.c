/* SPDX-License-Identifier: Apache-2.0 */
/* The clock of everything and the queue of what will happen. */
#include "tests/sim/world/world.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/sim/world/world_int.h"

#define WINDOW_BYTES (256u << 10)

void *host_alloc(size_t size)
{
    int slot = host_enter();
    void *p = calloc(1, size);
    ASSERT(p != NULL);
    host_leave(slot);
    return p;
}

void *host_take(size_t size)
{
    int slot = host_enter();
    void *p = malloc(size);
    ASSERT(p != NULL);
    host_leave(slot);
    return p;
}

void host_free(void *p)
{
    free(p);
}

bool world_unlucky(struct world *world, uint32_t one_in)
{
    return world->options.bad_luck && world_below(world, one_in) == 0;
}

static void links_init(struct world *world)
{
    for (int from = 0; from < WORLD_PROCESSES_MAX; from++)
        for (int to = 0; to < WORLD_PROCESSES_MAX; to++)
            world->links[from][to] =
                (struct link){.latency_us = world->options.latency_us, .jitter_us = world->options.jitter_us};
}

struct world *world_new(const struct world_options *options)
{
    struct world *world = host_alloc(sizeof(*world));
    world->options = *options;
    if (world->options.window_bytes == 0)
        world->options.window_bytes = WINDOW_BYTES;
    heap_init(&world->events);
    prng_seed(&world->prng, options->seed);
    list_init(&world->wires);
    links_init(world);
    tzset(); /* the C library reads its time zone once, and keeps it: not in the memory of a process */
    return world;
}

void world_free(struct world *world)
{
    for (int i = 0; i < world->process_count; i++) {
        struct process *process = world->processes[i];
        if (process->alive)
            process_dispose(process, DEATH_POWER, "end of the world");
        disk_free(process->disk);
        host_free(process);
    }
    wires_free(world);
    heap_free(&world->events);
    host_free(world);
}

uint64_t world_now_us(const struct world *world)
{
    return world->now_us;
}

struct prng *world_prng(struct world *world)
{
    return &world->prng;
}

uint64_t world_events(const struct world *world)
{
    return world->event_count;
}

struct world_bites *world_bites(struct world *world)
{
    return &world->bites;
}

uint64_t world_hash(const struct world *world)
{
    return world->hash;
}

void world_mix(struct world *world, uint64_t value)
{
    uint64_t x = (world->hash ^ value) * 0x9e3779b97f4a7c15u;
    world->hash = x ^ (x >> 29);
}

bool world_is_traced(const struct world *world)
{
    return world->options.trace != NULL;
}

void world_trace(struct world *world, const char *format, ...)
{
    va_list args;
    if (world->options.trace == NULL)
        return;
    int slot = host_enter();
    fprintf(world->options.trace, "%6llu.%06llu  ", (unsigned long long)(world->now_us / 1000000),
            (unsigned long long)(world->now_us % 1000000));
    va_start(args, format);
    vfprintf(world->options.trace, format, args);
    va_end(args);
    fputc('\n', world->options.trace);
    host_leave(slot);
}

void world_at(struct world *world, struct world_event *event, uint64_t at_us)
{
    int slot = host_enter();
    heap_remove(&world->events, &event->node);
    bool inserted = heap_insert(&world->events, &event->node, MAX(at_us, world->now_us));
    ASSERT(inserted);
    host_leave(slot);
}

void world_cancel(struct world *world, struct world_event *event)
{
    heap_remove(&world->events, &event->node);
}

bool world_step(struct world *world)
{
    struct heap_node *min = heap_min(&world->events);
    if (min == NULL)
        return false;
    struct world_event *event = CONTAINER_OF(min, struct world_event, node);
    world->now_us = min->key;
    world->event_count++;
    world_mix(world, world->now_us);
    heap_remove(&world->events, min);
    event->fn(event);
    return true;
}

void world_run(struct world *world, uint64_t until_us)
{
    for (;;) {
        struct heap_node *min = heap_min(&world->events);
        if (min == NULL || min->key > until_us)
            break;
        world_step(world);
    }
    world->now_us = MAX(world->now_us, until_us);
}

bool world_run_until(struct world *world, uint64_t limit_us, bool (*done)(void *ctx), void *ctx)
{
    uint64_t until_us = world->now_us + limit_us;
    while (!done(ctx)) {
        struct heap_node *min = heap_min(&world->events);
        if (min == NULL || min->key > until_us) {
            world->now_us = MAX(world->now_us, until_us);
            return done(ctx);
        }
        world_step(world);
    }
    return true;
}
