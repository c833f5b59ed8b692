/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "broker/core/group_consumer.h"
#include "broker/core/group_internal.h"

/* -- memory -- */

void *group_alloc(struct groups *g, size_t size)
{
    void *p = core_resize(g->alloc, NULL, 0, size);

    ASSERT(p != NULL);
    memset(p, 0, size);
    return p;
}

void group_release(struct groups *g, void *p, size_t size)
{
    if (p)
        core_resize(g->alloc, p, size, 0);
}

void *group_grow(struct groups *g, void *p, int32_t *cap, int32_t need, size_t size)
{
    int32_t wanted = *cap;

    if (need <= *cap)
        return p;
    while (wanted < need)
        wanted = wanted < 2 ? wanted + 1 : wanted + wanted / 2;
    p = core_resize(g->alloc, p, (size_t)*cap * size, (size_t)wanted * size);
    ASSERT(p != NULL);
    *cap = wanted;
    return p;
}

struct str group_str(struct groups *g, struct str s)
{
    if (s.len < 0)
        return STR_NULL;
    if (s.len == 0)
        return STR_LIT("");
    char *p = group_alloc(g, (size_t)s.len);
    memcpy(p, s.p, (size_t)s.len);
    return (struct str){p, s.len};
}

void group_str_drop(struct groups *g, struct str *s)
{
    if (s->len > 0)
        group_release(g, (void *)s->p, (size_t)s->len);
    *s = STR_NULL;
}

void group_str_set(struct groups *g, struct str *to, struct str from)
{
    struct str copy = group_str(g, from);

    group_str_drop(g, to);
    *to = copy;
}

void group_bytes_set(struct groups *g, struct bytes *to, struct bytes from)
{
    struct str old = {(const char *)to->p, to->len};
    struct str copy = group_str(g, (struct str){(const char *)from.p, from.len});

    group_str_drop(g, &old);
    *to = (struct bytes){(const uint8_t *)copy.p, copy.len};
}

/* -- groups -- */

static uint64_t hash_of(struct str id)
{
    return hash_bytes(id.p, (uint64_t)id.len, 0x736c75696365);
}

struct group *group_find(const struct groups *g, struct str id)
{
    struct group *group = map_get(&g->by_hash, hash_of(id));

    while (group && !str_eq(group->id, id))
        group = group->next;
    return group;
}

static struct group *group_make(struct groups *g, struct str id)
{
    struct group *group = group_alloc(g, sizeof(*group));

    group->hash = hash_of(id);
    group->id = group_str(g, id);
    group->protocol_type = group->protocol = group->leader = STR_NULL;
    group->state_ms = -1;
    list_init(&group->members);
    list_init(&group->pending_members);
    list_init(&group->waiting);
    group->next = map_get(&g->by_hash, group->hash);
    bool put = map_put(&g->by_hash, group->hash, group);
    ASSERT(put);
    g->count++;
    return group;
}

struct group *group_find_or_make(struct groups *g, struct str id)
{
    struct group *group = group_find(g, id);

    return group ? group : group_make(g, id);
}

static void unlink_group(struct groups *g, struct group *group)
{
    struct group *at = map_get(&g->by_hash, group->hash);

    if (at == group) {
        if (group->next)
            map_put(&g->by_hash, group->hash, group->next); /* replaces: takes no memory */
        else
            map_remove(&g->by_hash, group->hash);
        return;
    }
    while (at->next != group)
        at = at->next;
    at->next = group->next;
}

static void group_free(struct groups *g, struct group *group)
{
    ASSERT(group->writes == 0 && list_empty(&group->waiting));
    cgroup_drop(g, group);
    while (!list_empty(&group->members))
        member_remove(g, group, CONTAINER_OF(group->members.next, struct member, link));
    while (!list_empty(&group->pending_members))
        pending_drop(g, CONTAINER_OF(group->pending_members.next, struct pending_member, link));
    group_offsets_clear(g, group);
    heap_remove(&g->timers, &group->timer);
    unlink_group(g, group);
    group_str_drop(g, &group->id);
    group_str_drop(g, &group->protocol_type);
    group_str_drop(g, &group->protocol);
    group_str_drop(g, &group->leader);
    group_release(g, group, sizeof(*group));
    g->count--;
}

void group_drop_if_void(struct groups *g, struct group *group)
{
    if (group->state == GROUP_EMPTY && group->members_count == 0 && list_empty(&group->pending_members) &&
        group->topics_count == 0 && group->writes == 0 && !group->stored && !group->consumer &&
        list_empty(&group->waiting))
        group_free(g, group);
}

void group_drop_all(struct groups *g)
{
    while (g->count > 0) {
        uint32_t pos = 0;
        uint64_t key;
        void *first = NULL;
        map_next(&g->by_hash, &pos, &key, &first);
        group_free(g, first);
    }
}

bool group_has_nobody(const struct group *group)
{
    return group->state == GROUP_EMPTY && (!group->consumer || group->consumer->members_count == 0);
}

void group_set_state(struct groups *g, struct group *group, enum group_state state)
{
    static const bool allowed[GROUP_STATE_COUNT][GROUP_STATE_COUNT] = {
        [GROUP_EMPTY] = {[GROUP_PREPARING] = true},
        [GROUP_PREPARING] = {[GROUP_COMPLETING] = true, [GROUP_EMPTY] = true},
        [GROUP_COMPLETING] = {[GROUP_STABLE] = true, [GROUP_PREPARING] = true},
        [GROUP_STABLE] = {[GROUP_PREPARING] = true},
    };

    ASSERT(allowed[group->state][state]);
    group->state = state;
    group->state_ms = g->wall_ms;
}

void group_due(struct groups *g, struct group *group, uint64_t due_us)
{
    if (due_us == GROUPS_NO_DEADLINE)
        return;
    if (group->timer.slot != 0) {
        if (group->timer.key <= due_us)
            return;
        heap_remove(&g->timers, &group->timer);
    }
    bool inserted = heap_insert(&g->timers, &group->timer, due_us);
    ASSERT(inserted);
}

void groups_each(const struct groups *g, void (*each)(void *ctx, struct group *group), void *ctx)
{
    uint32_t pos = 0;
    uint64_t key;
    void *first;

    while (map_next(&g->by_hash, &pos, &key, &first))
        for (struct group *group = first; group; group = group->next)
            each(ctx, group);
}

uint32_t groups_count(const struct groups *g)
{
    return g->count;
}

uint64_t groups_offset_count(const struct groups *g)
{
    return g->offsets_count;
}

/* Java's String.hashCode works on UTF-16 units; ids are UTF-8 here. Broken UTF-8 counts byte by byte. */
static int32_t next_rune(struct str s, int32_t *at)
{
    static const uint8_t extra_of[16] = {[12] = 1, [13] = 1, [14] = 2, [15] = 3};
    uint8_t lead = (uint8_t)s.p[(*at)++];
    int32_t extra = extra_of[lead >> 4];
    uint32_t rune = extra ? lead & (0x3fu >> extra) : lead;

    if (*at + extra > s.len)
        return lead;
    for (int32_t i = 0; i < extra; i++)
        rune = rune << 6 | ((uint8_t)s.p[*at + i] & 0x3f);
    *at += extra;
    return (int32_t)rune;
}

int32_t coordinator_partition_of(struct str key, int32_t count)
{
    uint32_t hash = 0;

    ASSERT(count > 0);
    for (int32_t at = 0; at < key.len;) {
        uint32_t rune = (uint32_t)next_rune(key, &at);
        if (rune >= 0x10000) {
            hash = hash * 31 + (0xd800 + ((rune - 0x10000) >> 10));
            rune = 0xdc00 + ((rune - 0x10000) & 0x3ff);
        }
        hash = hash * 31 + rune;
    }
    return hash == 0x80000000u ? 0 : (int32_t)(hash >> 31 ? -hash : hash) % count; /* Kafka's Utils.abs */
}
