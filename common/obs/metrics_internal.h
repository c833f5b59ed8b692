/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the registry, shared by its two files. */
#ifndef SLUICE_OBS_METRICS_INTERNAL_H
#define SLUICE_OBS_METRICS_INTERNAL_H

#include <pthread.h>
#include <uthash.h>

#include "common/base/list.h"
#include "common/obs/metrics.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM, METRIC_COUNTER_FN, METRIC_GAUGE_FN };

/* What a family is; all its registrations agree. */
struct metric_spec {
    const char *name, *help;
    enum metric_type type;
    enum metric_unit unit;
};

struct metric_asked {
    metric_fn *fn; /* NULL: not yet set, counts as 0 */
    void *ctx;
};

struct metric_cell {
    struct list link; /* of the series */
    struct metric_series *series;
    union {
        struct counter counter;
        struct gauge gauge;
        struct histogram histogram;
        struct metric_asked asked;
    } value __attribute__((aligned(8)));
};

struct metric_series {
    char *labels; /* key="value",... without braces; "" for none */
    struct metric_family *family;
    struct list cells;
    UT_hash_handle hh;
};

struct metric_family {
    char *name, *help;
    enum metric_type type;
    enum metric_unit unit;
    struct metric_series *series;
    UT_hash_handle hh;
};

struct metrics {
    pthread_mutex_t lock;
    struct metric_family *families; /* in order of registration */
    size_t series_count;
};

extern const uint64_t metric_bounds[HISTOGRAM_BOUNDS];

#endif
