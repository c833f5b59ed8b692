/* SPDX-License-Identifier: Apache-2.0 */
/* One memory budget per process, visible by owner (DESIGN, Bounds): admission takes, completion gives back.
 * Atomic: shared by shards. */
#ifndef SLUICE_BASE_BUDGET_H
#define SLUICE_BASE_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(name, text): who may hold memory. */
#define BUDGET_OWNERS(X)                                                                                     \
    X(REQUESTS, "requests")                                                                                  \
    X(REPLIES, "replies")                                                                                    \
    X(REPLICATION, "replication")                                                                            \
    X(COLD_READS, "cold_reads")                                                                              \
    X(CACHE, "cache")                                                                                        \
    X(CONNECTIONS, "connections")

enum budget_owner {
#define X(name, text) BUDGET_##name,
    BUDGET_OWNERS(X)
#undef X
        BUDGET_OWNER_COUNT
};

struct budget {
    uint64_t limit_bytes;
    _Atomic uint64_t used_bytes;
    _Atomic uint64_t by_owner[BUDGET_OWNER_COUNT];
    _Atomic uint64_t refusals;
};

/* Empty, with room for limit_bytes in all. */
void budget_init(struct budget *budget, uint64_t limit_bytes);

/* Takes size bytes for owner. False (nothing taken) when the limit would be passed. */
bool budget_take(struct budget *budget, enum budget_owner owner, size_t size);

/* Returns size bytes that owner took before; more than it holds is a programmer's error. */
void budget_give(struct budget *budget, enum budget_owner owner, size_t size);

/* The owner's name in metrics and errors. */
const char *budget_owner_name(enum budget_owner owner);

#endif
