/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of a group's member: what both protocols share (group.c), and what each does in its own way
 * (group_classic.c, group_consumer.c). */
#ifndef SLUICE_CLIENT_CORE_GROUP_INTERNAL_H
#define SLUICE_CLIENT_CORE_GROUP_INTERNAL_H

#include "client/core/group.h"
#include "client/core/internal.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define GROUP_ID_MAX          512
#define GROUP_CALL_TIMEOUT_US 5000000
#define GROUP_RETRY_US        200000

enum group_state {
    GROUP_FIND, /* the coordinator */
    GROUP_JOIN,
    GROUP_SYNC,      /* classic only */
    GROUP_OFFSETS,   /* of what was assigned */
    GROUP_MEMBER,    /* nothing else to do */
    GROUP_GIVING_UP, /* committing what was read, then JOIN (classic), or telling that it is given up */
    GROUP_LEAVING,   /* committing, then leaving */
    GROUP_OVER,
};

enum group_call {
    CALL_FIND,
    CALL_JOIN, /* classic only */
    CALL_SYNC, /* classic only */
    CALL_OFFSETS,
    CALL_HEARTBEAT, /* of the consumer protocol: joins, too */
    CALL_COMMIT,
    CALL_LEAVE,
    CALL_COUNT
};
/* Answers are told apart by their tags. */
STATIC_ASSERT(CALL_COUNT <= CLIENT_GROUP_TAGS, "a tag for each kind of call");

/* Positions in the commit on its way. */
struct group_committing {
    const struct client_topic *topic;
    int32_t partition;
    int64_t position;
};

struct group_wanted {
    struct client_topic *topic;
    int32_t partition;
};

/* How one protocol does what both have to do. Answers come without errors of the transport. */
struct group_ways {
    void (*join)(struct client_group *g); /* in state JOIN, when it is due */
    void (*heartbeat)(struct client_group *g);
    void (*leave)(struct client_group *g);   /* nothing is to be committed any more */
    void (*give_up)(struct client_group *g); /* in state GIVING_UP, when it is due */
    void (*member)(struct client_group *g);  /* in state MEMBER, when it is due */
    void (*found)(struct client_group *g);   /* the coordinator is known (again) */
    void (*got_offsets)(struct client_group *g);
    void (*committed)(struct client_group *g, int16_t error);
    /* What an error that concerns the membership means. True: dealt with. */
    bool (*setback)(struct client_group *g, int16_t error);
    void (*unanswered)(struct client_group *g, enum group_call call);
    void (*on_join)(struct client_group *g, const void *message);
    void (*on_sync)(struct client_group *g, const void *message);
    void (*on_heartbeat)(struct client_group *g, const void *message);
};

extern const struct group_ways group_classic_ways, group_consumer_ways;

struct client_group {
    struct client *client;
    struct core_alloc alloc;
    struct client_group_config config;
    const struct group_ways *ways;
    struct client_topic **topics;
    int32_t topics_count;
    enum group_state state;
    bool busy[CALL_COUNT];
    bool leaving;
    uint64_t now_us, due_us, heartbeat_us, commit_us;
    int32_t node, generation; /* generation: of the consumer protocol the member epoch, 0: not in the group */
    char member_id[GROUP_ID_MAX];
    uint32_t life, committing_life, asking_life, beat_life; /* memberships so far; of calls on their way */
    struct arena round[2];                                  /* mine, and mine as it was before */
    uint32_t round_at;
    struct arena calls[CALL_COUNT]; /* a request until its answer */
    /* What is assigned: those that the owner has, then those it gave up and that are not told yet, then those
     * whose offsets are asked for. The classic protocol knows all or nothing. */
    struct client_group_partition *mine;
    int32_t mine_count, giving, adding;
    struct group_committing *committing; /* in the commit on its way */
    int32_t committing_count, committing_generation;
    struct client_group_event event;
    bool has_event;
    bool holding; /* classic: the owner has the partitions */
    /* Consumer: */
    struct arena wanting;
    struct group_wanted *wanted; /* what the coordinator wants us to have, as last told */
    int32_t wanted_count;
    bool full;      /* the next heartbeat says everything */
    bool owned_new; /* ... what is ours now */
};

/* -- group.c -- */

/* One thing to tell the owner: partitions [first, first + count) of mine. */
void client_group_tell(struct client_group *g, enum client_group_event_type type, int32_t first,
                       int32_t count);
/* The end, with a reason. */
void client_group_give_up(struct client_group *g, struct client_failure failure);
void client_group_enter(struct client_group *g, enum group_state state, uint64_t at_us);
/* The end that was asked for. */
void client_group_left(struct client_group *g);

/* A request in the call's arena, zeroed; NULL when memory is out. */
void *client_group_begin(struct client_group *g, enum group_call call, size_t size);
/* Sends it; with message NULL it is tried again later. */
void client_group_start(struct client_group *g, enum group_call call, int16_t api_key, const void *message,
                        uint64_t timeout_us);
/* Commits what is to be committed. False: there is nothing, or memory is out. */
bool client_group_commit_now(struct client_group *g);
bool client_group_uncommitted(const struct client_group_partition *one);
struct client_group_partition *client_group_mine(const struct client_group *g,
                                                 const struct client_topic *topic, int32_t partition);
/* Room for count partitions as mine, in the other arena; mine stays until it is replaced. NULL: no memory. */
struct client_group_partition *client_group_room(struct client_group *g, int32_t count);
/* Positions must not be committed any more. */
void client_group_forget_positions(struct client_group *g, int32_t first, int32_t count);

#endif
