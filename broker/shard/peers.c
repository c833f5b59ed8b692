/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/shard/peers.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/frame_in.h"
#include "common/obs/log.h"
#include "proto/kafka/api.h"

#define REPLY_BYTES_MAX   (16u * 1024 * 1024)
#define REQUEST_BYTES_MAX (16u * 1024 * 1024)
#define ANSWER_US         (10 * 1000000ull)

struct peer_link {
    struct broker_peers *peers;
    struct list link; /* peers->links */
    int32_t broker_id;
    struct env_conn *conn; /* NULL: none */
    struct frame_in in;
    struct writer out;
    struct list sent; /* calls, oldest first */
    int32_t next_correlation;
    struct env_timer answer; /* the oldest one must be answered before it is due */
    struct env_task send;    /* what was written in this turn */
};

struct broker_peers {
    struct shard *shard;
    struct list links;
    struct list failed; /* calls that could not be sent: told in a task (E2) */
    struct env_task tell;
    bool closing;
    uint32_t connections; /* whose closed() has not come */
};

/* -- failing -- */

static void fail_all(struct list *calls)
{
    struct list due;

    list_init(&due);
    list_splice_back(&due, calls);
    while (!list_empty(&due)) {
        struct peer_call *call = CONTAINER_OF(due.next, struct peer_call, link);
        list_remove(&call->link);
        call->done(call, NULL);
    }
}

static void on_tell(struct env_task *task)
{
    fail_all(&CONTAINER_OF(task, struct broker_peers, tell)->failed);
}

static void refuse(struct broker_peers *peers, struct peer_call *call)
{
    list_push_back(&peers->failed, &call->link);
    env_defer(peers->shard->env, &peers->tell);
}

/* -- life -- */

static void link_free(struct peer_link *link)
{
    struct env *env = link->peers->shard->env;

    env_timer_cancel(env, &link->answer);
    env_task_cancel(&link->send);
    list_remove(&link->link);
    frame_in_reset(&link->in);
    writer_free(&link->out);
    free(link);
}

static void free_when_closed(struct broker_peers *peers)
{
    struct shard *shard = peers->shard;

    if (!peers->closing || peers->connections > 0)
        return;
    env_task_cancel(&peers->tell);
    fail_all(&peers->failed);
    while (!list_empty(&peers->links))
        link_free(CONTAINER_OF(peers->links.next, struct peer_link, link));
    free(peers);
    shard->peers = NULL;
    shard_look_idle(shard);
}

struct broker_peers *broker_peers_new(struct shard *shard)
{
    struct broker_peers *peers = calloc(1, sizeof(*peers));

    if (!peers)
        return NULL;
    peers->shard = shard;
    list_init(&peers->links);
    list_init(&peers->failed);
    env_task_init(&peers->tell, on_tell);
    return peers;
}

void broker_peers_close(struct broker_peers *peers)
{
    peers->closing = true;
    list_for_each (it, &peers->links) {
        struct peer_link *link = CONTAINER_OF(it, struct peer_link, link);
        if (link->conn)
            env_conn_close(link->conn);
    }
    free_when_closed(peers);
}

/* -- the connection -- */

static void await_answer(struct peer_link *link)
{
    struct env *env = link->peers->shard->env;

    if (list_empty(&link->sent))
        env_timer_cancel(env, &link->answer);
    else
        env_timer_set(env, &link->answer, CONTAINER_OF(link->sent.next, struct peer_call, link)->deadline_us);
}

static void on_alloc(void *ctx, void **ret_buf, size_t *ret_len)
{
    struct peer_link *link = ctx;

    *ret_len = 0;
    if (!frame_in_room(&link->in, ret_buf, ret_len))
        env_conn_close(link->conn);
}

static bool on_frame(void *ctx, const uint8_t *p, uint32_t len, struct iobuf *owner)
{
    struct peer_link *link = ctx;
    struct reader r = reader_over(p, len);
    struct kafka_response_header header;

    if (list_empty(&link->sent))
        return false; /* an answer that nobody asked for */
    struct peer_call *call = CONTAINER_OF(link->sent.next, struct peer_call, link);
    if (kafka_response_header_decode(&r, kafka_response_header_version(call->api_key, call->api_version),
                                     &header) != OK ||
        header.correlation_id != call->correlation_id)
        return false;
    list_remove(&call->link);
    await_answer(link);
    call->done(call, &r);
    return true;
}

static void on_read(void *ctx, size_t len)
{
    struct peer_link *link = ctx;

    if (frame_in_landed(&link->in, len, on_frame, link) != OK)
        env_conn_close(link->conn);
}

static void on_closed(void *ctx, enum err why)
{
    struct peer_link *link = ctx;
    struct broker_peers *peers = link->peers;

    link->conn = NULL;
    peers->connections--;
    frame_in_reset(&link->in);
    writer_clear(&link->out);
    env_task_cancel(&link->send);
    env_timer_cancel(peers->shard->env, &link->answer);
    if (!list_empty(&link->sent))
        LOG(peers->shard->broker->log, INFO, "peer.lost", F_I64("broker", link->broker_id),
            F_ERR("error", why));
    fail_all(&link->sent); /* may start again on a connection of its own */
    free_when_closed(peers);
}

static void on_silent(struct env_timer *timer)
{
    env_conn_close(CONTAINER_OF(timer, struct peer_link, answer)->conn);
}

static const struct env_conn_handler handler = {.alloc = on_alloc, .read = on_read, .closed = on_closed};

/* The broker's replication listener in the present image. */
static bool address_of(const struct broker_peers *peers, int32_t broker_id, struct env_addr *ret_addr)
{
    const struct image_broker *broker = image_broker(peers->shard->image, broker_id);

    for (int32_t i = 0; broker && i < broker->endpoints_count; i++) {
        const struct meta_endpoint *endpoint = &broker->endpoints[i];
        if (!endpoint->internal || endpoint->host.len >= ENV_HOST_MAX)
            continue;
        str_copy(endpoint->host, ret_addr->host, sizeof(ret_addr->host));
        ret_addr->port = endpoint->port;
        return true;
    }
    return false;
}

static void on_send(struct env_task *task)
{
    struct peer_link *link = CONTAINER_OF(task, struct peer_link, send);

    if (!link->conn || writer_pos(&link->out) == 0)
        return;
    env_conn_write(link->conn, link->out.buf, 0, writer_pos(&link->out));
    writer_clear(&link->out);
}

static struct peer_link *link_to(struct broker_peers *peers, int32_t broker_id)
{
    list_for_each (it, &peers->links) {
        struct peer_link *link = CONTAINER_OF(it, struct peer_link, link);
        if (link->broker_id == broker_id)
            return link;
    }
    struct peer_link *link = calloc(1, sizeof(*link));
    if (!link)
        return NULL;
    link->peers = peers;
    link->broker_id = broker_id;
    list_init(&link->sent);
    frame_in_init(&link->in, peers->shard->env->pool, REPLY_BYTES_MAX);
    env_timer_init(&link->answer, on_silent);
    env_task_init(&link->send, on_send);
    list_push_back(&peers->links, &link->link);
    return link;
}

static bool connect_link(struct peer_link *link)
{
    struct env_addr addr;

    if (link->conn)
        return true;
    if (!address_of(link->peers, link->broker_id, &addr))
        return false;
    link->peers->connections++;
    struct shard *shard = link->peers->shard;
    link->conn = tls_connect(shard->env, shard->broker->replica_tls ? shard->tls : NULL,
                             TLS_USE_CLUSTER_CLIENT, TLS_ROLE_BROKER, link->broker_id, &addr, &handler, link);
    return true;
}

/* Appends the request to what leaves at the end of the turn. */
static bool put_request(struct peer_link *link, struct peer_call *call)
{
    struct kafka_request_header header = {.api_key = call->api_key,
                                          .api_version = call->api_version,
                                          .correlation_id = call->correlation_id,
                                          .client_id = STR_LIT("broker")};

    if (writer_pos(&link->out) == 0)
        writer_reset(&link->out, link->peers->shard->env->pool, 1024, REQUEST_BYTES_MAX);
    size_t at = writer_pos(&link->out);
    writer_i32(&link->out, 0);
    kafka_request_header_encode(&link->out, kafka_request_header_version(call->api_key, call->api_version),
                                &header);
    call->encode(call, &link->out);
    if (link->out.err != OK)
        return false;
    writer_patch_i32(&link->out, at, (int32_t)(writer_pos(&link->out) - at - 4));
    return true;
}

void broker_peers_call(struct broker_peers *peers, struct peer_call *call)
{
    struct env *env = peers->shard->env;
    struct peer_link *link = peers->closing ? NULL : link_to(peers, call->broker_id);

    list_init(&call->link);
    if (!link || !connect_link(link)) {
        refuse(peers, call);
        return;
    }
    call->correlation_id = link->next_correlation++;
    call->deadline_us = env_now_us(env) + ANSWER_US;
    list_push_back(&link->sent, &call->link);
    if (!put_request(link, call)) { /* out of memory: all that it held is lost */
        env_conn_close(link->conn);
        return;
    }
    if (!env_timer_armed(&link->answer))
        await_answer(link);
    env_defer(env, &link->send);
}
