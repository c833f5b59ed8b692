/* SPDX-License-Identifier: Apache-2.0 */
/* I2, I3 and the first half of I10: what was acknowledged, or was once read, is there when everything is read
 * at the end. */
#include "tests/checker/checker_int.h"

/* What proves that the value was there: its acknowledgment, or the first poll that returned it. */
static const struct checker_event *proof_of(const struct value *value)
{
    return check_done(value->invoke, HISTORY_OK) ? value->invoke->done : value->read;
}

/* A missing value whose transaction shows other writes. */
static bool torn(struct checker *c, const struct value *value)
{
    const struct txn *txn = value->txn;
    if (!txn || !txn->seen)
        return false;
    check_report_in(
        c, value->key,
        CHECK_FOUND(TORN_TXN, proof_of(value), value->invoke, proof_of(value), txn->commit, txn->seen));
    return true;
}

/* The index of a value in its version order, or the one behind the last when its offset is not known. */
static uint32_t index_of(const struct value *value)
{
    return value->place ? check_order_find(value->key, value->place->rec.offset) : value->key->slot_count;
}

static void missing(struct checker *c, const struct value *value)
{
    const struct key *key = value->key;
    const struct slot *last = key->last_read;
    const struct checker_event *proof = proof_of(value);
    bool passed = last && index_of(value) < last->index;
    if (!passed && !key->final)
        return;
    if (torn(c, value))
        return;
    if (passed)
        check_report_in(
            c, key,
            CHECK_FOUND(LOST_WRITE, proof, value->invoke, proof, key->final ? last->read_final : last->read));
    else
        check_report_in(c, key, CHECK_FOUND(UNSEEN, proof, value->invoke, proof, key->final));
}

/* Whether the value may be gone because retention or a deletion was allowed to reach it. */
static bool trimmed(const struct value *value)
{
    return (value->place ? value->place->rec.offset : value->from) < value->key->trim;
}

void check_presence(struct checker *c)
{
    for (struct value *value = c->value_list; value; value = value->next)
        if (check_stable(value) && !trimmed(value) && !(value->key->final ? value->read_final : value->read))
            missing(c, value);
    for (struct key *key = c->key_list; key; key = key->next)
        if (key->acked && !key->final && !c->options.partial)
            check_report(c, &CHECK_FOUND(NO_FINAL_READ, key->acked, key->acked));
}
