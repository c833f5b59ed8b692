/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of mem_env: the content of files. */
#ifndef SLUICE_TESTS_MEM_NODE_H
#define SLUICE_TESTS_MEM_NODE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"

struct image {
    uint8_t *data;
    uint64_t size, cap; /* cap: allocated */
};

/* One file's content: as the process sees it and as it is on the platter. Lives while a name or a handle
 * refers to it. */
struct node {
    uint32_t refs;
    struct image now, durable;
    uint64_t durable_at; /* when the content that is durable was taken, in syncs of this node */
    uint64_t syncs;
};

static inline void *must(void *p)
{
    ASSERT(p != NULL);
    return p;
}

static inline struct image image_copy(const struct image *from)
{
    struct image to = {.data = must(malloc(from->size + 1)), .size = from->size, .cap = from->size + 1};
    if (from->size > 0)
        memcpy(to.data, from->data, from->size);
    return to;
}

static inline void image_resize(struct image *image, uint64_t size)
{
    if (size >= image->cap) { /* not at every append */
        image->cap = (size + 1) * 2;
        image->data = must(realloc(image->data, image->cap));
    }
    if (size > image->size)
        memset(image->data + image->size, 0, size - image->size);
    image->size = size;
}

static inline struct node *node_new(void)
{
    struct node *node = must(calloc(1, sizeof(*node)));
    node->refs = 1;
    return node;
}

static inline void node_unref(struct node *node)
{
    if (node == NULL || --node->refs > 0)
        return;
    free(node->now.data);
    free(node->durable.data);
    free(node);
}

#endif
