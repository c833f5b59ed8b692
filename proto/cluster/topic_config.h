/* SPDX-License-Identifier: Apache-2.0 */
/* The configs of a topic: the one table behind validation (controller), DescribeConfigs (broker) and the
 * settings a partition runs with. Names, types, defaults and ranges are Kafka 4.2's (LogConfig) except where
 * DESIGN 12 says so: flush.messages is 1, retention.messages is ours, small segments are accepted. */
#ifndef SLUICE_PROTO_CLUSTER_TOPIC_CONFIG_H
#define SLUICE_PROTO_CLUSTER_TOPIC_CONFIG_H

#include "proto/cluster/image.h"

/* Kafka's numbers in DescribeConfigs responses. */
enum config_type {
    CONFIG_BOOLEAN = 1,
    CONFIG_STRING = 2,
    CONFIG_INT = 3,
    CONFIG_LONG = 5,
    CONFIG_DOUBLE = 6,
    CONFIG_LIST = 7,
};

enum config_source {
    CONFIG_DYNAMIC_TOPIC = 1,
    CONFIG_DYNAMIC_BROKER = 2,
    CONFIG_DYNAMIC_DEFAULT_BROKER = 3,
    CONFIG_STATIC_BROKER = 4,
    CONFIG_DEFAULT = 5,
};

/* Kafka's resource types. */
#define CONFIG_RESOURCE_TOPIC  2
#define CONFIG_RESOURCE_BROKER 4

/* A broker's own config (no default of it for all): it is being emptied. It leads only where nobody else may,
 * and is given no new replicas. */
#define CONFIG_BROKER_DRAINING "broker.draining"

/* The name of a broker as a config resource: its id in digits, in `text`. broker_id is not negative. */
struct str broker_config_name(int32_t broker_id, char text[12]);

struct topic_config {
    const char *name;
    enum config_type type;
    const char *default_value;
    const char *broker_name; /* the broker config that gives the default; NULL: none */
    int64_t min, max;        /* of numbers; a double is bound by 0 and 1 */
    const char *choices;     /* comma-separated; NULL: any */
    const char *doc;
};

/* The whole table, sorted by name. */
extern const struct topic_config topic_configs[];
extern const size_t topic_configs_count;

/* NULL: not a topic config. */
const struct topic_config *topic_config_find(struct str name);

/* The topic config whose default this broker config is; NULL: none. */
const struct topic_config *topic_config_by_broker_name(struct str broker_name);

/* NULL when value (not null) is valid, else the reason, one line without a stop. Blanks around the value are
 * allowed, as in Kafka. */
const char *topic_config_refusal(const struct topic_config *config, struct str value);

/* The value a topic runs with: its own, else the cluster's dynamic default of the broker config, else the
 * built-in default. *ret_source (may be NULL) is an enum config_source. A broker lays its own static and
 * dynamic values between (DYNAMIC_BROKER, STATIC_BROKER). name must be a topic config. */
struct str topic_config_effective(const struct image *image, struct str topic_name, const char *name,
                                  int8_t *ret_source);

/* The same, parsed; for configs of the type. */
int64_t topic_config_int(const struct image *image, struct str topic_name, const char *name);
bool topic_config_bool(const struct image *image, struct str topic_name, const char *name);

/* Strict decimal parsing as the validation does it: optional sign, digits, blanks around. False: not a number
 * of 64 bits. */
bool config_parse_int(struct str text, int64_t *ret_value);
bool config_parse_bool(struct str text, bool *ret_value);     /* true / false in any case */
bool config_parse_double(struct str text, double *ret_value); /* digits with one point, optional exponent */

/* Takes the next item off a comma-separated list; blanks around items do not count. The list is through when
 * its len is 0. */
struct str config_next_item(struct str *list);

#endif
