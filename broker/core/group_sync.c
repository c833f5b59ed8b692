/* SPDX-License-Identifier: Apache-2.0 */
/* SyncGroup, Heartbeat, LeaveGroup, and members that fall silent. */
#include "broker/core/group_consumer.h"
#include "broker/core/group_internal.h"
#include "common/base/mutant.h"
#include "common/base/probe.h"
#include "proto/kafka/gen/heartbeat.h"
#include "proto/kafka/gen/leave_group.h"
#include "proto/kafka/gen/sync_group.h"

#define LEAVE_BATCH_VERSION 3

/* -- SyncGroup -- */

static void answer_sync(struct groups *g, const struct group *group, const struct member *member,
                        struct group_call *call)
{
    struct kafka_sync_group_response *response = call->response;

    response->protocol_type = call_str(call, group->protocol_type);
    response->protocol_name = call_str(call, group->protocol);
    if (MUTANT(DOUBLE_OWNER))
        member = member_find(group, group->leader);
    response->assignment = call_bytes(call, member->assignment);
    settle(g, call, response->assignment.len >= 0 ? KAFKA_NONE : KAFKA_UNKNOWN_SERVER_ERROR);
}

void group_syncs_settle(struct groups *g, struct group *group, int16_t error)
{
    list_for_each (it, &group->members) {
        struct member *member = CONTAINER_OF(it, struct member, link);
        struct group_call *call = member->sync;
        member->sync = NULL;
        if (!call)
            continue;
        if (error == KAFKA_NONE)
            answer_sync(g, group, member, call);
        else
            settle(g, call, error);
        member_alive(g, group, member);
    }
}

static struct bytes assignment_of(const struct kafka_sync_group_request *request, struct str member_id)
{
    for (int32_t i = 0; i < request->assignments_count; i++)
        if (str_eq(request->assignments[i].member_id, member_id))
            return request->assignments[i].assignment;
    return (struct bytes){(const uint8_t *)"", 0};
}

/* The leader's word: it counts when the log has it. Nobody sees it earlier (group_sync_stored). */
static void store(struct groups *g, struct group *group, struct group_call *call)
{
    const struct kafka_sync_group_request *request = call->request;

    list_for_each (it, &group->members) {
        struct member *member = CONTAINER_OF(it, struct member, link);
        group_bytes_set(g, &member->assignment, assignment_of(request, member->id));
    }
    group->untold = true;
    write_begin(g);
    write_group(g, group);
    group->storing_seq = write_end(g, WRITE_SYNC, group, NULL);
}

static void forget_assignments(struct groups *g, struct group *group)
{
    list_for_each (it, &group->members)
        group_bytes_set(g, &CONTAINER_OF(it, struct member, link)->assignment, BYTES_NULL);
}

void group_sync_stored(struct groups *g, struct group *group, uint64_t seq, int16_t error)
{
    if (group->storing_seq != seq)
        return; /* another rebalance has begun since */
    ASSERT(group->state == GROUP_COMPLETING);
    group->storing_seq = 0;
    if (error != KAFKA_NONE) {
        forget_assignments(g, group);
        group_syncs_settle(g, group, error);
        group_prepare_rebalance(g, group);
        return;
    }
    PROBE(GROUP_STABLE);
    group->untold = false;
    group_set_state(g, group, GROUP_STABLE);
    group_syncs_settle(g, group, KAFKA_NONE);
}

static bool protocol_differs(const struct group *group, const struct kafka_sync_group_request *request)
{
    return (request->protocol_type.len >= 0 && !str_eq(request->protocol_type, group->protocol_type)) ||
           (request->protocol_name.len >= 0 && !str_eq(request->protocol_name, group->protocol));
}

static void wait_sync(struct groups *g, struct group *group, struct member *member, struct group_call *call)
{
    if (member->sync)
        settle(g, member->sync, KAFKA_UNKNOWN_MEMBER_ID); /* asked again over another connection */
    member->sync = call;
    if (str_eq(group->leader, member->id) && group->storing_seq == 0)
        store(g, group, call);
}

void group_sync(struct groups *g, struct group_call *call)
{
    const struct kafka_sync_group_request *request = call->request;
    struct group *group = group_find(g, request->group_id);
    struct member *member = NULL;

    if (group && group->consumer) {
        cgroup_sync(g, group, call);
        return;
    }
    int16_t error = group ? member_check(group, request->member_id, request->group_instance_id, &member)
                          : KAFKA_UNKNOWN_MEMBER_ID;
    if (error == KAFKA_NONE && request->generation_id != group->generation && !MUTANT(STALE_SYNC)) {
        PROBE(GROUP_STALE_SYNC);
        error = KAFKA_ILLEGAL_GENERATION;
    }
    if (error == KAFKA_NONE && protocol_differs(group, request))
        error = KAFKA_INCONSISTENT_GROUP_PROTOCOL;
    if (error == KAFKA_NONE && group->state == GROUP_PREPARING)
        error = KAFKA_REBALANCE_IN_PROGRESS;
    if (error != KAFKA_NONE) {
        settle(g, call, error);
    } else if (group->state == GROUP_STABLE) {
        answer_sync(g, group, member, call);
        member_alive(g, group, member);
    } else {
        wait_sync(g, group, member, call);
    }
}

/* -- Heartbeat -- */

void group_heartbeat(struct groups *g, struct group_call *call)
{
    const struct kafka_heartbeat_request *request = call->request;
    struct group *group = group_find(g, request->group_id);
    struct member *member = NULL;

    if (group && group->consumer) {
        cgroup_classic_heartbeat(g, group, call);
        return;
    }
    int16_t error = group ? member_check(group, request->member_id, request->group_instance_id, &member)
                          : KAFKA_UNKNOWN_MEMBER_ID;
    if (error == KAFKA_NONE && request->generation_id != group->generation && !MUTANT(STALE_HEARTBEAT)) {
        PROBE(GROUP_STALE_HEARTBEAT);
        error = KAFKA_ILLEGAL_GENERATION;
    }
    if (error == KAFKA_NONE) {
        member_alive(g, group, member);
        if (group->state == GROUP_PREPARING)
            error = KAFKA_REBALANCE_IN_PROGRESS;
    }
    settle(g, call, error);
}

/* -- LeaveGroup -- */

static int16_t leave_one(struct groups *g, struct group *group, struct str id, struct str instance_id)
{
    struct pending_member *pending = instance_id.len < 0 ? pending_find(group, id) : NULL;
    struct member *member = NULL;

    if (pending) {
        pending_drop(g, pending);
        group_try_complete_join(g, group);
        return KAFKA_NONE;
    }
    if (instance_id.len >= 0 && id.len <= 0) { /* an administrator knows only the instance */
        member = member_find_instance(group, instance_id);
        if (!member)
            return KAFKA_UNKNOWN_MEMBER_ID;
    } else {
        int16_t error = member_check(group, id, instance_id, &member);
        if (error != KAFKA_NONE)
            return error;
    }
    member_remove(g, group, member);
    group_member_left(g, group);
    return KAFKA_NONE;
}

static int16_t leave_batch(struct groups *g, struct group *group, struct group_call *call)
{
    const struct kafka_leave_group_request *request = call->request;
    struct kafka_leave_group_response *response = call->response;

    response->members =
        arena_calloc(call->arena, (size_t)MAX(request->members_count, 0), sizeof(*response->members));
    if (!response->members)
        return KAFKA_UNKNOWN_SERVER_ERROR;
    for (int32_t i = 0; i < request->members_count; i++) {
        struct kafka_leave_group_response_member *out = &response->members[response->members_count++];
        kafka_leave_group_response_member_init(out);
        out->member_id = request->members[i].member_id;
        out->group_instance_id = request->members[i].group_instance_id;
        out->error_code =
            group ? leave_one(g, group, out->member_id, out->group_instance_id) : KAFKA_UNKNOWN_MEMBER_ID;
    }
    return KAFKA_NONE;
}

void group_leave(struct groups *g, struct group_call *call)
{
    const struct kafka_leave_group_request *request = call->request;
    struct group *group = group_find(g, request->group_id);
    int16_t error;

    if (group && group->consumer) {
        cgroup_leave(g, group, call);
        return;
    }
    if (call->version >= LEAVE_BATCH_VERSION)
        error = leave_batch(g, group, call);
    else
        error = group ? leave_one(g, group, request->member_id, STR_NULL) : KAFKA_UNKNOWN_MEMBER_ID;
    settle(g, call, error);
    if (group)
        group_drop_if_void(g, group);
}

/* -- silence -- */

/* A member whose request waits here is alive: only a first join may be given up (its client may be gone). */
static bool member_late(const struct groups *g, const struct member *member)
{
    if (member->sync || (member->join && !member->is_new))
        return false;
    return member->expires_us <= g->now_us;
}

void group_expire_members(struct groups *g, struct group *group)
{
    list_for_each_safe (it, tmp, &group->pending_members) {
        struct pending_member *pending = CONTAINER_OF(it, struct pending_member, link);
        if (pending->expires_us <= g->now_us)
            pending_drop(g, pending);
    }
    bool left = false;
    list_for_each_safe (it, tmp, &group->members) {
        struct member *member = CONTAINER_OF(it, struct member, link);
        if (!member_late(g, member))
            continue;
        PROBE(GROUP_MEMBER_SILENT);
        member_remove(g, group, member);
        left = true;
    }
    if (left)
        group_member_left(g, group);
    else
        group_try_complete_join(g, group);
}

/* Whoever has not synced within the rebalance time-out is out. */
void group_sync_due(struct groups *g, struct group *group)
{
    list_for_each_safe (it, tmp, &group->members) {
        struct member *member = CONTAINER_OF(it, struct member, link);
        if (!member->sync)
            member_remove(g, group, member);
    }
    group_prepare_rebalance(g, group);
}

uint64_t group_next_due(const struct group *group)
{
    uint64_t due = GROUPS_NO_DEADLINE;

    if (group->consumer || group->round_seq != 0)
        return cgroup_next_due(group);
    if (!list_empty(&group->waiting))
        due = CONTAINER_OF(group->waiting.next, struct group_call, link)->deadline_us;
    if (group->state == GROUP_PREPARING)
        due = MIN(due, group->join_deadline_us);
    if (group->state == GROUP_COMPLETING && group->storing_seq == 0)
        due = MIN(due, group->sync_deadline_us);
    list_for_each (it, &group->pending_members)
        due = MIN(due, CONTAINER_OF(it, struct pending_member, link)->expires_us);
    list_for_each (it, &group->members) {
        const struct member *member = CONTAINER_OF(it, struct member, link);
        if (!member->sync && (!member->join || member->is_new))
            due = MIN(due, member->expires_us);
    }
    return due;
}
