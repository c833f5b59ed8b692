/* SPDX-License-Identifier: Apache-2.0 */
/* What consensus.c and consensus_members.c share. They include raft.h first; nobody else may. */
#ifndef SLUICE_CONTROLLER_CONSENSUS_INTERNAL_H
#define SLUICE_CONTROLLER_CONSENSUS_INTERNAL_H

#include <string.h>

#include "controller/consensus.h"
#include "controller/proposals.h"
#include "controller/quorum_sender.h"
#include "controller/snapshot_task.h"

struct consensus {
    struct env *env;
    struct storage *storage;
    struct raft_log *log;
    struct consensus_options options;
    struct quorum_sender out;
    const struct consensus_handler *handler;
    void *ctx;
    struct raft raft;
    bool has_raft, started, stepping, failed;
    struct env_timer timer;       /* raft_timeout() */
    struct env_timer apply_timer; /* more to apply */
    struct env_timer note_timer;
    struct env_task submit_task;
    struct proposals proposals;
    uint64_t applied, applied_term;
    struct iobuf *config; /* newest applied configuration, encoded */
    uint64_t config_index;
    bool leads, announced; /* Raft's state; gained() was called */
    uint64_t lead_term, ready_index;
    int32_t leader;
    uint64_t leader_term, elections;
    int32_t gone_node; /* why elections are quick: its process is gone, NOBODY_YET, or -1: they are not */
    uint64_t hurry_end_us;
    bool stale_sender; /* the message in this step has an old term */
    bool has_install;  /* libraft asked to install; answered by a second step */
    struct raft_snapshot_metadata install;
    struct snapshot_receiver receiver;
    struct snapshot_task taking;
    struct consensus_member
        members[CONSENSUS_MEMBERS_MAX]; /* of the newest configuration, committed or not */
    int members_count;
    uint64_t members_index, members_term; /* of its entry */
    uint64_t leader_heard_us;             /* its last AppendEntries */
    uint64_t sender_id;                   /* Raft's id of who sent the message that is being received */
    uint64_t barrier_term;                /* a barrier of this term was proposed for a change's sake */
    struct consensus_member guests[CONSENSUS_MEMBERS_MAX]; /* introduced, whether members or not */
    int guests_count;
};

static inline int32_t node_id_of(raft_id id)
{
    return member_node_id(id);
}

/* An event of this type, all else zero. */
static inline struct raft_event consensus_event(enum raft_event_type type)
{
    struct raft_event event;
    memset(&event, 0, sizeof(event));
    event.type = type;
    return event;
}

/* Decodes an encoded configuration that we have checked or made. */
static inline bool consensus_decode_config(const struct iobuf *buf, struct raft_configuration *ret_conf)
{
    struct raft_buffer in = {.base = (void *)(uintptr_t)buf->data, .len = buf->len};
    return raft_configuration_decode(&in, ret_conf) == 0;
}

/* -- consensus.c -- */

/* The end: nothing is stepped, sent or applied any more. */
void consensus_fail(struct consensus *c, enum err err, const char *what);

/* A step and everything that follows from it. */
void consensus_drive(struct consensus *c, struct raft_event *event);

/* -- consensus_members.c -- */

/* Reads the members from Raft's newest configuration if that is another one than before, and tells the owner.
 */
void consensus_watch_members(struct consensus *c);

/* Raft's id of this node, of a member, and of a sender that is to be believed (see consensus_sender_good()).
 */
uint64_t consensus_own_raft_id(const struct consensus *c);
uint64_t consensus_member_raft_id(const struct consensus *c, int32_t node_id); /* 0: no member */
uint64_t consensus_sender_raft_id(const struct consensus *c, int32_t from, struct uuid directory_id);

/* Whether node `from` may speak with this disk: a voter that lost its disk is not believed (*ret_why says
 * so). */
enum err consensus_sender_good(struct consensus *c, int32_t from, struct uuid directory_id,
                               const char **ret_why);

/* Before a configuration entry at the beginning of entries that follow prev_index is given to Raft. */
void consensus_settle_older(struct consensus *c, uint64_t prev_index, uint64_t prev_term);

/* libraft's followers without a vote believe in their last leader for ever: after a while of silence they do
 * not. */
void consensus_doubt_leader(struct consensus *c);

/* While a vote is asked for: lets libraft answer although this node is no voter yet in its own log. True:
 * undo it afterwards with consensus_vote_over(). */
bool consensus_vote_begin(struct consensus *c);
void consensus_vote_over(struct consensus *c);

#endif
