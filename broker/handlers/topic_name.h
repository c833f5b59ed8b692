/* SPDX-License-Identifier: Apache-2.0 */
/* Topics of group requests, which come by name or, in newer versions, by id. */
#ifndef SLUICE_BROKER_HANDLERS_TOPIC_NAME_H
#define SLUICE_BROKER_HANDLERS_TOPIC_NAME_H

#include "broker/shard/request.h"

/* Looks the topic up; by id, *name becomes its name, in the request's arena (coordinators know names only).
 * KAFKA_NONE, UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID, UNKNOWN_SERVER_ERROR. *ret_topic lives while the
 * shard keeps its image. */
int16_t topic_name_resolve(struct request *rq, bool by_id, struct uuid id, struct str *name,
                           const struct image_topic **ret_topic);

#endif
