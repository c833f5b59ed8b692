/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator sees of one controller. */
#include <stdlib.h>

#include "common/base/assert.h"
#include "controller/controller_internal.h"

struct controller_metrics {
    struct metrics *registry;
    struct counter *entries, *entry_bytes;
    void *asked[24];
    int asked_count;
};

static double leader(void *ctx)
{
    return controller_status(ctx).leader;
}

static double active(void *ctx)
{
    return controller_status(ctx).leads;
}

static double term(void *ctx)
{
    return (double)controller_status(ctx).term;
}

static double commit_index(void *ctx)
{
    return (double)controller_status(ctx).commit_index;
}

static double applied_index(void *ctx)
{
    return (double)controller_status(ctx).applied_index;
}

static double elections(void *ctx)
{
    return (double)controller_status(ctx).elections;
}

static double log_bytes(void *ctx)
{
    return (double)raft_log_bytes(storage_log(((struct controller *)ctx)->storage));
}

static double snapshot_index(void *ctx)
{
    const struct snapshot *snapshot = snapshot_newest(storage_snapshots(((struct controller *)ctx)->storage));
    return snapshot != NULL ? (double)snapshot->id.index : 0;
}

static double topics(void *ctx)
{
    return image_topic_count(controller_image(ctx));
}

static double partitions(void *ctx)
{
    return image_partition_count(controller_image(ctx));
}

static double brokers(void *ctx)
{
    return image_broker_count(controller_image(ctx));
}

static double live_brokers(void *ctx)
{
    return core_live_brokers(&((struct controller *)ctx)->core);
}

static double displaced(void *ctx)
{
    return image_displaced_count(controller_image(ctx));
}

static double unclean_elections(void *ctx)
{
    return (double)((struct controller *)ctx)->core.counts.unclean_elections;
}

static double preferred_elections(void *ctx)
{
    return (double)((struct controller *)ctx)->core.counts.preferred_elections;
}

static double moves_ended(void *ctx)
{
    return (double)((struct controller *)ctx)->core.counts.moves_ended;
}

static double joins_delayed(void *ctx)
{
    return (double)((struct controller *)ctx)->core.counts.joins_delayed;
}

static const struct asked {
    const char *name, *help;
    metric_fn *fn;
    bool counts;
} table[] = {
    {"sluice_quorum_leader", "node id of the leader, -1 when none is known", leader, false},
    {"sluice_quorum_active", "1 while this controller is the active one", active, false},
    {"sluice_quorum_term", "Raft term", term, false},
    {"sluice_quorum_commit_index", "newest committed entry", commit_index, false},
    {"sluice_quorum_applied_index", "newest applied entry", applied_index, false},
    {"sluice_quorum_elections_won_total", "times this controller became leader", elections, true},
    {"sluice_quorum_log_bytes", "size of the Raft log on disk", log_bytes, false},
    {"sluice_quorum_snapshot_index", "newest entry that the newest snapshot covers", snapshot_index, false},
    {"sluice_metadata_topics", "topics", topics, false},
    {"sluice_metadata_partitions", "partitions", partitions, false},
    {"sluice_metadata_brokers", "registered brokers", brokers, false},
    {"sluice_metadata_live_brokers", "brokers with a living session, at the active controller", live_brokers,
     false},
    {"sluice_metadata_displaced_leaders",
     "partitions led by another than their first replica, which is in sync", displaced, false},
    {"sluice_controller_unclean_elections_total",
     "leaders elected by this controller that may lack acknowledged records", unclean_elections, true},
    {"sluice_controller_preferred_elections_total",
     "leaders that this controller gave back to the first replica on its own", preferred_elections, true},
    {"sluice_controller_reassignments_ended_total", "reassignments of partitions that this controller ended",
     moves_ended, true},
    {"sluice_controller_isr_joins_delayed_total",
     "joins of in-sync replicas put off because the replica had left too often", joins_delayed, true},
};

STATIC_ASSERT(ARRAY_LEN(table) <= 24, "controller_metrics.asked has room for all");

struct controller_metrics *controller_metrics_new(struct controller *c)
{
    struct metrics *registry = c->options.metrics;
    struct controller_metrics *m = registry != NULL ? calloc(1, sizeof(*m)) : NULL;
    if (m == NULL)
        return NULL;
    m->registry = registry;
    m->entries = metrics_counter(registry, "sluice_metadata_entries_applied_total",
                                 "metadata entries applied", METRIC_NO_LABELS);
    m->entry_bytes = metrics_counter(registry, "sluice_metadata_bytes_applied_total",
                                     "bytes of metadata entries applied", METRIC_NO_LABELS);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        void *handle =
            table[i].counts
                ? metrics_counter_fn(registry, table[i].name, table[i].help, METRIC_NO_LABELS, table[i].fn, c)
                : metrics_gauge_fn(registry, table[i].name, table[i].help, METRIC_NO_LABELS, table[i].fn, c);
        m->asked[m->asked_count++] = handle;
    }
    return m;
}

void controller_metrics_free(struct controller_metrics *m)
{
    if (m == NULL)
        return;
    for (int i = 0; i < m->asked_count; i++)
        metrics_remove(m->registry, m->asked[i]);
    metrics_remove(m->registry, m->entries);
    metrics_remove(m->registry, m->entry_bytes);
    free(m);
}

void controller_metrics_commit(struct controller_metrics *m, uint64_t entry_bytes)
{
    if (m == NULL)
        return;
    counter_add(m->entries, 1);
    counter_add(m->entry_bytes, entry_bytes);
}
