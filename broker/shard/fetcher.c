/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to leaders, and which partition belongs to which. */
#include "broker/shard/fetcher.h"

#include <stdlib.h>
#include <string.h>

#include "broker/config.h"
#include "broker/shard/fetcher_link.h"
#include "common/base/assert.h"
#include "common/obs/log.h"

#define RECONNECT_FIRST_US 20000
#define RECONNECT_MAX_US   500000
#define ANSWER_US          10000000           /* beyond what a fetch may wait for data */
#define REPLY_SLACK_BYTES  (8u * 1024 * 1024) /* headers */
#define LINK_ARENA_BYTES   (64u * 1024 * 1024)

/* -- connections -- */

static void schedule_reconnect(struct leader_link *link)
{
    struct env *env = link->fetchers->shard->env;
    uint32_t shift = MIN(link->failures, 5u);
    uint64_t delay = MIN((uint64_t)RECONNECT_FIRST_US << shift, (uint64_t)RECONNECT_MAX_US);

    link->failures++;
    env_timer_set(env, &link->reconnect, env_now_us(env) + delay + prng_below(&env->prng, delay / 4 + 1));
}

/* Charges what the reply being received takes. Replication goes on when there is no room, with small replies:
 * without it nothing that waits for in-sync replicas would ever give its memory back. */
static void account(struct leader_link *link)
{
    struct budget *budget = &link->fetchers->shard->broker->budget;
    size_t held = link->in.buf ? link->in.buf->cap : 0;

    if (held < link->charged) {
        budget_give(budget, BUDGET_REPLICATION, link->charged - held);
        link->charged = held;
    } else if (held > link->charged) {
        link->scarce = !budget_take(budget, BUDGET_REPLICATION, held - link->charged);
        link->charged = link->scarce ? link->charged : held;
    }
}

static void link_free(struct leader_link *link)
{
    struct env *env = link->fetchers->shard->env;

    ASSERT(list_empty(&link->follows) && !link->conn);
    env_timer_cancel(env, &link->reconnect);
    env_timer_cancel(env, &link->answer);
    env_timer_cancel(env, &link->retry);
    env_task_cancel(&link->send);
    list_remove(&link->link);
    frame_in_reset(&link->in);
    account(link);
    writer_free(&link->out);
    arena_free(&link->arena);
    free(link);
}

/* Frees a link that nobody needs; its connection goes first. */
static void link_release(struct leader_link *link)
{
    if (!list_empty(&link->follows))
        return;
    link->closing = true;
    if (link->conn)
        env_conn_close(link->conn);
    else
        link_free(link);
}

static void on_alloc(void *ctx, void **ret_buf, size_t *ret_len)
{
    struct leader_link *link = ctx;

    *ret_len = 0;
    if (!link->closing && !frame_in_room(&link->in, ret_buf, ret_len))
        env_conn_close(link->conn);
    account(link);
}

static bool on_frame(void *ctx, const uint8_t *p, uint32_t len, struct iobuf *owner)
{
    struct leader_link *link = ctx;

    if (link->lost) /* only an answer shows that it lives: a dying process still takes connections */
        peer_loss_clear(&link->fetchers->shard->broker->losses, link->broker_id);
    link->lost = false;
    return !link->closing && link_reply(link, p, len, owner);
}

static void on_read(void *ctx, size_t len)
{
    struct leader_link *link = ctx;

    if (link->closing)
        return;
    if (frame_in_landed(&link->in, len, on_frame, link) != OK)
        env_conn_close(link->conn);
    account(link);
}

static void on_connected(void *ctx)
{
    struct leader_link *link = ctx;

    link->connected = true;
    link->failures = 0;
    link_send_soon(link);
}

static void forget_wire(struct leader_link *link)
{
    link->connected = false;
    link->reading = false;
    link->left_out = link->hurried = false;
    link->inflight_count = 0;
    link_await_answer(link);
    frame_in_reset(&link->in);
    account(link);
    list_for_each (it, &link->follows) {
        struct follow *follow = CONTAINER_OF(it, struct follow, link);
        follow->reading = false;
        follow->told_durable = -1;
    }
}

static void free_when_closed(struct replica_fetchers *fetchers)
{
    if (!fetchers->closing || fetchers->connections > 0)
        return;
    struct shard *shard = fetchers->shard;
    map_free(&fetchers->follows);
    free(fetchers);
    shard->fetchers = NULL;
    shard_look_idle(shard);
}

static void on_closed(void *ctx, enum err why)
{
    struct leader_link *link = ctx;
    struct replica_fetchers *fetchers = link->fetchers;

    if (link->connected && !link->closing) {
        peer_loss_note(&fetchers->shard->broker->losses, link->broker_id, env_now_us(fetchers->shard->env));
        link->lost = true;
    }
    link->conn = NULL;
    fetchers->connections--;
    forget_wire(link);
    if (link->closing && list_empty(&link->follows)) {
        link_free(link);
        free_when_closed(fetchers);
        return;
    }
    link->closing = false; /* somebody follows over it again */
    if (link->failures == 0)
        LOG(fetchers->shard->broker->log, INFO, "replica.leader_lost", F_I64("leader", link->broker_id),
            F_ERR("error", why));
    schedule_reconnect(link);
}

static const struct env_conn_handler link_handler = {
    .alloc = on_alloc,
    .read = on_read,
    .connected = on_connected,
    .closed = on_closed,
};

/* The leader's replication listener in the present image. */
static bool leader_address(struct leader_link *link, struct env_addr *ret_addr)
{
    const struct image_broker *broker = image_broker(link->fetchers->shard->image, link->broker_id);

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

void link_connect(struct leader_link *link)
{
    struct env_addr addr;

    if (link->conn || link->closing || list_empty(&link->follows))
        return;
    if (!leader_address(link, &addr)) {
        schedule_reconnect(link);
        return;
    }
    link->fetchers->connections++;
    struct shard *shard = link->fetchers->shard;
    link->conn =
        tls_connect(shard->env, shard->broker->replica_tls ? shard->tls : NULL, TLS_USE_CLUSTER_CLIENT,
                    TLS_ROLE_BROKER, link->broker_id, &addr, &link_handler, link);
}

static void on_reconnect(struct env_timer *timer)
{
    link_connect(CONTAINER_OF(timer, struct leader_link, reconnect));
}

static void on_retry(struct env_timer *timer)
{
    link_send_soon(CONTAINER_OF(timer, struct leader_link, retry));
}

/* One batch may be larger than what was asked for (KIP-74): as large as a request that brought it. */
static uint32_t reply_bytes_max(const struct broker_config *config)
{
    uint64_t most = (uint64_t)config->replica_fetch_response_max_bytes +
                    (uint64_t)config->socket_request_max_bytes + REPLY_SLACK_BYTES;

    return (uint32_t)MIN(most, (uint64_t)INT32_MAX);
}

/* A leader that lost its power, or a network that drops packets, says nothing; and a follower that has said
 * all it may say hears of no failed transmission either. */
static void on_answer_late(struct env_timer *timer)
{
    struct leader_link *link = CONTAINER_OF(timer, struct leader_link, answer);

    LOG(link->fetchers->shard->broker->log, WARN, "replica.leader_silent", F_I64("leader", link->broker_id),
        F_I64("fetches", link->inflight_count));
    env_conn_close(link->conn);
}

void link_await_answer(struct leader_link *link)
{
    struct env *env = link->fetchers->shard->env;
    uint64_t wait_us = (uint64_t)link->fetchers->shard->broker->config->replica_fetch_wait_max_ms * 1000;

    if (link->inflight_count > 0)
        env_timer_set(env, &link->answer, env_now_us(env) + wait_us + ANSWER_US);
    else
        env_timer_cancel(env, &link->answer);
}

static void on_send(struct env_task *task)
{
    struct leader_link *link = CONTAINER_OF(task, struct leader_link, send);

    if (link->connected && !link->closing)
        link_send(link);
}

void link_send_soon(struct leader_link *link)
{
    env_defer(link->fetchers->shard->env, &link->send);
}

static struct leader_link *link_new(struct replica_fetchers *fetchers, int32_t broker_id)
{
    const struct broker_config *config = fetchers->shard->broker->config;
    struct leader_link *link = calloc(1, sizeof(*link));

    if (!link)
        return NULL;
    link->fetchers = fetchers;
    link->broker_id = broker_id;
    list_init(&link->follows);
    list_init(&link->moved);
    frame_in_init(&link->in, fetchers->shard->env->pool, reply_bytes_max(config));
    arena_init(&link->arena, link->scratch, sizeof(link->scratch), LINK_ARENA_BYTES);
    env_timer_init(&link->reconnect, on_reconnect);
    env_timer_init(&link->answer, on_answer_late);
    env_timer_init(&link->retry, on_retry);
    env_task_init(&link->send, on_send);
    list_push_back(&fetchers->links, &link->link);
    return link;
}

static struct leader_link *link_to(struct replica_fetchers *fetchers, int32_t broker_id)
{
    list_for_each (it, &fetchers->links) {
        struct leader_link *link = CONTAINER_OF(it, struct leader_link, link);
        if (link->broker_id == broker_id)
            return link;
    }
    return link_new(fetchers, broker_id);
}

/* -- partitions -- */

static void follow_detach(struct follow *follow)
{
    struct leader_link *link = follow->to;

    if (!link)
        return;
    list_remove(&follow->link);
    list_remove(&follow->moved);
    follow->to = NULL;
    follow->reading = false;
    link_release(link);
}

static void follow_attach(struct replica_fetchers *fetchers, struct follow *follow,
                          const struct partition_fetch_state *state)
{
    struct leader_link *link = link_to(fetchers, state->leader);

    if (!link)
        return; /* out of memory: the next image tries again */
    follow->to = link;
    follow->leader_epoch = state->leader_epoch;
    follow->told_durable = -1;
    follow->retry_at_us = 0;
    list_push_back(&link->follows, &follow->link);
    follow_touch(follow);
    if (link->connected)
        link_send_soon(link);
    else if (!link->conn && !env_timer_armed(&link->reconnect))
        link_connect(link);
}

static void follow_update(struct replica_fetchers *fetchers, struct follow *follow)
{
    struct partition_fetch_state state;
    bool follows =
        partition_fetch_state(follow->partition, &state) && state.leader >= 0 && !fetchers->closing;

    if (follows && follow->to && follow->to->broker_id == state.leader && !follow->to->closing) {
        if (follow->leader_epoch != state.leader_epoch) {
            follow->leader_epoch = state.leader_epoch;
            follow->told_durable = -1;
            follow->retry_at_us = 0;
        }
        follow_touch(follow);
        link_send_soon(follow->to);
        return;
    }
    follow_detach(follow);
    if (follows)
        follow_attach(fetchers, follow, &state);
}

/* The durable offset moved: the leader wants to know. */
static void on_partition_moved(void *ctx, struct partition *p)
{
    struct follow *follow = ctx;

    if (!follow->to)
        return;
    follow_touch(follow);
    link_send_soon(follow->to);
}

struct follow *fetchers_follow(struct replica_fetchers *fetchers, const struct partition *p)
{
    return map_get(&fetchers->follows, (uint64_t)(uintptr_t)p);
}

void follow_touch(struct follow *follow)
{
    if (list_empty(&follow->moved))
        list_push_back(&follow->to->moved, &follow->moved);
}

void follow_back_off(struct follow *follow, uint64_t delay_us)
{
    struct env *env = follow->to->fetchers->shard->env;

    follow->retry_at_us = env_now_us(env) + delay_us;
    follow_touch(follow);
}

struct replica_fetchers *fetchers_new(struct shard *shard)
{
    struct replica_fetchers *fetchers = calloc(1, sizeof(*fetchers));

    if (!fetchers)
        return NULL;
    fetchers->shard = shard;
    list_init(&fetchers->links);
    map_init(&fetchers->follows);
    return fetchers;
}

void fetchers_close(struct replica_fetchers *fetchers)
{
    ASSERT(fetchers->follows.count == 0);
    fetchers->closing = true;
    list_for_each_safe (it, tmp, &fetchers->links) {
        struct leader_link *link = CONTAINER_OF(it, struct leader_link, link);
        if (!link->closing)
            link_release(link);
    }
    free_when_closed(fetchers);
}

void fetchers_add(struct replica_fetchers *fetchers, struct partition *p)
{
    struct follow *follow = calloc(1, sizeof(*follow));

    if (!follow || !map_put(&fetchers->follows, (uint64_t)(uintptr_t)p, follow)) {
        free(follow);
        return; /* out of memory: this replica does not catch up, and the leader's ISR shows it */
    }
    list_init(&follow->link);
    list_init(&follow->moved);
    follow->partition = p;
    partition_set_fetch_hook(p, on_partition_moved, follow);
    follow_update(fetchers, follow);
}

void fetchers_remove(struct replica_fetchers *fetchers, struct partition *p)
{
    struct follow *follow = map_remove(&fetchers->follows, (uint64_t)(uintptr_t)p);

    if (!follow)
        return;
    partition_set_fetch_hook(p, NULL, NULL);
    follow_detach(follow);
    free(follow);
}

void fetchers_changed(struct replica_fetchers *fetchers, struct partition *p)
{
    struct follow *follow = fetchers_follow(fetchers, p);

    if (follow)
        follow_update(fetchers, follow);
}

void fetchers_image_changed(struct replica_fetchers *fetchers)
{
    list_for_each (it, &fetchers->links) {
        struct leader_link *link = CONTAINER_OF(it, struct leader_link, link);
        if (!link->conn && !link->closing)
            link_connect(link);
    }
}
