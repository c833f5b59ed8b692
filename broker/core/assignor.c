/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/assignor.h"
#include "common/base/sort.h"

#include <string.h>

#include "common/base/assert.h"

#define NOBODY     (-1)
#define PASSES_MAX 20 /* each moves partitions from the busy to the idle only: a few suffice */

/* Partitions are numbered through: topic t has first[t] .. first[t + 1] - 1. */
struct work {
    struct assignment *a;
    int32_t *first, *owner; /* owner of each partition: a member's place */
    int32_t *load;          /* of each member */
    int32_t total;
};

static bool work_init(struct work *w, struct assignment *a)
{
    *w = (struct work){.a = a};
    w->first = arena_calloc(a->arena, (size_t)a->topics_count + 1, sizeof(*w->first));
    w->load = arena_calloc(a->arena, (size_t)a->members_count, sizeof(*w->load));
    if (!w->first || !w->load)
        return false;
    for (int32_t t = 0; t < a->topics_count; t++)
        w->first[t + 1] = w->first[t] + a->topics[t].partitions;
    w->total = w->first[a->topics_count];
    w->owner = arena_calloc(a->arena, (size_t)w->total, sizeof(*w->owner));
    for (int32_t i = 0; w->owner && i < w->total; i++)
        w->owner[i] = NOBODY;
    return w->owner != NULL;
}

static void give(struct work *w, int32_t partition, int32_t member)
{
    if (w->owner[partition] != NOBODY)
        w->load[w->owner[partition]]--;
    w->owner[partition] = member;
    w->load[member]++;
}

/* Turns owners into sets. */
static bool work_done(struct work *w)
{
    struct assignment *a = w->a;

    for (int32_t m = 0; m < a->members_count; m++) {
        a->members[m].after =
            (struct tp_set){.v = arena_calloc(a->arena, (size_t)w->load[m], sizeof(struct tp))};
        if (!a->members[m].after.v)
            return false;
    }
    for (int32_t t = 0; t < a->topics_count; t++) {
        for (int32_t i = w->first[t]; i < w->first[t + 1]; i++) {
            if (w->owner[i] == NOBODY)
                continue;
            struct tp_set *set = &a->members[w->owner[i]].after;
            set->v[set->count++] = (struct tp){a->topics[t].id, i - w->first[t]};
        }
    }
    return true;
}

static int32_t topic_find(const struct assignment *a, struct uuid id)
{
    int32_t low = 0, high = a->topics_count;

    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (memcmp(a->topics[middle].id.b, id.b, sizeof(id.b)) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < a->topics_count && uuid_eq(a->topics[low].id, id) ? low : -1;
}

static bool subscribes(const struct assign_member *member, int32_t topic)
{
    int32_t low = 0, high = member->topics_count;

    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (member->topics[middle] < topic)
            low = middle + 1;
        else
            high = middle;
    }
    return low < member->topics_count && member->topics[low] == topic;
}

/* The number of a partition that the member had and may keep, -1: it may not. */
static int32_t kept(const struct work *w, const struct assign_member *member, struct tp tp)
{
    int32_t topic = topic_find(w->a, tp.topic);

    if (topic < 0 || !subscribes(member, topic) || tp.partition < 0 ||
        tp.partition >= w->a->topics[topic].partitions)
        return -1;
    int32_t partition = w->first[topic] + tp.partition;
    return w->owner[partition] == NOBODY ? partition : -1;
}

/* -- uniform: everybody subscribes to the same -- */

static bool homogeneous(const struct assignment *a)
{
    for (int32_t m = 0; m < a->members_count; m++)
        if (a->members[m].topics_count != a->topics_count)
            return false;
    return true;
}

/* Everybody keeps up to its share; as many keep one more as there are ones over. Returns how many of those
 * are left. */
static int32_t keep_shares(struct work *w, int32_t share, int32_t over)
{
    for (int32_t m = 0; m < w->a->members_count; m++) {
        const struct assign_member *member = &w->a->members[m];
        for (int32_t i = 0; i < member->before.count; i++) {
            int32_t partition = kept(w, member, member->before.v[i]);
            if (partition < 0 || w->load[m] > share || (w->load[m] == share && over == 0))
                continue;
            over -= w->load[m] == share;
            give(w, partition, m);
        }
    }
    return over;
}

static void uniform_same(struct work *w)
{
    int32_t share = w->total / w->a->members_count;
    int32_t over = keep_shares(w, share, w->total % w->a->members_count), m = 0;

    for (int32_t i = 0; i < w->total; i++) {
        if (w->owner[i] != NOBODY)
            continue;
        while (m < w->a->members_count && w->load[m] >= share)
            m++;
        if (m == w->a->members_count)
            break;
        give(w, i, m);
    }
    m = 0;
    for (int32_t i = 0; i < w->total; i++) {
        if (w->owner[i] != NOBODY)
            continue;
        while (w->load[m] > share)
            m++;
        ASSERT(over > 0 && m < w->a->members_count);
        over--;
        give(w, i, m);
    }
}

/* -- uniform: subscriptions differ -- */

static int32_t idlest(const struct work *w, int32_t topic)
{
    int32_t best = NOBODY;

    for (int32_t m = 0; m < w->a->members_count; m++)
        if ((best == NOBODY || w->load[m] < w->load[best]) && subscribes(&w->a->members[m], topic))
            best = m;
    return best;
}

static void keep_all(struct work *w)
{
    for (int32_t m = 0; m < w->a->members_count; m++) {
        const struct assign_member *member = &w->a->members[m];
        for (int32_t i = 0; i < member->before.count; i++) {
            int32_t partition = kept(w, member, member->before.v[i]);
            if (partition >= 0)
                give(w, partition, m);
        }
    }
}

struct ranked {
    int32_t topic, subscribers;
};

static int by_subscribers(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    return x->subscribers != y->subscribers ? x->subscribers - y->subscribers : x->topic - y->topic;
}

/* Topics with the fewest subscribers first: they leave the least choice. */
static struct ranked *rank_topics(struct work *w)
{
    struct ranked *ranked = arena_calloc(w->a->arena, (size_t)w->a->topics_count, sizeof(*ranked));

    if (!ranked)
        return NULL;
    for (int32_t t = 0; t < w->a->topics_count; t++)
        ranked[t].topic = t;
    for (int32_t m = 0; m < w->a->members_count; m++)
        for (int32_t i = 0; i < w->a->members[m].topics_count; i++)
            ranked[w->a->members[m].topics[i]].subscribers++;
    if (w->a->topics_count > 1)
        sort_items(ranked, (size_t)w->a->topics_count, sizeof(*ranked), by_subscribers);
    return ranked;
}

/* Gives what nobody has, and what helps the idlest, to it. Returns whether something moved. */
static bool balance_topic(struct work *w, int32_t topic, bool move)
{
    bool moved = false;

    for (int32_t i = w->first[topic]; i < w->first[topic + 1]; i++) {
        int32_t owner = w->owner[i];
        if ((owner == NOBODY) == move)
            continue;
        int32_t to = idlest(w, topic);
        if (to == NOBODY || (owner != NOBODY && w->load[owner] <= w->load[to] + 1))
            continue;
        give(w, i, to);
        moved = true;
    }
    return moved;
}

static bool uniform_mixed(struct work *w)
{
    struct ranked *ranked = rank_topics(w);
    bool moved = true;

    if (!ranked)
        return false;
    keep_all(w);
    for (int32_t t = 0; t < w->a->topics_count; t++)
        balance_topic(w, ranked[t].topic, false);
    for (int32_t pass = 0; moved && pass < PASSES_MAX; pass++) {
        moved = false;
        for (int32_t t = 0; t < w->a->topics_count; t++)
            moved = balance_topic(w, ranked[t].topic, true) || moved;
    }
    return true;
}

bool assign_uniform(struct assignment *a)
{
    struct work w;

    if (!work_init(&w, a))
        return false;
    if (a->members_count > 0 && homogeneous(a))
        uniform_same(&w);
    else if (!uniform_mixed(&w))
        return false;
    return work_done(&w);
}

/* -- range -- */

static struct str range_key(const struct assign_member *member)
{
    return member->instance_id.len >= 0 ? member->instance_id : member->id;
}

struct keyed {
    struct str key;
    int32_t member;
};

static int by_key(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    int order = str_cmp(x->key, y->key);

    return order != 0 ? order : x->member - y->member;
}

static void range_topic(struct work *w, const struct keyed *order, int32_t topic)
{
    int32_t subscribers = 0, place = 0, at = w->first[topic];

    for (int32_t i = 0; i < w->a->members_count; i++)
        subscribers += subscribes(&w->a->members[i], topic);
    for (int32_t i = 0; i < w->a->members_count; i++) {
        int32_t m = order[i].member, partitions = w->a->topics[topic].partitions;
        if (!subscribes(&w->a->members[m], topic))
            continue;
        int32_t share = partitions / subscribers + (place++ < partitions % subscribers);
        for (int32_t k = 0; k < share; k++)
            give(w, at++, m);
    }
}

bool assign_range(struct assignment *a)
{
    struct work w;
    struct keyed *order = arena_calloc(a->arena, (size_t)a->members_count, sizeof(*order));

    if (!order || !work_init(&w, a))
        return false;
    for (int32_t m = 0; m < a->members_count; m++)
        order[m] = (struct keyed){range_key(&a->members[m]), m};
    if (a->members_count > 1)
        sort_items(order, (size_t)a->members_count, sizeof(*order), by_key);
    for (int32_t t = 0; t < a->topics_count; t++)
        range_topic(&w, order, t);
    return work_done(&w);
}

assignor_fn assignor_find(struct str name)
{
    if (str_eq_z(name, "uniform"))
        return assign_uniform;
    return str_eq_z(name, "range") ? assign_range : NULL;
}
