/* SPDX-License-Identifier: Apache-2.0 */
/* An end of a connection, as its owner knows it: input into the owner's memory, the queue of output, the end
 * of life. */
#include <string.h>

#include "tests/sim/world/net_int.h"

static void conn_on_readable(struct arrival *arrival);
static void conn_on_pending(struct arrival *arrival);

struct conn *conn_new(struct loop *loop, struct wire *wire, int side)
{
    struct conn *conn = host_alloc(sizeof(*conn));
    conn->base.ops = &sim_conn_ops;
    conn->process = loop->process;
    conn->loop = loop;
    conn->wire = wire;
    conn->side = side;
    conn->state = CONN_ACCEPTED;
    conn->high_bytes = HIGH_MARK_BYTES;
    conn->readable.fn = conn_on_readable;
    conn->pending.fn = conn_on_pending;
    list_init(&conn->readable.link);
    list_init(&conn->pending.link);
    list_init(&conn->dirty);
    list_init(&conn->backlog);
    list_push_back(&loop->process->conns, &conn->link);
    if (wire != NULL)
        wire->ends[side] = conn;
    return conn;
}

/* -- the queue of output -- */

static void out_push(struct conn *conn, const struct out *piece)
{
    struct out *out = host_alloc(sizeof(*out));
    *out = *piece;
    if (conn->out_head == NULL)
        conn->out_head = out;
    else
        conn->out_tail->next = out;
    conn->out_tail = out;
    conn->out_bytes += out->len;
}

/* alive: the owner's references are given back; else its memory is gone already. */
static void out_pop(struct conn *conn, bool alive)
{
    struct out *out = conn->out_head;
    conn->out_head = out->next;
    if (alive && out->file != NULL)
        env_file_close(out->file);
    if (alive)
        iobuf_unref(out->owner);
    host_free(out);
}

static void out_clear(struct conn *conn, bool alive)
{
    while (conn->out_head != NULL)
        out_pop(conn, alive);
    conn->out_bytes = 0;
}

/* -- the end -- */

static void conn_free(struct conn *conn)
{
    list_remove(&conn->readable.link);
    list_remove(&conn->pending.link);
    list_remove(&conn->dirty);
    list_remove(&conn->backlog);
    list_remove(&conn->link);
    segs_clear(&conn->rx);
    host_free(conn);
}

/* What the other side learns: FIN when all was read, else a reset; nothing when it has reset us. */
static void conn_leave_wire(struct conn *conn)
{
    struct wire *wire = conn->wire;
    if (wire == NULL)
        return;
    conn->wire = NULL;
    bool stands = conn->side == 1 || wire->phase == WIRE_UP || wire->ends[1] != NULL;
    for (struct seg *seg = conn->rx.head; seg != NULL; seg = seg->next)
        wire_took(wire, 1 - conn->side, seg->len - seg->off);
    if (stands && !conn->reset)
        wire_send(wire, conn->side, seg_new(SEG_FIN, 0), loop_now(conn->loop));
    if (wire->handshake.node.slot != 0 && conn->side == 0)
        world_cancel(wire->world, &wire->handshake);
    wire_detach(wire, conn->side);
}

static void conn_shut(struct conn *conn)
{
    conn->state = CONN_DYING;
    out_clear(conn, true);
    list_remove(&conn->dirty);
    conn_leave_wire(conn);
}

void conn_end(struct conn *conn, enum err why)
{
    if (conn->state == CONN_DYING)
        return;
    bool told = conn->state != CONN_ACCEPTED;
    conn->why = why;
    if (!told && conn->handler == NULL) { /* its owner has not seen it: it stays until accepted */
        conn->eof = true;
        return;
    }
    conn_shut(conn);
    loop_arrive(conn->loop, &conn->pending);
}

void conn_abandon(struct conn *conn)
{
    struct wire *wire = conn->wire;
    out_clear(conn, false);
    if (wire != NULL && conn->process->host_up) {
        conn_leave_wire(conn);
    } else if (wire != NULL) {
        wire_lose(wire, conn->side);
        if (conn->side == 0)
            world_cancel(wire->world, &wire->handshake);
        wire_detach(wire, conn->side);
    }
    conn_free(conn);
}

static void conn_on_pending(struct arrival *arrival)
{
    struct conn *conn = CONTAINER_OF(arrival, struct conn, pending);
    if (conn->state == CONN_DYING) {
        const struct env_conn_handler *handler = conn->handler;
        void *ctx = conn->ctx;
        enum err why = conn->why;
        conn_free(conn);
        handler->closed(ctx, why);
    } else if (conn->drained_due) {
        conn->drained_due = false;
        if (conn->handler->drained != NULL)
            conn->handler->drained(conn->ctx);
    }
}

/* -- sending -- */

static void conn_make_dirty(struct conn *conn)
{
    if (list_empty(&conn->dirty))
        list_push_back(&conn->loop->dirty, &conn->dirty);
}

static void conn_sent(struct conn *conn, size_t len)
{
    conn->out_bytes -= len;
    if (conn->above_high && conn->out_bytes <= conn->high_bytes / 2) {
        conn->above_high = false;
        conn->drained_due = true;
        loop_arrive(conn->loop, &conn->pending);
    }
}

/* Moves bytes of the head into seg from seg->len on. Returns an error when the file does not hold them. */
static enum err out_move(struct conn *conn, struct seg *seg, size_t room)
{
    struct out *out = conn->out_head;
    size_t len = MIN(out->len, room), got = len;
    if (out->file != NULL) {
        if (sim_file_revoked(out->file))
            return ERR_TRUNCATED;
        enum err err = sim_file_read(out->file, out->offset, seg->data + seg->len, len, &got);
        if (err != OK || got == 0)
            return err != OK ? err : ERR_TRUNCATED;
        out->offset += got;
    } else {
        memcpy(seg->data + seg->len, out->p, len);
        out->p += len;
    }
    out->len -= got;
    seg->len += (uint32_t)got;
    if (out->len == 0)
        out_pop(conn, true);
    return OK;
}

static size_t chunk_choose(struct conn *conn, size_t room)
{
    size_t len = MIN(MIN(room, conn->out_bytes), SEG_BYTES_MAX);
    if (len > SPLIT_MIN && world_unlucky(conn->process->world, 20))
        len = 1 + world_below(conn->process->world, len);
    return len;
}

static enum err conn_flush(struct conn *conn)
{
    size_t room;
    while (conn->out_head != NULL && (room = wire_room(conn->wire, conn->side)) > 0) {
        size_t chunk = chunk_choose(conn, room);
        struct seg *seg = seg_new(SEG_DATA, chunk);
        seg->len = 0;
        enum err err = OK;
        while (err == OK && seg->len < chunk)
            err = out_move(conn, seg, chunk - seg->len);
        size_t len = seg->len;
        if (len > 0)
            wire_send(conn->wire, conn->side, seg, loop_now(conn->loop));
        else
            host_free(seg);
        if (err != OK)
            return err;
        conn_sent(conn, len);
    }
    conn->wire->halves[conn->side].wants_room = conn->out_head != NULL;
    return OK;
}

void conns_flush(struct loop *loop)
{
    while (!list_empty(&loop->dirty)) {
        struct conn *conn = CONTAINER_OF(loop->dirty.next, struct conn, dirty);
        list_remove(&conn->dirty);
        if (conn->state != CONN_OPEN)
            continue;
        enum err err = conn_flush(conn);
        if (err != OK)
            conn_end(conn, err);
        else if (conn->eof)
            conn_end(conn, ERR_CLOSED);
    }
}

void conn_room(struct conn *conn)
{
    if (conn->state != CONN_OPEN)
        return;
    conn_make_dirty(conn);
    loop_wake(conn->loop, conn->process->world->now_us);
}

/* -- receiving -- */

void conn_arrived(struct conn *conn, struct seg *seg)
{
    segs_push(&conn->rx, seg);
    if (conn->state == CONN_OPEN && !conn->paused)
        loop_arrive(conn->loop, &conn->readable);
}

void conn_connected(struct conn *conn)
{
    conn->connected_due = true;
    loop_arrive(conn->loop, &conn->readable);
}

/* FIN or RST is next. */
static void conn_read_end(struct conn *conn, const struct seg *seg)
{
    if (seg->kind == SEG_RST) {
        conn->reset = true;
        conn_end(conn, ERR_CLOSED);
        return;
    }
    conn->eof = true;
    conn_make_dirty(conn); /* replies of this turn still go out */
}

static size_t rx_take(struct conn *conn, uint8_t *buf, size_t len)
{
    size_t got = 0;
    while (got < len && conn->rx.head != NULL && conn->rx.head->kind == SEG_DATA) {
        struct seg *seg = conn->rx.head;
        size_t step = MIN(len - got, (size_t)(seg->len - seg->off));
        memcpy(buf + got, seg->data + seg->off, step);
        got += step;
        seg->off += (uint32_t)step;
        if (seg->off == seg->len)
            host_free(segs_pop(&conn->rx));
    }
    wire_took(conn->wire, 1 - conn->side, got);
    return got;
}

/* One of the owner's buffers. False when there is nothing more to read now. */
static bool conn_read_once(struct conn *conn, size_t *budget)
{
    void *buf = NULL;
    size_t len = 0;
    conn->handler->alloc(conn->ctx, &buf, &len);
    if (conn->state != CONN_OPEN)
        return false;
    if (len == 0) {
        conn->paused = true;
        return false;
    }
    if (conn->rx.head->kind != SEG_DATA) {
        conn_read_end(conn, conn->rx.head);
        return false;
    }
    if (len > SPLIT_MIN && world_unlucky(conn->process->world, 20))
        len = 1 + world_below(conn->process->world, len);
    size_t got = rx_take(conn, buf, len);
    *budget -= MIN(*budget, got);
    conn->handler->read(conn->ctx, got);
    return true;
}

static void conn_read(struct conn *conn)
{
    size_t budget = READ_TURN_BYTES;
    while (conn->state == CONN_OPEN && !conn->paused && !conn->eof && conn->rx.head != NULL && budget > 0)
        if (!conn_read_once(conn, &budget))
            return;
    if (conn->state == CONN_OPEN && !conn->paused && !conn->eof && conn->rx.head != NULL)
        loop_arrive(conn->loop, &conn->readable);
}

static void conn_on_readable(struct arrival *arrival)
{
    struct conn *conn = CONTAINER_OF(arrival, struct conn, readable);
    if (conn->state == CONN_CONNECTING && conn->connected_due) {
        conn->state = CONN_OPEN;
        conn_make_dirty(conn);
        if (conn->rx.head != NULL)
            loop_arrive(conn->loop, &conn->readable);
        if (conn->handler->connected != NULL)
            conn->handler->connected(conn->ctx);
    } else if (conn->state == CONN_OPEN) {
        conn_read(conn);
    }
}

/* -- what owners call -- */

static struct conn *conn_of(struct env_conn *base)
{
    return (struct conn *)base;
}

static void conn_start(struct env_conn *base, const struct env_conn_handler *handler, void *ctx)
{
    struct conn *conn = conn_of(base);
    ASSERT(conn->state == CONN_ACCEPTED);
    conn->handler = handler;
    conn->ctx = ctx;
    conn->state = CONN_OPEN;
    if (conn->eof || conn->wire == NULL) { /* it was reset while it waited */
        conn->state = CONN_CONNECTING;
        conn_end(conn, conn->why);
    } else if (conn->rx.head != NULL) {
        loop_arrive(conn->loop, &conn->readable);
    }
}

static void conn_queue_grew(struct conn *conn)
{
    if (conn->out_bytes > conn->high_bytes)
        conn->above_high = true;
    if (conn->state == CONN_OPEN) {
        conn_make_dirty(conn);
        loop_wake(conn->loop, conn->process->world->now_us);
    }
}

static void conn_write(struct env_conn *base, struct iobuf *owner, const void *p, size_t len)
{
    struct conn *conn = conn_of(base);
    if (conn->state == CONN_DYING)
        return;
    if (conn->process->tap != NULL)
        conn->process->tap(conn->process->tap_ctx, p, len);
    struct out piece = {.owner = iobuf_ref(owner), .p = p, .len = len};
    out_push(conn, &piece);
    conn_queue_grew(conn);
}

static void conn_write_file(struct env_conn *base, struct env_file *file, uint64_t offset, size_t len)
{
    struct conn *conn = conn_of(base);
    if (conn->state == CONN_DYING)
        return;
    struct out piece = {.file = sim_file_ref(file), .offset = offset, .len = len};
    out_push(conn, &piece);
    conn_queue_grew(conn);
}

static size_t conn_queued(const struct env_conn *base)
{
    return ((const struct conn *)base)->out_bytes;
}

static void conn_set_high_mark(struct env_conn *base, size_t high_bytes)
{
    struct conn *conn = conn_of(base);
    conn->high_bytes = high_bytes;
    conn->above_high = conn->out_bytes > high_bytes;
}

static void conn_pause(struct env_conn *base)
{
    conn_of(base)->paused = true;
}

static void conn_resume(struct env_conn *base)
{
    struct conn *conn = conn_of(base);
    conn->paused = false;
    if (conn->state == CONN_OPEN && conn->rx.head != NULL)
        loop_arrive(conn->loop, &conn->readable);
}

static void conn_close(struct env_conn *base)
{
    struct conn *conn = conn_of(base);
    if (conn->state == CONN_ACCEPTED) { /* nobody to tell */
        conn_shut(conn);
        conn_free(conn);
        return;
    }
    if (conn->state == CONN_OPEN && conn_flush(conn) != OK)
        conn->reset = false;
    conn_end(conn, OK);
    conn->why = OK; /* also when a failure came first in this turn: the owner wanted it closed */
}

const struct env_conn_ops sim_conn_ops = {
    .start = conn_start,
    .write = conn_write,
    .write_file = conn_write_file,
    .queued = conn_queued,
    .set_high_mark = conn_set_high_mark,
    .pause = conn_pause,
    .resume = conn_resume,
    .close = conn_close,
};

/* -- the process or loop is gone -- */

void process_drop_net(struct process *process, enum world_death death)
{
    (void)death;
    while (!list_empty(&process->conns))
        conn_abandon(CONTAINER_OF(process->conns.next, struct conn, link));
    while (!list_empty(&process->listeners)) {
        struct listener *listener = CONTAINER_OF(process->listeners.next, struct listener, link);
        list_remove(&listener->link);
        host_free(listener);
    }
}

void loop_drop_net(struct loop *loop)
{
    struct process *process = loop->process;
    list_for_each (it, &process->listeners) {
        struct listener *listener = CONTAINER_OF(it, struct listener, link);
        if (listener->loop == loop && !listener->closed)
            listener_withdraw(listener);
    }
    list_for_each_safe (it, tmp, &process->conns) {
        struct conn *conn = CONTAINER_OF(it, struct conn, link);
        if (conn->loop != loop)
            continue;
        if (conn->state != CONN_DYING)
            conn_shut(conn);
        conn_free(conn);
    }
}
