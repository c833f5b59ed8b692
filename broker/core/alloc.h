/* SPDX-License-Identifier: Apache-2.0 */
/* The accounted allocator that a core is given (DESIGN, Pure cores): a core itself never calls malloc. */
#ifndef SLUICE_BROKER_CORE_ALLOC_H
#define SLUICE_BROKER_CORE_ALLOC_H

#include <stddef.h>

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

#endif
