/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/rpc/conn.h"

struct rpc_server {
    struct env *env;
    struct tls_loop *tls;
    struct env_listener *listener;
    const struct rpc_peer_info *me;
    const struct rpc_server_handler *handler;
    void *ctx;
    struct list conns; /* of struct rpc_conn */
    size_t conn_count;
};

/* -- connections -- */

static void server_conn_up(struct rpc_conn *conn)
{
    struct rpc_server *server = conn->owner;
    if (server->handler->peer_up != NULL)
        server->handler->peer_up(server->ctx, conn, &conn->peer);
}

static void server_conn_frame(struct rpc_conn *conn, const struct rpc_frame *frame)
{
    struct rpc_server *server = conn->owner;
    server->handler->request(server->ctx, conn, frame->type, frame->correlation, frame->payload, frame->len);
}

static void server_conn_down(struct rpc_conn *conn, enum err why)
{
    struct rpc_server *server = conn->owner;
    ASSERT(server->conn_count > 0);
    server->conn_count--;
    if (!conn->up && server->handler->rejected != NULL)
        server->handler->rejected(server->ctx, &conn->addr, why);
    else if (conn->up && server->handler->peer_down != NULL)
        server->handler->peer_down(server->ctx, conn, why);
}

static const struct rpc_conn_role server_role = {
    .up = server_conn_up,
    .frame = server_conn_frame,
    .down = server_conn_down,
    .silence_us = RPC_SERVER_SILENCE_US,
};

static void server_accepted(void *ctx, struct env_conn *stream, const struct env_addr *peer)
{
    struct rpc_server *server = ctx;
    struct rpc_conn *conn = NULL;
    stream = tls_accept(server->tls, TLS_USE_CLUSTER_SERVER, TLS_ROLE_ANY, stream, peer);
    if (stream == NULL)
        return;
    if (server->conn_count < RPC_SERVER_CONNS_MAX)
        conn = rpc_conn_new(server->env, &server_role, server, server->me, peer);
    if (conn == NULL) {
        env_conn_close(stream);
        return;
    }
    server->conn_count++;
    list_push_back(&server->conns, &conn->link);
    conn->stream = stream;
    env_conn_start(stream, &rpc_conn_stream, conn);
    rpc_conn_begin(conn);
}

static const struct env_listener_handler server_listener = {.accepted = server_accepted};

/* -- life -- */

enum err rpc_server_listen(struct env *env, struct tls_loop *tls, const struct env_addr *addr,
                           const struct rpc_peer_info *me, const struct rpc_server_handler *handler,
                           void *ctx, struct rpc_server **ret_server, struct env_addr *ret_bound)
{
    ASSERT(handler->request != NULL);
    struct rpc_server *server = calloc(1, sizeof(*server));
    if (server == NULL)
        return ERR_NOMEM;
    *server = (struct rpc_server){.env = env, .tls = tls, .me = me, .handler = handler, .ctx = ctx};
    list_init(&server->conns);
    enum err err = env_listen(env, addr, false, &server_listener, server, &server->listener, ret_bound);
    if (err != OK) {
        free(server);
        return err;
    }
    *ret_server = server;
    return OK;
}

void rpc_server_close(struct rpc_server *server)
{
    env_listener_close(server->listener);
    while (!list_empty(&server->conns))
        rpc_conn_abandon(CONTAINER_OF(server->conns.next, struct rpc_conn, link));
    free(server);
}

/* -- sending -- */

static enum err server_write(struct rpc_conn *conn, uint16_t type, uint32_t correlation,
                             struct iobuf *payload)
{
    ASSERT(!conn->role->client && conn->up && type < RPC_TYPE_RESERVED);
    enum err err = rpc_conn_write(conn, type, correlation, payload);
    if (err == ERR_FULL || err == ERR_NOMEM)
        rpc_conn_fail(conn, err); /* a lost reply would leave the caller waiting */
    return err;
}

enum err rpc_reply(struct rpc_conn *conn, uint16_t type, uint32_t correlation, struct iobuf *payload)
{
    ASSERT(correlation != 0);
    return server_write(conn, type, correlation, payload);
}

enum err rpc_send(struct rpc_conn *conn, uint16_t type, struct iobuf *payload)
{
    return server_write(conn, type, 0, payload);
}
