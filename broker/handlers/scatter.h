/* SPDX-License-Identifier: Apache-2.0 */
/* A request whose partitions may live on several shards: each partition's part runs on the shard that owns
 * it, and the request finishes at home when all are settled. Parts of one foreign shard travel together, in
 * the order of the request.
 *
 * A part is touched only by the shard that holds it; the scatter only by the request's home shard. */
#ifndef SLUICE_BROKER_HANDLERS_SCATTER_H
#define SLUICE_BROKER_HANDLERS_SCATTER_H

#include "broker/handlers/topic_lookup.h"
#include "broker/shard/request.h"

struct scatter;
struct scatter_hop;

/* Embedded in the handler's own part (arena memory). */
struct scatter_part {
    struct scatter *scatter;
    struct scatter_hop *hop; /* NULL: the home shard's own */
    struct scatter_part *next;
    struct uuid topic_id;
    int32_t index;
};

struct scatter_list {
    struct scatter_part *first, *last;
};

/* Embedded in the handler's operation (arena memory). */
struct scatter {
    struct request *rq;
    /* On the owner: does the work; p is NULL when the replica is not (or no longer) here. True: not settled
     * yet, scatter_part_done() follows. */
    bool (*run)(struct shard *owner, struct scatter_part *part, struct partition *p);
    /* At home, once, when every part is settled. The scatter is not touched after it. */
    void (*finish)(struct scatter *scatter);
    /* On the owner: settles a part that waits, now, with an error; others are left alone. NULL: parts settle
     * by themselves soon enough. */
    void (*cancel)(struct scatter_part *part);
    struct scatter_hop *hops;
    struct scatter_list own;
    uint32_t waiting;
};

/* Ready for scatter_add(): no parts yet. */
void scatter_init(struct scatter *scatter, struct request *rq,
                  bool (*run)(struct shard *owner, struct scatter_part *part, struct partition *p),
                  void (*finish)(struct scatter *scatter));

/* Adds a part for a place that partition_place_find() gave. False when the request's memory is used up. */
bool scatter_add(struct scatter *scatter, struct scatter_part *part, const struct partition_place *place);

/* Sends the parts out and runs the home shard's own; finish() may come from inside this call. */
void scatter_run(struct scatter *scatter);

/* At home, after scatter_run(): nobody waits for the answer any more. Cancels what waits; at most once. */
void scatter_abandon(struct scatter *scatter);

/* On the owner: a part whose run() returned true is settled. */
void scatter_part_done(struct scatter_part *part);

#endif
