/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/shard/group_lag.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/shard/group_coordinator.h"
#include "broker/shard/group_lag_table.h"
#include "common/base/arena.h"
#include "common/base/assert.h"
#include "common/base/frame_in.h"
#include "common/obs/metrics.h"
#include "common/tls/tls.h"
#include "proto/kafka/api.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define LIST_OFFSETS_VERSION 7
#define LATEST               (-1)
#define EARLIEST             (-2)
#define ROUND_US             5000000   /* between two rounds */
#define WANTED_US            300000000 /* after the last scrape rounds go on so long */
#define PEER_TIMEOUT_US      5000000
#define ARENA_BYTES          (64u << 20)
#define FRAME_BYTES_MAX      (16u << 20)
#define NO_LEADER            (-1)

struct group_lag {
    struct shard *shard;
    struct lag_table table;
    struct gauge *dropped;
    uint64_t wanted_us; /* rounds go on until then */
    struct env_timer next, timeout;
    struct env_conn *conn;
    int32_t leader;  /* being asked; NO_LEADER: no round is under way */
    int32_t best;    /* the next one, while it is looked for */
    int32_t answers; /* of the two */
    struct frame_in in;
    struct arena arena;
    uint32_t walked;
    bool closing;
};

/* -- what there is to know: the groups' positions and where their partitions are led -- */

static void add_position(void *ctx, const struct group_position *position)
{
    struct group_lag *lag = ctx;
    const struct image *image = lag->shard->image;
    const struct image_topic *topic;

    if (lag->walked++ >= GROUP_LAG_POSITIONS_MAX)
        return;
    topic = image_topic_by_name(image, position->topic);
    const struct image_partition *state = topic ? image_partition(image, topic, position->partition) : NULL;
    if (!state)
        return; /* the topic is gone */
    struct lag_partition *partition =
        lag_partition_take(&lag->table, topic->id, topic->name, position->partition);
    if (!partition)
        return;
    partition->leader = state->leader;
    lag_series_take(&lag->table, position, partition);
}

static void add_route(void *ctx, struct route *route)
{
    struct group_lag *lag = ctx;

    if (route->coordinator)
        group_each_position(route->coordinator, add_position, lag);
}

/* -- asking a leader -- */

static bool next_leader(void *ctx, struct lag_partition *partition)
{
    struct group_lag *lag = ctx;

    if (partition->leader > lag->leader && (lag->best == NO_LEADER || partition->leader < lag->best))
        lag->best = partition->leader;
    return true;
}

/* Leaders are asked in order of their ids. */
static int32_t leader_after(struct group_lag *lag)
{
    lag->best = NO_LEADER;
    lag_each_partition(&lag->table, next_leader, lag);
    return lag->best;
}

struct asking {
    struct group_lag *lag;
    int64_t timestamp;
    struct kafka_list_offsets_request_topic *topics;
    int32_t count;
};

static bool ask_partition(void *ctx, struct lag_partition *partition)
{
    struct asking *asking = ctx;
    struct kafka_list_offsets_request_partition *part;

    if (partition->leader != asking->lag->leader)
        return true;
    part = arena_calloc(&asking->lag->arena, 1, sizeof(*part));
    if (!part)
        return false;
    kafka_list_offsets_request_partition_init(part);
    part->partition_index = partition->index;
    part->timestamp = asking->timestamp;
    asking->topics[asking->count++] = (struct kafka_list_offsets_request_topic){
        .name = lag_partition_topic(partition), .partitions = part, .partitions_count = 1};
    return true;
}

/* False: it cannot be asked. */
static bool ask(struct group_lag *lag, int64_t timestamp)
{
    struct kafka_request_header header = {.api_key = KAFKA_API_LIST_OFFSETS,
                                          .api_version = LIST_OFFSETS_VERSION,
                                          .client_id = STR_LIT("group-lag")};
    struct kafka_list_offsets_request request;
    struct asking asking = {.lag = lag, .timestamp = timestamp};
    struct writer w;

    arena_reset(&lag->arena);
    kafka_list_offsets_request_init(&request);
    request.replica_id = -1;
    asking.topics = arena_calloc(&lag->arena, lag->table.partitions.count, sizeof(*asking.topics));
    if (asking.topics)
        lag_each_partition(&lag->table, ask_partition, &asking);
    request.topics = asking.topics;
    request.topics_count = asking.count;
    writer_init(&w, lag->shard->env->pool, 4096, FRAME_BYTES_MAX);
    writer_i32(&w, 0);
    kafka_request_header_encode(
        &w, kafka_request_header_version(KAFKA_API_LIST_OFFSETS, LIST_OFFSETS_VERSION), &header);
    kafka_list_offsets_request_encode(&w, LIST_OFFSETS_VERSION, &request);
    bool ok = w.err == OK && asking.count > 0;
    if (ok) {
        writer_patch_i32(&w, 0, (int32_t)(writer_pos(&w) - 4));
        env_conn_write(lag->conn, w.buf, 0, writer_pos(&w));
    }
    writer_free(&w);
    return ok;
}

static void on_connected(void *ctx)
{
    struct group_lag *lag = ctx;

    if (!ask(lag, EARLIEST) || !ask(lag, LATEST))
        env_conn_close(lag->conn);
}

/* -- the answers -- */

static void take(struct group_lag *lag, struct str topic,
                 const struct kafka_list_offsets_response_partition *in)
{
    const struct image_topic *known = image_topic_by_name(lag->shard->image, topic);
    struct lag_partition *partition =
        known ? lag_partition_find(&lag->table, known->id, in->partition_index) : NULL;

    if (!partition || in->error_code != KAFKA_NONE || in->offset < 0)
        return;
    if (lag->answers == 0)
        partition->log_start = in->offset;
    else
        lag_partition_sample(partition, env_now_us(lag->shard->env), in->offset);
}

static bool on_frame(void *ctx, const uint8_t *p, uint32_t len, struct iobuf *owner)
{
    struct group_lag *lag = ctx;
    struct reader in = reader_over(p, len);
    struct kafka_response_header header;
    struct kafka_list_offsets_response reply;

    if (lag->answers >= 2)
        return true; /* nobody asked; the connection is closing */
    arena_reset(&lag->arena);
    if (kafka_response_header_decode(
            &in, kafka_response_header_version(KAFKA_API_LIST_OFFSETS, LIST_OFFSETS_VERSION), &header) !=
            OK ||
        kafka_list_offsets_response_decode(&in, &lag->arena, LIST_OFFSETS_VERSION, &reply) != OK)
        return false;
    for (int32_t t = 0; t < reply.topics_count; t++)
        for (int32_t i = 0; i < reply.topics[t].partitions_count; i++)
            take(lag, reply.topics[t].name, &reply.topics[t].partitions[i]);
    if (++lag->answers == 2)
        env_conn_close(lag->conn);
    return true;
}

static void on_alloc(void *ctx, void **ret_buf, size_t *ret_len)
{
    struct group_lag *lag = ctx;

    *ret_len = 0;
    if (!frame_in_room(&lag->in, ret_buf, ret_len))
        env_conn_close(lag->conn);
}

static void on_read(void *ctx, size_t len)
{
    struct group_lag *lag = ctx;

    if (frame_in_landed(&lag->in, len, on_frame, lag) != OK)
        env_conn_close(lag->conn);
}

static void go_on(struct group_lag *lag);

static void lag_free(struct group_lag *lag)
{
    struct shard *shard = lag->shard;

    lag_table_free(&lag->table);
    metrics_remove(shard->broker->metrics, lag->dropped);
    arena_free(&lag->arena);
    free(lag);
    shard->group_lag = NULL;
    shard_look_idle(shard);
}

static void on_closed(void *ctx, enum err why)
{
    struct group_lag *lag = ctx;

    lag->conn = NULL;
    env_timer_cancel(lag->shard->env, &lag->timeout);
    frame_in_reset(&lag->in);
    if (lag->closing)
        lag_free(lag);
    else
        go_on(lag);
}

static void on_timeout(struct env_timer *timer)
{
    env_conn_close(CONTAINER_OF(timer, struct group_lag, timeout)->conn);
}

static const struct env_conn_handler handler = {
    .alloc = on_alloc,
    .read = on_read,
    .connected = on_connected,
    .closed = on_closed,
};

/* -- a round -- */

static bool address_of(struct group_lag *lag, int32_t broker_id, struct env_addr *ret_addr)
{
    const struct image_broker *broker = image_broker(lag->shard->image, broker_id);

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

static void round_over(struct group_lag *lag)
{
    uint64_t now = env_now_us(lag->shard->env);

    lag->leader = NO_LEADER;
    lag_table_show(&lag->table, now);
    gauge_set(lag->dropped,
              lag->walked > GROUP_LAG_POSITIONS_MAX ? lag->walked - GROUP_LAG_POSITIONS_MAX : 0);
    env_timer_set(lag->shard->env, &lag->next, now + ROUND_US);
}

/* The next leader, or the round is over. */
static void go_on(struct group_lag *lag)
{
    struct shard *shard = lag->shard;
    struct env_addr addr;

    do {
        lag->leader = leader_after(lag);
        if (lag->leader < 0) {
            round_over(lag);
            return;
        }
    } while (!address_of(lag, lag->leader, &addr));
    lag->answers = 0;
    env_timer_set(shard->env, &lag->timeout, env_now_us(shard->env) + PEER_TIMEOUT_US);
    lag->conn = tls_connect(shard->env, shard->broker->replica_tls ? shard->tls : NULL,
                            TLS_USE_CLUSTER_CLIENT, TLS_ROLE_BROKER, lag->leader, &addr, &handler, lag);
}

static void begin_round(struct group_lag *lag)
{
    lag->walked = 0;
    lag_table_begin(&lag->table);
    route_each(&lag->shard->routes, add_route, lag);
    lag_table_drop_old(&lag->table);
    lag->leader = NO_LEADER;
    go_on(lag);
}

/* Nobody has looked for a while: what is known grows old and is forgotten. */
static void on_next(struct env_timer *timer)
{
    struct group_lag *lag = CONTAINER_OF(timer, struct group_lag, next);

    if (env_now_us(lag->shard->env) < lag->wanted_us) {
        begin_round(lag);
        return;
    }
    lag_table_begin(&lag->table);
    lag_table_drop_old(&lag->table);
}

void group_lag_wanted(struct group_lag *lag)
{
    uint64_t now = env_now_us(lag->shard->env);

    lag->wanted_us = now + WANTED_US;
    if (!lag->closing && lag->leader == NO_LEADER && !env_timer_armed(&lag->next))
        env_timer_set(lag->shard->env, &lag->next, now);
}

/* -- life -- */

struct group_lag *group_lag_new(struct shard *shard)
{
    struct group_lag *lag = calloc(1, sizeof(*lag));
    char index[12];

    if (!lag)
        return NULL;
    lag->shard = shard;
    lag->leader = NO_LEADER;
    lag_table_init(&lag->table, shard->broker->metrics);
    env_timer_init(&lag->next, on_next);
    env_timer_init(&lag->timeout, on_timeout);
    frame_in_init(&lag->in, shard->env->pool, FRAME_BYTES_MAX);
    arena_init(&lag->arena, NULL, 0, ARENA_BYTES);
    snprintf(index, sizeof(index), "%u", shard->index);
    if (shard->broker->metrics)
        lag->dropped = metrics_gauge(shard->broker->metrics, "sluice_group_lag_dropped",
                                     "Committed offsets whose lag is not shown: there are too many",
                                     METRIC_LABELS({"shard", index}));
    return lag;
}

void group_lag_close(struct group_lag *lag)
{
    lag->closing = true;
    env_timer_cancel(lag->shard->env, &lag->next);
    if (lag->conn)
        env_conn_close(lag->conn);
    else
        lag_free(lag);
}
