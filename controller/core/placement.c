/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/core/placement.h"

#include "common/base/assert.h"
#include "proto/cluster/records.h"

struct placing {
    struct placement_broker *brokers;
    int32_t brokers_count;
    int32_t start; /* ties go to the first broker from here, so that the pairs of brokers vary */
    const struct placement_broker *chosen[META_REPLICAS_MAX]; /* of this partition so far */
    int32_t chosen_count;
};

static bool same_rack(struct str a, struct str b)
{
    return (a.len < 0 && b.len < 0) || str_eq(a, b);
}

/* Replicas of this partition that the broker's rack has already. */
static int32_t rack_load(const struct placing *p, const struct placement_broker *broker)
{
    int32_t load = 0;
    for (int32_t i = 0; i < p->chosen_count; i++)
        load += same_rack(p->chosen[i]->rack, broker->rack);
    return load;
}

/* Less is better, in this order. */
struct cost {
    int64_t by[4];
};

static struct cost cost_of(const struct placing *p, const struct placement_broker *broker)
{
    if (p->chosen_count == 0)
        return (struct cost){
            {broker->topic_leaders, broker->topic_replicas, broker->leaders, broker->replicas}};
    return (struct cost){{rack_load(p, broker), broker->topic_replicas, broker->replicas, 0}};
}

static bool less(struct cost a, struct cost b)
{
    for (size_t i = 0; i < ARRAY_LEN(a.by); i++) {
        if (a.by[i] != b.by[i])
            return a.by[i] < b.by[i];
    }
    return false;
}

static bool is_chosen(const struct placing *p, const struct placement_broker *broker)
{
    for (int32_t i = 0; i < p->chosen_count; i++) {
        if (p->chosen[i] == broker)
            return true;
    }
    return false;
}

static struct placement_broker *choose(const struct placing *p)
{
    ASSERT(p->chosen_count < p->brokers_count && p->start >= 0);
    struct placement_broker *best = NULL;
    struct cost best_cost = {0};
    for (int32_t n = 0; n < p->brokers_count; n++) {
        struct placement_broker *broker = &p->brokers[(p->start + n) % p->brokers_count];
        if (is_chosen(p, broker))
            continue;
        struct cost cost = cost_of(p, broker);
        if (!best || less(cost, best_cost)) {
            best = broker;
            best_cost = cost;
        }
    }
    ASSERT(best != NULL);
    return best;
}

static void give(struct placing *p, struct placement_broker *broker)
{
    broker->leaders += p->chosen_count == 0;
    broker->topic_leaders += p->chosen_count == 0;
    broker->replicas++;
    broker->topic_replicas++;
    ASSERT(p->chosen_count < META_REPLICAS_MAX);
    p->chosen[p->chosen_count++] = broker;
}

enum err placement_place(struct placement_broker *brokers, int32_t brokers_count, int32_t partitions,
                         int32_t replication_factor, int32_t *ret_replicas)
{
    ASSERT(partitions >= 0 && replication_factor > 0 && replication_factor <= META_REPLICAS_MAX);
    if (brokers_count < replication_factor)
        return ERR_INVALID;
    for (int32_t i = 0; i < partitions; i++) {
        int32_t *ids = ret_replicas + (int64_t)i * replication_factor;
        struct placing p = {.brokers = brokers, .brokers_count = brokers_count};
        while (p.chosen_count < replication_factor) {
            struct placement_broker *broker = choose(&p);
            ids[p.chosen_count] = broker->id;
            give(&p, broker);
            p.start = (int32_t)(broker - brokers) + 1 +
                      i / brokers_count; /* the followers' pattern shifts each round */
        }
    }
    return OK;
}
