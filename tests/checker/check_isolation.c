/* SPDX-License-Identifier: Apache-2.0 */
/* I5, I6, I11: readers see only what is decided, and a pipe consumes each record once. */
#include "tests/checker/checker_int.h"

/* The kind of violation that a poll of this value is, or CHECKER_KIND_COUNT. */
static enum checker_kind judge(const struct value *value, const struct checker_event *e)
{
    const struct txn *txn = value->txn;
    if (check_done(value->invoke, HISTORY_FAIL))
        return CHECKER_ABORTED_READ;
    if (!txn || (e->rec.flags & HISTORY_UNCOMMITTED))
        return CHECKER_KIND_COUNT;
    if (txn->outcome == TXN_ABORTED)
        return CHECKER_ABORTED_READ;
    if (!txn->commit || txn->commit->rec.time_us > e->rec.time_us || e->rec.txn == txn->id)
        return CHECKER_PRECOMMITTED_READ;
    return CHECKER_KIND_COUNT;
}

static void check_read(struct checker *c, const struct checker_event *e)
{
    struct value *value = check_value(c, &e->rec);
    if (!value || !value->invoke || value->read_too_soon)
        return;
    enum checker_kind kind = judge(value, e);
    if (kind == CHECKER_KIND_COUNT)
        return;
    const struct txn *txn = value->txn;
    struct checker_violation found = CHECK_FOUND(ABORTED_READ, e, value->invoke, value->invoke->done, e,
                                                 txn ? txn->abort : NULL, txn ? txn->commit : NULL);
    found.kind = kind;
    value->read_too_soon = true;
    check_report(c, &found);
}

/* The poll that consumed a value for a group. */
struct consumed {
    const struct checker_event *by;
};

static void check_consumed(struct checker *c, struct map *consumed, const struct checker_event *e)
{
    const struct txn *txn = check_txn(c, &e->rec);
    const struct value *value = check_value(c, &e->rec);
    if (!txn || !value || txn->outcome != TXN_COMMITTED)
        return;
    struct consumed *entry = check_entry(c, consumed, e->rec.group, value->number, sizeof(*entry));
    if (!entry)
        return;
    if (entry->by && entry->by->rec.txn != e->rec.txn) {
        const struct txn *other = check_txn(c, &entry->by->rec);
        check_report(c, &CHECK_FOUND(CONSUME_COUNT, e, entry->by, other->commit, e, txn->commit));
    }
    entry->by = e;
}

void check_isolation(struct checker *c)
{
    struct map consumed;
    map_init(&consumed);
    for (size_t i = 0; i < c->event_count && !c->no_memory; i++) {
        const struct checker_event *e = &c->events[i];
        if (!check_is_read(&e->rec))
            continue;
        check_read(c, e);
        if (e->rec.txn != 0 && e->rec.group != 0)
            check_consumed(c, &consumed, e);
    }
    map_free(&consumed);
}
