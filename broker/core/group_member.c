/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "broker/core/group_internal.h"
#include "proto/kafka/codec.h"

#define UUID_CHARS 36

/* -- calls -- */

void settle(struct groups *g, struct group_call *call, int16_t error)
{
    ASSERT(!call->settled);
    call->settled = true;
    call->error = error;
    list_push_back(&g->settled, &call->link);
}

struct bytes call_bytes(struct group_call *call, struct bytes b)
{
    if (b.len <= 0)
        return (struct bytes){(const uint8_t *)"", MAX(b.len, 0)};
    void *copy = arena_copy(call->arena, b.p, (size_t)b.len);
    return copy ? (struct bytes){copy, b.len} : BYTES_NULL;
}

struct str call_str(struct group_call *call, struct str s)
{
    if (s.len < 0)
        return STR_NULL;
    struct bytes copy = call_bytes(call, (struct bytes){(const uint8_t *)s.p, s.len});
    return (struct str){(const char *)copy.p, copy.len};
}

/* -- ids -- */

struct str member_id_make(struct groups *g, struct str prefix)
{
    static const char hex[] = "0123456789abcdef";
    int32_t prefix_len = MIN(MAX(prefix.len, 0), KAFKA_STRING_MAX - 1 - UUID_CHARS);
    int32_t len = prefix_len + 1 + UUID_CHARS;
    char *p = group_alloc(g, (size_t)len), *at = p + prefix_len;

    if (prefix_len > 0)
        memcpy(p, prefix.p, (size_t)prefix_len);
    *at++ = '-';
    for (int i = 0; i < UUID_CHARS; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        at[i] = dash ? '-' : hex[prng_next(&g->prng) & 15];
    }
    return (struct str){p, len};
}

struct pending_member *pending_find(const struct group *group, struct str id)
{
    list_for_each (it, &group->pending_members) {
        struct pending_member *pending = CONTAINER_OF(it, struct pending_member, link);
        if (str_eq(pending->id, id))
            return pending;
    }
    return NULL;
}

void pending_drop(struct groups *g, struct pending_member *pending)
{
    list_remove(&pending->link);
    group_str_drop(g, &pending->id);
    group_release(g, pending, sizeof(*pending));
}

/* -- members -- */

struct member *member_find(const struct group *group, struct str id)
{
    list_for_each (it, &group->members) {
        struct member *member = CONTAINER_OF(it, struct member, link);
        if (str_eq(member->id, id))
            return member;
    }
    return NULL;
}

struct member *member_find_instance(const struct group *group, struct str instance_id)
{
    list_for_each (it, &group->members) {
        struct member *member = CONTAINER_OF(it, struct member, link);
        if (instance_id.len >= 0 && str_eq(member->instance_id, instance_id))
            return member;
    }
    return NULL;
}

int16_t member_check(const struct group *group, struct str id, struct str instance_id,
                     struct member **ret_member)
{
    struct member *member =
        instance_id.len >= 0 ? member_find_instance(group, instance_id) : member_find(group, id);

    if (!member)
        return KAFKA_UNKNOWN_MEMBER_ID;
    if (!str_eq(member->id, id))
        return KAFKA_FENCED_INSTANCE_ID;
    *ret_member = member;
    return KAFKA_NONE;
}

struct member *member_add(struct groups *g, struct group *group, struct str id, struct str instance_id)
{
    struct member *member = group_alloc(g, sizeof(*member));

    member->id = group_str(g, id);
    member->instance_id = group_str(g, instance_id);
    member->client_id = member->client_host = STR_NULL;
    member->assignment = BYTES_NULL;
    list_push_back(&group->members, &member->link);
    group->members_count++;
    if (group->leader.len < 0)
        group_str_set(g, &group->leader, id);
    return member;
}

static void protocols_drop(struct groups *g, struct member *member)
{
    for (int32_t i = 0; i < member->protocols_count; i++) {
        group_str_drop(g, &member->protocols[i].name);
        group_bytes_set(g, &member->protocols[i].metadata, BYTES_NULL);
    }
    group_release(g, member->protocols, (size_t)member->protocols_count * sizeof(*member->protocols));
    member->protocols = NULL;
    member->protocols_count = 0;
}

void member_set_protocols(struct groups *g, struct member *member, const struct member_protocol *protocols,
                          int32_t count)
{
    protocols_drop(g, member);
    if (count == 0)
        return;
    member->protocols = group_alloc(g, (size_t)count * sizeof(*member->protocols));
    member->protocols_count = count;
    for (int32_t i = 0; i < count; i++) {
        member->protocols[i].name = group_str(g, protocols[i].name);
        member->protocols[i].metadata = BYTES_NULL;
        group_bytes_set(g, &member->protocols[i].metadata, protocols[i].metadata);
    }
}

struct bytes member_metadata(const struct member *member, struct str protocol)
{
    for (int32_t i = 0; i < member->protocols_count; i++)
        if (str_eq(member->protocols[i].name, protocol))
            return member->protocols[i].metadata;
    return BYTES_NULL;
}

/* Another member leads when the leader goes: one that has joined already, if there is one. */
static void choose_leader(struct groups *g, struct group *group)
{
    struct member *chosen = NULL;

    list_for_each (it, &group->members) {
        struct member *member = CONTAINER_OF(it, struct member, link);
        if (!chosen || (member->join && !chosen->join))
            chosen = member;
    }
    group_str_set(g, &group->leader, chosen ? chosen->id : STR_NULL);
}

void member_remove(struct groups *g, struct group *group, struct member *member)
{
    bool leads = str_eq(group->leader, member->id);

    ASSERT(group->members_count > 0);
    if (member->join) {
        group->joins_waiting--;
        settle(g, member->join, KAFKA_UNKNOWN_MEMBER_ID);
    }
    if (member->sync)
        settle(g, member->sync, KAFKA_UNKNOWN_MEMBER_ID);
    list_remove(&member->link);
    group->members_count--;
    protocols_drop(g, member);
    group_str_drop(g, &member->id);
    group_str_drop(g, &member->instance_id);
    group_str_drop(g, &member->client_id);
    group_str_drop(g, &member->client_host);
    group_bytes_set(g, &member->assignment, BYTES_NULL);
    group_release(g, member, sizeof(*member));
    if (leads)
        choose_leader(g, group);
}

void member_alive(struct groups *g, struct group *group, struct member *member)
{
    member->expires_us = g->now_us + (uint64_t)member->session_timeout_ms * 1000;
    group_due(g, group, member->expires_us);
}
