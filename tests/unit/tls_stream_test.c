/* SPDX-License-Identifier: Apache-2.0 */
/* Handshakes that go wrong, over real loopback connections. What holds for every connection is in
 * tests/env/env_tls_conformance_test.c. */
#include <stdio.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/env_uv/env_uv.h"
#include "common/tls/tls.h"
#include "tests/lib/test_ca.h"
#include "tests/lib/unit.h"

#define TIMEOUT_US 20000000u

static char *dir;
static struct env *env;

static void deadline_passed(struct env_timer *timer)
{
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

/* -- ends -- */

struct end {
    struct env_conn *conn;
    size_t connected, closed, received;
    enum err why;
    char buf[64];
};

static void end_alloc(void *ctx, void **ret_buf, size_t *ret_len)
{
    struct end *end = ctx;
    *ret_buf = end->buf;
    *ret_len = sizeof(end->buf);
}

static void end_read(void *ctx, size_t len)
{
    ((struct end *)ctx)->received += len;
}

static void end_connected(void *ctx)
{
    ((struct end *)ctx)->connected++;
}

static void end_closed(void *ctx, enum err why)
{
    struct end *end = ctx;
    end->closed++;
    end->why = why;
    end->conn = NULL;
}

static const struct env_conn_handler end_handler = {
    .alloc = end_alloc, .read = end_read, .connected = end_connected, .closed = end_closed};

static void end_say(struct end *end, const char *text)
{
    struct iobuf *buf = iobuf_get(env->pool, strlen(text));
    memcpy(buf->data, text, strlen(text));
    env_conn_write(end->conn, buf, 0, strlen(text));
    iobuf_unref(buf);
}

/* -- a server, and TLS for both sides -- */

#define ENDS_MAX (TLS_SHAKING_MAX + 16)

struct side {
    struct tls *tls;
    struct tls_loop *loop;
};

static struct server {
    struct side side;
    enum tls_use use;
    enum tls_role role;
    struct env_listener *listener;
    struct env_addr addr;
    struct end ends[ENDS_MAX];
    size_t accepted;
} server;

static struct side side_open(const char *name, const char *ca, const struct tls_options *more)
{
    struct side side;
    char pem[64], key[64], text[TLS_TEXT_MAX];
    struct tls_options options = more != NULL ? *more : (struct tls_options){.handshake_timeout_ms = 60000};
    snprintf(pem, sizeof(pem), "%s.pem", name);
    snprintf(key, sizeof(key), "%s.key", name);
    options.certificate = test_ca_path(dir, pem);
    options.key = test_ca_path(dir, key);
    options.ca = test_ca_path(dir, ca);
    ck_assert_msg(tls_new(env, &options, &side.tls, text) == OK, "%s", text);
    side.loop = tls_loop_new(env, side.tls);
    return side;
}

static void side_close(struct side *side)
{
    tls_loop_drop(side->loop);
    tls_free(side->tls);
}

static void accepted(void *ctx, struct env_conn *conn, const struct env_addr *peer)
{
    struct end *end = &server.ends[server.accepted++];
    end->conn = tls_accept(server.side.loop, server.use, server.role, conn, peer);
    env_conn_start(end->conn, &end_handler, end);
}

static void serve(const char *name, enum tls_use use, enum tls_role role, const struct tls_options *more)
{
    static const struct env_listener_handler handler = {.accepted = accepted};
    struct env_addr any = {.host = "127.0.0.1"};
    env = env_uv_main_new();
    server.side = side_open(name, "ca.pem", more);
    server.use = use;
    server.role = role;
    ck_assert_int_eq(env_listen(env, &any, false, &handler, NULL, &server.listener, &server.addr), OK);
}

static void server_end(void)
{
    env_listener_close(server.listener);
    for (size_t i = 0; i < server.accepted; i++) {
        if (server.ends[i].closed == 0)
            env_conn_close(server.ends[i].conn);
        wait_count(&server.ends[i].closed, 1);
    }
    env_uv_main_free(env);
    side_close(&server.side);
}

static void dial(struct end *end, struct side *side, enum tls_use use, enum tls_role role, int32_t id)
{
    end->conn =
        tls_connect(env, side != NULL ? side->loop : NULL, use, role, id, &server.addr, &end_handler, end);
}

static void hang_up(struct end *end)
{
    if (end->closed == 0)
        env_conn_close(end->conn);
    wait_count(&end->closed, 1);
}

/* -- tests -- */

START_TEST(a_node_dials_the_node_that_it_means)
{
    struct end right = {0}, wrong_id = {0}, wrong_role = {0};
    serve("broker-1", TLS_USE_CLUSTER_SERVER, TLS_ROLE_BROKER, NULL);
    struct side side = side_open("broker-2", "ca.pem", NULL);
    dial(&right, &side, TLS_USE_CLUSTER_CLIENT, TLS_ROLE_BROKER, 1);
    dial(&wrong_id, &side, TLS_USE_CLUSTER_CLIENT, TLS_ROLE_BROKER, 3);
    dial(&wrong_role, &side, TLS_USE_CLUSTER_CLIENT, TLS_ROLE_CONTROLLER, TLS_NODE_ANY);
    end_say(&right, "hello");
    wait_count(&right.connected, 1);
    wait_count(&wrong_id.closed, 1);
    wait_count(&wrong_role.closed, 1);
    ck_assert_int_eq(wrong_id.why, ERR_IDENTITY);
    ck_assert_int_eq(wrong_role.why, ERR_IDENTITY);
    ck_assert_uint_eq(wrong_id.connected + wrong_role.connected, 0);
    ck_assert_uint_eq(tls_counts(side.tls).identity, 2);
    wait_count(&server.ends[0].received, 5);
    ck_assert(tls_conn_is_node(server.ends[0].conn, TLS_ROLE_BROKER, 2, (struct uuid){{0}}));
    ck_assert(!tls_conn_is_node(server.ends[0].conn, TLS_ROLE_BROKER, 1, (struct uuid){{0}}));
    ck_assert_str_eq(tls_conn_peer(server.ends[0].conn)->principal, "User:CN=broker-2,O=Sluice test");
    hang_up(&right);
    server_end();
    side_close(&side);
}
END_TEST

START_TEST(who_is_no_node_is_told_so)
{
    struct end client = {0}, expired = {0};
    serve("broker-1", TLS_USE_CLUSTER_SERVER, TLS_ROLE_BROKER, NULL);
    struct side side = side_open("client", "ca.pem", NULL), old = side_open("old", "ca.pem", NULL);
    dial(&client, &side, TLS_USE_CLUSTER_CLIENT, TLS_ROLE_BROKER, 1);
    dial(&expired, &old, TLS_USE_CLUSTER_CLIENT, TLS_ROLE_BROKER, 1);
    wait_count(&client.closed, 1);
    wait_count(&expired.closed, 1);
    ck_assert_int_eq(client.why, ERR_REJECTED); /* an alert came */
    ck_assert_int_eq(expired.why, ERR_REJECTED);
    ck_assert_uint_eq(tls_counts(server.side.tls).identity, 1);
    ck_assert_uint_eq(tls_counts(server.side.tls).untrusted, 1);
    ck_assert_uint_eq(tls_counts(server.side.tls).handshakes, 0);
    server_end();
    side_close(&side);
    side_close(&old);
}
END_TEST

START_TEST(a_client_compares_the_host_unless_told)
{
    struct end strict = {0}, lax = {0};
    serve("elsewhere", TLS_USE_SERVER, TLS_ROLE_ANY, NULL);
    const struct tls_options any = {.any_host = true, .handshake_timeout_ms = 60000};
    struct side checks = side_open("client", "ca.pem", NULL), trusts = side_open("client", "ca.pem", &any);
    dial(&strict, &checks, TLS_USE_CLIENT, TLS_ROLE_ANY, TLS_NODE_ANY);
    dial(&lax, &trusts, TLS_USE_CLIENT, TLS_ROLE_ANY, TLS_NODE_ANY);
    wait_count(&strict.closed, 1);
    wait_count(&lax.connected, 1);
    ck_assert_int_eq(strict.why, ERR_UNTRUSTED);
    hang_up(&lax);
    server_end();
    side_close(&checks);
    side_close(&trusts);
}
END_TEST

START_TEST(handshakes_that_stop_are_bounded_in_number_and_time)
{
    const struct tls_options soon = {.handshake_timeout_ms = 1000};
    static struct end clients[ENDS_MAX];
    serve("broker-1", TLS_USE_SERVER, TLS_ROLE_ANY, &soon);
    for (size_t i = 0; i < TLS_SHAKING_MAX + 8; i++) {
        dial(&clients[i], NULL, TLS_USE_CLIENT, TLS_ROLE_ANY, TLS_NODE_ANY);
        end_say(&clients[i], "\x16\x03\x01");
        wait_count(&server.accepted, i + 1);
    }
    for (size_t i = 0; i < TLS_SHAKING_MAX + 8; i++)
        wait_count(&clients[i].closed, 1);
    struct tls_counts counts = tls_counts(server.side.tls);
    ck_assert_uint_eq(counts.failed, TLS_SHAKING_MAX + 8);
    ck_assert_uint_eq(counts.timed_out + counts.pushed_out, TLS_SHAKING_MAX + 8);
    server_end();
}
END_TEST

START_TEST(plain_text_is_closed_and_a_probe_is_no_failure)
{
    struct end plain = {0}, probe = {0};
    serve("broker-1", TLS_USE_SERVER, TLS_ROLE_ANY, NULL);
    dial(&plain, NULL, TLS_USE_CLIENT, TLS_ROLE_ANY, TLS_NODE_ANY);
    dial(&probe, NULL, TLS_USE_CLIENT, TLS_ROLE_ANY, TLS_NODE_ANY);
    end_say(&plain, "GET / HTTP/1.1\r\n\r\n");
    wait_count(&plain.closed, 1);
    wait_count(&probe.connected, 1);
    wait_count(&server.accepted, 2);
    hang_up(&probe);
    wait_count(&server.ends[0].closed, 1);
    wait_count(&server.ends[1].closed, 1);
    ck_assert_uint_eq(tls_counts(server.side.tls).failed, 1);
    server_end();
}
END_TEST

START_TEST(an_owner_may_close_in_the_middle_of_a_handshake)
{
    static struct end clients[32];
    serve("broker-1", TLS_USE_CLUSTER_SERVER, TLS_ROLE_BROKER, NULL);
    struct side side = side_open("broker-2", "ca.pem", NULL);
    for (size_t i = 0; i < ARRAY_LEN(clients); i++)
        dial(&clients[i], &side, TLS_USE_CLUSTER_CLIENT, TLS_ROLE_BROKER, 1);
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        wait_count(&server.accepted, i / 2);
        env_uv_main_turn(env);
        if (clients[i].closed == 0)
            env_conn_close(clients[i].conn);
    }
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        wait_count(&clients[i].closed, 1);
        ck_assert_int_eq(clients[i].why, OK);
    }
    server_end();
    side_close(&side);
}
END_TEST

START_TEST(files_that_do_not_fit_are_refused_with_their_name)
{
    char text[TLS_TEXT_MAX];
    struct tls *tls;
    env = env_uv_main_new();
    struct tls_options options = {.certificate = test_ca_path(dir, "nowhere.pem"),
                                  .key = test_ca_path(dir, "broker-1.key"),
                                  .ca = test_ca_path(dir, "ca.pem")};
    ck_assert_int_eq(tls_new(env, &options, &tls, text), ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(text, "nowhere.pem"));
    options.certificate = test_ca_path(dir, "broker-2.pem");
    ck_assert_int_eq(tls_new(env, &options, &tls, text), ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(text, "is not the key of the certificate"));
    options.certificate = test_ca_path(dir, "broker-1.key");
    ck_assert_int_eq(tls_new(env, &options, &tls, text), ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(text, "ssl.certificate.location"));
    options.certificate = "";
    ck_assert_int_eq(tls_new(env, &options, &tls, text), ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(text, "give both"));
    env_uv_main_free(env);
}
END_TEST

static void make_dir(void)
{
    dir =
        test_ca_make("broker-1 --node broker/1 broker-2 --node broker/2 client old --node broker/2 --expired "
                     "elsewhere --host other.example");
}

static void remove_dir(void)
{
    test_ca_remove(dir);
}

static void add(TCase *tcase)
{
    tcase_add_unchecked_fixture(tcase, make_dir, remove_dir);
    tcase_add_test(tcase, a_node_dials_the_node_that_it_means);
    tcase_add_test(tcase, who_is_no_node_is_told_so);
    tcase_add_test(tcase, a_client_compares_the_host_unless_told);
    tcase_add_test(tcase, handshakes_that_stop_are_bounded_in_number_and_time);
    tcase_add_test(tcase, plain_text_is_closed_and_a_probe_is_no_failure);
    tcase_add_test(tcase, an_owner_may_close_in_the_middle_of_a_handshake);
    tcase_add_test(tcase, files_that_do_not_fit_are_refused_with_their_name);
}

SLUICE_TEST_MAIN("tls_stream", add)
