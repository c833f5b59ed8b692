/* SPDX-License-Identifier: Apache-2.0 */
/* Moving a snapshot file from a leader to a controller that is too far behind, in pieces, each one asked for
 * by the result of the one before. The file is complete, checked and durable before Raft hears of it, so a
 * transfer that breaks leaves no trace.
 */
#ifndef SLUICE_CONTROLLER_SNAPSHOT_TRANSFER_H
#define SLUICE_CONTROLLER_SNAPSHOT_TRANSFER_H

#include "controller/quorum_message.h"
#include "controller/snapshot_store.h"

#define TRANSFER_RESEND_US                                                                                   \
    500000 /* a piece without a result is sent again after this long, when Raft asks again */

/* -- the leader's side, one per peer -- */

struct snapshot_sender {
    struct snapshot *snapshot; /* NULL: nothing to send */
    uint64_t offset;
    uint64_t sent_us; /* when the present piece was sent */
};

/* Raft wants the peer to have `snapshot`. True when a piece should be sent now (snapshot_sender_piece). */
bool snapshot_sender_want(struct snapshot_sender *sender, struct snapshot *snapshot, uint64_t now_us);

/* The peer's answer. True when the next piece should be sent now. */
bool snapshot_sender_result(struct snapshot_sender *sender, const struct quorum_message *result);

/* Fills the piece part of message; its data lies in *ret_buf (one reference). */
enum err snapshot_sender_piece(struct snapshot_sender *sender, struct env *env,
                               struct quorum_message *message, struct iobuf **ret_buf);
void snapshot_sender_stop(struct snapshot_sender *sender);

/* -- the follower's side -- */

struct snapshot_receiver {
    struct snapshot_store *store;
    struct snapshot_writer *writer; /* NULL: idle, or finishing */
    struct snapshot_id id;          /* being received or finished */
    int32_t from;                   /* who sent the newest piece of it */
    bool finishing;
    /* The snapshot is in the store and durable (it stays the store's), or the transfer failed. */
    void (*done)(void *ctx, struct snapshot *snapshot, int32_t from, enum err err);
    void *ctx;
};

/* An idle receiver. */
void snapshot_receiver_init(struct snapshot_receiver *receiver, struct snapshot_store *store,
                            void (*done)(void *ctx, struct snapshot *snapshot, int32_t from, enum err err),
                            void *ctx);

/* Takes a piece. True when the result should be sent; its piece_result part is filled then. */
bool snapshot_receiver_piece(struct snapshot_receiver *receiver, const struct quorum_message *piece,
                             struct quorum_message *ret_result);

/* Whether a transfer is under way. One that broke off (its leader died), and whose entries have come since
 * (up to index `applied`), is none: it is forgotten. */
bool snapshot_receiver_busy(struct snapshot_receiver *receiver, uint64_t applied);

/* Forgets an unfinished transfer. One that is finishing goes on. */
void snapshot_receiver_stop(struct snapshot_receiver *receiver);

#endif
