/* SPDX-License-Identifier: Apache-2.0 */
/* Log-linear histogram of microseconds or nanoseconds (HDR style: 64 sub-buckets per power of two, error
 * below 1.6 %). Fixed size, no allocation. */
#ifndef SLUICE_BASE_HIST_H
#define SLUICE_BASE_HIST_H

#include <stdint.h>

#define HIST_SUB_BITS 6
#define HIST_BUCKETS  ((64 - HIST_SUB_BITS + 1) << HIST_SUB_BITS)

struct hist {
    uint64_t count, sum, min, max;
    uint32_t buckets[HIST_BUCKETS];
};

/* Empties it; also the way to initialise one. */
void hist_reset(struct hist *hist);

/* Counts one value, in whatever unit the owner chose. */
void hist_add(struct hist *hist, uint64_t value);

/* Adds all that `from` has counted, as if it had been added to `into`. */
void hist_merge(struct hist *into, const struct hist *from);

/* Value at quantile q in [0, 1]; 0 when empty. */
uint64_t hist_quantile(const struct hist *hist, double q);

#endif
