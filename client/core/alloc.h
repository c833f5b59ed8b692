/* SPDX-License-Identifier: Apache-2.0 */
/* The accounted allocator that the client's core is given (DESIGN, Pure cores). */
#ifndef SLUICE_CLIENT_CORE_ALLOC_H
#define SLUICE_CLIENT_CORE_ALLOC_H

#include <stddef.h>
#include <string.h>

struct client_alloc {
    void *ctx;
    /* Like realloc: old may be NULL (old_size 0), new_size 0 frees and returns NULL. NULL with new_size > 0:
     * out of memory, old stays valid. */
    void *(*resize)(void *ctx, void *old, size_t old_size, size_t new_size);
};

/* Zeroed memory, NULL when there is none. */
static inline void *client_alloc_take(const struct client_alloc *alloc, size_t size)
{
    void *p = alloc->resize(alloc->ctx, NULL, 0, size);
    if (p)
        memset(p, 0, size);
    return p;
}

/* Gives back memory of exactly that size. p may be NULL. */
static inline void client_alloc_give(const struct client_alloc *alloc, void *p, size_t size)
{
    if (p)
        alloc->resize(alloc->ctx, p, size, 0);
}

#endif
