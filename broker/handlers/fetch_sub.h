/* SPDX-License-Identifier: Apache-2.0 */
/* The part of one Fetch that concerns one shard: the shard reads its partitions, and when that is not enough
 * watches them. Private to fetch*.c.
 *
 * A sub is held either by the fetch's home shard or by its owner shard; it changes hands by mail (by a direct
 * call when both are the same shard). The home sends it out with a task and gets it back exactly once. While
 * it is out to watch, the home may send `cancel` after it, which comes back too. */
#ifndef SLUICE_BROKER_HANDLERS_FETCH_SUB_H
#define SLUICE_BROKER_HANDLERS_FETCH_SUB_H

#include "broker/shard/shard.h"
#include "proto/kafka/messages.h"

struct fetch_op;
struct fetch_sub;

struct fetch_part {
    struct partition_watch watch;
    struct fetch_sub *sub;
    struct fetch_part *next; /* of the same sub, in the request's order */
    struct uuid topic_id;
    struct partition_read read;
    struct partition_read_result result;
    int64_t durable_offset, log_start; /* of a follower */
    bool throttled;                    /* nothing of it was read although there is something */
    struct kafka_fetch_response_partition *out;
};

enum fetch_task {
    FETCH_READ,  /* read what is there */
    FETCH_WATCH, /* come back when something changed */
    FETCH_AWAIT, /* both: come back with what was read as soon as there is anything to say; one piece of mail
                    there and one back, where READ, WATCH and READ again take three each */
};

struct fetch_sub {
    struct env_msg msg;
    struct env_msg cancel;
    struct env_task wake; /* on the owner: one return per turn, however many watches fired */
    struct fetch_op *op;
    struct shard *home, *owner;
    struct fetch_part *parts, *last;
    struct fetch_sub *next;
    enum fetch_task task;
    /* Set by the home before READ: */
    int32_t max_bytes;
    bool at_least_one;
    bool follower;
    bool report;     /* of a follower: where it is, nothing is read */
    bool first_read; /* the follower's position is told to the partition once per request */
    int32_t replica_id;
    int64_t replica_epoch;
    int32_t ranges_max; /* of each partition: pieces that may be ranges of files */
    /* Result of READ, or of AWAIT: */
    int32_t bytes;
    bool answer_now; /* an error, a divergence: waiting would not help */
    bool fresh;      /* AWAIT has read; the home takes it back */
    /* Owner's: */
    bool watching;
    bool called;           /* back, by a cancel: AWAIT does not watch any more */
    struct fetch_part *at; /* READ goes on with it; its data is being read from the disk while cold is set */
    struct iobuf *cold;    /* charged to the memory budget; a READ that finds no room waits for it */
    struct env_timer room;
    uint32_t busy_asks; /* how often an index was waited for */
    struct env_io io;
    /* Home's: */
    bool out; /* the owner holds it */
    bool cancel_out;
    /* Called on the home shard when the sub (or its cancel) is back. */
    void (*back)(struct fetch_sub *sub);
};

/* Hands the sub to its owner. */
void fetch_sub_send(struct fetch_sub *sub, enum fetch_task task);

/* Asks a watching sub back; no-op when it is not out or the question is under way. */
void fetch_sub_cancel(struct fetch_sub *sub);

/* Drops what a READ holds (pieces). Home only, sub not out. Ranges of files are not referenced by the reply's
 * writer: they are to be held until it has been sent. */
void fetch_sub_release(struct fetch_sub *sub);

#endif
