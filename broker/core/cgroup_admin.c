/* SPDX-License-Identifier: Apache-2.0 */
/* ConsumerGroupDescribe. */
#include "broker/core/group_consumer.h"
#include "proto/kafka/gen/consumer_group_describe.h"

#define TYPE_CLASSIC_MEMBER  0
#define TYPE_CONSUMER_MEMBER 1
#define MEMBER_TYPE_VERSION  1

static bool names_topic(const struct str *topics, int32_t count, struct str topic)
{
    for (int32_t i = 0; i < count; i++)
        if (str_eq(topics[i], topic))
            return true;
    return false;
}

bool cgroup_subscribes(const struct cgroup *cg, struct str topic)
{
    for (int32_t i = 0; i < cg->regexes_count; i++)
        if (names_topic(cg->regexes[i].topics, cg->regexes[i].topics_count, topic))
            return true;
    list_for_each (it, &cg->members) {
        const struct cmember *member = CONTAINER_OF(it, struct cmember, link);
        if (names_topic(member->topics, member->topics_count, topic))
            return true;
    }
    return false;
}

/* Topics that are gone have no name to tell. */
static bool describe_set(struct groups *g, struct group_call *call, const struct tp_set *set,
                         struct kafka_consumer_group_describe_response_assignment *out)
{
    const struct group_topics *topics = g->settings->topics;
    int32_t *partitions = arena_calloc(call->arena, (size_t)set->count, sizeof(*partitions));
    struct group_topic_view view;

    out->topic_partitions =
        arena_calloc(call->arena, (size_t)tp_set_topics(set), sizeof(*out->topic_partitions));
    if (!partitions || !out->topic_partitions)
        return false;
    for (int32_t i = 0, end; i < set->count; i = end) {
        struct kafka_consumer_group_describe_response_topic_partitions *topic =
            &out->topic_partitions[out->topic_partitions_count];
        end = tp_set_run(set, i);
        if (!topics->by_id(topics->ctx, set->v[i].topic, &view))
            continue;
        out->topic_partitions_count++;
        topic->topic_id = set->v[i].topic;
        topic->topic_name = call_str(call, view.name);
        topic->partitions = &partitions[i];
        topic->partitions_count = end - i;
        for (int32_t k = i; k < end; k++)
            partitions[k] = set->v[k].partition;
        if (topic->topic_name.len < 0)
            return false;
    }
    return true;
}

static bool describe_names(struct group_call *call, const struct cmember *member,
                           struct kafka_consumer_group_describe_response_member *out)
{
    out->subscribed_topic_names =
        arena_calloc(call->arena, (size_t)member->topics_count, sizeof(*out->subscribed_topic_names));
    if (!out->subscribed_topic_names)
        return false;
    for (int32_t i = 0; i < member->topics_count; i++) {
        out->subscribed_topic_names[out->subscribed_topic_names_count++] = call_str(call, member->topics[i]);
        if (out->subscribed_topic_names[i].len < 0)
            return false;
    }
    return true;
}

static bool describe_member(struct groups *g, struct group_call *call, const struct cmember *member,
                            struct kafka_consumer_group_describe_response_member *out)
{
    kafka_consumer_group_describe_response_member_init(out);
    out->member_id = call_str(call, member->id);
    out->instance_id = call_str(call, member->instance_id);
    out->rack_id = call_str(call, member->rack_id);
    out->member_epoch = member->epoch;
    out->client_id = call_str(call, member->client_id);
    out->client_host = call_str(call, member->client_host);
    out->subscribed_topic_regex = call_str(call, member->regex);
    if (call->version >= MEMBER_TYPE_VERSION)
        out->member_type = member->classic ? TYPE_CLASSIC_MEMBER : TYPE_CONSUMER_MEMBER;
    return out->member_id.len >= 0 && out->client_id.len >= 0 && out->client_host.len >= 0 &&
           describe_names(call, member, out) && describe_set(g, call, &member->assigned, &out->assignment) &&
           describe_set(g, call, &member->target, &out->target_assignment);
}

/* The one that the last assignment was made with, as far as the members still tell. */
static struct str assignor_name(const struct cgroup *cg)
{
    struct str best = STR_LIT("uniform");
    int32_t most = 0;

    list_for_each (it, &cg->members) {
        struct str name = CONTAINER_OF(it, struct cmember, link)->assignor;
        int32_t votes = 0;
        list_for_each (other, &cg->members)
            votes += name.len > 0 && str_eq(CONTAINER_OF(other, struct cmember, link)->assignor, name);
        if (votes > most) {
            most = votes;
            best = name;
        }
    }
    return best;
}

static bool describe(struct groups *g, struct group_call *call, const struct cgroup *cg)
{
    struct kafka_consumer_group_describe_response_group *response = call->response;

    response->group_state = str_from(cgroup_state_name(cg));
    response->group_epoch = cg->epoch;
    response->assignment_epoch = cg->target_epoch;
    response->assignor_name = call_str(call, assignor_name(cg));
    response->members = arena_calloc(call->arena, (size_t)cg->members_count, sizeof(*response->members));
    if (!response->members || response->assignor_name.len < 0)
        return false;
    list_for_each (it, &cg->members)
        if (!describe_member(g, call, CONTAINER_OF(it, struct cmember, link),
                             &response->members[response->members_count++]))
            return false;
    return true;
}

void cgroup_describe(struct groups *g, struct group_call *call)
{
    struct kafka_consumer_group_describe_response_group *response = call->response;
    const struct group *group = group_find(g, call->group_id);
    int16_t error = KAFKA_NONE;

    response->group_state = response->assignor_name = STR_LIT("");
    if (!group || !group->consumer) {
        error = KAFKA_GROUP_ID_NOT_FOUND;
    } else if (!describe(g, call, group->consumer)) {
        response->members = NULL;
        response->members_count = 0;
        error = KAFKA_UNKNOWN_SERVER_ERROR;
    }
    settle(g, call, error);
}
