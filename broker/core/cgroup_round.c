/* SPDX-License-Identifier: Apache-2.0 */
/* Rounds: one change of a consumer group at a time, written before it is so. And time. */
#include "broker/core/group_consumer.h"
#include "common/base/probe.h"
#include "proto/kafka/gen/consumer_group_heartbeat.h"
#include "proto/kafka/gen/heartbeat.h"
#include "proto/kafka/gen/join_group.h"
#include "proto/kafka/gen/sync_group.h"

#define AGAIN_US 1000000ull /* what the log refused is tried again then */

static struct str caller_of(const struct group_call *call)
{
    switch (call->type) {
    case GROUP_CALL_CONSUMER_HEARTBEAT:
        return ((const struct kafka_consumer_group_heartbeat_request *)call->request)->member_id;
    case GROUP_CALL_HEARTBEAT: return ((const struct kafka_heartbeat_request *)call->request)->member_id;
    case GROUP_CALL_JOIN: return ((const struct kafka_join_group_request *)call->request)->member_id;
    case GROUP_CALL_SYNC: return ((const struct kafka_sync_group_request *)call->request)->member_id;
    default: return STR_NULL;
    }
}

/* What a waiting member's call says is that it lives. */
static void hear(struct groups *g, struct group *group, const struct group_call *call)
{
    struct str id = caller_of(call);
    struct cmember *member = group->consumer && id.len > 0 ? cmember_find(group->consumer, id) : NULL;

    if (member)
        cmember_alive(g, group, member);
}

/* A new coordinator gives everybody full time. */
void cgroup_begin_sessions(struct groups *g, struct group *group)
{
    list_for_each (it, &group->consumer->members) {
        struct cmember *member = CONTAINER_OF(it, struct cmember, link);
        cmember_alive(g, group, member);
        if (member->state != CMEMBER_UNREVOKED)
            continue;
        member->revoke_due_us = g->now_us + (uint64_t)MAX(member->rebalance_timeout_ms, 1) * 1000;
        group_due(g, group, member->revoke_due_us);
    }
}

void group_wait(struct groups *g, struct group *group, struct group_call *call)
{
    call->deadline_us = g->now_us + (uint64_t)g->settings->commit_timeout_ms * 1000;
    list_push_back(&group->waiting, &call->link);
    group_due(g, group, call->deadline_us);
}

bool group_round_waits(struct groups *g, struct group *group, struct group_call *call)
{
    if (!group || group->round_seq == 0)
        return false;
    group_wait(g, group, call);
    hear(g, group, call);
    return true;
}

bool group_round_begin(struct groups *g, struct group *group, struct group_call *call)
{
    ASSERT(group->round_seq == 0);
    group->round_seq = write_end(g, WRITE_ROUND, group, call);
    return group->round_seq != 0;
}

void group_round_make_way(struct groups *g, struct group *group, struct group_call *call)
{
    group_round_begin(g, group, NULL);
    call->began = true;
    bool waits = group_round_waits(g, group, call);
    ASSERT(waits);
}

/* Who began the round hears what became of it: run again, it would begin the next one, again and again for as
 * long as the log refuses. */
static void settle_beginner(struct groups *g, struct list *waiting, int16_t error)
{
    list_for_each_safe (it, tmp, waiting) {
        struct group_call *call = CONTAINER_OF(it, struct group_call, link);
        bool refused = call->began && error != KAFKA_NONE;
        call->began = false;
        if (!refused)
            continue;
        list_remove(&call->link);
        settle(g, call, error);
    }
}

/* Runs waiting calls, in order; a new round makes the others wait again. */
void groups_run_waiting(struct groups *g, struct list *waiting)
{
    while (!list_empty(waiting)) {
        struct group_call *call = CONTAINER_OF(waiting->next, struct group_call, link);
        list_remove(&call->link);
        if (!group_round_waits(g, group_find(g, call->group_id), call))
            group_call_start(g, call);
    }
}

void group_writes_over(struct groups *g, struct group *group)
{
    struct list waiting;

    if (group->round_seq != 0 || group->record_writes > 0 || list_empty(&group->waiting)) {
        group_drop_if_void(g, group);
        return;
    }
    list_init(&waiting);
    list_splice_back(&waiting, &group->waiting);
    group_drop_if_void(g, group);
    groups_run_waiting(g, &waiting);
}

/* The log refused; a group that was to begin with it is none, and silent members are looked at again. */
static void try_later(struct groups *g, struct group *group)
{
    uint64_t later_us = g->now_us + AGAIN_US;

    if (group->consumer->epoch == 0 && group->consumer->members_count == 0) {
        cgroup_drop(g, group);
        return;
    }
    list_for_each (it, &group->consumer->members) {
        struct cmember *member = CONTAINER_OF(it, struct cmember, link);
        member->expires_us = MAX(member->expires_us, later_us);
        if (member->revoke_due_us != 0)
            member->revoke_due_us = MAX(member->revoke_due_us, later_us);
        if (member->join_due_us != 0)
            member->join_due_us = MAX(member->join_due_us, later_us);
    }
}

/* The write is decided, and applied when it was committed. */
void group_round_over(struct groups *g, struct group *group, int16_t error)
{
    struct list waiting;

    group->round_seq = 0;
    list_init(&waiting);
    list_splice_back(&waiting, &group->waiting);
    settle_beginner(g, &waiting, error);
    if (error != KAFKA_NONE)
        PROBE(CONSUMER_ROUND_REFUSED);
    bool downgraded = group->downgrading, upgraded = group->upgrading;
    group->downgrading = group->upgrading = false;
    if (error == KAFKA_NONE && downgraded)
        group_downgraded(g, group);
    if (group->consumer && error == KAFKA_NONE && !upgraded && group_may_downgrade(g, group))
        group_downgrade(g, group);
    if (group->consumer && error != KAFKA_NONE)
        try_later(g, group);
    group_due(g, group, group_next_due(group));
    group_drop_if_void(g, group);
    groups_run_waiting(g, &waiting);
}

/* -- time -- */

void group_give_up_waiting(struct groups *g, struct group *group)
{
    while (!list_empty(&group->waiting)) {
        struct group_call *call = CONTAINER_OF(group->waiting.next, struct group_call, link);
        if (call->deadline_us > g->now_us)
            return;
        list_remove(&call->link);
        settle(g, call, KAFKA_COORDINATOR_NOT_AVAILABLE);
    }
}

static uint64_t member_due(const struct cmember *member)
{
    uint64_t due = member->expires_us;

    if (member->revoke_due_us != 0)
        due = MIN(due, member->revoke_due_us);
    if (member->join_due_us != 0)
        due = MIN(due, member->join_due_us);
    return due;
}

static void fence_late(struct groups *g, struct group *group)
{
    struct cgroup *cg = group->consumer;
    int32_t late = 0;

    arena_reset(&g->scratch);
    struct cmember **gone = arena_calloc(&g->scratch, (size_t)cg->members_count, sizeof(struct cmember *));
    ASSERT(gone);
    list_for_each (it, &cg->members) {
        struct cmember *member = CONTAINER_OF(it, struct cmember, link);
        if (member_due(member) <= g->now_us)
            gone[late++] = member;
    }
    if (late == 0)
        return;
    PROBE(CONSUMER_MEMBER_SILENT);
    write_begin(g);
    cgroup_write_fence(g, group, gone, late);
    group_round_begin(g, group, NULL);
}

void cgroup_tick(struct groups *g, struct group *group)
{
    group_give_up_waiting(g, group);
    if (group->consumer && group->round_seq == 0)
        fence_late(g, group);
    group_due(g, group, cgroup_next_due(group));
}

/* Members are looked at when the round is over. */
uint64_t cgroup_next_due(const struct group *group)
{
    uint64_t due = GROUPS_NO_DEADLINE;

    if (!list_empty(&group->waiting))
        due = CONTAINER_OF(group->waiting.next, struct group_call, link)->deadline_us;
    if (!group->consumer || group->round_seq != 0)
        return due;
    list_for_each (it, &group->consumer->members)
        due = MIN(due, member_due(CONTAINER_OF(it, struct cmember, link)));
    return due;
}
