/* SPDX-License-Identifier: Apache-2.0 */
/* Between two ends: handshake, bytes in flight, cut links, resets. */
#include <string.h>

#include "common/base/crc32c.h"
#include "tests/sim/world/net_int.h"

/* -- queues of segments -- */

struct seg *seg_new(enum seg_kind kind, size_t len)
{
    struct seg *seg = host_alloc(sizeof(*seg) + len);
    seg->kind = kind;
    seg->len = (uint32_t)len;
    return seg;
}

void segs_push(struct seg_queue *queue, struct seg *seg)
{
    seg->next = NULL;
    if (queue->head == NULL)
        queue->head = seg;
    else
        queue->tail->next = seg;
    queue->tail = seg;
}

struct seg *segs_pop(struct seg_queue *queue)
{
    struct seg *seg = queue->head;
    if (seg != NULL)
        queue->head = seg->next;
    return seg;
}

void segs_clear(struct seg_queue *queue)
{
    struct seg *seg;
    while ((seg = segs_pop(queue)) != NULL)
        host_free(seg);
}

/* -- life -- */

static bool wire_is_over(const struct wire *wire)
{
    return wire->ends[0] == NULL && wire->ends[1] == NULL && wire->halves[0].flight.head == NULL &&
           wire->halves[1].flight.head == NULL;
}

static void wire_free(struct wire *wire)
{
    world_cancel(wire->world, &wire->handshake);
    for (int side = 0; side < 2; side++) {
        world_cancel(wire->world, &wire->halves[side].arrival);
        world_cancel(wire->world, &wire->halves[side].ack);
        segs_clear(&wire->halves[side].flight);
    }
    list_remove(&wire->link);
    host_free(wire);
}

void wires_free(struct world *world)
{
    while (!list_empty(&world->wires))
        wire_free(CONTAINER_OF(world->wires.next, struct wire, link));
}

void wire_detach(struct wire *wire, int side)
{
    wire->ends[side] = NULL;
    wire->halves[side].wants_room = false;
    if (wire_is_over(wire))
        wire_free(wire);
}

void wire_lose(struct wire *wire, int side)
{
    struct half *half = &wire->halves[side];
    segs_clear(&half->flight);
    world_cancel(wire->world, &half->arrival);
    half->stalled = false;
}

static struct link *way(const struct wire *wire, int from_side)
{
    return &wire->world->links[wire->procs[from_side]->index][wire->procs[1 - from_side]->index];
}

/* Nothing gets from one side to the other at present. */
static bool way_is_shut(const struct wire *wire, int from_side)
{
    const struct process *from = wire->procs[from_side], *to = wire->procs[1 - from_side];
    return wire->world->links[from->index][to->index].cut || !to->host_up;
}

/* -- flight -- */

static void half_deliver(struct half *half, struct seg *seg)
{
    struct wire *wire = half->wire;
    struct conn *end = wire->ends[1 - half->side];
    uint32_t sum = seg->len > 0 ? crc32c(0, seg->data, seg->len) : (uint32_t)seg->kind;
    world_mix(wire->world, (uint64_t)seg->len << 32 | sum);
    if (end != NULL) {
        conn_arrived(end, seg);
        return;
    }
    half->used -= seg->len;
    if (seg->kind == SEG_DATA && wire->ends[half->side] != NULL)
        wire_send(wire, 1 - half->side, seg_new(SEG_RST, 0), wire->world->now_us);
    host_free(seg);
}

static void half_stall(struct half *half)
{
    struct world *world = half->wire->world;
    struct link *link = way(half->wire, half->side);
    half->stalled = true;
    world->bites.segments_stalled++;
    link->bites.cut += link->cut;
    world_at(world, &half->arrival, world->now_us + STALL_MIN_US + world_below(world, 2ull * STALL_MIN_US));
}

/* The sender has repeated itself for long enough. */
static void half_give_up(struct half *half)
{
    struct wire *wire = half->wire;
    struct conn *sender = wire->ends[half->side];
    wire_lose(wire, half->side);
    if (sender != NULL)
        conn_end(sender, ERR_TIMED_OUT);
    else if (wire_is_over(wire))
        wire_free(wire);
}

static void on_arrival(struct world_event *event)
{
    struct half *half = CONTAINER_OF(event, struct half, arrival);
    struct wire *wire = half->wire;
    struct world *world = wire->world;
    struct link *link = way(wire, half->side);
    if (half->stalled) {
        half_give_up(half);
    } else if (way_is_shut(wire, half->side)) {
        half_stall(half);
    } else if (world->now_us < link->clogged_until_us) {
        world->bites.clogged++;
        link->bites.clogged++;
        world_at(world, event, link->clogged_until_us + world_below(world, 2000));
    } else {
        struct seg *seg = segs_pop(&half->flight);
        if (half->flight.head != NULL)
            world_at(world, event, half->flight.head->at_us);
        half_deliver(half, seg);
        if (wire_is_over(wire))
            wire_free(wire);
    }
}

void wire_send(struct wire *wire, int side, struct seg *seg, uint64_t depart_us)
{
    struct half *half = &wire->halves[side];
    uint64_t at_us = link_arrival_us(wire->world, wire->procs[side]->index, wire->procs[1 - side]->index,
                                     depart_us, seg->len);
    seg->at_us = MAX(at_us, half->last_at_us);
    half->last_at_us = seg->at_us;
    half->used += seg->len;
    way(wire, side)->sent_bytes += seg->len;
    bool first = half->flight.head == NULL;
    segs_push(&half->flight, seg);
    if (first)
        world_at(wire->world, &half->arrival, seg->at_us);
}

size_t wire_room(const struct wire *wire, int side)
{
    size_t used = wire->halves[side].used, window = wire->world->options.window_bytes;
    return used < window ? window - used : 0;
}

static void on_ack(struct world_event *event)
{
    struct half *half = CONTAINER_OF(event, struct half, ack);
    struct conn *sender = half->wire->ends[half->side];
    if (!half->wants_room || sender == NULL || way_is_shut(half->wire, 1 - half->side))
        return; /* wires_retry() comes back to it */
    half->wants_room = false;
    conn_room(sender);
}

void wire_took(struct wire *wire, int side, size_t len)
{
    struct half *half = &wire->halves[side];
    half->used -= len;
    if (!half->wants_room || half->ack.node.slot != 0)
        return;
    int from = wire->procs[1 - side]->index, to = wire->procs[side]->index;
    world_at(wire->world, &half->ack, link_arrival_us(wire->world, from, to, wire->world->now_us, 0));
}

/* -- handshake -- */

static void handshake_stall(struct wire *wire)
{
    struct world *world = wire->world;
    wire->handshake_stalled = true;
    world->bites.segments_stalled++;
    for (int side = 0; side < 2; side++)
        way(wire, side)->bites.cut += way(wire, side)->cut;
    world_at(world, &wire->handshake,
             world->now_us + SYN_STALL_MIN_US + world_below(world, 2ull * SYN_STALL_MIN_US));
}

static void handshake_answer(struct wire *wire, enum wire_phase phase)
{
    wire->phase = phase;
    uint64_t at_us =
        link_arrival_us(wire->world, wire->procs[1]->index, wire->procs[0]->index, wire->world->now_us, 0);
    wire->halves[1].last_at_us = at_us; /* nothing of the server's comes earlier */
    world_at(wire->world, &wire->handshake, at_us);
}

static void handshake_syn(struct wire *wire)
{
    struct listener *listener = NULL;
    if (wire->procs[1]->alive)
        listener = listener_find(wire->procs[1], wire->to.port, wire->procs[0] == wire->procs[1]);
    if (listener == NULL) {
        handshake_answer(wire, WIRE_REFUSED);
    } else if (listener->backlog_count >= BACKLOG_MAX) {
        wire->world->bites.refused_full++;
        handshake_stall(wire);
    } else {
        listener_offer(listener, conn_new(listener->loop, wire, 1));
        handshake_answer(wire, WIRE_SYN_ACK);
    }
}

static void on_handshake(struct world_event *event)
{
    struct wire *wire = CONTAINER_OF(event, struct wire, handshake);
    struct conn *client = wire->ends[0];
    if (client == NULL) { /* closed meanwhile; its end has told the server's, if there is one */
        if (wire_is_over(wire))
            wire_free(wire);
    } else if (wire->handshake_stalled) {
        conn_end(client, world_below(wire->world, 2) == 0 ? ERR_TIMED_OUT : ERR_UNREACHABLE);
    } else if (way_is_shut(wire, wire->phase == WIRE_SYN ? 0 : 1)) {
        handshake_stall(wire);
    } else if (wire->phase == WIRE_SYN) {
        handshake_syn(wire);
    } else if (wire->phase == WIRE_SYN_ACK) {
        wire->phase = WIRE_UP;
        conn_connected(client);
    } else {
        conn_end(client, ERR_REFUSED);
    }
}

static void half_init(struct wire *wire, int side)
{
    struct half *half = &wire->halves[side];
    half->wire = wire;
    half->side = side;
    half->arrival.fn = on_arrival;
    half->ack.fn = on_ack;
}

struct wire *wire_new(struct process *from, struct process *to, struct conn *client,
                      const struct env_addr *addr)
{
    struct wire *wire = host_alloc(sizeof(*wire));
    wire->world = from->world;
    wire->procs[0] = from;
    wire->procs[1] = to;
    wire->ends[0] = client;
    wire->to = *addr;
    wire->from_port = from->next_port++;
    if (from->next_port == 0)
        from->next_port = 49152;
    wire->handshake.fn = on_handshake;
    half_init(wire, 0);
    half_init(wire, 1);
    list_push_back(&from->world->wires, &wire->link);
    return wire;
}

void wire_handshake_start(struct wire *wire, uint64_t depart_us)
{
    world_at(wire->world, &wire->handshake,
             link_arrival_us(wire->world, wire->procs[0]->index, wire->procs[1]->index, depart_us, 0));
}

/* -- the way is open again -- */

/* Nothing that was sent over a clogged or slow way comes later than a moment from now. */
static void half_hurry(struct half *half)
{
    uint64_t latest_us = half->wire->world->now_us + RETRY_MAX_US;
    bool late = half->flight.head != NULL && !half->stalled && half->arrival.node.key > latest_us;
    for (struct seg *seg = half->flight.head; seg != NULL; seg = seg->next)
        seg->at_us = MIN(seg->at_us, latest_us);
    half->last_at_us = MIN(half->last_at_us, latest_us);
    if (late)
        world_at(half->wire->world, &half->arrival, latest_us);
}

void wires_hurry(struct world *world)
{
    list_for_each (it, &world->wires) {
        half_hurry(&CONTAINER_OF(it, struct wire, link)->halves[0]);
        half_hurry(&CONTAINER_OF(it, struct wire, link)->halves[1]);
    }
}

static void half_retry(struct half *half)
{
    struct world *world = half->wire->world;
    uint64_t at_us = world->now_us + 1000 + world_below(world, RETRY_MAX_US);
    if (half->stalled && !way_is_shut(half->wire, half->side)) {
        half->stalled = false;
        half->last_at_us = MAX(half->last_at_us, at_us);
        world_at(world, &half->arrival, at_us);
    }
    if (half->wants_room && half->ack.node.slot == 0)
        world_at(world, &half->ack, at_us);
}

static void handshake_retry(struct wire *wire)
{
    struct world *world = wire->world;
    if (!wire->handshake_stalled || way_is_shut(wire, wire->phase == WIRE_SYN ? 0 : 1))
        return;
    wire->handshake_stalled = false;
    world_at(world, &wire->handshake, world->now_us + 1000 + world_below(world, 500000));
}

void wires_retry(struct world *world, int from, int to)
{
    list_for_each (it, &world->wires) {
        struct wire *wire = CONTAINER_OF(it, struct wire, link);
        int a = wire->procs[0]->index, b = wire->procs[1]->index;
        bool forth = (from < 0 || from == a) && (to < 0 || to == b);
        bool back = (from < 0 || from == b) && (to < 0 || to == a);
        if (!forth && !back)
            continue;
        half_retry(&wire->halves[0]);
        half_retry(&wire->halves[1]);
        handshake_retry(wire);
    }
}
