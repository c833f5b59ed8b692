/* SPDX-License-Identifier: Apache-2.0 */
/* Consumer groups and their members: memory, lookups, invariants. */
#include <string.h>

#include "broker/core/group_consumer.h"

/* -- values -- */

void strs_set(struct groups *g, struct str **to, int32_t *count, const struct str *from, int32_t from_count)
{
    struct str *copy = from_count > 0 ? group_alloc(g, (size_t)from_count * sizeof(*copy)) : NULL;

    for (int32_t i = 0; i < from_count; i++)
        copy[i] = group_str(g, from[i]);
    for (int32_t i = 0; i < *count; i++)
        group_str_drop(g, &(*to)[i]);
    group_release(g, *to, (size_t)*count * sizeof(**to));
    *to = copy;
    *count = from_count;
}

void tp_set_store(struct groups *g, struct tp_set *to, const struct tp_set *from)
{
    struct tp *copy = from->count > 0 ? group_alloc(g, (size_t)from->count * sizeof(*copy)) : NULL;

    if (copy)
        memcpy(copy, from->v, (size_t)from->count * sizeof(*copy));
    group_release(g, to->v, (size_t)to->count * sizeof(*to->v));
    *to = (struct tp_set){copy, from->count};
}

void protocols_set(struct groups *g, struct member_protocol **to, int32_t *count,
                   const struct member_protocol *from, int32_t from_count)
{
    struct member_protocol *copy = from_count > 0 ? group_alloc(g, (size_t)from_count * sizeof(*copy)) : NULL;

    for (int32_t i = 0; i < from_count; i++) {
        copy[i] = (struct member_protocol){group_str(g, from[i].name), BYTES_NULL};
        group_bytes_set(g, &copy[i].metadata, from[i].metadata);
    }
    for (int32_t i = 0; i < *count; i++) {
        group_str_drop(g, &(*to)[i].name);
        group_bytes_set(g, &(*to)[i].metadata, BYTES_NULL);
    }
    group_release(g, *to, (size_t)*count * sizeof(**to));
    *to = copy;
    *count = from_count;
}

/* -- groups -- */

struct cgroup *cgroup_make(struct groups *g, struct group *group)
{
    if (!group->consumer) {
        group->consumer = group_alloc(g, sizeof(*group->consumer));
        list_init(&group->consumer->members);
    }
    return group->consumer;
}

void cgroup_drop(struct groups *g, struct group *group)
{
    struct cgroup *cg = group->consumer;

    if (!cg)
        return;
    while (!list_empty(&cg->members))
        cmember_remove(g, cg, CONTAINER_OF(cg->members.next, struct cmember, link));
    while (cg->regexes_count > 0)
        cregex_remove(g, cg, cg->regexes[0].regex);
    group_release(g, cg, sizeof(*cg));
    group->consumer = NULL;
}

/* -- members -- */

struct cmember *cmember_find(const struct cgroup *cg, struct str id)
{
    list_for_each (it, &cg->members) {
        struct cmember *member = CONTAINER_OF(it, struct cmember, link);
        if (str_eq(member->id, id))
            return member;
    }
    return NULL;
}

struct cmember *cmember_find_instance(const struct cgroup *cg, struct str instance_id)
{
    list_for_each (it, &cg->members) {
        struct cmember *member = CONTAINER_OF(it, struct cmember, link);
        if (instance_id.len >= 0 && str_eq(member->instance_id, instance_id))
            return member;
    }
    return NULL;
}

struct cmember *cmember_make(struct groups *g, struct cgroup *cg, struct str id)
{
    struct list *after = &cg->members;

    list_for_each (it, &cg->members) {
        struct cmember *member = CONTAINER_OF(it, struct cmember, link);
        int order = str_cmp(member->id, id);
        if (order == 0)
            return member;
        if (order > 0)
            break;
        after = it;
    }
    struct cmember *member = group_alloc(g, sizeof(*member));
    member->id = group_str(g, id);
    member->instance_id = member->rack_id = member->client_id = member->client_host = STR_NULL;
    member->regex = member->assignor = STR_NULL;
    list_add_between(&member->link, after, after->next);
    cg->members_count++;
    return member;
}

void cmember_remove(struct groups *g, struct cgroup *cg, struct cmember *member)
{
    const struct tp_set none = {NULL, 0};

    list_remove(&member->link);
    cg->members_count--;
    group_str_drop(g, &member->id);
    group_str_drop(g, &member->instance_id);
    group_str_drop(g, &member->rack_id);
    group_str_drop(g, &member->client_id);
    group_str_drop(g, &member->client_host);
    group_str_drop(g, &member->regex);
    group_str_drop(g, &member->assignor);
    strs_set(g, &member->topics, &member->topics_count, NULL, 0);
    protocols_set(g, &member->protocols, &member->protocols_count, NULL, 0);
    tp_set_store(g, &member->assigned, &none);
    tp_set_store(g, &member->revoking, &none);
    tp_set_store(g, &member->target, &none);
    group_release(g, member, sizeof(*member));
}

uint64_t cmember_session_us(const struct groups *g, const struct cmember *member)
{
    int32_t ms = member->classic ? member->session_timeout_ms : g->settings->consumer_session_ms;

    return (uint64_t)MAX(ms, 1) * 1000;
}

void cmember_alive(struct groups *g, struct group *group, struct cmember *member)
{
    member->expires_us = g->now_us + cmember_session_us(g, member);
    group_due(g, group, member->expires_us);
}

bool cmember_on_target(const struct cgroup *cg, const struct cmember *member)
{
    return member->state == CMEMBER_STABLE && member->epoch == cg->target_epoch;
}

/* -- regular expressions -- */

struct cregex *cregex_find(const struct cgroup *cg, struct str regex)
{
    for (int32_t i = 0; i < cg->regexes_count; i++)
        if (str_eq(cg->regexes[i].regex, regex))
            return &cg->regexes[i];
    return NULL;
}

struct cregex *cregex_make(struct groups *g, struct cgroup *cg, struct str regex)
{
    struct cregex *found = cregex_find(cg, regex);
    size_t size = (size_t)cg->regexes_count * sizeof(*cg->regexes);

    if (found)
        return found;
    struct cregex *more = group_alloc(g, size + sizeof(*more));
    if (size > 0)
        memcpy(more, cg->regexes, size);
    group_release(g, cg->regexes, size);
    cg->regexes = more;
    found = &more[cg->regexes_count++];
    found->regex = group_str(g, regex);
    return found;
}

void cregex_remove(struct groups *g, struct cgroup *cg, struct str regex)
{
    struct cregex *found = cregex_find(cg, regex), *fewer = NULL;
    size_t size = (size_t)cg->regexes_count * sizeof(*fewer), at;

    if (!found)
        return;
    strs_set(g, &found->topics, &found->topics_count, NULL, 0);
    group_str_drop(g, &found->regex);
    at = (size_t)(found - cg->regexes);
    if (cg->regexes_count > 1) {
        fewer = group_alloc(g, size - sizeof(*fewer));
        memcpy(fewer, cg->regexes, at * sizeof(*fewer));
        memcpy(fewer + at, found + 1, ((size_t)cg->regexes_count - at - 1) * sizeof(*fewer));
    }
    group_release(g, cg->regexes, size);
    cg->regexes = fewer;
    cg->regexes_count--;
}

/* -- as a whole -- */

const char *cgroup_state_name(const struct cgroup *cg)
{
    if (cg->members_count == 0)
        return "Empty";
    if (cg->epoch > cg->target_epoch)
        return "Assigning";
    list_for_each (it, &cg->members)
        if (!cmember_on_target(cg, CONTAINER_OF(it, struct cmember, link)))
            return "Reconciling";
    return "Stable";
}

static void check_owners(const struct cgroup *cg, const struct cmember *member)
{
    ASSERT(!tp_set_meet(&member->assigned, &member->revoking));
    for (struct list *it = member->link.next; it != &cg->members; it = it->next) {
        const struct cmember *other = CONTAINER_OF(it, struct cmember, link);
        ASSERT(!tp_set_meet(&member->assigned, &other->assigned));
        ASSERT(!tp_set_meet(&member->assigned, &other->revoking));
        ASSERT(!tp_set_meet(&member->revoking, &other->assigned));
        ASSERT(!tp_set_meet(&member->revoking, &other->revoking));
    }
}

void cgroup_check(const struct cgroup *cg)
{
    int32_t members = 0;

    ASSERT(cg->target_epoch <= cg->epoch);
    list_for_each (it, &cg->members) {
        const struct cmember *member = CONTAINER_OF(it, struct cmember, link);
        members++;
        ASSERT(member->epoch <= cg->epoch);
        ASSERT((member->revoking.count > 0) == (member->state == CMEMBER_UNREVOKED));
        check_owners(cg, member);
    }
    ASSERT(members == cg->members_count);
}

static uint64_t set_digest(const struct tp_set *set, uint64_t seed)
{
    return hash_bytes(set->v, (uint64_t)set->count * sizeof(*set->v), seed);
}

/* Equal for equal logs. */
uint64_t cgroup_digest(const struct group *group)
{
    const struct cgroup *cg = group->consumer;
    uint64_t sum = hash_bytes(group->id.p, (uint64_t)group->id.len, (uint64_t)(uint32_t)cg->epoch << 32) +
                   (uint64_t)(uint32_t)cg->target_epoch;

    list_for_each (it, &cg->members) {
        const struct cmember *member = CONTAINER_OF(it, struct cmember, link);
        uint64_t numbers[7] = {hash_bytes(member->id.p, (uint64_t)member->id.len, 5),
                               (uint64_t)(uint32_t)member->epoch,
                               (uint64_t)(uint32_t)member->previous_epoch,
                               (uint64_t)member->state,
                               set_digest(&member->assigned, 6),
                               set_digest(&member->revoking, 7),
                               set_digest(&member->target, 8)};
        sum += hash_bytes(numbers, sizeof(numbers), 9);
    }
    return sum;
}
