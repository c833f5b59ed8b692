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

/* Whether the resource exists, and may have these values. type: CONFIG_RESOURCE_*; others are refused. */
struct problem config_check(struct command *command, int8_t type, struct str name,
                            const struct config_set *set);

/* Whether values of the resource can be appended to and subtracted from, and the list as it is now. */
struct problem config_list_value(struct command *command, int8_t type, struct str name, struct str key,
                                 struct str *ret_value);

/* Plans the records. True when one of them changes who may lead (a review must follow). */
bool config_plan(struct command *command, int8_t type, struct str name, const struct config_set *set);

#endif
