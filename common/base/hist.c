/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/hist.h"

#include <string.h>

#include "common/base/assert.h"

#define SUB_COUNT (1u << HIST_SUB_BITS)

/* Values below SUB_COUNT have a bucket each; above, the top HIST_SUB_BITS bits below the leading one choose
 * it. */
static uint32_t bucket_of(uint64_t value)
{
    if (value < SUB_COUNT)
        return (uint32_t)value;
    uint32_t exponent = 63 - (uint32_t)__builtin_clzll(value);
    uint32_t shift = exponent - HIST_SUB_BITS;
    return ((shift + 1) << HIST_SUB_BITS) + (uint32_t)((value >> shift) & (SUB_COUNT - 1));
}

/* The middle of a bucket, so that the error is at most half its width. */
static uint64_t value_of(uint32_t bucket)
{
    if (bucket < SUB_COUNT)
        return bucket;
    uint32_t shift = (bucket >> HIST_SUB_BITS) - 1;
    uint64_t low = (uint64_t)(SUB_COUNT + (bucket & (SUB_COUNT - 1))) << shift;
    return low + (((uint64_t)1 << shift) >> 1);
}

void hist_reset(struct hist *hist)
{
    memset(hist, 0, sizeof(*hist));
}

void hist_add(struct hist *hist, uint64_t value)
{
    uint32_t bucket = bucket_of(value);
    ASSERT(bucket < HIST_BUCKETS);
    hist->buckets[bucket]++;
    hist->min = hist->count == 0 ? value : MIN(hist->min, value);
    hist->max = MAX(hist->max, value);
    hist->sum += value;
    hist->count++;
}

void hist_merge(struct hist *into, const struct hist *from)
{
    if (from->count == 0)
        return;
    for (uint32_t i = 0; i < HIST_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
    into->min = into->count == 0 ? from->min : MIN(into->min, from->min);
    into->max = MAX(into->max, from->max);
    into->sum += from->sum;
    into->count += from->count;
}

uint64_t hist_quantile(const struct hist *hist, double q)
{
    if (hist->count == 0)
        return 0;
    if (!(q > 0))
        return hist->min;
    if (q >= 1)
        return hist->max;
    uint64_t rank = (uint64_t)(q * (double)hist->count), seen = 0;
    for (uint32_t i = 0; i < HIST_BUCKETS; i++) {
        seen += hist->buckets[i];
        if (seen > rank)
            return MAX(hist->min, MIN(hist->max, value_of(i)));
    }
    return hist->max;
}
