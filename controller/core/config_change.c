/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/core/config_change.h"

#include "proto/cluster/topic_config.h"

/* Broker configs that can change at run time besides the defaults of topic configs. All are whole numbers, at
 * least 0. */
static const char *const dynamic_numbers[] = {
    "background.threads",
    "follower.replication.throttled.rate",
    "leader.replication.throttled.rate",
    "log.cleaner.backoff.ms",
    "log.cleaner.dedupe.buffer.size",
    "log.cleaner.threads",
    "max.connection.creation.rate",
    "max.connections",
    "max.connections.per.ip",
    "num.replica.fetchers",
    "producer.id.expiration.ms",
    "replica.alter.log.dirs.io.max.bytes.per.second", /* kafka-reassign-partitions clears it; one directory */
};

static bool is_dynamic_number(struct str key)
{
    for (size_t i = 0; i < ARRAY_LEN(dynamic_numbers); i++) {
        if (str_eq_z(key, dynamic_numbers[i]))
            return true;
    }
    return false;
}

static struct problem invalid_value(struct command *command, const struct config_value *item,
                                    const char *reason)
{
    return (struct problem){
        KAFKA_INVALID_CONFIG,
        command_text(command, "Invalid value %s for configuration %s: %z", item->value, item->key, reason)};
}

/* --- topics --- */

static struct problem check_topic_value(struct command *command, const struct config_value *item)
{
    if (item->value.len < 0)
        return NO_PROBLEM;
    const struct topic_config *config = topic_config_find(item->key);
    if (!config)
        return (struct problem){KAFKA_INVALID_CONFIG,
                                command_text(command, "Unknown topic config name: %s", item->key)};
    const char *reason = topic_config_refusal(config, item->value);
    bool remote = false;
    if (!reason && str_eq_z(item->key, "remote.storage.enable") && config_parse_bool(item->value, &remote) &&
        remote)
        reason = "this cluster has no remote storage";
    return reason ? invalid_value(command, item, reason) : NO_PROBLEM;
}

/* The value the topic will have after the change. */
static int64_t final_int(const struct image *image, struct str topic_name, const struct config_set *set,
                         const char *key)
{
    int64_t value = topic_config_int(image, topic_name, key);
    for (int32_t i = 0; i < set->count; i++) {
        if (str_eq_z(set->items[i].key, key) && set->items[i].value.len >= 0)
            config_parse_int(set->items[i].value, &value);
    }
    return value;
}

struct problem config_check_topic(struct command *command, struct str topic_name,
                                  const struct config_set *set)
{
    const struct image *image = plan_image(&command->plan);
    for (int32_t i = 0; i < set->count; i++) {
        struct problem problem = check_topic_value(command, &set->items[i]);
        if (problem.error != KAFKA_NONE)
            return problem;
    }
    if (final_int(image, topic_name, set, "min.compaction.lag.ms") >
        final_int(image, topic_name, set, "max.compaction.lag.ms"))
        return (struct problem){KAFKA_INVALID_CONFIG,
                                STR_LIT("min.compaction.lag.ms is above max.compaction.lag.ms")};
    return NO_PROBLEM;
}

/* --- brokers --- */

static struct problem check_draining(struct command *command, struct str name,
                                     const struct config_value *item)
{
    bool draining;
    if (name.len == 0)
        return (struct problem){KAFKA_INVALID_CONFIG,
                                STR_LIT(CONFIG_BROKER_DRAINING " can be set for a single broker only")};
    if (item->value.len >= 0 && !config_parse_bool(item->value, &draining))
        return invalid_value(command, item, "not true or false");
    return NO_PROBLEM;
}

/* All members of an ISR and the controllers must: on what is acknowledged (KIP-966), and whether it is synced
 * by then, so that it outlasts a lost power. */
static bool all_must_agree(struct str key)
{
    return str_eq_z(key, "min.insync.replicas") || str_eq_z(key, "log.flush.interval.messages");
}

static struct problem check_broker_value(struct command *command, struct str name,
                                         const struct config_value *item)
{
    const struct topic_config *config = topic_config_by_broker_name(item->key);
    int64_t number;
    if (str_eq_z(item->key, CONFIG_BROKER_DRAINING))
        return check_draining(command, name, item);
    if (!config && !is_dynamic_number(item->key))
        return (struct problem){
            KAFKA_INVALID_REQUEST,
            command_text(command, "Cannot update these configs dynamically: %s", item->key)};
    if (item->value.len < 0)
        return NO_PROBLEM;
    if (name.len > 0 && all_must_agree(item->key))
        return (struct problem){
            KAFKA_INVALID_CONFIG,
            command_text(command, "%s can be set for the cluster or a topic only", item->key)};
    const char *reason = config ? topic_config_refusal(config, item->value)
                         : config_parse_int(item->value, &number) && number >= 0 ? NULL
                                                                                 : "not a number from 0 up";
    return reason ? invalid_value(command, item, reason) : NO_PROBLEM;
}

struct problem config_check_broker_name(struct command *command, struct str name)
{
    int64_t id;
    if (name.len == 0)
        return NO_PROBLEM;
    if (!config_parse_int(name, &id) || id < 0 || id > INT32_MAX)
        return (struct problem){KAFKA_INVALID_REQUEST,
                                command_text(command, "Broker id %s is not a number", name)};
    if (!image_broker(plan_image(&command->plan), (int32_t)id))
        return (struct problem){KAFKA_BROKER_ID_NOT_REGISTERED,
                                command_text(command, "No broker with id %d is registered", id)};
    return NO_PROBLEM;
}

struct problem config_check_broker(struct command *command, struct str name, const struct config_set *set)
{
    struct problem problem = NO_PROBLEM;
    for (int32_t i = 0; i < set->count && problem.error == KAFKA_NONE; i++)
        problem = check_broker_value(command, name, &set->items[i]);
    return problem;
}

/* --- planning --- */

static bool changes_leaders(struct str key)
{
    return str_eq_z(key, "min.insync.replicas") || str_eq_z(key, "unclean.leader.election.enable") ||
           str_eq_z(key, CONFIG_BROKER_DRAINING);
}

bool config_plan(struct command *command, int8_t type, struct str name, const struct config_set *set)
{
    bool review = false;
    for (int32_t i = 0; i < set->count; i++) {
        const struct config_value *item = &set->items[i];
        struct str now = image_config(plan_image(&command->plan), type, name, item->key);
        if (str_eq(now, item->value))
            continue;
        struct meta_record record = {.type = META_CONFIG, .config = {type, name, item->key, item->value}};
        plan_record(&command->plan, &record);
        review |= changes_leaders(item->key);
    }
    return review;
}
