/* SPDX-License-Identifier: Apache-2.0 */
/* Which replicas should move so that brokers are left, racks are used and load is even: pure, deterministic,
 * as few moves as a greedy walk finds. In this order: replicas leave brokers that should hold none; replicas
 * of one partition spread over racks; brokers get equal numbers of replicas, then of first replicas (where
 * leadership returns to), which costs no data. */
#ifndef SLUICE_CLIENT_CORE_REBALANCE_H
#define SLUICE_CLIENT_CORE_REBALANCE_H

#include <stdbool.h>

#include "common/base/types.h"

enum rebalance_why {
    REBALANCE_STAYS,
    REBALANCE_LEAVES, /* its broker should hold none, or is not in the cluster */
    REBALANCE_RACK,   /* another replica is in the same rack, and `to` is in none of the partition's */
    REBALANCE_COUNT,  /* `from` holds from_has replicas, `to` only to_has */
    REBALANCE_FIRST,  /* the same of first replicas; only the order changes */
};

struct rebalance_broker {
    int32_t id;
    struct str rack;         /* null: a rack of its own */
    bool usable;             /* may hold replicas */
    int64_t replicas, first; /* out: what it holds in the end */
};

struct rebalance_partition {
    struct str topic;
    int32_t index;
    int32_t *replicas; /* in and out */
    int32_t replicas_count;
    enum rebalance_why why; /* out: of the first change to it */
    int32_t from, to;       /* of that change */
    int64_t from_has, to_has;
};

/* Plans; at most moves_max partitions change. Returns how many do. Brokers that replicas name and that are
 * not in the list count as not usable. A replica stays where it is when no usable broker is left for it. */
int32_t rebalance_plan(struct rebalance_broker *brokers, int32_t brokers_count,
                       struct rebalance_partition *partitions, int32_t partitions_count, int32_t moves_max);

#endif
