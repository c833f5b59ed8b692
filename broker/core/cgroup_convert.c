/* SPDX-License-Identifier: Apache-2.0 */
/* Groups change their protocol while they live: classic to consumer with the first member that speaks the new
 * one, back when the last of those is gone (KIP-848, online migration). A conversion is a round of its own.
 */
#include "broker/core/group_consumer.h"
#include "common/base/mutant.h"
#include "common/base/probe.h"
#include "proto/kafka/gen/group_metadata_record.h"

/* -- classic to consumer -- */

static void end_waits(struct groups *g, struct group *group)
{
    list_for_each (it, &group->members) {
        struct member *member = CONTAINER_OF(it, struct member, link);
        if (member->join)
            settle(g, member->join, KAFKA_REBALANCE_IN_PROGRESS);
        if (member->sync)
            settle(g, member->sync, KAFKA_REBALANCE_IN_PROGRESS);
        member->join = member->sync = NULL;
    }
    group->joins_waiting = 0;
    group->storing_seq = 0;
    while (!list_empty(&group->pending_members))
        pending_drop(g, CONTAINER_OF(group->pending_members.next, struct pending_member, link));
}

/* Members' assignments say nothing: what counts is what each said to have kept when it joined. */
static bool by_their_word(const struct group *group)
{
    return group->state == GROUP_COMPLETING || (group->state == GROUP_PREPARING && group->untold);
}

/* What the member may still be reading: what its last generation gave it until it joins the next one; then
 * what it said to have kept (cooperative members do). */
static bool read_assigned(struct groups *g, const struct group *group, const struct member *member,
                          const struct tp_set *owned, struct tp_set *ret)
{
    if (MUTANT(UPGRADE_FORGETS_OWNERS))
        return protocol_read_assignment(g, BYTES_NULL, ret);
    if (!by_their_word(group))
        return protocol_read_assignment(g, member->assignment, ret);
    *ret = *owned;
    return true;
}

/* What the classic member becomes, in g->scratch. False: its bytes are not Kafka's consumer protocol. */
static bool convert_member(struct groups *g, const struct group *group, const struct member *member,
                           struct cmember *ret)
{
    struct tp_set owned;

    *ret = (struct cmember){.id = member->id,
                            .instance_id = member->instance_id,
                            .rack_id = STR_NULL,
                            .client_id = member->client_id.len < 0 ? STR_LIT("") : member->client_id,
                            .client_host = member->client_host.len < 0 ? STR_LIT("") : member->client_host,
                            .regex = STR_NULL,
                            .assignor = STR_NULL,
                            .rebalance_timeout_ms = member->rebalance_timeout_ms,
                            .classic = true,
                            .session_timeout_ms = member->session_timeout_ms,
                            .protocols = member->protocols,
                            .protocols_count = member->protocols_count,
                            .epoch = group->generation,
                            .previous_epoch = group->generation,
                            .state = CMEMBER_STABLE};
    if (member->protocols_count == 0 ||
        !protocol_read_subscription(g, member->protocols[0].metadata, &ret->topics, &ret->topics_count,
                                    &owned) ||
        !read_assigned(g, group, member, &owned, &ret->assigned))
        return false;
    ret->target = ret->assigned;
    return true;
}

/* No partition may have two owners, whatever the classic leader said. */
static bool apart(const struct cmember *members, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        for (int32_t k = i + 1; k < count; k++)
            if (tp_set_meet(&members[i].assigned, &members[k].assigned))
                return false;
    return true;
}

static struct cmember *convert_members(struct groups *g, const struct group *group)
{
    struct cmember *members = arena_calloc(&g->scratch, (size_t)group->members_count, sizeof(*members));
    int32_t count = 0;

    ASSERT(members);
    list_for_each (it, &group->members)
        if (!convert_member(g, group, CONTAINER_OF(it, struct member, link), &members[count++]))
            return NULL;
    if (apart(members, count))
        return members;
    for (int32_t i = 0; i < count && by_their_word(group); i++) /* somebody's word was wrong */
        members[i].assigned = members[i].target = (struct tp_set){NULL, 0};
    return by_their_word(group) ? members : NULL;
}

int16_t group_upgrade(struct groups *g, struct group *group, struct group_call *call)
{
    bool may = g->settings->consumer_upgrade && str_eq_z(group->protocol_type, CONSUMER_PROTOCOL) &&
               group->members_count < g->settings->consumer_size_max;

    arena_reset(&g->scratch);
    struct cmember *members = may ? convert_members(g, group) : NULL;
    if (!members)
        return KAFKA_GROUP_ID_NOT_FOUND; /* as Kafka: there is no consumer group of that name, nor can there
                                            be */
    PROBE(GROUP_UPGRADED);
    if (MUTANT(UPGRADE_FORGETS_OFFSETS))
        group_offsets_clear(g, group);
    write_begin(g);
    write_group_gone(g, group);
    for (int32_t i = 0; i < group->members_count; i++) {
        write_cmember_metadata(g, group, &members[i]);
        write_cmember_target(g, group, members[i].id, &members[i].target);
        write_cmember_current(g, group, &members[i]);
    }
    write_cgroup_epoch(g, group, MAX(group->generation, 1), 0);
    write_cgroup_target_epoch(g, group, MAX(group->generation, 1));
    end_waits(g, group);
    group->upgrading = true;
    group_round_make_way(g, group, call);
    return KAFKA_NONE;
}

/* -- consumer to classic -- */

static bool knows(const struct cmember *member, struct str protocol)
{
    for (int32_t i = 0; i < member->protocols_count; i++)
        if (str_eq(member->protocols[i].name, protocol))
            return true;
    return false;
}

/* The first protocol that all members know, null: none. */
static struct str common_protocol(const struct cgroup *cg)
{
    const struct cmember *first = CONTAINER_OF(cg->members.next, struct cmember, link);

    for (int32_t i = 0; i < first->protocols_count; i++) {
        bool all = true;
        list_for_each (it, &cg->members)
            all = all && knows(CONTAINER_OF(it, struct cmember, link), first->protocols[i].name);
        if (all)
            return first->protocols[i].name;
    }
    return STR_NULL;
}

bool group_may_downgrade(const struct groups *g, const struct group *group)
{
    const struct cgroup *cg = group->consumer;

    if (!g->settings->consumer_downgrade || cg->members_count == 0 ||
        cg->members_count > g->settings->size_max)
        return false;
    list_for_each (it, &cg->members)
        if (!CONTAINER_OF(it, struct cmember, link)->classic)
            return false;
    return common_protocol(cg).len >= 0;
}

static struct bytes metadata_of(const struct cmember *member, struct str protocol)
{
    for (int32_t i = 0; i < member->protocols_count; i++)
        if (str_eq(member->protocols[i].name, protocol))
            return member->protocols[i].metadata;
    return BYTES_NULL;
}

static void fill_member(struct groups *g, const struct cmember *member, struct str protocol,
                        struct kafka_group_metadata_record_value_member *out)
{
    struct bytes metadata = metadata_of(member, protocol);

    kafka_group_metadata_record_value_member_init(out);
    out->member_id = member->id;
    out->group_instance_id = member->instance_id;
    out->client_id = member->client_id;
    out->client_host = member->client_host;
    out->rebalance_timeout = member->rebalance_timeout_ms;
    out->session_timeout = member->session_timeout_ms;
    out->subscription = metadata;
    out->assignment = protocol_write_assignment(g, &g->scratch, metadata, &member->assigned);
    ASSERT(out->assignment.len >= 0);
}

void group_downgrade(struct groups *g, struct group *group)
{
    const struct cgroup *cg = group->consumer;
    struct kafka_group_metadata_record_value value;

    PROBE(GROUP_DOWNGRADED);
    arena_reset(&g->scratch);
    kafka_group_metadata_record_value_init(&value);
    value.protocol_type = STR_LIT(CONSUMER_PROTOCOL);
    value.generation = cg->epoch;
    value.protocol = common_protocol(cg);
    value.current_state_timestamp = g->wall_ms;
    value.members = arena_calloc(&g->scratch, (size_t)cg->members_count, sizeof(*value.members));
    ASSERT(value.members);
    list_for_each (it, &cg->members)
        fill_member(g, CONTAINER_OF(it, struct cmember, link), value.protocol,
                    &value.members[value.members_count++]);
    value.leader = value.members[0].member_id;
    write_begin(g);
    write_cgroup_gone(g, group);
    write_group_value(g, group, &value);
    group->downgrading = group_round_begin(g, group, NULL);
}

/* Members go on as in any new generation: all of them join again. */
void group_downgraded(struct groups *g, struct group *group)
{
    ASSERT(!group->consumer && group->state == GROUP_STABLE);
    list_for_each (it, &group->members)
        member_alive(g, group, CONTAINER_OF(it, struct member, link));
    group_prepare_rebalance(g, group);
}
