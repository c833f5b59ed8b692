/* SPDX-License-Identifier: Apache-2.0 */
/* Accepting connections. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/env_uv/euv.h"

struct euv_listener {
    struct env_listener base; /* first */
    struct euv_sock sock;
    const struct env_listener_handler *handler;
    void *ctx;
    struct env_timer retry;
    int fd;
    bool closed;
};

static const struct env_listener_ops listener_ops;

/* -- sockets -- */

static enum err listen_socket_setup(int fd, const struct addrinfo *ai, bool shared)
{
    int on = 1, off = 0;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (ai->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0)
        return err_from_errno(errno);
    euv_socket_options(fd);
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) != 0 || listen(fd, EUV_BACKLOG) != 0)
        return err_from_errno(errno);
    return OK;
}

static enum err listen_try(const struct addrinfo *ai, bool shared, int *ret_fd)
{
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_from_errno(errno);
    enum err err = listen_socket_setup(fd, ai, shared);
    if (err != OK)
        close(fd);
    else
        *ret_fd = fd;
    return err;
}

/* Every local address: IPv6 with IPv4 mapped into it where the machine has IPv6, else IPv4 alone. */
static enum err listen_any(uint16_t port, bool shared, int *ret_fd)
{
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_ANY_INIT};
    struct sockaddr_in v4 = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_ANY)};
    struct addrinfo ai = {.ai_family = AF_INET6, .ai_addr = (struct sockaddr *)&v6, .ai_addrlen = sizeof(v6)};
    enum err err = listen_try(&ai, shared, ret_fd);
    if (err == OK || err == ERR_ADDRESS_IN_USE || err == ERR_PERMISSION)
        return err;
    ai = (struct addrinfo){.ai_family = AF_INET, .ai_addr = (struct sockaddr *)&v4, .ai_addrlen = sizeof(v4)};
    return listen_try(&ai, shared, ret_fd);
}

static enum err listen_open(const struct env_addr *addr, bool shared, int *ret_fd)
{
    if (addr->host[0] == '\0')
        return listen_any(addr->port, shared, ret_fd);
    struct addrinfo *list;
    enum err err = euv_resolve_now(addr, AI_PASSIVE, &list);
    if (err != OK)
        return err;
    err = ERR_RESOLVE;
    for (struct addrinfo *ai = list; ai != NULL && err != OK; ai = ai->ai_next)
        err = listen_try(ai, shared, ret_fd);
    freeaddrinfo(list);
    return err;
}

/* -- accepting -- */

static void listener_give(struct euv_listener *listener, int fd, const struct sockaddr_storage *sa)
{
    struct env_addr peer;
    struct euv_conn *conn = euv_conn_new(listener->sock.loop, fd);
    if (conn == NULL || !euv_conn_poll_init(conn)) {
        close(fd);
        free(conn);
        return;
    }
    euv_sockaddr_format(sa, &peer);
    listener->handler->accepted(listener->ctx, &conn->base, &peer);
}

static void listener_on_poll(uv_poll_t *poll, int status, int events);

/* No descriptor or memory left: the backlog waits. */
static void listener_back_off(struct euv_listener *listener)
{
    struct env *env = &listener->sock.loop->env;
    uv_poll_stop(&listener->sock.poll);
    env_timer_set(env, &listener->retry, euv_now_us(env) + EUV_ACCEPT_RETRY_US);
}

static void listener_retry(struct env_timer *timer)
{
    struct euv_listener *listener = CONTAINER_OF(timer, struct euv_listener, retry);
    uv_poll_start(&listener->sock.poll, UV_READABLE, listener_on_poll);
}

static bool accept_errno_is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void listener_on_poll(uv_poll_t *poll, int status, int events)
{
    struct euv_sock *sock = poll->data;
    struct euv_listener *listener = CONTAINER_OF(sock, struct euv_listener, sock);
    (void)events;
    euv_turn_enter(sock->loop);
    if (status < 0) { /* libuv stopped watching; nothing a listener can do but look again */
        listener_back_off(listener);
        return;
    }
    for (int i = 0; i < EUV_ACCEPT_TURN_COUNT && !listener->closed; i++) {
        struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
        socklen_t len = sizeof(sa);
        int fd = accept4(listener->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            listener_give(listener, fd, &sa);
        } else if (errno == EAGAIN) {
            return;
        } else if (accept_errno_is_shortage(errno)) {
            listener_back_off(listener);
            return;
        } /* else: that one connection failed before we took it */
    }
}

/* -- life -- */

static void listener_on_poll_closed(uv_handle_t *handle)
{
    struct euv_sock *sock = handle->data;
    free(CONTAINER_OF(sock, struct euv_listener, sock));
}

static void listener_destroy(struct euv_sock *sock)
{
    struct euv_listener *listener = CONTAINER_OF(sock, struct euv_listener, sock);
    ASSERT(!listener->closed);
    listener->closed = true;
    env_timer_cancel(&sock->loop->env, &listener->retry);
    uv_close((uv_handle_t *)&sock->poll, listener_on_poll_closed);
    close(listener->fd); /* last: libuv still takes its number out of the epoll set */
}

static void listener_close(struct env_listener *base)
{
    listener_destroy(&((struct euv_listener *)base)->sock);
}

static const struct env_listener_ops listener_ops = {.close = listener_close};

static struct euv_listener *listener_new(struct euv_loop *loop, int fd,
                                         const struct env_listener_handler *handler, void *ctx)
{
    struct euv_listener *listener = calloc(1, sizeof(*listener));
    if (listener == NULL)
        return NULL;
    listener->base.ops = &listener_ops;
    listener->sock.loop = loop;
    listener->sock.destroy = listener_destroy;
    listener->handler = handler;
    listener->ctx = ctx;
    listener->fd = fd;
    env_timer_init(&listener->retry, listener_retry);
    if (uv_poll_init(&loop->uv, &listener->sock.poll, fd) != 0) {
        free(listener);
        return NULL;
    }
    listener->sock.poll.data = &listener->sock;
    uv_poll_start(&listener->sock.poll, UV_READABLE, listener_on_poll);
    return listener;
}

enum err euv_listen(struct env *env, const struct env_addr *addr, bool shared,
                    const struct env_listener_handler *handler, void *ctx, struct env_listener **ret_listener,
                    struct env_addr *ret_bound)
{
    int fd = -1;
    enum err err = listen_open(addr, shared, &fd);
    if (err != OK)
        return err;
    struct euv_listener *listener = listener_new(euv_loop_of(env), fd, handler, ctx);
    if (listener == NULL) {
        close(fd);
        return ERR_NOMEM;
    }
    if (ret_bound != NULL) {
        struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
        socklen_t len = sizeof(sa);
        getsockname(fd, (struct sockaddr *)&sa, &len);
        euv_sockaddr_format(&sa, ret_bound);
    }
    *ret_listener = &listener->base;
    return OK;
}
