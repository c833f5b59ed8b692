/* SPDX-License-Identifier: Apache-2.0 */
/* A Kafka client as a pure state machine: no clock, no I/O, no threads. Events go in as calls that carry the
 * time; client_turn() then gives everything that is to be done. A driver (client/driver.h) executes it on an
 * env; the simulator drives the same code in virtual time.
 *
 * It keeps connections and metadata, produces (idempotent, batched, several requests in flight, ordered
 * retries), consumes by offset, and carries any other request to a broker that answers it. */
#ifndef SLUICE_CLIENT_CORE_CLIENT_H
#define SLUICE_CLIENT_CORE_CLIENT_H

#include "client/core/effect.h"
#include "common/base/alloc.h"
#include "common/batch/builder.h"

#define CLIENT_ANY_PARTITION (-1) /* by the key's hash; without a key sticky */
#define CLIENT_ANY_NODE      (-1)
#define CLIENT_NEVER         UINT64_MAX

struct client;

/* config is copied. pool: where requests and batches come from; it must outlive the client. NULL when memory
 * is out. */
struct client *client_new(const struct client_config *config, const struct core_alloc *alloc,
                          struct iobuf_pool *pool);

/* Drops everything without a word: no effects, no reports. */
void client_free(struct client *client);

/* -- events of the outside; conn is the token of CLIENT_FX_CONNECT, unknown ones are ignored -- */

/* The connection stands. */
void client_opened(struct client *client, uint64_t now_us, uint64_t conn);

/* It is gone or never came up. why: never OK. */
void client_closed(struct client *client, uint64_t now_us, uint64_t conn, enum err why);

/* One whole reply frame without its size. owner keeps the bytes alive and is referenced where they are
 * passed on. */
void client_frame(struct client *client, uint64_t now_us, uint64_t conn, const uint8_t *p, uint32_t len,
                  struct iobuf *owner);

/* Carries on with everything that is due, and returns all effects since the last turn. They and what they
 * point to are valid until the next client_turn(). */
struct client_effects client_turn(struct client *client, uint64_t now_us);

/* When client_turn() has to be called at the latest, without any further event; CLIENT_NEVER: not at all. */
uint64_t client_deadline(const struct client *client);

/* -- topics -- */

/* Takes an interest in a topic: its partitions are looked up and kept up to date. The same name gives the
 * same handle, which lives as long as the client. CLIENT_FX_TOPIC tells when it is known; asking again for
 * one that was given up tries again. NULL when memory is out. */
struct client_topic *client_topic_open(struct client *client, uint64_t now_us, struct str name);

/* The name, terminated by zero. */
const char *client_topic_name(const struct client_topic *topic);

/* Partitions, 0 while unknown. */
int32_t client_topic_partitions(const struct client_topic *topic);

/* The broker that leads a partition as far as we know, -1 when nobody does. */
int32_t client_topic_leader(const struct client_topic *topic, int32_t partition);

/* -- producing -- */

/* Takes one record for a topic whose partitions are known. The memory is copied. tag comes back in
 * CLIENT_FX_DELIVERED. ERR_AGAIN: the topic is not known yet; ERR_FULL: wait for CLIENT_FX_ROOM;
 * ERR_TOO_LARGE; ERR_OUT_OF_RANGE: no such partition; ERR_NOMEM. */
enum err client_produce(struct client *client, uint64_t now_us, struct client_topic *topic, int32_t partition,
                        const struct record_in *record, uint64_t tag);

/* From now on batches do not linger; true: until further notice, false: as configured again. */
void client_produce_flush(struct client *client, bool flush);

/* Records that were taken and whose fate has not been told. */
uint64_t client_produce_pending(const struct client *client);

/* Kafka's default hash of a key (murmur2), and the partition it gives. */
uint32_t client_murmur2(const void *p, size_t len);
int32_t client_key_partition(struct bytes key, int32_t partitions);

/* -- consuming -- */

enum client_from { CLIENT_FROM_OFFSET, CLIENT_FROM_EARLIEST, CLIENT_FROM_LATEST, CLIENT_FROM_TIME };

struct client_start {
    enum client_from from;
    int64_t value; /* offset, or milliseconds since 1970 */
};

/* Starts (or moves) consumption of a partition; no records of before a move come any more. ERR_AGAIN: the
 * topic is not known yet; ERR_OUT_OF_RANGE; ERR_NOMEM. */
enum err client_consume(struct client *client, uint64_t now_us, struct client_topic *topic, int32_t partition,
                        struct client_start start);

/* Ends it. Records of a fetch that is on its way, or not told yet, are dropped. */
void client_consume_stop(struct client *client, struct client_topic *topic, int32_t partition);

/* Walks the records of CLIENT_FX_RECORDS: control batches, aborted ones and what lies before `from` are left
 * out. scratch decompresses; views are valid until the next call. */
struct client_records_iter {
    const struct client_records *of;
    struct reader batches;
    struct batch_iter records;
    struct batch_scratch *scratch;
    int64_t from;
    bool inside;
    enum err err; /* why it ended, OK at the end */
};
struct client_records_iter client_records_begin(const struct client_records *records,
                                                struct batch_scratch *scratch);
/* False at the end or on an error. */
bool client_records_next(struct client_records_iter *it, struct record *ret_record);

/* -- everything else -- */

/* Any request of proto/kafka (DescribeCluster, CreateTopics ...). message is the generated request struct; it
 * and what it points to stay the caller's and unchanged until CLIENT_FX_REPLY. */
struct client_request {
    int16_t api_key;
    int16_t version_max; /* 0: as new as both sides know; lower when the message means an older form */
    const void *message;
    int32_t node;        /* a broker's id, or CLIENT_ANY_NODE */
    uint64_t timeout_us; /* for all attempts together */
    bool repeatable;     /* may be sent again when the outcome of an attempt is unknown */
    uint64_t tag;        /* of the reply */
};

/* Repeats while the answer is an error that a later attempt may not meet (and nothing can have happened, or
 * the request is repeatable), until the time-out. ERR_NOMEM. */
enum err client_call(struct client *client, uint64_t now_us, const struct client_request *request);

/* -- for messages to people -- */

struct client_trouble {
    struct client_address address;
    enum err err; /* OK: no connection has failed yet */
};

/* The last connection that failed. */
const struct client_trouble *client_trouble(const struct client *client);

/* Whether any broker has ever answered. */
bool client_met_broker(const struct client *client);

#endif
