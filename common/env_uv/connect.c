/* SPDX-License-Identifier: Apache-2.0 */
/* Outgoing connections: resolve the name, then try its addresses one after the other. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/env_uv/euv.h"

/* A name on its way through a resolver thread. It outlives a connection that is closed meanwhile (conn is
 * NULL then). */
struct euv_resolve {
    struct list link;
    struct env_msg mail;
    struct euv_loop *loop;
    struct euv_conn *conn;
    struct env_addr addr;
    struct addrinfo *list;
    enum err err;
};

struct euv_dial {
    struct euv_resolve *resolve; /* while it is at the thread */
    struct addrinfo *list;
    struct addrinfo *next; /* to be tried after the present one */
    enum err why;          /* of the last address that failed */
};

enum err euv_resolve_now(const struct env_addr *addr, int flags, struct addrinfo **ret_list)
{
    char port[8];
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    snprintf(port, sizeof(port), "%u", (unsigned)addr->port);
    int rc = getaddrinfo(addr->host[0] != '\0' ? addr->host : NULL, port, &hints, ret_list);
    if (rc == 0)
        return OK;
    return rc == EAI_MEMORY ? ERR_NOMEM : ERR_RESOLVE;
}

/* -- trying addresses -- */

/* The number of the descriptor stays the same from try to try, because libuv's handle is tied to it. */
static enum err dial_socket(struct euv_conn *conn, int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_from_errno(errno);
    if (conn->fd >= 0) {
        int rc = dup3(fd, conn->fd, O_CLOEXEC);
        int error = errno;
        close(fd);
        if (rc < 0)
            return err_from_errno(error);
    } else {
        conn->fd = fd;
    }
    euv_socket_options(conn->fd);
    return conn->has_poll || euv_conn_poll_init(conn) ? OK : ERR_NOMEM;
}

static enum err dial_try(struct euv_conn *conn, const struct addrinfo *ai)
{
    if (conn->has_poll)
        uv_poll_stop(&conn->sock.poll);
    conn->armed = 0;
    enum err err = dial_socket(conn, ai->ai_family);
    if (err != OK)
        return err;
    int rc;
    do {
        rc = connect(conn->fd, ai->ai_addr, ai->ai_addrlen);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0 && errno != EINPROGRESS)
        return err_from_errno(errno);
    euv_conn_update_poll(conn); /* writable: the handshake is over, also when it is over already */
    return OK;
}

static void dial_next(struct euv_conn *conn)
{
    struct euv_dial *dial = conn->dial;
    while (dial->next != NULL) {
        struct addrinfo *ai = dial->next;
        dial->next = ai->ai_next;
        dial->why = dial_try(conn, ai);
        if (dial->why == OK)
            return;
    }
    euv_conn_end(conn, dial->why);
}

/* A connect to a free local port can, when the kernel picks that very port as its source, connect to itself.
 */
static bool dial_is_self(int fd)
{
    struct sockaddr_storage local, peer;
    socklen_t local_len = sizeof(local), peer_len = sizeof(peer);
    memset(&local, 0, sizeof(local));
    memset(&peer, 0, sizeof(peer));
    if (getsockname(fd, (struct sockaddr *)&local, &local_len) != 0 ||
        getpeername(fd, (struct sockaddr *)&peer, &peer_len) != 0)
        return false;
    return local_len == peer_len && memcmp(&local, &peer, local_len) == 0;
}

void euv_dial_ready(struct euv_conn *conn)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error == 0 && dial_is_self(conn->fd))
        error = ECONNREFUSED;
    if (error != 0) {
        conn->dial->why = err_from_errno(error);
        dial_next(conn);
        return;
    }
    euv_dial_cancel(conn);
    euv_conn_opened(conn);
    if (conn->handler->connected != NULL)
        conn->handler->connected(conn->ctx);
}

void euv_dial_cancel(struct euv_conn *conn)
{
    struct euv_dial *dial = conn->dial;
    if (dial == NULL)
        return;
    if (dial->resolve != NULL)
        dial->resolve->conn = NULL;
    if (dial->list != NULL)
        freeaddrinfo(dial->list);
    free(dial);
    conn->dial = NULL;
}

/* -- names -- */

void euv_resolve_run(struct list *node)
{
    struct euv_resolve *resolve = CONTAINER_OF(node, struct euv_resolve, link);
    resolve->err = euv_resolve_now(&resolve->addr, 0, &resolve->list);
    env_post(&resolve->loop->env, &resolve->mail);
}

static void dial_resolved(struct euv_conn *conn, struct addrinfo *list, enum err err)
{
    conn->dial->list = conn->dial->next = list;
    conn->dial->why = err;
    dial_next(conn);
}

static void resolve_done(struct env_msg *mail)
{
    struct euv_resolve *resolve = CONTAINER_OF(mail, struct euv_resolve, mail);
    struct euv_conn *conn = resolve->conn;
    resolve->loop->inflight--;
    if (conn != NULL) {
        conn->dial->resolve = NULL;
        dial_resolved(conn, resolve->list, resolve->err);
    } else if (resolve->list != NULL) {
        freeaddrinfo(resolve->list);
    }
    free(resolve);
}

static void dial_resolve(struct euv_conn *conn, const struct env_addr *addr)
{
    struct euv_loop *loop = conn->sock.loop;
    struct euv_resolve *resolve = calloc(1, sizeof(*resolve));
    ASSERT(resolve != NULL);
    resolve->loop = loop;
    resolve->conn = conn;
    resolve->addr = *addr;
    resolve->mail.fn = resolve_done;
    list_init(&resolve->link);
    conn->dial->resolve = resolve;
    loop->inflight++;
    euv_pool_submit(&loop->process->resolve, &resolve->link);
}

static struct env_conn *net_connect(struct env *env, const struct env_addr *addr,
                                    const struct env_conn_handler *handler, void *ctx)
{
    struct euv_conn *conn = euv_conn_new(euv_loop_of(env), -1);
    ASSERT(conn != NULL);
    conn->state = CONN_CONNECTING;
    conn->handler = handler;
    conn->ctx = ctx;
    conn->dial = calloc(1, sizeof(*conn->dial));
    ASSERT(conn->dial != NULL);
    struct addrinfo *list = NULL;
    if (addr->host[0] == '\0' || addr->port == 0)
        dial_resolved(conn, NULL, ERR_INVALID);
    else if (euv_resolve_now(addr, AI_NUMERICHOST, &list) == OK)
        dial_resolved(conn, list, OK);
    else
        dial_resolve(conn, addr);
    return &conn->base;
}

const struct env_net_ops euv_net_ops = {.listen = euv_listen, .connect = net_connect};
