/* SPDX-License-Identifier: Apache-2.0 */
/* The accounted allocator that a core is given (DESIGN, Pure cores): a core itself never calls malloc. */
#ifndef SLUICE_BASE_ALLOC_H
#define SLUICE_BASE_ALLOC_H

#include <stddef.h>
#include <string.h>

struct core_alloc {
    void *ctx;
    /* Like realloc: old may be NULL (old_size 0), new_size 0 frees and returns NULL. NULL with new_size > 0:
     * out of memory, old stays valid. */
    void *(*resize)(void *ctx, void *old, size_t old_size, size_t new_size);
};

static inline void *core_resize(const struct core_alloc *alloc, void *old, size_t old_size, size_t new_size)
{
    return alloc->resize(alloc->ctx, old, old_size, new_size);
}

/* Zeroed memory, NULL when there is none. */
static inline void *core_take(const struct core_alloc *alloc, size_t size)
{
    void *p = core_resize(alloc, NULL, 0, size);
    if (p)
        memset(p, 0, size);
    return p;
}

/* Gives back memory of exactly that size. p may be NULL. */
static inline void core_give(const struct core_alloc *alloc, void *p, size_t size)
{
    if (p)
        core_resize(alloc, p, size, 0);
}

#endif
