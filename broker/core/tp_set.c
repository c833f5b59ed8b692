/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/tp_set.h"
#include "common/base/sort.h"

#include <string.h>

int tp_cmp(struct tp a, struct tp b)
{
    int order = memcmp(a.topic.b, b.topic.b, sizeof(a.topic.b));

    return order != 0 ? order : (a.partition > b.partition) - (a.partition < b.partition);
}

static int by_tp(const void *a, const void *b)
{
    return tp_cmp(*(const struct tp *)a, *(const struct tp *)b);
}

void tp_set_form(struct tp_set *set)
{
    int32_t kept = 0;

    if (set->count > 1)
        sort_items(set->v, (size_t)set->count, sizeof(*set->v), by_tp);
    for (int32_t i = 0; i < set->count; i++)
        if (kept == 0 || tp_cmp(set->v[kept - 1], set->v[i]) != 0)
            set->v[kept++] = set->v[i];
    set->count = kept;
}

bool tp_set_has(const struct tp_set *set, struct tp tp)
{
    int32_t low = 0, high = set->count;

    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        int order = tp_cmp(set->v[middle], tp);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

bool tp_set_eq(const struct tp_set *a, const struct tp_set *b)
{
    return a->count == b->count && tp_set_within(a, b);
}

bool tp_set_within(const struct tp_set *a, const struct tp_set *b)
{
    for (int32_t i = 0; i < a->count; i++)
        if (!tp_set_has(b, a->v[i]))
            return false;
    return true;
}

bool tp_set_meet(const struct tp_set *a, const struct tp_set *b)
{
    for (int32_t i = 0; i < a->count; i++)
        if (tp_set_has(b, a->v[i]))
            return true;
    return false;
}

/* Those of a that are in b, or that are not. */
static bool filter(struct arena *arena, const struct tp_set *a, const struct tp_set *b, bool in,
                   struct tp_set *ret)
{
    struct tp_set out = {.v = arena_calloc(arena, (size_t)a->count, sizeof(*out.v))};

    if (!out.v)
        return false;
    for (int32_t i = 0; i < a->count; i++)
        if (tp_set_has(b, a->v[i]) == in)
            out.v[out.count++] = a->v[i];
    *ret = out;
    return true;
}

bool tp_set_both(struct arena *arena, const struct tp_set *a, const struct tp_set *b, struct tp_set *ret)
{
    return filter(arena, a, b, true, ret);
}

bool tp_set_minus(struct arena *arena, const struct tp_set *a, const struct tp_set *b, struct tp_set *ret)
{
    return filter(arena, a, b, false, ret);
}

bool tp_set_either(struct arena *arena, const struct tp_set *a, const struct tp_set *b, struct tp_set *ret)
{
    struct tp_set out = {.v = arena_calloc(arena, (size_t)a->count + (size_t)b->count, sizeof(*out.v))};

    if (!out.v)
        return false;
    out.count = a->count + b->count;
    for (int32_t i = 0; i < out.count; i++)
        out.v[i] = i < a->count ? a->v[i] : b->v[i - a->count];
    tp_set_form(&out);
    *ret = out;
    return true;
}

int32_t tp_set_run(const struct tp_set *set, int32_t from)
{
    int32_t end = from + 1;

    while (end < set->count && uuid_eq(set->v[end].topic, set->v[from].topic))
        end++;
    return end;
}

int32_t tp_set_topics(const struct tp_set *set)
{
    int32_t topics = 0;

    for (int32_t i = 0; i < set->count; i = tp_set_run(set, i))
        topics++;
    return topics;
}
