/* SPDX-License-Identifier: Apache-2.0 */
/* The third pass: how transactions ended, and the version order of each partition. */
#include <stdlib.h>

#include "tests/checker/checker_int.h"

/* A commit without an answer is proved by a reader that saw one of its writes. */
static enum txn_outcome outcome_of(const struct txn *txn)
{
    if (check_done(txn->commit, HISTORY_OK))
        return TXN_COMMITTED;
    if (check_done(txn->abort, HISTORY_OK) || check_done(txn->commit, HISTORY_FAIL))
        return TXN_ABORTED;
    return txn->commit && txn->seen ? TXN_COMMITTED : TXN_UNKNOWN;
}

bool check_stable(const struct value *value)
{
    if (!value->invoke || (value->invoke->rec.flags & HISTORY_MAY_BE_LOST))
        return false;
    if (!value->read && !check_done(value->invoke, HISTORY_OK))
        return false;
    return !check_done(value->invoke, HISTORY_FAIL) && (!value->txn || value->txn->outcome == TXN_COMMITTED);
}

static int compare_slots(const void *a, const void *b)
{
    const struct slot *x = *(struct slot *const *)a, *y = *(struct slot *const *)b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static bool alloc_order(struct checker *c, struct key *key)
{
    key->order = check_alloc(c, key->slot_count, sizeof(struct slot *));
    key->stable_before = check_alloc(c, key->slot_count + 1, sizeof(*key->stable_before));
    key->known_since = check_alloc(c, key->slot_count + 1, sizeof(struct checker_event *));
    return !c->no_memory;
}

static void fill_order(struct key *key)
{
    uint32_t pos = 0, count = 0;
    uint64_t offset;
    void *slot;
    while (map_next(&key->slots, &pos, &offset, &slot))
        key->order[count++] = slot;
    ASSERT(count == key->slot_count);
    if (count)
        qsort(key->order, count, sizeof(struct slot *), compare_slots);
}

/* Marks the slots that every reader must see, counts them from below, and finds the highest one read. */
static void mark_stable(struct key *key)
{
    for (uint32_t i = 0; i < key->slot_count; i++) {
        struct slot *slot = key->order[i];
        slot->index = i;
        slot->stable = check_stable(slot->value);
        key->stable_before[i + 1] = key->stable_before[i] + slot->stable;
        if (key->final ? slot->read_final != NULL : slot->read != NULL)
            key->last_read = slot;
    }
}

/* From above: since when a reader could know that there is something at or above an index. */
static void mark_known(struct key *key)
{
    const struct checker_event *first = NULL;
    for (uint32_t i = key->slot_count; i-- > 0;) {
        const struct value *value = key->order[i]->value;
        const struct checker_event *ack = check_done(value->invoke, HISTORY_OK) ? value->invoke->done : NULL;
        if (key->order[i]->stable && key->order[i]->offset >= key->trim && ack &&
            (!first || ack->rec.time_us < first->rec.time_us))
            first = ack;
        key->known_since[i] = first;
    }
}

void index_orders(struct checker *c)
{
    for (struct txn *txn = c->txn_list; txn; txn = txn->next) {
        txn->outcome = outcome_of(txn);
        if (check_done(txn->commit, HISTORY_OK) && check_done(txn->abort, HISTORY_OK))
            check_bad(c, txn->abort, txn->commit);
    }
    for (struct key *key = c->key_list; key; key = key->next) {
        if (!alloc_order(c, key))
            return;
        fill_order(key);
        mark_stable(key);
        mark_known(key);
    }
}

uint32_t check_order_find(const struct key *key, int64_t offset)
{
    uint32_t low = 0, high = key->slot_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (key->order[middle]->offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
