/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/sort.h"

#include <stdint.h>
#include <string.h>

#define PIECE 64 /* swapped at a time */

static void swap(uint8_t *a, uint8_t *b, size_t size)
{
    uint8_t piece[PIECE];

    for (size_t at = 0; at < size; at += PIECE) {
        size_t len = size - at < PIECE ? size - at : PIECE;
        memcpy(piece, a + at, len);
        memcpy(a + at, b + at, len);
        memcpy(b + at, piece, len);
    }
}

/* Lets the item at root sink until none below it is larger. */
static void sink(uint8_t *v, size_t root, size_t count, size_t size,
                 int (*compare)(const void *a, const void *b))
{
    for (size_t child = 2 * root + 1; child < count; child = 2 * root + 1) {
        if (child + 1 < count && compare(v + child * size, v + (child + 1) * size) < 0)
            child++;
        if (compare(v + root * size, v + child * size) >= 0)
            return;
        swap(v + root * size, v + child * size, size);
        root = child;
    }
}

void sort_items(void *v, size_t count, size_t size, int (*compare)(const void *a, const void *b))
{
    for (size_t root = count / 2; root > 0; root--)
        sink(v, root - 1, count, size, compare);
    for (size_t end = count; end > 1; end--) {
        swap(v, (uint8_t *)v + (end - 1) * size, size);
        sink(v, 0, end - 1, size, compare);
    }
}
