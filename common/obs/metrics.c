/* SPDX-License-Identifier: Apache-2.0 */
#include "common/obs/metrics.h"

#include <ctype.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/list.h"
#include "common/obs/metrics_internal.h"
#include "common/obs/text.h"

#define LABELS_TEXT_MAX 4096
#define LABEL_VALUE_MAX 512 /* bytes after escaping */
#define CELL_ALIGN      64  /* a cache line: cells of different threads must not share one */

struct metrics *metrics_new(void)
{
    struct metrics *metrics = calloc(1, sizeof(*metrics));
    if (metrics)
        pthread_mutex_init(&metrics->lock, NULL);
    return metrics;
}

static void free_series(struct metric_family *family, struct metric_series *series)
{
    HASH_DEL(family->series, series);
    free(series->labels);
    free(series);
}

static void free_family(struct metrics *metrics, struct metric_family *family)
{
    HASH_DEL(metrics->families, family);
    free(family->name);
    free(family->help);
    free(family);
}

void metrics_free(struct metrics *metrics)
{
    struct metric_family *family, *family_tmp;
    struct metric_series *series, *series_tmp;
    if (!metrics)
        return;
    HASH_ITER(hh, metrics->families, family, family_tmp)
    {
        HASH_ITER(hh, family->series, series, series_tmp)
        {
            list_for_each_safe (it, tmp, &series->cells)
                free(CONTAINER_OF(it, struct metric_cell, link));
            free_series(family, series);
        }
        free_family(metrics, family);
    }
    pthread_mutex_destroy(&metrics->lock);
    free(metrics);
}

static bool word_is_sound(const char *word, bool colons)
{
    if (!isalpha((unsigned char)word[0]) && word[0] != '_')
        return false;
    for (; *word; word++)
        if (!isalnum((unsigned char)*word) && *word != '_' && !(colons && *word == ':'))
            return false;
    return true;
}

/* key="value",... with the format's escapes. Of ours, only \" \\ and \n are its own: other controls become
 * the mark of invalid text. */
static void add_label(struct text *out, const struct metric_label *label)
{
    const uint8_t *p = (const uint8_t *)label->value, *end = p + strlen(label->value);
    size_t limit = out->len + LABEL_VALUE_MAX;
    ASSERT(word_is_sound(label->key, false));
    text_add_z(out, out->len > 0 ? "," : "");
    text_add_z(out, label->key);
    text_add_z(out, "=\"");
    while (p < end && out->len < limit) {
        unsigned len = utf8_next(p, (size_t)(end - p), NULL);
        if (*p == '\n')
            text_add_z(out, "\\n");
        else if (*p == '"' || *p == '\\')
            text_add(out, (const char[]){'\\', (char)*p}, 2);
        else if (len == 0 || *p < 0x20)
            text_add_z(out, "\xef\xbf\xbd");
        else
            text_add(out, p, len);
        p += len > 0 ? len : 1;
    }
    text_add_z(out, "\"");
}

static struct metric_family *find_family(struct metrics *metrics, const struct metric_spec *spec)
{
    struct metric_family *family;
    HASH_FIND_STR(metrics->families, spec->name, family);
    if (family) {
        ASSERT(family->type == spec->type && family->unit == spec->unit);
        return family;
    }
    ASSERT(word_is_sound(spec->name, true));
    family = calloc(1, sizeof(*family));
    if (!family)
        return NULL;
    *family = (struct metric_family){.type = spec->type, .unit = spec->unit};
    family->name = strdup(spec->name);
    family->help = strdup(spec->help);
    if (!family->name || !family->help) {
        free(family->name);
        free(family->help);
        free(family);
        return NULL;
    }
    HASH_ADD_KEYPTR(hh, metrics->families, family->name, strlen(family->name), family);
    return family;
}

static struct metric_series *add_series(struct metrics *metrics, struct metric_family *family,
                                        const char *labels)
{
    struct metric_series *series = NULL;
    if (metrics->series_count < METRICS_SERIES_MAX)
        series = calloc(1, sizeof(*series));
    if (!series)
        return NULL;
    series->labels = strdup(labels);
    if (!series->labels) {
        free(series);
        return NULL;
    }
    series->family = family;
    list_init(&series->cells);
    HASH_ADD_KEYPTR(hh, family->series, series->labels, strlen(series->labels), series);
    metrics->series_count++;
    return series;
}

static struct metric_series *find_series(struct metrics *metrics, const struct metric_spec *spec,
                                         const char *labels)
{
    struct metric_family *family = find_family(metrics, spec);
    struct metric_series *series = NULL;
    if (!family)
        return NULL;
    HASH_FIND_STR(family->series, labels, series);
    if (!series)
        series = add_series(metrics, family, labels);
    if (!series && !family->series)
        free_family(metrics, family);
    return series;
}

static void remove_cell(struct metrics *metrics, struct metric_cell *cell)
{
    struct metric_series *series = cell->series;
    struct metric_family *family = series->family;
    list_remove(&cell->link);
    free(cell);
    if (!list_empty(&series->cells))
        return;
    free_series(family, series);
    metrics->series_count--;
    if (!family->series)
        free_family(metrics, family);
}

static struct metric_cell *metrics_register(struct metrics *metrics, const struct metric_spec *spec,
                                            const struct metric_label *labels, size_t label_count)
{
    char buf[LABELS_TEXT_MAX];
    struct text text = {.p = buf, .size = sizeof(buf)};
    ASSERT(label_count <= METRICS_LABELS_MAX);
    for (size_t i = 0; i < label_count; i++)
        add_label(&text, &labels[i]);
    ASSERT(!text.cut); /* 8 labels of 512 bytes at most: the keys are too long */
    buf[text.len] = '\0';
    struct metric_cell *cell =
        aligned_alloc(CELL_ALIGN, (sizeof(*cell) + CELL_ALIGN - 1) / CELL_ALIGN * CELL_ALIGN);
    if (!cell)
        return NULL;
    memset(cell, 0, sizeof(*cell));
    pthread_mutex_lock(&metrics->lock);
    cell->series = find_series(metrics, spec, buf);
    if (cell->series)
        list_push_back(&cell->series->cells, &cell->link);
    pthread_mutex_unlock(&metrics->lock);
    if (!cell->series) {
        free(cell);
        return NULL;
    }
    return cell;
}

void metrics_remove(struct metrics *metrics, void *cell)
{
    if (!cell)
        return;
    pthread_mutex_lock(&metrics->lock);
    remove_cell(metrics, CONTAINER_OF(cell, struct metric_cell, value));
    pthread_mutex_unlock(&metrics->lock);
}

struct counter *metrics_counter(struct metrics *metrics, const char *name, const char *help,
                                const struct metric_label *labels, size_t label_count)
{
    const struct metric_spec spec = {name, help, METRIC_COUNTER, METRIC_UNIT_ONE};
    struct metric_cell *cell = metrics_register(metrics, &spec, labels, label_count);
    return cell ? &cell->value.counter : NULL;
}

struct gauge *metrics_gauge(struct metrics *metrics, const char *name, const char *help,
                            const struct metric_label *labels, size_t label_count)
{
    const struct metric_spec spec = {name, help, METRIC_GAUGE, METRIC_UNIT_ONE};
    struct metric_cell *cell = metrics_register(metrics, &spec, labels, label_count);
    return cell ? &cell->value.gauge : NULL;
}

struct histogram *metrics_histogram(struct metrics *metrics, const char *name, const char *help,
                                    enum metric_unit unit, const struct metric_label *labels,
                                    size_t label_count)
{
    const struct metric_spec spec = {name, help, METRIC_HISTOGRAM, unit};
    struct metric_cell *cell = metrics_register(metrics, &spec, labels, label_count);
    return cell ? &cell->value.histogram : NULL;
}

static void *register_fn(struct metrics *metrics, const struct metric_spec *spec,
                         const struct metric_label *labels, size_t label_count,
                         const struct metric_asked *asked)
{
    struct metric_cell *cell = metrics_register(metrics, spec, labels, label_count);
    if (!cell)
        return NULL;
    pthread_mutex_lock(&metrics->lock);
    cell->value.asked = *asked;
    pthread_mutex_unlock(&metrics->lock);
    return &cell->value;
}

void *metrics_gauge_fn(struct metrics *metrics, const char *name, const char *help,
                       const struct metric_label *labels, size_t label_count, metric_fn *fn, void *ctx)
{
    const struct metric_spec spec = {name, help, METRIC_GAUGE_FN, METRIC_UNIT_ONE};
    return register_fn(metrics, &spec, labels, label_count, &(struct metric_asked){fn, ctx});
}

void *metrics_counter_fn(struct metrics *metrics, const char *name, const char *help,
                         const struct metric_label *labels, size_t label_count, metric_fn *fn, void *ctx)
{
    const struct metric_spec spec = {name, help, METRIC_COUNTER_FN, METRIC_UNIT_ONE};
    return register_fn(metrics, &spec, labels, label_count, &(struct metric_asked){fn, ctx});
}

const uint64_t metric_bounds[HISTOGRAM_BOUNDS] = {
    1,         2,         5,         10,         20,         50,         100,      200,
    500,       1000,      2000,      5000,       10000,      20000,      50000,    100000,
    200000,    500000,    1000000,   2000000,    5000000,    10000000,   20000000, 50000000,
    100000000, 200000000, 500000000, 1000000000, 2000000000, 5000000000,
};

void histogram_observe(struct histogram *histogram, uint64_t value)
{
    unsigned low = 0, high = HISTOGRAM_BOUNDS;
    if (!histogram)
        return;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (value <= metric_bounds[middle])
            high = middle;
        else
            low = middle + 1;
    }
    _Atomic uint64_t *count = &histogram->counts[low];
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1, memory_order_relaxed);
    atomic_store_explicit(&histogram->sum,
                          atomic_load_explicit(&histogram->sum, memory_order_relaxed) + value,
                          memory_order_relaxed);
}
