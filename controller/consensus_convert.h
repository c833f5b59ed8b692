/* SPDX-License-Identifier: Apache-2.0 */
/* Part of consensus.c, which includes raft.h before it: between libraft's messages and ours, field by field.
 * AppendEntries' entries and snapshots are not here: they take more than copying. */
#ifndef SLUICE_CONTROLLER_CONSENSUS_CONVERT_H
#define SLUICE_CONTROLLER_CONSENSUS_CONVERT_H

#include "controller/quorum_message.h"

/* libraft's own numbers of the messages that it understands in this version. */
#define VOTE_VERSION        2
#define VOTE_RESULT_VERSION 2
#define RESULT_VERSION      2

/* The message as ours; type, term and the part of its type are set. */
static void convert_out(const struct raft_message *in, uint64_t term, struct quorum_message *out)
{
    out->term = term;
    switch (in->type) {
    case RAFT_APPEND_ENTRIES:
        out->type = QUORUM_APPEND;
        out->append.prev_index = in->append_entries.prev_log_index;
        out->append.prev_term = in->append_entries.prev_log_term;
        out->append.commit = in->append_entries.leader_commit;
        break;
    case RAFT_APPEND_ENTRIES_RESULT:
        out->type = QUORUM_APPEND_RESULT;
        out->append_result.rejected = in->append_entries_result.rejected;
        out->append_result.last_index = in->append_entries_result.last_log_index;
        out->append_result.features = in->append_entries_result.features;
        out->append_result.capacity = in->append_entries_result.capacity;
        break;
    case RAFT_REQUEST_VOTE:
        out->type = QUORUM_VOTE;
        out->term = in->request_vote.term; /* of a pre-vote: the next one */
        out->vote.last_index = in->request_vote.last_log_index;
        out->vote.last_term = in->request_vote.last_log_term;
        out->vote.disrupt_leader = in->request_vote.disrupt_leader;
        out->vote.pre_vote = in->request_vote.pre_vote;
        break;
    case RAFT_REQUEST_VOTE_RESULT:
        out->type = QUORUM_VOTE_RESULT;
        out->term = in->request_vote_result.term;
        out->vote_result.granted = in->request_vote_result.vote_granted;
        out->vote_result.pre_vote = in->request_vote_result.pre_vote;
        out->vote_result.features = in->request_vote_result.features;
        out->vote_result.capacity = in->request_vote_result.capacity;
        break;
    case RAFT_TIMEOUT_NOW:
        out->type = QUORUM_TIMEOUT_NOW;
        out->timeout_now.last_index = in->timeout_now.last_log_index;
        out->timeout_now.last_term = in->timeout_now.last_log_term;
        break;
    default: UNREACHABLE();
    }
}

/* The message as libraft's; sender and entries are the caller's to set. */
static void convert_in(const struct quorum_message *in, struct raft_message *out)
{
    memset(out, 0, sizeof(*out));
    switch (in->type) {
    case QUORUM_APPEND:
        out->type = RAFT_APPEND_ENTRIES;
        out->append_entries.term = in->term;
        out->append_entries.prev_log_index = in->append.prev_index;
        out->append_entries.prev_log_term = in->append.prev_term;
        out->append_entries.leader_commit = in->append.commit;
        out->append_entries.n_entries = in->append.count;
        break;
    case QUORUM_APPEND_RESULT:
        out->type = RAFT_APPEND_ENTRIES_RESULT;
        out->append_entries_result.version = RESULT_VERSION;
        out->append_entries_result.term = in->term;
        out->append_entries_result.rejected = in->append_result.rejected;
        out->append_entries_result.last_log_index = in->append_result.last_index;
        out->append_entries_result.features = in->append_result.features;
        out->append_entries_result.capacity = in->append_result.capacity;
        break;
    case QUORUM_VOTE:
        out->type = RAFT_REQUEST_VOTE;
        out->request_vote.version = VOTE_VERSION;
        out->request_vote.term = in->term;
        out->request_vote.candidate_id = quorum_raft_id(in->from);
        out->request_vote.last_log_index = in->vote.last_index;
        out->request_vote.last_log_term = in->vote.last_term;
        out->request_vote.disrupt_leader = in->vote.disrupt_leader;
        out->request_vote.pre_vote = in->vote.pre_vote;
        break;
    case QUORUM_VOTE_RESULT:
        out->type = RAFT_REQUEST_VOTE_RESULT;
        out->request_vote_result.version = VOTE_RESULT_VERSION;
        out->request_vote_result.term = in->term;
        out->request_vote_result.vote_granted = in->vote_result.granted;
        out->request_vote_result.pre_vote = in->vote_result.pre_vote;
        out->request_vote_result.features = in->vote_result.features;
        out->request_vote_result.capacity = in->vote_result.capacity;
        break;
    case QUORUM_TIMEOUT_NOW:
        out->type = RAFT_TIMEOUT_NOW;
        out->timeout_now.term = in->term;
        out->timeout_now.last_log_index = in->timeout_now.last_index;
        out->timeout_now.last_log_term = in->timeout_now.last_term;
        break;
    default: UNREACHABLE();
    }
}

#endif
