/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/arena.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"

#define ARENA_ALIGN     16
#define ARENA_BLOCK_MIN 4096

/* A malloc'd block; its bytes follow the header. */
struct arena_block {
    struct arena_block *older;
    uint8_t data[] __attribute__((aligned(ARENA_ALIGN)));
};

static uint8_t *align_up(uint8_t *p)
{
    return (uint8_t *)(((uintptr_t)p + ARENA_ALIGN - 1) & ~(uintptr_t)(ARENA_ALIGN - 1));
}

static void start_at_first(struct arena *arena)
{
    arena->next = arena->first;
    arena->end = arena->first ? arena->first + arena->first_size : NULL;
    arena->used_bytes = arena->first_size;
}

void arena_init(struct arena *arena, void *first, size_t first_size, size_t cap_bytes)
{
    ASSERT(first != NULL || first_size == 0);
    *arena = (struct arena){.cap_bytes = cap_bytes, .first = first, .first_size = MIN(first_size, cap_bytes)};
    start_at_first(arena);
}

/* The next block holds at least size bytes; blocks double with what is used, so their number stays
 * logarithmic. */
static size_t block_size_for(const struct arena *arena, size_t size)
{
    size_t left = arena->cap_bytes - arena->used_bytes;
    size_t wish = MAX(MAX(arena->used_bytes, (size_t)ARENA_BLOCK_MIN), size);
    return MIN(wish, left);
}

static bool add_block(struct arena *arena, size_t size)
{
    ASSERT(arena->used_bytes <= arena->cap_bytes);
    size_t block_size = block_size_for(arena, size);
    if (block_size < size)
        return false;
    struct arena_block *block = malloc(sizeof(*block) + block_size);
    if (!block)
        return false;
    block->older = arena->blocks;
    arena->blocks = block;
    arena->next = block->data;
    arena->end = block->data + block_size;
    arena->used_bytes += block_size;
    return true;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    if (size == 0)
        size = 1;
    uint8_t *p = align_up(arena->next);
    if (arena->next == NULL || p > arena->end || (size_t)(arena->end - p) < size) {
        if (!add_block(arena, size))
            return NULL;
        p = arena->next;
    }
    arena->next = p + size;
    return p;
}

void *arena_calloc(struct arena *arena, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    void *p = arena_alloc(arena, total);
    if (p)
        memset(p, 0, total);
    return p;
}

void *arena_copy(struct arena *arena, const void *from, size_t size)
{
    void *p = arena_alloc(arena, size);
    if (p && size > 0)
        memcpy(p, from, size);
    return p;
}

void arena_reset(struct arena *arena)
{
    while (arena->blocks) {
        struct arena_block *older = arena->blocks->older;
        free(arena->blocks);
        arena->blocks = older;
    }
    start_at_first(arena);
}

void arena_free(struct arena *arena)
{
    arena_reset(arena);
    *arena = (struct arena){0};
}
