/* SPDX-License-Identifier: Apache-2.0 */
/* I10 for logs: when no transaction is under way any more, everything is stable. What a leader says of both
 * ends at the end (samples with `final`) tells. */
#include "tests/checker/checker_int.h"

/* The newest final sample of the last stable offset of one partition by one process. */
struct stable {
    const struct checker_event *event;
};

static void on_sample(struct checker *c, struct map *stables, const struct checker_event *e)
{
    struct key *key = check_key(c, &e->rec);
    struct stable *stable =
        key ? check_entry(c, stables, key->number, e->rec.process, sizeof(*stable)) : NULL;
    if (!stable)
        return;
    if (e->rec.what == HISTORY_LAST_STABLE)
        stable->event = e;
    else if (e->rec.what == HISTORY_HIGH_WATERMARK && stable->event &&
             stable->event->rec.offset < e->rec.offset)
        check_report(c, &CHECK_FOUND(HANGING_TXN, stable->event, stable->event, e));
}

void check_stable_ends(struct checker *c)
{
    struct map stables;
    map_init(&stables);
    for (size_t i = 0; i < c->event_count && !c->no_memory; i++) {
        const struct checker_event *e = &c->events[i];
        if (e->rec.op == HISTORY_SAMPLE && e->rec.type == HISTORY_OK && (e->rec.flags & HISTORY_FINAL))
            on_sample(c, &stables, e);
    }
    map_free(&stables);
}
