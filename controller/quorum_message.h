/* SPDX-License-Identifier: Apache-2.0 */
/* What controllers of one quorum tell each other: Raft's messages and the pieces of a snapshot, in a format
 * of our own (version 1, big-endian). The bytes travel as the payload of a CLUSTER_RPC_RAFT frame.
 *
 * A decoded message is structurally sound: libraft is built without assertions, so nothing that breaks its
 * rules may reach it (counts, terms that go back, index 0, a configuration that does not parse).
 */
#ifndef SLUICE_CONTROLLER_QUORUM_MESSAGE_H
#define SLUICE_CONTROLLER_QUORUM_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/types.h"
#include "common/base/wire.h"

#define QUORUM_ENTRIES_MAX   4096                /* in one message */
#define QUORUM_MESSAGE_MAX   ((15 << 20) + 4096) /* bytes of one message: the largest entry and its head */
#define QUORUM_APPEND_BYTES  (1 << 20)           /* entries of one message, unless a single one is larger */
#define QUORUM_PIECE_BYTES   (256 << 10)
#define QUORUM_SERVERS_MAX   32 /* in a configuration */
#define QUORUM_ENTRY_COMMAND 1  /* entry types are libraft's (consensus.c asserts that) */
#define QUORUM_ENTRY_BARRIER 2
#define QUORUM_ENTRY_CHANGE  3

enum quorum_message_type {
    QUORUM_APPEND = 1, /* AppendEntries */
    QUORUM_APPEND_RESULT = 2,
    QUORUM_VOTE = 3, /* RequestVote, also pre-vote */
    QUORUM_VOTE_RESULT = 4,
    QUORUM_TIMEOUT_NOW = 5, /* leadership transfer */
    QUORUM_PIECE = 6,       /* of a snapshot file, in order */
    QUORUM_PIECE_RESULT = 7,
};

struct quorum_entry {
    uint64_t term;
    uint8_t type;
    struct bytes data;
};

struct quorum_message {
    enum quorum_message_type type;
    int32_t from, to;         /* node ids */
    struct uuid directory_id; /* of the sender's disk: a controller that lost its disk is not believed */
    uint64_t term;            /* the sender's; VOTE and VOTE_RESULT of a pre-vote: the term it would have */
    union {
        struct {
            uint64_t prev_index, prev_term, commit;
            uint32_t count;
            struct quorum_entry *entries;
        } append;
        struct {
            uint64_t rejected, last_index;
            uint16_t features, capacity;
        } append_result;
        struct {
            uint64_t last_index, last_term;
            bool disrupt_leader, pre_vote;
        } vote;
        struct {
            bool granted, pre_vote;
            uint16_t features, capacity;
        } vote_result;
        struct {
            uint64_t last_index, last_term;
        } timeout_now;
        struct {
            uint64_t index, index_term; /* of the snapshot */
            uint64_t offset;            /* in its file */
            struct bytes data;
            bool last;
        } piece;
        struct {
            uint64_t index, index_term;
            uint64_t wanted; /* offset of the next piece; UINT64_MAX: nothing more is wanted */
        } piece_result;
    };
};

/* Appends the message to w; sticky errors. */
void quorum_message_encode(struct writer *w, const struct quorum_message *message);

/* Reads a message that fills r to its end. Data are views; the entries' array comes from arena.
 * ERR_MALFORMED, ERR_TRUNCATED, ERR_VERSION, ERR_TOO_LARGE, ERR_NOMEM. */
enum err quorum_message_decode(struct reader *r, struct arena *arena, struct quorum_message *ret_message);

#define QUORUM_ADDRESS_MAX 24

/* libraft's ids start at 1, Kafka's node ids at 0. */
static inline uint64_t quorum_raft_id(int32_t node_id)
{
    return (uint64_t)node_id + 1;
}

/* What libraft takes for a server's address: "node-<id>". Where a node really is, is the transport's
 * business. */
void quorum_address(int32_t node_id, char out[QUORUM_ADDRESS_MAX]);

/* Appends the Raft configuration (libraft's encoding) with these voters, in rising order of id whatever the
 * order given. */
void quorum_configuration_encode(struct writer *w, const int32_t *voters, int count);

/* Whether data is a Raft configuration in libraft's encoding: 1 to QUORUM_SERVERS_MAX servers with different
 * ids, known roles, and only zeros behind them. libraft's own decoder trusts its input. */
bool quorum_configuration_valid(struct bytes data);

#endif
