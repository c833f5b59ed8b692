/* SPDX-License-Identifier: Apache-2.0 */
/* DescribeGroups, ListGroups, DeleteGroups. */
#include "broker/core/group_consumer.h"
#include "broker/core/group_internal.h"
#include "proto/kafka/gen/describe_groups.h"
#include "proto/kafka/gen/list_groups.h"

#define NOT_FOUND_VERSION 6 /* DescribeGroups; before it a group that is not there is "Dead" */
#define TYPE_CLASSIC      "classic"
#define TYPE_CONSUMER     "consumer"

static const char *const state_names[GROUP_STATE_COUNT] = {
    [GROUP_EMPTY] = "Empty",
    [GROUP_PREPARING] = "PreparingRebalance",
    [GROUP_COMPLETING] = "CompletingRebalance",
    [GROUP_STABLE] = "Stable",
};

/* -- DescribeGroups -- */

static bool describe_member(struct group_call *call, const struct group *group, const struct member *member,
                            struct kafka_describe_groups_response_member *out)
{
    bool stable = group->state == GROUP_STABLE;
    struct bytes metadata = member_metadata(member, group->protocol);

    kafka_describe_groups_response_member_init(out);
    out->member_id = call_str(call, member->id);
    out->group_instance_id = call_str(call, member->instance_id);
    out->client_id = call_str(call, member->client_id);
    out->client_host = call_str(call, member->client_host);
    out->member_metadata = call_bytes(call, stable ? metadata : BYTES_NULL);
    out->member_assignment = call_bytes(call, stable ? member->assignment : BYTES_NULL);
    return out->member_id.len >= 0 && out->client_id.len >= 0 && out->client_host.len >= 0 &&
           out->member_metadata.len >= 0 && out->member_assignment.len >= 0;
}

static bool describe(struct group_call *call, const struct group *group)
{
    struct kafka_describe_groups_response_group *response = call->response;

    response->group_state = str_from(state_names[group->state]);
    response->protocol_type =
        call_str(call, group->protocol_type.len < 0 ? STR_LIT("") : group->protocol_type);
    response->protocol_data = call_str(
        call, group->state == GROUP_STABLE && group->protocol.len >= 0 ? group->protocol : STR_LIT(""));
    response->members = arena_calloc(call->arena, (size_t)group->members_count, sizeof(*response->members));
    if (!response->members)
        return false;
    list_for_each (it, &group->members)
        if (!describe_member(call, group, CONTAINER_OF(it, struct member, link),
                             &response->members[response->members_count++]))
            return false;
    return response->protocol_type.len >= 0 && response->protocol_data.len >= 0;
}

static void describe_nothing(struct group_call *call)
{
    struct kafka_describe_groups_response_group *response = call->response;

    response->members = NULL;
    response->members_count = 0;
    response->protocol_type = response->protocol_data = response->group_state = STR_LIT("");
}

void group_describe(struct groups *g, struct group_call *call)
{
    struct kafka_describe_groups_response_group *response = call->response;
    const struct group *group = group_find(g, call->group_id);
    int16_t error = KAFKA_NONE;

    describe_nothing(call);
    if (!group || group->consumer) { /* that one is described by its own request */
        response->group_state = STR_LIT("Dead");
        error = call->version >= NOT_FOUND_VERSION ? KAFKA_GROUP_ID_NOT_FOUND : KAFKA_NONE;
    } else if (!describe(call, group)) {
        describe_nothing(call);
        error = KAFKA_UNKNOWN_SERVER_ERROR;
    }
    settle(g, call, error);
}

/* -- ListGroups -- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same_word(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    for (int32_t i = 0; i < a.len; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

/* No filter lets everything through. */
static bool passes(const struct str *filter, int32_t count, struct str word)
{
    for (int32_t i = 0; i < count; i++)
        if (same_word(filter[i], word))
            return true;
    return count <= 0;
}

struct listing {
    struct group_call *call;
    bool failed;
};

static void list_one(void *ctx, struct group *group)
{
    struct listing *listing = ctx;
    struct group_call *call = listing->call;
    const struct kafka_list_groups_request *request = call->request;
    struct kafka_list_groups_response *response = call->response;
    const struct cgroup *cg = group->consumer;
    struct str state = str_from(cg ? cgroup_state_name(cg) : state_names[group->state]);
    struct str type = cg ? STR_LIT(TYPE_CONSUMER) : STR_LIT(TYPE_CLASSIC);
    struct str protocol_type = cg ? STR_LIT(CONSUMER_PROTOCOL) : group->protocol_type;

    if (!passes(request->states_filter, request->states_filter_count, state) ||
        !passes(request->types_filter, request->types_filter_count, type))
        return;
    struct kafka_list_groups_response_group *out = &response->groups[response->groups_count++];
    kafka_list_groups_response_group_init(out);
    out->group_id = call_str(call, group->id);
    out->protocol_type = call_str(call, protocol_type.len < 0 ? STR_LIT("") : protocol_type);
    out->group_state = state;
    out->group_type = type;
    listing->failed = listing->failed || out->group_id.len < 0 || out->protocol_type.len < 0;
}

void groups_list(struct groups *g, struct group_call *call)
{
    struct kafka_list_groups_response *response = call->response;
    struct listing listing = {.call = call};

    response->groups = arena_calloc(call->arena, g->count, sizeof(*response->groups));
    if (response->groups)
        groups_each(g, list_one, &listing);
    if (!response->groups || listing.failed) {
        response->groups = NULL;
        response->groups_count = 0;
    }
    settle(g, call, response->groups ? KAFKA_NONE : KAFKA_UNKNOWN_SERVER_ERROR);
}

/* -- DeleteGroups -- */

static void forget(struct groups *g, struct group *group)
{
    for (int32_t i = 0; i < group->topics_count; i++)
        for (int32_t k = 0; k < group->topics[i].count; k++)
            write_offset_gone(g, group, group->topics[i].name, group->topics[i].offsets[k].partition);
    if (group->consumer)
        write_cgroup_gone(g, group);
    else
        write_group_gone(g, group);
}

void group_delete(struct groups *g, struct group_call *call)
{
    struct group *group = group_find(g, call->group_id);

    if (!group) {
        settle(g, call, KAFKA_GROUP_ID_NOT_FOUND);
    } else if (!group_has_nobody(group)) {
        settle(g, call, KAFKA_NON_EMPTY_GROUP);
    } else if (group->record_writes > 0) {
        group_wait(g, group, call); /* offsets on their way would outlive it */
    } else {
        write_begin(g);
        forget(g, group);
        if (group->consumer)
            group_round_begin(g, group, call);
        else
            write_end(g, WRITE_RECORDS, group, call);
    }
}
