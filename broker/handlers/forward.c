/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/handlers/forward.h"

#include "broker/shard/connection.h"
#include "broker/shard/control.h"
#include "broker/shard/shard_image.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"

#define TIMEOUT_MS_MIN    1000
#define TIMEOUT_MS_MAX    (10 * 60 * 1000)
#define ENVELOPE_SLACK    512 /* principal, host, numbers */
#define REPLY_ARENA_SLACK 4096

struct forward_op {
    struct control_call call;
    struct image_wait wait;
    struct request *rq;
    struct rpc_admin_reply reply; /* views into call.reply */
    void (*fail)(struct request *rq, int16_t error);
};

static void finish(struct forward_op *op, int16_t error)
{
    struct request *rq = op->rq;
    struct iobuf *held = op->call.reply; /* the operation is gone with the request */

    if (error != KAFKA_NONE) {
        op->fail(rq, error);
    } else {
        writer_raw(request_reply_begin(rq), op->reply.body.p, (size_t)MAX(op->reply.body.len, 0));
        request_reply_end(rq);
    }
    iobuf_unref(held);
}

static void on_image(struct image_wait *wait)
{
    finish(CONTAINER_OF(wait, struct forward_op, wait), KAFKA_NONE);
}

static void on_reply(struct control_call *call)
{
    struct forward_op *op = CONTAINER_OF(call, struct forward_op, call);
    struct request *rq = op->rq;
    int16_t error = call->error;

    if (error == KAFKA_NONE) {
        struct reader r = reader_over(call->reply->data, call->reply->len);
        rq->arena.cap_bytes += REPLY_ARENA_SLACK;
        error = rpc_admin_reply_decode(&r, &rq->arena, &op->reply) == OK ? op->reply.error
                                                                         : KAFKA_UNKNOWN_SERVER_ERROR;
    }
    if (error != KAFKA_NONE) {
        finish(op, error);
        return;
    }
    op->wait.fn = on_image;
    op->wait.index = op->reply.index;
    shard_wait_image(rq->shard, &op->wait);
}

static struct iobuf *encode(const struct request *rq, int32_t timeout_ms)
{
    size_t body_bytes = reader_left(&rq->body);
    struct writer w;
    struct rpc_admin_request admin = {
        .api_key = rq->header.api_key,
        .api_version = rq->header.api_version,
        .principal = str_from(rq->conn->principal),
        .client_host = str_from(rq->conn->peer),
        .timeout_ms = (uint32_t)timeout_ms,
        .body = {.p = rq->body.p, .len = (int32_t)body_bytes},
    };

    writer_init(&w, rq->shard->env->pool, body_bytes + ENVELOPE_SLACK, body_bytes + ENVELOPE_SLACK);
    rpc_admin_request_encode(&w, &admin);
    struct iobuf *payload = writer_take(&w);
    writer_free(&w);
    return payload;
}

void forward_request(struct request *rq, int32_t timeout_ms, void (*fail)(struct request *rq, int16_t error))
{
    int32_t bounded_ms = MIN(MAX(timeout_ms, TIMEOUT_MS_MIN), TIMEOUT_MS_MAX);
    struct forward_op *op = arena_calloc(&rq->arena, 1, sizeof(*op));
    struct iobuf *payload = op ? encode(rq, bounded_ms) : NULL;

    if (!payload) {
        request_refuse(rq, "out of memory");
        return;
    }
    op->rq = rq;
    op->fail = fail;
    op->call.type = CLUSTER_RPC_ADMIN;
    op->call.payload = payload;
    op->call.deadline_us = rq->started_us + (uint64_t)bounded_ms * 1000;
    op->call.done = on_reply;
    control_call_start(rq->shard->broker->control, rq->shard, &op->call);
}
