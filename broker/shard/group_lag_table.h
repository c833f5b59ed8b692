/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of group_lag: positions of groups, bounds of partitions, and the series that show them. */
#ifndef SLUICE_BROKER_SHARD_GROUP_LAG_TABLE_H
#define SLUICE_BROKER_SHARD_GROUP_LAG_TABLE_H

#include "broker/core/group.h"
#include "common/base/map.h"

#define LAG_SAMPLES_MAX 32

struct metrics;
struct gauge;

/* When a high watermark was seen. */
struct lag_sample {
    uint64_t at_us;
    int64_t high_watermark;
};

struct lag_partition {
    struct lag_partition *chain; /* same hash */
    struct uuid topic_id;
    int32_t index, leader;
    int64_t log_start;
    struct lag_sample samples[LAG_SAMPLES_MAX]; /* oldest first; the last one is the newest known */
    int32_t samples_count;
    uint32_t round; /* when it was last wanted */
    int32_t topic_len;
    char topic[];
};

struct lag_series {
    struct lag_series *chain;
    struct lag_partition *partition;
    int64_t offset;
    struct gauge *committed, *messages;
    void *seconds; /* handle */
    _Atomic uint64_t lag_us;
    uint32_t round;
    int32_t group_len;
    char group[]; /* terminated */
};

struct lag_table {
    struct metrics *metrics;
    struct map series, partitions; /* chained by hash */
    uint32_t round;
};

/* Empty. metrics may be NULL: nothing is shown. */
void lag_table_init(struct lag_table *table, struct metrics *metrics);
/* Takes the series out of the metrics, frees all. */
void lag_table_free(struct lag_table *table);

/* A round: what is not taken between begin and drop_old goes. */
void lag_table_begin(struct lag_table *table);
void lag_table_drop_old(struct lag_table *table);

/* Finds or makes. NULL: out of memory. */
struct lag_partition *lag_partition_take(struct lag_table *table, struct uuid topic_id, struct str topic,
                                         int32_t index);
/* NULL: there is none. */
struct lag_partition *lag_partition_find(const struct lag_table *table, struct uuid topic_id, int32_t index);
/* A view of its topic's name. */
struct str lag_partition_topic(const struct lag_partition *partition);
/* The high watermark is seen now. When all places are taken, every second older one goes. */
void lag_partition_sample(struct lag_partition *partition, uint64_t now_us, int64_t high_watermark);
/* Calls each for all; it returns false to stop. */
void lag_each_partition(const struct lag_table *table,
                        bool (*each)(void *ctx, struct lag_partition *partition), void *ctx);

/* The position is the group's; out of memory: it is not shown. */
void lag_series_take(struct lag_table *table, const struct group_position *position,
                     struct lag_partition *partition);

/* Figures (pure): offsets that are not read, 0 when nothing is known; age of the first of them. */
int64_t lag_messages(const struct lag_partition *partition, int64_t offset);
/* Microseconds since the first unread record came, as far back as samples go. */
uint64_t lag_age_us(const struct lag_partition *partition, int64_t offset, uint64_t now_us);

/* Puts the figures where scrapes see them. */
void lag_table_show(struct lag_table *table, uint64_t now_us);

#endif
