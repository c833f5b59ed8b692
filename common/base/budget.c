/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/budget.h"

#include "common/base/assert.h"

static const char *const owner_names[BUDGET_OWNER_COUNT] = {
#define X(name, text) [BUDGET_##name] = text,
    BUDGET_OWNERS(X)
#undef X
};

void budget_init(struct budget *budget, uint64_t limit_bytes)
{
    budget->limit_bytes = limit_bytes;
    atomic_init(&budget->used_bytes, 0);
    atomic_init(&budget->refusals, 0);
    for (int i = 0; i < BUDGET_OWNER_COUNT; i++)
        atomic_init(&budget->by_owner[i], 0);
}

bool budget_take(struct budget *budget, enum budget_owner owner, size_t size)
{
    ASSERT(owner < BUDGET_OWNER_COUNT);
    uint64_t used = atomic_load_explicit(&budget->used_bytes, memory_order_relaxed);
    do {
        if (size > budget->limit_bytes || used > budget->limit_bytes - size) {
            atomic_fetch_add_explicit(&budget->refusals, 1, memory_order_relaxed);
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&budget->used_bytes, &used, used + size,
                                                    memory_order_relaxed, memory_order_relaxed));
    atomic_fetch_add_explicit(&budget->by_owner[owner], size, memory_order_relaxed);
    return true;
}

void budget_give(struct budget *budget, enum budget_owner owner, size_t size)
{
    ASSERT(owner < BUDGET_OWNER_COUNT);
    uint64_t of_owner = atomic_fetch_sub_explicit(&budget->by_owner[owner], size, memory_order_relaxed);
    uint64_t used = atomic_fetch_sub_explicit(&budget->used_bytes, size, memory_order_relaxed);
    ASSERT(of_owner >= size);
    ASSERT(used >= size);
}

const char *budget_owner_name(enum budget_owner owner)
{
    ASSERT(owner < BUDGET_OWNER_COUNT);
    return owner_names[owner];
}
