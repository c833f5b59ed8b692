/* SPDX-License-Identifier: Apache-2.0 */
/* The admin server on real sockets: client and server live on one loop, ports are the kernel's choice. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/env_uv/env_uv.h"
#include "common/obs/admin_http.h"
#include "tests/lib/unit.h"

#define CLIENTS_MAX (ADMIN_HTTP_CONNS_MAX + 2)
#define BIG_SIZE    (16 << 20) /* more than the socket buffers of both sides hold */

struct client {
    struct env_conn *conn;
    char buf[1 << 16]; /* where reads land */
    char *text;        /* everything received, ended by a zero */
    size_t len, cap;
    bool closed, slow; /* slow: does not read */
};

static struct env *env;
static struct metrics *metrics;
static struct logger logger;
static struct admin_http *server;
static struct env_addr bound;
static struct client clients[CLIENTS_MAX];
static bool is_ready, stopped;

static void on_alloc(void *ctx, void **ret_buf, size_t *ret_len)
{
    struct client *client = ctx;
    *ret_buf = client->buf;
    *ret_len = client->slow ? 0 : sizeof(client->buf);
}

static void on_read(void *ctx, size_t len)
{
    struct client *client = ctx;
    if (client->len + len >= client->cap) {
        client->cap = 2 * (client->len + len) + 1;
        client->text = realloc(client->text, client->cap);
    }
    memcpy(client->text + client->len, client->buf, len);
    client->len += len;
    client->text[client->len] = '\0';
}

static void on_closed(void *ctx, enum err why)
{
    struct client *client = ctx;
    client->closed = true;
    client->conn = NULL;
}

static const struct env_conn_handler handler = {.alloc = on_alloc, .read = on_read, .closed = on_closed};

static void open_client(struct client *client)
{
    memset(client, 0, sizeof(*client));
    client->text = calloc(1, 1);
    client->conn = env_connect(env, &bound, &handler, client);
}

static void send_bytes(struct client *client, const char *text, size_t len)
{
    struct iobuf *buf = iobuf_get(NULL, len);
    memcpy(buf->data, text, len);
    buf->len = (uint32_t)len;
    env_conn_write(client->conn, buf, 0, len);
    iobuf_unref(buf);
}

static void send_text(struct client *client, const char *text)
{
    send_bytes(client, text, strlen(text));
}

/* Number of whole answers whose bodies say needle. */
static int count_text(const struct client *client, const char *needle)
{
    int count = 0;
    for (const char *p = client->text; (p = strstr(p, needle)) != NULL; p += strlen(needle))
        count++;
    return count;
}

static void wait_text(struct client *client, const char *needle, int times)
{
    while (count_text(client, needle) < times) {
        ck_assert_msg(!client->closed, "closed after: %.500s", client->text);
        env_uv_main_turn(env);
    }
}

static void wait_closed(struct client *client)
{
    while (!client->closed)
        env_uv_main_turn(env);
}

static bool ready(void *ctx, char *reason, size_t size)
{
    if (!is_ready)
        snprintf(reason, size, "no controller yet");
    return is_ready;
}

static void sink(void *ctx, const char *line, size_t len)
{
}

static void start_server(uint64_t timeout_us)
{
    struct admin_http_options options = {
        .ready = ready, .logger = &logger, .metrics = metrics, .timeout_us = timeout_us};
    ck_assert_int_eq(env_addr_parse("127.0.0.1:0", &options.addr), OK);
    ck_assert_int_eq(admin_http_start(env, &options, &server, &bound), OK);
    ck_assert_uint_ne(bound.port, 0);
    is_ready = stopped = false;
}

static void setup(void)
{
    env = env_uv_main_new();
    metrics = metrics_new();
    ck_assert_int_eq(logger_init(&logger, &(struct logger_options){.sink = sink, .node_id = -1}), OK);
    start_server(0);
}

static void on_stopped(void *ctx)
{
    *(bool *)ctx = true;
}

static void stop_server(void)
{
    admin_http_stop(server, on_stopped, &stopped);
    ck_assert(!stopped);
    while (!stopped)
        env_uv_main_turn(env);
    server = NULL;
}

static void teardown(void)
{
    if (server)
        stop_server();
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        if (clients[i].conn)
            env_conn_close(clients[i].conn);
        if (clients[i].text)
            wait_closed(&clients[i]);
        free(clients[i].text);
    }
    metrics_free(metrics);
    env_uv_main_stop(env);
    env_uv_main_run(env);
    env_uv_main_free(env);
}

START_TEST(metrics_are_served)
{
    struct client *client = &clients[0];
    open_client(client);
    send_text(client, "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    wait_closed(client);
    ck_assert_ptr_nonnull(strstr(client->text, "HTTP/1.1 200 OK\r\n"));
    ck_assert_ptr_nonnull(strstr(client->text, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    ck_assert_ptr_nonnull(strstr(client->text, "Connection: close\r\n"));
    ck_assert_ptr_nonnull(strstr(client->text, "\nsluice_admin_requests_total 1\n"));
}
END_TEST

START_TEST(content_length_is_the_body_and_head_leaves_it_out)
{
    struct client *client = &clients[0];
    open_client(client);
    send_text(client, "HEAD /healthz HTTP/1.1\r\n\r\n");
    wait_text(client, "\r\n\r\n", 1);
    ck_assert_ptr_nonnull(strstr(client->text, "Content-Length: 3\r\n"));
    ck_assert_str_eq(strstr(client->text, "\r\n\r\n"), "\r\n\r\n");
    send_text(client, "GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n");
    wait_closed(client);
    ck_assert_str_eq(client->text + client->len - 7, "\r\n\r\nok\n");
}
END_TEST

START_TEST(readiness_follows_the_callback)
{
    struct client *client = &clients[0];
    open_client(client);
    send_text(client, "GET /readyz HTTP/1.1\r\n\r\n");
    wait_text(client, "no controller yet\n", 1);
    ck_assert_ptr_nonnull(strstr(client->text, "HTTP/1.1 503 Service Unavailable\r\n"));
    is_ready = true;
    send_text(client, "GET /readyz HTTP/1.1\r\n\r\n");
    wait_text(client, "\r\n\r\nready\n", 1);
    ck_assert_ptr_nonnull(strstr(client->text, "HTTP/1.1 200 OK\r\n"));
}
END_TEST

START_TEST(unknown_paths_are_404_and_the_connection_lives_on)
{
    struct client *client = &clients[0];
    open_client(client);
    send_text(client, "GET /metricsx HTTP/1.1\r\n\r\n");
    wait_text(client, "no such path", 1);
    ck_assert_ptr_nonnull(strstr(client->text, "HTTP/1.1 404 Not Found\r\n"));
    send_text(client, "GET /healthz HTTP/1.1\r\n\r\n");
    wait_text(client, "\r\n\r\nok\n", 1);
}
END_TEST

static void echo_query(void *ctx, const struct admin_request *request, struct admin_response *response)
{
    response->content_type = ctx;
    writer_raw(&response->body, request->query, strlen(request->query));
}

START_TEST(added_paths_get_their_query)
{
    struct client *client = &clients[0];
    char type[] = "application/json";
    ck_assert_int_eq(admin_http_add(server, "/echo", echo_query, type), OK);
    ck_assert_int_eq(admin_http_add(server, "/echo", echo_query, type), ERR_EXISTS);
    open_client(client);
    send_text(client, "GET /echo?a=1&b=%20 HTTP/1.1\r\n\r\n");
    wait_text(client, "\r\n\r\na=1&b=%20", 1);
    ck_assert_ptr_nonnull(strstr(client->text, "Content-Type: application/json\r\n"));
}
END_TEST

START_TEST(pipelined_requests_are_answered_in_order)
{
    struct client *client = &clients[0];
    open_client(client);
    for (int i = 0; i < 200; i++)
        send_text(client, "GET /healthz HTTP/1.1\r\n\r\n");
    send_text(client, "GET /echo HTTP/1.1\r\nConnection: close\r\n\r\n");
    wait_closed(client);
    ck_assert_int_eq(count_text(client, "\r\n\r\nok\n"), 200);
    ck_assert_ptr_nonnull(strstr(client->text, "no such path"));
}
END_TEST

static void big_body(void *ctx, const struct admin_request *request, struct admin_response *response)
{
    static char block[1 << 16];
    memset(block, 'x', sizeof(block));
    for (size_t i = 0; i < BIG_SIZE / sizeof(block); i++)
        writer_raw(&response->body, block, sizeof(block));
    writer_raw(&response->body, "END", 3);
}

START_TEST(a_large_answer_arrives_whole_before_the_connection_closes)
{
    struct client *client = &clients[0];
    ck_assert_int_eq(admin_http_add(server, "/big", big_body, NULL), OK);
    open_client(client);
    send_text(client, "GET /big HTTP/1.1\r\nConnection: close\r\n\r\n");
    wait_closed(client);
    ck_assert_str_eq(client->text + client->len - 3, "END");
    ck_assert_uint_gt(client->len, BIG_SIZE);
}
END_TEST

START_TEST(a_reader_that_stops_reading_holds_one_answer_not_more)
{
    struct client *client = &clients[0], *other = &clients[1];
    ck_assert_int_eq(admin_http_add(server, "/big", big_body, NULL), OK);
    open_client(client);
    client->slow = true;
    for (int i = 0; i < 3; i++)
        send_text(client, "GET /big HTTP/1.1\r\n\r\n");
    open_client(other);
    send_text(other, "GET /metrics HTTP/1.1\r\n\r\n");
    wait_text(other, "sluice_admin_requests_total", 1);
    for (int i = 1; i < 20; i++) {
        send_text(other, "GET /metrics HTTP/1.1\r\n\r\n");
        wait_text(other, "\nsluice_admin_requests_total ", i + 1);
    }
    ck_assert_ptr_nonnull(strstr(other->text, "sluice_admin_requests_total 21\n"));
    client->slow = false;
    env_conn_resume(client->conn);
    while (client->len < (size_t)3 * BIG_SIZE) {
        ck_assert(!client->closed);
        env_uv_main_turn(env);
    }
    ck_assert_int_eq(count_text(client, "END"), 3);
}
END_TEST

static void failing_body(void *ctx, const struct admin_request *request, struct admin_response *response)
{
    writer_fail(&response->body, ERR_TOO_LARGE);
}

START_TEST(a_body_that_fails_becomes_500)
{
    struct client *client = &clients[0];
    ck_assert_int_eq(admin_http_add(server, "/fail", failing_body, NULL), OK);
    open_client(client);
    send_text(client, "GET /fail HTTP/1.1\r\n\r\n");
    wait_text(client, "HTTP/1.1 500 Internal Server Error\r\n", 1);
}
END_TEST

static const char *const hostile[] = {
    "POST / HTTP/1.1\r\n\r\n",
    "\x16\x03\x01\x02\x01\x01",
    "GET / HTTP/3.0\r\n\r\n",
    "GET / HTTP/1.1\r\nbad header\r\n\r\n",
};

START_TEST(hostile_bytes_get_an_error_and_a_closed_connection)
{
    struct client *client = &clients[0];
    open_client(client);
    send_text(client, hostile[_i]);
    wait_closed(client);
    ck_assert_ptr_eq(strstr(client->text, "HTTP/1.1 "), client->text);
    ck_assert(client->text[9] == '4' || client->text[9] == '5');
    ck_assert_ptr_nonnull(strstr(client->text, "Connection: close\r\n"));
}
END_TEST

START_TEST(endless_headers_are_cut_off)
{
    struct client *client = &clients[0];
    char header[1024];
    memset(header, 'h', sizeof(header));
    open_client(client);
    send_text(client, "GET / HTTP/1.1\r\n");
    for (int i = 0; i < 9; i++)
        send_bytes(client, header, sizeof(header));
    wait_closed(client);
}
END_TEST

START_TEST(connections_beyond_the_cap_are_dropped_and_the_rest_served)
{
    for (int i = 0; i < ADMIN_HTTP_CONNS_MAX; i++) {
        open_client(&clients[i]);
        send_text(&clients[i], "GET /healthz HTTP/1.1\r\n\r\n");
    }
    for (int i = 0; i < ADMIN_HTTP_CONNS_MAX; i++)
        wait_text(&clients[i], "\r\n\r\nok\n", 1);
    open_client(&clients[ADMIN_HTTP_CONNS_MAX]);
    wait_closed(&clients[ADMIN_HTTP_CONNS_MAX]);
    send_text(&clients[0], "GET /metrics HTTP/1.1\r\n\r\n");
    wait_text(&clients[0], "\nsluice_admin_dropped_total 1\n", 1);
    env_conn_close(clients[0].conn);
    wait_closed(&clients[0]);
    do { /* the server may hear of the free place only now */
        free(clients[0].text);
        open_client(&clients[0]);
        send_text(&clients[0], "GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n");
        wait_closed(&clients[0]);
    } while (count_text(&clients[0], "\r\n\r\nok\n") == 0);
}
END_TEST

START_TEST(requests_that_never_end_and_answers_that_nobody_reads_time_out)
{
    stop_server();
    start_server(50000);
    ck_assert_int_eq(admin_http_add(server, "/big", big_body, NULL), OK);
    open_client(&clients[0]);
    open_client(&clients[1]);
    open_client(&clients[2]);
    send_text(&clients[1], "GET / HTTP/1.1\r\nHost:");
    clients[2].slow = true;
    send_text(&clients[2], "GET /big HTTP/1.1\r\n\r\n");
    wait_closed(&clients[0]);
    wait_closed(&clients[1]);
    uint64_t asked_us = env_now_us(env) + 300000;
    while (env_now_us(env) < asked_us) {
        open_client(&clients[3]); /* the server still serves, and its loop turns */
        send_text(&clients[3], "GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n");
        wait_closed(&clients[3]);
        free(clients[3].text);
        clients[3].text = NULL;
    }
    clients[2].slow = false;
    env_conn_resume(clients[2].conn);
    wait_closed(&clients[2]);
    ck_assert_uint_lt(clients[2].len, BIG_SIZE);
}
END_TEST

START_TEST(stopping_closes_open_connections)
{
    open_client(&clients[0]);
    send_text(&clients[0], "GET /healthz HTTP/1.1\r\n\r\n");
    wait_text(&clients[0], "\r\n\r\nok\n", 1);
    open_client(&clients[1]);
    send_text(&clients[1], "GET /heal");
    stop_server();
    wait_closed(&clients[0]);
    wait_closed(&clients[1]);
}
END_TEST

START_TEST(a_port_in_use_is_an_error)
{
    struct admin_http *second = NULL;
    const struct admin_http_options options = {.addr = bound, .metrics = metrics, .logger = &logger};
    ck_assert_int_eq(admin_http_start(env, &options, &second, NULL), ERR_ADDRESS_IN_USE);
    ck_assert_ptr_null(second);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, metrics_are_served);
    tcase_add_test(tcase, content_length_is_the_body_and_head_leaves_it_out);
    tcase_add_test(tcase, readiness_follows_the_callback);
    tcase_add_test(tcase, unknown_paths_are_404_and_the_connection_lives_on);
    tcase_add_test(tcase, added_paths_get_their_query);
    tcase_add_test(tcase, pipelined_requests_are_answered_in_order);
    tcase_add_test(tcase, a_large_answer_arrives_whole_before_the_connection_closes);
    tcase_add_test(tcase, a_reader_that_stops_reading_holds_one_answer_not_more);
    tcase_add_test(tcase, a_body_that_fails_becomes_500);
    tcase_add_loop_test(tcase, hostile_bytes_get_an_error_and_a_closed_connection, 0, ARRAY_LEN(hostile));
    tcase_add_test(tcase, endless_headers_are_cut_off);
    tcase_add_test(tcase, connections_beyond_the_cap_are_dropped_and_the_rest_served);
    tcase_add_test(tcase, requests_that_never_end_and_answers_that_nobody_reads_time_out);
    tcase_add_test(tcase, stopping_closes_open_connections);
    tcase_add_test(tcase, a_port_in_use_is_an_error);
}

SLUICE_TEST_MAIN("obs_admin_http", add)
