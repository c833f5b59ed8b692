/* SPDX-License-Identifier: Apache-2.0 */
/* One end of a connection, the part that server and client share: frames in and out, the hello, pings,
 * silence. Private to this folder. */
#ifndef SLUICE_RPC_CONN_H
#define SLUICE_RPC_CONN_H

#include "common/rpc/frame.h"

#define RPC_HELLO_TIMEOUT_US    5000000u  /* at a server, from accept to hello */
#define RPC_ATTEMPT_TIMEOUT_US  3000000u  /* at a client, from connect to the answered hello */
#define RPC_PING_US             1000000u  /* a client pings when nothing went or came for so long */
#define RPC_CLIENT_SILENCE_US   3000000u  /* a client gives up then */
#define RPC_SERVER_SILENCE_US   10000000u /* a server gives up then: our clients ping */
#define RPC_BACKOFF_MIN_US      20000u
#define RPC_BACKOFF_MAX_US      500000u
#define RPC_BACKOFF_MISMATCH_US 5000000u

/* How the two kinds of ends are told. All from the loop. */
struct rpc_conn_role {
    void (*up)(struct rpc_conn *conn); /* hello exchanged */
    void (*frame)(struct rpc_conn *conn, const struct rpc_frame *frame);
    void (*down)(struct rpc_conn *conn, enum err why); /* the last call; conn is freed after it */
    uint64_t silence_us;
    bool client; /* speaks first, pings */
};

struct rpc_conn {
    const struct rpc_conn_role *role;
    void *owner; /* struct rpc_server or rpc_client; NULL: let go, nobody is told */
    struct env *env;
    struct env_conn *stream;
    const struct rpc_peer_info *me;
    struct rpc_peer_info peer;
    struct env_addr addr;
    struct rpc_framer in;
    struct env_timer timer; /* hello, then silence and pings */
    uint64_t received_us;   /* last frame */
    uint64_t sent_us;
    struct list link; /* the owner's list */
    void *user;
    bool up;
    bool closing;
    enum err why; /* our reason to close, OK when the stream tells */
};

/* A connection for a stream that the caller starts with rpc_conn_stream and itself as ctx. NULL when memory
 * is out. */
struct rpc_conn *rpc_conn_new(struct env *env, const struct rpc_conn_role *role, void *owner,
                              const struct rpc_peer_info *me, const struct env_addr *addr);
extern const struct env_conn_handler rpc_conn_stream;

/* The stream is set: a client says hello, both start waiting for one. */
void rpc_conn_begin(struct rpc_conn *conn);

/* Queues one frame. ERR_CLOSED, ERR_TOO_LARGE, ERR_FULL (the output cap), ERR_NOMEM; nothing is queued then.
 */
enum err rpc_conn_write(struct rpc_conn *conn, uint16_t type, uint32_t correlation, struct iobuf *payload);

/* Closes the stream; down(why) follows. Only the first reason counts. */
void rpc_conn_fail(struct rpc_conn *conn, enum err why);

/* The owner goes: close without a word. */
void rpc_conn_abandon(struct rpc_conn *conn);

#endif
