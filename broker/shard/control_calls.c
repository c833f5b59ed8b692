/* SPDX-License-Identifier: Apache-2.0 */
/* Questions of the shards on their way to the active controller and back. */
#include <string.h>

#include "broker/shard/control_internal.h"
#include "broker/shard/shard.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"

/* An answer that is this late has been overtaken by a change of leader, not by a packet. */
#define SUPERSEDED_US 300000

static void on_answer(struct env_msg *msg)
{
    struct control_call *call = CONTAINER_OF(msg, struct control_call, msg);

    call->done(call);
}

/* Hands the call back to its shard. */
static void call_over(struct control_call *call, int16_t error)
{
    list_remove(&call->link);
    iobuf_unref(call->payload);
    call->payload = NULL;
    call->error = error;
    call->msg.fn = on_answer;
    env_post(call->shard->env, &call->msg);
}

/* What leads every reply. False: unreadable. */
static bool reply_head(struct control *control, uint16_t type, const uint8_t *payload, size_t len,
                       int16_t *ret_error, int32_t *ret_leader)
{
    struct reader r = reader_over(payload, len);
    union {
        struct rpc_admin_reply admin;
        struct rpc_alter_partition_reply alter;
        struct rpc_producer_ids_reply ids;
    } reply;
    enum err err = ERR_MALFORMED;

    arena_reset(&control->arena);
    if (type == CLUSTER_RPC_ADMIN &&
        (err = rpc_admin_reply_decode(&r, &control->arena, &reply.admin)) == OK) {
        *ret_error = reply.admin.error;
        *ret_leader = reply.admin.leader_id;
    } else if (type == CLUSTER_RPC_ALTER_PARTITION &&
               (err = rpc_alter_partition_reply_decode(&r, &control->arena, &reply.alter)) == OK) {
        *ret_error = reply.alter.error;
        *ret_leader = reply.alter.leader_id;
    } else if (type == CLUSTER_RPC_PRODUCER_IDS &&
               (err = rpc_producer_ids_reply_decode(&r, &control->arena, &reply.ids)) == OK) {
        *ret_error = reply.ids.error;
        *ret_leader = reply.ids.leader_id;
    }
    return err == OK;
}

static void call_answered(struct control_call *call, const uint8_t *payload, size_t len)
{
    call->reply = iobuf_get(NULL, len + 1); /* it is freed on another thread */
    if (!call->reply) {
        call_over(call, KAFKA_UNKNOWN_SERVER_ERROR);
        return;
    }
    memcpy(call->reply->data, payload, len);
    call->reply->len = (uint32_t)len;
    call_over(call, KAFKA_NONE);
}

/* Whether a request that failed may have reached its controller. */
static bool may_have_happened(enum err err)
{
    return err != ERR_CLOSED && err != ERR_FULL && err != ERR_NOMEM;
}

static void on_reply(struct rpc_call *rpc, enum err err, uint16_t type, const uint8_t *payload, size_t len)
{
    struct control_call *call = CONTAINER_OF(rpc, struct control_call, rpc);
    struct control *control = call->control;
    int16_t error = KAFKA_UNKNOWN_SERVER_ERROR;
    int32_t leader = -1;

    call->sent = false;
    if (control->stopping)
        return; /* answered by control_calls_fail_all */
    if (err == OK && !reply_head(control, call->type, payload, len, &error, &leader))
        err = ERR_MALFORMED;
    if (err == OK && error != KAFKA_NOT_CONTROLLER) {
        call_answered(call, payload, len);
        return;
    }
    unsigned link = call->link_index;
    if (err == ERR_TOO_LARGE)
        call_over(call, KAFKA_INVALID_REQUEST);
    else if (call->type == CLUSTER_RPC_ADMIN && err != OK && may_have_happened(err))
        call_over(call, KAFKA_REQUEST_TIMED_OUT);
    control_not_leader(control, link, leader); /* what is left is sent again */
    control_retry_soon(control);
}

static void call_send(struct control *control, struct control_call *call)
{
    struct control_link *link = control_active(control);
    uint64_t now = env_now_us(control->env);

    if (now >= call->deadline_us) {
        call_over(call, KAFKA_REQUEST_TIMED_OUT);
        return;
    }
    if (!link) {
        control_retry_soon(control); /* it also watches the deadline */
        return;
    }
    call->sent = true;
    call->sent_us = now;
    call->link_index = (unsigned)control->active;
    call->rpc.done = on_reply;
    /* What may be repeated is not left to a controller that does not answer. */
    uint64_t patience_us = call->deadline_us - now;
    if (call->type != CLUSTER_RPC_ADMIN)
        patience_us = MIN(patience_us, (uint64_t)CONTROL_CALL_US);
    rpc_client_call(link->client, call->type, call->payload, patience_us, &call->rpc);
}

void control_calls_drive(struct control *control)
{
    list_for_each_safe (it, tmp, &control->calls) {
        struct control_call *call = CONTAINER_OF(it, struct control_call, link);
        if (!call->sent)
            call_send(control, call);
    }
}

void control_calls_superseded(struct control *control, unsigned link)
{
    uint64_t now = env_now_us(control->env);

    list_for_each_safe (it, tmp, &control->calls) {
        struct control_call *call = CONTAINER_OF(it, struct control_call, link);
        if (!call->sent || call->link_index == link || now - call->sent_us < SUPERSEDED_US)
            continue;
        rpc_call_cancel(&call->rpc);
        call->sent = false;
        if (call->type == CLUSTER_RPC_ADMIN)
            call_over(call, KAFKA_REQUEST_TIMED_OUT); /* it may have happened */
        else
            call_send(control, call);
    }
}

void control_calls_fail_all(struct control *control, int16_t error)
{
    list_for_each_safe (it, tmp, &control->calls) {
        struct control_call *call = CONTAINER_OF(it, struct control_call, link);
        if (call->sent)
            rpc_call_cancel(&call->rpc);
        call_over(call, error);
    }
}

static void on_call(struct env_msg *msg)
{
    struct control_call *call = CONTAINER_OF(msg, struct control_call, msg);
    struct control *control = call->control;

    list_push_back(&control->calls, &call->link);
    if (control->stopping)
        call_over(call, KAFKA_BROKER_NOT_AVAILABLE);
    else
        call_send(control, call);
}

void control_call_start(struct control *control, struct shard *shard, struct control_call *call)
{
    call->control = control;
    call->shard = shard;
    call->sent = false;
    call->reply = NULL;
    call->msg.fn = on_call;
    env_post(control->env, &call->msg);
}
