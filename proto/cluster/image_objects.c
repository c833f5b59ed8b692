/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/cluster/image_objects.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/map.h"

/* Salts, so that equal bytes of different kinds hash differently. */
enum salt {
    SALT_PARTITION = 1,
    SALT_TOPIC,
    SALT_BROKER,
    SALT_CONFIG,
    SALT_RESOURCE,
    SALT_FEATURE,
    SALT_CONTROLLER,
    SALT_NAME,
    SALT_UUID
};

/* --- hashing and copying helpers --- */

static uint64_t mix_bytes(uint64_t hash, const void *p, size_t len)
{
    return hash_bytes(p, len, hash ^ (len + 1) * 0x9e3779b97f4a7c15u);
}

static uint64_t mix_int(uint64_t hash, int64_t value)
{
    return mix_bytes(hash, &value, sizeof(value));
}

static uint64_t mix_str(uint64_t hash, struct str s)
{
    hash = mix_int(hash, s.len);
    return s.len > 0 ? mix_bytes(hash, s.p, (size_t)s.len) : hash;
}

static uint64_t mix_uuid(uint64_t hash, struct uuid id)
{
    return mix_bytes(hash, id.b, sizeof(id.b));
}

uint64_t name_key(struct str name)
{
    return mix_str(SALT_NAME, name);
}

uint64_t uuid_key(struct uuid id)
{
    return mix_uuid(SALT_UUID, id);
}

uint64_t resource_key_hash(struct resource_key key)
{
    return mix_str(mix_int(SALT_RESOURCE, key.type), key.name);
}

/* Room for a text and its zero; null and empty need the zero too. */
static size_t text_size(struct str s)
{
    return (size_t)(s.len > 0 ? s.len : 0) + 1;
}

/* Copies s to *at, terminates it, moves *at on. Null stays null. */
static struct str put_text(char **at, struct str s)
{
    if (s.len < 0)
        return STR_NULL;
    char *p = *at;
    if (s.len > 0)
        memcpy(p, s.p, (size_t)s.len);
    p[s.len] = 0;
    *at = p + s.len + 1;
    return (struct str){p, s.len};
}

static void destroy_plain(struct shared *item)
{
    free(item);
}

/* --- partitions --- */

static int partition_compare(const struct shared *item, const void *lookup)
{
    (void)item; /* the key is the index: equal keys, same partition */
    (void)lookup;
    return 0;
}

static const void *partition_lookup(const struct shared *item)
{
    return item;
}

const struct shared_type partition_type = {partition_compare, partition_lookup, NULL, destroy_plain};

static const int32_t *put_ids(int32_t **at, uint64_t *hash, const int32_t *ids, int32_t count)
{
    int32_t *to = *at;
    size_t size = (size_t)count * sizeof(*ids);
    if (count > 0)
        memcpy(to, ids, size);
    *hash = mix_int(*hash, count);
    *hash = count > 0 ? mix_bytes(*hash, ids, size) : *hash;
    *at = to + count;
    return to;
}

static uint64_t partition_scalars_hash(const struct meta_partition *m)
{
    int32_t scalars[] = {m->index, m->leader, m->leader_epoch, m->partition_epoch,
                         m->recovering | m->disks_gone << 1 | m->yields << 2};
    return mix_bytes(mix_uuid(SALT_PARTITION, m->topic_id), scalars, sizeof(scalars));
}

struct partition_object *partition_object_new(const struct meta_partition *m)
{
    size_t ids = (size_t)m->replicas_count + (size_t)m->isr_count + (size_t)m->elr_count +
                 (size_t)m->last_known_elr_count + (size_t)m->adding_count + (size_t)m->removing_count;
    struct partition_object *object = malloc(sizeof(*object) + ids * sizeof(int32_t));
    if (!object)
        return NULL;
    int32_t *at = object->ids;
    uint64_t hash = partition_scalars_hash(m);
    object->view = (struct image_partition){
        .index = m->index,
        .leader = m->leader,
        .leader_epoch = m->leader_epoch,
        .partition_epoch = m->partition_epoch,
        .recovering = m->recovering,
        .disks_gone = m->disks_gone,
        .yields = m->yields,
        .replicas_count = m->replicas_count,
        .isr_count = m->isr_count,
        .elr_count = m->elr_count,
        .last_known_elr_count = m->last_known_elr_count,
        .adding_count = m->adding_count,
        .removing_count = m->removing_count,
    };
    object->view.replicas = put_ids(&at, &hash, m->replicas, m->replicas_count);
    object->view.isr = put_ids(&at, &hash, m->isr, m->isr_count);
    object->view.elr = put_ids(&at, &hash, m->elr, m->elr_count);
    object->view.last_known_elr = put_ids(&at, &hash, m->last_known_elr, m->last_known_elr_count);
    object->view.adding = put_ids(&at, &hash, m->adding, m->adding_count);
    object->view.removing = put_ids(&at, &hash, m->removing, m->removing_count);
    ASSERT(at == object->ids + ids);
    shared_init(&object->shared, (uint64_t)m->index, hash);
    return object;
}

/* --- topics and their names --- */

static int name_compare(const struct shared *item, const void *lookup)
{
    return str_cmp(((const struct name_object *)item)->name, *(const struct str *)lookup);
}

static const void *name_lookup(const struct shared *item)
{
    return &((const struct name_object *)item)->name;
}

const struct shared_type name_type = {name_compare, name_lookup, NULL, destroy_plain};

struct name_object *name_object_new(const struct meta_topic *m)
{
    struct name_object *object = malloc(sizeof(*object) + text_size(m->name));
    if (!object)
        return NULL;
    char *at = object->text;
    object->topic_id = m->topic_id;
    object->name = put_text(&at, m->name);
    shared_init(&object->shared, name_key(m->name), 0);
    return object;
}

static int topic_compare(const struct shared *item, const void *lookup)
{
    return memcmp(&((const struct topic_object *)item)->view.id, lookup, sizeof(struct uuid));
}

static const void *topic_lookup(const struct shared *item)
{
    return &((const struct topic_object *)item)->view.id;
}

static void topic_destroy(struct shared *item)
{
    struct topic_object *object = (struct topic_object *)item;
    shared_unref(&object->name->shared, &name_type);
    trie_drop(&object->partitions, &partition_type);
    free(object);
}

static struct shared *topic_copy(const struct shared *item)
{
    const struct topic_object *from = (const struct topic_object *)item;
    struct topic_object *copy = malloc(sizeof(*copy));
    if (!copy)
        return NULL;
    shared_init(&copy->shared, from->shared.key, from->shared.hash);
    copy->view = from->view;
    copy->name = (struct name_object *)shared_ref(&from->name->shared);
    copy->partitions = trie_share(&from->partitions);
    copy->partitions_hash = from->partitions_hash;
    copy->displaced = from->displaced;
    return &copy->shared;
}

const struct shared_type topic_type = {topic_compare, topic_lookup, topic_copy, topic_destroy};

struct topic_object *topic_object_new(const struct meta_topic *m, struct name_object *name)
{
    struct topic_object *object = calloc(1, sizeof(*object));
    if (!object)
        return NULL;
    object->name = (struct name_object *)shared_ref(&name->shared);
    object->view = (struct image_topic){.id = m->topic_id, .name = name->name};
    shared_init(&object->shared, uuid_key(m->topic_id), mix_str(mix_uuid(SALT_TOPIC, m->topic_id), m->name));
    return object;
}

/* --- brokers --- */

static int compare_ids(int32_t a, int32_t b)
{
    return a < b ? -1 : a > b;
}

static int broker_compare(const struct shared *item, const void *lookup)
{
    return compare_ids(((const struct broker_object *)item)->view.id, *(const int32_t *)lookup);
}

static const void *broker_lookup(const struct shared *item)
{
    return &((const struct broker_object *)item)->view.id;
}

const struct shared_type broker_type = {broker_compare, broker_lookup, NULL, destroy_plain};

static uint64_t endpoint_hash(uint64_t hash, const struct meta_endpoint *e)
{
    int32_t scalars[] = {e->port, e->security, e->internal};
    return mix_bytes(mix_str(mix_str(hash, e->name), e->host), scalars, sizeof(scalars));
}

static uint64_t broker_hash(const struct meta_broker *m)
{
    int64_t scalars[] = {m->broker_id,   m->broker_epoch, m->fenced, m->in_controlled_shutdown,
                         m->clean_start, m->min_isr};
    uint64_t hash = mix_bytes(SALT_BROKER, scalars, sizeof(scalars));
    hash = mix_str(mix_uuid(mix_uuid(hash, m->incarnation_id), m->directory_id), m->rack);
    for (int32_t i = 0; i < m->endpoints_count; i++)
        hash = endpoint_hash(hash, &m->endpoints[i]);
    return hash;
}

static size_t broker_text_size(const struct meta_broker *m)
{
    size_t size = text_size(m->rack);
    for (int32_t i = 0; i < m->endpoints_count; i++)
        size += text_size(m->endpoints[i].name) + text_size(m->endpoints[i].host);
    return size;
}

struct broker_object *broker_object_new(const struct meta_broker *m)
{
    size_t endpoints_size = (size_t)m->endpoints_count * sizeof(struct meta_endpoint);
    struct broker_object *object = malloc(sizeof(*object) + endpoints_size + broker_text_size(m));
    if (!object)
        return NULL;
    char *at = (char *)object->endpoints + endpoints_size;
    for (int32_t i = 0; i < m->endpoints_count; i++) {
        object->endpoints[i] = m->endpoints[i];
        object->endpoints[i].name = put_text(&at, m->endpoints[i].name);
        object->endpoints[i].host = put_text(&at, m->endpoints[i].host);
    }
    object->view = (struct image_broker){
        .id = m->broker_id,
        .epoch = m->broker_epoch,
        .incarnation_id = m->incarnation_id,
        .directory_id = m->directory_id,
        .rack = put_text(&at, m->rack),
        .fenced = m->fenced,
        .in_controlled_shutdown = m->in_controlled_shutdown,
        .clean_start = m->clean_start,
        .min_isr = m->min_isr,
        .endpoints_count = m->endpoints_count,
        .endpoints = object->endpoints,
    };
    shared_init(&object->shared, (uint32_t)m->broker_id, broker_hash(m));
    return object;
}

/* --- configs --- */

static int config_compare(const struct shared *item, const void *lookup)
{
    return str_cmp(((const struct config_object *)item)->key, *(const struct str *)lookup);
}

static const void *config_lookup(const struct shared *item)
{
    return &((const struct config_object *)item)->key;
}

const struct shared_type config_type = {config_compare, config_lookup, NULL, destroy_plain};

struct config_object *config_object_new(const struct meta_config *m)
{
    struct config_object *object = malloc(sizeof(*object) + text_size(m->key) + text_size(m->value));
    if (!object)
        return NULL;
    char *at = object->text;
    object->key = put_text(&at, m->key);
    object->value = put_text(&at, m->value);
    uint64_t resource = resource_key_hash((struct resource_key){m->resource_type, m->resource_name});
    shared_init(&object->shared, 0, mix_str(mix_str(resource ^ SALT_CONFIG, m->key), m->value));
    return object;
}

static int resource_compare(const struct shared *item, const void *lookup)
{
    const struct resource_key *a = &((const struct resource_object *)item)->key, *b = lookup;
    return a->type != b->type ? compare_ids(a->type, b->type) : str_cmp(a->name, b->name);
}

static const void *resource_lookup(const struct shared *item)
{
    return &((const struct resource_object *)item)->key;
}

static void resource_destroy(struct shared *item)
{
    sorted_drop(&((struct resource_object *)item)->configs, &config_type);
    free(item);
}

static struct shared *resource_copy(const struct shared *item)
{
    const struct resource_object *from = (const struct resource_object *)item;
    struct resource_object *copy = resource_object_new(from->key);
    if (!copy)
        return NULL;
    copy->configs = sorted_share(&from->configs);
    copy->configs_hash = from->configs_hash;
    return &copy->shared;
}

const struct shared_type resource_type = {resource_compare, resource_lookup, resource_copy, resource_destroy};

struct resource_object *resource_object_new(struct resource_key key)
{
    struct resource_object *object = calloc(1, sizeof(*object) + text_size(key.name));
    if (!object)
        return NULL;
    char *at = object->text;
    object->key = (struct resource_key){key.type, put_text(&at, key.name)};
    shared_init(&object->shared, resource_key_hash(key), 0);
    return object;
}

/* --- features, controllers --- */

static int feature_compare(const struct shared *item, const void *lookup)
{
    return str_cmp(((const struct feature_object *)item)->name, *(const struct str *)lookup);
}

static const void *feature_lookup(const struct shared *item)
{
    return &((const struct feature_object *)item)->name;
}

const struct shared_type feature_type = {feature_compare, feature_lookup, NULL, destroy_plain};

struct feature_object *feature_object_new(const struct meta_feature *m)
{
    struct feature_object *object = malloc(sizeof(*object) + text_size(m->name));
    if (!object)
        return NULL;
    char *at = object->text;
    object->name = put_text(&at, m->name);
    object->level = m->level;
    shared_init(&object->shared, 0, mix_int(mix_str(SALT_FEATURE, m->name), m->level));
    return object;
}

static int controller_compare(const struct shared *item, const void *lookup)
{
    return compare_ids(((const struct controller_object *)item)->view.node_id, *(const int32_t *)lookup);
}

static const void *controller_lookup(const struct shared *item)
{
    return &((const struct controller_object *)item)->view.node_id;
}

const struct shared_type controller_type = {controller_compare, controller_lookup, NULL, destroy_plain};

struct controller_object *controller_object_new(const struct meta_controller *m)
{
    struct controller_object *object = malloc(sizeof(*object) + text_size(m->host));
    if (!object)
        return NULL;
    char *at = object->text;
    object->view = *m;
    object->view.host = put_text(&at, m->host);
    uint64_t hash = mix_str(mix_int(mix_int(SALT_CONTROLLER, m->node_id), m->port), m->host);
    shared_init(&object->shared, 0, hash);
    return object;
}
