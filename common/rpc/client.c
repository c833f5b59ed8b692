/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/rpc/conn.h"

#define CALL_SLOTS_FIRST 16
#define CALL_SLOTS_MAX   32768 /* below the end mark of the free list */
#define SLOT_NONE        UINT16_MAX

/* A correlation is slot | generation << 16, generation > 0: a late reply to a call that is gone finds nobody.
 */
struct call_slot {
    struct rpc_call *call; /* NULL: free */
    uint16_t generation;
    uint16_t next_free;
};

struct rpc_client {
    struct env *env;
    struct tls_loop *tls;
    const struct rpc_peer_info *me;
    const struct rpc_client_handler *handler;
    void *ctx;
    struct env_addr addr;
    struct rpc_conn *conn; /* NULL between attempts */
    struct env_timer retry;
    struct env_timer failures; /* next turn: completes the calls in failed, frees a closed client */
    struct list failed;
    struct call_slot *slots;
    uint32_t slot_count;
    uint32_t call_count;
    int32_t free_slot; /* -1: none */
    uint64_t backoff_us;
    bool redial_now; /* the address changed */
    bool closed;
};

static void client_dial(struct rpc_client *client);

/* -- slots -- */

static bool slots_grow(struct rpc_client *client)
{
    uint32_t count = client->slot_count > 0 ? client->slot_count * 2 : CALL_SLOTS_FIRST;
    if (count > CALL_SLOTS_MAX)
        return false;
    struct call_slot *slots = realloc(client->slots, count * sizeof(*slots));
    if (slots == NULL)
        return false;
    for (uint32_t i = client->slot_count; i < count; i++)
        slots[i] = (struct call_slot){.next_free = (uint16_t)(i + 1)};
    client->free_slot = (int32_t)client->slot_count;
    slots[count - 1].next_free = SLOT_NONE;
    client->slots = slots;
    client->slot_count = count;
    return true;
}

static bool slot_take(struct rpc_client *client, struct rpc_call *call)
{
    if (client->free_slot < 0 && !slots_grow(client))
        return false;
    uint32_t index = (uint32_t)client->free_slot;
    struct call_slot *slot = &client->slots[index];
    client->free_slot = slot->next_free == SLOT_NONE ? -1 : slot->next_free;
    slot->generation = slot->generation == UINT16_MAX ? 1 : slot->generation + 1;
    slot->call = call;
    call->correlation = index | (uint32_t)slot->generation << 16;
    client->call_count++;
    return true;
}

static void slot_give(struct rpc_client *client, struct rpc_call *call)
{
    uint32_t index = call->correlation & 0xFFFF;
    struct call_slot *slot = &client->slots[index];
    ASSERT(slot->call == call);
    slot->call = NULL;
    slot->next_free = client->free_slot < 0 ? SLOT_NONE : (uint16_t)client->free_slot;
    client->free_slot = (int32_t)index;
    client->call_count--;
    call->correlation = 0;
}

static struct rpc_call *slot_find(struct rpc_client *client, uint32_t correlation)
{
    uint32_t index = correlation & 0xFFFF;
    if (index >= client->slot_count)
        return NULL;
    struct rpc_call *call = client->slots[index].call;
    return call != NULL && call->correlation == correlation ? call : NULL;
}

/* -- the end of a call -- */

static void call_finish(struct rpc_call *call, enum err err, uint16_t type, const uint8_t *payload,
                        size_t len)
{
    struct rpc_client *client = call->client;
    ASSERT(call->waiting);
    call->waiting = false;
    env_timer_cancel(client->env, &call->timer);
    list_remove(&call->link);
    if (call->correlation != 0)
        slot_give(client, call);
    call->done(call, err, type, payload, len);
}

void rpc_call_cancel(struct rpc_call *call)
{
    if (!call->waiting)
        return;
    call->waiting = false;
    env_timer_cancel(call->client->env, &call->timer);
    list_remove(&call->link);
    if (call->correlation != 0)
        slot_give(call->client, call);
}

/* To be told from the loop, in the next turn: an owner that tries again at once must not hold this one. */
static void call_fail_later(struct rpc_call *call, enum err err)
{
    struct rpc_client *client = call->client;
    call->err = err;
    list_remove(&call->link);
    list_push_back(&client->failed, &call->link);
    env_timer_set(client->env, &client->failures, 0);
}

static void client_free(struct rpc_client *client)
{
    ASSERT(client->call_count == 0 && list_empty(&client->failed) && client->conn == NULL);
    free(client->slots);
    free(client);
}

static void client_run_failures(struct env_timer *timer)
{
    struct rpc_client *client = CONTAINER_OF(timer, struct rpc_client, failures);
    struct list now;
    list_init(&now); /* what done() adds waits for the next turn */
    list_splice_back(&now, &client->failed);
    while (!list_empty(&now)) {
        struct rpc_call *call = CONTAINER_OF(now.next, struct rpc_call, link);
        call_finish(call, call->err, 0, NULL, 0);
    }
    if (client->closed && list_empty(&client->failed))
        client_free(client);
}

static void call_timed_out(struct env_timer *timer)
{
    call_finish(CONTAINER_OF(timer, struct rpc_call, timer), ERR_TIMED_OUT, 0, NULL, 0);
}

static void client_fail_calls(struct rpc_client *client, enum err err)
{
    for (uint32_t i = 0; i < client->slot_count; i++)
        if (client->slots[i].call != NULL)
            call_fail_later(client->slots[i].call, err);
}

/* -- connection -- */

/* Half of the delay is random, so that a cluster does not knock in step. */
static void client_retry_later(struct rpc_client *client, enum err why)
{
    uint64_t delay = client->backoff_us;
    client->backoff_us = MIN(client->backoff_us * 2, RPC_BACKOFF_MAX_US);
    if (why == ERR_MISMATCH || why == ERR_VERSION)
        delay = RPC_BACKOFF_MISMATCH_US;
    delay = client->redial_now ? 0 : delay / 2 + prng_below(&client->env->prng, delay / 2 + 1);
    client->redial_now = false;
    env_timer_set(client->env, &client->retry, env_now_us(client->env) + delay);
}

static void client_conn_up(struct rpc_conn *conn)
{
    struct rpc_client *client = conn->owner;
    client->backoff_us = RPC_BACKOFF_MIN_US;
    if (client->handler->up != NULL)
        client->handler->up(client->ctx, client, &conn->peer);
}

static void client_conn_frame(struct rpc_conn *conn, const struct rpc_frame *frame)
{
    struct rpc_client *client = conn->owner;
    if (frame->correlation == 0) {
        if (client->handler->message != NULL)
            client->handler->message(client->ctx, client, frame->type, frame->payload, frame->len);
        return;
    }
    struct rpc_call *call = slot_find(client, frame->correlation);
    if (call != NULL)
        call_finish(call, OK, frame->type, frame->payload, frame->len);
}

/* Every handler may close the client, which takes conn->owner away. */
static void client_conn_down(struct rpc_conn *conn, enum err why)
{
    struct rpc_client *client = conn->owner;
    why = why == OK ? ERR_CLOSED : why;
    client->conn = NULL;
    client_fail_calls(client, ERR_UNKNOWN_OUTCOME);
    if (client->closed)
        return;
    client_retry_later(client, why);
    void (*tell)(void *ctx, struct rpc_client *c, enum err err) =
        conn->up ? client->handler->down : client->handler->error;
    if (tell != NULL)
        tell(client->ctx, client, why);
}

static const struct rpc_conn_role client_role = {
    .up = client_conn_up,
    .frame = client_conn_frame,
    .down = client_conn_down,
    .silence_us = RPC_CLIENT_SILENCE_US,
    .client = true,
};

static void client_retry(struct env_timer *timer)
{
    client_dial(CONTAINER_OF(timer, struct rpc_client, retry));
}

static void client_dial(struct rpc_client *client)
{
    ASSERT(client->conn == NULL);
    struct rpc_conn *conn = rpc_conn_new(client->env, &client_role, client, client->me, &client->addr);
    if (conn == NULL) {
        client_retry_later(client, ERR_NOMEM);
        return;
    }
    client->conn = conn;
    conn->stream = tls_connect(client->env, client->tls, TLS_USE_CLUSTER_CLIENT, TLS_ROLE_CONTROLLER,
                               TLS_NODE_ANY, &client->addr, &rpc_conn_stream, conn);
    rpc_conn_begin(conn);
}

/* -- what owners call -- */

struct rpc_client *rpc_client_new(struct env *env, struct tls_loop *tls, const struct env_addr *addr,
                                  const struct rpc_peer_info *me, const struct rpc_client_handler *handler,
                                  void *ctx)
{
    struct rpc_client *client = calloc(1, sizeof(*client));
    if (client == NULL)
        return NULL;
    client->env = env;
    client->tls = tls;
    client->me = me;
    client->handler = handler;
    client->ctx = ctx;
    client->addr = *addr;
    client->free_slot = -1;
    client->backoff_us = RPC_BACKOFF_MIN_US;
    list_init(&client->failed);
    env_timer_init(&client->retry, client_retry);
    env_timer_init(&client->failures, client_run_failures);
    client_dial(client);
    return client;
}

void rpc_client_set_addr(struct rpc_client *client, const struct env_addr *addr)
{
    if (client->addr.port == addr->port && strcmp(client->addr.host, addr->host) == 0)
        return;
    client->addr = *addr;
    client->backoff_us = RPC_BACKOFF_MIN_US;
    if (client->conn != NULL) {
        client->redial_now = true;
        rpc_conn_fail(client->conn, ERR_CLOSED);
    } else {
        env_timer_set(client->env, &client->retry, env_now_us(client->env));
    }
}

const struct env_addr *rpc_client_addr(const struct rpc_client *client)
{
    return &client->addr;
}

bool rpc_client_is_up(const struct rpc_client *client)
{
    return client->conn != NULL && client->conn->up && !client->conn->closing;
}

const struct rpc_peer_info *rpc_client_peer(const struct rpc_client *client)
{
    return rpc_client_is_up(client) ? &client->conn->peer : NULL;
}

enum err rpc_client_send(struct rpc_client *client, uint16_t type, struct iobuf *payload)
{
    ASSERT(!client->closed && type < RPC_TYPE_RESERVED);
    return rpc_client_is_up(client) ? rpc_conn_write(client->conn, type, 0, payload) : ERR_CLOSED;
}

void rpc_client_call(struct rpc_client *client, uint16_t type, struct iobuf *payload, uint64_t timeout_us,
                     struct rpc_call *call)
{
    ASSERT(!client->closed && call->done != NULL && type < RPC_TYPE_RESERVED);
    call->client = client;
    call->correlation = 0;
    call->waiting = true;
    list_init(&call->link);
    env_timer_init(&call->timer, call_timed_out);
    enum err err = rpc_client_is_up(client) ? OK : ERR_CLOSED;
    if (err == OK && !slot_take(client, call))
        err = ERR_FULL;
    if (err == OK && (err = rpc_conn_write(client->conn, type, call->correlation, payload)) != OK)
        slot_give(client, call);
    if (err != OK) {
        call_fail_later(call, err);
        return;
    }
    env_timer_set(client->env, &call->timer, env_now_us(client->env) + timeout_us);
}

void rpc_client_close(struct rpc_client *client)
{
    ASSERT(!client->closed);
    client->closed = true;
    env_timer_cancel(client->env, &client->retry);
    if (client->conn != NULL)
        rpc_conn_abandon(client->conn);
    client->conn = NULL;
    client_fail_calls(client, ERR_CANCELED);
    env_timer_set(client->env, &client->failures, 0);
}
