/* SPDX-License-Identifier: Apache-2.0 */
/* Life, reading and difference of images. Building is in image_edit.c, snapshots in image_cursor.c. */
#include "proto/cluster/image.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/map.h"
#include "proto/cluster/image_objects.h"

struct image *image_new(void)
{
    struct image *image = calloc(1, sizeof(*image));
    if (image)
        atomic_init(&image->refs, 1);
    return image;
}

struct image *image_ref(struct image *image)
{
    uint32_t before = atomic_fetch_add_explicit(&image->refs, 1, memory_order_relaxed);
    ASSERT(before > 0);
    return image;
}

void image_unref(struct image *image)
{
    if (!image)
        return;
    uint32_t before = atomic_fetch_sub_explicit(&image->refs, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before > 1)
        return;
    trie_drop(&image->topics, &topic_type);
    trie_drop(&image->names, &name_type);
    trie_drop(&image->resources, &resource_type);
    sorted_drop(&image->brokers, &broker_type);
    sorted_drop(&image->features, &feature_type);
    sorted_drop(&image->controllers, &controller_type);
    free(image);
}

uint64_t image_index(const struct image *image)
{
    return image->index;
}

uint64_t image_term(const struct image *image)
{
    return image->term;
}

uint64_t image_hash(const struct image *image)
{
    int64_t scalars[] = {image->created_ms, image->next_producer_id, (int64_t)image->objects_hash};
    return hash_bytes(scalars, sizeof(scalars), uuid_key(image->cluster_id));
}

struct uuid image_cluster_id(const struct image *image)
{
    return image->cluster_id;
}

int64_t image_next_producer_id(const struct image *image)
{
    return image->next_producer_id;
}

const struct image_topic *image_topic_by_id(const struct image *image, struct uuid id)
{
    struct topic_object *object =
        (struct topic_object *)trie_get(&image->topics, &topic_type, uuid_key(id), &id);
    return object ? &object->view : NULL;
}

const struct image_topic *image_topic_by_name(const struct image *image, struct str name)
{
    struct name_object *object =
        (struct name_object *)trie_get(&image->names, &name_type, name_key(name), &name);
    return object ? image_topic_by_id(image, object->topic_id) : NULL;
}

const struct image_partition *image_partition(const struct image *image, const struct image_topic *topic,
                                              int32_t index)
{
    (void)image;
    if (index < 0)
        return NULL;
    const struct topic_object *object = CONTAINER_OF(topic, struct topic_object, view);
    struct shared *item = trie_get(&object->partitions, &partition_type, (uint64_t)index, NULL);
    return item ? &((struct partition_object *)item)->view : NULL;
}

const struct image_broker *image_broker(const struct image *image, int32_t id)
{
    struct broker_object *object = (struct broker_object *)sorted_get(&image->brokers, &broker_type, &id);
    return object ? &object->view : NULL;
}

static const struct resource_object *find_resource(const struct image *image, int8_t type, struct str name)
{
    struct resource_key key = {type, name};
    return (struct resource_object *)trie_get(&image->resources, &resource_type, resource_key_hash(key),
                                              &key);
}

struct str image_config(const struct image *image, int8_t type, struct str resource_name, struct str key)
{
    const struct resource_object *resource = find_resource(image, type, resource_name);
    const struct shared *config = resource ? sorted_get(&resource->configs, &config_type, &key) : NULL;
    return config ? ((const struct config_object *)config)->value : STR_NULL;
}

int16_t image_feature(const struct image *image, struct str name)
{
    struct feature_object *object =
        (struct feature_object *)sorted_get(&image->features, &feature_type, &name);
    return object ? object->level : 0;
}

uint32_t image_topic_count(const struct image *image)
{
    return image->topics.count;
}

uint32_t image_partition_count(const struct image *image)
{
    return image->partition_count;
}

uint32_t image_broker_count(const struct image *image)
{
    return sorted_count(&image->brokers);
}

static bool lower_min_isr(void *ctx, const struct image_broker *broker)
{
    int32_t *lowest = ctx;
    int32_t own = broker->min_isr > 1 ? broker->min_isr : 1;
    *lowest = *lowest == 0 || own < *lowest ? own : *lowest;
    return true;
}

int32_t image_static_min_isr(const struct image *image)
{
    int32_t lowest = 0;
    image_each_broker(image, lower_min_isr, &lowest);
    return lowest == 0 ? 1 : lowest;
}

bool image_has_broker_configs(const struct image *image)
{
    return image->broker_configs > 0;
}

uint32_t image_displaced_count(const struct image *image)
{
    return image->displaced_count;
}

/* --- iteration --- */

void image_each_topic(const struct image *image, bool (*each)(void *ctx, const struct image_topic *topic),
                      void *ctx)
{
    struct trie_iter iter;
    trie_iter_init(&iter, &image->topics);
    struct topic_object *topic = (struct topic_object *)trie_iter_next(&iter);
    while (topic && each(ctx, &topic->view))
        topic = (struct topic_object *)trie_iter_next(&iter);
}

void image_each_broker(const struct image *image, bool (*each)(void *ctx, const struct image_broker *broker),
                       void *ctx)
{
    for (uint32_t i = 0; i < sorted_count(&image->brokers); i++) {
        if (!each(ctx, &((struct broker_object *)sorted_at(&image->brokers, i))->view))
            return;
    }
}

void image_each_config(const struct image *image, int8_t type, struct str resource_name,
                       bool (*each)(void *ctx, struct str key, struct str value), void *ctx)
{
    const struct resource_object *resource = find_resource(image, type, resource_name);
    uint32_t count = resource ? sorted_count(&resource->configs) : 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct config_object *config = (struct config_object *)sorted_at(&resource->configs, i);
        if (!each(ctx, config->key, config->value))
            return;
    }
}

void image_each_controller(const struct image *image,
                           bool (*each)(void *ctx, const struct meta_controller *controller), void *ctx)
{
    for (uint32_t i = 0; i < sorted_count(&image->controllers); i++) {
        if (!each(ctx, &((struct controller_object *)sorted_at(&image->controllers, i))->view))
            return;
    }
}

/* --- difference --- */

struct partition_diff {
    bool (*each)(void *ctx, const struct image_topic *topic, const struct image_partition *before,
                 const struct image_partition *after);
    void *ctx;
    const struct image_topic *topic;
};

static bool partition_differs(void *ctx, struct shared *older, struct shared *newer)
{
    const struct partition_diff *diff = ctx;
    const struct image_partition *before = older ? &((struct partition_object *)older)->view : NULL;
    const struct image_partition *after = newer ? &((struct partition_object *)newer)->view : NULL;
    return diff->each(diff->ctx, diff->topic, before, after);
}

static bool topic_differs(void *ctx, struct shared *older, struct shared *newer)
{
    static const struct trie nothing;
    struct partition_diff *diff = ctx;
    struct topic_object *a = (struct topic_object *)older, *b = (struct topic_object *)newer;
    diff->topic = b ? &b->view : &a->view;
    return trie_diff(a ? &a->partitions : &nothing, b ? &b->partitions : &nothing, &partition_type,
                     partition_differs, diff);
}

void image_diff_partitions(const struct image *older, const struct image *newer,
                           bool (*each)(void *ctx, const struct image_topic *topic,
                                        const struct image_partition *before,
                                        const struct image_partition *after),
                           void *ctx)
{
    struct partition_diff diff = {.each = each, .ctx = ctx};
    trie_diff(&older->topics, &newer->topics, &topic_type, topic_differs, &diff);
}
