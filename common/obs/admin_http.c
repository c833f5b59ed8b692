/* SPDX-License-Identifier: Apache-2.0 */
#include "common/obs/admin_http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/obs/http_request.h"

#define READ_BUFFER_SIZE 2048
#define HEAD_MAX         512 /* bytes of the head of an answer */
#define REASON_MAX       256
/* With this mark drained() means: everything queued has left. */
#define HIGH_MARK_BYTES 1

struct route {
    const char *path;
    admin_http_fn *fn;
    void *ctx;
};

struct admin_http {
    struct env *env;
    struct env_listener *listener;
    struct admin_http_options options;
    struct route routes[ADMIN_HTTP_PATHS_MAX + 3];
    uint32_t route_count;
    struct list conns;
    uint32_t conn_count;
    struct counter *requests, *refused, *dropped;
    struct log_limit refused_limit, dropped_limit;
    struct env_task stop_task;
    void (*stopped)(void *ctx);
    void *stopped_ctx;
};

/* READING: waits for the rest of a request. SENDING: an answer leaves; the bytes behind the request wait in
 * buf. CLOSING: closed() will come. */
enum conn_state { CONN_READING, CONN_SENDING, CONN_CLOSING };

struct http_conn {
    struct admin_http *server;
    struct env_conn *conn;
    struct list link;
    struct env_timer timer;
    enum conn_state state;
    bool close_after; /* the present answer is the last one */
    struct http_request request;
    size_t at, len; /* bytes of buf that are not parsed: [at, len) */
    char buf[READ_BUFFER_SIZE];
};

static const struct status_row {
    int status;
    const char *reason;
} statuses[] = {
    {200, "OK"},
    {400, "Bad Request"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
};

static const char *status_reason(int status)
{
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
        if (statuses[i].status == status)
            return statuses[i].reason;
    return "Unknown";
}

static void restart_timer(struct http_conn *conn)
{
    struct env *env = conn->server->env;
    env_timer_set(env, &conn->timer, env_now_us(env) + conn->server->options.timeout_us);
}

static void begin_close(struct http_conn *conn)
{
    if (conn->state == CONN_CLOSING)
        return;
    conn->state = CONN_CLOSING;
    env_timer_cancel(conn->server->env, &conn->timer);
    env_conn_close(conn->conn);
}

/* -- answers
 * -------------------------------------------------------------------------------------------------------------------
 */

static void respond_text(struct admin_response *response, int status, const char *text)
{
    response->status = status;
    writer_raw(&response->body, text, strlen(text));
    writer_raw(&response->body, "\n", 1);
}

static void init_response(struct admin_http *server, struct admin_response *response)
{
    response->status = 200;
    response->content_type = "text/plain; charset=utf-8";
    writer_init(&response->body, server->env->pool, 1024, ADMIN_HTTP_RESPONSE_MAX);
}

/* Queues head and body. False: no memory for the head. */
static bool queue_response(struct http_conn *conn, const struct admin_response *response, bool with_body)
{
    size_t body_len = writer_total(&response->body);
    struct iobuf *head = iobuf_get(conn->server->env->pool, HEAD_MAX);
    if (!head)
        return false;
    int len = snprintf(
        (char *)head->data, HEAD_MAX,
        "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\n%sConnection: %s\r\n\r\n",
        response->status, status_reason(response->status), response->content_type, body_len,
        response->status == 405 ? "Allow: GET, HEAD\r\n" : "", conn->close_after ? "close" : "keep-alive");
    ASSERT(len > 0 && len < HEAD_MAX);
    head->len = (uint32_t)len;
    env_conn_write(conn->conn, head, 0, head->len);
    iobuf_unref(head);
    if (with_body && body_len > 0)
        env_conn_write(conn->conn, response->body.buf, 0, body_len);
    return true;
}

/* Sends the answer and waits until it has left. Frees the response. */
static void send_response(struct http_conn *conn, struct admin_response *response, bool with_body)
{
    if (response->body.err) {
        writer_free(&response->body);
        init_response(conn->server, response);
        respond_text(response, 500, "the answer is too large, or memory is out");
    }
    ASSERT(response->body.err ||
           writer_total(&response->body) == writer_pos(&response->body)); /* no splices */
    conn->state = CONN_SENDING;
    restart_timer(conn);
    bool queued = !response->body.err && queue_response(conn, response, with_body);
    writer_free(&response->body);
    if (!queued)
        begin_close(conn);
}

static void refuse(struct http_conn *conn)
{
    struct admin_http *server = conn->server;
    struct admin_response response;
    int status = conn->request.status;
    counter_add(server->refused, 1);
    LOG_LIMITED(server->options.logger, &server->refused_limit, INFO, "admin.request_refused",
                F_I64("status", status));
    conn->close_after = true;
    init_response(server, &response);
    respond_text(&response, status, status_reason(status));
    send_response(conn, &response, true);
}

static const struct route *find_route(const struct admin_http *server, const char *path)
{
    for (uint32_t i = 0; i < server->route_count; i++)
        if (strcmp(server->routes[i].path, path) == 0)
            return &server->routes[i];
    return NULL;
}

static void answer(struct http_conn *conn)
{
    struct admin_http *server = conn->server;
    struct admin_response response;
    char *query = strchr(conn->request.target, '?');
    if (query)
        *query++ = '\0';
    struct admin_request request = {conn->request.target, query ? query : ""};
    const struct route *route = find_route(server, request.path);
    counter_add(server->requests, 1);
    conn->close_after = !conn->request.keep_alive;
    init_response(server, &response);
    if (route)
        route->fn(route->ctx, &request, &response);
    else
        respond_text(&response, 404, "no such path; see /metrics, /healthz, /readyz");
    send_response(conn, &response, !conn->request.head);
}

/* -- connections
 * ---------------------------------------------------------------------------------------------------------------
 */

/* Parses what is buffered until a request is complete or the bytes are used up. */
static void advance(struct http_conn *conn)
{
    size_t used;
    if (conn->state != CONN_READING || conn->at == conn->len)
        return;
    switch (http_request_feed(&conn->request, conn->buf + conn->at, conn->len - conn->at, &used)) {
    case REQUEST_MORE: break;
    case REQUEST_DONE: answer(conn); break;
    case REQUEST_REFUSED: refuse(conn); break;
    }
    conn->at += used;
    ASSERT(conn->at <= conn->len);
}

static void on_alloc(void *ctx, void **ret_buf, size_t *ret_len)
{
    struct http_conn *conn = ctx;
    *ret_buf = conn->buf;
    *ret_len = conn->state == CONN_READING ? sizeof(conn->buf) : 0;
}

static void on_read(void *ctx, size_t len)
{
    struct http_conn *conn = ctx;
    if (conn->state != CONN_READING)
        return;
    ASSERT(conn->at == conn->len && len <= sizeof(conn->buf));
    conn->at = 0;
    conn->len = len;
    advance(conn);
}

/* The answer has left: close, or take up the bytes that came behind the request. */
static void on_drained(void *ctx)
{
    struct http_conn *conn = ctx;
    if (conn->state != CONN_SENDING || env_conn_queued(conn->conn) > 0)
        return;
    if (conn->close_after) {
        begin_close(conn);
        return;
    }
    conn->state = CONN_READING;
    restart_timer(conn);
    http_request_next(&conn->request);
    advance(conn);
    if (conn->state == CONN_READING)
        env_conn_resume(conn->conn);
}

static void on_timer(struct env_timer *timer)
{
    begin_close(CONTAINER_OF(timer, struct http_conn, timer));
}

/* Frees the server once nothing refers to it any more. */
static void on_stop_task(struct env_task *task)
{
    struct admin_http *server = CONTAINER_OF(task, struct admin_http, stop_task);
    void (*stopped)(void *ctx) = server->stopped;
    void *ctx = server->stopped_ctx;
    metrics_remove(server->options.metrics, server->requests);
    metrics_remove(server->options.metrics, server->refused);
    metrics_remove(server->options.metrics, server->dropped);
    free(server);
    if (stopped)
        stopped(ctx);
}

static void on_closed(void *ctx, enum err why)
{
    struct http_conn *conn = ctx;
    struct admin_http *server = conn->server;
    env_timer_cancel(server->env, &conn->timer);
    list_remove(&conn->link);
    server->conn_count--;
    free(conn);
    if (!server->listener && server->conn_count == 0)
        env_defer(server->env, &server->stop_task);
}

static const struct env_conn_handler conn_handler = {
    .alloc = on_alloc, .read = on_read, .drained = on_drained, .closed = on_closed};

static void on_accepted(void *ctx, struct env_conn *env_conn, const struct env_addr *peer)
{
    struct admin_http *server = ctx;
    struct http_conn *conn = server->conn_count < ADMIN_HTTP_CONNS_MAX ? malloc(sizeof(*conn)) : NULL;
    if (!conn) {
        counter_add(server->dropped, 1);
        LOG_LIMITED(server->options.logger, &server->dropped_limit, WARN, "admin.connection_dropped",
                    F_STR("peer", peer->host), F_U64("open", server->conn_count));
        env_conn_close(env_conn);
        return;
    }
    conn->server = server;
    conn->conn = env_conn;
    conn->state = CONN_READING;
    conn->close_after = false;
    conn->at = conn->len = 0;
    http_request_init(&conn->request);
    env_timer_init(&conn->timer, on_timer);
    list_push_back(&server->conns, &conn->link);
    server->conn_count++;
    env_conn_set_high_mark(env_conn, HIGH_MARK_BYTES);
    env_conn_start(env_conn, &conn_handler, conn);
    restart_timer(conn);
}

static const struct env_listener_handler listener_handler = {.accepted = on_accepted};

/* -- the paths that every process has
 * ------------------------------------------------------------------------------------------ */

static void serve_metrics(void *ctx, const struct admin_request *request, struct admin_response *response)
{
    struct admin_http *server = ctx;
    response->content_type = METRICS_CONTENT_TYPE;
    metrics_write(server->options.metrics, &response->body);
}

static void serve_health(void *ctx, const struct admin_request *request, struct admin_response *response)
{
    respond_text(response, 200, "ok");
}

static void serve_ready(void *ctx, const struct admin_request *request, struct admin_response *response)
{
    struct admin_http *server = ctx;
    char reason[REASON_MAX] = "not ready";
    bool ready =
        !server->options.ready || server->options.ready(server->options.ready_ctx, reason, sizeof(reason));
    respond_text(response, ready ? 200 : 503, ready ? "ready" : reason);
}

/* -- the server
 * ----------------------------------------------------------------------------------------------------------------
 */

static void register_metrics(struct admin_http *server)
{
    struct metrics *metrics = server->options.metrics;
    server->requests = metrics_counter(metrics, "sluice_admin_requests_total",
                                       "Requests answered on the admin port.", METRIC_NO_LABELS);
    server->refused =
        metrics_counter(metrics, "sluice_admin_refused_total",
                        "Requests refused on the admin port (method, size, form).", METRIC_NO_LABELS);
    server->dropped =
        metrics_counter(metrics, "sluice_admin_dropped_total",
                        "Connections to the admin port closed because too many were open.", METRIC_NO_LABELS);
}

enum err admin_http_add(struct admin_http *server, const char *path, admin_http_fn *fn, void *ctx)
{
    ASSERT(path[0] == '/');
    if (find_route(server, path))
        return ERR_EXISTS;
    if (server->route_count == ARRAY_LEN(server->routes))
        return ERR_FULL;
    server->routes[server->route_count++] = (struct route){path, fn, ctx};
    return OK;
}

enum err admin_http_start(struct env *env, const struct admin_http_options *options,
                          struct admin_http **ret_server, struct env_addr *ret_bound)
{
    struct admin_http *server = calloc(1, sizeof(*server));
    if (!server)
        return ERR_NOMEM;
    server->env = env;
    server->options = *options;
    if (server->options.timeout_us == 0)
        server->options.timeout_us = ADMIN_HTTP_TIMEOUT_US;
    list_init(&server->conns);
    env_task_init(&server->stop_task, on_stop_task);
    enum err err =
        env_listen(env, &options->addr, false, &listener_handler, server, &server->listener, ret_bound);
    if (err) {
        free(server);
        return err;
    }
    register_metrics(server);
    admin_http_add(server, "/metrics", serve_metrics, server);
    admin_http_add(server, "/healthz", serve_health, server);
    admin_http_add(server, "/readyz", serve_ready, server);
    *ret_server = server;
    return OK;
}

void admin_http_stop(struct admin_http *server, void (*stopped)(void *ctx), void *ctx)
{
    ASSERT(server->listener);
    server->stopped = stopped;
    server->stopped_ctx = ctx;
    env_listener_close(server->listener);
    server->listener = NULL;
    list_for_each_safe (it, tmp, &server->conns)
        begin_close(CONTAINER_OF(it, struct http_conn, link));
    if (server->conn_count == 0)
        env_defer(server->env, &server->stop_task);
}
