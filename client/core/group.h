/* SPDX-License-Identifier: Apache-2.0 */
/* A member of a consumer group, on top of a client: joins, heartbeats, keeps and commits positions, leaves.
 * Pure like the client; it makes calls with client_call(). It speaks the classic protocol, where one of the
 * members gives out the partitions (range), or the consumer protocol (KIP-848), where the coordinator does.
 *
 * Events go in by client_group_reply() (answers whose tag client_group_owns()), client_group_turn() (time)
 * and the functions of the owner; client_group_next() tells what happened. The owner consumes what it is
 * assigned from the offsets it is given, and stops when that is revoked: nothing that is read after may be
 * counted.
 */
#ifndef SLUICE_CLIENT_CORE_GROUP_H
#define SLUICE_CLIENT_CORE_GROUP_H

#include "client/core/client.h"

#define CLIENT_GROUP_TAGS 8 /* tags that a group uses, from config.tag on */

struct client_group;

enum client_group_protocol { CLIENT_GROUP_CLASSIC, CLIENT_GROUP_CONSUMER };

struct client_group_config {
    struct str group_id, instance_id; /* instance_id null: a dynamic member. Both live as long as the group */
    enum client_group_protocol protocol;
    int32_t session_timeout_ms, heartbeat_ms; /* classic only; else the coordinator's settings hold */
    int32_t rebalance_timeout_ms;
    int32_t commit_ms; /* positions are committed so often; 0: only when told, revoked or leaving */
    uint64_t tag;
};

/* Kafka's defaults. */
void client_group_config_init(struct client_group_config *config);

enum client_group_event_type {
    CLIENT_GROUP_ASSIGNED, /* consume these, beside what was assigned before */
    CLIENT_GROUP_REVOKED,  /* stop consuming these (classic: always all); positions were told before this
                              call, and are committed if they still may be */
    CLIENT_GROUP_LEFT,     /* the end, asked for by client_group_leave() */
    CLIENT_GROUP_FAILED,   /* given up */
};

/* One assigned partition. */
struct client_group_partition {
    struct client_topic *topic;
    int32_t partition;
    int64_t committed; /* where the group was, -1: nowhere yet */
    int64_t position;  /* private: the next offset to be read, as told by the owner; -1 unknown */
};

struct client_group_event {
    enum client_group_event_type type;
    int32_t generation; /* of the consumer protocol: the member's epoch */
    const struct client_group_partition
        *partitions; /* of ASSIGNED and REVOKED, until the next event is taken */
    int32_t partitions_count;
    struct client_failure failure; /* of FAILED */
};

/* A group that reads these topics (opened with client_topic_open and known, with a name of their own each).
 * It joins with the first turn. NULL when memory is out. */
struct client_group *client_group_new(struct client *client, const struct core_alloc *alloc,
                                      const struct client_group_config *config,
                                      struct client_topic *const *topics, int32_t topics_count);
void client_group_free(struct client_group *group);

/* No call of it is on its way: it may be freed while its client lives on. */
bool client_group_idle(const struct client_group *group);

/* Whether an answer with that tag is the group's. */
bool client_group_owns(const struct client_group *group, uint64_t tag);
/* The answer to one of its calls. Events must have been taken before. */
void client_group_reply(struct client_group *group, uint64_t now_us, const struct client_reply *reply);
/* Does what is due; and when that is next (CLIENT_NEVER: not before an answer). */
void client_group_turn(struct client_group *group, uint64_t now_us);
/* When client_group_turn() is due. */
uint64_t client_group_deadline(const struct client_group *group);

/* False: nothing happened. */
bool client_group_next(struct client_group *group, struct client_group_event *ret);

/* Everything below position of that partition has been dealt with. Ignored when it is not assigned. */
void client_group_position(struct client_group *group, const struct client_topic *topic, int32_t partition,
                           int64_t position);

/* Commits what was told, soon. */
void client_group_commit(struct client_group *group, uint64_t now_us);

/* Commits, and leaves. */
void client_group_leave(struct client_group *group, uint64_t now_us);

/* The coordinator's node, -1 before it is known. */
int32_t client_group_coordinator(const struct client_group *group);

/* The generation (of the consumer protocol: the member's epoch) as the member knows it. */
int32_t client_group_generation(const struct client_group *group);

/* The member's id, until the next call; empty when it has none. */
struct str client_group_member_id(const struct client_group *group);

/* Offsets of positions that the coordinator has confirmed so far (for tests and the simulator). */
int64_t client_group_committed(const struct client_group *group, const struct client_topic *topic,
                               int32_t partition);

/* The position in the commit that is on its way, or whose answer is being taken, and the generation that it
 * names; -1: there is none (for the simulator). */
int64_t client_group_committing(const struct client_group *group, const struct client_topic *topic,
                                int32_t partition, int32_t *ret_generation);

#endif
