/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of scripts that are Kafka admin requests. */
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "proto/kafka/api.h"
#include "proto/kafka/gen/alter_configs.h"
#include "proto/kafka/gen/alter_partition_reassignments.h"
#include "proto/kafka/gen/create_partitions.h"
#include "proto/kafka/gen/create_topics.h"
#include "proto/kafka/gen/delete_topics.h"
#include "proto/kafka/gen/elect_leaders.h"
#include "proto/kafka/gen/incremental_alter_configs.h"
#include "proto/kafka/gen/list_partition_reassignments.h"
#include "proto/kafka/gen/unregister_broker.h"
#include "proto/kafka/gen/update_features.h"
#include "tests/core/controller_world.h"

static void send_admin(struct world *world, int16_t key, const void *request, FILE *out)
{
    world_effects(world, core_admin(&world->core, world->now_us, ++world->next_token, key, 0, request), out);
}

/* "1,2;2,3": ids of each partition. The count of partitions. */
static int32_t parse_assignments(struct world *world, const char *text, int32_t *ret_ids[],
                                 int32_t *ret_counts, int max)
{
    char *copy = arena_copy(&world->arena, text, strlen(text) + 1), *save;
    int32_t count = 0;
    for (char *part = strtok_r(copy, ";", &save); part && count < max;
         part = strtok_r(NULL, ";", &save), count++) {
        char *inner;
        ret_ids[count] = arena_calloc(&world->arena, 16, sizeof(int32_t));
        ret_counts[count] = 0;
        for (char *id = strtok_r(part, ",", &inner); id && ret_counts[count] < 16;
             id = strtok_r(NULL, ",", &inner))
            ret_ids[count][ret_counts[count]++] = atoi(id);
    }
    return count;
}

/* Words after "with" are configs k=v. */
static int32_t parse_configs(const struct script_line *line, struct str *ret_names, struct str *ret_values)
{
    int32_t count = 0;
    bool with = false;
    for (int i = 1; i < line->count; i++) {
        char *equals = strchr(line->words[i], '=');
        if (with && equals) {
            ret_names[count] = (struct str){line->words[i], (int32_t)(equals - line->words[i])};
            ret_values[count++] = str_from(equals + 1);
        }
        with |= strcmp(line->words[i], "with") == 0;
    }
    return count;
}

/* create NAME [NAME2 ...] [partitions=N] [rf=N] [assign=1,2;2,3] [validate] [with k=v ...] */
static void run_create(struct world *world, const struct script_line *line, FILE *out)
{
    struct kafka_create_topics_request_topic topics[8];
    struct kafka_create_topics_request_assignment assignments[16];
    struct kafka_create_topics_request_config configs[8];
    struct str names[8], values[8];
    int32_t *ids[16], counts[16];
    struct kafka_create_topics_request request;
    kafka_create_topics_request_init(&request);
    const char *assign = script_value(line, "assign");
    int32_t assigned = assign ? parse_assignments(world, assign, ids, counts, 16) : 0;
    for (int32_t i = 0; i < assigned; i++)
        assignments[i] = (struct kafka_create_topics_request_assignment){
            .partition_index = i, .broker_ids = ids[i], .broker_ids_count = counts[i]};
    int32_t configs_count = parse_configs(line, names, values);
    for (int32_t i = 0; i < configs_count; i++)
        configs[i] = (struct kafka_create_topics_request_config){names[i], values[i]};
    for (int i = 1; i < line->count && !strchr(line->words[i], '=') && strcmp(line->words[i], "with") != 0;
         i++) {
        if (strcmp(line->words[i], "validate") == 0)
            continue;
        topics[request.topics_count++] = (struct kafka_create_topics_request_topic){
            .name = str_from(line->words[i]),
            .num_partitions = (int32_t)script_number(line, "partitions", -1),
            .replication_factor = (int16_t)script_number(line, "rf", -1),
            .assignments = assignments,
            .assignments_count = assigned,
            .configs = configs,
            .configs_count = configs_count,
        };
    }
    request.topics = topics;
    request.validate_only = script_flag(line, "validate");
    send_admin(world, KAFKA_API_CREATE_TOPICS, &request, out);
}

/* delete NAME ... | delete-id NAME ... (the newest id the name ever had) */
static void run_delete(struct world *world, const struct script_line *line, FILE *out)
{
    struct kafka_delete_topics_request_topic topics[8];
    struct kafka_delete_topics_request request;
    kafka_delete_topics_request_init(&request);
    for (int i = 1; i < line->count; i++) {
        struct kafka_delete_topics_request_topic *topic = &topics[request.topics_count++];
        *topic = (struct kafka_delete_topics_request_topic){.name = STR_NULL};
        if (strcmp(line->words[0], "delete-id") == 0)
            topic->topic_id = world_topic_id(world, line->words[i]);
        else
            topic->name = str_from(line->words[i]);
    }
    request.topics = topics;
    send_admin(world, KAFKA_API_DELETE_TOPICS, &request, out);
}

/* grow NAME count=N [assign=1,2;2,3] [validate] */
static void run_grow(struct world *world, const struct script_line *line, FILE *out)
{
    struct kafka_create_partitions_request_assignment assignments[16];
    int32_t *ids[16], counts[16];
    const char *assign = script_value(line, "assign");
    int32_t assigned = assign ? parse_assignments(world, assign, ids, counts, 16) : 0;
    for (int32_t i = 0; i < assigned; i++)
        assignments[i] = (struct kafka_create_partitions_request_assignment){.broker_ids = ids[i],
                                                                             .broker_ids_count = counts[i]};
    struct kafka_create_partitions_request_topic topic = {.name = str_from(line->words[1]),
                                                          .count = (int32_t)script_number(line, "count", 0),
                                                          .assignments = assign ? assignments : NULL,
                                                          .assignments_count = assign ? assigned : -1};
    struct kafka_create_partitions_request request = {
        .topics = &topic, .topics_count = 1, .validate_only = script_flag(line, "validate")};
    send_admin(world, KAFKA_API_CREATE_PARTITIONS, &request, out);
}

/* config set|delete|append|subtract topic|broker NAME with k=v ...   ('-' is the empty name) */
static void run_config(struct world *world, const struct script_line *line, FILE *out)
{
    static const char *const operations[] = {"set", "delete", "append", "subtract"};
    struct kafka_incremental_alter_configs_request_config configs[8];
    struct str names[8], values[8];
    int8_t operation = 0;
    while (operation < 4 && strcmp(operations[operation], line->words[1]) != 0)
        operation++;
    int32_t count = parse_configs(line, names, values);
    for (int32_t i = 0; i < count; i++)
        configs[i] = (struct kafka_incremental_alter_configs_request_config){
            names[i], operation == 1 ? STR_NULL : values[i], operation};
    struct kafka_incremental_alter_configs_request_resource resource = {
        .resource_name = str_from(strcmp(line->words[3], "-") == 0 ? "" : line->words[3]),
        .configs = configs,
        .configs_count = count,
        .resource_type = strcmp(line->words[2], "topic") == 0    ? 2
                         : strcmp(line->words[2], "broker") == 0 ? 4
                                                                 : 16};
    struct kafka_incremental_alter_configs_request request = {
        .resources = &resource, .resources_count = 1, .validate_only = script_flag(line, "validate")};
    send_admin(world, KAFKA_API_INCREMENTAL_ALTER_CONFIGS, &request, out);
}

/* replace-config topic NAME with k=v ... */
static void run_replace(struct world *world, const struct script_line *line, FILE *out)
{
    struct kafka_alter_configs_request_config configs[8];
    struct str names[8], values[8];
    int32_t count = parse_configs(line, names, values);
    for (int32_t i = 0; i < count; i++)
        configs[i] = (struct kafka_alter_configs_request_config){names[i], values[i]};
    struct kafka_alter_configs_request_resource resource = {.resource_name = str_from(line->words[2]),
                                                            .configs = configs,
                                                            .configs_count = count,
                                                            .resource_type = 2};
    struct kafka_alter_configs_request request = {.resources = &resource, .resources_count = 1};
    send_admin(world, KAFKA_API_ALTER_CONFIGS, &request, out);
}

/* elect preferred|unclean all | NAME PARTITION */
static void run_elect(struct world *world, const struct script_line *line, FILE *out)
{
    bool all = strcmp(line->words[2], "all") == 0;
    int32_t index = all ? 0 : atoi(line->words[3]);
    struct kafka_elect_leaders_request_topic_partition partition = {
        .topic = str_from(line->words[2]), .partitions = &index, .partitions_count = 1};
    struct kafka_elect_leaders_request request = {.topic_partitions = all ? NULL : &partition,
                                                  .topic_partitions_count = all ? -1 : 1,
                                                  .election_type = strcmp(line->words[1], "unclean") == 0};
    send_admin(world, KAFKA_API_ELECT_LEADERS, &request, out);
}

/* move NAME PARTITION to=1,2,3 | cancel   [same-size] */
static void run_move(struct world *world, const struct script_line *line, FILE *out)
{
    int32_t *ids[1] = {NULL}, counts[1] = {-1};
    const char *to = script_value(line, "to");
    if (to)
        parse_assignments(world, to, ids, counts, 1);
    struct kafka_alter_partition_reassignments_request_partition partition = {
        .partition_index = atoi(line->words[2]), .replicas = ids[0], .replicas_count = counts[0]};
    struct kafka_alter_partition_reassignments_request_topic topic = {
        .name = str_from(line->words[1]), .partitions = &partition, .partitions_count = 1};
    struct kafka_alter_partition_reassignments_request request = {.allow_replication_factor_change =
                                                                      !script_flag(line, "same-size"),
                                                                  .topics = &topic,
                                                                  .topics_count = 1};
    send_admin(world, KAFKA_API_ALTER_PARTITION_REASSIGNMENTS, &request, out);
}

/* moves [NAME PARTITION] */
static void run_moves(struct world *world, const struct script_line *line, FILE *out)
{
    int32_t index = line->count > 2 ? atoi(line->words[2]) : 0;
    struct kafka_list_partition_reassignments_request_topic topic = {
        .name = str_from(line->count > 2 ? line->words[1] : ""),
        .partition_indexes = &index,
        .partition_indexes_count = 1};
    struct kafka_list_partition_reassignments_request request = {.topics = line->count > 2 ? &topic : NULL,
                                                                 .topics_count = line->count > 2 ? 1 : -1};
    send_admin(world, KAFKA_API_LIST_PARTITION_REASSIGNMENTS, &request, out);
}

/* feature NAME=LEVEL ... [lower] [unsafe] [validate] */
static void run_feature(struct world *world, const struct script_line *line, FILE *out)
{
    struct kafka_update_features_request_feature_update updates[8];
    struct kafka_update_features_request request;
    kafka_update_features_request_init(&request);
    for (int i = 1; i < line->count && request.feature_updates_count < 8; i++) {
        char *equals = strchr(line->words[i], '=');
        if (!equals)
            continue;
        updates[request.feature_updates_count++] = (struct kafka_update_features_request_feature_update){
            .feature = {line->words[i], (int32_t)(equals - line->words[i])},
            .max_version_level = (int16_t)atoi(equals + 1),
            .upgrade_type = script_flag(line, "unsafe")  ? 3
                            : script_flag(line, "lower") ? 2
                                                         : 1};
    }
    request.feature_updates = updates;
    request.validate_only = script_flag(line, "validate");
    send_admin(world, KAFKA_API_UPDATE_FEATURES, &request, out);
}

/* unregister ID */
static void run_unregister(struct world *world, const struct script_line *line, FILE *out)
{
    struct kafka_unregister_broker_request request = {.broker_id = atoi(line->words[1])};
    send_admin(world, KAFKA_API_UNREGISTER_BROKER, &request, out);
}

static const struct {
    const char *name;
    int words_min;
    void (*run)(struct world *world, const struct script_line *line, FILE *out);
} commands[] = {
    {"create", 2, run_create},    {"delete", 2, run_delete},
    {"delete-id", 2, run_delete}, {"grow", 2, run_grow},
    {"config", 4, run_config},    {"replace-config", 3, run_replace},
    {"elect", 3, run_elect},      {"move", 3, run_move},
    {"moves", 1, run_moves},      {"unregister", 2, run_unregister},
    {"feature", 2, run_feature},
};

bool run_admin(struct world *world, const struct script_line *line, FILE *out)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i].name, line->words[0]) != 0 || line->count < commands[i].words_min)
            continue;
        commands[i].run(world, line, out);
        return true;
    }
    return false;
}
