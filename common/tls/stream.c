/* SPDX-License-Identifier: Apache-2.0 */
/* An env_conn that speaks TLS over another env_conn. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/tls/stream.h"

#define RECORD_HANDSHAKE 0x16 /* how every TLS stream begins, with 0x03 after it */

static struct tls_stream *stream_of(struct env_conn *conn)
{
    return (struct tls_stream *)conn;
}

/* -- the end -- */

static void shaking_leave(struct tls_stream *s)
{
    if (list_empty(&s->link))
        return;
    list_remove(&s->link);
    s->loop->shaking_count--;
    env_timer_cancel(s->loop->env, &s->timer);
    tls_work_forget(s);
}

/* Frees the memory when closed() was called and no worker holds it. */
void tls_stream_release(struct tls_stream *s)
{
    struct tls_loop *loop = s->loop;
    if (!s->released || s->working)
        return;
    tls_session_free(s->session);
    iobuf_unref(s->in);
    free(s);
    tls_loop_unref(loop);
}

static void count_failure(struct tls_stream *s, enum err why)
{
    struct tls_loop *loop = s->loop;
    char address[ENV_HOST_MAX + 8];
    tls_count(loop->tls, TLS_COUNT_FAILED);
    if (why == ERR_UNTRUSTED)
        tls_count(loop->tls, TLS_COUNT_UNTRUSTED);
    else if (why == ERR_IDENTITY)
        tls_count(loop->tls, TLS_COUNT_IDENTITY);
    else if (why == ERR_TIMED_OUT)
        tls_count(loop->tls, TLS_COUNT_TIMED_OUT);
    else if (why == ERR_FULL)
        tls_count(loop->tls, TLS_COUNT_PUSHED_OUT);
    const char *detail = "";
    if (why == ERR_TLS && !s->working && s->session == NULL)
        detail = "what came is no TLS: a client that speaks plain text, perhaps";
    else if (!s->working && s->session != NULL)
        detail = s->session->detail;
    if (loop->tls->options.log != NULL)
        LOG_LIMITED(loop->tls->options.log, &loop->limit, WARN, "tls.handshake_failed",
                    F_STR("peer", env_addr_format(&s->addr, address)), F_ERR("error", why),
                    F_STR("detail", detail));
}

static void stream_end(struct tls_stream *s)
{
    s->state = TLS_ENDED;
    shaking_leave(s);
    env_task_cancel(&s->pump);
    tls_out_clear(s);
    if (s->raw != NULL)
        env_conn_close(s->raw);
}

/* Ends it for a reason of ours; an alert that the session made still goes out. Only the first reason counts.
 */
void tls_stream_fail(struct tls_stream *s, enum err why)
{
    if (s->state == TLS_ENDED)
        return;
    if (s->state != TLS_OPEN)
        count_failure(s, why);
    s->why = why;
    if (!s->working)
        tls_out_send(s);
    stream_end(s);
}

static void raw_closed(void *ctx, enum err why)
{
    struct tls_stream *s = ctx;
    if (s->state == TLS_SHAKING && (s->working || s->session != NULL || (s->in != NULL && s->in->len > 0)))
        count_failure(s, why); /* a peer that said nothing is no failure: a probe of the port */
    shaking_leave(s);
    env_task_cancel(&s->pump);
    s->state = TLS_ENDED;
    s->raw = NULL;
    tls_out_clear(s);
    if (s->wished)
        why = OK;
    else if (s->why != OK)
        why = s->why;
    s->handler->closed(s->ctx, why);
    s->released = true;
    tls_stream_release(s);
}

/* -- handshake -- */

static void shake_timed_out(struct env_timer *timer)
{
    tls_stream_fail(CONTAINER_OF(timer, struct tls_stream, timer), ERR_TIMED_OUT);
}

/* Too many at once: the one that has taken longest is the least likely to end well. */
static void shaking_enter(struct tls_stream *s)
{
    struct tls_loop *loop = s->loop;
    if (loop->shaking_count >= TLS_SHAKING_MAX)
        tls_stream_fail(CONTAINER_OF(loop->shaking.next, struct tls_stream, link), ERR_FULL);
    s->state = TLS_SHAKING;
    list_push_back(&loop->shaking, &s->link);
    loop->shaking_count++;
    env_timer_set(loop->env, &s->timer,
                  env_now_us(loop->env) + (uint64_t)loop->tls->options.handshake_timeout_ms * 1000);
}

/* On a worker thread: it holds session and in. */
void tls_stream_work(struct env_work *work)
{
    struct tls_stream *s = CONTAINER_OF(work, struct tls_stream, work);
    if (s->session == NULL) {
        struct tls_material *material = tls_material_now(s->loop->tls);
        bool by_name = s->use == TLS_USE_CLIENT && !s->loop->tls->options.any_host;
        s->session = tls_session_new(material, (enum tls_use)s->use, by_name ? s->addr.host : NULL);
        tls_material_unref(material);
    }
    if (s->session == NULL) {
        s->shake_result = ERR_NOMEM; /* files that do not serve this use were refused at the start */
        return;
    }
    s->session->in = s->in != NULL ? s->in->data : NULL;
    s->session->in_len = s->in != NULL ? s->in->len : 0;
    s->shake_result = tls_session_shake(s->session);
}

static bool is_expected(const struct tls_stream *s)
{
    bool cluster = s->use == TLS_USE_CLUSTER_SERVER || s->use == TLS_USE_CLUSTER_CLIENT;
    return !cluster || tls_peer_is_node(s->session->peer, (enum tls_role)s->role, s->node_id, "");
}

/* Lets go of input that is consumed, and has the stream below read on if it was held for it. */
static void input_next(struct tls_stream *s)
{
    if (s->in != NULL && s->session->in_len == 0) {
        iobuf_unref(s->in);
        s->in = NULL;
    }
    if (s->raw_held && !s->paused && s->in == NULL) {
        s->raw_held = false;
        env_conn_resume(s->raw);
    }
}

static void stream_opened(struct tls_stream *s)
{
    if (!is_expected(s)) {
        snprintf(s->session->detail, sizeof(s->session->detail), "%.120s is not the expected node",
                 s->session->peer != NULL ? s->session->peer->principal : "the peer");
        tls_session_refuse(s->session, ERR_IDENTITY);
        tls_stream_fail(s, ERR_IDENTITY);
        return;
    }
    shaking_leave(s);
    s->state = TLS_OPEN;
    s->session->pool = s->loop->env->pool;
    tls_count(s->loop->tls, TLS_COUNT_HANDSHAKES);
    tls_out_send(s);
    if (s->client && s->handler->connected != NULL)
        s->handler->connected(s->ctx);
    if (s->state != TLS_OPEN)
        return;
    env_defer(s->loop->env, &s->pump);
}

void tls_stream_worked(struct tls_stream *s)
{
    if (s->state == TLS_ENDED) {
        tls_stream_release(s);
        return;
    }
    if (s->shake_result == 1) {
        stream_opened(s);
    } else if (s->shake_result < 0) {
        tls_stream_fail(s, (enum err)s->shake_result);
    } else {
        tls_out_send(s);
        input_next(s);
    }
}

/* -- input -- */

/* What begins otherwise is no TLS: known before anything is allocated for it. */
static bool looks_like_tls(const struct tls_stream *s)
{
    return s->in->data[0] == RECORD_HANDSHAKE && (s->in->len < 2 || s->in->data[1] == 3);
}

/* Whether what has come must be consumed first. */
static bool is_held(const struct tls_stream *s)
{
    return s->working || !list_empty(&s->work_link) || (s->in != NULL && s->in->len > 0) ||
           (s->state == TLS_OPEN && s->paused);
}

static void raw_alloc(void *ctx, void **ret_buf, size_t *ret_len)
{
    struct tls_stream *s = ctx;
    *ret_len = 0;
    if (s->state == TLS_ENDED || is_held(s)) {
        s->raw_held = true;
        return;
    }
    if (s->in == NULL)
        s->in = iobuf_get(s->loop->env->pool, s->state == TLS_OPEN ? TLS_READ_BYTES : TLS_SHAKE_IN_BYTES);
    if (s->in == NULL) {
        tls_stream_fail(s, ERR_NOMEM);
        return;
    }
    *ret_buf = s->in->data;
    *ret_len = s->in->cap;
}

/* Plain bytes to the owner, as long as it takes them. */
static void stream_deliver(struct tls_stream *s)
{
    while (s->state == TLS_OPEN && !s->paused && tls_session_has_plain(s->session)) {
        void *buf = NULL;
        size_t len = 0;
        s->handler->alloc(s->ctx, &buf, &len);
        if (s->state != TLS_OPEN)
            return;
        if (len == 0) {
            s->paused = true;
            return;
        }
        int n = tls_session_read(s->session, buf, MIN(len, (size_t)INT32_MAX));
        if (n < 0)
            tls_stream_fail(s, (enum err)n);
        else if (n > 0)
            s->handler->read(s->ctx, (size_t)n);
    }
}

static void raw_read(void *ctx, size_t len)
{
    struct tls_stream *s = ctx;
    bool first = s->session == NULL;
    s->in->len = (uint32_t)len;
    if (s->state == TLS_SHAKING) {
        if (first && !s->client && !looks_like_tls(s))
            tls_stream_fail(s, ERR_TLS);
        else
            tls_work_ask(s);
        return;
    }
    if (s->state != TLS_OPEN)
        return;
    s->session->in = s->in->data;
    s->session->in_len = len;
    stream_deliver(s);
    if (s->state == TLS_OPEN)
        input_next(s);
}

/* End of a turn: what the owner wrote in it goes out, what it left unread comes in. */
static void stream_pump(struct env_task *task)
{
    struct tls_stream *s = CONTAINER_OF(task, struct tls_stream, pump);
    if (s->state != TLS_OPEN)
        return;
    stream_deliver(s);
    if (s->state == TLS_OPEN)
        tls_out_run(s);
    if (s->state != TLS_OPEN)
        return;
    input_next(s);
    tls_out_tell(s);
}

static void raw_drained(void *ctx)
{
    struct tls_stream *s = ctx;
    if (s->state != TLS_OPEN)
        return;
    tls_out_run(s);
    if (s->state == TLS_OPEN)
        tls_out_tell(s);
}

static void raw_connected(void *ctx)
{
    struct tls_stream *s = ctx;
    shaking_enter(s);
    tls_work_ask(s); /* a client speaks first */
}

static const struct env_conn_handler raw_handler = {.alloc = raw_alloc,
                                                    .read = raw_read,
                                                    .connected = raw_connected,
                                                    .drained = raw_drained,
                                                    .closed = raw_closed};

/* -- what owners call -- */

static void stream_start(struct env_conn *conn, const struct env_conn_handler *handler, void *ctx)
{
    struct tls_stream *s = stream_of(conn);
    ASSERT(s->state == TLS_FRESH && !s->client);
    s->handler = handler;
    s->ctx = ctx;
    shaking_enter(s);
    env_conn_start(s->raw, &raw_handler, s);
}

static void stream_write(struct env_conn *conn, struct iobuf *owner, const void *p, size_t len)
{
    struct tls_stream *s = stream_of(conn);
    if (s->state != TLS_ENDED)
        tls_out_add(s, owner, p, len);
}

static void stream_write_file(struct env_conn *conn, struct env_file *file, uint64_t offset, size_t len)
{
    struct tls_stream *s = stream_of(conn);
    if (s->state != TLS_ENDED)
        tls_out_add_file(s, file, offset, len);
}

static size_t stream_queued(const struct env_conn *conn)
{
    return tls_out_queued((const struct tls_stream *)conn);
}

static void stream_set_high_mark(struct env_conn *conn, size_t high_bytes)
{
    struct tls_stream *s = stream_of(conn);
    s->high_bytes = high_bytes;
    s->above_high = tls_out_queued(s) > high_bytes;
    env_conn_set_high_mark(s->raw, MIN(high_bytes, (size_t)TLS_CIPHER_MARK));
}

static void stream_pause(struct env_conn *conn)
{
    stream_of(conn)->paused = true;
}

static void stream_resume(struct env_conn *conn)
{
    struct tls_stream *s = stream_of(conn);
    s->paused = false;
    if (s->state == TLS_OPEN)
        env_defer(s->loop->env, &s->pump);
}

/* Without the goodbye when not everything went: the peer sees that something is missing. */
static void stream_close(struct env_conn *conn)
{
    struct tls_stream *s = stream_of(conn);
    if (s->wished)
        return;
    s->wished = true;
    if (s->handler == NULL) { /* accepted and not wanted: nobody to tell */
        env_conn_close(s->raw);
        s->released = true;
        tls_stream_release(s);
        return;
    }
    if (s->state == TLS_OPEN)
        tls_out_run(s);
    if (s->state == TLS_OPEN && s->head == NULL)
        tls_session_goodbye(s->session);
    if (s->state == TLS_OPEN)
        tls_out_send(s);
    if (s->state != TLS_ENDED)
        stream_end(s);
}

const struct env_conn_ops tls_stream_ops = {
    .start = stream_start,
    .write = stream_write,
    .write_file = stream_write_file,
    .queued = stream_queued,
    .set_high_mark = stream_set_high_mark,
    .pause = stream_pause,
    .resume = stream_resume,
    .close = stream_close,
};

/* -- beginnings -- */

static struct tls_stream *stream_new(struct tls_loop *loop, enum tls_use use, enum tls_role role,
                                     int32_t node_id, const struct env_addr *addr)
{
    struct tls_stream *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->base.ops = &tls_stream_ops;
    s->loop = loop;
    s->use = (uint8_t)use;
    s->role = (uint8_t)role;
    s->node_id = node_id;
    s->addr = *addr;
    s->high_bytes = 1u << 20;
    list_init(&s->link);
    list_init(&s->work_link);
    env_timer_init(&s->timer, shake_timed_out);
    env_task_init(&s->pump, stream_pump);
    loop->refs++;
    return s;
}

struct env_conn *tls_accept(struct tls_loop *loop, enum tls_use use, enum tls_role role, struct env_conn *raw,
                            const struct env_addr *peer)
{
    if (loop == NULL)
        return raw;
    struct tls_stream *s = stream_new(loop, use, role, TLS_NODE_ANY, peer);
    if (s == NULL) {
        env_conn_close(raw);
        return NULL;
    }
    s->raw = raw;
    env_conn_set_high_mark(raw, TLS_CIPHER_MARK);
    return &s->base;
}

struct env_conn *tls_connect(struct env *env, struct tls_loop *loop, enum tls_use use, enum tls_role role,
                             int32_t node_id, const struct env_addr *addr,
                             const struct env_conn_handler *handler, void *ctx)
{
    if (loop == NULL)
        return env_connect(env, addr, handler, ctx);
    struct tls_stream *s = stream_new(loop, use, role, node_id, addr);
    ASSERT(s != NULL && loop->env == env);
    s->client = true;
    s->handler = handler;
    s->ctx = ctx;
    s->raw = env_connect(env, addr, &raw_handler, s);
    env_conn_set_high_mark(s->raw, TLS_CIPHER_MARK);
    return &s->base;
}

/* -- who it is -- */

static const struct tls_stream *open_stream(const struct env_conn *conn)
{
    const struct tls_stream *s = (const struct tls_stream *)conn;
    return conn->ops == &tls_stream_ops && s->session != NULL && !s->working ? s : NULL;
}

const struct tls_peer *tls_conn_peer(const struct env_conn *conn)
{
    const struct tls_stream *s = open_stream(conn);
    return s != NULL ? s->session->peer : NULL;
}

bool tls_conn_is_node(struct env_conn *conn, enum tls_role role, int32_t node_id, struct uuid cluster_id)
{
    struct tls_stream *s = stream_of(conn);
    char cluster[UUID_TEXT_MAX] = "", address[ENV_HOST_MAX + 8];
    if (conn->ops != &tls_stream_ops)
        return true;
    if (!uuid_is_zero(cluster_id))
        uuid_format(cluster_id, cluster);
    const struct tls_peer *peer = tls_conn_peer(conn);
    if (tls_peer_is_node(peer, role, node_id, cluster))
        return true;
    tls_count(s->loop->tls, TLS_COUNT_IDENTITY);
    if (s->loop->tls->options.log != NULL)
        LOG_LIMITED(s->loop->tls->options.log, &s->loop->limit, ERROR, "tls.identity_refused",
                    F_STR("peer", env_addr_format(&s->addr, address)), F_I64("claimed_role", role),
                    F_I64("claimed_id", node_id), F_STR("certificate", peer != NULL ? peer->principal : ""));
    return false;
}

void tls_conn_refuse(struct env_conn *conn)
{
    struct tls_stream *s = stream_of(conn);
    if (conn->ops != &tls_stream_ops || s->state != TLS_OPEN)
        return;
    tls_session_refuse(s->session, ERR_IDENTITY);
    tls_out_send(s);
}
