/* SPDX-License-Identifier: Apache-2.0 */
/* The second pass: which value stands at which offset, by acknowledgments and polls, and who has read it. */
#include "tests/checker/checker_int.h"

struct slot *check_slot(const struct key *key, int64_t offset)
{
    return map_get(&key->slots, (uint64_t)offset);
}

/* A read of what nobody wrote gets an entry as well, so that it is reported once. */
static struct value *read_value(struct checker *c, const struct checker_event *e, struct key *key)
{
    struct value *value = check_value(c, &e->rec);
    if (value)
        return value;
    check_report(c, &CHECK_FOUND(PHANTOM_READ, e, e));
    return check_add_value(c, e, key);
}

/* The first transaction that read from another, by one of its polls. */
static void add_edge(struct checker *c, const struct checker_event *e, struct txn *from)
{
    struct txn *reader = check_txn(c, &e->rec);
    if (!reader || !from || reader == from)
        return;
    struct txn_edge *edge = check_alloc(c, 1, sizeof(*edge));
    if (!edge)
        return;
    *edge = (struct txn_edge){.from = from, .read = e, .next = reader->reads_from};
    reader->reads_from = edge;
}

/* Two values at one offset. After an allowed unclean election a newer epoch may have put another value there.
 */
static void clash(struct checker *c, struct key *key, struct slot *slot, const struct checker_event *e,
                  struct value *value)
{
    struct checker_violation found = CHECK_FOUND(INCONSISTENT_OFFSETS, e, slot->claim, e);
    bool same_epoch = slot->epoch >= 0 && slot->epoch == e->rec.epoch;
    if (same_epoch)
        check_report(c, &found);
    else
        check_report_in(c, key, found);
    if (key->unclean && e->rec.epoch > slot->epoch)
        *slot = (struct slot){.offset = slot->offset, .value = value, .claim = e, .epoch = e->rec.epoch};
}

/* An acknowledgment or a poll says that a value stands at an offset. */
static struct slot *claim(struct checker *c, struct key *key, const struct checker_event *e,
                          struct value *value)
{
    struct slot *slot = check_slot(key, e->rec.offset);
    if (!slot) {
        slot = check_alloc(c, 1, sizeof(*slot));
        if (!slot || !check_map_put(c, &key->slots, (uint64_t)e->rec.offset, slot))
            return NULL;
        *slot = (struct slot){.offset = e->rec.offset, .value = value, .claim = e, .epoch = e->rec.epoch};
        key->slot_count++;
    }
    if (slot->value != value)
        clash(c, key, slot, e, value);
    if (slot->epoch < 0)
        slot->epoch = e->rec.epoch;
    return slot->value == value ? slot : NULL;
}

/* Whether another record of the writer stands between the log's start and the second place. Not one that was
 * sent before and came behind the deletion: it was repeated itself. */
static bool is_known(const struct checker *c, const struct value *value, int64_t log_start, int64_t second,
                     const struct trim *trim)
{
    for (const struct value *v = c->value_list; v; v = v->next) {
        if (v == value || v->key != value->key || !v->invoke || !value->invoke || !v->place ||
            v->invoke->rec.process != value->invoke->rec.process)
            continue;
        bool repeated = v->invoke < value->invoke && trim && v->place->rec.offset >= trim->end;
        if (!repeated && v->place->rec.offset >= log_start && v->place->rec.offset < second)
            return true;
    }
    return false;
}

bool check_may_stand_again(const struct checker *c, const struct value *value, int64_t log_start,
                           int64_t first, int64_t second)
{
    const struct trim *trim = value->key->trims;
    if (first >= log_start)
        return false;
    while (trim && trim->event->rec.offset <= first)
        trim = trim->next;
    return !(trim && trim->end > second) && !is_known(c, value, log_start, second, trim);
}

static bool was_deleted(const struct checker *c, const struct value *value, const struct checker_event *a,
                        const struct checker_event *b)
{
    int64_t first = MIN(a->rec.offset, b->rec.offset), second = MAX(a->rec.offset, b->rec.offset);
    return check_may_stand_again(c, value, value->key->log_start, first, second);
}

/* A value has one place, unless its producer is not idempotent. */
static void place(struct checker *c, struct key *key, const struct checker_event *e, struct value *value)
{
    if (!value->place) {
        value->place = e;
        return;
    }
    bool may_repeat = value->invoke && (value->invoke->rec.flags & HISTORY_MAY_REPEAT);
    if (value->key != key || value->place->rec.offset == e->rec.offset || value->repeated || may_repeat)
        return;
    value->repeated = true;
    if (was_deleted(c, value, value->place, e)) {
        c->stats.excused++;
        return;
    }
    check_report_in(c, key, CHECK_FOUND(DUPLICATE, e, value->invoke, value->place, e));
}

static void index_ack(struct checker *c, const struct checker_event *e)
{
    struct value *value = check_value(c, &e->rec);
    if (!e->invoke || !value || !check_keeps_place(&value->invoke->rec))
        return;
    if (!value->key->acked)
        value->key->acked = e;
    if (e->rec.offset < 0)
        return;
    value->log_start = value->key->log_start;
    claim(c, value->key, e, value);
    place(c, value->key, e, value);
}

static void mark_read(const struct checker_event **read, const struct checker_event **read_final,
                      const struct checker_event *e)
{
    if (!*read)
        *read = e;
    if (!*read_final && (e->rec.flags & HISTORY_FINAL))
        *read_final = e;
}

static void index_read(struct checker *c, const struct checker_event *e)
{
    struct key *key = check_key(c, &e->rec);
    struct value *value = key && e->rec.offset >= 0 ? read_value(c, e, key) : NULL;
    if (!value)
        return;
    if (value->key != key)
        check_report(c, &CHECK_FOUND(WRONG_KEY, e, value->invoke, e));
    c->stats.read += value->read == NULL;
    mark_read(&value->read, &value->read_final, e);
    struct slot *slot = claim(c, key, e, value);
    if (slot)
        mark_read(&slot->read, &slot->read_final, e);
    place(c, key, e, value);
    if (value->txn && !value->txn->seen && !(e->rec.flags & HISTORY_UNCOMMITTED))
        value->txn->seen = e;
    add_edge(c, e, value->txn);
}

/* Where the log begins and ends by now, as far as the history tells. */
static void index_bounds(struct checker *c, const struct checker_event *e)
{
    bool sample = e->rec.op == HISTORY_SAMPLE && e->rec.type == HISTORY_OK;
    bool acked = e->rec.op == HISTORY_PRODUCE && e->rec.type == HISTORY_OK && e->invoke;
    bool place = check_is_read(&e->rec) || (acked && check_keeps_place(&e->invoke->rec));
    struct key *key = sample || place || e->rec.op == HISTORY_TRIM ? check_key(c, &e->rec) : NULL;
    if (!key)
        return;
    if (sample && e->rec.what == HISTORY_LOG_START)
        key->log_start = MAX(key->log_start, e->rec.offset);
    else if (sample || place)
        key->end = MAX(key->end, e->rec.offset + place);
    for (struct trim *trim = e->rec.op == HISTORY_TRIM ? key->trims : NULL; trim; trim = trim->next)
        if (trim->event == e)
            trim->end = key->end;
}

static void index_send(struct checker *c, const struct checker_event *e)
{
    struct value *value = check_value(c, &e->rec);
    if (value && value->invoke == e)
        value->from = value->key->end;
}

void index_slots(struct checker *c)
{
    for (size_t i = 0; i < c->event_count && !c->no_memory; i++) {
        const struct checker_event *e = &c->events[i];
        index_bounds(c, e);
        if (e->rec.op == HISTORY_PRODUCE && e->rec.type == HISTORY_INVOKE)
            index_send(c, e);
        if (e->rec.op == HISTORY_PRODUCE && e->rec.type == HISTORY_OK)
            index_ack(c, e);
        if (check_is_read(&e->rec))
            index_read(c, e);
        struct key *key =
            e->rec.op == HISTORY_POLL && (e->rec.flags & HISTORY_FINAL) ? check_key(c, &e->rec) : NULL;
        if (key && !key->final && e->rec.type == HISTORY_OK)
            key->final = e;
    }
}
