/* SPDX-License-Identifier: Apache-2.0 */
/* Which items of a request are named more than once, in linear time whatever the request's size. */
#ifndef SLUICE_CONTROLLER_CORE_REPEATS_H
#define SLUICE_CONTROLLER_CORE_REPEATS_H

#include "controller/core/internal.h"

/* Hash of the i-th item's identity. */
typedef uint64_t (*repeats_hash)(const void *items, int32_t i, uint64_t seed);

/* A flag per item: another one has the same hash. The seed is random, so that equal hashes mean equal items.
 * NULL when memory is out (sticks in the plan). */
const bool *repeats_find(struct command *command, const void *items, int32_t count, repeats_hash hash);

#endif
