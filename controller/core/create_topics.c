/* SPDX-License-Identifier: Apache-2.0 */
/* CreateTopics. A topic is checked whole before its first record is planned, so that a refused one leaves
 * nothing behind. */
#include "proto/kafka/gen/create_topics.h"
#include "controller/core/assignment.h"
#include "controller/core/repeats.h"
#include "controller/core/topic_name.h"
#include "proto/cluster/topic_config.h"

#define DEFAULT_WANTED (-1)
#define CONFIGS_MAX    1000 /* of one topic in a request; a later value of a key replaces an earlier one */

STATIC_ASSERT(CORE_PARTITIONS_PER_REQUEST_MAX + CONFIGS_MAX + 1 <= META_ENTRY_RECORDS_MAX,
              "a topic fits in one entry");

struct creation {
    struct command *command;
    const struct kafka_create_topics_request *request;
    struct assigner assigner;
    struct topic_names names;
    const bool *repeated; /* by topic */
};

/* What one topic will be. */
struct topic_spec {
    const struct kafka_create_topics_request_topic *wanted;
    struct config_set configs;
    int32_t partitions;
    int32_t replication_factor;
    int32_t **replicas; /* of each partition */
};

/* --- names --- */

static uint64_t hash_name(const void *items, int32_t i, uint64_t seed)
{
    struct str name = ((const struct kafka_create_topics_request_topic *)items)[i].name;
    return hash_bytes(name.p, (uint64_t)MAX(name.len, 0), seed);
}

static struct problem check_name(struct creation *c, const struct kafka_create_topics_request_topic *wanted)
{
    struct command *command = c->command;
    struct str name = wanted->name;
    const struct image *image = plan_image(&command->plan);
    const char *reason = topic_name_refusal(name);
    if (c->repeated[wanted - c->request->topics])
        return (struct problem){KAFKA_INVALID_REQUEST, STR_LIT("Duplicate topic name.")};
    if (reason)
        return (struct problem){KAFKA_INVALID_TOPIC_EXCEPTION,
                                command_text(command, "Topic name is invalid: %z", reason)};
    if (image_topic_by_name(image, name))
        return (struct problem){KAFKA_TOPIC_ALREADY_EXISTS,
                                command_text(command, "Topic '%s' already exists.", name)};
    struct str other = topic_names_collision(&c->names, image, name);
    if (other.len > 0)
        return (struct problem){
            KAFKA_INVALID_TOPIC_EXCEPTION,
            command_text(command, "Topic '%s' collides with existing topic: %s", name, other)};
    return NO_PROBLEM;
}

/* --- configs --- */

static struct problem check_configs(struct creation *c, struct topic_spec *spec)
{
    int32_t count = spec->wanted->configs_count;
    if (count > CONFIGS_MAX)
        return (struct problem){KAFKA_INVALID_REQUEST, STR_LIT("Too many configs.")};
    spec->configs.items = command_alloc(c->command, (size_t)MAX(count, 0), sizeof(struct config_value));
    if (!spec->configs.items)
        return (struct problem){KAFKA_UNKNOWN_SERVER_ERROR, STR_LIT("out of memory")};
    for (int32_t i = 0; i < count; i++) {
        struct str key = spec->wanted->configs[i].name, value = spec->wanted->configs[i].value;
        if (value.len < 0)
            return (struct problem){
                KAFKA_INVALID_CONFIG,
                command_text(c->command, "Null value not supported for topic configs: %s", key)};
        spec->configs.items[spec->configs.count++] = (struct config_value){key, value};
    }
    return config_check_topic(c->command, spec->wanted->name, &spec->configs);
}

/* --- replicas --- */

static struct problem place_named(struct creation *c, struct topic_spec *spec)
{
    const struct kafka_create_topics_request_topic *wanted = spec->wanted;
    int32_t count = wanted->assignments_count;
    if (wanted->num_partitions != DEFAULT_WANTED || wanted->replication_factor != DEFAULT_WANTED)
        return (struct problem){
            KAFKA_INVALID_REQUEST,
            STR_LIT("With manual assignments, the partition count and the replication factor must be -1.")};
    for (int32_t i = 0; i < count; i++) {
        const struct kafka_create_topics_request_assignment *a = &wanted->assignments[i];
        if (a->partition_index < 0 || a->partition_index >= count || spec->replicas[a->partition_index])
            return (struct problem){
                KAFKA_INVALID_REPLICA_ASSIGNMENT,
                STR_LIT("The partitions of a manual assignment must be numbered from 0, each once.")};
        struct problem problem = assignment_check(c->command, a->partition_index, a->broker_ids,
                                                  a->broker_ids_count, spec->replication_factor);
        if (problem.error != KAFKA_NONE)
            return problem;
        spec->replication_factor = a->broker_ids_count;
        spec->replicas[a->partition_index] = a->broker_ids;
    }
    return NO_PROBLEM;
}

static struct problem place_automatically(struct creation *c, struct topic_spec *spec)
{
    int32_t *ids;
    if (spec->replication_factor <= 0 || spec->replication_factor > META_REPLICAS_MAX)
        return (struct problem){
            KAFKA_INVALID_REPLICATION_FACTOR,
            STR_LIT("Replication factor must be larger than 0 and at most 64, or -1 to use the default.")};
    struct problem problem =
        assign_automatically(&c->assigner, NULL, spec->partitions, spec->replication_factor, &ids);
    for (int32_t i = 0; i < spec->partitions && problem.error == KAFKA_NONE; i++)
        spec->replicas[i] = ids + (size_t)i * (size_t)spec->replication_factor;
    return problem;
}

static struct problem place(struct creation *c, struct topic_spec *spec)
{
    const struct kafka_create_topics_request_topic *wanted = spec->wanted;
    const struct core_config *config = &c->command->core->config;
    bool named = wanted->assignments_count > 0;
    spec->partitions = named                                      ? wanted->assignments_count
                       : wanted->num_partitions == DEFAULT_WANTED ? config->num_partitions
                                                                  : wanted->num_partitions;
    if (spec->partitions <= 0)
        return (struct problem){
            KAFKA_INVALID_PARTITIONS,
            STR_LIT("Number of partitions must be larger than 0, or -1 to use the default.")};
    spec->replicas = command_alloc(c->command, (size_t)spec->partitions, sizeof(*spec->replicas));
    if (!spec->replicas)
        return (struct problem){KAFKA_UNKNOWN_SERVER_ERROR, STR_LIT("out of memory")};
    if (named)
        return place_named(c, spec);
    spec->replication_factor = wanted->replication_factor == DEFAULT_WANTED
                                   ? config->default_replication_factor
                                   : wanted->replication_factor;
    return place_automatically(c, spec);
}

/* --- planning --- */

/* Random, never one of Kafka's reserved ids, and its text never starts with '-', which tools take for an
 * option. */
static struct uuid new_topic_id(struct core *core, const struct image *image)
{
    for (;;) {
        struct uuid id;
        store_be64(id.b, prng_next(&core->prng));
        store_be64(id.b + 8, prng_next(&core->prng));
        bool dash = id.b[0] >> 2 == 62;
        if (!dash && load_be64(id.b) != 0 && !image_topic_by_id(image, id))
            return id;
    }
}

static struct uuid plan_topic(struct creation *c, const struct topic_spec *spec)
{
    struct plan *plan = &c->command->plan;
    ASSERT(spec->partitions > 0 && spec->replication_factor > 0 && spec->replicas[spec->partitions - 1]);
    struct uuid id = new_topic_id(c->command->core, plan_image(plan));
    struct meta_record record = {.type = META_TOPIC, .topic = {id, spec->wanted->name}};
    plan_record(plan, &record);
    config_plan(c->command, CONFIG_RESOURCE_TOPIC, spec->wanted->name, &spec->configs);
    for (int32_t i = 0; i < spec->partitions && plan->err == OK; i++)
        plan_new_partition(plan, id, i, spec->replicas[i], spec->replication_factor);
    return id;
}

/* --- the answer --- */

static struct str configured(const struct topic_spec *spec, const char *name)
{
    struct str value = STR_NULL;
    for (int32_t i = 0; i < spec->configs.count; i++) {
        if (str_eq_z(spec->configs.items[i].key, name))
            value = spec->configs.items[i].value;
    }
    return value;
}

static void describe_configs(struct creation *c, const struct topic_spec *spec,
                             struct kafka_create_topics_response_topic *result)
{
    const struct image *image = plan_image(&c->command->plan);
    result->configs = command_alloc(c->command, topic_configs_count, sizeof(*result->configs));
    result->configs_count = result->configs ? (int32_t)topic_configs_count : 0;
    for (int32_t i = 0; i < result->configs_count; i++) {
        const char *name = topic_configs[i].name;
        int8_t source = CONFIG_DYNAMIC_TOPIC;
        struct str value = configured(spec, name);
        if (value.len < 0)
            value = topic_config_effective(image, spec->wanted->name, name, &source);
        kafka_create_topics_response_config_init(&result->configs[i]);
        result->configs[i].name = str_from(name);
        result->configs[i].value = command_str(c->command, value);
        result->configs[i].config_source = source;
    }
}

static struct problem check(struct creation *c, struct topic_spec *spec)
{
    struct problem problem = check_name(c, spec->wanted);
    if (problem.error == KAFKA_NONE)
        problem = check_configs(c, spec);
    return problem.error == KAFKA_NONE ? place(c, spec) : problem;
}

static void create_one(struct creation *c, const struct kafka_create_topics_request_topic *wanted,
                       struct kafka_create_topics_response_topic *result)
{
    struct topic_spec spec = {.wanted = wanted};
    struct problem problem = check(c, &spec);
    result->error_code = problem.error;
    result->error_message = problem.message;
    if (problem.error != KAFKA_NONE)
        return;
    result->num_partitions = spec.partitions;
    result->replication_factor = (int16_t)spec.replication_factor;
    describe_configs(c, &spec, result);
    if (c->request->validate_only)
        return;
    result->topic_id = plan_topic(c, &spec);
    topic_names_add(&c->names, spec.wanted->name);
    plan_may_cut(&c->command->plan);
}

static int64_t partitions_wanted(const struct creation *c)
{
    int64_t total = 0;
    for (int32_t i = 0; i < c->request->topics_count; i++) {
        const struct kafka_create_topics_request_topic *topic = &c->request->topics[i];
        total += topic->assignments_count > 0 ? topic->assignments_count : MAX(topic->num_partitions, 1);
    }
    return total;
}

static void create_all(struct creation *c, struct kafka_create_topics_response *response)
{
    bool too_many = partitions_wanted(c) > CORE_PARTITIONS_PER_REQUEST_MAX;
    for (int32_t i = 0; i < response->topics_count; i++) {
        kafka_create_topics_response_topic_init(&response->topics[i]);
        response->topics[i].name = command_str(c->command, c->request->topics[i].name);
        if (!too_many) {
            create_one(c, &c->request->topics[i], &response->topics[i]);
            continue;
        }
        response->topics[i].error_code = KAFKA_POLICY_VIOLATION;
        response->topics[i].error_message = STR_LIT("Excessively large number of partitions per request.");
    }
}

void create_topics(struct command *command, const void *request)
{
    struct creation c = {.command = command, .request = request, .assigner = {.command = command}};
    int32_t count = MAX(c.request->topics_count, 0);
    struct kafka_create_topics_response *response = command_alloc(command, 1, sizeof(*response));
    struct kafka_create_topics_response_topic *topics =
        command_alloc(command, (size_t)count, sizeof(*topics));
    c.repeated = repeats_find(command, c.request->topics, count, hash_name);
    if (!response || !topics || !c.repeated)
        return; /* out of memory sticks in the plan */
    topic_names_init(&c.names, prng_next(&command->core->prng));
    kafka_create_topics_response_init(response);
    response->topics = topics;
    response->topics_count = count;
    create_all(&c, response);
    topic_names_free(&c.names);
    command->reply.admin.response = response;
}
