/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/cluster/shared.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"

struct sorted_rep {
    atomic_uint refs;
    uint32_t count;
    struct shared *items[];
};

static struct sorted_rep *rep_new(uint32_t count)
{
    struct sorted_rep *rep = malloc(sizeof(*rep) + count * sizeof(struct shared *));
    if (!rep)
        return NULL;
    atomic_init(&rep->refs, 1);
    rep->count = count;
    return rep;
}

struct sorted sorted_share(const struct sorted *sorted)
{
    if (sorted->rep)
        atomic_fetch_add_explicit(&sorted->rep->refs, 1, memory_order_relaxed);
    return *sorted;
}

void sorted_drop(struct sorted *sorted, const struct shared_type *type)
{
    struct sorted_rep *rep = sorted->rep;
    sorted->rep = NULL;
    if (!rep || atomic_fetch_sub_explicit(&rep->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < rep->count; i++)
        shared_unref(rep->items[i], type);
    free(rep);
}

uint32_t sorted_count(const struct sorted *sorted)
{
    return sorted->rep ? sorted->rep->count : 0;
}

struct shared *sorted_at(const struct sorted *sorted, uint32_t i)
{
    ASSERT(i < sorted_count(sorted));
    return sorted->rep->items[i];
}

/* First place whose object is not before lookup; *ret_found when it is equal. */
static uint32_t lower_bound(const struct sorted *sorted, const struct shared_type *type, const void *lookup,
                            bool *ret_found)
{
    uint32_t low = 0, high = sorted_count(sorted);
    *ret_found = false;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        int order = type->compare(sorted->rep->items[mid], lookup);
        if (order == 0) {
            *ret_found = true;
            return mid;
        }
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct shared *sorted_get(const struct sorted *sorted, const struct shared_type *type, const void *lookup)
{
    bool found;
    uint32_t at = lower_bound(sorted, type, lookup, &found);
    return found ? sorted->rep->items[at] : NULL;
}

/* A new array: the old one with `drop` objects left out at `at` and `item` (may be NULL) put there. */
static enum err replace(struct sorted *sorted, const struct shared_type *type, uint32_t at, uint32_t drop,
                        struct shared *item)
{
    uint32_t count = sorted_count(sorted), add = item ? 1 : 0;
    struct sorted_rep *rep = rep_new(count - drop + add);
    if (!rep)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < at; i++)
        rep->items[i] = shared_ref(sorted->rep->items[i]);
    if (item)
        rep->items[at] = item;
    for (uint32_t i = at + drop; i < count; i++)
        rep->items[i - drop + add] = shared_ref(sorted->rep->items[i]);
    sorted_drop(sorted, type);
    sorted->rep = rep;
    return OK;
}

enum err sorted_put(struct sorted *sorted, const struct shared_type *type, struct shared *item)
{
    bool found;
    uint32_t at = lower_bound(sorted, type, type->lookup(item), &found);
    return replace(sorted, type, at, found ? 1 : 0, item);
}

enum err sorted_remove(struct sorted *sorted, const struct shared_type *type, const void *lookup)
{
    bool found;
    uint32_t at = lower_bound(sorted, type, lookup, &found);
    return found ? replace(sorted, type, at, 1, NULL) : ERR_NOT_FOUND;
}
