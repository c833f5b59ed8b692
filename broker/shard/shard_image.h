/* SPDX-License-Identifier: Apache-2.0 */
/* How a new metadata image reaches a shard. */
#ifndef SLUICE_BROKER_SHARD_SHARD_IMAGE_H
#define SLUICE_BROKER_SHARD_SHARD_IMAGE_H

#include <stdatomic.h>

#include "broker/shard/shard.h"

/* A partition that changed (itself, or its topic's settings) and has, or had, a replica on this broker;
 * shard: who owns it (fixed while the replica is here). */
struct route_change {
    struct uuid topic_id;
    int32_t index;
    unsigned shard;
};

/* One step from an image to the next, the same for all shards; freed with the last reference. */
struct image_step {
    atomic_uint refs;
    struct image *image;   /* a reference */
    bool defaults_changed; /* a setting of brokers changed: those of all topics are resolved anew */
    bool topics_gone;      /* a topic was deleted */
    uint32_t changes_count;
    struct route_change changes[];
};

/* Room for changes_max changes, one reference; takes its own reference on image. NULL when memory is out. */
struct image_step *image_step_new(struct image *image, uint32_t changes_max);
void image_step_unref(struct image_step *step);

/* Mails the step to the shard (from any thread; takes a reference of its own). Steps arrive in the order of
 * these calls. False when memory is out. */
bool shard_post_image(struct shard *shard, struct image_step *step);

/* Applies it (on the shard): opens, changes, closes partitions, swaps the image, tells control and whoever
 * waits for the index. */
void shard_apply_image(struct shard *shard, struct image_step *step);

/* Something that waits until the shard's image has reached an index (answers to forwarded requests). Caller's
 * memory until fn or cancel. */
struct image_wait {
    struct list link;
    uint64_t index;
    void (*fn)(struct image_wait *wait);
};

/* fn runs at once from inside this call when the image is there already, else when it arrives. */
void shard_wait_image(struct shard *shard, struct image_wait *wait);

/* Calls all that still wait: no image comes any more. */
void shard_end_image_waits(struct shard *shard);

/* Gives the partition the state that the present image has for it, and those who watch it a note. */
void shard_apply_again(struct shard *shard, struct uuid topic_id, int32_t index);

#endif
