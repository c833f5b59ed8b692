/* SPDX-License-Identifier: Apache-2.0 */
/* JoinGroup and the rebalance it leads to. */
#include "broker/core/group_consumer.h"
#include "broker/core/group_internal.h"
#include "proto/kafka/gen/join_group.h"

#define KNOWN_MEMBER_VERSION    4  /* KIP-394 */
#define SKIP_ASSIGNMENT_VERSION 9  /* KIP-814 */
#define PROTOCOLS_MAX           64 /* of one member: choosing one compares each with each, of every member */

/* -- protocols -- */

bool group_supports(const struct group *group, struct str protocol)
{
    list_for_each (it, &group->members) {
        const struct member *member = CONTAINER_OF(it, struct member, link);
        if (member_metadata(member, protocol).len < 0)
            return false;
    }
    return true;
}

static bool request_fits(const struct group *group, const struct kafka_join_group_request *request)
{
    if (group->members_count == 0)
        return true;
    if (!str_eq(group->protocol_type, request->protocol_type))
        return false;
    for (int32_t i = 0; i < request->protocols_count; i++)
        if (group_supports(group, request->protocols[i].name))
            return true;
    return false;
}

/* A member's vote: its first protocol that all know. */
static struct str vote_of(const struct group *group, const struct member *member)
{
    for (int32_t i = 0; i < member->protocols_count; i++)
        if (group_supports(group, member->protocols[i].name))
            return member->protocols[i].name;
    return STR_NULL;
}

static int32_t votes_for(const struct group *group, struct str protocol)
{
    int32_t votes = 0;

    list_for_each (it, &group->members)
        votes += str_eq(vote_of(group, CONTAINER_OF(it, struct member, link)), protocol);
    return votes;
}

/* Most votes; on a tie the one that came first. */
static struct str elect_protocol(const struct group *group)
{
    const struct member *first = CONTAINER_OF(group->members.next, struct member, link);
    struct str best = STR_NULL;
    int32_t most = 0;

    for (int32_t i = 0; i < first->protocols_count; i++) {
        struct str name = first->protocols[i].name;
        int32_t votes = group_supports(group, name) ? votes_for(group, name) : 0;
        if (votes > most) {
            most = votes;
            best = name;
        }
    }
    return best;
}

static bool same_protocols(const struct member *member, const struct kafka_join_group_request *request)
{
    if (member->protocols_count != request->protocols_count)
        return false;
    for (int32_t i = 0; i < member->protocols_count; i++) {
        struct bytes had = member->protocols[i].metadata, has = request->protocols[i].metadata;
        if (!str_eq(member->protocols[i].name, request->protocols[i].name) ||
            !str_eq((struct str){(const char *)had.p, had.len}, (struct str){(const char *)has.p, has.len}))
            return false;
    }
    return true;
}

/* -- answers -- */

static bool fill_members(struct group_call *call, const struct group *group)
{
    struct kafka_join_group_response *response = call->response;

    response->members = arena_calloc(call->arena, (size_t)group->members_count, sizeof(*response->members));
    if (!response->members)
        return false;
    list_for_each (it, &group->members) {
        const struct member *member = CONTAINER_OF(it, struct member, link);
        struct kafka_join_group_response_member *out = &response->members[response->members_count++];
        kafka_join_group_response_member_init(out);
        out->member_id = call_str(call, member->id);
        out->group_instance_id = call_str(call, member->instance_id);
        out->metadata = call_bytes(call, member_metadata(member, group->protocol));
        if (out->member_id.len < 0 || out->metadata.len < 0)
            return false;
    }
    return true;
}

/* The generation that there is. leader: who is told to be it; with_members: the list is for this member. */
static bool fill_answer(const struct group *group, struct group_call *call, struct str member_id,
                        struct str leader, bool with_members)
{
    struct kafka_join_group_response *response = call->response;

    response->generation_id = group->generation;
    response->protocol_type = call_str(call, group->protocol_type);
    response->protocol_name = call_str(call, group->protocol);
    response->leader = call_str(call, leader);
    response->member_id = call_str(call, member_id);
    bool ok = response->member_id.len >= 0 && response->leader.len >= 0 && response->protocol_name.len >= 0;
    return ok && (!with_members || fill_members(call, group));
}

static void answer_present(struct groups *g, struct group *group, struct group_call *call,
                           const struct member *member)
{
    bool ok = fill_answer(group, call, member->id, group->leader, str_eq(group->leader, member->id));

    settle(g, call, ok ? KAFKA_NONE : KAFKA_UNKNOWN_SERVER_ERROR);
}

static void refuse(struct groups *g, struct group_call *call, int16_t error, struct str member_id)
{
    struct kafka_join_group_response *response = call->response;

    response->member_id = call_str(call, member_id);
    settle(g, call, error);
}

/* -- completing a rebalance -- */

static void drop_absent(struct groups *g, struct group *group)
{
    list_for_each_safe (it, tmp, &group->members) {
        struct member *member = CONTAINER_OF(it, struct member, link);
        if (!member->join && member->instance_id.len < 0)
            member_remove(g, group, member);
    }
}

/* The leader must be somebody who is here. False: nobody is. */
static bool leader_present(struct groups *g, struct group *group)
{
    struct member *leader = group->leader.len >= 0 ? member_find(group, group->leader) : NULL;

    if (leader && leader->join)
        return true;
    list_for_each (it, &group->members) {
        struct member *member = CONTAINER_OF(it, struct member, link);
        if (member->join) {
            group_str_set(g, &group->leader, member->id);
            return true;
        }
    }
    return false;
}

static uint64_t rebalance_timeout_us(const struct group *group)
{
    int32_t longest_ms = 0;

    list_for_each (it, &group->members)
        longest_ms = MAX(longest_ms, CONTAINER_OF(it, struct member, link)->rebalance_timeout_ms);
    return (uint64_t)MAX(longest_ms, 1) * 1000; /* never now: time must pass between two looks */
}

static void become_empty(struct groups *g, struct group *group)
{
    group_str_set(g, &group->protocol, STR_NULL);
    group_str_set(g, &group->leader, STR_NULL);
    group->untold = false;
    group_set_state(g, group, GROUP_EMPTY);
    write_begin(g);
    write_group(g, group);
    write_end(g, WRITE_STATE, group, NULL);
}

static void answer_joins(struct groups *g, struct group *group)
{
    list_for_each (it, &group->members) {
        struct member *member = CONTAINER_OF(it, struct member, link);
        struct group_call *call = member->join;
        member->is_new = false;
        if (call) {
            member->join = NULL;
            group->joins_waiting--;
            answer_present(g, group, call, member);
        }
        member_alive(g, group, member);
    }
    ASSERT(group->joins_waiting == 0);
}

static void complete_join(struct groups *g, struct group *group)
{
    ASSERT(group->state == GROUP_PREPARING);
    drop_absent(g, group);
    if (group->members_count > 0 && !leader_present(g, group)) { /* static ones only: they have time */
        group->join_deadline_us = g->now_us + rebalance_timeout_us(group);
        group_due(g, group, group->join_deadline_us);
        return;
    }
    group->initial = false;
    group->generation = group->generation == INT32_MAX ? 1 : group->generation + 1;
    if (group->members_count == 0) {
        become_empty(g, group);
        return;
    }
    group_str_set(g, &group->protocol, elect_protocol(group));
    group_set_state(g, group, GROUP_COMPLETING);
    group->sync_deadline_us = g->now_us + rebalance_timeout_us(group);
    group_due(g, group, group->sync_deadline_us);
    answer_joins(g, group);
}

void group_try_complete_join(struct groups *g, struct group *group)
{
    if (group->state == GROUP_PREPARING && !group->initial && group->joins_waiting == group->members_count &&
        list_empty(&group->pending_members))
        complete_join(g, group);
}

void group_join_due(struct groups *g, struct group *group)
{
    uint64_t delay_us = MIN((uint64_t)g->settings->initial_delay_ms * 1000, group->initial_left_us);

    if (!group->initial || !group->new_member_added || delay_us == 0) {
        group->initial = false;
        complete_join(g, group);
        return;
    }
    group->new_member_added = false;
    group->initial_left_us -= delay_us;
    group->join_deadline_us = g->now_us + delay_us;
    group_due(g, group, group->join_deadline_us);
}

void group_prepare_rebalance(struct groups *g, struct group *group)
{
    bool first = group->state == GROUP_EMPTY;

    if (group->state == GROUP_PREPARING)
        return;
    if (group->state == GROUP_COMPLETING)
        group_syncs_settle(g, group, KAFKA_REBALANCE_IN_PROGRESS);
    group->storing_seq = 0;
    group_set_state(g, group, GROUP_PREPARING);
    uint64_t timeout_us = rebalance_timeout_us(group);
    uint64_t delay_us = (uint64_t)g->settings->initial_delay_ms * 1000;
    group->initial = first && delay_us > 0;
    group->new_member_added = false;
    group->initial_left_us = timeout_us > delay_us ? timeout_us - delay_us : 0;
    group->join_deadline_us = g->now_us + (group->initial ? delay_us : timeout_us);
    group_due(g, group, group->join_deadline_us);
    group_try_complete_join(g, group);
}

void group_member_left(struct groups *g, struct group *group)
{
    if (group->state == GROUP_STABLE || group->state == GROUP_COMPLETING)
        group_prepare_rebalance(g, group);
    else if (group->state == GROUP_PREPARING)
        group_try_complete_join(g, group);
}

/* -- JoinGroup -- */

static void take_request(struct groups *g, struct member *member, const struct group_call *call)
{
    const struct kafka_join_group_request *request = call->request;

    member->session_timeout_ms = request->session_timeout_ms;
    member->rebalance_timeout_ms =
        request->rebalance_timeout_ms < 0 ? request->session_timeout_ms : request->rebalance_timeout_ms;
    group_str_set(g, &member->client_id, call->client_id.len < 0 ? STR_LIT("") : call->client_id);
    group_str_set(g, &member->client_host, call->client_host);
    member_set_protocols(g, member, (const struct member_protocol *)request->protocols,
                         request->protocols_count);
}
STATIC_ASSERT(sizeof(struct member_protocol) == sizeof(struct kafka_join_group_request_protocol) &&
                  offsetof(struct member_protocol, metadata) ==
                      offsetof(struct kafka_join_group_request_protocol, metadata),
              "the request's protocols are taken as they are");

/* The member waits for the next generation with this call. */
static void wait_join(struct groups *g, struct group *group, struct member *member, struct group_call *call)
{
    if (member->join)
        settle(g, member->join,
               KAFKA_UNKNOWN_MEMBER_ID); /* the client asked again, over another connection */
    else
        group->joins_waiting++;
    member->join = call;
    if (member->is_new) {
        member->expires_us = g->now_us + NEW_MEMBER_WAIT_US;
        group_due(g, group, member->expires_us);
    }
}

static void rebalance_with(struct groups *g, struct group *group, struct member *member,
                           struct group_call *call)
{
    take_request(g, member, call);
    wait_join(g, group, member, call);
    if (group->state == GROUP_PREPARING)
        group_try_complete_join(g, group);
    else
        group_prepare_rebalance(g, group);
}

static void add_and_rebalance(struct groups *g, struct group *group, struct group_call *call, struct str id,
                              struct str instance_id)
{
    const struct kafka_join_group_request *request = call->request;
    struct member *member = member_add(g, group, id, instance_id);

    if (group->members_count == 1)
        group_str_set(g, &group->protocol_type, request->protocol_type);
    member->is_new = true;
    if (group->state == GROUP_PREPARING && group->initial)
        group->new_member_added = true;
    rebalance_with(g, group, member, call);
}

/* KIP-345: the instance is back under a new id; with the same protocol nobody else needs to know. */
static void answer_replaced(struct groups *g, struct group *group, struct member *member,
                            struct group_call *call, struct str leader_before)
{
    struct kafka_join_group_response *response = call->response;
    bool leads = str_eq(group->leader, member->id);
    bool skip = call->version >= SKIP_ASSIGNMENT_VERSION;

    response->skip_assignment = skip && leads;
    if (!fill_answer(group, call, member->id, skip ? group->leader : leader_before, skip && leads)) {
        settle(g, call, KAFKA_UNKNOWN_SERVER_ERROR);
        call = NULL;
    }
    write_begin(g);
    write_group(g, group);
    write_end(g, WRITE_STATE, group, call);
}

static void replace_static(struct groups *g, struct group *group, struct member *member,
                           struct group_call *call)
{
    struct str id = member_id_make(g, member->instance_id), leader_before = group_str(g, group->leader);

    if (member->join) {
        group->joins_waiting--;
        settle(g, member->join, KAFKA_FENCED_INSTANCE_ID);
    }
    if (member->sync)
        settle(g, member->sync, KAFKA_FENCED_INSTANCE_ID);
    member->join = member->sync = NULL;
    if (str_eq(group->leader, member->id))
        group_str_set(g, &group->leader, id);
    group_str_drop(g, &member->id);
    member->id = id;
    take_request(g, member, call);
    member_alive(g, group, member);
    if (group->state == GROUP_STABLE && str_eq(elect_protocol(group), group->protocol)) {
        answer_replaced(g, group, member, call, leader_before);
    } else {
        wait_join(g, group, member, call);
        if (group->state == GROUP_PREPARING)
            group_try_complete_join(g, group);
        else
            group_prepare_rebalance(g, group);
    }
    group_str_drop(g, &leader_before);
}

static void hand_out_id(struct groups *g, struct group *group, struct group_call *call)
{
    const struct kafka_join_group_request *request = call->request;
    struct pending_member *pending = group_alloc(g, sizeof(*pending));

    pending->id = member_id_make(g, call->client_id);
    pending->expires_us = g->now_us + (uint64_t)request->session_timeout_ms * 1000;
    list_push_back(&group->pending_members, &pending->link);
    group_due(g, group, pending->expires_us);
    refuse(g, call, KAFKA_MEMBER_ID_REQUIRED, pending->id);
}

static void join_nameless(struct groups *g, struct group *group, struct group_call *call)
{
    const struct kafka_join_group_request *request = call->request;
    bool is_static = request->group_instance_id.len >= 0;
    struct member *known = member_find_instance(group, request->group_instance_id);

    if (known) {
        replace_static(g, group, known, call);
    } else if (!is_static && call->version >= KNOWN_MEMBER_VERSION) {
        hand_out_id(g, group, call);
    } else {
        struct str id = member_id_make(g, is_static ? request->group_instance_id : call->client_id);
        add_and_rebalance(g, group, call, id, request->group_instance_id);
        group_str_drop(g, &id);
    }
}

static void join_known(struct groups *g, struct group *group, struct group_call *call, struct member *member)
{
    const struct kafka_join_group_request *request = call->request;
    bool leads = str_eq(group->leader, member->id), same = same_protocols(member, request);

    switch (group->state) {
    case GROUP_PREPARING: rebalance_with(g, group, member, call); return;
    case GROUP_COMPLETING:
        if (same) /* its answer got lost */
            answer_present(g, group, call, member);
        else
            rebalance_with(g, group, member, call);
        return;
    case GROUP_STABLE:
        if (same && !leads)
            answer_present(g, group, call, member);
        else
            rebalance_with(g, group, member, call);
        return;
    case GROUP_EMPTY:
    case GROUP_STATE_COUNT: break;
    }
    UNREACHABLE(); /* an empty group has no members */
}

static bool has_room(const struct groups *g, const struct group *group, const struct member *member)
{
    if (group->state == GROUP_EMPTY)
        return true;
    if (group->state == GROUP_PREPARING)
        return (member && member->join) || group->joins_waiting < g->settings->size_max;
    return member || group->members_count < g->settings->size_max;
}

static void join_group(struct groups *g, struct group *group, struct group_call *call)
{
    const struct kafka_join_group_request *request = call->request;
    struct str id = request->member_id;
    struct pending_member *pending = id.len > 0 ? pending_find(group, id) : NULL;
    struct member *member = NULL;

    if (!has_room(g, group,
                  id.len > 0 ? member_find(group, id)
                             : member_find_instance(group, request->group_instance_id))) {
        if (pending)
            pending_drop(g, pending);
        refuse(g, call, KAFKA_GROUP_MAX_SIZE_REACHED, STR_LIT(""));
    } else if (!request_fits(group, request)) {
        refuse(g, call, KAFKA_INCONSISTENT_GROUP_PROTOCOL, id);
    } else if (id.len <= 0) {
        join_nameless(g, group, call);
    } else if (pending && request->group_instance_id.len < 0) {
        add_and_rebalance(g, group, call, id, STR_NULL);
        pending_drop(g, pending);
        group_try_complete_join(g, group);
    } else {
        int16_t error = member_check(group, id, request->group_instance_id, &member);
        if (error != KAFKA_NONE)
            refuse(g, call, error, id);
        else
            join_known(g, group, call, member);
    }
}

void group_join(struct groups *g, struct group_call *call)
{
    const struct kafka_join_group_request *request = call->request;
    struct group *group = group_find(g, request->group_id);

    if (request->session_timeout_ms < g->settings->session_min_ms ||
        request->session_timeout_ms > g->settings->session_max_ms) {
        refuse(g, call, KAFKA_INVALID_SESSION_TIMEOUT, request->member_id);
    } else if (request->protocol_type.len <= 0 || request->protocols_count <= 0 ||
               request->protocols_count > PROTOCOLS_MAX) {
        refuse(g, call, KAFKA_INCONSISTENT_GROUP_PROTOCOL, request->member_id);
    } else if (group && group->consumer) {
        cgroup_join(g, group, call);
    } else if (!group && request->member_id.len > 0) {
        refuse(g, call, KAFKA_UNKNOWN_MEMBER_ID, request->member_id);
    } else {
        if (!group)
            group = group_find_or_make(g, request->group_id);
        join_group(g, group, call);
        group_drop_if_void(g, group);
    }
}
