/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive binary min-heap on a 64-bit key (deadlines), ties in order of insertion, so that simulated runs
 * are repeatable. */
#ifndef SLUICE_BASE_HEAP_H
#define SLUICE_BASE_HEAP_H

#include <stdbool.h>
#include <stdint.h>

struct heap_node {
    uint64_t key;
    uint64_t seq;  /* order of insertion; set by the heap */
    uint32_t slot; /* 1-based place in the heap, 0: not in a heap */
};

struct heap {
    struct heap_node **slots; /* slots[1..count] */
    uint32_t count, cap;
    uint64_t next_seq;
};

/* An empty heap takes no memory. */
void heap_init(struct heap *heap);
void heap_free(struct heap *heap); /* nodes are the callers' */

/* Returns false only when memory is out. The node must not be in a heap. */
bool heap_insert(struct heap *heap, struct heap_node *node, uint64_t key);
void heap_remove(struct heap *heap, struct heap_node *node); /* no-op when not in a heap */
struct heap_node *heap_min(const struct heap *heap);         /* NULL when empty */

#endif
