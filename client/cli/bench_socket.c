/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/bench_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/cli/bench_target.h"
#include "common/base/wire.h"

#define ECHO_BYTES 65536
#define EVENTS_MAX 64

static void no_delay(int fd)
{
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static enum err connect_one(const struct addrinfo *ai, int *ret_fd)
{
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_from_errno(errno);
    if (connect(fd, ai->ai_addr, ai->ai_addrlen) != 0) {
        enum err err = err_from_errno(errno);
        close(fd);
        return err;
    }
    no_delay(fd);
    *ret_fd = fd;
    return OK;
}

enum err bench_connect(const struct client_address *address, int *ret_fd)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list;
    char port[8];
    enum err err = ERR_RESOLVE;
    snprintf(port, sizeof(port), "%u", (unsigned)address->port);
    if (getaddrinfo(address->host, port, &hints, &list) != 0)
        return ERR_RESOLVE;
    for (const struct addrinfo *ai = list; ai && err != OK; ai = ai->ai_next)
        err = connect_one(ai, ret_fd);
    freeaddrinfo(list);
    return err;
}

bool bench_send(int fd, const void *p, size_t len)
{
    const uint8_t *at = p;
    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

bool bench_recv(int fd, void *p, size_t len, bool spin)
{
    uint8_t *at = p;
    while (len > 0) {
        ssize_t n = recv(fd, at, len, spin ? MSG_DONTWAIT : 0);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

/* Usually the whole frame is there with the first call. */
bool bench_recv_frame(int fd, uint8_t *p, size_t size, bool spin, size_t *ret_len)
{
    size_t have = 0, need = 4;
    while (have < need) {
        ssize_t n = recv(fd, p + have, (have < 4 ? size : need) - have, spin ? MSG_DONTWAIT : 0);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n <= 0)
            return false;
        have += (size_t)n;
        if (have >= 4)
            need = 4 + (size_t)load_be32(p);
        if (need > size)
            return false;
    }
    *ret_len = need - 4;
    return true;
}

/* -- the server -- */

static void echo(struct bench_server *server, int fd)
{
    uint8_t buf[ECHO_BYTES];
    ssize_t n = recv(fd, buf, sizeof(buf), 0);
    if (n <= 0 || !bench_send(fd, buf, (size_t)n))
        close(fd);
}

static void accept_one(struct bench_server *server)
{
    int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (fd < 0)
        return;
    no_delay(fd);
    epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void *server_main(void *arg)
{
    struct bench_server *server = arg;
    struct epoll_event events[EVENTS_MAX];
    if (server->cpu >= 0)
        bench_pin_self(server->cpu);
    for (;;) {
        int count = epoll_wait(server->epoll_fd, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == server->stop_fd)
                return NULL;
            if (events[i].data.fd == server->listener)
                accept_one(server);
            else
                server->serve(server, events[i].data.fd);
        }
    }
}

static enum err listen_local(struct bench_server *server)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server->listener < 0 || bind(server->listener, (struct sockaddr *)&addr, len) != 0 ||
        listen(server->listener, 16) != 0 ||
        getsockname(server->listener, (struct sockaddr *)&addr, &len) != 0)
        return err_from_errno(errno);
    snprintf(server->address.host, sizeof(server->address.host), "127.0.0.1");
    server->address.port = ntohs(addr.sin_port);
    return OK;
}

enum err bench_server_start(struct bench_server *server, int cpu,
                            void (*serve)(struct bench_server *server, int fd), void *ctx)
{
    *server = (struct bench_server){.cpu = cpu, .serve = serve, .ctx = ctx};
    enum err err = listen_local(server);
    if (err != OK)
        return err;
    server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    server->stop_fd = eventfd(0, EFD_CLOEXEC);
    struct epoll_event listener = {.events = EPOLLIN, .data.fd = server->listener},
                       stop = {.events = EPOLLIN, .data.fd = server->stop_fd};
    if (server->epoll_fd < 0 || server->stop_fd < 0 ||
        epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, server->listener, &listener) != 0 ||
        epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, server->stop_fd, &stop) != 0)
        return err_from_errno(errno);
    return err_from_errno(pthread_create(&server->thread, NULL, server_main, server));
}

enum err bench_echo_start(struct bench_server *server, int cpu)
{
    return bench_server_start(server, cpu, echo, NULL);
}

void bench_server_stop(struct bench_server *server)
{
    uint64_t one = 1;
    if (write(server->stop_fd, &one, sizeof(one)) == sizeof(one))
        pthread_join(server->thread, NULL);
    close(server->listener);
    close(server->stop_fd);
    close(server->epoll_fd);
}
