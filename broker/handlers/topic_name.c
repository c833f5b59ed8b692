/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/handlers/topic_name.h"

#include "proto/kafka/error.h"

int16_t topic_name_resolve(struct request *rq, bool by_id, struct uuid id, struct str *name,
                           const struct image_topic **ret_topic)
{
    const struct image *image = rq->shard->image;
    const struct image_topic *topic =
        by_id ? image_topic_by_id(image, id) : image_topic_by_name(image, *name);

    if (by_id)
        *name = STR_LIT("");
    if (!topic)
        return by_id ? KAFKA_UNKNOWN_TOPIC_ID : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    if (by_id) {
        const char *copy = arena_copy(&rq->arena, topic->name.p, (size_t)topic->name.len);
        if (!copy)
            return KAFKA_UNKNOWN_SERVER_ERROR;
        *name = (struct str){copy, topic->name.len};
    }
    *ret_topic = topic;
    return KAFKA_NONE;
}
