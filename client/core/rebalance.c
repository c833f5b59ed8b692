/* SPDX-License-Identifier: Apache-2.0 */
#include "client/core/rebalance.h"

#include "common/base/assert.h"

struct planning {
    struct rebalance_broker *brokers;
    struct rebalance_partition *partitions;
    int32_t brokers_count, partitions_count, moves, moves_max;
};

static struct rebalance_broker *find(const struct planning *p, int32_t id)
{
    for (int32_t i = 0; i < p->brokers_count; i++) {
        if (p->brokers[i].id == id)
            return &p->brokers[i];
    }
    return NULL;
}

static bool holds(const struct rebalance_partition *part, int32_t id)
{
    for (int32_t i = 0; i < part->replicas_count; i++) {
        if (part->replicas[i] == id)
            return true;
    }
    return false;
}

static bool same_rack(const struct rebalance_broker *a, const struct rebalance_broker *b)
{
    return a == b || (a->rack.len >= 0 && b->rack.len >= 0 && str_eq(a->rack, b->rack));
}

/* Replicas of the partition in the broker's rack, leaving out the one at `except`. */
static int32_t rack_load(const struct planning *p, const struct rebalance_partition *part, int32_t except,
                         const struct rebalance_broker *broker)
{
    int32_t load = 0;
    for (int32_t i = 0; i < part->replicas_count; i++) {
        const struct rebalance_broker *other = i == except ? NULL : find(p, part->replicas[i]);
        load += other && same_rack(other, broker);
    }
    return load;
}

static void count(struct planning *p)
{
    for (int32_t i = 0; i < p->brokers_count; i++)
        p->brokers[i].replicas = p->brokers[i].first = 0;
    for (int32_t i = 0; i < p->partitions_count; i++) {
        const struct rebalance_partition *part = &p->partitions[i];
        for (int32_t n = 0; n < part->replicas_count; n++) {
            struct rebalance_broker *broker = find(p, part->replicas[n]);
            if (!broker)
                continue;
            broker->replicas++;
            broker->first += n == 0;
        }
    }
}

/* Whether one more change is allowed; a partition that changes anyway may change again. */
static bool may_change(const struct planning *p, const struct rebalance_partition *part)
{
    return part->why != REBALANCE_STAYS || p->moves < p->moves_max;
}

static void note(struct planning *p, struct rebalance_partition *part, enum rebalance_why why, int32_t from,
                 int32_t to)
{
    if (part->why != REBALANCE_STAYS)
        return;
    const struct rebalance_broker *source = find(p, from), *target = find(p, to);
    bool first = why == REBALANCE_FIRST;
    part->why = why;
    part->from = from;
    part->to = to;
    part->from_has = !source ? 0 : first ? source->first : source->replicas;
    part->to_has = !target ? 0 : first ? target->first : target->replicas;
    p->moves++;
}

static void move(struct planning *p, struct rebalance_partition *part, int32_t at,
                 struct rebalance_broker *to, enum rebalance_why why)
{
    struct rebalance_broker *from = find(p, part->replicas[at]);
    ASSERT(to->usable && !holds(part, to->id));
    note(p, part, why, part->replicas[at], to->id);
    if (from) {
        from->replicas--;
        from->first -= at == 0;
    }
    part->replicas[at] = to->id;
    to->replicas++;
    to->first += at == 0;
}

/* The best broker for the replica at `at`: in the rack least used by the others, then with the fewest
 * replicas. NULL: none is left. */
static struct rebalance_broker *best_for(const struct planning *p, const struct rebalance_partition *part,
                                         int32_t at)
{
    struct rebalance_broker *best = NULL;
    int32_t best_load = 0;
    for (int32_t i = 0; i < p->brokers_count; i++) {
        struct rebalance_broker *broker = &p->brokers[i];
        if (!broker->usable || holds(part, broker->id))
            continue;
        int32_t load = rack_load(p, part, at, broker);
        if (best && (load > best_load || (load == best_load && broker->replicas >= best->replicas)))
            continue;
        best = broker;
        best_load = load;
    }
    return best;
}

static void leave(struct planning *p, struct rebalance_partition *part, int32_t at)
{
    const struct rebalance_broker *from = find(p, part->replicas[at]);
    struct rebalance_broker *to = from && from->usable ? NULL : best_for(p, part, at);
    if (to && may_change(p, part))
        move(p, part, at, to, REBALANCE_LEAVES);
}

static void spread(struct planning *p, struct rebalance_partition *part, int32_t at)
{
    const struct rebalance_broker *from = find(p, part->replicas[at]);
    struct rebalance_broker *to = from ? best_for(p, part, at) : NULL;
    if (to && may_change(p, part) && rack_load(p, part, at, from) > rack_load(p, part, at, to))
        move(p, part, at, to, REBALANCE_RACK);
}

static void each_replica(struct planning *p,
                         void (*fn)(struct planning *p, struct rebalance_partition *part, int32_t at))
{
    for (int32_t i = 0; i < p->partitions_count; i++) {
        for (int32_t at = p->partitions[i].replicas_count - 1; at >= 0; at--) /* the first one last */
            fn(p, &p->partitions[i], at);
    }
}

/* --- even numbers --- */

/* Moves one replica from one broker to another without crowding a rack. */
static bool shift(struct planning *p, struct rebalance_partition *part, const struct rebalance_broker *from,
                  struct rebalance_broker *to)
{
    for (int32_t at = part->replicas_count - 1; at >= 0 && !holds(part, to->id); at--) {
        if (part->replicas[at] != from->id || !may_change(p, part) ||
            rack_load(p, part, at, to) > rack_load(p, part, at, from))
            continue;
        move(p, part, at, to, REBALANCE_COUNT);
        return true;
    }
    return false;
}

/* Makes `to` the first replica in place of `from`. */
static bool swap_first(struct planning *p, struct rebalance_partition *part, struct rebalance_broker *from,
                       struct rebalance_broker *to)
{
    if (part->replicas[0] != from->id || !may_change(p, part))
        return false;
    for (int32_t at = 1; at < part->replicas_count; at++) {
        if (part->replicas[at] != to->id)
            continue;
        note(p, part, REBALANCE_FIRST, from->id, to->id);
        part->replicas[0] = to->id;
        part->replicas[at] = from->id;
        from->first--;
        to->first++;
        return true;
    }
    return false;
}

/* Shifts between this pair while `from` holds at least two more. */
static bool level_pair(struct planning *p, struct rebalance_broker *from, struct rebalance_broker *to,
                       bool first)
{
    bool any = false;
    for (int32_t i = 0; i < p->partitions_count; i++) {
        int64_t more = first ? from->first - to->first : from->replicas - to->replicas;
        if (more < 2)
            break;
        any |= first ? swap_first(p, &p->partitions[i], from, to) : shift(p, &p->partitions[i], from, to);
    }
    return any;
}

static void level(struct planning *p, bool first)
{
    bool any = true;
    for (int32_t round = 0; any && round <= p->brokers_count; round++) { /* each lowers a sum of squares */
        any = false;
        for (int32_t from = 0; from < p->brokers_count; from++) {
            for (int32_t to = 0; to < p->brokers_count; to++) {
                if (p->brokers[from].usable && p->brokers[to].usable)
                    any |= level_pair(p, &p->brokers[from], &p->brokers[to], first);
            }
        }
    }
}

int32_t rebalance_plan(struct rebalance_broker *brokers, int32_t brokers_count,
                       struct rebalance_partition *partitions, int32_t partitions_count, int32_t moves_max)
{
    struct planning p = {brokers, partitions, brokers_count, partitions_count, 0, moves_max};
    ASSERT(brokers_count >= 0 && partitions_count >= 0);
    for (int32_t i = 0; i < partitions_count; i++)
        partitions[i].why = REBALANCE_STAYS;
    count(&p);
    each_replica(&p, leave);
    each_replica(&p, spread);
    level(&p, false);
    level(&p, true);
    ASSERT(p.moves <= MAX(moves_max, 0));
    return p.moves;
}
