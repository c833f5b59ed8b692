/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the replica fetchers: the connection to one leader and the partitions followed over it. Private
 * to broker/shard/fetcher*.c. */
#ifndef SLUICE_BROKER_SHARD_FETCHER_LINK_H
#define SLUICE_BROKER_SHARD_FETCHER_LINK_H

#include "broker/shard/fetcher.h"
#include "common/base/arena.h"
#include "common/base/assert.h"
#include "common/base/frame_in.h"
#include "common/base/wire.h"

#define LINK_INFLIGHT_MAX                                                                                    \
    32 /* fetches on the wire: one that reads, the rest reports; the leader hurries the first when many wait \
          behind it */
/* The slots are a ring. */
STATIC_ASSERT((LINK_INFLIGHT_MAX & (LINK_INFLIGHT_MAX - 1)) == 0, "a ring of slots");

/* A partition of this shard, as far as fetching goes. */
struct follow {
    struct list link;  /* leader_link->follows, while it follows somebody */
    struct list moved; /* leader_link->moved: something is to be told or read */
    struct partition *partition;
    struct leader_link *to;
    int32_t leader_epoch;
    int64_t told_durable; /* the leader was told last */
    uint64_t retry_at_us; /* 0: now */
    bool reading;         /* part of the fetch on the wire */
    int32_t reading_epoch;
};

/* A fetch on the wire. */
struct inflight {
    int32_t correlation_id;
    bool report;
};

struct leader_link {
    struct replica_fetchers *fetchers;
    struct list link; /* fetchers->links */
    int32_t broker_id;
    struct list follows;
    struct list moved;     /* of struct follow: those that a look beside the fetch that reads has to see, also
                              all that wait for their retry_at_us. There may be tens of thousands of others. */
    struct env_conn *conn; /* NULL: none */
    bool connected;
    bool closing;
    bool lost; /* noted in broker->losses, and not heard of since */
    struct frame_in in;
    size_t charged; /* to the memory budget, for what in holds */
    bool scarce;    /* the budget had no room for a reply: little is asked until it has */
    struct writer out;
    struct arena arena; /* of one request or reply */
    uint8_t scratch[8192] __attribute__((aligned(16)));
    struct inflight inflight[LINK_INFLIGHT_MAX];
    uint32_t inflight_first, inflight_count;
    bool reading;  /* a fetch that reads is on the wire */
    bool left_out; /* and does not have a partition that could be read */
    bool hurried;  /* and the leader was asked to answer it at once because of that */
    int32_t next_correlation;
    uint32_t failures; /* in a row, for the back-off */
    struct env_timer reconnect;
    struct env_timer answer; /* armed while fetches are on the wire: one must be answered before it is due */
    struct env_timer retry;  /* the earliest follow->retry_at_us */
    struct env_task send;    /* once a turn */
};

struct replica_fetchers {
    struct shard *shard;
    struct list links;
    struct map follows; /* by the partition's address */
    bool closing;
    uint32_t connections; /* whose closed() has not come */
};

/* Starts connecting to the leader's replication listener, if the image knows it; else tries again later. */
void link_connect(struct leader_link *link);

/* An answer is due: anew after each one, never when nothing is on the wire. */
void link_await_answer(struct leader_link *link);

/* Asks for a look at what is to be sent, at the end of the turn. */
void link_send_soon(struct leader_link *link);

/* Encodes and queues what is to be sent: the next read, or a report of durable offsets (fetcher_send.c). */
void link_send(struct leader_link *link);

/* One reply (fetcher_reply.c). False: the stream is broken. */
bool link_reply(struct leader_link *link, const uint8_t *p, uint32_t len, struct iobuf *owner);

/* Whether the topic's settings name this replica for the followers' throttle. */
bool follow_is_throttled(const struct shard *shard, const struct follow *follow);

/* The follow of a partition, or NULL. */
struct follow *fetchers_follow(struct replica_fetchers *fetchers, const struct partition *p);

/* The next look at what is to be sent has to see this one, which follows over link. */
void follow_touch(struct follow *follow);

/* Leaves the partition out of fetches for delay_us. */
void follow_back_off(struct follow *follow, uint64_t delay_us);

#endif
