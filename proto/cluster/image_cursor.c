/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot is the shortest list of records that builds the image: identity, features, controllers, brokers,
 * topics each with its partitions, configs. */
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/mutant.h"
#include "proto/cluster/image.h"
#include "proto/cluster/image_objects.h"

struct image_cursor {
    struct image *image;
    uint32_t stage;
    uint32_t at; /* within a sorted array, a topic's partitions or a resource's configs */
    struct trie_iter iter;
    bool iter_ready;
    const struct topic_object *topic;
    const struct resource_object *resource;
};

/* A stage gives its next record, or false when it is through (the next stage starts with `at` 0). */
static bool next_cluster(struct image_cursor *cursor, struct meta_record *record)
{
    const struct image *image = cursor->image;
    if (cursor->at++ > 0 || (uuid_is_zero(image->cluster_id) && image->created_ms == 0))
        return false;
    record->type = META_CLUSTER;
    record->cluster = (struct meta_cluster){image->cluster_id, image->created_ms};
    return true;
}

static bool next_producer_ids(struct image_cursor *cursor, struct meta_record *record)
{
    if (cursor->at++ > 0 || cursor->image->next_producer_id == 0 || MUTANT(SNAPSHOT_INCOMPLETE))
        return false;
    record->type = META_PRODUCER_IDS;
    record->producer_ids = (struct meta_producer_ids){NODE_NONE, -1, cursor->image->next_producer_id};
    return true;
}

/* The next object of a sorted array, NULL at the end. */
static const struct shared *next_sorted(struct image_cursor *cursor, const struct sorted *sorted)
{
    return cursor->at < sorted_count(sorted) ? sorted_at(sorted, cursor->at++) : NULL;
}

static bool next_feature(struct image_cursor *cursor, struct meta_record *record)
{
    const struct feature_object *o =
        (const struct feature_object *)next_sorted(cursor, &cursor->image->features);
    if (!o)
        return false;
    record->type = META_FEATURE;
    record->feature = (struct meta_feature){o->name, o->level};
    return true;
}

static bool next_controller(struct image_cursor *cursor, struct meta_record *record)
{
    const struct controller_object *o =
        (const struct controller_object *)next_sorted(cursor, &cursor->image->controllers);
    if (!o)
        return false;
    record->type = META_CONTROLLER;
    record->controller = o->view;
    return true;
}

static bool next_broker(struct image_cursor *cursor, struct meta_record *record)
{
    const struct broker_object *o =
        (const struct broker_object *)next_sorted(cursor, &cursor->image->brokers);
    if (!o)
        return false;
    record->type = META_BROKER;
    record->broker = (struct meta_broker){
        .broker_id = o->view.id,
        .broker_epoch = o->view.epoch,
        .incarnation_id = o->view.incarnation_id,
        .directory_id = o->view.directory_id,
        .rack = o->view.rack,
        .endpoints = (struct meta_endpoint *)o->view.endpoints,
        .endpoints_count = o->view.endpoints_count,
        .fenced = o->view.fenced,
        .in_controlled_shutdown = o->view.in_controlled_shutdown,
        .clean_start = o->view.clean_start,
        .min_isr = o->view.min_isr,
    };
    return true;
}

static void partition_record(const struct uuid *topic_id, const struct image_partition *p,
                             struct meta_record *record)
{
    record->type = META_PARTITION;
    record->partition = (struct meta_partition){
        .topic_id = *topic_id,
        .index = p->index,
        .leader = p->leader,
        .leader_epoch = p->leader_epoch,
        .partition_epoch = p->partition_epoch,
        .recovering = p->recovering,
        .disks_gone = p->disks_gone,
        .yields = p->yields,
        .replicas = (int32_t *)p->replicas,
        .replicas_count = p->replicas_count,
        .isr = (int32_t *)p->isr,
        .isr_count = p->isr_count,
        .elr = (int32_t *)p->elr,
        .elr_count = p->elr_count,
        .last_known_elr = (int32_t *)p->last_known_elr,
        .last_known_elr_count = p->last_known_elr_count,
        .adding = (int32_t *)p->adding,
        .adding_count = p->adding_count,
        .removing = (int32_t *)p->removing,
        .removing_count = p->removing_count,
    };
}

/* The iteration of a trie stage, started on its first call. */
static struct shared *next_in_trie(struct image_cursor *cursor, const struct trie *trie)
{
    if (!cursor->iter_ready)
        trie_iter_init(&cursor->iter, trie);
    cursor->iter_ready = true;
    return trie_iter_next(&cursor->iter);
}

static bool next_topic(struct image_cursor *cursor, struct meta_record *record)
{
    if (cursor->topic && (int32_t)cursor->at < cursor->topic->view.partitions_count) {
        const struct image_topic *topic = &cursor->topic->view;
        partition_record(&topic->id, image_partition(cursor->image, topic, (int32_t)cursor->at++), record);
        return true;
    }
    cursor->topic = (struct topic_object *)next_in_trie(cursor, &cursor->image->topics);
    cursor->at = 0;
    if (!cursor->topic)
        return false;
    record->type = META_TOPIC;
    record->topic = (struct meta_topic){cursor->topic->view.id, cursor->topic->view.name};
    return true;
}

static bool next_config(struct image_cursor *cursor, struct meta_record *record)
{
    if (!cursor->resource || cursor->at == sorted_count(&cursor->resource->configs)) {
        cursor->resource = (struct resource_object *)next_in_trie(cursor, &cursor->image->resources);
        cursor->at = 0;
    }
    if (!cursor->resource)
        return false;
    const struct config_object *config =
        (struct config_object *)sorted_at(&cursor->resource->configs, cursor->at++);
    record->type = META_CONFIG;
    record->config = (struct meta_config){cursor->resource->key.type, cursor->resource->key.name, config->key,
                                          config->value};
    return true;
}

static bool (*const stages[])(struct image_cursor *cursor, struct meta_record *record) = {
    next_cluster, next_producer_ids, next_feature, next_controller, next_broker, next_topic, next_config,
};

struct image_cursor *image_cursor_new(struct image *image)
{
    struct image_cursor *cursor = calloc(1, sizeof(*cursor));
    if (cursor)
        cursor->image = image_ref(image);
    return cursor;
}

void image_cursor_free(struct image_cursor *cursor)
{
    if (!cursor)
        return;
    image_unref(cursor->image);
    free(cursor);
}

static bool next_record(struct image_cursor *cursor, struct meta_record *record)
{
    while (cursor->stage < ARRAY_LEN(stages)) {
        if (stages[cursor->stage](cursor, record))
            return true;
        cursor->stage++;
        cursor->at = 0;
        cursor->iter_ready = false;
    }
    return false;
}

enum err image_cursor_write(struct image_cursor *cursor, struct writer *w, size_t budget_bytes,
                            bool *ret_done)
{
    size_t end = writer_pos(w) + budget_bytes;
    struct meta_record record;
    bool more = true;
    while (w->err == OK && writer_pos(w) < end && (more = next_record(cursor, &record)))
        meta_record_encode(w, &record);
    if (w->err == OK)
        *ret_done = !more;
    return w->err;
}
