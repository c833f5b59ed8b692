/* SPDX-License-Identifier: Apache-2.0 */
/* The allocator of ordinary builds: per slot a range of addresses that only grows, and free lists by size
 * class. It replaces the C library's (which supports that), so allocations inside shared libraries are booked
 * too. */
#include "tests/sim/world/sim_heap.h"

#ifndef SIM_HEAP_HOOKS

#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA_BASE    0x1000000000u /* 64 GiB: free on every 64-bit Linux, also with 39 bits of address */
#define ARENA_SHIFT   32u           /* 4 GiB of addresses each */
#define ARENA_BYTES   (1ull << ARENA_SHIFT)
#define GRAIN         16u
#define SMALL_MAX     1024u
#define SMALL_CLASSES (SMALL_MAX / GRAIN + 1)
#define CLASS_COUNT   (SMALL_CLASSES + 4 * 24)
#define BLOCK_LIVE    0x51ce
#define BLOCK_FREE    0xf4ee
#define BLOCK_SHIFTED 0x5417 /* the real header lies `size` bytes before this one */
#define PURGE_BYTES   (64u << 20)

struct block {
    uint16_t mark;
    uint16_t slot;
    uint32_t class_index;
    uint64_t size; /* asked for */
};

struct arena {
    uint8_t *base, *top, *end; /* [base, top) was handed out at some time */
    struct block *free[CLASS_COUNT];
    size_t bytes, blocks, peak;
};

_Static_assert(sizeof(struct block) == GRAIN, "a header keeps the alignment");

static struct arena arenas[SIM_HEAP_SLOTS];
static int present;

int sim_heap_enter(int slot)
{
    int before = present;
    present = slot;
    return before;
}

size_t sim_heap_bytes(int slot)
{
    return arenas[slot].bytes;
}

size_t sim_heap_blocks(int slot)
{
    return arenas[slot].blocks;
}

size_t sim_heap_peak(int slot)
{
    return arenas[slot].peak;
}

void sim_heap_drop(int slot)
{
    struct arena *arena = &arenas[slot];
    if (slot == SIM_HEAP_HOST || arena->base == NULL)
        return;
    if ((size_t)(arena->top - arena->base) > PURGE_BYTES)
        madvise(arena->base, (size_t)(arena->top - arena->base), MADV_DONTNEED);
    arena->top = arena->base;
    arena->bytes = arena->blocks = arena->peak = 0;
    memset(arena->free, 0, sizeof(arena->free));
}

/* -- classes: multiples of 16 up to 1 KiB, then four steps for each power of two -- */

static uint32_t class_of(size_t total)
{
    if (total <= SMALL_MAX)
        return (uint32_t)((total + GRAIN - 1) / GRAIN);
    uint32_t log = 63u - (uint32_t)__builtin_clzll(total - 1);
    return SMALL_CLASSES + (log - 10) * 4 + (uint32_t)(((total - 1) >> (log - 2)) & 3);
}

static size_t class_bytes(uint32_t class_index)
{
    if (class_index < SMALL_CLASSES)
        return (size_t)class_index * GRAIN;
    uint32_t at = class_index - SMALL_CLASSES;
    return (size_t)(5 + at % 4) << (8 + at / 4);
}

static bool arena_open(struct arena *arena, int slot)
{
    uint8_t *want = (uint8_t *)(uintptr_t)(ARENA_BASE + ((uint64_t)slot << ARENA_SHIFT));
    void *got = mmap(want, ARENA_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (got != want)
        return false;
    madvise(want, ARENA_BYTES, MADV_HUGEPAGE); /* for speed only */
    arena->base = arena->top = want;
    arena->end = want + ARENA_BYTES;
    return true;
}

static struct block *arena_take(struct arena *arena, uint32_t class_index)
{
    struct block *block = arena->free[class_index];
    if (block != NULL) {
        arena->free[class_index] = *(struct block **)(block + 1);
        return block;
    }
    size_t bytes = class_bytes(class_index);
    if ((size_t)(arena->end - arena->top) < bytes)
        return NULL;
    block = (struct block *)arena->top;
    arena->top += bytes;
    return block;
}

static void *heap_alloc(size_t size)
{
    struct arena *arena = &arenas[present];
    if (size > ARENA_BYTES / 4 || (arena->base == NULL && !arena_open(arena, present))) {
        errno = ENOMEM;
        return NULL;
    }
    /* room for the link of a free list */
    uint32_t class_index = class_of(sizeof(struct block) + (size < GRAIN ? GRAIN : size));
    struct block *block = arena_take(arena, class_index);
    if (block == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    *block = (struct block){
        .mark = BLOCK_LIVE, .slot = (uint16_t)present, .class_index = class_index, .size = size};
    arena->bytes += size;
    arena->blocks++;
    if (arena->bytes > arena->peak)
        arena->peak = arena->bytes;
    return block + 1;
}

static bool is_ours(const void *p)
{
    uint64_t at = (uint64_t)(uintptr_t)p;
    return at >= ARENA_BASE && at < ARENA_BASE + ((uint64_t)SIM_HEAP_SLOTS << ARENA_SHIFT);
}

static struct block *block_of(void *p)
{
    struct block *block = (struct block *)p - 1;
    if (block->mark == BLOCK_SHIFTED)
        block = (struct block *)((uint8_t *)block - block->size);
    if (block->mark != BLOCK_LIVE)
        abort(); /* freed twice, or overwritten from below */
    return block;
}

static size_t block_room(const struct block *block)
{
    return class_bytes(block->class_index) - sizeof(*block);
}

void sim_heap_each(int slot, void (*each)(void *ctx, const void *p, size_t size), void *ctx)
{
    const struct arena *arena = &arenas[slot];
    for (uint8_t *at = arena->base; at < arena->top;) {
        const struct block *block = (const struct block *)at;
        if (block->mark == BLOCK_LIVE)
            each(ctx, block + 1, block->size);
        at += class_bytes(block->class_index);
    }
}

/* -- the C library's names -- */

void *malloc(size_t size)
{
    return heap_alloc(size);
}

void free(void *p)
{
    if (p == NULL || !is_ours(p))
        return; /* the dynamic loader's early blocks are not ours */
    struct block *block = block_of(p);
    struct arena *arena = &arenas[block->slot];
    arena->bytes -= block->size;
    arena->blocks--;
    block->mark = BLOCK_FREE;
    *(struct block **)(block + 1) = arena->free[block->class_index];
    arena->free[block->class_index] = block;
}

void *calloc(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    void *p = heap_alloc(bytes);
    if (p != NULL)
        memset(p, 0, bytes);
    return p;
}

void *realloc(void *p, size_t size)
{
    if (p == NULL)
        return heap_alloc(size);
    if (size == 0) {
        free(p);
        return NULL;
    }
    struct block *block = block_of(p);
    if (size <= block_room(block) && (uint8_t *)p == (uint8_t *)(block + 1)) {
        arenas[block->slot].bytes += size - block->size;
        block->size = size;
        return p;
    }
    void *fresh = heap_alloc(size);
    if (fresh == NULL)
        return NULL;
    memcpy(fresh, p, block->size < size ? block->size : size);
    free(p);
    return fresh;
}

void *aligned_alloc(size_t alignment, size_t size)
{
    if (alignment <= GRAIN)
        return heap_alloc(size);
    uint8_t *p = heap_alloc(size + alignment);
    if (p == NULL)
        return NULL;
    uint8_t *at = (uint8_t *)(((uintptr_t)p + alignment - 1) & ~(uintptr_t)(alignment - 1));
    if (at != p) {
        struct block *mark = (struct block *)at - 1;
        *mark = (struct block){.mark = BLOCK_SHIFTED, .size = (uint64_t)(at - p)};
    }
    return at;
}

void *memalign(size_t alignment, size_t size)
{
    return aligned_alloc(alignment, size);
}

int posix_memalign(void **ret_p, size_t alignment, size_t size)
{
    void *p = aligned_alloc(alignment, size);
    if (p == NULL)
        return ENOMEM;
    *ret_p = p;
    return 0;
}

size_t malloc_usable_size(void *p)
{
    if (p == NULL || !is_ours(p))
        return 0;
    struct block *block = block_of(p);
    return block_room(block) - (size_t)((uint8_t *)p - (uint8_t *)(block + 1));
}

#endif
