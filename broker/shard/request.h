/* SPDX-License-Identifier: Apache-2.0 */
/* One request in flight. It lives from the moment its frame is complete until its reply was queued (or
 * dropped); the connection may be gone earlier.
 *
 * Ownership: the connection's FIFO links it, the handler drives it. A handler calls exactly one of
 * request_reply_end(), request_drop() and request_refuse(), once, now or later, on the connection's shard.
 * After that the request is no longer its.
 */
#ifndef SLUICE_BROKER_SHARD_REQUEST_H
#define SLUICE_BROKER_SHARD_REQUEST_H

#include "broker/shard/shard.h"
#include "common/base/arena.h"
#include "common/base/wire.h"
#include "proto/kafka/api.h"

struct connection;
struct handler;

#define REQUEST_SCRATCH_BYTES (16 * 1024) /* a few dozen partitions without a malloc */

struct request {
    struct list link; /* connection->requests, oldest first */
    struct request *next_free;
    struct shard *shard;
    struct connection *conn;
    const struct handler *handler;
    struct iobuf *frame; /* the whole request, after its size field; never NULL */
    struct kafka_request_header header;
    struct reader body;
    struct writer reply;
    struct arena arena;
    size_t admitted_bytes; /* taken from the budget, given back with the request */
    uint64_t started_us;
    bool settled; /* the handler is done */
    bool silent;  /* settled without a reply (acks=0) */
    /* Set by a handler whose request waits: called when the connection is gone and nobody will read the
     * reply. It should settle soon. May be NULL. */
    void (*abandoned)(struct request *rq);
    /* Set by a waiting fetch of a follower: settle now with what is there (connection_hurry). May be NULL. */
    void (*hurry)(struct request *rq);
    /* Set by a handler whose reply refers to what it holds: called when the reply was queued or dropped,
     * before the arena goes. May be NULL. */
    void (*release)(struct request *rq);
    void *op; /* the handler's own state, in the arena */
    uint8_t scratch[REQUEST_SCRATCH_BYTES] __attribute__((aligned(16)));
};

/* A request over a complete frame (one reference, taken over). The header is decoded already. NULL: memory is
 * out (the frame stays the caller's). */
struct request *request_new(struct connection *conn, const struct handler *handler, struct iobuf *frame,
                            const struct kafka_request_header *header, struct reader body,
                            size_t admitted_bytes);

/* Gives it back to the shard's pool with everything it holds. */
void request_free(struct request *rq);

/* The writer, positioned after the response header. */
struct writer *request_reply_begin(struct request *rq);

/* The reply is complete: it leaves when all older requests of the connection have been answered. A writer
 * that failed closes the connection. */
void request_reply_end(struct request *rq);

/* Settled without a reply (Produce with acks=0). */
void request_drop(struct request *rq);

/* The request breaks the protocol (cannot be decoded, not allowed here): the connection closes without a
 * reply, as Kafka does. why: for the log. */
void request_refuse(struct request *rq, const char *why);

#endif
