/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata of a test's world, as a group coordinator's core asks about it. */
#ifndef SLUICE_TESTS_UNIT_BROKER_GROUP_TOPICS_H
#define SLUICE_TESTS_UNIT_BROKER_GROUP_TOPICS_H

#include "broker/core/group.h"

#define WORLD_TOPICS_MAX 8

/* The metadata: topics by name, ids made of their places. */
struct world_topic {
    const char *name;
    int32_t partitions; /* 0: there is no such topic */
};

struct world_topics {
    struct world_topic topics[WORLD_TOPICS_MAX];
    uint64_t version;
    struct group_topics view;
};

static struct uuid world_topic_id(int place)
{
    return (struct uuid){{[0] = 1, [15] = (uint8_t)place}};
}

static void world_view(const struct world_topics *w, int place, struct group_topic_view *ret)
{
    *ret = (struct group_topic_view){.id = world_topic_id(place),
                                     .name = str_from(w->topics[place].name),
                                     .partitions = w->topics[place].partitions,
                                     .internal = w->topics[place].name[0] == '_'};
}

static bool world_by_name(void *ctx, struct str name, struct group_topic_view *ret)
{
    const struct world_topics *w = ctx;

    for (int i = 0; i < WORLD_TOPICS_MAX; i++) {
        if (w->topics[i].partitions > 0 && str_eq_z(name, w->topics[i].name)) {
            world_view(w, i, ret);
            return true;
        }
    }
    return false;
}

static bool world_by_id(void *ctx, struct uuid id, struct group_topic_view *ret)
{
    const struct world_topics *w = ctx;
    int place = id.b[15];

    if (place >= WORLD_TOPICS_MAX || w->topics[place].partitions == 0)
        return false;
    world_view(w, place, ret);
    return true;
}

static void world_each(void *ctx, bool (*each)(void *arg, const struct group_topic_view *topic), void *arg)
{
    const struct world_topics *w = ctx;
    struct group_topic_view view;

    for (int i = 0; i < WORLD_TOPICS_MAX; i++) {
        if (w->topics[i].partitions == 0)
            continue;
        world_view(w, i, &view);
        if (!each(arg, &view))
            return;
    }
}

static uint64_t world_version(void *ctx)
{
    return ((const struct world_topics *)ctx)->version;
}

static void world_set_topic(struct world_topics *w, int place, const char *name, int32_t partitions)
{
    w->topics[place] = (struct world_topic){name, partitions};
    w->version++;
}

#endif
