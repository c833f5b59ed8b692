/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/shard/producer_ids.h"

#include "broker/shard/control.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"

#define BLOCK_TIMEOUT_US (10 * 1000000ull)

static void serve(struct shard *shard, int16_t error)
{
    struct producer_ids *ids = &shard->producer_ids;
    struct list waits;

    list_init(&waits);
    list_splice_back(&waits, &ids->waits);
    while (!list_empty(&waits)) {
        struct producer_id_wait *wait = CONTAINER_OF(waits.next, struct producer_id_wait, link);
        list_remove(&wait->link);
        if (error != KAFKA_NONE)
            wait->done(wait, error, -1);
        else
            producer_id_take(shard, wait); /* asks for another block when more waited than it holds */
    }
}

static void on_block(struct control_call *call)
{
    struct shard *shard = call->shard;
    struct producer_ids *ids = &shard->producer_ids;
    struct rpc_producer_ids_reply reply;
    struct arena arena;
    int16_t error = call->error;

    ids->asking = false;
    arena_init(&arena, NULL, 0, 0);
    if (error == KAFKA_NONE) {
        struct reader r = reader_over(call->reply->data, call->reply->len);
        error = rpc_producer_ids_reply_decode(&r, &arena, &reply) == OK ? reply.error
                                                                        : KAFKA_UNKNOWN_SERVER_ERROR;
    }
    iobuf_unref(call->reply);
    call->reply = NULL;
    if (error == KAFKA_NONE) {
        ids->next = reply.first_id;
        ids->end = reply.first_id + reply.count;
    }
    serve(shard, error == KAFKA_NONE ? KAFKA_NONE : KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
}

static struct iobuf *encode_ask(struct shard *shard)
{
    const struct image_broker *self = image_broker(shard->image, shard->broker->broker_id);
    struct rpc_producer_ids_request ask = {.broker_id = shard->broker->broker_id,
                                           .broker_epoch = self ? self->epoch : -1};
    struct writer w;

    writer_init(&w, shard->env->pool, 64, 1024);
    rpc_producer_ids_request_encode(&w, &ask);
    struct iobuf *payload = writer_take(&w);
    writer_free(&w);
    return payload;
}

static bool ask_block(struct shard *shard)
{
    struct control_call *call = &shard->producer_ids.call;
    struct iobuf *payload = encode_ask(shard);

    if (!payload)
        return false;
    *call = (struct control_call){.type = CLUSTER_RPC_PRODUCER_IDS,
                                  .payload = payload,
                                  .deadline_us = env_now_us(shard->env) + BLOCK_TIMEOUT_US,
                                  .done = on_block};
    shard->producer_ids.asking = true;
    control_call_start(shard->broker->control, shard, call);
    return true;
}

void producer_id_take(struct shard *shard, struct producer_id_wait *wait)
{
    struct producer_ids *ids = &shard->producer_ids;

    if (ids->next < ids->end) {
        wait->done(wait, KAFKA_NONE, ids->next++);
        return;
    }
    list_init(&wait->link);
    if (!ids->asking && !ask_block(shard)) {
        wait->done(wait, KAFKA_COORDINATOR_LOAD_IN_PROGRESS, -1);
        return;
    }
    list_push_back(&ids->waits, &wait->link);
}
