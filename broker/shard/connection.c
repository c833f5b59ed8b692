/* SPDX-License-Identifier: Apache-2.0 */
/* Receiving: bytes -> frames -> requests. Sending is in connection_send.c. */
#include "broker/shard/connection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/config.h"
#include "broker/handlers/handler.h"
#include "broker/shard/connection_send.h"
#include "broker/shard/request.h"
#include "common/base/assert.h"

#define ADMISSION_RETRY_US     2000
#define ADMISSION_FAILURES_MAX 64           /* tries of one turn that found no memory */
#define SMALL_BOUND_BYTES      (256 * 1024) /* of a small request, with its handling */

STATIC_ASSERT(PRE_AUTH_FRAME_BYTES <= FRAME_FIRST_BYTES, "a frame before authentication is never grown");
STATIC_ASSERT(SHARD_RX_BYTES >= FRAME_BYTES_MIN, "a head fits the receive buffer");

/* -- frames -- */

static uint32_t frame_bytes_max(const struct connection *c)
{
    return c->authenticated ? (uint32_t)c->shard->broker->config->socket_request_max_bytes
                            : PRE_AUTH_FRAME_BYTES;
}

/* Memory for a frame and its handling. */
static size_t frame_bound(uint32_t size, const struct handler *h)
{
    return size + handler_memory_bound(h, size);
}

/* Large requests leave the last quarter of the budget to small ones: a few peers that announce much and send
 * little cannot keep everybody out. */
static uint64_t budget_for(const struct connection *c, size_t bound)
{
    uint64_t limit = c->shard->broker->budget.limit_bytes;

    return bound > SMALL_BOUND_BYTES ? limit / 4 * 3 : limit;
}

/* What is wrong with the head that has come, or NULL. */
static const char *head_problem(const struct connection *c, const struct handler *h)
{
    int32_t size = (int32_t)load_be32(c->head);

    if (size < FRAME_BYTES_MIN)
        return "frame size is below the smallest request";
    if ((uint32_t)size > frame_bytes_max(c))
        return "frame size is over socket.request.max.bytes";
    if (!h)
        return "unknown api key";
    size_t bound = frame_bound((uint32_t)size, h);
    if (bound > budget_for(c, bound))
        return "a request of this size never fits memory.budget.bytes";
    if (!c->authenticated && h->right != RIGHT_NONE)
        return "request before authentication";
    if (h->right == RIGHT_CLUSTER_ACTION && !c->listener->internal)
        return "cluster action on a client listener";
    return NULL;
}

/* C1: memory for the whole frame and its handling, before the body is read. */
static bool frame_admit(struct connection *c, uint32_t size, const struct handler *h)
{
    struct budget *budget = &c->shard->broker->budget;
    size_t bound = frame_bound(size, h);
    uint64_t used = atomic_load_explicit(&budget->used_bytes, memory_order_relaxed);

    if (used + bound > budget_for(c, bound) || !budget_take(budget, BUDGET_REQUESTS, bound))
        return false;
    c->frame_size = size;
    c->frame_admitted = bound;
    return true;
}

/* C2: makes room for more of the frame. False when memory is out. */
static bool frame_grow(struct connection *c)
{
    size_t have = c->frame ? c->frame->len : 0;
    size_t want = MIN((size_t)c->frame_size, MAX((size_t)FRAME_FIRST_BYTES, have * 4));

    if (c->frame && c->frame->cap >= want)
        return true;
    struct iobuf *grown = iobuf_get(c->shard->env->pool, want);
    if (!grown)
        return false;
    if (c->frame)
        memcpy(grown->data, c->frame->data, have);
    grown->len = (uint32_t)have;
    iobuf_unref(c->frame);
    c->frame = grown;
    return true;
}

static void frame_forget(struct connection *c)
{
    if (c->frame_admitted)
        budget_give(&c->shard->broker->budget, BUDGET_REQUESTS, c->frame_admitted);
    iobuf_unref(c->frame);
    c->frame = NULL;
    c->frame_size = 0;
    c->frame_admitted = 0;
    c->head_len = 0;
}

/* -- requests -- */

void connection_hurry(struct connection *c)
{
    c->flushing = true; /* keeps the list still: settled requests leave below */
    list_for_each (it, &c->requests) {
        struct request *rq = CONTAINER_OF(it, struct request, link);
        if (rq->hurry)
            rq->hurry(rq);
    }
    c->flushing = false;
    connection_flush(c);
}

static void request_begin(struct connection *c, struct request *rq)
{
    const struct handler *h = rq->handler;
    int16_t version = rq->header.api_version;

    c->request_us = rq->started_us;
    list_push_back(&c->requests, &rq->link);
    c->requests_count++;
    if (version >= h->min_version && version <= h->max_version)
        h->start(rq);
    else if (h->api_key == KAFKA_API_API_VERSIONS)
        handle_api_versions_unsupported(rq);
    else
        request_refuse(rq, "unsupported version of an api");
}

/* The frame is complete: it becomes a request. */
static void frame_dispatch(struct connection *c)
{
    struct reader r = reader_over(c->frame->data, c->frame->len);
    struct kafka_request_header header;
    const struct handler *h = handler_find((int16_t)load_be16(c->frame->data));

    env_timer_cancel(c->shard->env, &c->frame_timer);
    enum err err = kafka_request_header_peel(&r, &header);
    struct request *rq = err == OK ? request_new(c, h, c->frame, &header, r, c->frame_admitted) : NULL;
    if (!rq) {
        frame_forget(c);
        connection_close(c, err == OK ? "out of memory" : "request header cannot be decoded");
        return;
    }
    c->frame = NULL; /* the request's now, with its share of the budget */
    c->frame_admitted = 0;
    frame_forget(c);
    request_begin(c, rq);
}

static void timer_start(struct connection *c, struct env_timer *timer, int32_t delay_ms)
{
    env_timer_set(c->shard->env, timer, env_now_us(c->shard->env) + (uint64_t)delay_ms * 1000);
}

/* -- bytes -- */

/* The head (size, key, version) is complete: checks it and asks for memory. False: closed, or waiting for the
 * budget. */
static bool head_accept(struct connection *c)
{
    const struct handler *h = handler_find((int16_t)load_be16(c->head + 4));
    const char *problem = head_problem(c, h);
    uint32_t size = load_be32(c->head);

    if (problem) {
        shard_count(c->shard, frames_refused, 1);
        connection_close(c, problem);
        return false;
    }
    if (!frame_admit(c, size, h)) {
        list_push_back(&c->shard->admission_queue, &c->admission_link);
        if (!env_timer_armed(&c->shard->admission_timer))
            env_timer_set(c->shard->env, &c->shard->admission_timer,
                          env_now_us(c->shard->env) + ADMISSION_RETRY_US);
        return false;
    }
    if (!frame_grow(c)) {
        frame_forget(c);
        connection_close(c, "out of memory");
        return false;
    }
    memcpy(c->frame->data, c->head + 4, sizeof(c->head) - 4);
    c->frame->len = sizeof(c->head) - 4;
    return true;
}

/* Takes bytes of the frame in progress. Returns how many, or 0 after closing. */
static size_t frame_take(struct connection *c, const uint8_t *p, size_t len)
{
    if (c->frame->len == c->frame->cap && !frame_grow(c)) {
        frame_forget(c);
        connection_close(c, "out of memory");
        return 0;
    }
    size_t room = MIN(c->frame->cap, c->frame_size) - c->frame->len;
    size_t take = MIN(len, room);
    memcpy(c->frame->data + c->frame->len, p, take);
    c->frame->len += (uint32_t)take;
    return take;
}

static bool reading_allowed(const struct connection *c)
{
    return c->shard->serving && !c->closing && c->requests_count < CONNECTION_REQUESTS_MAX &&
           env_conn_queued(c->conn) <= OUTPUT_CAP_BYTES && list_empty(&c->admission_link);
}

/* C5: a frame that stays incomplete after a look at all that came gets its deadline. */
static void watch_frame(struct connection *c)
{
    if (c->head_len > 0 && !c->closing && list_empty(&c->admission_link) && !env_timer_armed(&c->frame_timer))
        timer_start(c, &c->frame_timer, c->shard->broker->config->socket_request_timeout_ms);
}

/* Looks at received bytes until they are used up or reading has to stop; returns how many were used. */
static size_t feed(struct connection *c, const uint8_t *p, size_t len)
{
    size_t used = 0;

    c->feeding = true;
    while (used < len && reading_allowed(c)) {
        if (!c->frame) {
            size_t take = MIN(len - used, sizeof(c->head) - c->head_len);
            memcpy(c->head + c->head_len, p + used, take);
            c->head_len = (uint8_t)(c->head_len + take);
            used += take;
            if (c->head_len < sizeof(c->head) || !head_accept(c))
                continue;
        } else {
            used += frame_take(c, p + used, len - used);
        }
        if (c->frame && c->frame->len == c->frame_size)
            frame_dispatch(c);
    }
    c->feeding = false;
    if (!list_empty(&c->admission_link))
        shard_count(c->shard, admission_waits, 1);
    watch_frame(c);
    return used;
}

/* Keeps what could not be looked at yet, and stops reading until it has been. */
static void stash(struct connection *c, const uint8_t *p, size_t len)
{
    if (c->closing)
        return;
    ASSERT(!c->stash);
    c->stash = iobuf_get(c->shard->env->pool, len);
    if (!c->stash) {
        connection_close(c, "out of memory");
        return;
    }
    memcpy(c->stash->data, p, len);
    c->stash->len = (uint32_t)len;
    c->stash_off = 0;
    c->paused = true;
    env_conn_pause(c->conn);
}

/* A head that waited for memory is tried again; then the stash. */
static void feed_again(struct connection *c)
{
    if (!c->frame && c->head_len == sizeof(c->head) && !head_accept(c))
        return;
    if (c->frame && c->frame->len == c->frame_size)
        frame_dispatch(c);
    struct iobuf *held = c->stash;
    if (!held || !reading_allowed(c)) {
        watch_frame(c);
        return;
    }
    c->stash_off += feed(c, held->data + c->stash_off, held->len - c->stash_off);
    if (c->stash_off == held->len || c->closing) {
        c->stash = NULL;
        iobuf_unref(held);
    }
}

void connection_read_on(struct connection *c)
{
    if (c->closing || c->feeding || !reading_allowed(c))
        return;
    if (c->stash)
        feed_again(c);
    if (!c->closing && !c->stash && c->paused && reading_allowed(c)) {
        c->paused = false;
        env_conn_resume(c->conn);
    }
}

void connection_serve_all(struct shard *shard)
{
    list_for_each_safe (it, tmp, &shard->connections)
        connection_read_on(CONTAINER_OF(it, struct connection, link));
}

void connection_admit_waiting(struct shard *shard)
{
    struct list waiting;
    uint32_t failures = 0;

    list_init(&waiting);
    list_splice_back(&waiting, &shard->admission_queue);
    while (!list_empty(&waiting) && failures < ADMISSION_FAILURES_MAX) {
        struct connection *c = CONTAINER_OF(waiting.next, struct connection, admission_link);
        list_remove(&c->admission_link);
        feed_again(c); /* without memory it queues again, behind those that were before it */
        if (list_empty(&c->admission_link))
            connection_read_on(c);
        else
            failures++;
    }
    list_splice_back(&shard->admission_queue, &waiting);
}

/* -- what the env tells -- */

static void on_alloc(void *ctx, void **ret_buf, size_t *ret_len)
{
    struct connection *c = ctx;

    *ret_buf = c->shard->rx;
    *ret_len = SHARD_RX_BYTES;
    if (c->stash || !reading_allowed(c)) {
        c->paused = true;
        *ret_len = 0;
    } else if (c->frame &&
               c->frame_size - c->frame->len >= SHARD_RX_BYTES) { /* large: straight to its place */
        if (c->frame->len == c->frame->cap && !frame_grow(c)) {
            connection_close(c, "out of memory");
            *ret_len = 0;
            return;
        }
        *ret_buf = c->frame->data + c->frame->len;
        *ret_len = MIN(c->frame->cap, c->frame_size) - c->frame->len;
    }
}

/* The handshake is done when the first bytes come. */
static void identify(struct connection *c)
{
    const struct tls_peer *peer = tls_conn_peer(c->conn);

    c->identified = true;
    if (peer)
        snprintf(c->principal, sizeof(c->principal), "%s", peer->principal);
}

static void on_read(void *ctx, size_t len)
{
    struct connection *c = ctx;

    if (c->closing)
        return;
    if (!c->identified)
        identify(c);
    if (c->frame && c->frame_size - c->frame->len >= SHARD_RX_BYTES) {
        c->frame->len += (uint32_t)len;
        if (c->frame->len == c->frame_size)
            frame_dispatch(c);
        return;
    }
    size_t used = feed(c, c->shard->rx, len);
    if (used < len)
        stash(c, c->shard->rx + used, len - used);
}

static void on_closed(void *ctx, enum err why)
{
    struct connection *c = ctx;
    struct shard *shard = c->shard;

    c->closed = true;
    c->closing = true;
    c->conn = NULL;
    list_remove(&c->link);
    list_remove(&c->admission_link);
    env_timer_cancel(shard->env, &c->frame_timer);
    env_timer_cancel(shard->env, &c->stall_timer);
    env_timer_cancel(shard->env, &c->idle_timer);
    frame_forget(c);
    iobuf_unref(c->stash);
    c->stash = NULL;
    atomic_fetch_sub(&shard->broker->connection_count, 1);
    shard_count(shard, connections_closed, 1);
    connection_abandon(c);
}

static const struct env_conn_handler connection_handler = {
    .alloc = on_alloc,
    .read = on_read,
    .drained = connection_drained,
    .closed = on_closed,
};

static void on_frame_timer(struct env_timer *timer)
{
    struct connection *c = CONTAINER_OF(timer, struct connection, frame_timer);

    if (c->stash || !reading_allowed(c))
        watch_frame(c); /* it is us who does not read */
    else
        connection_close(c, "a request did not arrive in time");
}

static void on_idle_timer(struct env_timer *timer)
{
    struct connection *c = CONTAINER_OF(timer, struct connection, idle_timer);
    uint64_t limit_us = (uint64_t)c->shard->broker->config->connections_max_idle_ms * 1000;
    uint64_t now = env_now_us(c->shard->env);

    if (c->requests_count > 0)
        c->request_us = now; /* waiting for us is not idle */
    if (now >= c->request_us + limit_us)
        connection_close(c, "no request for connections.max.idle.ms");
    else
        env_timer_set(c->shard->env, timer, c->request_us + limit_us);
}

static struct connection *connection_new(struct shard *shard, const struct listener_info *listener)
{
    struct connection *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->shard = shard;
    c->listener = listener;
    c->authenticated = listener->authenticated;
    c->identified = !listener->tls;
    list_init(&c->link);
    list_init(&c->admission_link);
    list_init(&c->requests);
    env_timer_init(&c->frame_timer, on_frame_timer);
    env_timer_init(&c->stall_timer, connection_stalled);
    env_timer_init(&c->idle_timer, on_idle_timer);
    snprintf(c->principal, sizeof(c->principal), "User:ANONYMOUS");
    return c;
}

void connection_accept(struct shard *shard, const struct listener_info *listener, struct env_conn *conn,
                       const struct env_addr *peer)
{
    uint32_t before = atomic_fetch_add(&shard->broker->connection_count, 1);
    uint32_t limit = (uint32_t)shard->broker->config->max_connections, left = shard->broker->connections_max;
    bool over = before >= limit || (left > 0 && before >= left);
    struct connection *c = over ? NULL : connection_new(shard, listener);

    if (!c) {
        atomic_fetch_sub(&shard->broker->connection_count, 1);
        shard_count(shard, connections_refused, 1);
        env_conn_close(conn);
        return;
    }
    c->conn = conn;
    snprintf(c->peer, sizeof(c->peer), "%.48s:%u", peer->host, peer->port);
    list_push_back(&shard->connections, &c->link);
    shard->connections_alive++;
    shard_count(shard, connections_accepted, 1);
    env_conn_set_high_mark(conn, OUTPUT_CAP_BYTES);
    c->request_us = env_now_us(shard->env);
    timer_start(c, &c->idle_timer, shard->broker->config->connections_max_idle_ms);
    env_conn_start(conn, &connection_handler, c);
}
