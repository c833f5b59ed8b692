/* SPDX-License-Identifier: Apache-2.0 */
/* CreatePartitions: raises the number of partitions of topics. */
#include "proto/kafka/gen/create_partitions.h"
#include "controller/core/assignment.h"
#include "controller/core/repeats.h"

struct growth {
    struct command *command;
    const struct kafka_create_partitions_request *request;
    struct assigner assigner;
    const bool *repeated; /* by topic */
};

static uint64_t hash_name(const void *items, int32_t i, uint64_t seed)
{
    struct str name = ((const struct kafka_create_partitions_request_topic *)items)[i].name;
    return hash_bytes(name.p, (uint64_t)MAX(name.len, 0), seed);
}

static struct problem check_count(struct growth *g,
                                  const struct kafka_create_partitions_request_topic *wanted,
                                  const struct image_topic *topic)
{
    int64_t now = topic->partitions_count, more = (int64_t)wanted->count - now;
    if (more <= 0)
        return (struct problem){
            KAFKA_INVALID_PARTITIONS,
            command_text(g->command,
                         "The topic %s currently has %d partition(s); %d would not be an increase.",
                         wanted->name, now, (int64_t)wanted->count)};
    if (more > CORE_PARTITIONS_PER_REQUEST_MAX)
        return (struct problem){KAFKA_POLICY_VIOLATION,
                                STR_LIT("Excessively large number of partitions per request.")};
    if (wanted->assignments_count >= 0 && wanted->assignments && wanted->assignments_count != more)
        return (struct problem){
            KAFKA_INVALID_REPLICA_ASSIGNMENT,
            command_text(
                g->command,
                "Attempted to add %d additional partition(s), but only %d assignment(s) were specified.",
                more, (int64_t)wanted->assignments_count)};
    return NO_PROBLEM;
}

/* As many replicas as the first partition has. */
static int32_t replication_factor_of(const struct image *image, const struct image_topic *topic)
{
    const struct image_partition *first = image_partition(image, topic, 0);
    ASSERT(first != NULL);
    return first->replicas_count;
}

/* Fills replicas[] with those of the new partitions. */
static struct problem place(struct growth *g, const struct kafka_create_partitions_request_topic *wanted,
                            const struct image_topic *topic, int32_t more, int32_t **replicas)
{
    ASSERT(more > 0);
    int32_t replication_factor = replication_factor_of(plan_image(&g->command->plan), topic), *ids = NULL;
    bool named = wanted->assignments && wanted->assignments_count > 0;
    struct problem problem = NO_PROBLEM;
    if (!named)
        problem = assign_automatically(&g->assigner, topic, more, replication_factor, &ids);
    for (int32_t i = 0; i < more && problem.error == KAFKA_NONE; i++) {
        if (!named) {
            replicas[i] = ids + (size_t)i * (size_t)replication_factor;
            continue;
        }
        replicas[i] = wanted->assignments[i].broker_ids;
        problem = assignment_check(g->command, topic->partitions_count + (int64_t)i, replicas[i],
                                   wanted->assignments[i].broker_ids_count, replication_factor);
    }
    return problem;
}

static struct problem grow_one(struct growth *g, const struct kafka_create_partitions_request_topic *wanted)
{
    struct plan *plan = &g->command->plan;
    const struct image_topic *topic = image_topic_by_name(plan_image(plan), wanted->name);
    if (g->repeated[wanted - g->request->topics])
        return (struct problem){KAFKA_INVALID_REQUEST, STR_LIT("Duplicate topic name.")};
    if (!topic)
        return (struct problem){KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
                                command_text(g->command, "The topic '%s' does not exist.", wanted->name)};
    struct problem problem = check_count(g, wanted, topic);
    if (problem.error != KAFKA_NONE)
        return problem;
    int32_t first = topic->partitions_count, more = wanted->count - first;
    int32_t **replicas = command_alloc(g->command, (size_t)more, sizeof(*replicas));
    if (!replicas)
        return (struct problem){KAFKA_UNKNOWN_SERVER_ERROR, STR_LIT("out of memory")};
    problem = place(g, wanted, topic, more, replicas);
    if (problem.error != KAFKA_NONE || g->request->validate_only)
        return problem;
    int32_t replication_factor = replication_factor_of(plan_image(plan), topic);
    struct uuid id = topic->id;
    for (int32_t i = 0; i < more && plan->err == OK; i++)
        plan_new_partition(plan, id, first + i, replicas[i], replication_factor);
    return NO_PROBLEM;
}

static int64_t partitions_wanted(const struct growth *g)
{
    int64_t total = 0;
    for (int32_t i = 0; i < g->request->topics_count; i++) {
        const struct image_topic *topic =
            image_topic_by_name(plan_image(&g->command->plan), g->request->topics[i].name);
        total += topic ? MAX((int64_t)g->request->topics[i].count - topic->partitions_count, 0) : 0;
    }
    return total;
}

static void grow_all(struct growth *g, struct kafka_create_partitions_response *response)
{
    bool too_many = partitions_wanted(g) > CORE_PARTITIONS_PER_REQUEST_MAX;
    for (int32_t i = 0; i < response->results_count; i++) {
        struct kafka_create_partitions_response_result *result = &response->results[i];
        struct problem problem = {KAFKA_POLICY_VIOLATION,
                                  STR_LIT("Excessively large number of partitions per request.")};
        if (!too_many)
            problem = grow_one(g, &g->request->topics[i]);
        plan_may_cut(&g->command->plan);
        kafka_create_partitions_response_result_init(result);
        result->name = command_str(g->command, g->request->topics[i].name);
        result->error_code = problem.error;
        result->error_message = problem.message;
    }
}

void create_partitions(struct command *command, const void *request)
{
    struct growth g = {.command = command, .request = request, .assigner = {.command = command}};
    int32_t count = MAX(g.request->topics_count, 0);
    struct kafka_create_partitions_response *response = command_alloc(command, 1, sizeof(*response));
    struct kafka_create_partitions_response_result *results =
        command_alloc(command, (size_t)count, sizeof(*results));
    g.repeated = repeats_find(command, g.request->topics, count, hash_name);
    if (!response || !results || !g.repeated)
        return; /* out of memory sticks in the plan */
    kafka_create_partitions_response_init(response);
    response->results = results;
    response->results_count = count;
    grow_all(&g, response);
    command->reply.admin.response = response;
}
