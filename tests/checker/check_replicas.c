/* SPDX-License-Identifier: Apache-2.0 */
/* I16: in one round of comparison all replicas of a partition hold the same batches, from the highest of
 * their log starts up to the lowest of their high watermarks. Below what DeleteRecords or retention has
 * removed somewhere (trim) one may lack what another still has, but not hold something else. In a compacted
 * log each may lack records, but of every compaction key all have the newest. */
#include <stdlib.h>

#include "tests/checker/checker_int.h"

#define NODES_MAX 64

struct listed {
    const struct checker_event *event;
    struct listed *next;
};

/* One node's share of a round. */
struct replica {
    int32_t node;
    uint64_t batches; /* within the limits */
    const struct checker_event *any;
};

struct round {
    struct listed *list, **tail;
    struct replica replicas[NODES_MAX];
    uint32_t replica_count;
    int64_t from, to; /* offsets to compare: [from, to) */
    int64_t trim;     /* below it batches may be missing */
    struct round *next;
};

struct rounds {
    struct checker *c;
    struct map by_key; /* key number, round -> struct round */
    struct round *first, **tail;
};

static struct replica *replica_of(struct round *round, const struct checker_event *e)
{
    for (uint32_t i = 0; i < round->replica_count; i++)
        if (round->replicas[i].node == e->rec.node)
            return &round->replicas[i];
    if (round->replica_count == NODES_MAX)
        return NULL;
    struct replica *replica = &round->replicas[round->replica_count++];
    *replica = (struct replica){.node = e->rec.node, .any = e};
    return replica;
}

static struct round *round_of(struct rounds *r, const struct checker_event *e)
{
    struct key *key = check_key(r->c, &e->rec);
    struct round *round =
        key ? check_entry(r->c, &r->by_key, key->number, e->rec.call, sizeof(*round)) : NULL;
    if (round && !round->tail) {
        round->tail = &round->list;
        round->to = INT64_MAX;
        round->trim = key->trim;
        *r->tail = round;
        r->tail = &round->next;
    }
    return round;
}

static void collect(struct rounds *r, const struct checker_event *e)
{
    struct round *round = round_of(r, e);
    if (!round)
        return;
    if (!replica_of(round, e))
        check_bad(r->c, e, NULL);
    if (e->rec.what == HISTORY_HIGH_WATERMARK)
        round->to = MIN(round->to, e->rec.offset);
    if (e->rec.what == HISTORY_LOG_START)
        round->from = MAX(round->from, e->rec.offset);
    struct listed *listed = e->rec.what == HISTORY_BATCH ? check_alloc(r->c, 1, sizeof(*listed)) : NULL;
    if (!listed)
        return;
    listed->event = e;
    *round->tail = listed;
    round->tail = &listed->next;
}

static bool within(const struct round *round, const struct checker_event *e)
{
    return e->rec.offset >= round->from && e->rec.offset < round->to;
}

static void diverged(struct checker *c, const struct checker_event *e, const struct checker_event *other)
{
    check_report(c, &CHECK_FOUND(DIVERGENCE, e, other, e));
}

/* The batches of one node by offset. */
static void map_node(struct checker *c, const struct round *round, int32_t node, struct map *ret_map)
{
    map_init(ret_map);
    for (const struct listed *l = round->list; l && !c->no_memory; l = l->next) {
        if (l->event->rec.node != node || !within(round, l->event))
            continue;
        const struct checker_event *same = map_get(ret_map, (uint64_t)l->event->rec.offset);
        if (same)
            diverged(c, l->event, same);
        check_map_put(c, ret_map, (uint64_t)l->event->rec.offset, (void *)l->event);
    }
}

static bool may_lack(const struct round *round, const struct checker_event *e)
{
    return (e->rec.flags & HISTORY_COMPACTED) || e->rec.offset < round->trim;
}

/* A batch of another node against what the first one has at its offset. */
static void compare(struct checker *c, const struct round *round, const struct map *first,
                    struct replica *own, const struct checker_event *e)
{
    const struct checker_event *same = map_get(first, (uint64_t)e->rec.offset);
    own->batches++;
    if (!same && may_lack(round, e))
        return;
    if (!same)
        diverged(c, e, round->replicas[0].any);
    else if (same->rec.epoch != e->rec.epoch || same->rec.arg != e->rec.arg)
        diverged(c, e, same);
}

/* What the first node has and this one does not; looked for only when the numbers differ. */
static void find_missing(struct checker *c, const struct round *round, const struct replica *own)
{
    struct map batches;
    map_node(c, round, own->node, &batches);
    for (const struct listed *l = round->list; l; l = l->next)
        if (l->event->rec.node == round->replicas[0].node && within(round, l->event) &&
            !may_lack(round, l->event) && !map_get(&batches, (uint64_t)l->event->rec.offset))
            diverged(c, l->event, own->any);
    map_free(&batches);
}

/* The newest record of a compaction key, of all replicas or of one. */
struct newest {
    const struct checker_event *event; /* NULL: none */
    bool unknown;                      /* in a transaction: an aborted one leaves nothing behind */
};

static struct newest *newest_of(struct checker *c, struct map *map, uint32_t replica,
                                const struct checker_event *e)
{
    return check_entry(c, map, replica, (uint32_t)(e->rec.arg2 < 0 ? -e->rec.arg2 : e->rec.arg2),
                       sizeof(struct newest));
}

static void add_newest(struct newest *newest, const struct checker_event *e)
{
    if (!newest)
        return;
    newest->unknown |= e->rec.txn != 0;
    if (!newest->event || newest->event->rec.offset < e->rec.offset)
        newest->event = e;
}

/* Compaction takes a record when there is a newer one of its key. Only the last trace of a key may go, a
 * tombstone; not before all that is older. */
static void compare_newest(struct checker *c, const struct round *round, struct map *map,
                           const struct newest *all)
{
    for (uint32_t i = 0; i < round->replica_count && !c->no_memory; i++) {
        const struct newest *own = newest_of(c, map, i + 1, all->event);
        if (!own || (own->event && own->event->rec.offset == all->event->rec.offset))
            continue;
        if (own->event || all->event->rec.arg2 > 0)
            diverged(c, all->event, own->event ? own->event : round->replicas[i].any);
    }
}

static bool has_compaction_key(const struct round *round, const struct checker_event *e)
{
    return (e->rec.flags & HISTORY_COMPACTED) && e->rec.arg2 != 0 && e->rec.offset >= round->trim &&
           within(round, e);
}

static void check_newest(struct checker *c, struct round *round)
{
    struct map map; /* number of the replica from 1 (0: all), compaction key -> struct newest */
    map_init(&map);
    for (const struct listed *l = round->list; l && !c->no_memory; l = l->next) {
        const struct replica *own = replica_of(round, l->event);
        if (!own || !has_compaction_key(round, l->event))
            continue;
        add_newest(newest_of(c, &map, 0, l->event), l->event);
        add_newest(newest_of(c, &map, (uint32_t)(own - round->replicas) + 1, l->event), l->event);
    }
    for (const struct listed *l = round->list; l && !c->no_memory; l = l->next) {
        struct newest *all = has_compaction_key(round, l->event) ? newest_of(c, &map, 0, l->event) : NULL;
        if (!all || all->event != l->event || all->unknown)
            continue;
        compare_newest(c, round, &map, all);
        all->unknown = true; /* once */
    }
    map_free(&map);
}

static void check_round(struct checker *c, struct round *round)
{
    struct map first;
    struct replica *reference = &round->replicas[0];
    map_node(c, round, reference->node, &first);
    for (const struct listed *l = round->list; l; l = l->next) {
        struct replica *own = replica_of(round, l->event);
        if (own && own != reference && within(round, l->event))
            compare(c, round, &first, own, l->event);
    }
    for (uint32_t i = 1; i < round->replica_count; i++)
        if (round->replicas[i].batches != first.count)
            find_missing(c, round, &round->replicas[i]);
    map_free(&first);
}

void check_replicas(struct checker *c)
{
    struct rounds r = {.c = c};
    r.tail = &r.first;
    map_init(&r.by_key);
    for (size_t i = 0; i < c->event_count && !c->no_memory; i++)
        if (c->events[i].rec.op == HISTORY_REPLICA && c->events[i].rec.type == HISTORY_OK)
            collect(&r, &c->events[i]);
    for (struct round *round = r.first; round && !c->no_memory; round = round->next)
        check_round(c, round);
    for (struct round *round = r.first; round && !c->no_memory; round = round->next)
        check_newest(c, round);
    map_free(&r.by_key);
}
