/* SPDX-License-Identifier: Apache-2.0 */
/* Server-side assignors of consumer groups (KIP-848): pure functions from members and topics to targets. The
 * same input gives the same output. */
#ifndef SLUICE_BROKER_CORE_ASSIGNOR_H
#define SLUICE_BROKER_CORE_ASSIGNOR_H

#include "broker/core/tp_set.h"

struct assign_topic {
    struct uuid id;
    int32_t partitions;
};

struct assign_member {
    struct str id, instance_id; /* instance_id: null for dynamic members */
    const int32_t *topics;      /* what it subscribes to: places in the topics, rising */
    int32_t topics_count;
    struct tp_set before; /* its target so far */
    struct tp_set after;  /* the answer */
};

struct assignment {
    struct arena *arena;
    const struct assign_topic *topics; /* by id, rising */
    int32_t topics_count;
    struct assign_member *members; /* by id, rising */
    int32_t members_count;
};

/* Fills every member's `after`: each partition of a topic that somebody subscribes to goes to exactly one of
 * its subscribers. False: the arena is full. */
typedef bool (*assignor_fn)(struct assignment *a);

/* As even as can be; a partition stays where it is unless balance asks for its move. */
bool assign_uniform(struct assignment *a);
/* Topic by topic in contiguous ranges, so that equal partitions of topics with equal subscribers meet on one
 * member. Members in order of their instance ids, else ids. */
bool assign_range(struct assignment *a);

/* Kafka's names: "uniform", "range"; NULL: there is none of that name. */
assignor_fn assignor_find(struct str name);

#endif
