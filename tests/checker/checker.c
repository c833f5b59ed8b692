/* SPDX-License-Identifier: Apache-2.0 */
/* Life of a checker: histories in, events in order of time, tables, checks. */
#include "tests/checker/checker.h"

#include <stdlib.h>
#include <string.h>

#include "tests/checker/checker_int.h"
#include "tests/checker/history_text.h"

#define EVENTS_MIN 1024

struct checker *checker_new(const struct checker_options *options)
{
    struct checker *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->options = *options;
    c->found = calloc(CHECKER_KIND_COUNT, sizeof(*c->found));
    if (!c->found) {
        free(c);
        return NULL;
    }
    arena_init(&c->arena, NULL, 0, SIZE_MAX / 2);
    c->key_tail = &c->key_list;
    c->value_tail = &c->value_list;
    c->txn_tail = &c->txn_list;
    return c;
}

void checker_free(struct checker *c)
{
    if (!c)
        return;
    for (struct key *key = c->key_list; key; key = key->next)
        map_free(&key->slots);
    map_free(&c->calls);
    map_free(&c->keys);
    map_free(&c->values);
    map_free(&c->txns);
    map_free(&c->cursors);
    for (uint32_t i = 0; i < c->source_count; i++)
        free(c->sources[i]);
    free(c->sources);
    free(c->events);
    free(c->found);
    arena_free(&c->arena);
    free(c);
}

/* Room for one more element of an array; doubles it when full. */
static bool room(void **array, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return true;
    size_t more = *cap ? *cap * 2 : EVENTS_MIN;
    void *grown = reallocarray(*array, more, size);
    if (!grown)
        return false;
    *array = grown;
    *cap = more;
    return true;
}

static enum err add_source(struct checker *c, const char *name)
{
    char **grown = reallocarray(c->sources, c->source_count + 1, sizeof(*grown));
    if (!grown)
        return ERR_NOMEM;
    c->sources = grown;
    c->sources[c->source_count] = strdup(name);
    if (!c->sources[c->source_count])
        return ERR_NOMEM;
    c->source_count++;
    return OK;
}

/* Appends an event of the newest source. Time never goes back within one. */
static enum err add_event(struct checker *c, const struct history_record *rec, uint32_t position)
{
    uint32_t source = c->source_count - 1;
    const struct checker_event *last = c->event_count ? &c->events[c->event_count - 1] : NULL;
    if (last && last->source == source && last->rec.time_us > rec->time_us)
        return ERR_MALFORMED;
    if (!room((void **)&c->events, c->event_count, &c->event_cap, sizeof(*c->events)))
        return ERR_NOMEM;
    c->events[c->event_count++] = (struct checker_event){.rec = *rec, .source = source, .position = position};
    return OK;
}

static enum err add_binary(struct checker *c, const uint8_t *bytes, size_t len, uint32_t *position)
{
    struct history_header header;
    struct history_record rec;
    enum err err = history_open(bytes, len, &header);
    for (size_t i = 0; err == OK && i < history_count(len); i++) {
        *position = (uint32_t)i;
        err = history_get(bytes, i, &rec);
        if (err == OK)
            err = add_event(c, &rec, (uint32_t)i);
    }
    return err;
}

static enum err add_text(struct checker *c, const char *text, size_t len, uint32_t *position)
{
    const char *end = text + len;
    for (*position = 1; text < end; (*position)++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *line_end = newline ? newline : end;
        struct history_record rec;
        int got = history_parse(text, (size_t)(line_end - text), &rec);
        if (got == 1)
            got = add_event(c, &rec, *position);
        if (got < 0)
            return (enum err)got;
        text = line_end + 1;
    }
    return OK;
}

enum err checker_add(struct checker *c, const char *name, const void *bytes, size_t len,
                     uint32_t *ret_position)
{
    uint32_t position = 0;
    enum err err = add_source(c, name);
    size_t magic = sizeof(HISTORY_MAGIC) - 1;
    if (err == OK && len >= magic && memcmp(bytes, HISTORY_MAGIC, magic) == 0)
        err = add_binary(c, bytes, len, &position);
    else if (err == OK)
        err = add_text(c, bytes, len, &position);
    if (err != OK && ret_position)
        *ret_position = position;
    return err;
}

static int compare_u64(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* By time, then as the files say. */
static int compare_events(const void *a, const void *b)
{
    const struct checker_event *x = a, *y = b;
    if (x->rec.time_us != y->rec.time_us)
        return x->rec.time_us < y->rec.time_us ? -1 : 1;
    if (x->source != y->source)
        return compare_u64(x->source, y->source);
    return compare_u64(x->position, y->position);
}

/* A single file is, and need not be sorted. */
static bool in_order(const struct checker *c)
{
    for (size_t i = 1; i < c->event_count; i++)
        if (compare_events(&c->events[i - 1], &c->events[i]) > 0)
            return false;
    return true;
}

typedef void (*check_step)(struct checker *c);

static const check_step steps[] = {
    index_calls,    index_slots,     index_orders,  check_presence, check_compacted,   check_sends,
    check_polls,    check_isolation, check_circles, check_samples,  check_groups,      check_registers,
    check_replicas, check_metadata,  check_health,  check_gaps,     check_stable_ends,
};

enum err checker_run(struct checker *c)
{
    ASSERT(c->stats.records == 0);
    c->stats.records = c->event_count;
    c->stats.sources = c->source_count;
    if (!in_order(c))
        qsort(c->events, c->event_count, sizeof(*c->events), compare_events);
    for (size_t i = 0; i < ARRAY_LEN(steps) && !c->no_memory; i++)
        steps[i](c);
    return c->no_memory ? ERR_NOMEM : OK;
}

const struct checker_violation *checker_violation(const struct checker *c, uint32_t i)
{
    for (int kind = 0; kind < CHECKER_KIND_COUNT; kind++) {
        uint32_t kept = (uint32_t)MIN(c->found[kind].count, CHECKER_KEPT_MAX);
        if (i < kept)
            return &c->found[kind].kept[i];
        i -= kept;
    }
    return NULL;
}

uint64_t checker_count(const struct checker *c, enum checker_kind kind)
{
    ASSERT(kind < CHECKER_KIND_COUNT);
    return c->found[kind].count;
}

const struct checker_stats *checker_stats(const struct checker *c)
{
    return &c->stats;
}

const char *checker_source(const struct checker *c, uint32_t source)
{
    ASSERT(source < c->source_count);
    return c->sources[source];
}

void check_report(struct checker *c, const struct checker_violation *violation)
{
    struct found *found = &c->found[violation->kind];
    if (found->count < CHECKER_KEPT_MAX) {
        struct checker_violation *kept = &found->kept[found->count];
        *kept = *violation;
        kept->event_count = 0;
        for (uint32_t i = 0; i < CHECKER_SLICE_MAX; i++)
            if (violation->events[i])
                kept->events[kept->event_count++] = violation->events[i];
    }
    found->count++;
    c->stats.violations++;
}

void check_report_in(struct checker *c, const struct key *key, struct checker_violation violation)
{
    if (key->unclean)
        c->stats.excused++;
    else
        check_report(c, &violation);
}
