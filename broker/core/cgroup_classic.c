/* SPDX-License-Identifier: Apache-2.0 */
/* Members that speak the classic protocol in a consumer group (KIP-848, online migration). Their generation
 * is their member epoch; the broker assigns. They learn of a change from a heartbeat, and join again. */

#include "broker/core/group_consumer.h"
#include "proto/kafka/gen/group_metadata_record.h"
#include "proto/kafka/gen/heartbeat.h"
#include "proto/kafka/gen/join_group.h"
#include "proto/kafka/gen/leave_group.h"
#include "proto/kafka/gen/sync_group.h"

#define KNOWN_MEMBER_VERSION 4 /* KIP-394 */
#define LEAVE_BATCH_VERSION  3

static int16_t find_classic(const struct group *group, struct str id, struct str instance_id,
                            struct cmember **ret)
{
    const struct cgroup *cg = group->consumer;
    struct cmember *member =
        instance_id.len >= 0 ? cmember_find_instance(cg, instance_id) : cmember_find(cg, id);

    if (!member)
        return KAFKA_UNKNOWN_MEMBER_ID;
    if (!str_eq(member->id, id))
        return KAFKA_FENCED_INSTANCE_ID;
    *ret = member;
    return member->classic ? KAFKA_NONE : KAFKA_UNKNOWN_MEMBER_ID;
}

static void must_join_again(struct groups *g, struct group *group, struct cmember *member)
{
    if (member->join_due_us == 0) {
        member->join_due_us = g->now_us + (uint64_t)MAX(member->rebalance_timeout_ms, 1) * 1000;
        group_due(g, group, member->join_due_us);
    }
}

/* -- JoinGroup -- */

static bool offers(const struct kafka_join_group_request *request, struct str protocol)
{
    for (int32_t i = 0; i < request->protocols_count; i++)
        if (str_eq(request->protocols[i].name, protocol))
            return true;
    return false;
}

/* At least one protocol is known to all classic members. */
static bool protocols_fit(const struct cgroup *cg, const struct kafka_join_group_request *request)
{
    const struct cmember *first = NULL;

    list_for_each (it, &cg->members) {
        const struct cmember *member = CONTAINER_OF(it, struct cmember, link);
        if (member->classic && !str_eq(member->id, request->member_id)) {
            first = member;
            break;
        }
    }
    for (int32_t i = 0; first && i < first->protocols_count; i++)
        if (offers(request, first->protocols[i].name))
            return true;
    return !first;
}

static void join_refuse(struct groups *g, struct group_call *call, int16_t error, struct str member_id)
{
    struct kafka_join_group_response *response = call->response;

    response->member_id = call_str(call, member_id);
    settle(g, call, error);
}

static bool take_subscription(struct plan *plan, const struct group_call *call, struct tp_set *owned)
{
    const struct kafka_join_group_request *request = call->request;
    struct cmember *next = &plan->next;

    if (!protocol_read_subscription(plan->g, request->protocols[0].metadata, &next->topics,
                                    &next->topics_count, owned))
        return false;
    plan->owned = owned;
    next->client_id = call->client_id.len < 0 ? STR_LIT("") : call->client_id;
    next->client_host = call->client_host;
    next->instance_id = request->group_instance_id;
    next->regex = STR_NULL;
    next->rebalance_timeout_ms =
        request->rebalance_timeout_ms < 0 ? request->session_timeout_ms : request->rebalance_timeout_ms;
    next->classic = true;
    next->session_timeout_ms = request->session_timeout_ms;
    next->protocols = (struct member_protocol *)request->protocols;
    next->protocols_count = request->protocols_count;
    return true;
}

/* Who joins: a known member, a static one in the place of its old self, or a new one. */
static int16_t find_joiner(struct plan *plan, struct str id, struct str instance_id)
{
    const struct cmember *known =
        instance_id.len >= 0 ? cmember_find_instance(plan->cg, instance_id) : cmember_find(plan->cg, id);

    if (known && str_eq(known->id, id)) {
        plan->old = known;
        plan->next = *known;
        return KAFKA_NONE;
    }
    if (known) { /* the classic protocol needs no leave before */
        plan->replaced = known;
        plan->next = *known;
        plan->next.id = id;
        plan->next.epoch = plan->next.previous_epoch = 0;
        plan->next.state = CMEMBER_STABLE;
        plan->next.revoking = (struct tp_set){NULL, 0};
        return KAFKA_NONE;
    }
    if (plan->cg->members_count >= plan->g->settings->consumer_size_max)
        return KAFKA_GROUP_MAX_SIZE_REACHED;
    plan->next = (struct cmember){
        .id = id, .instance_id = STR_NULL, .rack_id = STR_NULL, .regex = STR_NULL, .assignor = STR_NULL};
    return KAFKA_NONE;
}

static bool same_names(const struct cmember *a, const struct cmember *b)
{
    if (a->topics_count != b->topics_count || a->regex.len > 0)
        return false;
    for (int32_t i = 0; i < a->topics_count; i++)
        if (!str_eq(a->topics[i], b->topics[i]))
            return false;
    return true;
}

static void join_answer(struct groups *g, struct group_call *call, const struct plan *plan)
{
    struct kafka_join_group_response *response = call->response;

    response->member_id = call_str(call, plan->next.id);
    response->generation_id = plan->next.epoch;
    response->protocol_type = STR_LIT(CONSUMER_PROTOCOL);
    response->protocol_name = call_str(call, plan->next.protocols[0].name);
    response->leader = STR_LIT("");
    if (!group_round_begin(g, plan->group, call))
        settle(g, call, response->member_id.len < 0 ? KAFKA_UNKNOWN_SERVER_ERROR : KAFKA_NONE);
}

static void join_as(struct groups *g, struct group *group, struct group_call *call, struct str id)
{
    const struct kafka_join_group_request *request = call->request;
    struct plan plan = {.g = g, .group = group, .cg = group->consumer};
    struct tp_set owned;

    arena_reset(&g->scratch);
    int16_t error = find_joiner(&plan, id, request->group_instance_id);
    if (error == KAFKA_NONE && !take_subscription(&plan, call, &owned))
        error = KAFKA_INCONSISTENT_GROUP_PROTOCOL;
    if (error == KAFKA_NONE) {
        const struct cmember *before = plan.old ? plan.old : plan.replaced;
        plan.subscription_changed = !before || !same_names(before, &plan.next);
        write_begin(g);
        write_cmember_metadata(g, group, &plan.next); /* its protocols' bytes change with what it owns */
        error = plan_run(&plan);
    }
    if (error != KAFKA_NONE) {
        join_refuse(g, call, error, id);
        return;
    }
    if (plan.old) {
        struct cmember *member = (struct cmember *)plan.old;
        cmember_alive(g, group, member);
        member->join_due_us = 0;
        must_join_again(g, group, member); /* or rather sync: the same patience */
    }
    join_answer(g, call, &plan);
}

/* A consumer group without members makes way for a classic one, whose generations go on where its epochs
 * were: no number means two things. */
static void make_way(struct groups *g, struct group *group, struct group_call *call)
{
    struct kafka_group_metadata_record_value value;

    kafka_group_metadata_record_value_init(&value);
    value.protocol_type = STR_LIT(CONSUMER_PROTOCOL);
    value.generation = group->consumer->epoch;
    value.current_state_timestamp = g->wall_ms;
    write_begin(g);
    write_cgroup_gone(g, group);
    write_group_value(g, group, &value);
    group_round_make_way(g, group, call);
}

void cgroup_join(struct groups *g, struct group *group, struct group_call *call)
{
    const struct kafka_join_group_request *request = call->request;
    bool nameless = request->member_id.len <= 0, is_static = request->group_instance_id.len >= 0;

    if (group->consumer->members_count == 0) {
        make_way(g, group, call);
        return;
    }
    if (!str_eq_z(request->protocol_type, CONSUMER_PROTOCOL) || !protocols_fit(group->consumer, request)) {
        join_refuse(g, call, KAFKA_INCONSISTENT_GROUP_PROTOCOL, request->member_id);
        return;
    }
    struct str made =
        nameless ? member_id_make(g, is_static ? request->group_instance_id : call->client_id) : STR_NULL;
    if (nameless && !is_static && call->version >= KNOWN_MEMBER_VERSION)
        join_refuse(g, call, KAFKA_MEMBER_ID_REQUIRED, made);
    else
        join_as(g, group, call, nameless ? made : request->member_id);
    group_str_drop(g, &made);
}

/* -- SyncGroup -- */

/* The group is ahead of the member, which has to join again; one that revokes does so anyway. */
static bool behind(const struct cgroup *cg, const struct cmember *member)
{
    return cg->epoch > member->epoch && member->state != CMEMBER_UNREVOKED;
}

static int16_t check_sync(const struct cmember *member, const struct kafka_sync_group_request *request)
{
    bool type_differs =
        request->protocol_type.len >= 0 && !str_eq_z(request->protocol_type, CONSUMER_PROTOCOL);
    bool name_differs =
        request->protocol_name.len >= 0 &&
        (member->protocols_count == 0 || !str_eq(request->protocol_name, member->protocols[0].name));

    if (request->generation_id != member->epoch)
        return KAFKA_ILLEGAL_GENERATION;
    return type_differs || name_differs ? KAFKA_INCONSISTENT_GROUP_PROTOCOL : KAFKA_NONE;
}

void cgroup_sync(struct groups *g, struct group *group, struct group_call *call)
{
    const struct kafka_sync_group_request *request = call->request;
    struct kafka_sync_group_response *response = call->response;
    struct cmember *member = NULL;
    int16_t error = find_classic(group, request->member_id, request->group_instance_id, &member);

    if (error == KAFKA_NONE)
        error = check_sync(member, request);
    if (error == KAFKA_NONE && behind(group->consumer, member)) {
        must_join_again(g, group, member);
        error = KAFKA_REBALANCE_IN_PROGRESS;
    }
    if (error == KAFKA_NONE) {
        struct bytes metadata = member->protocols_count > 0 ? member->protocols[0].metadata : BYTES_NULL;
        member->join_due_us = 0;
        cmember_alive(g, group, member);
        response->protocol_type = STR_LIT(CONSUMER_PROTOCOL);
        response->protocol_name =
            call_str(call, member->protocols_count > 0 ? member->protocols[0].name : STR_NULL);
        response->assignment = protocol_write_assignment(g, call->arena, metadata, &member->assigned);
        error = response->assignment.len < 0 ? KAFKA_UNKNOWN_SERVER_ERROR : KAFKA_NONE;
    }
    settle(g, call, error);
}

/* -- Heartbeat -- */

void cgroup_classic_heartbeat(struct groups *g, struct group *group, struct group_call *call)
{
    const struct kafka_heartbeat_request *request = call->request;
    struct cmember *member = NULL;
    int16_t error = find_classic(group, request->member_id, request->group_instance_id, &member);

    if (error == KAFKA_NONE && request->generation_id != member->epoch)
        error = KAFKA_ILLEGAL_GENERATION;
    if (error == KAFKA_NONE) {
        cmember_alive(g, group, member);
        if (member->epoch < group->consumer->epoch || member->state == CMEMBER_UNREVOKED ||
            (member->state == CMEMBER_UNRELEASED && cmember_may_take_more(g, group->consumer, member))) {
            must_join_again(g, group, member);
            error = KAFKA_REBALANCE_IN_PROGRESS;
        }
    }
    settle(g, call, error);
}

/* -- LeaveGroup -- */

static int16_t leaver(const struct group *group, struct str id, struct str instance_id, struct cmember **ret)
{
    struct cmember *member = instance_id.len >= 0 ? cmember_find_instance(group->consumer, instance_id)
                                                  : cmember_find(group->consumer, id);

    if (!member)
        return KAFKA_UNKNOWN_MEMBER_ID;
    if (id.len > 0 && !str_eq(member->id, id))
        return KAFKA_FENCED_INSTANCE_ID;
    *ret = member;
    return KAFKA_NONE;
}

static bool twice(struct cmember *const *gone, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        if (gone[i] == gone[count])
            return true;
    return false;
}

static int32_t leave_batch(struct groups *g, struct group *group, struct group_call *call,
                           struct cmember **gone)
{
    const struct kafka_leave_group_request *request = call->request;
    struct kafka_leave_group_response *response = call->response;
    int32_t count = 0;

    for (int32_t i = 0; i < request->members_count; i++) {
        struct kafka_leave_group_response_member *out = &response->members[response->members_count++];
        kafka_leave_group_response_member_init(out);
        out->member_id = request->members[i].member_id;
        out->group_instance_id = request->members[i].group_instance_id;
        out->error_code = leaver(group, out->member_id, out->group_instance_id, &gone[count]);
        count += out->error_code == KAFKA_NONE && !twice(gone, count);
    }
    return count;
}

void cgroup_leave(struct groups *g, struct group *group, struct group_call *call)
{
    const struct kafka_leave_group_request *request = call->request;
    struct kafka_leave_group_response *response = call->response;
    bool batch = call->version >= LEAVE_BATCH_VERSION;
    int32_t most = batch ? MAX(request->members_count, 0) : 1, count = 0;
    int16_t error = KAFKA_NONE;

    arena_reset(&g->scratch);
    struct cmember **gone = arena_calloc(&g->scratch, (size_t)most + 1, sizeof(struct cmember *));
    ASSERT(gone);
    if (batch) {
        response->members = arena_calloc(call->arena, (size_t)most, sizeof(*response->members));
        error = response->members ? KAFKA_NONE : KAFKA_UNKNOWN_SERVER_ERROR;
        count = response->members ? leave_batch(g, group, call, gone) : 0;
    } else {
        error = leaver(group, request->member_id, STR_NULL, &gone[0]);
        count = error == KAFKA_NONE;
    }
    write_begin(g);
    if (count > 0)
        cgroup_write_fence(g, group, gone, count);
    if (!group_round_begin(g, group, call))
        settle(g, call, error);
}
