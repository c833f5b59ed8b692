/* SPDX-License-Identifier: Apache-2.0 */
/* What leaves this controller for the others of its quorum: messages are encoded and given to the transport,
 * AppendEntries is filled from the log in messages of bounded size, snapshots go piece by piece.
 */
#ifndef SLUICE_CONTROLLER_QUORUM_SENDER_H
#define SLUICE_CONTROLLER_QUORUM_SENDER_H

#include "controller/consensus.h"
#include "controller/snapshot_transfer.h"

struct quorum_peer {
    int32_t node_id;
    uint64_t heard_us;        /* its last message; 0: none yet */
    struct uuid directory_id; /* as that message said */
    struct snapshot_sender snapshot;
};

struct quorum_sender {
    struct env *env;
    struct storage *storage;
    int32_t node_id;
    const struct consensus_transport *transport;
    void *ctx;
    struct quorum_peer peers[CONSENSUS_MEMBERS_MAX];
    int peers_count;
};

/* No peers yet. */
void quorum_sender_init(struct quorum_sender *s, struct env *env, struct storage *storage, int32_t node_id,
                        const struct consensus_transport *transport, void *ctx);

/* Peers are the members but node_id itself; what is known of those that stay is kept. */
void quorum_sender_members(struct quorum_sender *s, const struct consensus_member *members, int count);

/* The peer with this node id, NULL when it is none. */
struct quorum_peer *quorum_sender_peer(struct quorum_sender *s, int32_t node_id);

/* A message of a peer came in: remembers when, and of which disk. */
void quorum_sender_heard(struct quorum_sender *s, const struct quorum_message *message);

/* What is known of the voter but its log: see consensus_describe(). ERR_NOT_FOUND. */
enum err quorum_sender_describe(struct quorum_sender *s, struct consensus_voter *voter);

/* Encodes and sends; from and directory_id are filled in here. */
void quorum_send(struct quorum_sender *s, struct quorum_message *message);

/* Sends `count` entries of the log behind message's prev_index, in as many messages as it takes. Fails when
 * the log cannot be read. */
enum err quorum_send_entries(struct quorum_sender *s, struct quorum_message *message, uint32_t count);

/* Starts or continues giving the newest snapshot to a peer. */
void quorum_send_snapshot(struct quorum_sender *s, int32_t to, uint64_t term);

/* A peer's answer to a piece: the next one follows. */
void quorum_sent_piece(struct quorum_sender *s, const struct quorum_message *result, uint64_t term);

/* Ends all transfers. */
void quorum_sender_stop(struct quorum_sender *s);

#endif
