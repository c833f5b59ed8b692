/* SPDX-License-Identifier: Apache-2.0 */
/* I20: the longest time for which somebody waited for an acknowledgment of a partition and none came. Time in
 * which nothing was asked for does not count. */
#include "tests/checker/checker_int.h"

struct waiting {
    uint32_t open; /* sends without an answer */
    const struct checker_event
        *since; /* first send after the last acknowledgment, or that acknowledgment while sends are open */
    const struct checker_event *last; /* newest send or answer */
};

static void measure(struct checker *c, const struct waiting *w, const struct checker_event *end)
{
    int64_t gap_us = end->rec.time_us - w->since->rec.time_us;
    c->stats.gap_max_us = MAX(c->stats.gap_max_us, gap_us);
    if (c->options.gap_max_us > 0 && gap_us > c->options.gap_max_us)
        check_report(c, &CHECK_FOUND(GAP, w->since, w->since, end));
}

static void on_send(struct checker *c, struct waiting *w, const struct checker_event *e)
{
    w->last = e;
    if (e->rec.type == HISTORY_INVOKE) {
        w->open++;
        if (!w->since)
            w->since = e;
        return;
    }
    w->open -= w->open > 0;
    if (e->rec.type != HISTORY_OK)
        return;
    if (w->since)
        measure(c, w, e);
    w->since = w->open > 0 ? e : NULL;
}

void check_gaps(struct checker *c)
{
    struct waiting *waiting = check_alloc(c, c->stats.keys + 1, sizeof(*waiting));
    for (size_t i = 0; i < c->event_count && waiting; i++) {
        struct key *key = c->events[i].rec.op == HISTORY_PRODUCE ? check_key(c, &c->events[i].rec) : NULL;
        if (key)
            on_send(c, &waiting[key->number], &c->events[i]);
    }
    for (struct key *key = c->key_list; key && waiting; key = key->next)
        if (waiting[key->number].since)
            measure(c, &waiting[key->number], waiting[key->number].last);
}
