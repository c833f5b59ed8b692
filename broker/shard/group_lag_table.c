/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/shard/group_lag_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/obs/metrics.h"

/* -- partitions -- */

static uint64_t partition_hash(struct uuid topic_id, int32_t index)
{
    return hash_bytes(topic_id.b, sizeof(topic_id.b), (uint64_t)(uint32_t)index);
}

struct lag_partition *lag_partition_find(const struct lag_table *table, struct uuid topic_id, int32_t index)
{
    struct lag_partition *partition = map_get(&table->partitions, partition_hash(topic_id, index));

    while (partition && !(uuid_eq(partition->topic_id, topic_id) && partition->index == index))
        partition = partition->chain;
    return partition;
}

struct lag_partition *lag_partition_take(struct lag_table *table, struct uuid topic_id, struct str topic,
                                         int32_t index)
{
    struct lag_partition *partition = lag_partition_find(table, topic_id, index);
    uint64_t hash = partition_hash(topic_id, index);

    if (partition) {
        partition->round = table->round;
        return partition;
    }
    partition = calloc(1, sizeof(*partition) + (size_t)topic.len);
    if (!partition)
        return NULL;
    partition->topic_id = topic_id;
    partition->index = index;
    partition->leader = -1;
    partition->round = table->round;
    partition->topic_len = topic.len;
    memcpy(partition->topic, topic.p, (size_t)topic.len);
    partition->chain = map_get(&table->partitions, hash);
    if (!map_put(&table->partitions, hash, partition)) {
        free(partition);
        return NULL;
    }
    return partition;
}

struct str lag_partition_topic(const struct lag_partition *partition)
{
    return (struct str){partition->topic, partition->topic_len};
}

void lag_partition_sample(struct lag_partition *partition, uint64_t now_us, int64_t high_watermark)
{
    struct lag_sample *samples = partition->samples;
    int32_t kept = 0;

    if (partition->samples_count == LAG_SAMPLES_MAX) {
        for (int32_t i = 0; i < LAG_SAMPLES_MAX; i++)
            if (i % 2 == 0 || i == LAG_SAMPLES_MAX - 1)
                samples[kept++] = samples[i];
        partition->samples_count = kept;
    }
    /* After an unclean election the end may be lower than it was. */
    while (partition->samples_count > 0 &&
           samples[partition->samples_count - 1].high_watermark > high_watermark)
        partition->samples_count--;
    samples[partition->samples_count++] = (struct lag_sample){now_us, high_watermark};
}

/* -- figures -- */

int64_t lag_messages(const struct lag_partition *partition, int64_t offset)
{
    if (partition->samples_count == 0)
        return 0;
    int64_t end = partition->samples[partition->samples_count - 1].high_watermark;
    int64_t from = MAX(offset, partition->log_start);
    return MAX(end - from, 0);
}

uint64_t lag_age_us(const struct lag_partition *partition, int64_t offset, uint64_t now_us)
{
    const struct lag_sample *samples = partition->samples;
    int64_t from = MAX(offset, partition->log_start);

    for (int32_t i = 0; i < partition->samples_count; i++) {
        uint64_t at = samples[i].at_us;
        if (samples[i].high_watermark <= from)
            continue;
        if (i > 0) { /* it came somewhere between two looks */
            double part = (double)(from - samples[i - 1].high_watermark) /
                          (double)(samples[i].high_watermark - samples[i - 1].high_watermark);
            at = samples[i - 1].at_us + (uint64_t)(part * (double)(at - samples[i - 1].at_us));
        }
        return now_us > at ? now_us - at : 0;
    }
    return 0;
}

/* -- series -- */

static uint64_t series_hash(struct str group, const struct lag_partition *partition)
{
    return hash_bytes(group.p, (uint64_t)group.len, partition_hash(partition->topic_id, partition->index));
}

static double read_seconds(void *ctx)
{
    return (double)atomic_load_explicit((_Atomic uint64_t *)ctx, memory_order_relaxed) / 1e6;
}

static void show(struct lag_table *table, struct lag_series *series)
{
    char topic[256], index[12];

    str_copy(lag_partition_topic(series->partition), topic, sizeof(topic));
    snprintf(index, sizeof(index), "%d", series->partition->index);
    const struct metric_label labels[] = {{"group", series->group}, {"topic", topic}, {"partition", index}};
    series->committed = metrics_gauge(table->metrics, "sluice_group_committed_offset",
                                      "Committed offset of a group", labels, 3);
    series->messages =
        metrics_gauge(table->metrics, "sluice_group_lag_messages",
                      "Offsets between a group's committed offset and the high watermark", labels, 3);
    series->seconds = metrics_gauge_fn(table->metrics, "sluice_group_lag_seconds",
                                       "Time since the first record came that a group has not read", labels,
                                       3, read_seconds, &series->lag_us);
}

static void hide(struct lag_table *table, struct lag_series *series)
{
    if (!table->metrics)
        return;
    metrics_remove(table->metrics, series->committed);
    metrics_remove(table->metrics, series->messages);
    metrics_remove(table->metrics, series->seconds);
}

void lag_series_take(struct lag_table *table, const struct group_position *position,
                     struct lag_partition *partition)
{
    uint64_t hash = series_hash(position->group, partition);
    struct lag_series *series = map_get(&table->series, hash);

    while (series && !(series->partition == partition && series->group_len == position->group.len &&
                       memcmp(series->group, position->group.p, (size_t)series->group_len) == 0))
        series = series->chain;
    if (!series) {
        series = calloc(1, sizeof(*series) + (size_t)position->group.len + 1);
        if (!series)
            return;
        series->partition = partition;
        series->group_len = position->group.len;
        memcpy(series->group, position->group.p, (size_t)position->group.len);
        series->chain = map_get(&table->series, hash);
        if (!map_put(&table->series, hash, series)) {
            free(series);
            return;
        }
    }
    series->offset = position->offset;
    series->round = table->round;
}

/* -- the table -- */

void lag_table_init(struct lag_table *table, struct metrics *metrics)
{
    *table = (struct lag_table){.metrics = metrics};
    map_init(&table->series);
    map_init(&table->partitions);
}

void lag_table_begin(struct lag_table *table)
{
    table->round++;
}

void lag_each_partition(const struct lag_table *table,
                        bool (*each)(void *ctx, struct lag_partition *partition), void *ctx)
{
    uint32_t pos = 0;
    uint64_t key;
    void *first;

    while (map_next(&table->partitions, &pos, &key, &first))
        for (struct lag_partition *partition = first; partition; partition = partition->chain)
            if (!each(ctx, partition))
                return;
}

/* Keeps what this round took of a chain. */
static struct lag_series *keep_series(struct lag_table *table, struct lag_series *series)
{
    struct lag_series *kept = NULL;

    while (series) {
        struct lag_series *next = series->chain;
        if (series->round == table->round) {
            series->chain = kept;
            kept = series;
        } else {
            hide(table, series);
            free(series);
        }
        series = next;
    }
    return kept;
}

static struct lag_partition *keep_partitions(struct lag_table *table, struct lag_partition *partition)
{
    struct lag_partition *kept = NULL;

    while (partition) {
        struct lag_partition *next = partition->chain;
        if (partition->round == table->round) {
            partition->chain = kept;
            kept = partition;
        } else {
            free(partition);
        }
        partition = next;
    }
    return kept;
}

/* A new map with what is left of the old one. Without memory for it the old one is kept as it is. */
static void sift(struct lag_table *table, struct map *map,
                 void *(*keep)(struct lag_table *table, void *chain))
{
    struct map left;
    uint32_t pos = 0;
    uint64_t key;
    void *first;

    map_init(&left);
    while (map_next(map, &pos, &key, &first)) {
        void *kept = keep(table, first);
        if (!kept)
            continue;
        bool put = map_put(&left, key, kept);
        ASSERT(put); /* smaller than what there was */
    }
    map_free(map);
    *map = left;
}

static void *sift_series(struct lag_table *table, void *chain)
{
    return keep_series(table, chain);
}

static void *sift_partitions(struct lag_table *table, void *chain)
{
    return keep_partitions(table, chain);
}

/* Series first: they point to partitions. */
void lag_table_drop_old(struct lag_table *table)
{
    sift(table, &table->series, sift_series);
    sift(table, &table->partitions, sift_partitions);
}

void lag_table_show(struct lag_table *table, uint64_t now_us)
{
    uint32_t pos = 0;
    uint64_t key;
    void *first;

    while (map_next(&table->series, &pos, &key, &first)) {
        for (struct lag_series *series = first; series; series = series->chain) {
            if (series->partition->samples_count == 0)
                continue; /* its leader has not answered yet */
            if (table->metrics && !series->committed)
                show(table, series);
            gauge_set(series->committed, series->offset);
            gauge_set(series->messages, lag_messages(series->partition, series->offset));
            atomic_store_explicit(&series->lag_us, lag_age_us(series->partition, series->offset, now_us),
                                  memory_order_relaxed);
        }
    }
}

void lag_table_free(struct lag_table *table)
{
    table->round++;
    lag_table_drop_old(table);
    map_free(&table->series);
    map_free(&table->partitions);
}
