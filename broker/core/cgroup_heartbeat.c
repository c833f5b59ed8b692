/* SPDX-License-Identifier: Apache-2.0 */
/* ConsumerGroupHeartbeat: joining, going on, leaving (KIP-848); and who may commit. */

#include "broker/core/group_consumer.h"
#include "common/base/mutant.h"
#include "common/base/probe.h"
#include "common/base/sort.h"
#include "proto/kafka/gen/consumer_group_heartbeat.h"

#define REGEX_VERSION 1

static int by_str(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* -- the request by itself -- */

static const char *check_join(const struct kafka_consumer_group_heartbeat_request *request)
{
    bool names = request->subscribed_topic_names_count > 0, regex = request->subscribed_topic_regex.len > 0;

    if (request->rebalance_timeout_ms < 0)
        return "RebalanceTimeoutMs must be provided in first request.";
    if (request->topic_partitions_count != 0)
        return "TopicPartitions must be empty when (re-)joining.";
    return names || regex
               ? NULL
               : "Either SubscribedTopicNames or SubscribedTopicRegex must be set when (re-)joining.";
}

static const char *check_request(const struct kafka_consumer_group_heartbeat_request *request,
                                 int16_t version)
{
    bool makes_id = version < REGEX_VERSION && request->member_epoch == MEMBER_EPOCH_JOIN;

    if (request->group_id.len <= 0)
        return "GroupId can't be empty.";
    if (request->member_id.len <= 0 && !makes_id)
        return "MemberId can't be empty.";
    if (request->instance_id.len == 0)
        return "InstanceId can't be empty.";
    if (request->rack_id.len == 0)
        return "RackId can't be empty.";
    if (request->member_epoch < MEMBER_EPOCH_LEAVE_STATIC)
        return "MemberEpoch is invalid.";
    if (request->member_epoch == MEMBER_EPOCH_LEAVE_STATIC && request->instance_id.len < 0)
        return "InstanceId can't be null.";
    return request->member_epoch == MEMBER_EPOCH_JOIN ? check_join(request) : NULL;
}

static void refuse(struct groups *g, struct group_call *call, int16_t error, const char *why)
{
    struct kafka_consumer_group_heartbeat_response *response = call->response;

    if (why)
        response->error_message = str_from(why);
    settle(g, call, error);
}

/* -- answers -- */

static bool fill_assignment(struct group_call *call, const struct tp_set *set)
{
    struct kafka_consumer_group_heartbeat_response *response = call->response;
    int32_t *partitions = arena_calloc(call->arena, (size_t)set->count, sizeof(*partitions)), at = 0;

    response->has_assignment = true;
    response->assignment.topic_partitions =
        arena_calloc(call->arena, (size_t)tp_set_topics(set), sizeof(*response->assignment.topic_partitions));
    if (!partitions || !response->assignment.topic_partitions)
        return false;
    for (int32_t i = 0, end; i < set->count; i = end) {
        end = tp_set_run(set, i);
        response->assignment.topic_partitions[at].topic_id = set->v[i].topic;
        response->assignment.topic_partitions[at].partitions = &partitions[i];
        response->assignment.topic_partitions[at++].partitions_count = end - i;
        for (int32_t k = i; k < end; k++)
            partitions[k] = set->v[k].partition;
    }
    response->assignment.topic_partitions_count = at;
    return true;
}

/* The assignment is told to who joins, asks with everything set, or has another one now. */
static bool fill_answer(struct groups *g, struct group_call *call, const struct plan *plan)
{
    const struct kafka_consumer_group_heartbeat_request *request = call->request;
    struct kafka_consumer_group_heartbeat_response *response = call->response;
    bool full = request->rebalance_timeout_ms >= 0 && request->topic_partitions_count >= 0 &&
                (request->subscribed_topic_names_count >= 0 || request->subscribed_topic_regex.len >= 0);
    bool changed = !plan->old || !tp_set_eq(&plan->old->assigned, &plan->next.assigned);

    response->member_id = call_str(call, plan->next.id);
    response->member_epoch = plan->next.epoch;
    response->heartbeat_interval_ms = g->settings->consumer_heartbeat_ms;
    if (response->member_id.len < 0)
        return false;
    return !(request->member_epoch == MEMBER_EPOCH_JOIN || full || changed) ||
           fill_assignment(call, &plan->next.assigned);
}

/* -- what the member says -- */

static bool same_strs(const struct str *a, int32_t a_count, const struct str *b, int32_t b_count)
{
    if (a_count != b_count)
        return false;
    for (int32_t i = 0; i < a_count; i++)
        if (!str_eq(a[i], b[i]))
            return false;
    return true;
}

static void take_names(struct plan *plan, const struct str *names, int32_t count)
{
    struct str *sorted = arena_copy(&plan->g->scratch, names, (size_t)count * sizeof(*sorted));

    ASSERT(sorted);
    if (count > 1)
        sort_items(sorted, (size_t)count, sizeof(*sorted), by_str);
    plan->next.topics = sorted;
    plan->next.topics_count = count;
}

/* null: as before. An empty pattern takes it back. */
static void take_regex(struct plan *plan, struct str regex)
{
    if (regex.len >= 0)
        plan->next.regex = regex.len > 0 ? regex : STR_NULL;
}

static void take_owned(struct plan *plan, const struct kafka_consumer_group_heartbeat_request *request,
                       struct tp_set *owned)
{
    size_t total = 0;

    if (request->topic_partitions_count < 0)
        return;
    for (int32_t i = 0; i < request->topic_partitions_count; i++)
        total += (size_t)MAX(request->topic_partitions[i].partitions_count, 0);
    owned->v = arena_calloc(&plan->g->scratch, total, sizeof(*owned->v));
    ASSERT(owned->v);
    for (int32_t i = 0; i < request->topic_partitions_count; i++)
        for (int32_t k = 0; k < request->topic_partitions[i].partitions_count; k++)
            owned->v[owned->count++] = (struct tp){request->topic_partitions[i].topic_id,
                                                   request->topic_partitions[i].partitions[k]};
    tp_set_form(owned);
    plan->owned = owned;
}

static bool metadata_differs(const struct cmember *a, const struct cmember *b)
{
    return !str_eq(a->instance_id, b->instance_id) || !str_eq(a->rack_id, b->rack_id) ||
           !str_eq(a->client_id, b->client_id) || !str_eq(a->client_host, b->client_host) ||
           !str_eq(a->regex, b->regex) || !str_eq(a->assignor, b->assignor) ||
           a->rebalance_timeout_ms != b->rebalance_timeout_ms || a->classic != b->classic ||
           !same_strs(a->topics, a->topics_count, b->topics, b->topics_count);
}

static void take_request(struct plan *plan, const struct group_call *call)
{
    const struct kafka_consumer_group_heartbeat_request *request = call->request;
    struct cmember *next = &plan->next;

    next->client_id = call->client_id.len < 0 ? STR_LIT("") : call->client_id;
    next->client_host = call->client_host;
    if (request->instance_id.len >= 0)
        next->instance_id = request->instance_id;
    if (request->rack_id.len >= 0)
        next->rack_id = request->rack_id;
    if (request->rebalance_timeout_ms >= 0)
        next->rebalance_timeout_ms = request->rebalance_timeout_ms;
    if (request->server_assignor.len >= 0)
        next->assignor = request->server_assignor;
    if (request->subscribed_topic_names_count >= 0)
        take_names(plan, request->subscribed_topic_names, request->subscribed_topic_names_count);
    take_regex(plan, request->subscribed_topic_regex);
    next->classic = false;
    next->protocols = NULL;
    next->protocols_count = 0;
}

/* -- who it is -- */

/* An answer may have got lost: the epoch before this one is good, too, from who owns nothing more than it
 * may. */
static int16_t check_epoch(const struct cmember *member, int32_t epoch, const struct tp_set *owned)
{
    if (epoch == member->epoch)
        return KAFKA_NONE;
    bool lost = epoch == member->previous_epoch && epoch < member->epoch && owned &&
                tp_set_within(owned, &member->assigned);
    if (MUTANT(STALE_MEMBER_HEARTBEAT) && epoch < member->epoch)
        return KAFKA_NONE;
    if (!lost)
        PROBE(CONSUMER_FENCED);
    return lost ? KAFKA_NONE : KAFKA_FENCED_MEMBER_EPOCH;
}

static void begin_member(struct plan *plan, struct str id)
{
    plan->next = (struct cmember){.id = id,
                                  .instance_id = STR_NULL,
                                  .rack_id = STR_NULL,
                                  .regex = STR_NULL,
                                  .assignor = STR_NULL,
                                  .rebalance_timeout_ms = -1};
}

/* A static member is back under another id: it takes the place of the old one, which must have left for a
 * while. */
static int16_t take_place(struct plan *plan, const struct cmember *before, struct str id)
{
    if (before->epoch != MEMBER_EPOCH_LEAVE_STATIC)
        return KAFKA_UNRELEASED_INSTANCE_ID;
    plan->replaced = before;
    plan->next = *before;
    plan->next.id = id;
    plan->next.epoch = plan->next.previous_epoch = 0;
    return KAFKA_NONE;
}

static int16_t find_joining(struct plan *plan, struct str id, struct str instance_id)
{
    const struct cmember *known =
        instance_id.len >= 0 ? cmember_find_instance(plan->cg, instance_id) : cmember_find(plan->cg, id);

    if (!known && instance_id.len >= 0 && cmember_find(plan->cg, id))
        known = cmember_find(plan->cg, id);
    if (known && !str_eq(known->id, id))
        return take_place(plan, known, id);
    if (known) {
        plan->old = known;
        plan->next = *known;
        if (known->epoch == MEMBER_EPOCH_LEAVE_STATIC)
            plan->next.epoch = plan->next.previous_epoch = 0;
        return KAFKA_NONE;
    }
    if (plan->cg->members_count >= plan->g->settings->consumer_size_max)
        return KAFKA_GROUP_MAX_SIZE_REACHED;
    begin_member(plan, id);
    return KAFKA_NONE;
}

/* Planted: what must not be (MUTANT_REVIVE_FENCED). */
static int16_t revive(struct plan *plan, struct str id, int32_t epoch)
{
    begin_member(plan, id);
    plan->next.epoch = plan->next.previous_epoch = epoch;
    plan->next.assigned = *plan->owned;
    return KAFKA_NONE;
}

static int16_t find_present(struct plan *plan, struct str id, struct str instance_id, int32_t epoch)
{
    const struct cmember *known =
        instance_id.len >= 0 ? cmember_find_instance(plan->cg, instance_id) : cmember_find(plan->cg, id);

    if (!known && MUTANT(REVIVE_FENCED) && plan->owned)
        return revive(plan, id, epoch);
    if (!known)
        return KAFKA_UNKNOWN_MEMBER_ID;
    if (!str_eq(known->id, id))
        return KAFKA_FENCED_INSTANCE_ID;
    plan->old = known;
    plan->next = *known;
    return check_epoch(known, epoch, plan->owned);
}

/* -- leaving -- */

void cgroup_write_fence(struct groups *g, struct group *group, struct cmember *const *gone, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        write_cmember_gone(g, group, gone[i]->id);
    write_cgroup_epoch(g, group, group->consumer->epoch + 1, group->consumer->metadata_hash);
}

/* A static member will be back: what it has stays its own until its session is over. */
static void leave_for_a_while(struct groups *g, struct group *group, const struct cmember *member)
{
    struct cmember next = *member;

    next.epoch = next.previous_epoch = MEMBER_EPOCH_LEAVE_STATIC;
    next.state = CMEMBER_STABLE;
    next.revoking = (struct tp_set){NULL, 0};
    write_cmember_current(g, group, &next);
}

static void leave(struct groups *g, struct group *group, struct group_call *call)
{
    const struct kafka_consumer_group_heartbeat_request *request = call->request;
    struct kafka_consumer_group_heartbeat_response *response = call->response;
    struct str instance_id = request->instance_id;
    struct cmember *member = instance_id.len >= 0 ? cmember_find_instance(group->consumer, instance_id)
                                                  : cmember_find(group->consumer, request->member_id);

    if (!member) {
        refuse(g, call, KAFKA_UNKNOWN_MEMBER_ID, NULL);
        return;
    }
    if (!str_eq(member->id, request->member_id)) {
        refuse(g, call, KAFKA_FENCED_INSTANCE_ID, NULL);
        return;
    }
    response->member_id = call_str(call, member->id);
    response->member_epoch = request->member_epoch;
    write_begin(g);
    if (request->member_epoch == MEMBER_EPOCH_LEAVE_STATIC)
        leave_for_a_while(g, group, member);
    else
        cgroup_write_fence(g, group, &member, 1);
    group_round_begin(g, group, call);
}

/* -- all of it -- */

static int16_t plan_member(struct plan *plan, const struct kafka_consumer_group_heartbeat_request *request,
                           struct str id)
{
    int16_t error = request->member_epoch == MEMBER_EPOCH_JOIN
                        ? find_joining(plan, id, request->instance_id)
                        : find_present(plan, id, request->instance_id, request->member_epoch);

    if (error == KAFKA_NONE && request->subscribed_topic_regex.len > 0)
        error = plan_check_regex(plan->g, request->subscribed_topic_regex);
    return error;
}

static void note_changes(struct plan *plan)
{
    const struct cmember *before = plan->old ? plan->old : plan->replaced;

    plan->subscription_changed =
        !before ||
        !same_strs(before->topics, before->topics_count, plan->next.topics, plan->next.topics_count) ||
        !str_eq(before->regex, plan->next.regex);
    if (!plan->old || metadata_differs(plan->old, &plan->next))
        write_cmember_metadata(plan->g, plan->group, &plan->next);
}

static void go_on(struct groups *g, struct group *group, struct group_call *call, struct str id)
{
    const struct kafka_consumer_group_heartbeat_request *request = call->request;
    struct plan plan = {.g = g, .group = group, .cg = group->consumer};
    struct tp_set owned = {NULL, 0};

    arena_reset(&g->scratch);
    take_owned(&plan, request, &owned);
    int16_t error = plan_member(&plan, request, id);
    if (error == KAFKA_NONE) {
        write_begin(g);
        if (group->consumer->epoch == 0 && group->stored)
            write_group_gone(g, group); /* it was a classic one, without members */
        take_request(&plan, call);
        note_changes(&plan);
        error = plan_run(&plan);
    }
    if (error == KAFKA_NONE && !fill_answer(g, call, &plan))
        error = KAFKA_UNKNOWN_SERVER_ERROR;
    if (error != KAFKA_NONE) {
        refuse(g, call, error, NULL);
        return;
    }
    if (plan.old)
        cmember_alive(g, group, (struct cmember *)plan.old);
    if (!group_round_begin(g, group, call))
        settle(g, call, KAFKA_NONE);
}

/* The group may be new, a classic one without members, or one to be converted first. Not NONE: refused;
 * `*ret_wait`: the call has been put aside. */
static int16_t enter_group(struct groups *g, struct group_call *call, struct group **ret_group,
                           bool *ret_wait)
{
    const struct kafka_consumer_group_heartbeat_request *request = call->request;
    struct group *group = group_find(g, request->group_id);

    if (group && group->consumer) {
        *ret_group = group;
        return KAFKA_NONE;
    }
    if (request->member_epoch != MEMBER_EPOCH_JOIN)
        return KAFKA_GROUP_ID_NOT_FOUND;
    if (group && (group->members_count > 0 || group->state != GROUP_EMPTY)) {
        *ret_wait = true;
        return group_upgrade(g, group, call);
    }
    *ret_group = group_find_or_make(g, request->group_id);
    return KAFKA_NONE;
}

/* A group that was not there, or an empty classic one: it becomes one of these with the first member's
 * records. */
static void first_member(struct groups *g, struct group *group, struct group_call *call, struct str id)
{
    while (!list_empty(&group->pending_members)) /* come back as who they are, if they do */
        pending_drop(g, CONTAINER_OF(group->pending_members.next, struct pending_member, link));
    cgroup_make(g, group);
    go_on(g, group, call, id);
    if (group->round_seq == 0) {
        cgroup_drop(g, group);
        group_drop_if_void(g, group);
    }
}

void cgroup_heartbeat(struct groups *g, struct group_call *call)
{
    const struct kafka_consumer_group_heartbeat_request *request = call->request;
    const char *why = check_request(request, call->version);
    struct group *group = NULL;
    bool wait = false;

    if (why) {
        refuse(g, call, KAFKA_INVALID_REQUEST, why);
        return;
    }
    if (request->server_assignor.len >= 0 && !assignor_find(request->server_assignor)) {
        refuse(g, call, KAFKA_UNSUPPORTED_ASSIGNOR, NULL);
        return;
    }
    int16_t error = enter_group(g, call, &group, &wait);
    if (error != KAFKA_NONE || wait) {
        if (error != KAFKA_NONE)
            refuse(g, call, error, NULL);
        return;
    }
    struct str made = request->member_id.len > 0 ? STR_NULL : member_id_make(g, call->client_id);
    struct str id = made.len > 0 ? made : request->member_id;
    if (!group->consumer)
        first_member(g, group, call, id);
    else if (request->member_epoch < 0)
        leave(g, group, call);
    else
        go_on(g, group, call, id);
    group_str_drop(g, &made);
}

/* -- commits and fetches -- */

int16_t cgroup_check_epoch(struct groups *g, struct group *group, struct str member_id,
                           struct str instance_id, int32_t epoch, int16_t stale_error)
{
    struct cmember *member = cmember_find(group->consumer, member_id);

    if (MUTANT(STALE_MEMBER_EPOCH) && epoch >= 0 && (!member || !member->classic))
        return KAFKA_NONE;
    if (epoch < 0 && group->consumer->members_count == 0)
        return KAFKA_NONE;
    if (!member)
        return instance_id.len >= 0 && cmember_find_instance(group->consumer, instance_id)
                   ? KAFKA_FENCED_INSTANCE_ID
                   : KAFKA_UNKNOWN_MEMBER_ID;
    if (member->epoch != epoch) {
        PROBE(CONSUMER_STALE_COMMIT);
        return member->classic ? KAFKA_ILLEGAL_GENERATION : stale_error;
    }
    cmember_alive(g, group, member);
    return KAFKA_NONE;
}
