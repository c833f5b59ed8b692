/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of configs: what CreateTopics, AlterConfigs and IncrementalAlterConfigs share. A change is first
 * reduced to the values it ends in, then checked as a whole, then planned. */
#ifndef SLUICE_CONTROLLER_CORE_CONFIG_CHANGE_H
#define SLUICE_CONTROLLER_CORE_CONFIG_CHANGE_H

#include "controller/core/internal.h"

struct config_value {
    struct str key;
    struct str value; /* null: removed */
};

struct config_set {
    struct config_value *items;
    int32_t count;
};

/* A refusal; error 0 (KAFKA_NONE) is none. */
struct problem {
    int16_t error;
    struct str message;
};

#define NO_PROBLEM ((struct problem){KAFKA_NONE, STR_NULL})

/* Whether a topic of that name may have these values; it need not exist. */
struct problem config_check_topic(struct command *command, struct str topic_name,
                                  const struct config_set *set);

/* Whether a broker of that name can have configs: a registered id, or empty for the cluster's default. */
struct problem config_check_broker_name(struct command *command, struct str name);

/* The same as config_check_topic, for the configs of a broker whose name was checked. */
struct problem config_check_broker(struct command *command, struct str name, const struct config_set *set);

/* Plans the records of a checked set. True when one of them changes who may lead (a review must follow). */
bool config_plan(struct command *command, int8_t type, struct str name, const struct config_set *set);

/* --- the two alter requests --- */

enum config_operation { CONFIG_SET = 0, CONFIG_DELETE = 1, CONFIG_APPEND = 2, CONFIG_SUBTRACT = 3 };

struct config_op {
    struct str key, value;
    int8_t operation; /* enum config_operation, not checked yet */
};

struct config_resource {
    int8_t type; /* Kafka's resource types; only topics and brokers have configs here */
    struct str name;
    struct config_op *ops;
    int32_t ops_count;
    struct problem problem; /* out */
};

/* Room for the resources of a request, NULL when memory is out; and for the operations of one (false: memory
 * is out). */
struct config_resource *config_resources(struct command *command, int32_t count);
bool config_ops(struct command *command, struct config_resource *resource, int32_t count);

/* Judges every resource and plans what is good. replace: configs that are not named are removed. */
void config_run(struct command *command, struct config_resource *resources, int32_t count, bool replace,
                bool validate_only);

#endif
