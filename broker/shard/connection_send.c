/* SPDX-License-Identifier: Apache-2.0 */
/* Sending: replies leave in the order of their requests, whatever order they were settled in. */
#include "broker/shard/connection_send.h"

#include <stdlib.h>

#include "broker/config.h"
#include "broker/shard/request.h"
#include "common/base/assert.h"
#include "common/obs/log.h"

/* Charges the budget for what is queued now. */
static void account_output(struct connection *c)
{
    struct budget *budget = &c->shard->broker->budget;
    size_t queued = c->conn && !c->closed ? env_conn_queued(c->conn) : 0;

    if (queued < c->reply_bytes) {
        budget_give(budget, BUDGET_REPLIES, c->reply_bytes - queued);
        c->reply_bytes = queued;
    } else if (queued > c->reply_bytes && budget_take(budget, BUDGET_REPLIES, queued - c->reply_bytes)) {
        c->reply_bytes = queued;
    }
}

/* Queues the linear part, cut at each splice, and the splices between. */
static void send_reply(struct connection *c, struct request *rq)
{
    struct writer *w = &rq->reply;
    size_t sent = 0;

    c->output_bytes += writer_total(w);
    for (uint32_t i = 0; i < w->splice_count; i++) {
        const struct splice *s = &w->splices[i];
        if (s->at > sent)
            env_conn_write(c->conn, w->buf, sent, s->at - sent);
        sent = s->at;
        if (s->file)
            env_conn_write_file(c->conn, s->file, s->file_offset, s->len);
        else
            env_conn_write_view(c->conn, s->owner, s->p, s->len);
    }
    if (w->buf->len > sent)
        env_conn_write(c->conn, w->buf, sent, w->buf->len - sent);
}

static void retire(struct connection *c, struct request *rq)
{
    list_remove(&rq->link);
    c->requests_count--;
    if (!rq->silent && !c->closing)
        send_reply(c, rq);
    writer_clear(&rq->reply);
    request_free(rq);
}

static uint64_t sent_bytes(const struct connection *c)
{
    return c->output_bytes - env_conn_queued(c->conn);
}

static void arm_stall(struct connection *c)
{
    uint64_t limit_us = (uint64_t)c->shard->broker->config->socket_stall_timeout_ms * 1000;

    env_timer_set(c->shard->env, &c->stall_timer, env_now_us(c->shard->env) + limit_us);
}

static void watch_output(struct connection *c)
{
    account_output(c);
    if (!c->closing && env_conn_queued(c->conn) > 0 && !env_timer_armed(&c->stall_timer)) {
        c->sent_last = sent_bytes(c);
        arm_stall(c);
    }
}

static void free_when_idle(struct connection *c)
{
    if (!c->closed || !list_empty(&c->requests) || c->flushing)
        return;
    account_output(c);
    c->shard->connections_alive--;
    shard_look_idle(c->shard);
    free(c);
}

void connection_flush(struct connection *c)
{
    if (c->flushing)
        return; /* a handler settled inside start(): the loop below goes on */
    c->flushing = true;
    while (!list_empty(&c->requests)) {
        struct request *rq = CONTAINER_OF(c->requests.next, struct request, link);
        if (!rq->settled)
            break;
        retire(c, rq);
    }
    c->flushing = false;
    if (!c->closed)
        watch_output(c);
    if (c->paused)
        connection_read_on(c);
    free_when_idle(c);
}

void connection_drained(void *ctx)
{
    struct connection *c = ctx;

    account_output(c);
    connection_read_on(c);
}

void connection_stalled(struct env_timer *timer)
{
    struct connection *c = CONTAINER_OF(timer, struct connection, stall_timer);

    account_output(c);
    if (env_conn_queued(c->conn) == 0)
        return;
    if (sent_bytes(c) == c->sent_last) {
        shard_count(c->shard, slow_readers_closed, 1);
        connection_close(c, "the peer does not read its replies");
        return;
    }
    c->sent_last = sent_bytes(c);
    arm_stall(c);
}

void connection_close(struct connection *c, const char *why)
{
    if (c->closing)
        return;
    c->closing = true;
    if (why)
        LOG_LIMITED(c->shard->broker->log, &c->shard->close_limit, INFO, "connection.closed",
                    F_STR("peer", c->peer), F_STR("why", why));
    env_conn_close(c->conn);
}

void connection_abandon(struct connection *c)
{
    c->flushing = true; /* nobody frees the connection under this loop */
    list_for_each (it, &c->requests) {
        struct request *rq = CONTAINER_OF(it, struct request, link);
        if (!rq->settled && rq->abandoned)
            rq->abandoned(rq);
    }
    c->flushing = false;
    connection_flush(c);
}
