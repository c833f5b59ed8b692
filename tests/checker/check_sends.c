/* SPDX-License-Identifier: Apache-2.0 */
/* I9: what one producer sends to one partition stands there in the order of sending. */
#include "tests/checker/checker_int.h"

/* Sends that promise no order: not idempotent, or such that an acknowledged record may be cut off again. */
static bool is_loose(const struct history_record *rec)
{
    return (rec->flags & HISTORY_MAY_REPEAT) || !check_keeps_place(rec);
}

/* Nobody need have seen the first place of what was repeated: it was below that of the one sent behind it. */
static bool was_repeated(struct checker *c, const struct checker_event *before, const struct checker_event *e)
{
    const struct value *value = check_value(c, &before->rec);
    return value &&
           check_may_stand_again(c, value, value->log_start, e->done->rec.offset, before->done->rec.offset);
}

static void check_send(struct checker *c, const struct checker_event *e)
{
    struct key *key = check_key(c, &e->rec);
    struct cursor *cursor = key ? check_cursor(c, key, e->rec.process) : NULL;
    if (!cursor)
        return;
    const struct checker_event *before = cursor->sent;
    if (before && before->done->rec.offset > e->done->rec.offset && was_repeated(c, before, e)) {
        c->stats.excused++;
    } else if (before && before->done->rec.offset >= e->done->rec.offset) {
        struct checker_violation found =
            CHECK_FOUND(NONMONOTONIC_SEND, e->done, before, e, before->done, e->done);
        if (e->rec.txn != 0 && e->rec.txn == before->rec.txn)
            found.kind = CHECKER_INT_NONMONOTONIC_SEND;
        check_report_in(c, key, found);
    } else {
        cursor->sent = e;
    }
}

void check_sends(struct checker *c)
{
    for (size_t i = 0; i < c->event_count && !c->no_memory; i++) {
        const struct checker_event *e = &c->events[i];
        if (e->rec.op == HISTORY_PRODUCE && e->rec.type == HISTORY_INVOKE && check_done(e, HISTORY_OK) &&
            e->done->rec.offset >= 0 && !is_loose(&e->rec))
            check_send(c, e);
    }
}
