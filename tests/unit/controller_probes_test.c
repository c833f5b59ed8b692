/* SPDX-License-Identifier: Apache-2.0 */
/* Is the process gone? Asked of real sockets, also of one that is about to go. */
#include "controller/probes.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/env_uv/env_uv.h"
#include "tests/lib/unit.h"

#define TIMEOUT_US 20000000u

static struct env *env;
static struct probes probes;

struct answer {
    int count;
    uint64_t token;
    bool refused;
};

static void answered(void *ctx, uint64_t token, bool refused)
{
    struct answer *answer = ctx;
    answer->count++;
    answer->token = token;
    answer->refused = refused;
}

/* A listening socket whose queue nobody serves, as that of a process that is being killed. */
static int listen_raw(struct env_addr *ret_addr)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    ck_assert_int_eq(listen(fd, 8), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    *ret_addr = (struct env_addr){.host = "127.0.0.1", .port = ntohs(in.sin_port)};
    return fd;
}

static void deadline_passed(struct env_timer *timer)
{
}

/* Turns the loop until there is an answer or fd (-1: none) has a connection waiting. */
static void turn_until(const struct answer *answer, int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    struct env_timer deadline;
    env_timer_init(&deadline, deadline_passed);
    env_timer_set(env, &deadline, env_now_us(env) + TIMEOUT_US);
    while (answer->count == 0 && (fd < 0 || poll(&poll_fd, 1, 0) == 0)) {
        ck_assert_msg(env_timer_armed(&deadline), "no answer in time");
        env_uv_main_turn(env);
    }
    env_timer_cancel(env, &deadline);
}

static void begin(struct answer *answer)
{
    *answer = (struct answer){0};
    env = env_uv_main_new();
    probes_init(&probes, env, answered, answer);
}

static void end(void)
{
    probes_cancel(&probes);
    env_uv_main_free(env);
}

START_TEST(nobody_listens)
{
    struct answer answer;
    struct env_addr addr;
    begin(&answer);
    close(listen_raw(&addr));
    probes_ask(&probes, &addr, 7);
    turn_until(&answer, -1);
    ck_assert(answer.refused);
    ck_assert_uint_eq(answer.token, 7);
    end();
}
END_TEST

START_TEST(a_process_that_keeps_the_connection_lives)
{
    struct answer answer;
    struct env_addr addr;
    begin(&answer);
    int fd = listen_raw(&addr);
    uint64_t asked_us = env_now_us(env);
    probes_ask(&probes, &addr, 8);
    turn_until(&answer, -1);
    ck_assert(!answer.refused);
    ck_assert_uint_ge(env_now_us(env) - asked_us, PROBE_TIMEOUT_US);
    close(fd);
    end();
}
END_TEST

START_TEST(a_listener_that_goes_with_our_connection_in_its_queue)
{
    struct answer answer;
    struct env_addr addr;
    begin(&answer);
    int fd = listen_raw(&addr);
    probes_ask(&probes, &addr, 9);
    turn_until(&answer, fd);
    ck_assert_int_eq(answer.count, 0);
    close(fd);
    turn_until(&answer, -1);
    ck_assert(answer.refused);
    ck_assert_int_eq(answer.count, 1);
    end();
}
END_TEST

START_TEST(a_dropped_question_is_not_answered)
{
    struct answer answer;
    struct env_addr addr;
    begin(&answer);
    int fd = listen_raw(&addr);
    probes_ask(&probes, &addr, 10);
    turn_until(&answer, fd);
    probes_cancel(&probes);
    close(fd);
    env_uv_main_turn(env);
    end();
    ck_assert_int_eq(answer.count, 0);
}
END_TEST

static void add_tests(TCase *tc)
{
    tcase_add_test(tc, nobody_listens);
    tcase_add_test(tc, a_process_that_keeps_the_connection_lives);
    tcase_add_test(tc, a_listener_that_goes_with_our_connection_in_its_queue);
    tcase_add_test(tc, a_dropped_question_is_not_answered);
}

SLUICE_TEST_MAIN("controller_probes", add_tests)
