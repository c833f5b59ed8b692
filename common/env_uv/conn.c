/* SPDX-License-Identifier: Apache-2.0 */
/* An established connection: reading into the owner's memory, the queue of output, the end of life. */
#include <errno.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/env_uv/euv.h"

static struct euv_conn *conn_of(struct env_conn *conn)
{
    return (struct euv_conn *)conn;
}

static void conn_make_dirty(struct euv_conn *conn)
{
    if (list_empty(&conn->dirty))
        list_push_back(&conn->sock.loop->dirty, &conn->dirty);
}

static void conn_make_pending(struct euv_conn *conn)
{
    if (list_empty(&conn->pending))
        list_push_back(&conn->sock.loop->pending, &conn->pending);
}

/* -- birth and end -- */

static void conn_on_poll_closed(uv_handle_t *handle)
{
    struct euv_sock *sock = handle->data;
    struct euv_conn *conn = CONTAINER_OF(sock, struct euv_conn, sock);
    conn->poll_closing = false;
    if (conn->released)
        free(conn);
}

/* Frees the memory, once libuv lets go of it. */
static void conn_release(struct euv_conn *conn)
{
    list_remove(&conn->dirty);
    list_remove(&conn->pending);
    conn->released = true;
    if (!conn->poll_closing)
        free(conn);
}

/* Before the descriptor is closed: libuv takes its number out of the epoll set when the handle is closed,
 * also when it was stopped before, and by then the number may be another connection's. */
static void conn_close_poll(struct euv_conn *conn)
{
    if (!conn->has_poll)
        return;
    conn->has_poll = false;
    conn->poll_closing = true;
    uv_close((uv_handle_t *)&conn->sock.poll, conn_on_poll_closed);
}

static void conn_shut(struct euv_conn *conn)
{
    conn->state = CONN_DYING;
    euv_dial_cancel(conn);
    euv_outq_clear(conn->sock.loop, &conn->out);
    list_remove(&conn->dirty);
    conn_close_poll(conn);
    conn->armed = 0;
    if (conn->fd >= 0)
        euv_transport_close(conn);
}

static void conn_destroy(struct euv_sock *sock)
{
    struct euv_conn *conn = CONTAINER_OF(sock, struct euv_conn, sock);
    if (conn->state != CONN_DYING)
        conn_shut(conn);
    conn_release(conn);
}

struct euv_conn *euv_conn_new(struct euv_loop *loop, int fd)
{
    struct euv_conn *conn = calloc(1, sizeof(*conn));
    if (conn == NULL)
        return NULL;
    conn->base.ops = &euv_conn_ops;
    conn->sock.loop = loop;
    conn->sock.destroy = conn_destroy;
    conn->high_bytes = EUV_HIGH_MARK_BYTES;
    conn->fd = fd;
    list_init(&conn->dirty);
    list_init(&conn->pending);
    return conn;
}

bool euv_conn_poll_init(struct euv_conn *conn)
{
    ASSERT(!conn->has_poll);
    if (uv_poll_init(&conn->sock.loop->uv, &conn->sock.poll, conn->fd) != 0)
        return false;
    conn->sock.poll.data = &conn->sock;
    conn->has_poll = true;
    return true;
}

/* Nothing more goes in or out; closed(why) is called by the loop. Only the first reason counts. */
void euv_conn_end(struct euv_conn *conn, enum err why)
{
    if (conn->state == CONN_DYING)
        return;
    conn->why = why;
    conn_shut(conn);
    conn_make_pending(conn);
}

static void conn_tell_pending(struct euv_conn *conn)
{
    if (conn->state == CONN_DYING) {
        conn->handler->closed(conn->ctx, conn->why);
        conn_release(conn);
    } else if (conn->drained_due) {
        conn->drained_due = false;
        if (conn->handler->drained != NULL)
            conn->handler->drained(conn->ctx);
    }
}

void euv_conns_run_pending(struct euv_loop *loop)
{
    struct list now;
    list_init(&now); /* what the callbacks add waits for the next turn */
    list_splice_back(&now, &loop->pending);
    while (!list_empty(&now)) {
        struct euv_conn *conn = CONTAINER_OF(now.next, struct euv_conn, pending);
        list_remove(&conn->pending);
        conn_tell_pending(conn);
    }
}

void euv_conns_forget_ended(struct euv_loop *loop)
{
    list_for_each_safe (it, tmp, &loop->pending) {
        struct euv_conn *conn = CONTAINER_OF(it, struct euv_conn, pending);
        if (conn->state == CONN_DYING)
            conn_release(conn);
    }
}

/* -- output -- */

static void conn_sent(struct euv_conn *conn, size_t len)
{
    euv_outq_consume(conn->sock.loop, &conn->out, len);
    if (conn->above_high && conn->out.bytes <= conn->high_bytes / 2) {
        conn->above_high = false;
        conn->drained_due = true;
        conn_make_pending(conn);
    }
}

/* One system call's worth of the head of the queue. Returns as the transport does; *ret_asked: bytes offered.
 */
static ssize_t conn_send_some(struct euv_conn *conn, size_t *ret_asked)
{
    const struct euv_out *head = conn->out.head;
    if (head->file != NULL) {
        *ret_asked = MIN(head->len, EUV_FILE_TURN_BYTES);
        ssize_t n = euv_transport_send_file(conn, head->file, head->offset, *ret_asked);
        return n != 0 ? n : -ENODATA; /* the file is shorter than promised */
    }
    struct iovec iov[EUV_IOV_COUNT];
    bool more;
    int count = euv_outq_gather(&conn->out, iov, EUV_IOV_COUNT, ret_asked, &more);
    return euv_transport_send(conn, iov, count, more);
}

/* Sends until the queue is empty, the kernel takes less than offered, or the file bytes of this turn are used
 * up. Returns a negative errno when the connection is broken. */
static int conn_send_all(struct euv_conn *conn)
{
    size_t file_left = EUV_FILE_TURN_BYTES;
    while (conn->out.head != NULL && file_left > 0) {
        bool is_file = conn->out.head->file != NULL;
        size_t asked;
        ssize_t n = conn_send_some(conn, &asked);
        if (n < 0)
            return n == -EAGAIN ? 0 : (int)n;
        conn_sent(conn, (size_t)n);
        if ((size_t)n < asked && !is_file)
            break;
        if (is_file)
            file_left -= MIN(file_left, (size_t)n);
    }
    return 0;
}

static void conn_flush(struct euv_conn *conn)
{
    int rc = conn_send_all(conn);
    if (rc != 0) {
        euv_conn_end(conn, rc == -ENODATA ? ERR_TRUNCATED : rc == -EPIPE ? ERR_CLOSED : err_from_errno(-rc));
        return;
    }
    bool want_out = conn->out.head != NULL;
    if (want_out != conn->want_out) {
        conn->want_out = want_out;
        euv_conn_update_poll(conn);
    }
}

void euv_conns_flush(struct euv_loop *loop)
{
    while (!list_empty(&loop->dirty)) {
        struct euv_conn *conn = CONTAINER_OF(loop->dirty.next, struct euv_conn, dirty);
        list_remove(&conn->dirty);
        if (conn->state == CONN_OPEN && !conn->want_out)
            conn_flush(conn);
        if (conn->eof)
            euv_conn_end(conn, ERR_CLOSED);
    }
}

/* -- input -- */

/* At most one of the owner's buffers. Returns false when there is nothing more to read now. */
static bool conn_read_once(struct euv_conn *conn, size_t *budget)
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
    ssize_t n = euv_transport_recv(conn, buf, len);
    if (n > 0) {
        conn->handler->read(conn->ctx, (size_t)n);
        *budget -= MIN(*budget, (size_t)n);
        return (size_t)n == len; /* less than asked: the socket is empty; if not, epoll says so again */
    }
    if (n == 0) {
        conn->eof = true;
        conn_make_dirty(conn); /* replies of this turn still go out */
    } else if (n != -EAGAIN) {
        euv_conn_end(conn, n == -ECONNRESET ? ERR_CLOSED : err_from_errno((int)-n));
    }
    return false;
}

static void conn_read(struct euv_conn *conn)
{
    size_t budget = EUV_READ_TURN_BYTES;
    while (conn->state == CONN_OPEN && !conn->paused && !conn->eof && budget > 0)
        if (!conn_read_once(conn, &budget))
            break;
    if (conn->state == CONN_OPEN && conn->paused)
        euv_conn_update_poll(conn);
}

/* -- events -- */

/* libuv has stopped watching: the socket has an error. What arrived before it is still read. */
static void conn_on_error(struct euv_conn *conn)
{
    int error = 0;
    socklen_t len = sizeof(error);
    conn->armed = 0;
    conn_read(conn);
    if (conn->state != CONN_OPEN)
        return;
    getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    euv_conn_end(conn,
                 error == 0 || error == ECONNRESET || error == EPIPE ? ERR_CLOSED : err_from_errno(error));
}

static void conn_on_poll(uv_poll_t *poll, int status, int events)
{
    struct euv_sock *sock = poll->data;
    struct euv_conn *conn = CONTAINER_OF(sock, struct euv_conn, sock);
    euv_turn_enter(sock->loop);
    if (conn->state == CONN_CONNECTING) {
        conn->armed = status < 0 ? 0 : conn->armed;
        euv_dial_ready(conn);
    } else if (status < 0) {
        conn_on_error(conn);
    } else {
        if (events & UV_WRITABLE)
            conn_flush(conn);
        if ((events & UV_READABLE) && conn->state == CONN_OPEN)
            conn_read(conn);
    }
}

void euv_conn_update_poll(struct euv_conn *conn)
{
    int want = 0;
    if (conn->state == CONN_CONNECTING)
        want = UV_WRITABLE;
    else if (conn->state == CONN_OPEN)
        want = (conn->paused || conn->eof ? 0 : UV_READABLE) | (conn->want_out ? UV_WRITABLE : 0);
    if (want == conn->armed)
        return;
    conn->armed = (uint8_t)want;
    int rc = want != 0 ? uv_poll_start(&conn->sock.poll, want, conn_on_poll) : uv_poll_stop(&conn->sock.poll);
    ASSERT(rc == 0);
}

void euv_conn_opened(struct euv_conn *conn)
{
    conn->state = CONN_OPEN;
    euv_conn_update_poll(conn);
    if (conn->out.head != NULL)
        conn_make_dirty(conn);
}

/* -- what owners call -- */

static void conn_start(struct env_conn *base, const struct env_conn_handler *handler, void *ctx)
{
    struct euv_conn *conn = conn_of(base);
    ASSERT(conn->state == CONN_ACCEPTED);
    conn->handler = handler;
    conn->ctx = ctx;
    euv_conn_opened(conn);
}

static void conn_queue_grew(struct euv_conn *conn)
{
    if (conn->out.bytes > conn->high_bytes)
        conn->above_high = true;
    if (conn->state == CONN_OPEN)
        conn_make_dirty(conn);
}

static void conn_write(struct env_conn *base, struct iobuf *owner, const void *p, size_t len)
{
    struct euv_conn *conn = conn_of(base);
    if (conn->state == CONN_DYING)
        return;
    euv_outq_add(conn->sock.loop, &conn->out, owner, p, len);
    conn_queue_grew(conn);
}

static void conn_write_file(struct env_conn *base, struct env_file *file, uint64_t offset, size_t len)
{
    struct euv_conn *conn = conn_of(base);
    if (conn->state == CONN_DYING)
        return;
    euv_outq_add_file(conn->sock.loop, &conn->out, file, offset, len);
    conn_queue_grew(conn);
}

static size_t conn_queued(const struct env_conn *base)
{
    return ((const struct euv_conn *)base)->out.bytes;
}

static void conn_set_high_mark(struct env_conn *base, size_t high_bytes)
{
    struct euv_conn *conn = conn_of(base);
    conn->high_bytes = high_bytes;
    conn->above_high = conn->out.bytes > high_bytes;
}

/* Lazy: most pauses end before anything arrives, then libuv need not know. The next event disarms. */
static void conn_pause(struct env_conn *base)
{
    conn_of(base)->paused = true;
}

static void conn_resume(struct env_conn *base)
{
    struct euv_conn *conn = conn_of(base);
    conn->paused = false;
    if (conn->state == CONN_OPEN)
        euv_conn_update_poll(conn);
}

static void conn_close(struct env_conn *base)
{
    struct euv_conn *conn = conn_of(base);
    if (conn->state == CONN_ACCEPTED) {
        conn_shut(conn); /* nobody to tell */
        conn_release(conn);
        return;
    }
    if (conn->state == CONN_OPEN)
        conn_flush(conn);
    euv_conn_end(conn, OK);
    conn->why = OK; /* also when a failure came first in this turn: the owner wanted it closed */
}

const struct env_conn_ops euv_conn_ops = {
    .start = conn_start,
    .write = conn_write,
    .write_file = conn_write_file,
    .queued = conn_queued,
    .set_high_mark = conn_set_high_mark,
    .pause = conn_pause,
    .resume = conn_resume,
    .close = conn_close,
};
