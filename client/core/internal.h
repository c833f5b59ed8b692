/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the client's core. Every function here runs inside an event or a turn of its client. */
#ifndef SLUICE_CLIENT_CORE_INTERNAL_H
#define SLUICE_CLIENT_CORE_INTERNAL_H

#include "client/core/client.h"
#include "client/core/peer.h"
#include "common/base/arena.h"
#include "common/base/assert.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/prng.h"

#define CLIENT_ARENA_FIRST_BYTES (16 * 1024)
#define CLIENT_ARENA_BYTES_MAX   (64u * 1024 * 1024)
#define CLIENT_REQUEST_BYTES_MAX (100u * 1024 * 1024) /* Kafka's socket.request.max.bytes */

/* Effects of the turn that is being put together, or of the one that was given out. */
struct client_outbox {
    struct client_effect *items;
    uint32_t count, cap;
    struct arena arena; /* what the items point to */
    uint8_t first[CLIENT_ARENA_FIRST_BYTES];
};

/* What is produced to a partition and not yet settled. */
struct client_out {
    struct list active;  /* in client->producing while there are batches */
    struct list batches; /* of struct client_batch, in the order of their records */
    uint32_t in_flight;
    bool reset; /* sequence numbers have a gap: start over with a new epoch once nothing is in flight */
    bool known; /* a batch under this identity is acknowledged: every leader knows it from now on */
    int64_t producer_id; /* of next_sequence; -1: none yet */
    int16_t producer_epoch;
    int32_t next_sequence;
    uint64_t numbered; /* batches so far */
    uint32_t failures;
    uint64_t retry_at_us;
};

enum client_in_state { CLIENT_IN_IDLE, CLIENT_IN_LOOKUP, CLIENT_IN_FETCH };

/* How a partition is consumed. */
struct client_in {
    struct list link; /* in client->consuming unless idle */
    enum client_in_state state;
    struct client_start start;
    int64_t position, moved_from;
    int32_t last_epoch;  /* of the record before position, -1 unknown */
    bool busy;           /* a request is on its way */
    bool stayed;         /* position was out of range, and is asked for once more */
    uint32_t generation; /* of this use: answers to an older one are dropped */
    uint32_t failures;
    uint64_t retry_at_us;
};

struct client_partition {
    struct client_topic *topic;
    int32_t index;
    int32_t leader, leader_epoch; /* -1: none, unknown */
    struct client_out out;
    struct client_in in;
};

enum client_topic_state { CLIENT_TOPIC_ASKED, CLIENT_TOPIC_KNOWN, CLIENT_TOPIC_GIVEN_UP };

struct client_topic {
    struct list link;               /* in client->topics */
    struct client_topic *same_hash; /* next with the same hash of the name */
    struct uuid id;
    enum client_topic_state state;
    uint64_t asked_us;
    int16_t last_error;
    int32_t sticky; /* partition of records without a key, -1: choose one */
    int32_t partitions_count;
    struct client_partition **partitions;
    uint32_t name_len;
    char name[];
};

struct client_node {
    int32_t id;
    struct client_address address;
};

struct client {
    struct client_config config;
    struct core_alloc alloc;
    struct iobuf_pool *pool;
    struct prng prng;
    uint64_t now_us, wake_us;
    struct client_outbox boxes[2], *box; /* box: the one that is being filled */
    struct arena request_arena, reply_arena;
    struct writer writer;

    struct list peers;
    uint64_t next_conn;
    struct client_trouble trouble;
    bool met_broker;

    struct client_node *nodes;
    int32_t nodes_count;
    struct list topics;
    struct map topics_by_hash;
    bool refresh_wanted, refreshing;
    uint32_t refresh_failures;
    uint64_t refreshed_us, refresh_at_us;
    struct client_call_state metadata_call;

    struct list producing;
    uint64_t pending;
    size_t buffered_bytes;
    bool room_wanted, flush;
    int64_t producer_id;
    int16_t producer_epoch;
    bool identifying;
    uint64_t identify_at_us;
    uint32_t identify_failures;
    struct client_call_state identify_call;
    struct compress_ctx *codecs;

    struct list consuming;
    struct list requests; /* of struct client_pending: calls that wait for their next attempt */

    uint8_t request_first[CLIENT_ARENA_FIRST_BYTES], reply_first[CLIENT_ARENA_FIRST_BYTES];
};

/* -- client.c: memory, time, effects -- */

/* Zeroed memory of the client's allocator, and its return. */
void *client_take(struct client *client, size_t size);
void client_give(struct client *client, void *p, size_t size);

/* The next turn is to be at `at_us` or before. */
void client_wake(struct client *client, uint64_t at_us);

/* Backs off exponentially with jitter: counts a failure and returns when to try again. */
uint64_t client_backoff(struct client *client, uint32_t *failures);

/* A new effect of that type, zeroed; NULL when memory is out (the effect is lost: its owner retries). */
struct client_effect *client_effect(struct client *client, enum client_effect_type type);

/* Records of that partition that wait to be told, or are being told in this turn, come from before a move:
 * they are not told any more. */
void client_forget_records(struct client *client, const struct client_topic *topic, int32_t partition);

/* Takes over the time of an event. Time never goes back. */
void client_now(struct client *client, uint64_t now_us);

/* A failure that a broker told, or one of our own. */
static inline struct client_failure client_failure_of(enum err err, int16_t kafka_error)
{
    return (struct client_failure){.err = kafka_error != 0 ? ERR_REJECTED : err, .kafka_error = kafka_error};
}

/* -- metadata.c -- */

/* Asks for fresh metadata as soon as the back-off allows. */
void client_refresh(struct client *client);
void client_metadata_turn(struct client *client);
void client_metadata_free(struct client *client);

/* A broker told in an answer who leads: used at once when the epoch is newer. */
void client_learn_leader(struct client *client, struct client_partition *partition, int32_t leader,
                         int32_t epoch);
void client_learn_node(struct client *client, int32_t id, struct str host, int32_t port);

/* NULL when unknown. */
struct client_topic *client_topic_by_name(const struct client *client, struct str name);
struct client_topic *client_topic_by_id(const struct client *client, struct uuid id);
struct client_partition *client_partition_of(const struct client_topic *topic, int32_t index);
const struct client_node *client_node(const struct client *client, int32_t id);

/* -- producer*.c -- */

struct client_batch {
    struct list link; /* in client_out.batches */
    struct client_partition *partition;
    struct batch_builder builder; /* while data is NULL */
    struct iobuf *data;
    int32_t count;
    uint32_t bytes; /* of the records as taken */
    uint64_t *tags;
    uint32_t tags_cap;
    uint64_t created_us;
    int32_t sequence;           /* -1: none yet */
    uint64_t number;            /* of those of its partition that have a sequence */
    bool closed;                /* takes no more records */
    bool sent;                  /* a request with it is on its way */
    bool in_doubt;              /* an attempt may have written it */
    uint32_t attempts;          /* that failed */
    struct client_failure last; /* of the attempts so far */
};

/* What is due: identity, expiry, requests. Free drops all batches. */
void client_producer_turn(struct client *client);
void client_producer_free(struct client *client);

/* Reports and forgets a batch. base_offset -1 with a failure. */
void client_batch_settle(struct client *client, struct client_batch *batch, struct client_failure failure,
                         int64_t base_offset);

/* Makes the batch ready to be sent: closes and encodes it, gives it its sequence number. */
enum err client_batch_seal(struct client *client, struct client_batch *batch);

/* After an attempt without a decisive answer: it will be sent again. */
void client_batch_retry(struct client *client, struct client_batch *batch, struct client_failure failure,
                        bool in_doubt);

/* Sends as many produce requests to the peer as it takes. */
void client_produce_to(struct client *client, struct client_peer *peer);

/* What one partition of a Produce answer means for its batch (producer_reply.c). */
void client_produce_answer(struct client *client, struct client_batch *batch, int16_t kafka_error,
                           int64_t base_offset);

/* Starts the partition over with a new epoch, if that is wanted and possible now. */
void client_out_reset(struct client *client, struct client_partition *partition);

/* -- consumer*.c -- */

/* Sends the lookups and fetches that are due. */
void client_consumer_turn(struct client *client);

/* Backs off after a failed request about the partition. */
void client_in_retry(struct client *client, struct client_partition *partition);

/* The partition is given up. */
void client_in_fail(struct client *client, struct client_partition *partition, struct client_failure failure);

/* Asks the leader for the offset at which the partition starts (consumer_lookup.c). */
void client_in_lookup(struct client *client, struct client_partition *partition);

/* -- request.c -- */

/* Makes the attempts that are due. Free drops the calls that wait for one. */
void client_requests_turn(struct client *client);
void client_requests_free(struct client *client);

#endif
