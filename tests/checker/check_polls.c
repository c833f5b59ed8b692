/* SPDX-License-Identifier: Apache-2.0 */
/* I7, I8, I19: a consumer reads each partition in the version order, leaving nothing out, going back only
 * when told, and not too long behind. */
#include "tests/checker/checker_int.h"

/* Resets of all keys of a process, by an assignment or seek without a key. */
struct resets {
    uint32_t count;
};

struct polls {
    struct checker *c;
    struct map resets; /* process -> struct resets */
};

static struct resets *resets_of(struct polls *p, uint32_t process)
{
    return check_entry(p->c, &p->resets, 0, process, sizeof(struct resets));
}

/* I19: the poll before this moment left out what had been acknowledged before it was asked. */
static void measure(struct checker *c, const struct key *key, struct cursor *cursor)
{
    const struct checker_event *since = cursor->call ? key->known_since[cursor->next] : NULL;
    int64_t lag_us = since ? cursor->call->rec.time_us - since->rec.time_us : 0;
    c->stats.lag_max_us = MAX(c->stats.lag_max_us, lag_us);
    if (c->options.lag_max_us > 0 && lag_us > c->options.lag_max_us)
        check_report_in(c, key, CHECK_FOUND(REALTIME_LAG, since, since->invoke, since, cursor->call));
    cursor->call = NULL;
}

/* An assignment, revocation or seek: the position is what it says, or unknown. */
static void move(struct polls *p, const struct checker_event *e)
{
    struct key *key = check_key(p->c, &e->rec);
    struct resets *resets = resets_of(p, e->rec.process);
    struct cursor *cursor = key ? check_cursor(p->c, key, e->rec.process) : NULL;
    if (!key && resets)
        resets->count++;
    if (!cursor || !resets)
        return;
    bool known = e->rec.offset >= 0 && e->rec.op != HISTORY_REVOKE;
    *cursor = (struct cursor){.sent = cursor->sent,
                              .polled = known ? e : NULL,
                              .next = known ? check_order_find(key, e->rec.offset) : 0,
                              .resets = resets->count};
}

/* What the consumer should have got first, at or behind index i; it was left out by event e. */
static void report_skip(struct checker *c, const struct key *key, const struct cursor *cursor, uint32_t i,
                        const struct checker_event *e, bool internal)
{
    while (!key->order[i]->stable)
        i++;
    const struct slot *slot = key->order[i];
    struct checker_violation found = CHECK_FOUND(POLL_SKIP, slot->claim, slot->claim, cursor->polled, e);
    if (internal)
        found.kind = CHECKER_INT_POLL_SKIP;
    check_report_in(c, key, found);
}

static void check_step(struct checker *c, const struct key *key, const struct cursor *cursor,
                       const struct checker_event *e, uint32_t index)
{
    bool internal = e->invoke && cursor->polled->invoke == e->invoke;
    uint32_t from = MAX(cursor->next, check_order_find(key, key->trimmed)); /* by now, not in the end */
    bool deleted = !internal && from > cursor->next; /* out of range, and it began anew with another leader */
    if (index < cursor->next && !deleted) {
        struct checker_violation found = CHECK_FOUND(NONMONOTONIC_POLL, e, cursor->polled, e);
        if (internal)
            found.kind = CHECKER_INT_NONMONOTONIC_POLL;
        check_report_in(c, key, found);
    } else if (index > from && key->stable_before[index] > key->stable_before[from]) {
        report_skip(c, key, cursor, from, e, internal);
    }
}

static void advance(struct polls *p, const struct checker_event *e)
{
    struct key *key = check_key(p->c, &e->rec);
    struct resets *resets = resets_of(p, e->rec.process);
    struct cursor *cursor = key ? check_cursor(p->c, key, e->rec.process) : NULL;
    if (!cursor || !resets)
        return;
    if (cursor->resets != resets->count)
        *cursor = (struct cursor){.sent = cursor->sent, .resets = resets->count};
    if (cursor->call && cursor->call != e->invoke)
        measure(p->c, key, cursor);
    if (check_is_read(&e->rec)) {
        struct slot *slot = check_slot(key, e->rec.offset);
        if (!slot)
            return;
        if (cursor->polled)
            check_step(p->c, key, cursor, e, slot->index);
        cursor->polled = e;
        cursor->next = slot->index + 1;
    }
    if (cursor->polled && !(e->rec.flags & HISTORY_FINAL))
        cursor->call = e->invoke;
}

static void trim(struct checker *c, const struct checker_event *e)
{
    struct key *key = check_key(c, &e->rec);
    if (key)
        key->trimmed = MAX(key->trimmed, e->rec.offset);
}

static bool moves(const struct history_record *rec)
{
    return rec->op == HISTORY_ASSIGN || rec->op == HISTORY_REVOKE || rec->op == HISTORY_SEEK;
}

/* What the last polls left out. */
static void measure_last(struct checker *c)
{
    uint32_t pos = 0;
    uint64_t id;
    void *cursor;
    struct map numbers = {0};
    for (struct key *key = c->key_list; key && check_map_put(c, &numbers, key->number, key);)
        key = key->next;
    while (!c->no_memory && map_next(&c->cursors, &pos, &id, &cursor))
        measure(c, map_get(&numbers, id >> 32), cursor);
    map_free(&numbers);
}

void check_polls(struct checker *c)
{
    struct polls p = {.c = c};
    map_init(&p.resets);
    for (size_t i = 0; i < c->event_count && !c->no_memory; i++) {
        const struct checker_event *e = &c->events[i];
        if (moves(&e->rec))
            move(&p, e);
        else if (e->rec.op == HISTORY_TRIM)
            trim(c, e);
        else if (e->rec.op == HISTORY_POLL && e->rec.type == HISTORY_OK)
            advance(&p, e);
    }
    measure_last(c);
    map_free(&p.resets);
}
