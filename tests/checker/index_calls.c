/* SPDX-License-Identifier: Apache-2.0 */
/* The first pass: completions find their invokes; partitions, values and transactions get their entries. A
 * history that contradicts itself is a finding too, because a checker that shrugs at it can be fooled. */
#include "tests/checker/checker_int.h"

void *check_alloc(struct checker *c, size_t count, size_t size)
{
    void *p = c->no_memory ? NULL : arena_calloc(&c->arena, count, size);
    c->no_memory |= p == NULL;
    return p;
}

bool check_map_put(struct checker *c, struct map *map, uint64_t key, void *value)
{
    c->no_memory |= !map_put(map, key, value);
    return !c->no_memory;
}

static uint64_t pair(uint32_t high, uint32_t low)
{
    return (uint64_t)high << 32 | low;
}

void *check_entry(struct checker *c, struct map *map, uint32_t high, uint32_t low, size_t size)
{
    void *entry = map_get(map, pair(high, low));
    if (entry)
        return entry;
    entry = check_alloc(c, 1, size);
    return entry && check_map_put(c, map, pair(high, low), entry) ? entry : NULL;
}

struct key *check_key(struct checker *c, const struct history_record *rec)
{
    uint64_t id = pair(rec->topic, (uint32_t)rec->partition);
    if (rec->topic == 0 || rec->partition < 0)
        return NULL;
    struct key *key = map_get(&c->keys, id);
    if (key)
        return key;
    key = check_alloc(c, 1, sizeof(*key));
    if (!key || !check_map_put(c, &c->keys, id, key))
        return NULL;
    key->number = (uint32_t)c->stats.keys++;
    key->topic = rec->topic;
    key->partition = rec->partition;
    key->trim_tail = &key->trims;
    *c->key_tail = key;
    c->key_tail = &key->next;
    return key;
}

struct value *check_value(struct checker *c, const struct history_record *rec)
{
    return map_get(&c->values, rec->value);
}

struct txn *check_txn(struct checker *c, const struct history_record *rec)
{
    if (rec->txn == 0)
        return NULL;
    struct txn *txn = map_get(&c->txns, rec->txn);
    if (txn)
        return txn;
    txn = check_alloc(c, 1, sizeof(*txn));
    if (!txn || !check_map_put(c, &c->txns, rec->txn, txn))
        return NULL;
    txn->id = rec->txn;
    c->stats.txns++;
    *c->txn_tail = txn;
    c->txn_tail = &txn->next;
    return txn;
}

struct cursor *check_cursor(struct checker *c, const struct key *key, uint32_t process)
{
    return check_entry(c, &c->cursors, key->number, process, sizeof(struct cursor));
}

void check_bad(struct checker *c, const struct checker_event *e, const struct checker_event *other)
{
    check_report(c, &CHECK_FOUND(BAD_HISTORY, e, other, e));
}

struct value *check_add_value(struct checker *c, const struct checker_event *e, struct key *key)
{
    struct value *value = check_alloc(c, 1, sizeof(*value));
    if (!value || !check_map_put(c, &c->values, e->rec.value, value))
        return NULL;
    *value = (struct value){.id = e->rec.value, .number = (uint32_t)c->stats.values++, .key = key};
    *c->value_tail = value;
    c->value_tail = &value->next;
    return value;
}

static void invoke_produce(struct checker *c, const struct checker_event *e)
{
    struct key *key = check_key(c, &e->rec);
    struct value *value = check_value(c, &e->rec);
    if (e->rec.value == 0 || value)
        check_bad(c, e, value ? value->invoke : NULL);
    if (!key || e->rec.value == 0 || value)
        return;
    value = check_add_value(c, e, key);
    if (!value)
        return;
    value->invoke = e;
    value->txn = check_txn(c, &e->rec);
}

static void invoke_txn(struct checker *c, const struct checker_event *e)
{
    struct txn *txn = check_txn(c, &e->rec);
    if (!txn) {
        check_bad(c, e, NULL);
        return;
    }
    const struct checker_event **place = e->rec.op == HISTORY_TXN_BEGIN    ? &txn->begin
                                         : e->rec.op == HISTORY_TXN_COMMIT ? &txn->commit
                                                                           : &txn->abort;
    if (*place)
        check_bad(c, e, *place);
    *place = e;
}

static void invoke(struct checker *c, struct checker_event *e)
{
    if (e->rec.op == HISTORY_PRODUCE) {
        invoke_produce(c, e);
        return;
    }
    if (e->rec.op == HISTORY_TXN_BEGIN || e->rec.op == HISTORY_TXN_COMMIT || e->rec.op == HISTORY_TXN_ABORT)
        invoke_txn(c, e);
    c->stats.polls += e->rec.op == HISTORY_POLL;
    check_map_put(c, &c->calls, pair(e->rec.process, e->rec.call), e);
}

/* The invoke that a completion belongs to, or NULL. */
static struct checker_event *find_invoke(struct checker *c, const struct checker_event *e)
{
    if (e->rec.op != HISTORY_PRODUCE)
        return map_get(&c->calls, pair(e->rec.process, e->rec.call));
    struct value *value = check_value(c, &e->rec);
    return value ? (struct checker_event *)value->invoke : NULL;
}

/* Whether a completion says what its invoke asked. A poll may return any key. */
static bool belongs(const struct checker_event *e, const struct checker_event *to)
{
    const struct history_record *a = &e->rec, *b = &to->rec;
    if (a->op != b->op || a->process != b->process)
        return false;
    return a->op == HISTORY_POLL ||
           (a->topic == b->topic && a->partition == b->partition && a->txn == b->txn);
}

static void complete(struct checker *c, struct checker_event *e)
{
    struct checker_event *to = find_invoke(c, e);
    if (!to || !belongs(e, to)) {
        check_bad(c, e, to);
        return;
    }
    e->invoke = to;
    bool more = e->rec.op == HISTORY_POLL && e->rec.type == HISTORY_OK && check_done(to, HISTORY_OK);
    if (to->done && !more)
        check_bad(c, e, to->done);
    if (!to->done)
        to->done = e;
    c->stats.acked += e->rec.op == HISTORY_PRODUCE && e->rec.type == HISTORY_OK;
}

/* What the records of each op must say besides their op: a key, one of these whats (bits), a group. What is
 * missing would be passed over by a check, and that would look like a pass. */
static const struct {
    uint32_t whats;
    bool keyed, grouped;
} shapes[HISTORY_OP_COUNT] = {
#define BIT(what) (1u << HISTORY_##what)
    [HISTORY_PRODUCE] = {.keyed = true},
    [HISTORY_SAMPLE] = {.keyed = true,
                        .whats = BIT(LATEST) | BIT(HIGH_WATERMARK) | BIT(LAST_STABLE) | BIT(LOG_START)},
    [HISTORY_COMMIT] = {.keyed = true, .grouped = true},
    [HISTORY_COMMITTED] = {.keyed = true, .grouped = true},
    [HISTORY_BEAT] = {.grouped = true},
    [HISTORY_ADMIN] = {.keyed = true, .whats = BIT(SET) | BIT(GET) | BIT(CREATE) | BIT(DELETE)},
    [HISTORY_TRIM] = {.keyed = true},
    [HISTORY_METADATA] = {.keyed = true, .whats = BIT(LEADER) | BIT(ISR) | BIT(JOINED) | BIT(HELD)},
    [HISTORY_REPLICA] = {.keyed = true, .whats = BIT(BATCH) | BIT(HIGH_WATERMARK) | BIT(LOG_START)},
#undef BIT
};

STATIC_ASSERT(HISTORY_WHAT_COUNT <= 32, "the whats of an op are bits of 32");

static bool well_formed(const struct history_record *rec)
{
    bool keyed = rec->topic != 0 && rec->partition >= 0;
    uint32_t whats = shapes[rec->op].whats;
    if (shapes[rec->op].keyed && !keyed)
        return false;
    if (shapes[rec->op].grouped && rec->group == 0)
        return false;
    if (rec->op == HISTORY_POLL && rec->type == HISTORY_OK && (rec->value != 0 || rec->offset >= 0))
        return keyed && rec->value != 0 && rec->offset >= 0;
    return whats == 0 ? rec->what == HISTORY_WHAT_NONE : (whats >> rec->what & 1) != 0;
}

static void allow_trim(struct checker *c, struct key *key, const struct checker_event *e)
{
    if (e->rec.offset <= key->trim)
        return;
    key->trim = e->rec.offset;
    struct trim *trim = check_alloc(c, 1, sizeof(*trim));
    if (!trim)
        return;
    trim->event = e;
    *key->trim_tail = trim;
    key->trim_tail = &trim->next;
}

/* What was seen without a call. */
static void observe(struct checker *c, const struct checker_event *e)
{
    struct key *key = check_key(c, &e->rec);
    if (e->rec.type != HISTORY_OK)
        check_bad(c, e, NULL);
    if (e->rec.op == HISTORY_TRIM && key)
        allow_trim(c, key, e);
    if (e->rec.op == HISTORY_METADATA && (e->rec.flags & HISTORY_UNCLEAN) && key && !key->unclean)
        key->unclean = e;
}

void index_calls(struct checker *c)
{
    for (size_t i = 0; i < c->event_count && !c->no_memory; i++) {
        struct checker_event *e = &c->events[i];
        if (!well_formed(&e->rec))
            check_bad(c, e, NULL);
        check_key(c, &e->rec);
        if (!history_op_is_call(e->rec.op))
            observe(c, e);
        else if (e->rec.type == HISTORY_INVOKE)
            invoke(c, e);
        else
            complete(c, e);
    }
}
