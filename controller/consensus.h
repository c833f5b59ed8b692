/* SPDX-License-Identifier: Apache-2.0 */
/* Raft for the controllers: libraft 0.22.1's pure core (raft_step) driven over our storage, our messages and
 * the env. The only room that knows raft.h (DESIGN, Metadata). A value on one loop: several may live in one
 * process.
 *
 * Order of effects of one step (facts, raft_step contract): term and vote are durable before anything is
 * sent; entries are written; messages leave; committed entries are applied; one timer is armed. Entries are
 * reported to Raft as persisted when the log's group sync says so.
 */
#ifndef SLUICE_CONTROLLER_CONSENSUS_H
#define SLUICE_CONTROLLER_CONSENSUS_H

#include "common/base/types.h"
#include "controller/member.h"
#include "controller/quorum_message.h"
#include "controller/storage.h"

struct consensus;

#define CONSENSUS_VOTERS_MAX  7
#define CONSENSUS_MEMBERS_MAX 12          /* voters and observers */
#define CONSENSUS_RECORDS_MAX (14u << 20) /* bytes of one submission */

struct consensus_options {
    int32_t node_id; /* >= 0 */
    /* Node ids of the first configuration; used at the first start only. A node that is not among them joins:
     * it waits, without a vote, until a leader makes it a member. */
    int32_t voters[CONSENSUS_VOTERS_MAX];
    int voters_count;
    uint32_t election_timeout_ms; /* randomised to once or twice this */
    uint32_t heartbeat_ms;
    uint32_t trailing_entries; /* kept behind a snapshot for slow followers */
};

/* How messages leave. send() must not call back into consensus. A message may be lost. It takes no reference
 * of its own unless it keeps buf. */
struct consensus_transport {
    void (*send)(void *ctx, int32_t to, struct iobuf *buf);
};

struct consensus_handler {
    /* A committed entry, in order, each index once. data is empty for entries that are Raft's own. token:
     * what this process gave to consensus_submit since it leads, else 0. data is valid during the call. */
    void (*applied)(void *ctx, uint64_t index, uint64_t term, struct bytes data, uint64_t token);
    /* The state is now what snapshot holds (at start, or because this node was far behind): forget everything
     * and load it. An error is final. */
    enum err (*install)(void *ctx, const struct snapshot *snapshot);
    /* This node leads and has applied everything that was committed before its term. */
    void (*gained)(void *ctx, uint64_t term);
    /* It no longer leads; submissions that were not applied have an unknown outcome. Called once for each
     * gained(). */
    void (*lost)(void *ctx);
    /* A submission was refused before Raft took it; it will never be applied. */
    void (*dropped)(void *ctx, uint64_t token, enum err err);
    /* Who leads as far as this node knows; NODE_NONE: nobody. */
    void (*leader)(void *ctx, int32_t leader_id, uint64_t term);
    /* consensus_members() changed. May be NULL. */
    void (*members)(void *ctx);
    /* A peer's message was refused, for the log: why. Rate limiting is the handler's. */
    void (*refused)(void *ctx, int32_t from, enum err err, const char *why);
    /* Disk or state is broken: consensus has stopped for good and answers nothing. The process should end. */
    void (*failed)(void *ctx, enum err err, const char *what);
};

/* Nothing happens before consensus_start(). storage stays the caller's and outlives it. NULL when memory is
 * out. */
struct consensus *consensus_new(struct env *env, struct storage *storage,
                                const struct consensus_options *options,
                                const struct consensus_transport *transport, void *transport_ctx,
                                const struct consensus_handler *handler, void *handler_ctx);

/* Bootstraps a new storage with the options' voters, loads the newest snapshot (install() is called), starts
 * Raft. ERR_INVALID when options make no sense. */
enum err consensus_start(struct consensus *c);

/* Stops at once and lets go; no handler is called any more. NULL is allowed. */
void consensus_free(struct consensus *c);

/* A message of peer `from` (the transport has checked who it is). Copies what it keeps. */
void consensus_receive(struct consensus *c, int32_t from, const void *p, size_t len);

/* Proposes one entry; all that is proposed in one turn is written and sent together. token (not 0) comes back
 * through applied(), dropped(), or is forgotten at lost(). ERR_NOT_LEADER, ERR_TOO_LARGE, ERR_FULL,
 * ERR_NOMEM: nothing happens then. data is copied. */
enum err consensus_submit(struct consensus *c, const void *data, size_t len, uint64_t token);

/* Gives leadership to an up-to-date peer, if there is one. ERR_NOT_LEADER, ERR_NOT_FOUND (no other voter).
 * lost() follows, or not. */
enum err consensus_transfer(struct consensus *c);

/* Where a snapshot comes from: the state as it is now, in pieces. */
struct consensus_source {
    /* Appends about budget bytes of the stream to w; *ret_done after the last ones. */
    enum err (*next)(void *ctx, struct writer *w, size_t budget, bool *ret_done);
    /* Exactly once, when the source is no longer needed: OK when the snapshot is durable. */
    void (*end)(void *ctx, enum err err);
};

/* Writes a snapshot of everything applied so far, a piece each turn, then trims the log. ERR_BUSY while one
 * is being written or received; then source is not used. */
enum err consensus_take_snapshot(struct consensus *c, const struct consensus_source *source, void *ctx);

struct consensus_status {
    bool leads;     /* between gained() and lost() */
    int32_t leader; /* NODE_NONE (-1): nobody known */
    uint64_t term, commit_index, applied_index, last_index;
    uint64_t elections; /* times this node became leader */
};

/* One voter as the leader sees it. */
struct consensus_voter {
    int32_t node_id;
    struct uuid directory_id; /* zero: not heard of yet */
    uint64_t last_index;      /* its newest entry that is known to be durable there */
    uint64_t heard_us;        /* of its last message (env_now_us); now for this node, 0: never */
};

/* Fills in voter's members but node_id, which the caller sets. ERR_NOT_LEADER (or it is no member). */
enum err consensus_describe(struct consensus *c, struct consensus_voter *voter);

/* How things stand; any time after consensus_start(). */
struct consensus_status consensus_status(const struct consensus *c);

/* -- members (thesis, chapter 4; consensus_members.c) -- */

/* All members of the newest configuration in the log, committed or not; none before the first one arrived.
 * Valid until the next turn. */
const struct consensus_member *consensus_members(const struct consensus *c, int *ret_count);

/* Whether that configuration is committed, as far as this node knows. */
bool consensus_members_settled(const struct consensus *c);

/* A controller connected and says which disk it has. One of the first configuration (joined is false) is
 * pinned to it. One that has joined, or wants to, may be heard although the configuration here is too old to
 * know it; the newest word of a node id counts. guest is copied. */
void consensus_introduce(struct consensus *c, const struct consensus_member *guest, bool joined);

enum consensus_change {
    CONSENSUS_ADD_OBSERVER, /* member: a controller that gets the log and has no vote */
    CONSENSUS_PROMOTE,      /* an observer (by node_id) becomes a voter; let it catch up first */
    CONSENSUS_REMOVE,       /* by node_id; never this node itself: transfer leadership first */
};

/* Proposes one change; it is in force here at once, and settled when it is committed. ERR_NOT_LEADER;
 * ERR_BUSY: not yet, ask again (another change or a transfer is under way, nothing of this term is committed,
 * or the observer lacks the entry that made it one); ERR_EXISTS, ERR_NOT_FOUND, ERR_FULL, ERR_INVALID
 * (itself, or the last voter), ERR_NOMEM. */
enum err consensus_change_members(struct consensus *c, enum consensus_change change,
                                  const struct consensus_member *member);

/* Hint that node_id's process is gone (its port refuses): if it leads, the next election starts within a few
 * milliseconds instead of after the time-out. Safe even when wrong. */
void consensus_peer_gone(struct consensus *c, int32_t node_id);

#endif
