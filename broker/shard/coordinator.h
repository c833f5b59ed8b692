/* SPDX-License-Identifier: Apache-2.0 */
/* A coordinator lives with its partition of an internal topic, on the partition's shard: from the moment this
 * broker leads it until it resigns. This is what groups and transactions share: loading the log, appending
 * what the core writes (one batch per turn), telling it what is committed, its clock.
 *
 * It answers only from what is committed: loading waits until the high watermark has passed the log end that
 * the new leader found, and a write counts when the high watermark passes it (internal topics always sync).
 */
#ifndef SLUICE_BROKER_SHARD_COORDINATOR_H
#define SLUICE_BROKER_SHARD_COORDINATOR_H

#include "broker/core/coordinator_write.h"
#include "broker/shard/shard.h"

struct coordinator;

/* A pure core, as the runtime drives it. core: what open() made. Every function runs on the shard. */
struct coordinator_type {
    const char *topic;
    /* NULL: out of memory. leader_epoch: of the partition, for as long as this coordinator lives. */
    void *(*open)(struct shard *shard, struct coordinator *c, int32_t leader_epoch);
    /* Loading: one record and the batch that it stands in (its producer, whether it is a control batch). */
    enum err (*replay)(void *core, const uint8_t *batch, const struct record *record);
    void (*loaded)(void *core);
    void (*set_time)(void *core, uint64_t now_us, int64_t wall_ms);
    void (*tick)(void *core);
    uint64_t (*deadline)(const void *core);
    bool (*take_write)(void *core, struct coordinator_write *ret);
    void (*committed)(void *core, uint64_t seq);
    void (*failed)(void *core, uint64_t first, uint64_t last, int16_t error);
    /* A marker is committed that ends the producer's transaction in this log. NULL: nobody cares. */
    void (*marked)(void *core, int64_t producer_id, bool commit);
    /* A topic was deleted. NULL: nobody cares. */
    void (*topic_gone)(void *core, struct str topic);
    /* Hands answered calls to whoever asked. */
    void (*deliver)(void *core);
    /* Settles and delivers all that waits, frees the core. */
    void (*close)(void *core);
};

/* The core of a partition, its clock set, to be given an event; coordinator_touched() must follow. NULL with
 * *ret_error: NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS. */
void *coordinator_enter(struct coordinator *c, int16_t *ret_error);

/* The core was given an event: its effects are carried out at the end of the turn. */
void coordinator_touched(struct coordinator *c);

/* The coordinator on this shard, or NULL: not the leader. */
struct coordinator *coordinator_find(struct shard *shard, struct uuid topic_id, int32_t index);

/* A marker on its way into a coordinator's log. done comes once, never from inside coordinator_mark(). */
struct coordinator_marker {
    struct partition_marker marker;
    void (*done)(struct coordinator_marker *marker, int16_t error);
};

/* Appends the marker behind all that the core has handed over, and tells the core when it is committed. The
 * caller's memory until done. False: *ret_error is the answer at once. */
bool coordinator_mark(struct coordinator *c, struct coordinator_marker *marker, int32_t timeout_ms,
                      int16_t *ret_error);

/* For figures: the core when it is loaded, else NULL. */
void *coordinator_core(struct coordinator *c, const struct coordinator_type *type);

/* A route's partition may have begun or ceased to lead, or its log may have failed. */
void coordinator_route_changed(struct shard *shard, struct route *route);

/* A topic was deleted; the route's coordinator, if it has one that is loaded, is told. */
void coordinator_topic_gone(struct route *route, struct str topic);

/* The route's partition is about to close. */
void coordinator_route_closing(struct route *route);

#endif
