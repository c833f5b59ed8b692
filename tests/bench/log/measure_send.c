/* SPDX-License-Identifier: Apache-2.0 */
/* Reads of cold offsets: found by the log, sent by the env as file ranges, beside a bare sendfile(2) loop
 * over the same loopback. A thread takes the bytes out at the other end. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/env/env.h"
#include "common/env_uv/env_uv.h"
#include "tests/bench/log/log_bench.h"

#define PIECE_BYTES (1 << 20)
#define LOG_BATCHES 2048 /* of 64 KiB */
#define QUEUE_BYTES (2 << 20)

struct sender {
    struct bench *b;
    struct plog *log;
    struct env_conn *conn;
    int file, bare; /* the log's first segment; the bare socket */
    bool closed;
};

/* -- the other end -- */

static void *drain(void *arg)
{
    int fd = (int)(intptr_t)arg;
    static _Thread_local uint8_t sink[1 << 18];
    while (recv(fd, sink, sizeof(sink), 0) > 0)
        ;
    close(fd);
    return NULL;
}

static int connect_to(uint16_t port, pthread_t *ret_thread)
{
    struct sockaddr_in addr = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bench_sys(fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0, "connect");
    bench_sys(pthread_create(ret_thread, NULL, drain, (void *)(intptr_t)fd) == 0, "thread");
    return fd;
}

static int bare_socket(pthread_t *ret_thread)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    bench_sys(listener >= 0 && bind(listener, (struct sockaddr *)&addr, len) == 0 &&
                  listen(listener, 1) == 0 && getsockname(listener, (struct sockaddr *)&addr, &len) == 0,
              "listen");
    connect_to(ntohs(addr.sin_port), ret_thread);
    int fd = accept(listener, NULL, NULL);
    bench_sys(fd >= 0, "accept");
    close(listener);
    return fd;
}

/* -- our end -- */

static void on_alloc(void *ctx, void **ret_buf, size_t *ret_len)
{
    static uint8_t sink[16];
    *ret_buf = sink;
    *ret_len = sizeof(sink);
}

static void on_read(void *ctx, size_t len)
{
}

static void on_closed(void *ctx, enum err why)
{
    ((struct sender *)ctx)->closed = true;
}

static const struct env_conn_handler conn_handler = {.alloc = on_alloc, .read = on_read, .closed = on_closed};

static void on_accepted(void *ctx, struct env_conn *conn, const struct env_addr *peer)
{
    struct sender *s = ctx;
    s->conn = conn;
    env_conn_start(conn, &conn_handler, s);
}

static const struct env_listener_handler listener_handler = {.accepted = on_accepted};

static int64_t send_piece(struct sender *s, int64_t offset)
{
    struct plog_piece piece;
    const struct plog_fetch fetch = {.offset = offset,
                                     .end_offset = plog_end(s->log),
                                     .file_end_offset = plog_end(s->log),
                                     .max_bytes = PIECE_BYTES,
                                     .at_least_one = true,
                                     .may_wait = true};
    bench_must(plog_fetch(s->log, &fetch, &piece), "fetch");
    bench_must(piece.file != NULL && piece.len > 0 ? OK : ERR_INVALID, "file range");
    env_conn_write_file(s->conn, piece.file, piece.file_offset, (size_t)piece.len);
    env_file_close(piece.file);
    return piece.next_offset;
}

/* The whole log, once. */
static double pass_ours(struct sender *s)
{
    double from = bench_wall_s();
    for (int64_t offset = 0; offset < plog_end(s->log);) {
        while (env_conn_queued(s->conn) < QUEUE_BYTES && offset < plog_end(s->log))
            offset = send_piece(s, offset);
        env_uv_main_turn(s->b->env);
    }
    while (env_conn_queued(s->conn) > 0)
        env_uv_main_turn(s->b->env);
    return bench_wall_s() - from;
}

static double pass_bare(struct sender *s)
{
    off_t at = 0, end = (off_t)plog_size_bytes(s->log);
    double from = bench_wall_s();
    while (at < end)
        bench_sys(sendfile(s->bare, s->file, &at, (size_t)MIN(end - at, PIECE_BYTES)) > 0, "sendfile");
    return bench_wall_s() - from;
}

static void fill(struct bench *b, struct sender *s, const char *dir)
{
    struct plog_report report;
    struct iobuf *batch = bench_batch(65400);
    struct plog_setup setup = bench_setup(b, dir, "sent-0", NULL, NULL);
    bench_must(plog_open(&setup, &s->log, &report), "open");
    for (int i = 0; i < LOG_BATCHES; i++)
        bench_append(s->log, batch);
    iobuf_unref(batch);
}

static void connect_ours(struct sender *s, pthread_t *ret_thread)
{
    struct env_listener *listener;
    struct env_addr addr = {.host = "127.0.0.1"}, bound;
    bench_must(env_listen(s->b->env, &addr, false, &listener_handler, s, &listener, &bound), "listen");
    connect_to(bound.port, ret_thread);
    while (!s->conn)
        env_uv_main_turn(s->b->env);
    env_listener_close(listener);
}

void measure_send_file(struct bench *b)
{
    struct sender s = {.b = b};
    pthread_t ours_thread, bare_thread;
    struct bench_samples ratio = {0}, ours = {0}, bare = {0};
    char dir[BENCH_PATH_MAX], path[BENCH_PATH_MAX];
    int pairs = b->quick ? 3 : 15;
    bench_mkdir(bench_path(b, "sent", dir));
    fill(b, &s, dir);
    double mb = (double)plog_size_bytes(s.log) / 1e6;
    s.file = open(bench_path(b, "sent/sent-0/00000000000000000000.log", path), O_RDONLY);
    bench_sys(s.file >= 0, path);
    s.bare = bare_socket(&bare_thread);
    connect_ours(&s, &ours_thread);
    pass_bare(&s);
    pass_ours(&s);
    for (int i = 0; i < pairs; i++) {
        double first = i % 2 ? pass_ours(&s) : pass_bare(&s), second = i % 2 ? pass_bare(&s) : pass_ours(&s);
        double x = i % 2 ? first : second, y = i % 2 ? second : first;
        bench_add(&ratio, y / x);
        bench_add(&ours, mb / x);
        bench_add(&bare, mb / y);
    }
    bench_report(b, &(struct bench_result){"send_file", "MB/s", bench_median(&ours), bench_median(&bare),
                                           bench_median(&ratio), 0.95, true});
    env_conn_close(s.conn);
    close(s.bare);
    while (!s.closed)
        env_uv_main_turn(b->env);
    pthread_join(ours_thread, NULL);
    pthread_join(bare_thread, NULL);
    close(s.file);
    plog_close(s.log);
    bench_remove(dir);
}
