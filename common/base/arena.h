/* SPDX-License-Identifier: Apache-2.0 */
/* Bump allocation for the life of one request (or one image, one command): freed as a whole, capped at init.
 */
#ifndef SLUICE_BASE_ARENA_H
#define SLUICE_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

struct arena_block;

/* Memory comes from `first` (caller's, may be NULL) and then from malloc'd blocks, up to cap_bytes in total.
 */
struct arena {
    uint8_t *next, *end;        /* free part of the current block */
    struct arena_block *blocks; /* newest first; freed by arena_free() */
    size_t cap_bytes, used_bytes;
    uint8_t *first;
    size_t first_size;
};

/* first/first_size: a buffer that the caller owns and that outlives the arena (a per-connection scratch makes
 * the hot path free of allocation). cap_bytes bounds first + all blocks. */
void arena_init(struct arena *arena, void *first, size_t first_size, size_t cap_bytes);

/* 16-byte aligned, not zeroed. NULL when the cap would be passed or malloc fails; size 0 gives a valid unique
 * pointer. */
void *arena_alloc(struct arena *arena, size_t size);

/* The same, zeroed, for count elements; checks the product for overflow. */
void *arena_calloc(struct arena *arena, size_t count, size_t size);

/* Copy of size bytes; NULL when there is no room. */
void *arena_copy(struct arena *arena, const void *from, size_t size);

/* Forgets every allocation, frees malloc'd blocks but keeps `first`. The arena is ready for reuse. */
void arena_reset(struct arena *arena);

/* Like arena_reset; the arena must not be used again before arena_init. */
void arena_free(struct arena *arena);

#endif
