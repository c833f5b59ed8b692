/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/core/repeats.h"

/* The map holds, for each hash, where it came up first (a pointer into the flags). */
static bool mark(struct map *seen, uint64_t hash, bool *flag)
{
    bool *first = map_get(seen, hash);
    if (!first)
        return map_put(seen, hash, flag);
    *first = *flag = true;
    return true;
}

const bool *repeats_find(struct command *command, const void *items, int32_t count, repeats_hash hash)
{
    ASSERT(count >= 0);
    bool *flags = command_alloc(command, (size_t)count, sizeof(*flags)), good = flags != NULL;
    uint64_t seed = prng_next(&command->core->prng);
    struct map seen;
    map_init(&seen);
    for (int32_t i = 0; i < count && good; i++)
        good = mark(&seen, hash(items, i, seed), &flags[i]);
    map_free(&seen);
    if (!good && command->plan.err == OK)
        command->plan.err = ERR_NOMEM;
    return good ? flags : NULL;
}
