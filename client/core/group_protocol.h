/* SPDX-License-Identifier: Apache-2.0 */
/* What members of a classic consumer group tell each other through the coordinator, which does not look
 * inside (Kafka's ConsumerProtocol): who subscribes to what, and who gets what. */
#ifndef SLUICE_CLIENT_CORE_GROUP_PROTOCOL_H
#define SLUICE_CLIENT_CORE_GROUP_PROTOCOL_H

#include "common/base/arena.h"
#include "common/base/wire.h"

#define GROUP_PROTOCOL_TYPE "consumer"

/* Views of the decoded bytes. */
struct group_subscription {
    struct str *topics;
    int32_t topics_count;
};

struct group_assigned_topic {
    struct str topic;
    int32_t *partitions;
    int32_t partitions_count;
};

struct group_assignment {
    struct group_assigned_topic *topics;
    int32_t topics_count;
};

/* Writes version 0. */
void group_subscription_encode(struct writer *w, const struct str *topics, int32_t count);
void group_assignment_encode(struct writer *w, const struct group_assignment *assignment);

/* Reads the common part of any version. ERR_MALFORMED, ERR_TRUNCATED, ERR_NOMEM. */
enum err group_subscription_decode(struct bytes bytes, struct arena *arena, struct group_subscription *ret);
/* Empty bytes are an empty assignment. */
enum err group_assignment_decode(struct bytes bytes, struct arena *arena, struct group_assignment *ret);

/* One member and what it subscribes to; the assignor fills in what it gets (memory of the arena). */
struct group_candidate {
    struct str id; /* orders the members */
    struct group_subscription subscription;
    struct group_assignment assignment;
};

/* Partitions of a topic, 0 when it is not known. */
typedef int32_t group_partitions_fn(void *ctx, struct str topic);

/* Kafka's RangeAssignor: of each topic, members in order of their ids get ranges of partitions, the first
 * ones one more. ERR_NOMEM. */
enum err group_assign_range(struct group_candidate *members, int32_t count, group_partitions_fn *partitions,
                            void *ctx, struct arena *arena);

#endif
