/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/heap.h"

#include <stdlib.h>

#include "common/base/assert.h"

#define HEAP_CAP_MIN 16

void heap_init(struct heap *heap)
{
    *heap = (struct heap){0};
}

void heap_free(struct heap *heap)
{
    free(heap->slots);
    heap_init(heap);
}

static bool before(const struct heap_node *a, const struct heap_node *b)
{
    return a->key != b->key ? a->key < b->key : a->seq < b->seq;
}

static void put(struct heap *heap, uint32_t slot, struct heap_node *node)
{
    heap->slots[slot] = node;
    node->slot = slot;
}

static void sift_up(struct heap *heap, struct heap_node *node, uint32_t slot)
{
    for (; slot > 1 && before(node, heap->slots[slot / 2]); slot /= 2)
        put(heap, slot, heap->slots[slot / 2]);
    put(heap, slot, node);
}

static void sift_down(struct heap *heap, struct heap_node *node, uint32_t slot)
{
    for (;;) {
        uint32_t child = slot * 2;
        if (child > heap->count)
            break;
        if (child < heap->count && before(heap->slots[child + 1], heap->slots[child]))
            child++;
        if (before(node, heap->slots[child]))
            break;
        put(heap, slot, heap->slots[child]);
        slot = child;
    }
    put(heap, slot, node);
}

static bool grow(struct heap *heap)
{
    uint32_t cap = heap->cap ? heap->cap * 2 : HEAP_CAP_MIN;
    struct heap_node **slots =
        realloc(heap->slots, ((size_t)cap + 1) * sizeof(*slots)); /* slot 0 is unused */
    if (!slots)
        return false;
    heap->slots = slots;
    heap->cap = cap;
    return true;
}

bool heap_insert(struct heap *heap, struct heap_node *node, uint64_t key)
{
    ASSERT(node->slot == 0);
    if (heap->count == heap->cap && !grow(heap))
        return false;
    node->key = key;
    node->seq = heap->next_seq++;
    heap->count++;
    sift_up(heap, node, heap->count);
    return true;
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
    uint32_t slot = node->slot;
    if (slot == 0)
        return;
    ASSERT(slot <= heap->count && heap->slots[slot] == node);
    node->slot = 0;
    struct heap_node *last = heap->slots[heap->count--];
    if (last == node)
        return;
    if (slot > 1 && before(last, heap->slots[slot / 2]))
        sift_up(heap, last, slot);
    else
        sift_down(heap, last, slot);
}

struct heap_node *heap_min(const struct heap *heap)
{
    return heap->count ? heap->slots[1] : NULL;
}
