/* SPDX-License-Identifier: Apache-2.0 */
/* What only the real env has: signals, the end of a process, descriptors that run out, what sockets look
 * like. */
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/env_uv/env_uv.h"
#include "tests/lib/unit.h"

#define TIMEOUT_US 20000000u

static struct env *env;

static void deadline_passed(struct env_timer *timer)
{
    (void)timer;
}

static void wait_count(const size_t *count, size_t at_least)
{
    struct env_timer deadline;
    env_timer_init(&deadline, deadline_passed);
    env_timer_set(env, &deadline, env_now_us(env) + TIMEOUT_US);
    while (*count < at_least) {
        ck_assert_msg(env_timer_armed(&deadline), "condition did not come true in time");
        env_uv_main_turn(env);
    }
    env_timer_cancel(env, &deadline);
}

static size_t open_descriptors(void)
{
    size_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

/* -- signals and the end -- */

static void stop_on_signal(void *ctx, int signo)
{
    *(int *)ctx = signo;
    env_uv_main_stop(env);
}

START_TEST(signal_reaches_the_main_loop_and_can_stop_it)
{
    int got = 0;
    env = env_uv_main_new();
    ck_assert_int_eq(env_uv_main_on_signal(env, SIGTERM, stop_on_signal, &got), OK);
    ck_assert_int_eq(env_uv_main_on_signal(env, SIGINT, stop_on_signal, &got), OK);
    kill(getpid(), SIGTERM);
    env_uv_main_run(env);
    ck_assert_int_eq(got, SIGTERM);
    kill(getpid(), SIGINT);
    env_uv_main_run(env);
    ck_assert_int_eq(got, SIGINT);
    env_uv_main_free(env);
}
END_TEST

static void nothing(void *ctx, int signo)
{
    (void)ctx;
}

START_TEST(signals_are_bounded_and_checked)
{
    enum err err = OK;
    env = env_uv_main_new();
    ck_assert_int_eq(env_uv_main_on_signal(env, SIGKILL, nothing, NULL), ERR_INVALID);
    for (int i = 0; i < 20 && err == OK; i++)
        err = env_uv_main_on_signal(env, SIGHUP, nothing, NULL);
    ck_assert_int_eq(err, ERR_FULL);
    env_uv_main_free(env);
}
END_TEST

START_TEST(loop_stopped_before_it_runs_ends_at_once)
{
    env = env_uv_main_new();
    env_uv_main_stop(env);
    env_uv_main_run(env);
    env_uv_main_free(env);
}
END_TEST

/* -- sockets -- */

struct accepted {
    size_t count, closed;
    struct env_conn *conns[64];
};

static void take_alloc(void *ctx, void **ret_buf, size_t *ret_len)
{
    static char buf[256];
    *ret_buf = buf;
    *ret_len = sizeof(buf);
}

static size_t taken_bytes;

static void take_read(void *ctx, size_t len)
{
    taken_bytes += len;
}

static void take_closed(void *ctx, enum err why)
{
    ((struct accepted *)ctx)->closed++;
}

static const struct env_conn_handler take_handler = {
    .alloc = take_alloc, .read = take_read, .closed = take_closed};

static void take(void *ctx, struct env_conn *conn, const struct env_addr *peer)
{
    struct accepted *accepted = ctx;
    accepted->conns[accepted->count++] = conn;
    env_conn_start(conn, &take_handler, accepted);
}

static const struct env_listener_handler listener_handler = {.accepted = take};

static int raw_connect(const struct env_addr *addr)
{
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons(addr->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    return fd;
}

START_TEST(open_sockets_left_behind_are_torn_down_with_the_process)
{
    static struct accepted accepted;
    struct env_addr any = {.host = "127.0.0.1"}, bound;
    struct env_listener *listener;
    size_t before = open_descriptors();
    env = env_uv_main_new();
    ck_assert_int_eq(env_listen(env, &any, false, &listener_handler, &accepted, &listener, &bound), OK);
    int fd = raw_connect(&bound);
    wait_count(&accepted.count, 1);
    env_uv_main_free(env);
    ck_assert_uint_eq(accepted.closed, 0);
    close(fd);
    ck_assert_uint_le(open_descriptors(), before + 2); /* libuv keeps its process-wide signal pipe */
}
END_TEST

START_TEST(every_socket_sends_at_once_and_watches_its_peer)
{
    static struct accepted accepted, dialled;
    struct env_addr any = {.host = "127.0.0.1"}, bound;
    struct env_listener *listener;
    env = env_uv_main_new();
    ck_assert_int_eq(env_listen(env, &any, false, &listener_handler, &accepted, &listener, &bound), OK);
    env_connect(env, &bound, &take_handler, &dialled);
    wait_count(&accepted.count, 1);
    size_t streams = 0;
    for (int fd = 0; fd < 64; fd++) { /* every connected TCP socket of this process */
        struct sockaddr_in peer;
        socklen_t len = sizeof(peer);
        int nodelay = 0, keepalive = 0;
        if (getpeername(fd, (struct sockaddr *)&peer, &len) != 0 || peer.sin_family != AF_INET)
            continue;
        len = sizeof(int);
        ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, &len), 0);
        ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &keepalive, &len), 0);
        ck_assert_int_ne(nodelay, 0);
        ck_assert_int_ne(keepalive, 0);
        streams++;
    }
    ck_assert_uint_eq(streams, 2);
    env_uv_main_free(env);
}
END_TEST

START_TEST(accepting_waits_for_descriptors_and_goes_on_by_itself)
{
    static struct accepted accepted;
    struct env_addr any = {.host = "127.0.0.1"}, bound;
    struct env_listener *listener;
    struct rlimit limit, full;
    int fds[8];
    env = env_uv_main_new();
    ck_assert_int_eq(env_listen(env, &any, false, &listener_handler, &accepted, &listener, &bound), OK);
    for (int i = 0; i < 8; i++)
        fds[i] = raw_connect(&bound); /* they stand in the backlog */
    getrlimit(RLIMIT_NOFILE, &limit);
    full = limit;
    full.rlim_cur = (rlim_t)fds[7] + 3; /* room for two more */
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &full), 0);
    wait_count(&accepted.count, 2);
    for (int i = 0; i < 20; i++) {
        struct env_timer tick;
        env_timer_init(&tick, deadline_passed);
        env_timer_set(env, &tick, env_now_us(env) + 1000);
        while (env_timer_armed(&tick))
            env_uv_main_turn(env);
    }
    ck_assert_uint_eq(accepted.count, 2);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    wait_count(&accepted.count, 8);
    for (int i = 0; i < 8; i++)
        close(fds[i]);
    wait_count(&accepted.closed, 8);
    env_uv_main_free(env);
}
END_TEST

START_TEST(reset_by_the_peer_is_a_close_and_what_came_before_is_read)
{
    static struct accepted accepted;
    struct env_addr any = {.host = "127.0.0.1"}, bound;
    struct env_listener *listener;
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    env = env_uv_main_new();
    ck_assert_int_eq(env_listen(env, &any, false, &listener_handler, &accepted, &listener, &bound), OK);
    int fd = raw_connect(&bound);
    wait_count(&accepted.count, 1);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    ck_assert_int_eq(send(fd, "last", 4, 0), 4);
    close(fd);
    wait_count(&accepted.closed, 1);
    ck_assert_uint_eq(taken_bytes, 4);
    env_uv_main_free(env);
}
END_TEST

/* -- syncs -- */

#define SYNCS 20

static size_t synced_count;

static void synced_one(struct env_io *io, enum err err)
{
    (void)io;
    ck_assert_int_eq(err, OK);
    synced_count++;
}

START_TEST(syncs_of_one_turn_reach_the_threads_together)
{
    char dir[] = "/tmp/sluice-syncs-XXXXXX", path[64];
    struct env_file *files[SYNCS];
    struct env_io io[SYNCS];
    struct iovec byte = {(void *)(uintptr_t) "x", 1};
    uint64_t alone, together;
    env = env_uv_main_new();
    ck_assert_ptr_nonnull(mkdtemp(dir));
    for (int i = 0; i < SYNCS; i++) {
        snprintf(path, sizeof(path), "%s/%d", dir, i);
        ck_assert_int_eq(env_file_open(env, path, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &files[i]), OK);
        ck_assert_int_eq(env_file_write(files[i], 0, &byte, 1), OK);
        env_file_sync(files[i], &io[i], synced_one);
    }
    wait_count(&synced_count, SYNCS);
    env_uv_sync_counts(env, &alone, &together);
    if (together > 0) /* else the kernel, or the file system, does not tell errors of a syncfs */
        ck_assert(together == 1 && alone == 0);
    else
        ck_assert_uint_eq(alone, SYNCS);
    for (int i = 0; i < SYNCS; i++) {
        snprintf(path, sizeof(path), "%s/%d", dir, i);
        env_file_close(files[i]);
        unlink(path);
    }
    rmdir(dir);
    env_uv_main_free(env);
}
END_TEST

START_TEST(cpu_count_honours_affinity)
{
    cpu_set_t before, one;
    env = env_uv_main_new();
    ck_assert_int_eq(sched_getaffinity(0, sizeof(before), &before), 0);
    int cpu = 0;
    while (!CPU_ISSET(cpu, &before))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
    ck_assert_uint_eq(env_cpu_count(env), 1);
    env_uv_main_free(env);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, signal_reaches_the_main_loop_and_can_stop_it);
    tcase_add_test(tcase, signals_are_bounded_and_checked);
    tcase_add_test(tcase, loop_stopped_before_it_runs_ends_at_once);
    tcase_add_test(tcase, open_sockets_left_behind_are_torn_down_with_the_process);
    tcase_add_test(tcase, every_socket_sends_at_once_and_watches_its_peer);
    tcase_add_test(tcase, accepting_waits_for_descriptors_and_goes_on_by_itself);
    tcase_add_test(tcase, reset_by_the_peer_is_a_close_and_what_came_before_is_read);
    tcase_add_test(tcase, syncs_of_one_turn_reach_the_threads_together);
    tcase_add_test(tcase, cpu_count_honours_affinity);
}

SLUICE_TEST_MAIN("env_uv_process", add_tests)
