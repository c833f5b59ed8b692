/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of the members of the consumer group, byte for byte as they left, for one who sends them again
 * (node_group_replayer.c): a network that delivers twice and late, at the level of requests, where no
 * connection protects from it, and to whoever coordinates then. They are chosen so that all ages are there.
 */
#ifndef SLUICE_SIM_GROUP_REPLAYS_H
#define SLUICE_SIM_GROUP_REPLAYS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/prng.h"
#include "common/base/types.h"

#define GROUP_NAME          "g"
#define GROUP_NUMBER        1 /* in the history */
#define GROUP_PLACE         1 /* partition of its coordinator: hash of "g" modulo 2 (node_broker.c) */
#define GROUP_REPLAYS_KEPT  48
#define GROUP_REPLAY_BYTES  1024 /* longer ones are not kept */
#define GROUP_REPLAY_NEWEST (-1) /* for group_replays_find() */

/* X(NAME, API). */
#define GROUP_REPLAY_TABLE(X)                                                                                \
    X(COMMIT, KAFKA_API_OFFSET_COMMIT)                                                                       \
    X(HEARTBEAT, KAFKA_API_HEARTBEAT)                                                                        \
    X(MEMBER_HEARTBEAT, KAFKA_API_CONSUMER_GROUP_HEARTBEAT)                                                  \
    X(SYNC, KAFKA_API_SYNC_GROUP)                                                                            \
    X(JOIN, KAFKA_API_JOIN_GROUP)                                                                            \
    X(LEAVE, KAFKA_API_LEAVE_GROUP)

enum group_replay_kind {
#define X(name, api) GROUP_REPLAY_##name,
    GROUP_REPLAY_TABLE(X)
#undef X
        GROUP_REPLAY_KINDS
};

struct group_replay {
    enum group_replay_kind kind;
    int32_t static_number; /* of its member in the history; 0: it has no name of its own */
    uint32_t len;
    uint8_t frame[GROUP_REPLAY_BYTES]; /* with its size in front */
};

struct group_replays {
    struct prng prng;
    struct group_replay list[GROUP_REPLAY_KINDS][GROUP_REPLAYS_KEPT];
    uint32_t count[GROUP_REPLAY_KINDS], newest[GROUP_REPLAY_KINDS];
};

/* What stands for a member's id in the history; 0 for none. */
uint32_t group_member_number(struct str id);

/* What a member writes to a connection: kept if it is such a request, in the place of any other of its kind
 * when there are many. No allocation. */
void group_replays_keep(struct group_replays *replays, int32_t static_number, const uint8_t *p, size_t len);

/* One of a kind: that at a place below count, or GROUP_REPLAY_NEWEST. NULL: there is none. */
const struct group_replay *group_replays_find(const struct group_replays *replays,
                                              enum group_replay_kind kind, int32_t place);

#endif
