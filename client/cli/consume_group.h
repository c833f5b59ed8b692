/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice consume --group`: a group member (client/core/group.h) on a verb's session. */
#ifndef SLUICE_CLIENT_CLI_CONSUME_GROUP_H
#define SLUICE_CLIENT_CLI_CONSUME_GROUP_H

#include "client/cli/session.h"
#include "client/core/group.h"

struct consume_group {
    struct session *s;
    struct client_group *group; /* NULL: no group */
    struct env_timer timer;
    bool left;
    void *ctx;
    void (*assigned)(void *ctx, const struct client_group_partition *partitions, int32_t count);
    void (*revoked)(void *ctx, const struct client_group_partition *partitions, int32_t count);
    void (*failed)(void *ctx, struct client_failure failure);
};

struct consume_group_name {
    const char *group, *instance; /* instance NULL: a dynamic member */
    enum client_group_protocol protocol;
};

/* Joins; ctx and the functions are set. The names live as long as the group. False: out of memory. */
bool consume_group_start(struct consume_group *cg, struct session *s, const struct consume_group_name *name,
                         struct client_topic *topic);

/* An answer of the session's client; others' are ignored. */
void consume_group_reply(struct consume_group *cg, const struct client_reply *reply);

/* Everything below position was printed. */
void consume_group_position(struct consume_group *cg, const struct client_topic *topic, int32_t partition,
                            int64_t position);

/* Commits, leaves (a few seconds at most) and frees. No-op without a group. */
void consume_group_stop(struct consume_group *cg);

#endif
