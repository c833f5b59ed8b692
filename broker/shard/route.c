/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/shard/route.h"

#include <stdlib.h>

#include "common/base/assert.h"

static uint64_t route_hash(struct uuid topic_id, int32_t index)
{
    return hash_bytes(topic_id.b, sizeof(topic_id.b), (uint64_t)(uint32_t)index);
}

static bool route_is(const struct route *route, struct uuid topic_id, int32_t index)
{
    return route->index == index && uuid_eq(route->topic_id, topic_id);
}

void route_table_init(struct route_table *table)
{
    map_init(&table->by_hash);
    table->count = 0;
}

static void free_chain(void *ctx, struct route *route)
{
    free(route);
}

void route_table_free(struct route_table *table)
{
    route_each(table, free_chain, NULL);
    map_free(&table->by_hash);
    table->count = 0;
}

struct route *route_find(const struct route_table *table, struct uuid topic_id, int32_t index)
{
    struct route *route = map_get(&table->by_hash, route_hash(topic_id, index));

    while (route && !route_is(route, topic_id, index))
        route = route->next;
    return route;
}

struct route *route_put(struct route_table *table, struct uuid topic_id, int32_t index, unsigned shard)
{
    struct route *route = route_find(table, topic_id, index);

    if (route)
        return route;
    route = calloc(1, sizeof(*route));
    if (!route)
        return NULL;
    uint64_t hash = route_hash(topic_id, index);
    *route = (struct route){
        .topic_id = topic_id, .index = index, .shard = shard, .next = map_get(&table->by_hash, hash)};
    if (!map_put(&table->by_hash, hash, route)) {
        free(route);
        return NULL;
    }
    table->count++;
    return route;
}

void route_remove(struct route_table *table, struct uuid topic_id, int32_t index)
{
    uint64_t hash = route_hash(topic_id, index);
    struct route *head = map_get(&table->by_hash, hash);
    struct route **link = &head;

    while (*link && !route_is(*link, topic_id, index))
        link = &(*link)->next;
    if (!*link)
        return;
    struct route *gone = *link;
    *link = gone->next;
    if (head)
        ASSERT(map_put(&table->by_hash, hash, head)); /* replaces: cannot fail */
    else
        map_remove(&table->by_hash, hash);
    free(gone);
    table->count--;
}

void route_each(const struct route_table *table, void (*each)(void *ctx, struct route *route), void *ctx)
{
    uint32_t pos = 0;
    uint64_t key;
    void *value;

    while (map_next(&table->by_hash, &pos, &key, &value)) {
        struct route *route = value;
        while (route) {
            struct route *next = route->next; /* `each` may free the entry */
            each(ctx, route);
            route = next;
        }
    }
}
