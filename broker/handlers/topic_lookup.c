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

#define TOPIC_NAME_MAX 249

static bool name_char(char ch)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') || ch == '.' ||
           ch == '_' || ch == '-';
}

bool topic_name_valid(struct str name)
{
    if (name.len < 1 || name.len > TOPIC_NAME_MAX || str_eq_z(name, ".") || str_eq_z(name, ".."))
        return false;
    for (int32_t i = 0; i < name.len; i++)
        if (!name_char(name.p[i]))
            return false;
    return true;
}

bool topic_is_internal(struct str name)
{
    return str_eq_z(name, "__consumer_offsets") || str_eq_z(name, "__transaction_state") ||
           str_eq_z(name, "__share_group_state");
}
