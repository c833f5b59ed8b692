/* SPDX-License-Identifier: Apache-2.0 */
/* Small lists of broker ids: replicas, ISR, ELR. */
#ifndef SLUICE_CONTROLLER_CORE_IDS_H
#define SLUICE_CONTROLLER_CORE_IDS_H

#include <stdbool.h>
#include <stdint.h>

static inline bool ids_contain(const int32_t *ids, int32_t count, int32_t id)
{
    for (int32_t i = 0; i < count; i++) {
        if (ids[i] == id)
            return true;
    }
    return false;
}

static inline bool ids_equal(const int32_t *a, int32_t a_count, const int32_t *b, int32_t b_count)
{
    if (a_count != b_count)
        return false;
    for (int32_t i = 0; i < a_count; i++) {
        if (a[i] != b[i])
            return false;
    }
    return true;
}

static inline bool ids_distinct(const int32_t *ids, int32_t count)
{
    for (int32_t i = 1; i < count; i++) {
        if (ids_contain(ids, i, ids[i]))
            return false;
    }
    return true;
}

#endif
