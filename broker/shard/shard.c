/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/shard/shard.h"

#include <stdlib.h>
#include <string.h>

#include "broker/config.h"
#include "broker/shard/connection.h"
#include "broker/shard/control.h"
#include "broker/shard/coordinator.h"
#include "broker/shard/fetcher.h"
#include "broker/shard/group_lag.h"
#include "broker/shard/partition_repair.h"
#include "broker/shard/peers.h"
#include "broker/shard/repair.h"
#include "broker/shard/replica_rpc.h"
#include "broker/shard/request.h"
#include "broker/shard/scrub.h"
#include "broker/shard/shard_flight.h"
#include "broker/shard/shard_image.h"
#include "broker/shard/txn_ask.h"
#include "common/base/assert.h"
#include "common/obs/log.h"

#define CLOCK_LOOK_US (60 * 1000 * 1000ull)
#define CLOCK_JUMP_MS 1000 /* less is a clock being disciplined */

struct partition *shard_partition(struct shard *shard, struct uuid topic_id, int32_t index)
{
    struct route *route = route_find(&shard->routes, topic_id, index);

    return route ? route->partition : NULL;
}

/* -- gauges -- */

enum gauge_bit {
#define X(name, help) GAUGE_##name,
    SHARD_GAUGES(X)
#undef X
};

static uint8_t gauges_of(const struct partition *p)
{
    struct partition_view view;

    if (!p)
        return 0;
    partition_get(p, &view);
    return (uint8_t)(1 << GAUGE_partitions | view.is_leader << GAUGE_leaders |
                     (view.is_leader && view.isr_count < view.replicas_count) << GAUGE_under_replicated |
                     view.offline << GAUGE_offline);
}

void shard_recount(struct shard *shard, struct route *route)
{
    uint8_t now = gauges_of(route->partition);

#define X(name, help)                                                                                        \
    atomic_fetch_add_explicit(&shard->gauges.name,                                                           \
                              (now >> GAUGE_##name & 1) - (route->counted >> GAUGE_##name & 1),              \
                              memory_order_relaxed);
    SHARD_GAUGES(X)
#undef X
    route->counted = now;
}

static void add_lag(void *ctx, struct route *route)
{
    struct partition_view view;

    if (!route->partition)
        return;
    partition_get(route->partition, &view);
    if (view.is_leader)
        *(uint64_t *)ctx += (uint64_t)(view.log_end - view.high_watermark);
}

static void on_lag_asked(struct env_msg *msg)
{
    struct shard *shard = CONTAINER_OF(CONTAINER_OF(msg, struct shard_lag, msg), struct shard, lag);
    uint64_t records = 0;

    atomic_store(&shard->lag.asked, false);
    if (shard->stopping)
        return;
    route_each(&shard->routes, add_lag, &records);
    atomic_store(&shard->lag.uncommitted_records, records);
    group_lag_wanted(shard->group_lag);
}

static void add_unreplicated(void *ctx, struct route *route)
{
    struct partition_view view;

    if (!route->partition)
        return;
    partition_get(route->partition, &view);
    if (view.is_leader && view.isr_count > 1)
        *(uint64_t *)ctx += (uint64_t)(view.log_end - view.high_watermark);
}

uint64_t shard_unreplicated(struct shard *shard)
{
    uint64_t records = 0;

    route_each(&shard->routes, add_unreplicated, &records);
    return records;
}

void shard_measure_lag(struct shard *shard)
{
    if (atomic_exchange(&shard->lag.asked, true))
        return;
    shard->lag.msg.fn = on_lag_asked;
    env_post(shard->env, &shard->lag.msg);
}

/* -- what partitions ask of their shard -- */

static int64_t host_broker_epoch(void *ctx, int32_t broker_id)
{
    struct shard *shard = ctx;
    const struct image_broker *broker = image_broker(shard->image, broker_id);

    return broker && !broker->fenced && !broker->in_controlled_shutdown ? broker->epoch : -1;
}

void shard_note_failed(struct shard *shard, struct route *route, bool failed)
{
    if (route->failed == failed)
        return;
    route->failed = failed;
    ASSERT(failed || shard->failed_partitions > 0);
    shard->failed_partitions = failed ? shard->failed_partitions + 1 : shard->failed_partitions - 1;
}

static void host_failed(void *ctx, struct partition *p, enum err err)
{
    struct shard *shard = ctx;

    struct route *route = route_find(&shard->routes, partition_topic_id(p), partition_index(p));

    if (route) {
        shard_note_failed(shard, route, true);
        shard_recount(shard, route);
        coordinator_route_changed(shard, route);
    }
    fetchers_changed(shard->fetchers, p); /* an answer on its way is for this log, not for one opened later */
    LOG(shard->broker->log, ERROR, "partition.offline", F_VIEW("topic", partition_topic(p)),
        F_I64("partition", partition_index(p)), F_STR("error", err_text(err)));
    control_shard_applied(shard->broker->control, shard->index, image_index(shard->image),
                          shard->failed_partitions);
}

static void host_damaged(void *ctx, struct partition *p)
{
    struct shard *shard = ctx;

    if (shard->repairer)
        repairer_add(shard->repairer, p);
}

static void host_reopened(void *ctx, struct partition *p)
{
    struct shard *shard = ctx;

    struct route *route = route_find(&shard->routes, partition_topic_id(p), partition_index(p));

    if (route)
        shard_note_failed(shard, route, false);
    shard_count(shard, reopened_logs, 1);
    LOG(shard->broker->log, INFO, "partition.online", F_VIEW("topic", partition_topic(p)),
        F_I64("partition", partition_index(p)));
    shard_apply_again(shard, partition_topic_id(p), partition_index(p));
    if (partition_damages(p) > 0)
        host_damaged(shard, p);
}

static void host_again(void *ctx, struct partition *p)
{
    shard_apply_again(ctx, partition_topic_id(p), partition_index(p));
}

static void host_retained(void *ctx, struct partition *p, int64_t offsets)
{
    struct shard *shard = ctx;

    (void)p;
    shard_count(shard, retained_offsets, offsets);
}

static void host_compacted(void *ctx, struct partition *p, const struct plog_compacted *result)
{
    struct shard *shard = ctx;

    (void)p;
    shard_count(shard, log_cleaner_runs, result->err == OK);
    shard_count(shard, log_cleaner_failures, result->err != OK && result->err != ERR_CANCELED);
    shard_count(shard, log_cleaner_read_bytes, result->bytes_read);
    shard_count(shard, log_cleaner_written_bytes, result->bytes_written);
    if (result->err == OK)
        shard_count(shard, log_cleaner_removed_records, result->records_before - result->records_after);
}

static void init_cleaner(struct shard *shard)
{
    const struct broker_config *config = shard->broker->config;
    uint64_t shards = MAX(shard->broker->shard_count, 1);

    shard->cleaner =
        (struct cleaner){.env = shard->env,
                         .map_bytes = (uint64_t)config->log_cleaner_dedupe_buffer_size / shards,
                         .bytes_per_second = (uint64_t)config->log_cleaner_io_max_bytes_per_second / shards,
                         .backoff_us = (uint64_t)config->log_cleaner_backoff_ms * 1000,
                         .batch_bytes_max = (uint64_t)config->socket_request_max_bytes,
                         .ended = host_compacted,
                         .ctx = shard};
    cleaner_init(&shard->cleaner);
}

static void host_init(struct shard *shard)
{
    const struct broker_config *config = shard->broker->config;

    shard->host = (struct partition_host){
        .env = shard->env,
        .broker_id = shard->broker->broker_id,
        .data_dir = config->log_dirs.items[0],
        .manifest = shard->broker->manifest,
        .power_lost = shard->broker->power_lost,
        .guard = &shard->broker->guard,
        .log = shard->broker->log,
        .scratch = &shard->scratch,
        .replica_lag_time_max_us = (uint64_t)config->replica_lag_time_max_ms * 1000,
        .producer_expiry_us = (uint64_t)config->producer_id_expiration_ms * 1000,
        .retention_check_ms = (uint64_t)config->log_retention_check_interval_ms,
        .retained = host_retained,
        .cleaner = &shard->cleaner,
        .ctx = shard,
        .alter_partition = shard_alter_partition,
        .broker_epoch = host_broker_epoch,
        .failed = host_failed,
        .reopened = host_reopened,
        .again = host_again,
        .leave = shard_alter_partition,
        .damaged = host_damaged,
        .tail_cache = &shard->tail_cache,
        .handles = &shard->handles,
        .log_writes = &shard->counters.log_writes,
        .flight = &shard->recorder->flight,
    };
}

/* -- the wall clock -- */

static void clock_jumped(void *ctx, struct route *route)
{
    (void)ctx;
    if (route->partition)
        partition_clock_jumped(route->partition);
}

static int64_t wall_ahead_ms(struct shard *shard)
{
    return env_wall_ms(shard->env) - (int64_t)(env_now_us(shard->env) / 1000);
}

/* Deadlines of retention and compaction are wall times that timers of the monotonic clock wait for. One look
 * for all partitions of the shard, however many they are; only a jump makes each of them look. */
static void on_clock(struct env_timer *timer)
{
    struct shard *shard = CONTAINER_OF(timer, struct shard, clock);
    int64_t ahead_ms = wall_ahead_ms(shard), moved_ms = ahead_ms - shard->wall_ahead_ms;

    if (shard->stopping)
        return;
    if (moved_ms >= CLOCK_JUMP_MS || moved_ms <= -CLOCK_JUMP_MS) {
        LOG(shard->broker->log, WARN, "clock.jumped", F_I64("ms", moved_ms));
        shard->wall_ahead_ms = ahead_ms;
        route_each(&shard->routes, clock_jumped, NULL);
    }
    env_timer_set(shard->env, timer, env_now_us(shard->env) + CLOCK_LOOK_US);
}

/* -- life -- */

static void on_admission(struct env_timer *timer)
{
    connection_admit_waiting(CONTAINER_OF(timer, struct shard, admission_timer));
}

enum err shard_init(struct shard *shard, struct broker_shared *broker, unsigned index, struct env *env)
{
    memset(shard, 0, sizeof(*shard));
    shard->env = env;
    shard->broker = broker;
    shard->index = index;
    shard->tls = tls_loop_new(env, broker->tls);
    list_init(&shard->connections);
    list_init(&shard->admission_queue);
    list_init(&shard->image_waits);
    list_init(&shard->producer_ids.waits);
    list_init(&shard->auto_creates);
    env_timer_init(&shard->admission_timer, on_admission);
    env_timer_init(&shard->clock, on_clock);
    shard->wall_ahead_ms = wall_ahead_ms(shard);
    route_table_init(&shard->routes);
    shard->image = image_new();
    shard->rx = malloc(SHARD_RX_BYTES);
    shard->fetchers = fetchers_new(shard);
    shard->repairer = repairer_new(shard);
    shard->group_lag = group_lag_new(shard);
    shard->scrubber = scrubber_new(shard);
    shard->peers = broker_peers_new(shard);
    shard->txn_asks = txn_asks_new(shard);
    tail_cache_init(&shard->tail_cache, &broker->budget, env->pool,
                    (size_t)broker->config->log_tail_cache_bytes / MAX(broker->shard_count, 1u));
    plog_handles_init(&shard->handles, env, broker->log_files_max / MAX(broker->shard_count, 1u));
    shard->recorder = shard_flight_new(broker->log, broker->record);
    if (!shard->recorder || !shard->image || !shard->rx || !shard->fetchers || !shard->repairer ||
        !shard->group_lag || !shard->scrubber || !shard->peers || !shard->txn_asks ||
        batch_scratch_init(&shard->scratch, (size_t)broker->config->socket_request_max_bytes, 0) != OK)
        return ERR_NOMEM;
    init_cleaner(shard);
    host_init(shard);
    env_timer_set(env, &shard->clock, env_now_us(env) + CLOCK_LOOK_US);
    return OK;
}

struct closing {
    struct shard *shard;
    bool clean;
};

static void close_route(void *ctx, struct route *route)
{
    struct closing *closing = ctx;

    if (!route->partition)
        return;
    coordinator_route_closing(route);
    fetchers_remove(closing->shard->fetchers, route->partition);
    if (!partition_close(route->partition, closing->clean))
        shard_note_failed(closing->shard, route, true); /* this broker does not end cleanly */
    route->partition = NULL;
    shard_recount(closing->shard, route);
}

void shard_shutdown(struct shard *shard, bool clean)
{
    struct closing closing = {shard, clean};

    shard->stopping = true;
    env_timer_cancel(shard->env, &shard->clock);
    for (unsigned i = 0; i < shard->broker->listener_count; i++)
        if (shard->listeners[i])
            env_listener_close(shard->listeners[i]);
    route_each(&shard->routes, close_route, &closing);
    cleaner_stop(&shard->cleaner);
    fetchers_close(shard->fetchers);
    repairer_close(shard->repairer);
    group_lag_close(shard->group_lag);
    scrubber_close(shard->scrubber);
    txn_asks_close(shard->txn_asks);
    broker_peers_close(shard->peers);
    list_for_each_safe (it, tmp, &shard->connections) {
        connection_close(CONTAINER_OF(it, struct connection, link), NULL);
    }
    env_timer_cancel(shard->env, &shard->admission_timer);
}

void shard_look_idle(struct shard *shard)
{
    void (*idle)(struct shard * shard) = shard->idle;

    if (!idle || shard->connections_alive > 0 || shard->fetchers || shard->repairer || shard->scrubber ||
        shard->peers || shard->group_lag)
        return;
    shard->idle = NULL;
    idle(shard);
}

void shard_finish(struct shard *shard, void (*idle)(struct shard *shard))
{
    ASSERT(shard->stopping);
    shard_end_image_waits(shard);
    shard->idle = idle;
    shard_look_idle(shard);
}

void shard_free(struct shard *shard)
{
    ASSERT(shard->connections_alive == 0 && list_empty(&shard->image_waits));
    while (shard->free_requests) {
        struct request *rq = shard->free_requests;
        shard->free_requests = rq->next_free;
        writer_free(&rq->reply);
        free(rq);
    }
    route_table_free(&shard->routes);
    tail_cache_free(&shard->tail_cache);
    plog_handles_free(&shard->handles);
    image_unref(shard->image);
    batch_scratch_free(&shard->scratch);
    free(shard->rx);
    txn_asks_free(shard->txn_asks);
    shard_flight_free(shard->recorder);
    tls_loop_drop(shard->tls);
}

/* -- listening -- */

static void on_accepted(void *ctx, struct env_conn *conn, const struct env_addr *peer)
{
    struct shard_listener *listener = ctx;
    const struct listener_info *info = listener->info;

    conn = tls_accept(info->tls ? listener->shard->tls : NULL,
                      info->internal ? TLS_USE_CLUSTER_SERVER : TLS_USE_SERVER, TLS_ROLE_BROKER, conn, peer);
    if (conn)
        connection_accept(listener->shard, listener->info, conn, peer);
}

enum err shard_listen(struct shard *shard)
{
    static const struct env_listener_handler handler = {.accepted = on_accepted};

    for (unsigned i = 0; i < shard->broker->listener_count; i++) {
        struct listener_info *info = &shard->broker->listeners[i];
        struct env_addr bound;

        shard->listener_of[i] = (struct shard_listener){shard, info};
        enum err err = env_listen(shard->env, &info->bind, true, &handler, &shard->listener_of[i],
                                  &shard->listeners[i], &bound);
        if (err != OK)
            return err;
        info->bind.port = bound.port; /* port 0: the other shards share what the first one got */
    }
    return OK;
}
