/* SPDX-License-Identifier: Apache-2.0 */
/* What the metadata may never say: two leaders in one epoch (or term), different images at one offset, a
 * stranger or a replica that is behind in the ISR, a replica that lost what was counted on. */
#include "tests/checker/checker_int.h"

struct said {
    const struct checker_event *first;
};

struct metadata {
    struct checker *c;
    struct map leaders; /* key number, epoch -> struct said */
    struct map images;  /* offset -> event */
    struct map entries; /* the same */
};

static void on_leader(struct metadata *m, const struct checker_event *e)
{
    struct key *key = check_key(m->c, &e->rec);
    if (!key || e->rec.epoch < 0 || e->rec.node < 0)
        return;
    struct said *said = check_entry(m->c, &m->leaders, key->number, (uint32_t)e->rec.epoch, sizeof(*said));
    if (!said)
        return;
    if (!said->first)
        said->first = e;
    if (said->first->rec.node != e->rec.node)
        check_report(m->c, &CHECK_FOUND(TWO_LEADERS, e, said->first, e));
}

/* Whoever is at this offset is there with the same content. */
static void on_content(struct metadata *m, struct map *at, enum checker_kind kind,
                       const struct checker_event *e)
{
    const struct checker_event *same = map_get(at, (uint64_t)e->rec.offset);
    if (!same) {
        check_map_put(m->c, at, (uint64_t)e->rec.offset, (void *)e);
    } else if (same->rec.arg != e->rec.arg || same->rec.epoch != e->rec.epoch) {
        struct checker_violation found = CHECK_FOUND(IMAGE_DIVERGENCE, e, same, e);
        found.kind = kind;
        check_report(m->c, &found);
    }
}

static void on_metadata(struct metadata *m, const struct checker_event *e)
{
    if (e->rec.what == HISTORY_LEADER)
        on_leader(m, e);
    if (e->rec.what == HISTORY_ISR && (e->rec.arg & ~e->rec.arg2) != 0)
        check_report(m->c, &CHECK_FOUND(ISR_FOREIGN, e, e));
    if (e->rec.what == HISTORY_JOINED && e->rec.offset < e->rec.arg)
        check_report(m->c, &CHECK_FOUND(ISR_BEHIND, e, e));
    if (e->rec.what == HISTORY_HELD && e->rec.offset < e->rec.arg)
        check_report(m->c, &CHECK_FOUND(NOT_DURABLE, e, e));
}

void check_metadata(struct checker *c)
{
    struct metadata m = {.c = c};
    map_init(&m.leaders);
    map_init(&m.images);
    map_init(&m.entries);
    for (size_t i = 0; i < c->event_count && !c->no_memory; i++) {
        if (c->events[i].rec.op == HISTORY_METADATA)
            on_metadata(&m, &c->events[i]);
        if (c->events[i].rec.op == HISTORY_IMAGE)
            on_content(&m, &m.images, CHECKER_IMAGE_DIVERGENCE, &c->events[i]);
        if (c->events[i].rec.op == HISTORY_ENTRY)
            on_content(&m, &m.entries, CHECKER_ENTRY_DIVERGENCE, &c->events[i]);
    }
    map_free(&m.leaders);
    map_free(&m.images);
    map_free(&m.entries);
}
