/* SPDX-License-Identifier: Apache-2.0 */
/* Finds what a request names: a topic by name or id in the shard's image, and the shard that owns a
 * partition's replica. */
#ifndef SLUICE_BROKER_HANDLERS_TOPIC_LOOKUP_H
#define SLUICE_BROKER_HANDLERS_TOPIC_LOOKUP_H

#include "broker/shard/shard.h"

struct partition_place {
    const struct image_topic *topic;
    const struct image_partition *state;
    const struct route *route; /* NULL: no replica on this broker */
};

/* By name (topic ids not in this version) or by id. KAFKA_NONE; UNKNOWN_TOPIC_OR_PARTITION /
 * UNKNOWN_TOPIC_ID; NOT_LEADER_OR_FOLLOWER when the partition exists but has no replica here. Valid while the
 * shard keeps its image. */
int16_t partition_place_find(struct shard *shard, bool by_id, struct str name, struct uuid id, int32_t index,
                             struct partition_place *ret);

/* Kafka's rule: letters, digits, '.', '_', '-', 1 to 249 of them, not "." or "..". */
bool topic_name_valid(struct str name);

/* __consumer_offsets and its like, which clients do not write to. */
bool topic_is_internal(struct str name);

#endif
