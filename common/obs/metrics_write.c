/* SPDX-License-Identifier: Apache-2.0 */
/* The registry as Prometheus reads it. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/obs/metrics_internal.h"

static const char *const type_names[] = {
    [METRIC_COUNTER] = "counter",    [METRIC_GAUGE] = "gauge",    [METRIC_HISTOGRAM] = "histogram",
    [METRIC_COUNTER_FN] = "counter", [METRIC_GAUGE_FN] = "gauge",
};

static void add(struct writer *out, const char *z)
{
    writer_raw(out, z, strlen(z));
}

/* Short pieces only: numbers. */
__attribute__((format(printf, 2, 3))) static void add_number(struct writer *out, const char *format, ...)
{
    char buf[64];
    va_list args;
    va_start(args, format);
    vsnprintf(buf, sizeof(buf), format, args);
    va_end(args);
    add(out, buf);
}

/* name[suffix]{labels[,le="bound"]} and the blank before the value. */
static void add_series_name(struct writer *out, const struct metric_series *series, const char *suffix,
                            const char *le)
{
    add(out, series->family->name);
    add(out, suffix);
    if (series->labels[0] != '\0' || le) {
        add(out, "{");
        add(out, series->labels);
        if (le) {
            add(out, series->labels[0] != '\0' ? ",le=\"" : "le=\"");
            add(out, le);
            add(out, "\"");
        }
        add(out, "}");
    }
    add(out, " ");
}

static void write_counter(struct writer *out, const struct metric_series *series)
{
    uint64_t sum = 0;
    list_for_each (it, &series->cells)
        sum += atomic_load_explicit(&CONTAINER_OF(it, struct metric_cell, link)->value.counter.value,
                                    memory_order_relaxed);
    add_series_name(out, series, "", NULL);
    add_number(out, "%" PRIu64 "\n", sum);
}

static void write_gauge(struct writer *out, const struct metric_series *series)
{
    int64_t sum = 0;
    list_for_each (it, &series->cells)
        sum += atomic_load_explicit(&CONTAINER_OF(it, struct metric_cell, link)->value.gauge.value,
                                    memory_order_relaxed);
    add_series_name(out, series, "", NULL);
    add_number(out, "%" PRId64 "\n", sum);
}

static void write_asked(struct writer *out, const struct metric_series *series)
{
    double sum = 0;
    list_for_each (it, &series->cells) {
        const struct metric_asked *asked = &CONTAINER_OF(it, struct metric_cell, link)->value.asked;
        sum += asked->fn ? asked->fn(asked->ctx) : 0;
    }
    add_series_name(out, series, "", NULL);
    add_number(out, "%.15g\n", sum);
}

static void sum_cells(const struct metric_series *series, uint64_t counts[HISTOGRAM_BOUNDS + 1],
                      uint64_t *ret_sum)
{
    *ret_sum = 0;
    memset(counts, 0, (HISTOGRAM_BOUNDS + 1) * sizeof(counts[0]));
    list_for_each (it, &series->cells) {
        const struct histogram *cell = &CONTAINER_OF(it, struct metric_cell, link)->value.histogram;
        for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
            counts[i] += atomic_load_explicit(&cell->counts[i], memory_order_relaxed);
        *ret_sum += atomic_load_explicit(&cell->sum, memory_order_relaxed);
    }
}

static void write_histogram(struct writer *out, const struct metric_series *series)
{
    uint64_t counts[HISTOGRAM_BOUNDS + 1], sum, total = 0;
    double scale = series->family->unit == METRIC_UNIT_US ? 1e-6 : 1;
    sum_cells(series, counts, &sum);
    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++) {
        char le[32] = "+Inf";
        total += counts[i];
        if (i < HISTOGRAM_BOUNDS)
            snprintf(le, sizeof(le), "%.10g", (double)metric_bounds[i] * scale);
        add_series_name(out, series, "_bucket", le);
        add_number(out, "%" PRIu64 "\n", total);
    }
    add_series_name(out, series, "_sum", NULL);
    add_number(out, "%.15g\n", (double)sum * scale);
    add_series_name(out, series, "_count", NULL);
    add_number(out, "%" PRIu64 "\n", total);
}

static void (*const writers[])(struct writer *out, const struct metric_series *series) = {
    [METRIC_COUNTER] = write_counter,  [METRIC_GAUGE] = write_gauge,    [METRIC_HISTOGRAM] = write_histogram,
    [METRIC_COUNTER_FN] = write_asked, [METRIC_GAUGE_FN] = write_asked,
};

/* Help text: backslash and newline are escaped. */
static void add_help(struct writer *out, const char *help)
{
    for (; *help; help++) {
        if (*help == '\\' || *help == '\n')
            add(out, *help == '\n' ? "\\n" : "\\\\");
        else
            writer_raw(out, help, 1);
    }
}

static void write_family(struct writer *out, const struct metric_family *family)
{
    add(out, "# HELP ");
    add(out, family->name);
    add(out, " ");
    add_help(out, family->help);
    add(out, "\n# TYPE ");
    add(out, family->name);
    add(out, " ");
    add(out, type_names[family->type]);
    add(out, "\n");
    for (const struct metric_series *series = family->series; series; series = series->hh.next)
        writers[family->type](out, series);
}

void metrics_write(struct metrics *metrics, struct writer *out)
{
    pthread_mutex_lock(&metrics->lock);
    for (const struct metric_family *family = metrics->families; family; family = family->hh.next)
        write_family(out, family);
    pthread_mutex_unlock(&metrics->lock);
}
