/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/shard/request.h"

#include <stdlib.h>
#include <string.h>

#include "broker/shard/connection.h"
#include "common/base/assert.h"

#define FREE_REQUESTS_MAX 256
#define REPLY_FIRST_BYTES 256
#define REPLY_CAP_BYTES   (128u * 1024 * 1024)

static struct request *request_take(struct shard *shard)
{
    struct request *rq = shard->free_requests;

    if (!rq) {
        shard_count(shard, hot_path_mallocs, 1);
        rq = malloc(sizeof(*rq));
        if (rq)
            rq->reply = (struct writer){0};
        return rq;
    }
    shard->free_requests = rq->next_free;
    shard->free_requests_count--;
    return rq;
}

struct request *request_new(struct connection *conn, const struct handler *handler, struct iobuf *frame,
                            const struct kafka_request_header *header, struct reader body,
                            size_t admitted_bytes)
{
    struct shard *shard = conn->shard;
    struct request *rq = request_take(shard);

    if (!rq)
        return NULL;
    struct writer reply = rq->reply; /* keeps its splice table */
    memset(rq, 0, offsetof(struct request, scratch));
    rq->reply = reply;
    rq->shard = shard;
    rq->conn = conn;
    rq->handler = handler;
    rq->frame = frame;
    rq->header = *header;
    rq->body = body;
    rq->admitted_bytes = admitted_bytes;
    rq->started_us = env_now_us(shard->env);
    list_init(&rq->link);
    arena_init(&rq->arena, rq->scratch, sizeof(rq->scratch), sizeof(rq->scratch) + admitted_bytes);
    shard_count(shard, requests, 1);
    return rq;
}

void request_free(struct request *rq)
{
    struct shard *shard = rq->shard;

    ASSERT(rq->settled && list_empty(&rq->link));
    if (rq->release)
        rq->release(rq);
    if (rq->arena.blocks)
        shard_count(shard, hot_path_mallocs, 1);
    arena_free(&rq->arena);
    iobuf_unref(rq->frame);
    budget_give(&shard->broker->budget, BUDGET_REQUESTS, rq->admitted_bytes);
    if (shard->free_requests_count >= FREE_REQUESTS_MAX) {
        writer_free(&rq->reply);
        free(rq);
        return;
    }
    rq->next_free = shard->free_requests;
    shard->free_requests = rq;
    shard->free_requests_count++;
}

struct writer *request_reply_begin(struct request *rq)
{
    struct kafka_response_header header = {.correlation_id = rq->header.correlation_id};
    int16_t version = kafka_response_header_version(rq->header.api_key, rq->header.api_version);

    ASSERT(!rq->settled);
    writer_reset(&rq->reply, rq->shard->env->pool, REPLY_FIRST_BYTES, REPLY_CAP_BYTES);
    writer_i32(&rq->reply, 0); /* the size, patched at the end */
    kafka_response_header_encode(&rq->reply, version, &header);
    return &rq->reply;
}

static void request_settle(struct request *rq, bool silent)
{
    ASSERT(!rq->settled);
    rq->settled = true;
    rq->silent = silent;
    rq->abandoned = NULL;
    rq->hurry = NULL;
    connection_flush(rq->conn);
}

void request_reply_end(struct request *rq)
{
    struct connection *c = rq->conn;
    bool ok = rq->reply.err == OK;

    if (ok)
        writer_patch_i32(&rq->reply, 0, (int32_t)(writer_total(&rq->reply) - 4));
    else
        connection_close(c, "a reply could not be encoded");
    request_settle(rq, !ok); /* may free the connection */
}

void request_drop(struct request *rq)
{
    request_settle(rq, true);
}

void request_refuse(struct request *rq, const char *why)
{
    struct connection *c = rq->conn;

    shard_count(rq->shard, frames_refused, 1);
    connection_close(c, why);
    request_settle(rq, true);
}
