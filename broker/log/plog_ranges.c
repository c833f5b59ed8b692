/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/log/plog_ranges.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"

#define RANGES_FIRST 4

STATIC_ASSERT(PLOG_RANGES_MAX % RANGES_FIRST == 0,
              "doubling from the first size reaches the maximum exactly");

static bool make_room(struct plog_ranges *set)
{
    if (set->count < set->cap)
        return true;
    if (set->cap == PLOG_RANGES_MAX)
        return false;
    uint16_t cap = set->cap ? (uint16_t)(set->cap * 2) : RANGES_FIRST;
    struct plog_range *grown = realloc(set->at, cap * sizeof(*grown));
    if (grown == NULL)
        return false;
    set->at = grown;
    set->cap = cap;
    return true;
}

static void drop(struct plog_ranges *set, uint16_t i, uint16_t count)
{
    ASSERT(i + count <= set->count);
    if (count > 0)
        memmove(set->at + i, set->at + i + count, (size_t)(set->count - i - count) * sizeof(*set->at));
    set->count = (uint16_t)(set->count - count);
}

static void insert(struct plog_ranges *set, uint16_t i, struct plog_range range)
{
    ASSERT(i <= set->count && set->count < set->cap);
    memmove(set->at + i + 1, set->at + i, (size_t)(set->count - i) * sizeof(*set->at));
    set->at[i] = range;
    set->count++;
}

/* The first range that ends at or behind `at`. */
static uint16_t find(const struct plog_ranges *set, uint32_t at)
{
    uint16_t low = 0, high = set->count;
    while (low < high) {
        uint16_t mid = (uint16_t)((low + high) / 2);
        if (set->at[mid].to < at)
            low = (uint16_t)(mid + 1);
        else
            high = mid;
    }
    return low;
}

static void forget_smallest(struct plog_ranges *set)
{
    uint16_t least = 0;
    for (uint16_t i = 1; i < set->count; i++)
        if (set->at[i].to - set->at[i].from < set->at[least].to - set->at[least].from)
            least = i;
    if (set->count > 0)
        drop(set, least, 1);
}

void plog_ranges_add(struct plog_ranges *set, uint32_t from, uint32_t to)
{
    if (from >= to)
        return;
    uint16_t i = find(set, from), last = i;
    for (; last < set->count && set->at[last].from <= to; last++) {
        from = MIN(from, set->at[last].from);
        to = MAX(to, set->at[last].to);
    }
    drop(set, i, (uint16_t)(last - i));
    if (!make_room(set)) {
        forget_smallest(set);
        i = find(set, from);
    }
    if (set->count < set->cap)
        insert(set, i, (struct plog_range){from, to});
}

void plog_ranges_remove(struct plog_ranges *set, uint32_t from, uint32_t to)
{
    for (uint16_t i = find(set, from); from < to && i < set->count && set->at[i].from < to;) {
        struct plog_range was = set->at[i];
        drop(set, i, 1);
        if (was.from < from)
            insert(set, i++, (struct plog_range){was.from, MIN(was.to, from)});
        if (was.to <= to)
            continue;
        if (set->count < set->cap || make_room(set))
            insert(set, i++, (struct plog_range){MAX(was.from, to), was.to});
    }
}

uint32_t plog_ranges_end(const struct plog_ranges *set, uint32_t from)
{
    uint16_t i = find(set, from);
    return i < set->count && set->at[i].from <= from ? set->at[i].to : from;
}

void plog_ranges_clear(struct plog_ranges *set)
{
    free(set->at);
    *set = (struct plog_ranges){0};
}
