/* SPDX-License-Identifier: Apache-2.0 */
/* A compact set of byte ranges: what of a segment's file this process has checked. It forgets rather than
 * grows: a range that is not in the set is only checked once more. */
#ifndef SLUICE_BROKER_LOG_PLOG_RANGES_H
#define SLUICE_BROKER_LOG_PLOG_RANGES_H

#include <stdint.h>

#define PLOG_RANGES_MAX 64 /* of one segment */

struct plog_range {
    uint32_t from, to; /* [from, to) */
};

/* All zero is the empty set. Sorted, disjoint, not touching. */
struct plog_ranges {
    struct plog_range *at; /* malloc'd; NULL: empty */
    uint16_t count, cap;
};

/* Adds [from, to). Out of memory, or when the set is full: something smaller is forgotten. */
void plog_ranges_add(struct plog_ranges *set, uint32_t from, uint32_t to);

/* Takes [from, to) out. */
void plog_ranges_remove(struct plog_ranges *set, uint32_t from, uint32_t to);

/* The end of what the set holds in one piece from `from` on; `from` when it does not hold it. */
uint32_t plog_ranges_end(const struct plog_ranges *set, uint32_t from);

/* Empties the set and frees its memory. */
void plog_ranges_clear(struct plog_ranges *set);

#endif
