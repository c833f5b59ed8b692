/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of the cluster protocol between controllers, brokers and tools, on env connections; payloads are opaque here (proto/cluster).
 *
 * Wire, big-endian: magic u32 "SLUC", type u16, correlation u32, payload length u32, payload. The first frame of either side is its hello (type 0). Correlation 0
 * marks a one-way message. Everything runs on one loop.
 */
#ifndef SLUICE_RPC_RPC_H
#define SLUICE_RPC_RPC_H

#include "common/base/types.h"
#include "common/env/env.h"

#define RPC_MAGIC              0x534C5543u
#define RPC_VERSION            1
#define RPC_HEAD_BYTES         14
#define RPC_PAYLOAD_BYTES_MAX  (16u * 1024 * 1024)
#define RPC_HELLO_BYTES_MAX    256
#define RPC_HELLO_TIMEOUT_US   (5 * 1000000ull)
#define RPC_OUTPUT_CAP_BYTES   (64u * 1024 * 1024) /* a peer that lets more pile up is closed */

enum rpc_role { RPC_CONTROLLER = 1, RPC_BROKER = 2, RPC_TOOL = 3 };

/* What a side says of itself in its hello. */
struct rpc_identity {
    int32_t node_id;
    uint8_t role;             /* enum rpc_role */
    struct uuid cluster_id;   /* zero: not known yet; two known ones must be equal */
    uint64_t incarnation;     /* random per process start */
};

/* -- serving --------------------------------------------------------------------------------------------------------------------- */

struct rpc_server;
struct rpc_conn; /* an accepted peer, from peer_up to peer_down */

struct rpc_server_handler {
    void (*peer_up)(void *ctx, struct rpc_conn *conn, const struct rpc_identity *peer);
    /* payload is valid during the call. correlation 0: one way, no reply. */
    void (*request)(void *ctx, struct rpc_conn *conn, uint16_t type, uint32_t correlation, const uint8_t *payload, size_t len);
    void (*peer_down)(void *ctx, struct rpc_conn *conn, enum err why); /* only after peer_up; conn is gone afterwards */
};

/* self stays the caller's and is read at each hello (its cluster id may become known later). */
enum err rpc_server_listen(struct env *env, const struct env_addr *addr, const struct rpc_identity *self, const struct rpc_server_handler *handler,
                           void *ctx, struct rpc_server **ret_server, struct env_addr *ret_bound);
/* Closes the listener and all peers (peer_down for each, E2); freed when the last one is gone. */
void rpc_server_close(struct rpc_server *server);

/* Sends a reply or (correlation 0) a one-way message; takes its own reference on payload (may be NULL: empty). */
void rpc_conn_send(struct rpc_conn *conn, uint16_t type, uint32_t correlation, struct iobuf *payload);
const struct rpc_identity *rpc_conn_peer(const struct rpc_conn *conn);
const char *rpc_conn_address(const struct rpc_conn *conn); /* "host:port" */
void rpc_conn_close(struct rpc_conn *conn);
/* For the owner's use. */
void rpc_conn_set_data(struct rpc_conn *conn, void *data);
void *rpc_conn_data(const struct rpc_conn *conn);

/* -- calling --------------------------------------------------------------------------------------------------------------------- */

struct rpc_client; /* one lasting connection to one address, made anew with back-off (20 ms to 500 ms, jittered) when it breaks */

struct rpc_client_handler {
    void (*up)(void *ctx, const struct rpc_identity *peer);
    void (*down)(void *ctx, enum err why);  /* after up, or when an attempt failed; ERR_MISMATCH: another cluster */
    /* A one-way message from the peer; may be NULL. */
    void (*message)(void *ctx, uint16_t type, const uint8_t *payload, size_t len);
};

/* One call: caller's memory until done, which comes exactly once (E2): OK with the reply (valid during the call), ERR_TIMED_OUT, ERR_CLOSED (sent, the connection broke: outcome unknown),
 * ERR_UNREACHABLE (never sent), ERR_CANCELED (client closed). */
struct rpc_call {
    void (*done)(struct rpc_call *call, enum err err, uint16_t type, const uint8_t *payload, size_t len);
    struct list link;          /* private from here */
    struct env_timer timer;
    struct rpc_client *client;
    uint32_t correlation;
};

/* NULL: out of memory. Connects at once. */
struct rpc_client *rpc_client_new(struct env *env, const struct env_addr *addr, const struct rpc_identity *self, const struct rpc_client_handler *handler,
                                  void *ctx);
void rpc_client_close(struct rpc_client *client); /* no callbacks but pending calls' done(ERR_CANCELED); frees itself */

/* Sends when the client is up, else done(ERR_UNREACHABLE) follows. Takes its own reference on payload. */
void rpc_client_call(struct rpc_client *client, uint16_t type, struct iobuf *payload, uint64_t timeout_us, struct rpc_call *call);
void rpc_client_cancel(struct rpc_call *call); /* done will not be called; no-op when it has been */

/* One-way; dropped when the client is not up. */
void rpc_client_send(struct rpc_client *client, uint16_t type, struct iobuf *payload);
bool rpc_client_is_up(const struct rpc_client *client);
/* Another address from the next attempt on; breaks the present connection when it differs. */
void rpc_client_set_address(struct rpc_client *client, const struct env_addr *addr);

#endif
