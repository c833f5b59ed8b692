/* SPDX-License-Identifier: Apache-2.0 */
/* What the ways between hosts are like, and how they break. */
#include "tests/sim/world/net_int.h"

static struct link *link_of(struct world *world, const struct process *from, const struct process *to)
{
    return &world->links[from->index][to->index];
}

uint64_t link_arrival_us(struct world *world, int from, int to, uint64_t at_us, size_t len)
{
    struct link *link = &world->links[from][to];
    if (from == to)
        return at_us + LOOPBACK_US + world_below(world, LOOPBACK_US);
    link->bites.slowed += link->bytes_per_ms > 0;
    if (link->bytes_per_ms > 0) {
        link->free_us = MAX(link->free_us, at_us) + (uint64_t)len * 1000 / link->bytes_per_ms;
        at_us = link->free_us;
    }
    uint64_t latency_us = link->latency_us + world_below(world, (uint64_t)link->jitter_us + 1);
    if (world_unlucky(world, 400))
        latency_us *= 10 + world_below(world, 90);
    return at_us + latency_us;
}

void world_cut(struct world *world, const struct process *from, const struct process *to, bool cut)
{
    struct link *link = link_of(world, from, to);
    if (link->cut == cut)
        return;
    link->cut = cut;
    world_trace(world, "%s -> %s: %s", from->name, to->name, cut ? "cut" : "healed");
    if (!cut)
        wires_retry(world, from->index, to->index);
}

const struct world_link_bites *world_link_bites(const struct world *world, const struct process *from,
                                                const struct process *to)
{
    return &world->links[from->index][to->index].bites;
}

uint64_t world_sent_bytes(const struct world *world, const struct process *from, const struct process *to)
{
    return world->links[from->index][to->index].sent_bytes;
}

/* A connection that lost one end with that one's power tells the other end nothing: all is read. */
static bool half_outlives_close(const struct wire *wire, const struct process *from, int side)
{
    const struct conn *reader = wire->ends[1 - side];
    return wire->procs[side] == from && wire->ends[side] == NULL && reader != NULL &&
           (wire->halves[side].flight.head != NULL || reader->rx.head != NULL);
}

bool world_outlives_close(const struct world *world, const struct process *from)
{
    list_for_each (it, &world->wires) {
        const struct wire *wire = CONTAINER_OF(it, struct wire, link);
        if (half_outlives_close(wire, from, 0) || half_outlives_close(wire, from, 1))
            return true;
    }
    return false;
}

bool world_is_cut(const struct world *world, const struct process *from, const struct process *to)
{
    return world->links[from->index][to->index].cut;
}

void world_heal(struct world *world)
{
    for (int from = 0; from < world->process_count; from++) {
        for (int to = 0; to < world->process_count; to++) {
            struct link *link = &world->links[from][to];
            *link = (struct link){.latency_us = world->options.latency_us,
                                  .jitter_us = world->options.jitter_us,
                                  .sent_bytes = link->sent_bytes,
                                  .bites = link->bites};
        }
    }
    world_trace(world, "network healed");
    wires_hurry(world);
    wires_retry(world, -1, -1);
}

void world_clog(struct world *world, const struct process *from, const struct process *to, uint64_t for_us)
{
    struct link *link = link_of(world, from, to);
    link->clogged_until_us = MAX(link->clogged_until_us, world->now_us + for_us);
    world_trace(world, "%s -> %s: clogged for %llu us", from->name, to->name, (unsigned long long)for_us);
}

void world_slow(struct world *world, const struct process *from, const struct process *to,
                uint32_t latency_us, uint32_t bytes_per_ms)
{
    struct link *link = link_of(world, from, to);
    link->latency_us = latency_us > 0 ? latency_us : world->options.latency_us;
    link->bytes_per_ms = bytes_per_ms;
    world_trace(world, "%s -> %s: latency %u us, %u bytes/ms", from->name, to->name, link->latency_us,
                bytes_per_ms);
}

static bool wire_is_between(const struct wire *wire, const struct process *a, const struct process *b)
{
    if (wire->ends[0] == NULL || wire->ends[1] == NULL || wire->phase != WIRE_UP)
        return false;
    bool has_a = wire->procs[0] == a || wire->procs[1] == a;
    return has_a && (b == NULL || wire->procs[0] == b || wire->procs[1] == b);
}

/* Both ends learn of it at once, what was in flight is gone. */
static void wire_reset(struct wire *wire)
{
    struct conn *ends[2] = {wire->ends[0], wire->ends[1]};
    wire_lose(wire, 0);
    wire_lose(wire, 1);
    for (int side = 0; side < 2; side++) {
        ends[side]->reset = true;
        conn_end(ends[side], ERR_CLOSED);
    }
}

bool world_reset_one(struct world *world, const struct process *a, const struct process *b)
{
    uint64_t count = 0;
    list_for_each (it, &world->wires)
        count += wire_is_between(CONTAINER_OF(it, struct wire, link), a, b);
    if (count == 0)
        return false;
    uint64_t chosen = world_below(world, count);
    list_for_each (it, &world->wires) {
        struct wire *wire = CONTAINER_OF(it, struct wire, link);
        if (!wire_is_between(wire, a, b) || chosen-- > 0)
            continue;
        world_trace(world, "connection %s - %s: reset", wire->procs[0]->name, wire->procs[1]->name);
        world->bites.resets++;
        wire_reset(wire);
        return true;
    }
    UNREACHABLE();
}
