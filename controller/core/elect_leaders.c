/* SPDX-License-Identifier: Apache-2.0 */
/* ElectLeaders: preferred (0) or unclean (1) elections on request. */
#include "proto/kafka/gen/elect_leaders.h"
#include "controller/core/config_change.h"

enum election_type { PREFERRED = 0, UNCLEAN = 1 };

struct elections {
    struct command *command;
    const struct kafka_elect_leaders_request *request;
    struct kafka_elect_leaders_response *response;
};

static int16_t judge(const struct elections *e, const struct image_partition *p,
                     const struct partition_change *change)
{
    bool preferred = e->request->election_type == PREFERRED;
    if (preferred && change->successor != p->replicas[0])
        return KAFKA_PREFERRED_LEADER_NOT_AVAILABLE;
    return change->record.leader == NODE_NONE ? KAFKA_ELIGIBLE_LEADERS_NOT_AVAILABLE : KAFKA_NONE;
}

static int16_t elect(struct elections *e, const struct image_topic *topic, const struct image_partition *p)
{
    ASSERT(p->replicas_count > 0);
    const struct image *image = plan_image(&e->command->plan);
    bool preferred = e->request->election_type == PREFERRED;
    if (preferred ? p->leader == p->replicas[0] : p->leader != NODE_NONE)
        return KAFKA_ELECTION_NOT_NEEDED;
    struct partition_rules rules = partition_rules_of(image, topic);
    struct partition_goal goal = {.lost_data_id = NODE_NONE,
                                  .election = preferred ? ELECT_PREFERRED : ELECT_UNCLEAN};
    struct partition_change change;
    bool changed = partition_change_make(image, topic->id, p, &rules, &goal, &change);
    int16_t error = judge(e, p, &change);
    if (error == KAFKA_NONE && changed)
        plan_change(&e->command->plan, &change);
    plan_may_cut(&e->command->plan);
    return error;
}

static int16_t elect_named(struct elections *e, struct str topic_name, int32_t index)
{
    const struct image *image = plan_image(&e->command->plan);
    const struct image_topic *topic = image_topic_by_name(image, topic_name);
    const struct image_partition *p = topic ? image_partition(image, topic, index) : NULL;
    return p ? elect(e, topic, p) : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
}

/* --- the answer --- */

/* Room for the results of a topic, NULL when memory is out. */
static struct kafka_elect_leaders_response_replica_election_result *add_topic(struct elections *e,
                                                                              struct str name,
                                                                              int32_t partitions)
{
    struct kafka_elect_leaders_response_replica_election_result *group =
        &e->response->replica_election_results[e->response->replica_election_results_count];
    kafka_elect_leaders_response_replica_election_result_init(group);
    group->topic = command_str(e->command, name);
    group->partition_result =
        command_alloc(e->command, (size_t)MAX(partitions, 0), sizeof(*group->partition_result));
    if (!group->partition_result)
        return NULL;
    e->response->replica_election_results_count++;
    return group;
}

static void add_result(struct kafka_elect_leaders_response_replica_election_result *group, int32_t index,
                       int16_t error)
{
    struct kafka_elect_leaders_response_partition_result *result =
        &group->partition_result[group->partition_result_count++];
    kafka_elect_leaders_response_partition_result_init(result);
    result->partition_id = index;
    result->error_code = error;
    result->error_message = error == KAFKA_NONE ? STR_NULL : str_from(kafka_error_text(error));
}

static void elect_some(struct elections *e)
{
    for (int32_t i = 0; i < e->request->topic_partitions_count; i++) {
        const struct kafka_elect_leaders_request_topic_partition *wanted = &e->request->topic_partitions[i];
        struct kafka_elect_leaders_response_replica_election_result *group =
            add_topic(e, wanted->topic, wanted->partitions_count);
        for (int32_t n = 0; group && n < wanted->partitions_count; n++)
            add_result(group, wanted->partitions[n], elect_named(e, wanted->topic, wanted->partitions[n]));
    }
}

/* Of all partitions, those that needed no election are left out. */
static bool elect_topic(void *ctx, const struct image_topic *topic)
{
    struct elections *e = ctx;
    struct kafka_elect_leaders_response_replica_election_result *group = NULL;
    for (int32_t i = 0; i < topic->partitions_count; i++) {
        int16_t error = elect_named(e, topic->name, i);
        if (error == KAFKA_ELECTION_NOT_NEEDED)
            continue;
        if (!group)
            group = add_topic(e, topic->name, topic->partitions_count);
        if (!group)
            return false;
        add_result(group, i, error);
    }
    return true;
}

static void elect_all(struct elections *e)
{
    struct image *base = image_ref(e->command->core->latest); /* what is walked; the plan's own moves on */
    image_each_topic(base, elect_topic, e);
    image_unref(base);
}

void elect_leaders(struct command *command, const void *request)
{
    struct elections e = {.command = command, .request = request};
    bool all = e.request->topic_partitions == NULL && e.request->topic_partitions_count < 0;
    size_t groups =
        all ? image_topic_count(plan_image(&command->plan)) : (size_t)e.request->topic_partitions_count;
    e.response = command_alloc(command, 1, sizeof(*e.response));
    if (!e.response)
        return;
    kafka_elect_leaders_response_init(e.response);
    command->reply.admin.response = e.response;
    if (e.request->election_type != PREFERRED && e.request->election_type != UNCLEAN) {
        e.response->error_code = KAFKA_INVALID_REQUEST;
        return;
    }
    e.response->replica_election_results =
        command_alloc(command, groups, sizeof(*e.response->replica_election_results));
    if (!e.response->replica_election_results)
        return;
    if (all)
        elect_all(&e);
    else
        elect_some(&e);
}
