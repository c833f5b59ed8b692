/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of topic names (Kafka's Topic.validate and hasCollisionChars). */
#ifndef SLUICE_CONTROLLER_CORE_TOPIC_NAME_H
#define SLUICE_CONTROLLER_CORE_TOPIC_NAME_H

#include "proto/cluster/image.h"

#define TOPIC_NAME_MAX 249

/* NULL when the name is allowed, else the reason. */
const char *topic_name_refusal(struct str name);

/* A topic whose name differs only in '.' against '_' (they would share metric names), or NULL. Linear in
 * topics when name holds one of the two. */
const struct image_topic *topic_name_collision(const struct image *image, struct str name);

#endif
