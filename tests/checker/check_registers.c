/* SPDX-License-Identifier: Apache-2.0 */
/* I15: administrative operations on one thing are linearizable. A search over the orders that the operations
 * may have taken effect in (as Wing and Gong, with Lowe's set of configurations): a configuration is the
 * register's value and which of the open operations have taken effect. It moves on with each completion, so
 * long histories are cheap while few operations overlap. Operations without an answer overlap with all that
 * follows: of two configurations that differ only in how many of those are spent, one is enough. */
#include "tests/checker/checker_int.h"

#define OPEN_MAX    64   /* one bit each; operations without an answer stay open for ever */
#define CONFIGS_MAX 1024 /* above that the register is undecided */

struct config {
    int64_t value; /* 0: absent */
    uint64_t effective;
};

/* The register that one key names. */
struct reg {
    const struct checker_event *open[OPEN_MAX];
    uint64_t used;
    uint64_t lazy; /* those of them that never complete: they may take effect, but need not */
    struct config *configs;
    uint32_t config_count;
    const struct checker_event *last; /* the newest completed operation */
    bool given_up;
};

struct registers {
    struct checker *c;
    struct map by_key; /* key number -> struct reg */
};

static struct reg *reg_of(struct registers *r, const struct checker_event *e)
{
    struct key *key = check_key(r->c, &e->rec);
    struct reg *reg = key ? check_entry(r->c, &r->by_key, key->number, 0, sizeof(*reg)) : NULL;
    if (!reg || reg->given_up)
        return NULL;
    if (!reg->configs) {
        reg->configs = check_alloc(r->c, CONFIGS_MAX, sizeof(*reg->configs));
        reg->config_count = 1;
    }
    return reg->configs ? reg : NULL;
}

static void give_up(struct registers *r, struct reg *reg, enum checker_kind kind,
                    const struct checker_event *e)
{
    struct checker_violation found = CHECK_FOUND(UNDECIDED, e, reg->last, e->invoke, e);
    found.kind = kind;
    reg->given_up = true;
    check_report(r->c, &found);
}

/* Failed ones had no effect; unanswered reads say nothing. */
static bool has_effect(const struct checker_event *e)
{
    return !check_done(e, HISTORY_FAIL) && (e->rec.what != HISTORY_GET || check_done(e, HISTORY_OK));
}

static void on_invoke(struct registers *r, const struct checker_event *e)
{
    struct reg *reg = reg_of(r, e);
    if (!reg || !has_effect(e))
        return;
    if (reg->used == UINT64_MAX) {
        give_up(r, reg, CHECKER_UNDECIDED, e);
        return;
    }
    int slot = __builtin_ctzll(~reg->used);
    reg->used |= UINT64_C(1) << slot;
    if (!check_done(e, HISTORY_OK))
        reg->lazy |= UINT64_C(1) << slot;
    reg->open[slot] = e;
}

/* Whether an operation may take effect on a value, and what it leaves. */
static bool apply(const struct checker_event *invoke, int64_t value, int64_t *ret_value)
{
    switch (invoke->rec.what) {
    case HISTORY_GET: *ret_value = value; return invoke->done->rec.arg == value;
    case HISTORY_SET: *ret_value = invoke->rec.arg; return true;
    case HISTORY_CREATE: *ret_value = invoke->rec.arg; return value == 0;
    case HISTORY_DELETE: *ret_value = 0; return value != 0;
    default: return false; /* reported as bad-history */
    }
}

/* Whether all that can follow from b can follow from a: the same value, the same that must complete, and
 * nothing spent that b has not spent. */
static bool covers(const struct reg *reg, struct config a, struct config b)
{
    return a.value == b.value && (a.effective & ~b.effective) == 0 &&
           ((a.effective ^ b.effective) & ~reg->lazy) == 0;
}

/* Adds a configuration unless one that covers it is there. False when there is no room. */
static bool add(struct reg *reg, struct config config)
{
    for (uint32_t i = 0; i < reg->config_count; i++)
        if (covers(reg, reg->configs[i], config))
            return true;
    if (reg->config_count == CONFIGS_MAX)
        return false;
    reg->configs[reg->config_count++] = config;
    return true;
}

/* All configurations that follow from reg->configs[i] by one more open operation. */
static bool expand(struct reg *reg, uint32_t i)
{
    for (uint64_t left = reg->used & ~reg->configs[i].effective; left; left &= left - 1) {
        int slot = __builtin_ctzll(left);
        struct config next = {.effective = reg->configs[i].effective | UINT64_C(1) << slot};
        if (apply(reg->open[slot], reg->configs[i].value, &next.value) && !add(reg, next))
            return false;
    }
    return true;
}

/* Makes sure that the operation of `bit` has taken effect in every configuration. False when there are too
 * many. */
static bool settle(struct reg *reg, uint64_t bit)
{
    for (uint32_t i = 0; i < reg->config_count; i++)
        if (!(reg->configs[i].effective & bit) && !expand(reg, i))
            return false;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < reg->config_count; i++)
        if (reg->configs[i].effective & bit)
            reg->configs[kept++] = (struct config){reg->configs[i].value, reg->configs[i].effective & ~bit};
    reg->config_count = kept;
    return true;
}

static void on_ok(struct registers *r, const struct checker_event *e)
{
    struct reg *reg = reg_of(r, e);
    if (!reg)
        return;
    int slot = 0;
    while (slot < OPEN_MAX && !((reg->used >> slot & 1) && reg->open[slot] == e->invoke))
        slot++;
    if (slot == OPEN_MAX)
        return;
    if (!settle(reg, UINT64_C(1) << slot)) {
        give_up(r, reg, CHECKER_UNDECIDED, e);
        return;
    }
    reg->used &= ~(UINT64_C(1) << slot);
    if (reg->config_count == 0)
        give_up(r, reg, CHECKER_NOT_LINEARIZABLE, e);
    reg->last = e;
}

/* All events of one moment: what begins comes first, because they may overlap. Returns the end of the moment.
 */
static size_t moment(struct registers *r, size_t from)
{
    const struct checker_event *events = r->c->events;
    size_t end = from;
    for (; end < r->c->event_count && events[end].rec.time_us == events[from].rec.time_us; end++)
        if (events[end].rec.op == HISTORY_ADMIN && events[end].rec.type == HISTORY_INVOKE)
            on_invoke(r, &events[end]);
    for (size_t i = from; i < end; i++)
        if (events[i].rec.op == HISTORY_ADMIN && events[i].rec.type == HISTORY_OK && events[i].invoke)
            on_ok(r, &events[i]);
    return end;
}

void check_registers(struct checker *c)
{
    struct registers r = {.c = c};
    map_init(&r.by_key);
    for (size_t i = 0; i < c->event_count && !c->no_memory;)
        i = moment(&r, i);
    map_free(&r.by_key);
}
