/* SPDX-License-Identifier: Apache-2.0 */
/* The shared objects an image is made of, and the image itself. Internal to proto/cluster. Constructors copy
 * all they are given and return NULL when memory is out. */
#ifndef SLUICE_PROTO_CLUSTER_IMAGE_OBJECTS_H
#define SLUICE_PROTO_CLUSTER_IMAGE_OBJECTS_H

#include "proto/cluster/image.h"
#include "proto/cluster/shared.h"

struct partition_object {
    struct shared shared; /* key: the index */
    struct image_partition view;
    int32_t ids[]; /* replicas, isr, elr, last known elr, adding, removing */
};

struct name_object {
    struct shared shared;
    struct uuid topic_id;
    struct str name;
    char text[];
};

struct topic_object {
    struct shared shared;
    struct image_topic view;
    struct name_object *name;
    struct trie partitions;
    uint64_t partitions_hash; /* sum over the partitions */
    uint32_t displaced;       /* of them, see image_displaced_count */
};

struct broker_object {
    struct shared shared;
    struct image_broker view;
    struct meta_endpoint endpoints[]; /* the texts follow */
};

struct config_object {
    struct shared shared;
    struct str key, value;
    char text[];
};

struct resource_key {
    int8_t type;
    struct str name;
};

/* Configs of one resource. */
struct resource_object {
    struct shared shared;
    struct resource_key key;
    struct sorted configs;
    uint64_t configs_hash;
    char text[];
};

struct feature_object {
    struct shared shared;
    struct str name;
    int16_t level;
    char text[];
};

struct controller_object {
    struct shared shared;
    struct meta_controller view;
    char text[];
};

extern const struct shared_type partition_type, name_type, topic_type, broker_type, config_type,
    resource_type, feature_type, controller_type;

/* One reference each. */
struct partition_object *partition_object_new(const struct meta_partition *m);
struct name_object *name_object_new(const struct meta_topic *m);
struct topic_object *topic_object_new(const struct meta_topic *m,
                                      struct name_object *name); /* takes a reference on name */
struct broker_object *broker_object_new(const struct meta_broker *m);
struct config_object *config_object_new(const struct meta_config *m);
struct resource_object *resource_object_new(struct resource_key key);
struct feature_object *feature_object_new(const struct meta_feature *m);
struct controller_object *controller_object_new(const struct meta_controller *m);

/* Keys in the tries. */
uint64_t name_key(struct str name);
uint64_t uuid_key(struct uuid id);
uint64_t resource_key_hash(struct resource_key key);

struct image {
    atomic_uint refs;
    uint64_t index, term;
    struct uuid cluster_id;
    int64_t created_ms;
    int64_t next_producer_id;
    uint64_t objects_hash; /* sum over all objects, so that order of arrival does not matter */
    uint32_t partition_count, displaced_count;
    uint32_t broker_configs; /* configs of single brokers */
    struct trie topics, names, resources;
    struct sorted brokers, features, controllers;
};

#endif
