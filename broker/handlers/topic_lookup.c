/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/handlers/topic_lookup.h"

#include "proto/kafka/error.h"

int16_t partition_place_find(struct shard *shard, bool by_id, struct str name, struct uuid id, int32_t index,
                             struct partition_place *ret)
{
    *ret = (struct partition_place){0};
    ret->topic = by_id ? image_topic_by_id(shard->image, id) : image_topic_by_name(shard->image, name);
    if (!ret->topic)
        return by_id ? KAFKA_UNKNOWN_TOPIC_ID : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    ret->state = image_partition(shard->image, ret->topic, index);
    if (!ret->state)
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    ret->route = route_find(&shard->routes, ret->topic->id, index);
    return ret->route ? KAFKA_NONE : KAFKA_NOT_LEADER_OR_FOLLOWER;
}
