/* SPDX-License-Identifier: Apache-2.0 */
/* I13, I14 and I5 for offsets: acknowledged group commits stay, those of transactions once these are
 * committed; nobody sees those of others; a partition has one owner in a generation, and who had it in an
 * earlier one does not commit any more. */
#include "tests/checker/checker_int.h"

struct commit {
    const struct checker_event *event; /* invoke in `all`, completion in `acked` */
    const struct checker_event *since; /* in `acked`: what made it a promise */
    const struct txn *txn;             /* NULL: in none */
    struct commit *before;
};

/* One group in one partition. */
struct member_key {
    uint32_t number;
    struct commit *all;   /* every commit that was asked for, the newest first */
    struct commit *acked; /* the acknowledged ones, the newest first */
    struct owner *newest; /* of the latest generation that has an owner */
};

struct owner {
    const struct checker_event *event; /* that showed it first, or last: assign, or an acknowledged commit */
    int32_t generation;
};

struct groups {
    struct checker *c;
    struct map keys;   /* key number, group -> struct member_key */
    struct map owners; /* number of the member_key, generation -> struct owner */
    uint32_t count;
};

static struct member_key *find(struct groups *g, const struct checker_event *e)
{
    struct key *key = check_key(g->c, &e->rec);
    if (!key)
        return NULL;
    struct member_key *m = check_entry(g->c, &g->keys, key->number, e->rec.group, sizeof(*m));
    if (m && m->number == 0)
        m->number = ++g->count;
    return m;
}

static void push(struct groups *g, struct commit **list, const struct checker_event *e,
                 const struct checker_event *since)
{
    struct commit *commit = check_alloc(g->c, 1, sizeof(*commit));
    if (!commit)
        return;
    *commit = (struct commit){.event = e, .since = since, .txn = check_txn(g->c, &e->rec), .before = *list};
    *list = commit;
}

/* A member that was replaced under its own name (KIP-345) goes on as another process. */
static bool same_member(const struct checker_event *a, const struct checker_event *b)
{
    return a->rec.process == b->rec.process || (a->rec.arg != 0 && a->rec.arg == b->rec.arg);
}

/* Somebody had the partition in that generation. */
static void on_owned(struct groups *g, struct member_key *m, const struct checker_event *e,
                     int32_t generation)
{
    struct owner *owner = check_entry(g->c, &g->owners, m->number, (uint32_t)generation, sizeof(*owner));
    if (!owner)
        return;
    if (owner->event && !same_member(owner->event, e))
        check_report(g->c, &CHECK_FOUND(DOUBLE_OWNER, e, owner->event, e));
    owner->event = e;
    owner->generation = generation;
    if (!m->newest || m->newest->generation < generation)
        m->newest = owner;
}

/* An acknowledged commit says that the coordinator took the member for the owner. It must not when, before it
 * was asked for, another one had been given the partition in a later generation. */
static void on_owners_commit(struct groups *g, struct member_key *m, const struct checker_event *e)
{
    const struct owner *newest = m->newest;
    int32_t generation = e->invoke->rec.epoch;

    if (generation < 0)
        return;
    if (newest && newest->generation > generation && !same_member(newest->event, e) &&
        newest->event->rec.time_us < e->invoke->rec.time_us)
        check_report(g->c, &CHECK_FOUND(DOUBLE_OWNER, e, newest->event, e->invoke, e));
    on_owned(g, m, e, generation);
}

/* What proves that a transaction was committed, NULL: it was not, as far as we know. */
static const struct checker_event *proof_of(const struct txn *txn)
{
    if (txn->outcome != TXN_COMMITTED)
        return NULL;
    return check_done(txn->commit, HISTORY_OK) ? txn->commit->done : txn->seen;
}

/* A commit in a transaction counts when the transaction does. */
static void on_commit(struct groups *g, struct member_key *m, const struct checker_event *e)
{
    const struct txn *txn = check_txn(g->c, &e->rec);
    const struct checker_event *since = txn ? proof_of(txn) : e;
    if (e->rec.type == HISTORY_INVOKE)
        push(g, &m->all, e, NULL);
    else if (e->rec.type == HISTORY_OK && e->invoke && since)
        push(g, &m->acked, e, since->rec.time_us > e->rec.time_us ? since : e);
    if (e->rec.type == HISTORY_OK && e->invoke && !txn)
        on_owners_commit(g, m, e);
}

/* Whether a commit may count at the time of e: it was asked for, and so was that of its transaction. */
static bool may_count(const struct commit *commit, const struct checker_event *e)
{
    const struct txn *txn = commit->txn;
    if (commit->event->rec.time_us > e->rec.time_us || check_done(commit->event, HISTORY_FAIL))
        return false;
    return !txn || (txn->outcome != TXN_ABORTED && txn->commit && txn->commit->rec.time_us <= e->rec.time_us);
}

/* Whether a commit of that offset may stand after `last`: it was not complete when that one began. */
static bool explained(const struct member_key *m, const struct checker_event *last,
                      const struct checker_event *e)
{
    for (const struct commit *commit = m->all; commit; commit = commit->before) {
        const struct checker_event *done = commit->event->done;
        if (commit->event->rec.offset != e->rec.offset || !may_count(commit, e))
            continue;
        if (!done || done->rec.type == HISTORY_INFO || done->rec.time_us >= last->invoke->rec.time_us)
            return true;
    }
    return false;
}

/* Whether the commit is news to the coordinator that was asked: one that was deposed meanwhile, and does not
 * know it, answers from its memory (as Kafka's does); it cannot commit, so what is read twice is all. */
static bool is_news(const struct commit *acked, const struct checker_event *asked)
{
    return asked->rec.epoch >= 0 && acked->event->rec.epoch > asked->rec.epoch;
}

/* Somebody put the group there who may have. */
static void check_clean(struct groups *g, const struct member_key *m, const struct checker_event *e)
{
    const struct commit *wrong = NULL;
    for (const struct commit *commit = m->all; commit; commit = commit->before) {
        if (commit->event->rec.offset != e->rec.offset)
            continue;
        if (may_count(commit, e))
            return;
        wrong = commit;
    }
    const struct txn *txn = wrong ? wrong->txn : NULL;
    const struct checker_event *end = txn && txn->abort ? txn->abort : txn ? txn->commit : NULL;
    if (end && end->rec.time_us > e->rec.time_us)
        end = NULL;
    check_report(g->c, &CHECK_FOUND(DIRTY_COMMIT, e, wrong ? wrong->event : NULL, end, e->invoke, e));
}

/* A group's offset was fetched: not below the last commit that was acknowledged before, unless a later one
 * says so. */
static void on_committed(struct groups *g, const struct member_key *m, const struct checker_event *e)
{
    const struct commit *last = m->acked;
    while (last && (last->since->rec.time_us >= e->invoke->rec.time_us || is_news(last, e->invoke)))
        last = last->before;
    if (last && last->event->invoke->rec.offset > e->rec.offset && !explained(m, last->event, e))
        check_report(g->c, &CHECK_FOUND(LOST_COMMIT, e, last->event->invoke, last->event,
                                        last->since != last->event ? last->since : NULL, e->invoke, e));
    if (e->rec.offset >= 0)
        check_clean(g, m, e);
}

static void on_event(struct groups *g, const struct checker_event *e)
{
    struct member_key *m = e->rec.group != 0 ? find(g, e) : NULL;
    if (!m)
        return;
    if (e->rec.op == HISTORY_COMMIT)
        on_commit(g, m, e);
    else if (e->rec.op == HISTORY_COMMITTED && e->rec.type == HISTORY_OK && e->invoke)
        on_committed(g, m, e);
    else if (e->rec.op == HISTORY_ASSIGN && e->rec.epoch >= 0)
        on_owned(g, m, e, e->rec.epoch);
}

void check_groups(struct checker *c)
{
    struct groups g = {.c = c};
    map_init(&g.keys);
    map_init(&g.owners);
    for (size_t i = 0; i < c->event_count && !c->no_memory; i++)
        on_event(&g, &c->events[i]);
    map_free(&g.keys);
    map_free(&g.owners);
}
