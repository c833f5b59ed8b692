/* SPDX-License-Identifier: Apache-2.0 */
/* Cluster RPC over byte streams (DESIGN, Metadata): frames with opaque payloads, a hello that tells who
 * speaks, calls with time-outs, and one-way messages in both directions. Everything of one server or client
 * happens on the loop of its env; handlers are called from the loop, never from inside a call to these
 * functions.
 *
 * Payload buffers: functions here take a reference of their own on buf and send its first buf->len bytes;
 * NULL is an empty payload. Payload pointers given to handlers are valid during the call. */
#ifndef SLUICE_RPC_RPC_H
#define SLUICE_RPC_RPC_H

#include "common/base/types.h"
#include "common/env/env.h"
#include "common/tls/tls.h"

#define RPC_PROTOCOL_VERSION  1
#define RPC_PAYLOAD_MAX_BYTES (16u << 20)
#define RPC_OUTPUT_MAX_BYTES  (64u << 20) /* queued on one connection */
#define RPC_SERVER_CONNS_MAX  4096
#define RPC_TYPE_RESERVED     0xFF00u /* types from here on are rpc's own */

enum rpc_role {
    RPC_ROLE_CONTROLLER = 1,
    RPC_ROLE_BROKER = 2,
    RPC_ROLE_TOOL = 3,
};

/* Who speaks. cluster_id zero: not known yet, matches every other. */
struct rpc_peer_info {
    int32_t node_id;
    uint8_t role; /* enum rpc_role */
    struct uuid cluster_id;
    uint64_t incarnation; /* of this process start */
};

/* One connection as the server sees it. Valid from peer_up until peer_down returns. */
struct rpc_conn;

/* -- server -- */

struct rpc_server;

struct rpc_server_handler {
    /* The hello was accepted. info is valid as long as conn is. May be NULL. */
    void (*peer_up)(void *ctx, struct rpc_conn *conn, const struct rpc_peer_info *info);
    /* A frame. correlation 0: one-way, else to be answered once with rpc_reply(), now or later. */
    void (*request)(void *ctx, struct rpc_conn *conn, uint16_t type, uint32_t correlation,
                    const uint8_t *payload, size_t len);
    /* Exactly once for each peer_up; forget conn. ERR_CLOSED: the peer closed; OK: we did. May be NULL. */
    void (*peer_down)(void *ctx, struct rpc_conn *conn, enum err why);
    /* A connection ended before peer_up: ERR_MALFORMED, ERR_VERSION, ERR_MISMATCH (another cluster),
     * ERR_TOO_LARGE, ERR_TIMED_OUT (no hello within 5 s), ERR_CLOSED; ERR_TLS, ERR_UNTRUSTED, ERR_IDENTITY
     * (its certificate does not name the node that its hello names). For logs; may be NULL. */
    void (*rejected)(void *ctx, const struct env_addr *peer, enum err why);
};

/* Listens. me is read at each hello, so the owner may fill in the cluster id later; it, handler and ctx
 * outlive the server. tls (NULL: plain text) is the owner's, and may be dropped once the server is closed.
 * Errors as env_listen(). */
enum err rpc_server_listen(struct env *env, struct tls_loop *tls, const struct env_addr *addr,
                           const struct rpc_peer_info *me, const struct rpc_server_handler *handler,
                           void *ctx, struct rpc_server **ret_server, struct env_addr *ret_bound);

/* Closes the listener and every connection. No handler is called any more, also not peer_down; every rpc_conn
 * is invalid at once. */
void rpc_server_close(struct rpc_server *server);

/* Answers the request with that correlation. ERR_CLOSED when the connection is ending, ERR_TOO_LARGE,
 * ERR_NOMEM; ERR_FULL when the peer does not read its replies: the connection is closed then. */
enum err rpc_reply(struct rpc_conn *conn, uint16_t type, uint32_t correlation, struct iobuf *payload);

/* One-way to the client at the other end (its message()). Errors as rpc_reply(). */
enum err rpc_send(struct rpc_conn *conn, uint16_t type, struct iobuf *payload);

/* Ends the connection after what is queued is flushed as far as possible; peer_down(OK) follows from the
 * loop. */
void rpc_conn_close(struct rpc_conn *conn);

/* The client's hello and where it comes from; valid as long as conn is. */
const struct rpc_peer_info *rpc_conn_peer(const struct rpc_conn *conn);
const struct env_addr *rpc_conn_addr(const struct rpc_conn *conn);

/* A pointer of the owner's, NULL at first. */
void rpc_conn_set_user(struct rpc_conn *conn, void *user);
void *rpc_conn_user(const struct rpc_conn *conn);

/* -- client -- */

/* One lasting outgoing connection: reconnects with exponential back-off (20 ms to 500 ms, half of it random;
 * 5 s after a mismatch), pings a silent peer every second and gives the connection up after 3 s without a
 * frame. */
struct rpc_client;

struct rpc_client_handler {
    /* The hello was answered and fits. info is valid until down. May be NULL. */
    void (*up)(void *ctx, struct rpc_client *client, const struct rpc_peer_info *info);
    /* The connection that was up is lost; calls on it complete just before. Reconnecting goes on. May be
     * NULL. */
    void (*down)(void *ctx, struct rpc_client *client, enum err why);
    /* A one-way frame from the server. May be NULL. */
    void (*message)(void *ctx, struct rpc_client *client, uint16_t type, const uint8_t *payload, size_t len);
    /* An attempt to connect failed: ERR_REFUSED, ERR_RESOLVE, ERR_TIMED_OUT, ERR_VERSION, ERR_MISMATCH (it
     * belongs to another cluster), ERR_UNTRUSTED, ERR_IDENTITY, ERR_REJECTED (it refuses our certificate) ...
     * May be NULL. */
    void (*error)(void *ctx, struct rpc_client *client, enum err why);
};

/* Starts connecting. me and tls as in rpc_server_listen; with TLS the server must prove to be the controller
 * that its hello names. NULL when memory is out. */
struct rpc_client *rpc_client_new(struct env *env, struct tls_loop *tls, const struct env_addr *addr,
                                  const struct rpc_peer_info *me, const struct rpc_client_handler *handler,
                                  void *ctx);

/* A different address drops the present connection (down follows) and connects anew at once. */
void rpc_client_set_addr(struct rpc_client *client, const struct env_addr *addr);
const struct env_addr *rpc_client_addr(const struct rpc_client *client);

/* True between up and down: calls and messages are sent. */
bool rpc_client_is_up(const struct rpc_client *client);

/* The peer's hello while up, else NULL. */
const struct rpc_peer_info *rpc_client_peer(const struct rpc_client *client);

/* One-way. ERR_CLOSED when not up, ERR_FULL when the peer does not read (the frame is dropped, the connection
 * stays), ERR_TOO_LARGE, ERR_NOMEM. */
enum err rpc_client_send(struct rpc_client *client, uint16_t type, struct iobuf *payload);

/* One request, in the caller's memory until done. */
struct rpc_call {
    /* Once, from the loop. OK: the reply. Otherwise reply_type and len are 0:
     *  nothing was sent: ERR_CLOSED (not up), ERR_FULL, ERR_TOO_LARGE, ERR_NOMEM;
     *  it may have happened: ERR_TIMED_OUT, ERR_UNKNOWN_OUTCOME (connection lost), ERR_CANCELED (client
     * closed). */
    void (*done)(struct rpc_call *call, enum err err, uint16_t reply_type, const uint8_t *payload,
                 size_t len);
    /* private */
    struct rpc_client *client;
    struct env_timer timer;
    struct list link; /* in the list of calls that end without a reply */
    uint32_t correlation;
    enum err err;
    bool waiting;
};

/* done is set by the caller. timeout_us counts from now. */
void rpc_client_call(struct rpc_client *client, uint16_t type, struct iobuf *payload, uint64_t timeout_us,
                     struct rpc_call *call);

/* Forgets the call: done will not be called, the memory is the caller's again. No-op when it is not waiting;
 * call must be zeroed or used before. */
void rpc_call_cancel(struct rpc_call *call);

/* Ends the connection. The handler is not called any more; calls that wait are done with ERR_CANCELED from
 * the loop, then the memory goes. */
void rpc_client_close(struct rpc_client *client);

#endif
