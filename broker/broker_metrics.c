/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/broker_metrics.h"

#include <stdio.h>

#include "common/obs/metrics.h"

static double read_count(void *ctx)
{
    return (double)atomic_load_explicit((_Atomic uint64_t *)ctx, memory_order_relaxed);
}

static double read_gauge(void *ctx)
{
    return (double)atomic_load_explicit((_Atomic int64_t *)ctx, memory_order_relaxed);
}

static double read_connections(void *ctx)
{
    return (double)atomic_load_explicit((_Atomic uint32_t *)ctx, memory_order_relaxed);
}

static double read_limit(void *ctx)
{
    return (double)((struct budget *)ctx)->limit_bytes;
}

/* Buffers that went to malloc instead of the pool: stands still on the steady path, as hot_path_mallocs does.
 */
static double read_pool_mallocs(void *ctx)
{
    const struct shard *shard = ctx;

    return (double)iobuf_pool_mallocs(shard->env->pool);
}

/* What the last scrape asked for; this one asks anew. */
static double read_uncommitted(void *ctx)
{
    struct shard *shard = ctx;

    shard_measure_lag(shard);
    return (double)atomic_load(&shard->lag.uncommitted_records);
}

static void add_shard(struct metrics *metrics, struct shard *shard, const char *index)
{
#define X(name, help)                                                                                        \
    metrics_counter_fn(metrics, "sluice_broker_" #name "_total", help, METRIC_LABELS({"shard", index}),      \
                       read_count, &shard->counters.name);
    SHARD_COUNTERS(X)
#undef X
#define X(name, help)                                                                                        \
    metrics_gauge_fn(metrics, "sluice_broker_" #name, help, METRIC_LABELS({"shard", index}), read_gauge,     \
                     &shard->gauges.name);
    SHARD_GAUGES(X)
#undef X
    metrics_gauge_fn(metrics, "sluice_broker_uncommitted_records",
                     "Records above the high watermark of led partitions, as of the scrape before",
                     METRIC_LABELS({"shard", index}), read_uncommitted, shard);
    metrics_gauge_fn(metrics, "sluice_broker_open_segments", "Segments of partition logs with open files",
                     METRIC_LABELS({"shard", index}), read_gauge, &shard->handles.segments);
    metrics_counter_fn(metrics, "sluice_broker_segments_closed_total",
                       "Segments whose files were closed for want of room (log.open.files)",
                       METRIC_LABELS({"shard", index}), read_count, &shard->handles.closed);
    metrics_counter_fn(metrics, "sluice_broker_log_descriptors_missed_total",
                       "Times that the process had no descriptor left for a partition log",
                       METRIC_LABELS({"shard", index}), read_count, &shard->handles.limit_reached);
    metrics_counter_fn(metrics, "sluice_broker_log_asides_total",
                       "Reads of logs that a worker did beside the loop: lookups by time, indexes, damage",
                       METRIC_LABELS({"shard", index}), read_count, &shard->handles.asides);
    metrics_gauge_fn(metrics, "sluice_broker_log_asides_waiting", "Such reads under way",
                     METRIC_LABELS({"shard", index}), read_gauge, &shard->handles.asides_waiting);
    metrics_counter_fn(metrics, "sluice_broker_log_asides_stale_total",
                       "Such reads that were thrown away, since the log had changed under them",
                       METRIC_LABELS({"shard", index}), read_count, &shard->handles.asides_stale);
    metrics_counter_fn(metrics, "sluice_broker_buffer_mallocs_total",
                       "Buffers that the shard's pool had to allocate", METRIC_LABELS({"shard", index}),
                       read_pool_mallocs, shard);
}

static void add_budget(struct metrics *metrics, struct budget *budget)
{
    for (int owner = 0; owner < BUDGET_OWNER_COUNT; owner++)
        metrics_gauge_fn(metrics, "sluice_broker_memory_bytes", "Memory taken from the budget, by owner",
                         METRIC_LABELS({"owner", budget_owner_name(owner)}), read_count,
                         &budget->by_owner[owner]);
    metrics_gauge_fn(metrics, "sluice_broker_memory_limit_bytes", "The memory budget", METRIC_NO_LABELS,
                     read_limit, budget);
    metrics_counter_fn(metrics, "sluice_broker_memory_refusals_total",
                       "Times the budget had no room for what was asked", METRIC_NO_LABELS, read_count,
                       &budget->refusals);
}

static double read_full(void *ctx)
{
    return atomic_load_explicit(&((struct disk_guard *)ctx)->full, memory_order_relaxed);
}

static double read_manifest_failed(void *ctx)
{
    return atomic_load_explicit(&((struct broker_shared *)ctx)->manifest_failed, memory_order_relaxed);
}

static void add_manifest(struct metrics *metrics, struct broker_shared *broker)
{
    metrics_gauge_fn(metrics, "sluice_broker_manifest_failed",
                     "1: the data directory's journal cannot be written, a new one is being tried",
                     METRIC_NO_LABELS, read_manifest_failed, broker);
    metrics_counter_fn(metrics, "sluice_broker_manifest_failures_total",
                       "Failed writes and syncs of the data directory's journal", METRIC_NO_LABELS,
                       read_count, &broker->manifest_failures);
}

static void add_disk(struct metrics *metrics, struct disk_guard *guard)
{
    metrics_gauge_fn(metrics, "sluice_broker_disk_full",
                     "1: new records are refused for want of room on the disk", METRIC_NO_LABELS, read_full,
                     guard);
    metrics_gauge_fn(metrics, "sluice_broker_disk_free_bytes", "Room on the data disk when last asked",
                     METRIC_NO_LABELS, read_count, &guard->free_bytes);
    metrics_counter_fn(metrics, "sluice_broker_disk_full_refusals_total",
                       "Writes that were refused because the disk was full", METRIC_NO_LABELS, read_count,
                       &guard->refused);
}

void broker_metrics_add(struct broker_shared *broker)
{
    struct metrics *metrics = broker->metrics;

    if (!metrics)
        return;
    for (unsigned i = 0; i < broker->shard_count; i++) {
        char index[12];
        snprintf(index, sizeof(index), "%u", i);
        add_shard(metrics, broker->shards[i], index);
    }
    add_budget(metrics, &broker->budget);
    add_disk(metrics, &broker->guard);
    add_manifest(metrics, broker);
    metrics_gauge_fn(metrics, "sluice_broker_connections", "Connections of clients and followers",
                     METRIC_NO_LABELS, read_connections, &broker->connection_count);
}
