/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to brokers, and requests on them. Inside of the core. */
#ifndef SLUICE_CLIENT_CORE_PEER_H
#define SLUICE_CLIENT_CORE_PEER_H

#include "client/core/config.h"
#include "common/base/arena.h"
#include "common/base/iobuf.h"
#include "common/base/list.h"
#include "proto/kafka/messages.h"

#define CLIENT_KEYS_MAX 96 /* API keys below this are known to proto/kafka */

struct client;
struct client_peer;
struct client_call_state;

/* How an attempt ended. OK: message is the decoded answer, valid during done() with everything it points to.
 * ERR_UNREACHABLE and ERR_VERSION: nothing was sent. ERR_CLOSED, ERR_TIMED_OUT, ERR_MALFORMED: the outcome is
 * unknown. */
struct client_answer {
    enum err err;
    int16_t version;
    const void *message;
    struct iobuf *owner; /* of the bytes behind message */
    const uint8_t *body; /* undecoded */
    size_t body_len;
};

/* One request to one broker: caller's memory from client_peer_queue() or client_peer_send() until done(). */
struct client_call_state {
    struct list link;
    int16_t api_key;
    int16_t version_min, version_max; /* what the caller understands */
    bool no_answer;                   /* acks 0 */
    uint64_t timeout_us;              /* from being sent */
    /* The message in that version; it may use the arena, and is encoded at once. NULL: out of memory. */
    const void *(*build)(struct client *client, struct client_call_state *call, int16_t version,
                         struct arena *arena);
    void (*done)(struct client *client, struct client_call_state *call, const struct client_answer *answer);
    /* private from here */
    int32_t correlation;
    int16_t version;
    uint64_t sent_us;
};

enum client_peer_state { CLIENT_PEER_IDLE, CLIENT_PEER_CONNECTING, CLIENT_PEER_GREETING, CLIENT_PEER_READY };

/* Fetches wait long, so they have a connection of their own. */
enum client_peer_role { CLIENT_PEER_COMMON, CLIENT_PEER_FETCH };

struct client_peer {
    struct list link; /* in client->peers */
    int32_t node;     /* below -1: bootstrap address -2-node */
    enum client_peer_role role;
    enum client_peer_state state;
    struct client_address address;
    uint64_t conn;        /* 0: none */
    uint64_t deadline_us; /* of connecting and greeting */
    uint32_t failures;
    uint64_t retry_at_us; /* no attempt to connect before */
    bool wanted;          /* connect even when no call waits */
    struct list waiting;  /* calls to be sent once it is ready */
    struct list sent;     /* in order */
    uint32_t sent_count;
    int32_t next_correlation;
    struct client_call_state hello;
    int16_t hello_version;
    int16_t version_min[CLIENT_KEYS_MAX], version_max[CLIENT_KEYS_MAX]; /* max -1: unknown to the broker */
};

/* The peer of a broker, made when missing. NULL: memory is out, or the broker is not known, for which the
 * metadata are asked for again. */
struct client_peer *client_peer_of(struct client *client, int32_t node, enum client_peer_role role);

/* The peer that is likely to answer first. NULL only when memory is out. */
struct client_peer *client_peer_any(struct client *client);

/* Makes the peers of the bootstrap addresses. False: memory is out. */
bool client_peers_init(struct client *client);
void client_peers_free(struct client *client);

/* Sends the call when the peer is ready; done() comes in any case, from another event or turn. */
void client_peer_queue(struct client *client, struct client_peer *peer, struct client_call_state *call);

/* Sends at once on a ready peer. False: it could not be encoded or the version is missing; done() was called
 * with the reason. */
bool client_peer_send(struct client *client, struct client_peer *peer, struct client_call_state *call);

/* The newest version of the API that we and a ready peer know within the limits, or -1. */
int16_t client_peer_version(const struct client_peer *peer, int16_t api_key, int16_t min, int16_t max);

/* Asks for a connection; true when it is ready. */
bool client_peer_ready(struct client *client, struct client_peer *peer);

/* Drops the connection; all its calls are done() with why. */
void client_peer_drop(struct client *client, struct client_peer *peer, enum err why);

/* The broker has another address, or is gone from the cluster. */
void client_peers_moved(struct client *client);

/* Time-outs; then connects and sends what waits. */
void client_peers_timeouts(struct client *client);
void client_peers_flush(struct client *client);

#endif
