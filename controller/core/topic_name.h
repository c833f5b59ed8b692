/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of topic names (Kafka's Topic.validate and hasCollisionChars). */
#ifndef SLUICE_CONTROLLER_CORE_TOPIC_NAME_H
#define SLUICE_CONTROLLER_CORE_TOPIC_NAME_H

#include "common/base/map.h"
#include "proto/cluster/image.h"

#define TOPIC_NAME_MAX 249

/* NULL when the name is allowed, else the reason. */
const char *topic_name_refusal(struct str name);

/* Names that differ only in '.' against '_' would share metric names. This finds such a pair: it reads the
 * image's names once, when it is first needed, for all topics of a request. */
struct topic_names {
    struct map folded; /* hash of the name with '.' as '_' -> the name's bytes */
    uint64_t seed;
    bool ready;
};

/* seed: random, against crafted collisions. */
void topic_names_init(struct topic_names *names, uint64_t seed);
void topic_names_free(struct topic_names *names); /* after it: as before topic_names_init */

/* The name of another topic that collides with name, or the null string. The image must hold the topics that
 * were there before the request throughout. */
struct str topic_names_collision(struct topic_names *names, const struct image *image, struct str name);

/* A topic that the request itself adds. The string must outlive names. */
void topic_names_add(struct topic_names *names, struct str name);

#endif
