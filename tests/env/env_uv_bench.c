/* SPDX-License-Identifier: Apache-2.0 */
/* What the seam costs: TCP echo through env_uv beside a bare epoll echo (same client, interleaved), and a
 * mailbox round trip between two loops. Usage: env_uv_bench [round trips] */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/env_uv/env_uv.h"

#define MESSAGE_BYTES 100
#define ROUNDS        10

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int order_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void report(const char *name, uint64_t *ns, size_t count)
{
    qsort(ns, count, sizeof(*ns), order_u64);
    printf("%-28s p50 %7.2f us   p99 %7.2f us\n", name, (double)ns[count / 2] / 1000,
           (double)ns[count * 99 / 100] / 1000);
}

/* -- the bare side -- */

static int listen_loopback(uint16_t *ret_port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ASSERT(fd >= 0 && bind(fd, (struct sockaddr *)&sa, len) == 0 && listen(fd, 8) == 0);
    getsockname(fd, (struct sockaddr *)&sa, &len);
    *ret_port = ntohs(sa.sin_port);
    return fd;
}

static void *bare_echo(void *arg)
{
    int listener = *(int *)arg, on = 1;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    int ep = epoll_create1(0);
    struct epoll_event ev = {.events = EPOLLIN};
    char buf[4096];
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
    for (;;) {
        epoll_wait(ep, &ev, 1, -1);
        ssize_t n = recv(fd, buf, sizeof(buf), 0);
        if (n <= 0)
            break;
        if (send(fd, buf, (size_t)n, MSG_NOSIGNAL) != n)
            break;
    }
    close(ep);
    close(fd);
    return NULL;
}

static int client_connect(uint16_t port)
{
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    ASSERT(connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

static void client_round_trips(int fd, uint64_t *ns, size_t count)
{
    char buf[MESSAGE_BYTES] = {0};
    for (size_t i = 0; i < count; i++) {
        uint64_t from = now_ns();
        ASSERT(send(fd, buf, sizeof(buf), 0) == (ssize_t)sizeof(buf));
        ASSERT(recv(fd, buf, sizeof(buf), MSG_WAITALL) == (ssize_t)sizeof(buf));
        ns[i] = now_ns() - from;
    }
}

/* -- the env side: a loop on its own thread -- */

struct echo {
    struct env_msg start, stop;
    struct env *env;
    struct env_listener *listener;
    struct env_conn *conn;
    struct iobuf *buf;
    struct env_addr bound;
    atomic_bool ready;
};

static void echo_alloc(void *ctx, void **ret_buf, size_t *ret_len)
{
    struct echo *echo = ctx;
    if (echo->buf == NULL)
        echo->buf = iobuf_get(echo->env->pool, 4096);
    *ret_buf = echo->buf->data;
    *ret_len = echo->buf->cap;
}

static void echo_read(void *ctx, size_t len)
{
    struct echo *echo = ctx;
    env_conn_write(echo->conn, echo->buf, 0, len);
    iobuf_unref(echo->buf);
    echo->buf = NULL;
}

static void echo_closed(void *ctx, enum err why)
{
    struct echo *echo = ctx;
    iobuf_unref(echo->buf);
    echo->buf = NULL;
    echo->conn = NULL;
}

static const struct env_conn_handler echo_handler = {
    .alloc = echo_alloc, .read = echo_read, .closed = echo_closed};

static void echo_accepted(void *ctx, struct env_conn *conn, const struct env_addr *peer)
{
    struct echo *echo = ctx;
    echo->conn = conn;
    env_conn_start(conn, &echo_handler, echo);
}

static const struct env_listener_handler listener_handler = {.accepted = echo_accepted};

static void echo_start(struct env_msg *msg)
{
    struct echo *echo = CONTAINER_OF(msg, struct echo, start);
    struct env_addr addr = {.host = "127.0.0.1"};
    ASSERT(env_listen(echo->env, &addr, false, &listener_handler, echo, &echo->listener, &echo->bound) == OK);
    atomic_store(&echo->ready, true);
}

static void echo_stop(struct env_msg *msg)
{
    struct echo *echo = CONTAINER_OF(msg, struct echo, stop);
    env_listener_close(echo->listener);
    env_stop(echo->env);
}

static void start_hop(struct env_msg *msg)
{
    (void)msg;
}

static void bench_echo(struct env *main_env, size_t count)
{
    struct echo echo = {.start.fn = echo_start, .stop.fn = echo_stop};
    struct env_msg hop = {.fn = start_hop};
    uint64_t *bare = calloc(count, sizeof(*bare)), *through = calloc(count, sizeof(*through));
    uint16_t port;
    pthread_t thread;
    int listener = listen_loopback(&port);
    pthread_create(&thread, NULL, bare_echo, &listener);
    echo.env = env_spawn(main_env, "echo", &hop);
    env_post(echo.env, &echo.start);
    while (!atomic_load(&echo.ready))
        sched_yield();
    int bare_fd = client_connect(port), env_fd = client_connect(echo.bound.port);
    client_round_trips(env_fd, through, count / ROUNDS); /* warm */
    uint64_t mallocs = iobuf_pool_mallocs(echo.env->pool);
    for (int round = 0; round < ROUNDS; round++) {
        client_round_trips(bare_fd, bare + (size_t)round * (count / ROUNDS), count / ROUNDS);
        client_round_trips(env_fd, through + (size_t)round * (count / ROUNDS), count / ROUNDS);
    }
    report("bare epoll echo, 100 B", bare, count / ROUNDS * ROUNDS);
    report("env_uv echo, 100 B", through, count / ROUNDS * ROUNDS);
    printf("%-28s %llu\n", "buffer mallocs meanwhile",
           (unsigned long long)(iobuf_pool_mallocs(echo.env->pool) - mallocs));
    close(bare_fd);
    close(env_fd);
    pthread_join(thread, NULL);
    close(listener);
    env_post(echo.env, &echo.stop);
    env_uv_main_free(main_env); /* waits for the other loop: echo is on this stack */
    free(bare);
    free(through);
}

/* -- mail -- */

struct pingpong {
    struct env_msg msg, stop;
    struct env *a, *b;
    uint64_t *ns, from;
    size_t count, done;
};

static void ping_at_b(struct env_msg *msg);

static void pong_at_a(struct env_msg *msg)
{
    struct pingpong *pp = CONTAINER_OF(msg, struct pingpong, msg);
    pp->ns[pp->done++] = now_ns() - pp->from;
    if (pp->done == pp->count)
        return;
    pp->from = now_ns();
    msg->fn = ping_at_b;
    env_post(pp->b, msg);
}

static void ping_at_b(struct env_msg *msg)
{
    struct pingpong *pp = CONTAINER_OF(msg, struct pingpong, msg);
    msg->fn = pong_at_a;
    env_post(pp->a, msg);
}

/* A loop that is kept busy by mail to itself: its box is read at every turn without a sleep. */
struct busy {
    struct env_msg msg;
    struct env *env;
    atomic_bool *end;
};

static void busy_again(struct env_msg *msg)
{
    struct busy *busy = CONTAINER_OF(msg, struct busy, msg);
    if (!atomic_load_explicit(busy->end, memory_order_relaxed))
        env_post(busy->env, msg);
}

static void loop_stop_msg(struct env_msg *msg)
{
    struct pingpong *pp = CONTAINER_OF(msg, struct pingpong, stop);
    env_stop(pp->b);
}

static void bench_mail(struct env *main_env, size_t count, bool awake)
{
    struct env_msg hop = {.fn = start_hop};
    atomic_bool end;
    atomic_init(&end, false);
    struct pingpong pp = {
        .a = main_env, .count = count, .ns = calloc(count, sizeof(uint64_t)), .stop.fn = loop_stop_msg};
    pp.b = env_spawn(main_env, "pong", &hop);
    struct busy busy_a = {.msg.fn = busy_again, .env = pp.a, .end = &end},
                busy_b = {.msg.fn = busy_again, .env = pp.b, .end = &end};
    if (awake) {
        env_post(pp.a, &busy_a.msg);
        env_post(pp.b, &busy_b.msg);
    }
    pp.msg.fn = ping_at_b;
    pp.from = now_ns();
    env_post(pp.b, &pp.msg);
    while (pp.done < pp.count)
        env_uv_main_turn(main_env);
    atomic_store(&end, true);
    if (awake)
        env_uv_main_turn(main_env); /* takes the last message of busy_a */
    report(awake ? "mail round trip, awake" : "mail round trip, asleep", pp.ns, count);
    env_post(pp.b, &pp.stop);
    env_uv_main_free(main_env); /* waits for the other loop: pp and the messages are on this stack */
    free(pp.ns);
}

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? (size_t)atol(argv[1]) : 20000;
    bench_echo(env_uv_main_new(), count);
    bench_mail(env_uv_main_new(), count, false);
    bench_mail(env_uv_main_new(), count, true);
    return 0;
}
