/* SPDX-License-Identifier: Apache-2.0 */
/* I12: what must only grow, grows; and nothing that is not committed is removed, or stable. One process never
 * sees the latest offset, the log start or the leader epoch go back. Within one leader epoch nobody does, and
 * the high watermark and the last stable offset neither: there is one leader that says them. Across epochs
 * these may: a new leader learns the high watermark from its followers. A high watermark that an epoch's
 * leader tells is not below a log start or a last stable offset that it told before. */
#include "tests/checker/checker_int.h"

/* Completed samples whose number was the highest so far, the newest first. */
struct high {
    const struct checker_event *event;
    struct high *before;
};

#define EPOCHS HISTORY_WHAT_NONE /* the place of leader epochs in a table by `what` */

struct highs {
    struct high *by_what[HISTORY_WHAT_COUNT];
    const struct checker_event *last[HISTORY_WHAT_COUNT]; /* of one process */
};

struct samples {
    struct checker *c;
    struct map by_process; /* key number, process -> struct highs */
    struct map by_epoch;   /* key number, epoch -> struct highs */
};

static int64_t number_of(const struct checker_event *e, unsigned what)
{
    return what == EPOCHS ? e->rec.epoch : e->rec.offset;
}

/* The highest sample that was complete before this one was asked for, or NULL. */
static const struct high *highest_before(const struct high *high, const struct checker_event *e)
{
    while (high && high->event->rec.time_us >= e->invoke->rec.time_us)
        high = high->before;
    return high;
}

/* Compares with the highest sample before, then becomes the highest itself. Returns the sample that this one
 * should not be below, or NULL. */
static const struct checker_event *compare(struct checker *c, struct high **high,
                                           const struct checker_event *e, unsigned what)
{
    const struct high *before = highest_before(*high, e);
    bool below = before && number_of(before->event, what) > number_of(e, what);
    if (!*high || number_of((*high)->event, what) < number_of(e, what)) {
        struct high *entry = check_alloc(c, 1, sizeof(*entry));
        if (!entry)
            return NULL;
        *entry = (struct high){.event = e, .before = *high};
        *high = entry;
    }
    return below ? before->event : NULL;
}

static bool grows_across_epochs(unsigned what)
{
    return what == HISTORY_LATEST || what == HISTORY_LOG_START;
}

/* A high watermark against what the same process, or anybody before, was told of the same leader epoch. */
static void check_bound(struct checker *c, const struct highs *own, const struct highs *epoch, unsigned what,
                        const struct checker_event *e)
{
    const struct checker_event *last = own->last[what];
    const struct high *high = highest_before(epoch->by_what[what], e);
    if (!last || last->rec.epoch != e->rec.epoch || last->rec.offset <= e->rec.offset)
        last = high ? high->event : NULL;
    if (last && last->rec.offset > e->rec.offset)
        check_report(c, &CHECK_FOUND(PAST_HIGH_WATERMARK, e, last, e->invoke, e));
}

static void check_bounds(struct checker *c, struct highs *own, const struct highs *epoch,
                         const struct checker_event *e)
{
    own->last[e->rec.what] = e;
    if (e->rec.what != HISTORY_HIGH_WATERMARK || e->rec.epoch < 0)
        return;
    check_bound(c, own, epoch, HISTORY_LOG_START, e);
    check_bound(c, own, epoch, HISTORY_LAST_STABLE, e);
}

static void check_sample(struct samples *s, const struct checker_event *e)
{
    struct key *key = check_key(s->c, &e->rec);
    if (!key || !e->invoke)
        return;
    struct highs *own = check_entry(s->c, &s->by_process, key->number, e->rec.process, sizeof(*own));
    struct highs *epoch =
        check_entry(s->c, &s->by_epoch, key->number, (uint32_t)e->rec.epoch, sizeof(*epoch));
    if (!own || !epoch)
        return;
    const struct checker_event *below[3] = {0};
    if (grows_across_epochs(e->rec.what))
        below[0] = compare(s->c, &own->by_what[e->rec.what], e, e->rec.what);
    if (e->rec.epoch >= 0) {
        below[1] = compare(s->c, &own->by_what[EPOCHS], e, EPOCHS);
        below[2] = compare(s->c, &epoch->by_what[e->rec.what], e, e->rec.what);
    }
    const struct checker_event *worst = below[0] ? below[0] : below[1] ? below[1] : below[2];
    if (worst)
        check_report_in(s->c, key, CHECK_FOUND(REGRESS, e, worst, e->invoke, e));
    check_bounds(s->c, own, epoch, e);
    if (e->rec.what == HISTORY_LOG_START && e->rec.offset > key->trim)
        check_report(s->c, &CHECK_FOUND(EARLY_DELETE, e, e->invoke, e));
}

void check_samples(struct checker *c)
{
    struct samples s = {.c = c};
    map_init(&s.by_process);
    map_init(&s.by_epoch);
    for (size_t i = 0; i < c->event_count && !c->no_memory; i++)
        if (c->events[i].rec.op == HISTORY_SAMPLE && c->events[i].rec.type == HISTORY_OK)
            check_sample(&s, &c->events[i]);
    map_free(&s.by_process);
    map_free(&s.by_epoch);
}
