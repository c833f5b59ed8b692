/* SPDX-License-Identifier: Apache-2.0 */
/* One client (or follower) connection: frames in, replies out in order, requests pipelined in between.
 *
 * Bounds (DESIGN, Bounds; fault catalogue X3-X5):
 *  C1 A frame's memory is taken from the budget before its body is read; without budget the connection waits
 *     in the shard's admission queue, not reading. Large requests leave a quarter to small ones, which pass
 *     them.
 *  C2 What is allocated for a frame is at most FRAME_FIRST_BYTES or four times what has arrived, whichever is
 *     more.
 *  C3 Before authentication only small ApiVersions and SASL frames are taken.
 *  C4 At most CONNECTION_REQUESTS_MAX requests in flight, at most OUTPUT_CAP_BYTES queued: beyond either,
 *     reading stops.
 *  C5 A frame that has begun must be complete within socket.request.timeout.ms; a peer that takes nothing for
 *     socket.stall.timeout.ms while output waits is closed, and so is one that asks nothing for
 *     connections.max.idle.ms.
 *  C6 Nothing is read before the shard has metadata: from none, every topic would be unknown, and clients
 * forget a topic that they are told is unknown.
 */
#ifndef SLUICE_BROKER_SHARD_CONNECTION_H
#define SLUICE_BROKER_SHARD_CONNECTION_H

#include "broker/shard/shard.h"

struct request;

#define CONNECTION_REQUESTS_MAX 1024
#define FRAME_FIRST_BYTES       (64 * 1024)
#define FRAME_BYTES_MIN         8 /* key, version, correlation id */
#define PRE_AUTH_FRAME_BYTES    (16 * 1024)
#define OUTPUT_CAP_BYTES        (4 * 1024 * 1024)
#define PRINCIPAL_MAX           TLS_PRINCIPAL_MAX

struct connection {
    struct shard *shard;
    struct env_conn *conn;
    const struct listener_info *listener;
    struct list link;           /* shard->connections */
    struct list admission_link; /* shard->admission_queue while waiting for the budget */
    struct list requests;       /* in flight, oldest first */
    uint32_t requests_count;
    bool authenticated;
    bool identified; /* principal is what it stays */
    bool closing;    /* env_conn_close() was called */
    bool closed;     /* closed() has come; only requests in flight keep this object */
    bool flushing;
    bool feeding; /* received bytes are being looked at: nobody else may */
    bool paused;
    uint8_t head[4 + 4]; /* size, api key, version */
    uint8_t head_len;
    uint32_t frame_size; /* of the frame being received, 0: none */
    size_t frame_admitted;
    struct iobuf *frame; /* what has come of it */
    struct iobuf *stash; /* bytes received but not yet looked at (while admission waits) */
    size_t stash_off;
    size_t reply_bytes;    /* charged for queued output */
    uint64_t output_bytes; /* ever queued */
    uint64_t sent_last;    /* taken by the kernel up to the last stall check */
    struct env_timer frame_timer, stall_timer, idle_timer;
    uint64_t request_us;           /* when the last request came */
    char principal[PRINCIPAL_MAX]; /* "User:ANONYMOUS", or what the client's certificate says */
    bool asked_metadata;           /* who asks again has a reason, see handlers/metadata.c */
    char peer[ENV_HOST_MAX / 4];
};

/* Takes over a connection just accepted on listener. */
void connection_accept(struct shard *shard, const struct listener_info *listener, struct env_conn *conn,
                       const struct env_addr *peer);

/* Sends the replies of settled requests from the head of the FIFO. Called by request.c. */
void connection_flush(struct connection *c);

/* Settles requests that wait for something to happen (request.hurry) with what there is. */
void connection_hurry(struct connection *c);

/* The shard has its first metadata: connections that came before are read now. */
void connection_serve_all(struct shard *shard);

/* Closes; why goes to the log (rate-limited) unless NULL. Requests in flight are told. */
void connection_close(struct connection *c, const char *why);

/* The budget gave memory back: tries the connections that wait, oldest first. */
void connection_admit_waiting(struct shard *shard);

#endif
