/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/shard/replica_rpc.h"

#include <stdlib.h>

#include "broker/shard/control.h"
#include "common/base/assert.h"
#include "common/obs/log.h"
#include "proto/kafka/error.h"

#define ALTER_TIMEOUT_US (10 * 1000000ull)
#define ALTER_BYTES_MAX  4096

/* The partition is named, not pointed to: it may close while the controller thinks, and be opened again; then
 * the answer is not for it. */
struct alter_op {
    struct control_call call;
    struct uuid topic_id;
    int32_t index;
    uint64_t opening;
    bool leave;
};

static int16_t alter_outcome(const struct alter_op *op)
{
    uint8_t scratch[512];
    struct arena arena;
    struct rpc_alter_partition_reply reply;
    int16_t error = op->call.error;

    if (error != KAFKA_NONE)
        return error;
    struct reader r = reader_over(op->call.reply->data, op->call.reply->len);
    arena_init(&arena, scratch, sizeof(scratch), ALTER_BYTES_MAX);
    if (rpc_alter_partition_reply_decode(&r, &arena, &reply) != OK)
        error = KAFKA_UNKNOWN_SERVER_ERROR;
    else if (reply.error != KAFKA_NONE || reply.partitions_count != 1)
        error = reply.error != KAFKA_NONE ? reply.error : KAFKA_UNKNOWN_SERVER_ERROR;
    else
        error = reply.partitions[0].error;
    arena_free(&arena);
    return error;
}

static void on_altered(struct control_call *call)
{
    struct alter_op *op = CONTAINER_OF(call, struct alter_op, call);
    struct shard *shard = call->shard;
    struct route *route = route_find(&shard->routes, op->topic_id, op->index);
    struct partition *p = route && route->opening == op->opening ? route->partition : NULL;
    int16_t error = alter_outcome(op);
    bool leave = op->leave;

    if (error != KAFKA_NONE)
        LOG(shard->broker->log, INFO, "isr.change_refused", F_I64("partition", op->index),
            F_STR("error", kafka_error_name(error)));
    iobuf_unref(call->reply);
    free(op);
    if (p && leave)
        partition_leave_done(p, error);
    else if (p)
        partition_alter_done(p, error);
}

static struct iobuf *encode_alter(struct shard *shard, const struct rpc_alter_partition *request)
{
    const struct image_broker *self = image_broker(shard->image, shard->broker->broker_id);
    struct rpc_alter_partition copy = *request;
    struct rpc_alter_partition_request message = {.broker_id = shard->broker->broker_id,
                                                  .broker_epoch = self ? self->epoch : -1,
                                                  .partitions = &copy,
                                                  .partitions_count = 1};
    struct writer w;

    writer_init(&w, shard->env->pool, 256, ALTER_BYTES_MAX);
    rpc_alter_partition_request_encode(&w, &message);
    struct iobuf *payload = writer_take(&w);
    writer_free(&w);
    return payload;
}

void shard_alter_partition(void *ctx, struct partition *p, const struct rpc_alter_partition *request)
{
    struct shard *shard = ctx;
    struct alter_op *op = calloc(1, sizeof(*op));
    struct iobuf *payload = op ? encode_alter(shard, request) : NULL;

    ASSERT(payload); /* a few hundred bytes: without them the broker cannot keep its promises */
    op->topic_id = request->topic_id;
    op->index = request->index;
    op->opening = route_find(&shard->routes, request->topic_id, request->index)->opening;
    op->leave = request->leave;
    op->call = (struct control_call){.type = CLUSTER_RPC_ALTER_PARTITION,
                                     .payload = payload,
                                     .deadline_us = env_now_us(shard->env) + ALTER_TIMEOUT_US,
                                     .done = on_altered};
    control_call_start(shard->broker->control, shard, &op->call);
}
