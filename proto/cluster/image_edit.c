/* SPDX-License-Identifier: Apache-2.0 */
/* Building the next version of an image: one small function per record type, found through a table. */
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "proto/cluster/image.h"
#include "proto/cluster/image_objects.h"

#define RESOURCE_TOPIC  2
#define RESOURCE_BROKER 4

struct image_edit {
    struct image *draft; /* ours alone; its containers are shared with the base until touched */
};

static struct image *share_all(const struct image *base)
{
    struct image *draft = image_new();
    if (!draft)
        return NULL;
    draft->index = base->index;
    draft->term = base->term;
    draft->cluster_id = base->cluster_id;
    draft->created_ms = base->created_ms;
    draft->next_producer_id = base->next_producer_id;
    draft->objects_hash = base->objects_hash;
    draft->partition_count = base->partition_count;
    draft->displaced_count = base->displaced_count;
    draft->broker_configs = base->broker_configs;
    draft->topics = trie_share(&base->topics);
    draft->names = trie_share(&base->names);
    draft->resources = trie_share(&base->resources);
    draft->brokers = sorted_share(&base->brokers);
    draft->features = sorted_share(&base->features);
    draft->controllers = sorted_share(&base->controllers);
    return draft;
}

static struct image_edit *edit_over(struct image *draft)
{
    struct image_edit *edit = draft ? malloc(sizeof(*edit)) : NULL;
    if (edit)
        edit->draft = draft;
    else
        image_unref(draft);
    return edit;
}

struct image_edit *image_edit_begin(struct image *base)
{
    return edit_over(share_all(base));
}

struct image_edit *image_edit_begin_empty(void)
{
    return edit_over(image_new());
}

struct image *image_edit_commit(struct image_edit *edit, uint64_t index, uint64_t term)
{
    struct image *image = edit->draft;
    ASSERT(index >= image->index);
    image->index = index;
    image->term = term;
    free(edit);
    return image;
}

void image_edit_abort(struct image_edit *edit)
{
    if (!edit)
        return;
    image_unref(edit->draft);
    free(edit);
}

const struct image *image_edit_view(const struct image_edit *edit)
{
    return edit->draft;
}

/* --- cluster, brokers --- */

static enum err apply_cluster(struct image *draft, const struct meta_record *record)
{
    if (!uuid_is_zero(draft->cluster_id) && !uuid_eq(draft->cluster_id, record->cluster.cluster_id))
        return ERR_INVALID;
    draft->cluster_id = record->cluster.cluster_id;
    draft->created_ms = record->cluster.created_ms;
    return OK;
}

/* Puts item (a new reference, or NULL when its creation failed) and keeps the content hash right. */
static enum err put_sorted(struct image *draft, struct sorted *sorted, const struct shared_type *type,
                           struct shared *item)
{
    if (!item)
        return ERR_NOMEM;
    const struct shared *former = sorted_get(sorted, type, type->lookup(item));
    uint64_t former_hash = former ? former->hash : 0;
    enum err err = sorted_put(sorted, type, item);
    if (err == OK)
        draft->objects_hash += item->hash - former_hash;
    else
        shared_unref(item, type);
    return err;
}

static enum err remove_sorted(struct image *draft, struct sorted *sorted, const struct shared_type *type,
                              const void *lookup)
{
    const struct shared *former = sorted_get(sorted, type, lookup);
    if (!former)
        return ERR_INVALID;
    uint64_t former_hash = former->hash;
    enum err err = sorted_remove(sorted, type, lookup);
    if (err == OK)
        draft->objects_hash -= former_hash;
    return err;
}

static enum err apply_broker(struct image *draft, const struct meta_record *record)
{
    const struct meta_broker *m = &record->broker;
    if (m->broker_id < 0 || m->endpoints_count < 0 || m->endpoints_count > META_ENDPOINTS_MAX)
        return ERR_INVALID;
    return put_sorted(draft, &draft->brokers, &broker_type, (struct shared *)broker_object_new(m));
}

static const struct image_broker *registered(const struct image *draft, int32_t id, int64_t epoch)
{
    const struct image_broker *broker = image_broker(draft, id);
    return broker && broker->epoch == epoch ? broker : NULL;
}

static enum err apply_broker_state(struct image *draft, const struct meta_record *record)
{
    const struct meta_broker_state *m = &record->broker_state;
    const struct image_broker *former = registered(draft, m->broker_id, m->broker_epoch);
    if (!former)
        return ERR_INVALID;
    struct meta_broker next = {
        .broker_id = former->id,
        .broker_epoch = former->epoch,
        .incarnation_id = former->incarnation_id,
        .directory_id = former->directory_id,
        .rack = former->rack,
        .endpoints = (struct meta_endpoint *)former->endpoints,
        .endpoints_count = former->endpoints_count,
        .fenced = m->fenced,
        .in_controlled_shutdown = m->in_controlled_shutdown,
        .clean_start = former->clean_start,
        .min_isr = former->min_isr,
    };
    return put_sorted(draft, &draft->brokers, &broker_type, (struct shared *)broker_object_new(&next));
}

static enum err apply_broker_removed(struct image *draft, const struct meta_record *record)
{
    const struct meta_broker_removed *m = &record->broker_removed;
    if (!registered(draft, m->broker_id, m->broker_epoch))
        return ERR_INVALID;
    return remove_sorted(draft, &draft->brokers, &broker_type, &m->broker_id);
}

/* --- topics and partitions --- */

static enum err put_topic(struct image *draft, const struct meta_topic *m, struct name_object *name)
{
    struct topic_object *topic = topic_object_new(m, name);
    if (!topic)
        return ERR_NOMEM;
    enum err err = trie_put(&draft->topics, &topic_type, &topic->shared);
    if (err == OK)
        draft->objects_hash += topic->shared.hash;
    else
        shared_unref(&topic->shared, &topic_type);
    return err;
}

static enum err apply_topic(struct image *draft, const struct meta_record *record)
{
    const struct meta_topic *m = &record->topic;
    if (m->name.len <= 0 || image_topic_by_name(draft, m->name) || image_topic_by_id(draft, m->topic_id))
        return ERR_INVALID;
    struct name_object *name = name_object_new(m);
    if (!name)
        return ERR_NOMEM;
    enum err err = put_topic(draft, m, name); /* the topic has a reference of its own */
    if (err == OK)
        err = trie_put(&draft->names, &name_type, &name->shared);
    if (err != OK)
        shared_unref(&name->shared, &name_type);
    return err;
}

static enum err remove_resource(struct image *draft, struct resource_key key)
{
    uint64_t hash = resource_key_hash(key);
    struct resource_object *resource =
        (struct resource_object *)trie_get(&draft->resources, &resource_type, hash, &key);
    if (!resource)
        return OK;
    uint64_t configs_hash = resource->configs_hash;
    enum err err = trie_remove(&draft->resources, &resource_type, hash, &key);
    if (err == OK)
        draft->objects_hash -= configs_hash;
    return err;
}

static enum err apply_topic_removed(struct image *draft, const struct meta_record *record)
{
    struct uuid id = record->topic_removed.topic_id;
    struct shared *item = trie_get(&draft->topics, &topic_type, uuid_key(id), &id);
    if (!item)
        return ERR_INVALID;
    struct topic_object *topic = (struct topic_object *)shared_ref(item); /* its name is needed to the end */
    enum err err = remove_resource(draft, (struct resource_key){RESOURCE_TOPIC, topic->view.name});
    if (err == OK)
        err = trie_remove(&draft->names, &name_type, name_key(topic->view.name), &topic->view.name);
    if (err == OK)
        err = trie_remove(&draft->topics, &topic_type, uuid_key(id), &id);
    if (err == OK) {
        draft->objects_hash -= topic->shared.hash + topic->partitions_hash;
        draft->partition_count -= topic->partitions.count;
        draft->displaced_count -= topic->displaced;
    }
    shared_unref(&topic->shared, &topic_type);
    return err;
}

static bool count_valid(int32_t count)
{
    return count >= 0 && count <= META_REPLICAS_MAX;
}

static bool partition_valid(const struct meta_partition *m)
{
    return m->index >= 0 && m->replicas_count > 0 && count_valid(m->replicas_count) &&
           count_valid(m->isr_count) && count_valid(m->elr_count) && count_valid(m->last_known_elr_count) &&
           count_valid(m->adding_count) && count_valid(m->removing_count);
}

/* The first replica is in sync and another one leads. */
static bool is_displaced(const struct shared *item)
{
    const struct image_partition *p = item ? &((const struct partition_object *)item)->view : NULL;
    if (!p || p->leader == NODE_NONE || p->leader == p->replicas[0])
        return false;
    for (int32_t i = 0; i < p->isr_count; i++) {
        if (p->isr[i] == p->replicas[0])
            return true;
    }
    return false;
}

/* The topic is the draft's own; item's reference is taken over on success. */
static enum err put_partition(struct image *draft, struct topic_object *topic, struct partition_object *item)
{
    uint64_t key = item->shared.key, hash = item->shared.hash;
    const struct shared *former = trie_get(&topic->partitions, &partition_type, key, NULL);
    uint64_t change = hash - (former ? former->hash : 0);
    uint32_t displaced = (uint32_t)is_displaced(&item->shared) - (uint32_t)is_displaced(former);
    bool added = former == NULL;
    enum err err = trie_put(&topic->partitions, &partition_type, &item->shared);
    if (err != OK)
        return err;
    topic->partitions_hash += change;
    draft->objects_hash += change;
    topic->view.partitions_count += added;
    draft->partition_count += added;
    topic->displaced += displaced;
    draft->displaced_count += displaced;
    ASSERT(topic->view.partitions_count == (int32_t)topic->partitions.count);
    return OK;
}

static enum err apply_partition(struct image *draft, const struct meta_record *record)
{
    const struct meta_partition *m = &record->partition;
    const struct image_topic *topic = image_topic_by_id(draft, m->topic_id);
    if (!topic || !partition_valid(m) || m->index > topic->partitions_count)
        return ERR_INVALID;
    struct partition_object *item = partition_object_new(m);
    if (!item)
        return ERR_NOMEM;
    struct shared *own;
    enum err err = trie_edit(&draft->topics, &topic_type, uuid_key(m->topic_id), &m->topic_id, &own);
    if (err == OK)
        err = put_partition(draft, (struct topic_object *)own, item);
    if (err != OK)
        shared_unref(&item->shared, &partition_type);
    return err;
}

/* --- configs --- */

/* The resource, the draft's own, made when it does not exist. */
static enum err own_resource(struct image *draft, struct resource_key key,
                             struct resource_object **ret_resource)
{
    uint64_t hash = resource_key_hash(key);
    enum err err = trie_edit(&draft->resources, &resource_type, hash, &key, (struct shared **)ret_resource);
    if (err != ERR_NOT_FOUND)
        return err;
    struct resource_object *resource = resource_object_new(key);
    if (!resource)
        return ERR_NOMEM;
    err = trie_put(&draft->resources, &resource_type, &resource->shared);
    if (err == OK)
        *ret_resource = resource;
    else
        shared_unref(&resource->shared, &resource_type);
    return err;
}

static bool is_single_broker(const struct meta_config *m)
{
    return m->resource_type == RESOURCE_BROKER && m->resource_name.len > 0;
}

static enum err set_config(struct image *draft, const struct meta_config *m, struct resource_object *resource)
{
    struct config_object *config = config_object_new(m);
    if (!config)
        return ERR_NOMEM;
    const struct shared *former = sorted_get(&resource->configs, &config_type, &m->key);
    bool is_new = former == NULL;
    uint64_t change = config->shared.hash - (former ? former->hash : 0);
    enum err err = sorted_put(&resource->configs, &config_type, &config->shared);
    if (err != OK) {
        shared_unref(&config->shared, &config_type);
        return err;
    }
    resource->configs_hash += change;
    draft->objects_hash += change;
    draft->broker_configs += is_new && is_single_broker(m);
    return OK;
}

static enum err delete_config(struct image *draft, const struct meta_config *m,
                              struct resource_object *resource)
{
    uint64_t hash = sorted_get(&resource->configs, &config_type, &m->key)->hash;
    enum err err = sorted_remove(&resource->configs, &config_type, &m->key);
    if (err != OK)
        return err;
    resource->configs_hash -= hash;
    draft->objects_hash -= hash;
    draft->broker_configs -= is_single_broker(m);
    if (sorted_count(&resource->configs) > 0)
        return OK;
    struct resource_key key = {m->resource_type, m->resource_name};
    return trie_remove(&draft->resources, &resource_type, resource_key_hash(key), &key);
}

static enum err apply_config(struct image *draft, const struct meta_record *record)
{
    const struct meta_config *m = &record->config;
    if (m->key.len <= 0 || m->resource_name.len < 0)
        return ERR_INVALID;
    bool exists = image_config(draft, m->resource_type, m->resource_name, m->key).len >= 0;
    if (m->value.len < 0 && !exists)
        return OK;
    struct resource_object *resource;
    enum err err = own_resource(draft, (struct resource_key){m->resource_type, m->resource_name}, &resource);
    if (err != OK)
        return err;
    return m->value.len < 0 ? delete_config(draft, m, resource) : set_config(draft, m, resource);
}

/* --- the rest --- */

static enum err apply_producer_ids(struct image *draft, const struct meta_record *record)
{
    if (record->producer_ids.next_producer_id < draft->next_producer_id)
        return ERR_INVALID;
    draft->next_producer_id = record->producer_ids.next_producer_id;
    return OK;
}

static enum err apply_feature(struct image *draft, const struct meta_record *record)
{
    const struct meta_feature *m = &record->feature;
    if (m->name.len <= 0 || m->level < 0)
        return ERR_INVALID;
    if (m->level > 0)
        return put_sorted(draft, &draft->features, &feature_type, (struct shared *)feature_object_new(m));
    return image_feature(draft, m->name) == 0
               ? OK
               : remove_sorted(draft, &draft->features, &feature_type, &m->name);
}

static enum err apply_controller(struct image *draft, const struct meta_record *record)
{
    const struct meta_controller *m = &record->controller;
    return put_sorted(draft, &draft->controllers, &controller_type,
                      (struct shared *)controller_object_new(m));
}

static enum err apply_unknown(struct image *draft, const struct meta_record *record)
{
    (void)draft; /* written by a newer version: nothing this one could keep */
    (void)record;
    return OK;
}

static enum err (*const appliers[])(struct image *draft, const struct meta_record *record) = {
    [META_UNKNOWN] = apply_unknown,
    [META_CLUSTER] = apply_cluster,
    [META_BROKER] = apply_broker,
    [META_BROKER_STATE] = apply_broker_state,
    [META_BROKER_REMOVED] = apply_broker_removed,
    [META_TOPIC] = apply_topic,
    [META_TOPIC_REMOVED] = apply_topic_removed,
    [META_PARTITION] = apply_partition,
    [META_CONFIG] = apply_config,
    [META_PRODUCER_IDS] = apply_producer_ids,
    [META_FEATURE] = apply_feature,
    [META_CONTROLLER] = apply_controller,
};

enum err image_edit_apply(struct image_edit *edit, const struct meta_record *record)
{
    ASSERT((size_t)record->type < ARRAY_LEN(appliers));
    return appliers[record->type](edit->draft, record);
}
