/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers for operators, in Prometheus' text format. A metric is a family (name, help, type) of series (label
 * values); a series is the sum of its cells. Each thread registers a cell of its own and updates it without
 * locks or contention; whoever scrapes sums the cells.
 *
 * Registration and scraping take a lock and may be called from any thread; they are not for hot paths. Names
 * are the code's own: a bad name, or one name with two types, is a programmer's error and asserts. */
#ifndef SLUICE_OBS_METRICS_H
#define SLUICE_OBS_METRICS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/wire.h"

#define METRICS_SERIES_MAX 100000 /* of one registry; registration beyond gives NULL */
#define METRICS_LABELS_MAX 8

struct metrics;

/* Values may hold any text; both are copied. Keys: [a-zA-Z_][a-zA-Z0-9_]*. Two registrations mean one series
 * when keys and values are equal in the same order. */
struct metric_label {
    const char *key, *value;
};

/* Cells. Fields are private; one thread writes a cell, unless the function's name says shared. */
struct counter {
    _Atomic uint64_t value;
};
struct gauge {
    _Atomic int64_t value;
};

/* Bucket bounds go 1, 2, 5, 10, 20, 50 ... 5e9: what an operator can read, and equal everywhere, so that
 * brokers can be summed. Not common/base/hist: that one is 15 KiB each and cannot be read while it is
 * written. */
#define HISTOGRAM_BOUNDS 30
struct histogram {
    _Atomic uint64_t sum;
    _Atomic uint64_t counts[HISTOGRAM_BOUNDS + 1]; /* not cumulative; the last one is beyond all bounds */
};

enum metric_unit {
    METRIC_UNIT_ONE, /* counts, bytes: exposed as they are */
    METRIC_UNIT_US   /* recorded in microseconds, exposed in seconds; the name ends in _seconds */
};

struct metrics *metrics_new(void); /* NULL: out of memory */
void metrics_free(
    struct metrics *metrics); /* frees all cells; nobody may update them any more. NULL is allowed */

/* Each registers a new cell of the series and gives it to the caller until metrics_remove() or
 * metrics_free(). NULL: out of memory or over the cap; the update functions take NULL for "not counted".
 * help: one line. name: counters end in _total. */
struct counter *metrics_counter(struct metrics *metrics, const char *name, const char *help,
                                const struct metric_label *labels, size_t label_count);
struct gauge *metrics_gauge(struct metrics *metrics, const char *name, const char *help,
                            const struct metric_label *labels, size_t label_count);
struct histogram *metrics_histogram(struct metrics *metrics, const char *name, const char *help,
                                    enum metric_unit unit, const struct metric_label *labels,
                                    size_t label_count);

/* A gauge that is asked when scraped: fn runs on the scraping thread, with the registry locked (it must not
 * register). Returns a handle for metrics_remove(). */
typedef double metric_fn(void *ctx);
void *metrics_gauge_fn(struct metrics *metrics, const char *name, const char *help,
                       const struct metric_label *labels, size_t label_count, metric_fn *fn, void *ctx);
/* The same for a number that only grows. */
void *metrics_counter_fn(struct metrics *metrics, const char *name, const char *help,
                         const struct metric_label *labels, size_t label_count, metric_fn *fn, void *ctx);

/* Takes a cell or handle out; the series goes with its last one. NULL is allowed. */
void metrics_remove(struct metrics *metrics, void *cell);

/* Labels written in place: METRIC_LABELS({"topic", topic}, {"kind", "fetch"}) gives the last two arguments.
 */
#define METRIC_LABELS(...)                                                                                   \
    ((const struct metric_label[]){__VA_ARGS__}),                                                            \
        (sizeof((const struct metric_label[]){__VA_ARGS__}) / sizeof(struct metric_label))
#define METRIC_NO_LABELS NULL, 0

/* Single-writer: a plain add, no locked instruction. */
static inline void counter_add(struct counter *counter, uint64_t n)
{
    if (counter)
        atomic_store_explicit(&counter->value,
                              atomic_load_explicit(&counter->value, memory_order_relaxed) + n,
                              memory_order_relaxed);
}

static inline void counter_add_shared(struct counter *counter, uint64_t n)
{
    if (counter)
        atomic_fetch_add_explicit(&counter->value, n, memory_order_relaxed);
}

static inline void gauge_set(struct gauge *gauge, int64_t value)
{
    if (gauge)
        atomic_store_explicit(&gauge->value, value, memory_order_relaxed);
}

static inline void gauge_add_shared(struct gauge *gauge, int64_t n)
{
    if (gauge)
        atomic_fetch_add_explicit(&gauge->value, n, memory_order_relaxed);
}

/* Single-writer. */
void histogram_observe(struct histogram *histogram, uint64_t value);

/* Appends the whole exposition (version 0.0.4 of the text format). A writer that fails (cap, memory) stays
 * failed. */
void metrics_write(struct metrics *metrics, struct writer *out);

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Registers what is known of every process: build, memory, CPU time, descriptors, start time. */
void metrics_add_process(struct metrics *metrics);

#endif
