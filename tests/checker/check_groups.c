/* SPDX-License-Identifier: Apache-2.0 */
/* I13, I14 and I5 for offsets: acknowledged group commits stay, those of transactions once these are
 * committed; nobody sees those of others; a partition has one owner in a generation, and who had it in an
 * earlier one does not commit any more; what names a generation that its member has left behind is refused,
 * whoever sends it, and however late. */
#include "tests/checker/checker_int.h"

struct commit {
    const struct checker_event *event; /* invoke in `all`, completion in `acked` */
    const struct checker_event *since; /* in `acked`: what made it a promise */
    const struct checker_event *stale; /* of an invoke: its member was in a later generation; NULL: not so */
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

/* A member (the id, not the process) knew that it was in this generation. */
struct told {
    const struct checker_event *event;
    int32_t generation;
    struct told *before; /* of an earlier generation */
};

/* One member in one group: by anybody, or by one broker. */
struct member {
    uint32_t number;
    struct told *newest;
};

struct groups {
    struct checker *c;
    struct map members; /* group, number of its id -> struct member */
    struct map tellers; /* number of the member, broker -> struct member: what that one told it */
    uint32_t member_count;
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

/* -- generations that members have left behind -- */

static void tell(struct groups *g, struct member *member, const struct checker_event *e)
{
    struct told *told;
    if (!member || (member->newest && member->newest->generation >= e->rec.epoch))
        return;
    told = check_alloc(g->c, 1, sizeof(*told));
    if (!told)
        return;
    *told = (struct told){.event = e, .generation = e->rec.epoch, .before = member->newest};
    member->newest = told;
}

static struct member *find_member(struct groups *g, const struct history_record *rec)
{
    if (rec->arg2 == 0)
        return NULL;
    struct member *member = check_entry(g->c, &g->members, rec->group, (uint32_t)rec->arg2, sizeof(*member));
    if (member && member->number == 0)
        member->number = ++g->member_count;
    return member;
}

static struct member *find_teller(struct groups *g, const struct member *member, int32_t node)
{
    return member && node >= 0
               ? check_entry(g->c, &g->tellers, member->number, (uint32_t)node, sizeof(*member))
               : NULL;
}

/* The member is in that generation by now. */
static void on_told(struct groups *g, const struct checker_event *e)
{
    struct member *member = e->rec.epoch > 0 ? find_member(g, &e->rec) : NULL;
    tell(g, member, e);
    if (e->rec.op == HISTORY_ASSIGN)
        tell(g, find_teller(g, member, e->rec.node), e);
}

/* What shows that the member had left more than `lag` generations behind, that which `asked` names among
 * them, before that was asked; NULL: nothing does. */
static const struct checker_event *left_behind(const struct member *member, const struct checker_event *asked,
                                               int64_t lag)
{
    const struct told *told = member ? member->newest : NULL;
    const struct checker_event *newest = NULL;
    while (told && told->event->rec.time_us >= asked->rec.time_us)
        told = told->before;
    for (; told && told->generation > asked->rec.epoch; told = told->before) {
        newest = newest ? newest : told->event;
        if (lag-- == 0)
            return newest;
    }
    return NULL;
}

/* Heartbeats are answered from memory: a coordinator that was deposed, and does not know it, knows older
 * generations only (as Kafka's does). So only who told the member of a later one is held to it. */
static void on_beat(struct groups *g, const struct checker_event *e)
{
    const struct checker_event *asked = e->invoke;
    if (e->rec.type != HISTORY_OK || !asked || asked->rec.epoch <= 0)
        return;
    struct member *member = find_teller(g, find_member(g, &asked->rec), asked->rec.node);
    const struct checker_event *later = left_behind(member, asked, asked->rec.arg);
    if (later)
        check_report(g->c, &CHECK_FOUND(STALE_GENERATION, asked, later, asked, e));
}

/* -- commits -- */

static void push(struct groups *g, struct commit **list, const struct checker_event *e,
                 const struct checker_event *since)
{
    struct commit *commit = check_alloc(g->c, 1, sizeof(*commit));
    if (!commit)
        return;
    *commit = (struct commit){.event = e, .since = since, .txn = check_txn(g->c, &e->rec), .before = *list};
    if (e->rec.type == HISTORY_INVOKE && e->rec.epoch > 0)
        commit->stale = left_behind(find_member(g, &e->rec), e, 0);
    *list = commit;
}

/* A member that was replaced under its own name (KIP-345) goes on as another process; one that sends its
 * requests again speaks for it. */
static bool same_member(const struct checker_event *a, const struct checker_event *b)
{
    return a->rec.process == b->rec.process || (a->rec.arg != 0 && a->rec.arg == b->rec.arg) ||
           (a->rec.arg2 != 0 && a->rec.arg2 == b->rec.arg2);
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

/* Whether a commit of a generation that its member had left behind was acknowledged: no promise. */
static bool is_stale(struct groups *g, const struct checker_event *e)
{
    const struct checker_event *later =
        e->invoke->rec.epoch > 0 ? left_behind(find_member(g, &e->invoke->rec), e->invoke, 0) : NULL;
    if (later)
        check_report(g->c, &CHECK_FOUND(STALE_GENERATION, e, later, e->invoke, e));
    return later != NULL;
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
    else if (e->rec.type == HISTORY_OK && e->invoke && since && !is_stale(g, e))
        push(g, &m->acked, e, since->rec.time_us > e->rec.time_us ? since : e);
    if (e->rec.type == HISTORY_OK && e->invoke && !txn)
        on_owners_commit(g, m, e);
}

/* Whether a commit may count at the time of e: it was asked for, and so was that of its transaction. */
static bool may_count(const struct commit *commit, const struct checker_event *e)
{
    const struct txn *txn = commit->txn;
    if (commit->stale)
        return false;
    if (commit->event->rec.time_us > e->rec.time_us || check_done(commit->event, HISTORY_FAIL))
        return false;
    return !txn || (txn->outcome != TXN_ABORTED && txn->commit && txn->commit->rec.time_us <= e->rec.time_us);
}

/* Whether a commit would be refused behind `last`: the group is in a later generation by then. What was
 * committed in a transaction before that counts when the transaction ends. */
static bool is_too_late(const struct commit *commit, const struct checker_event *last)
{
    int32_t generation = commit->event->rec.epoch;
    return !commit->txn && generation > 0 && last->invoke->rec.epoch > generation;
}

/* Whether it could happen behind what was invoked by `since`. */
static bool was_open(const struct checker_event *done, const struct checker_event *since)
{
    return !done || (done->rec.type == HISTORY_INFO && !(done->rec.flags & HISTORY_OVER)) ||
           done->rec.time_us >= since->rec.time_us;
}

/* Whether a commit of that offset may stand after `last`: it was not complete when that one began. What a
 * member gave up and sent again may reach the coordinator behind what the member committed then (as Kafka's:
 * commits of a generation have no order), until nothing is left of that connection. */
static bool explained(const struct member_key *m, const struct checker_event *last,
                      const struct checker_event *e)
{
    for (const struct commit *commit = m->all; commit; commit = commit->before) {
        if (commit->event->rec.offset != e->rec.offset || !may_count(commit, e) || is_too_late(commit, last))
            continue;
        if (was_open(commit->event->done, last->invoke))
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
    if (e->rec.op == HISTORY_BEAT)
        on_beat(g, e);
    if (!m)
        return;
    if (e->rec.op == HISTORY_COMMIT)
        on_commit(g, m, e);
    else if (e->rec.op == HISTORY_COMMITTED && e->rec.type == HISTORY_OK && e->invoke)
        on_committed(g, m, e);
    else if (e->rec.op == HISTORY_ASSIGN && e->rec.epoch >= 0)
        on_owned(g, m, e, e->rec.epoch);
    if (e->rec.op == HISTORY_ASSIGN || (e->rec.op == HISTORY_COMMIT && e->rec.type == HISTORY_INVOKE))
        on_told(g, e);
}

void check_groups(struct checker *c)
{
    struct groups g = {.c = c};
    map_init(&g.members);
    map_init(&g.tellers);
    map_init(&g.keys);
    map_init(&g.owners);
    for (size_t i = 0; i < c->event_count && !c->no_memory; i++)
        on_event(&g, &c->events[i]);
    map_free(&g.members);
    map_free(&g.tellers);
    map_free(&g.keys);
    map_free(&g.owners);
}
