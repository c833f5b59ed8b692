/* SPDX-License-Identifier: Apache-2.0 */
#include "common/rpc/conn.h"

#include <stdlib.h>

#include "common/base/assert.h"

static void conn_on_timer(struct env_timer *timer);

struct rpc_conn *rpc_conn_new(struct env *env, const struct rpc_conn_role *role, void *owner,
                              const struct rpc_peer_info *me, const struct env_addr *addr)
{
    struct rpc_conn *conn = calloc(1, sizeof(*conn));
    if (conn == NULL)
        return NULL;
    conn->role = role;
    conn->owner = owner;
    conn->env = env;
    conn->me = me;
    conn->addr = *addr;
    list_init(&conn->link);
    rpc_framer_init(&conn->in, env->pool, RPC_HELLO_MAX_BYTES);
    env_timer_init(&conn->timer, conn_on_timer);
    return conn;
}

/* -- out -- */

enum err rpc_conn_write(struct rpc_conn *conn, uint16_t type, uint32_t correlation, struct iobuf *payload)
{
    size_t len = payload != NULL ? payload->len : 0;
    if (conn->closing)
        return ERR_CLOSED;
    if (len > RPC_PAYLOAD_MAX_BYTES)
        return ERR_TOO_LARGE;
    if (env_conn_queued(conn->stream) + len > RPC_OUTPUT_MAX_BYTES)
        return ERR_FULL;
    struct iobuf *header = iobuf_get(conn->env->pool, RPC_HEADER_BYTES);
    if (header == NULL)
        return ERR_NOMEM;
    rpc_header_write(header->data, type, correlation, len);
    env_conn_write(conn->stream, header, 0, RPC_HEADER_BYTES);
    iobuf_unref(header);
    if (len > 0)
        env_conn_write(conn->stream, payload, 0, len);
    conn->sent_us = env_now_us(conn->env);
    return OK;
}

static enum err conn_write_hello(struct rpc_conn *conn)
{
    struct iobuf *hello = iobuf_get(conn->env->pool, RPC_HELLO_BYTES);
    if (hello == NULL)
        return ERR_NOMEM;
    rpc_hello_write(hello->data, conn->me);
    hello->len = RPC_HELLO_BYTES;
    enum err err = rpc_conn_write(conn, RPC_TYPE_HELLO, 0, hello);
    iobuf_unref(hello);
    return err;
}

void rpc_conn_begin(struct rpc_conn *conn)
{
    uint64_t now = env_now_us(conn->env);
    conn->received_us = conn->sent_us = now;
    env_timer_set(conn->env, &conn->timer,
                  now + (conn->role->client ? RPC_ATTEMPT_TIMEOUT_US : RPC_HELLO_TIMEOUT_US));
    if (conn->role->client && conn_write_hello(conn) != OK)
        rpc_conn_fail(conn, ERR_NOMEM);
}

/* -- the end -- */

void rpc_conn_fail(struct rpc_conn *conn, enum err why)
{
    if (conn->closing)
        return;
    conn->closing = true;
    conn->why = why;
    env_conn_close(conn->stream);
}

void rpc_conn_abandon(struct rpc_conn *conn)
{
    conn->owner = NULL;
    list_remove(&conn->link);
    env_timer_cancel(conn->env, &conn->timer);
    rpc_conn_fail(conn, OK);
}

static void stream_closed(void *ctx, enum err why)
{
    struct rpc_conn *conn = ctx;
    env_timer_cancel(conn->env, &conn->timer);
    list_remove(&conn->link);
    if (conn->owner != NULL)
        conn->role->down(conn, conn->closing ? conn->why : why);
    rpc_framer_free(&conn->in);
    free(conn);
}

/* -- in -- */

STATIC_ASSERT((int)RPC_ROLE_CONTROLLER == (int)TLS_ROLE_CONTROLLER &&
                  (int)RPC_ROLE_BROKER == (int)TLS_ROLE_BROKER && (int)RPC_ROLE_TOOL == (int)TLS_ROLE_TOOL,
              "certificates name the roles of hellos");

static bool cluster_differs(const struct uuid *a, const struct uuid *b)
{
    return !uuid_is_zero(*a) && !uuid_is_zero(*b) && !uuid_eq(*a, *b);
}

/* A server answers also a hello that does not fit, so that the client can name the reason. */
static void conn_on_hello(struct rpc_conn *conn, const struct rpc_frame *frame)
{
    enum err err = frame->type == RPC_TYPE_HELLO ? rpc_hello_read(frame->payload, frame->len, &conn->peer)
                                                 : ERR_MALFORMED;
    if (err == OK && cluster_differs(&conn->peer.cluster_id, &conn->me->cluster_id))
        err = ERR_MISMATCH;
    if (err == OK && !tls_conn_is_node(conn->stream, (enum tls_role)conn->peer.role, conn->peer.node_id,
                                       conn->me->cluster_id))
        err = ERR_IDENTITY;
    if (!conn->role->client && err != ERR_MALFORMED && err != ERR_IDENTITY) {
        enum err write_err = conn_write_hello(conn);
        err = err != OK ? err : write_err;
    }
    if (err == ERR_IDENTITY)
        tls_conn_refuse(conn->stream);
    if (err != OK) {
        rpc_conn_fail(conn, err);
        return;
    }
    conn->up = true;
    conn->in.payload_max = RPC_PAYLOAD_MAX_BYTES;
    env_timer_set(conn->env, &conn->timer, env_now_us(conn->env) + RPC_PING_US);
    conn->role->up(conn);
}

static void conn_on_frame(struct rpc_conn *conn, const struct rpc_frame *frame)
{
    if (!conn->up) {
        conn_on_hello(conn, frame);
    } else if (frame->type < RPC_TYPE_RESERVED) {
        conn->role->frame(conn, frame);
    } else if (frame->type == RPC_TYPE_PING) {
        rpc_conn_write(conn, RPC_TYPE_PONG, 0, NULL); /* cannot be sent: the peer notices the silence */
    } else if (frame->type != RPC_TYPE_PONG) {
        rpc_conn_fail(conn, ERR_MALFORMED);
    }
}

static void stream_alloc(void *ctx, void **ret_buf, size_t *ret_len)
{
    struct rpc_conn *conn = ctx;
    enum err err = conn->closing ? ERR_CLOSED : rpc_framer_space(&conn->in, ret_buf, ret_len);
    if (err == OK)
        return;
    *ret_len = 0;
    rpc_conn_fail(conn, err);
}

static void stream_read(void *ctx, size_t len)
{
    struct rpc_conn *conn = ctx;
    struct rpc_frame frame;
    int got = 0;
    rpc_framer_filled(&conn->in, len);
    conn->received_us = env_now_us(conn->env);
    while (!conn->closing && (got = rpc_framer_next(&conn->in, &frame)) > 0)
        conn_on_frame(conn, &frame);
    if (!conn->closing && got < 0)
        rpc_conn_fail(conn, (enum err)got);
    rpc_framer_rest(&conn->in);
}

const struct env_conn_handler rpc_conn_stream = {
    .alloc = stream_alloc, .read = stream_read, .closed = stream_closed};

/* -- silence -- */

static void conn_on_timer(struct env_timer *timer)
{
    struct rpc_conn *conn = CONTAINER_OF(timer, struct rpc_conn, timer);
    uint64_t now = env_now_us(conn->env);
    if (!conn->up || now - conn->received_us >= conn->role->silence_us) {
        rpc_conn_fail(conn, ERR_TIMED_OUT);
        return;
    }
    uint64_t quiet_since = MIN(conn->received_us, conn->sent_us);
    if (conn->role->client && now - quiet_since >= RPC_PING_US)
        rpc_conn_write(conn, RPC_TYPE_PING, 0, NULL);
    env_timer_set(conn->env, timer, now + RPC_PING_US);
}

/* -- what owners see -- */

void rpc_conn_close(struct rpc_conn *conn)
{
    rpc_conn_fail(conn, OK);
}

const struct rpc_peer_info *rpc_conn_peer(const struct rpc_conn *conn)
{
    return &conn->peer;
}

const struct env_addr *rpc_conn_addr(const struct rpc_conn *conn)
{
    return &conn->addr;
}

void rpc_conn_set_user(struct rpc_conn *conn, void *user)
{
    conn->user = user;
}

void *rpc_conn_user(const struct rpc_conn *conn)
{
    return conn->user;
}
