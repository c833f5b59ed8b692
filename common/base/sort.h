/* SPDX-License-Identifier: Apache-2.0 */
/* Sorting for pure cores, which may not call the C library's qsort (it may allocate). */
#ifndef SLUICE_BASE_SORT_H
#define SLUICE_BASE_SORT_H

#include <stddef.h>

/* Sorts count items of size bytes each, in place, in n log n steps and no memory; equal items come in any
 * order, the same one for the same input. compare: below, at or above zero, as for qsort. v may be NULL when
 * count is 0. */
void sort_items(void *v, size_t count, size_t size, int (*compare)(const void *a, const void *b));

#endif
