/* SPDX-License-Identifier: Apache-2.0 */
/* The control loop of a broker: a thread that talks to the controllers (registration, heartbeats, metadata
 * tail, forwarded requests) and never touches the data disk, so that a slow disk is not taken for death
 * (DESIGN, Metadata). Shards talk to it by the calls below, from their own threads; answers come back on the
 * calling shard's loop (E2). It mails every new image to all shards (shard_image.h).
 */
#ifndef SLUICE_BROKER_SHARD_CONTROL_H
#define SLUICE_BROKER_SHARD_CONTROL_H

#include "broker/shard/broker.h"
#include "common/rpc/rpc.h"
#include "proto/cluster/rpc_messages.h"

struct control;
struct image;
struct partition;

struct control_options {
    struct uuid cluster_id; /* zero: not known yet */
    struct uuid directory_id;
    bool clean_start, synced_kept; /* see rpc_register_broker_request */
    int64_t previous_broker_epoch;
    void *ctx;
    /* All on the loop that called control_start(): */
    void (*cluster_known)(void *ctx,
                          struct uuid cluster_id); /* first answer of a controller: to be written down */
    void (*rejected)(void *ctx, int16_t error);    /* the controllers refuse this broker for good */
    void (*may_stop)(void *ctx); /* after control_begin_shutdown(): leadership has moved, or the time is up */
    void (*ready)(void *ctx, bool ready); /* unfenced, or fenced again */
};

/* Starts the loop (env_spawn). The broker's shards must run and listen. NULL: out of memory or threads. */
struct control *control_start(struct env *parent, struct broker_shared *broker,
                              const struct control_options *options);

/* Asks for a controlled shutdown: leadership is handed over first; options.may_stop follows. */
void control_begin_shutdown(struct control *control);

/* Ends the loop; calls under way are answered. done runs on the parent's loop when the control loop no longer
 * touches anything but its memory; control_free() may follow once the loop's thread has ended (with the env
 * of the process). */
void control_stop(struct control *control, struct env_msg *done);
void control_free(struct control *control);

/* Asks for the image that the shards were told last, from the loop that called control_start(). done comes
 * there, with a reference that is the caller's, or with NULL when the control loop is ending (then perhaps
 * never). Caller's memory.
 */
struct control_image_ask {
    struct env_msg msg;
    struct control *control;
    struct image *image;
    void (*done)(struct control_image_ask *ask);
};
void control_ask_image(struct control *control, struct control_image_ask *ask);

/* One question from a shard. The caller's memory until done. */
struct control_call {
    struct env_msg msg;
    struct list link;    /* the control loop's own */
    struct rpc_call rpc; /* the control loop's own */
    struct control *control;
    bool sent;
    uint64_t sent_us;
    unsigned link_index;
    struct shard *shard;   /* set by control_call_start */
    uint16_t type;         /* enum cluster_rpc: ADMIN, ALTER_PARTITION or PRODUCER_IDS */
    struct iobuf *payload; /* encoded request; the call's own reference, dropped when it is over */
    uint64_t deadline_us;  /* after it: error REQUEST_TIMED_OUT */
    /* The answer: error is of the transport (KAFKA_NONE, REQUEST_TIMED_OUT, ...); reply holds the encoded
     * reply (one reference, unref'd by the caller) or is NULL. Retries after a change of controller are done
     * by the control loop for ALTER_PARTITION and PRODUCER_IDS, which are safe to repeat; an ADMIN request
     * that was sent and not answered is not repeated. */
    int16_t error;
    struct iobuf *reply;
    void (*done)(struct control_call *call);
};

/* From the shard's thread. done follows exactly once on that shard's loop. */
void control_call_start(struct control *control, struct shard *shard, struct control_call *call);

/* From a shard's thread: this shard has applied the image of that index (heartbeats report the lowest), with
 * failed_partitions of its partitions offline. */
void control_shard_applied(struct control *control, unsigned shard, uint64_t index,
                           uint32_t failed_partitions);

#endif
