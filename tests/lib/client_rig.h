/* SPDX-License-Identifier: Apache-2.0 */
/* The client's core against brokers that exist in memory only, in virtual time and on one thread: three
 * nodes, one topic, one log per partition with the checks of an idempotent leader. Tests script errors,
 * losses and leaders; the rig notes everything the client tells. */
#ifndef SLUICE_TESTS_LIB_CLIENT_RIG_H
#define SLUICE_TESTS_LIB_CLIENT_RIG_H

#include "client/core/client.h"
#include "common/base/prng.h"

#define CRIG_NODES      3
#define CRIG_PARTITIONS 4
#define CRIG_CONNS_MAX  4096
#define CRIG_QUEUE_MAX  1024
#define CRIG_NOTES_MAX  200000
#define CRIG_TOPIC      "things"
#define CRIG_TAGS_MAX   100000

struct crig_batch {
    struct iobuf *data; /* with base offset and leader epoch set */
};

struct crig_partition {
    int32_t leader, epoch; /* leader -1: none */
    struct crig_batch batches[4096];
    int32_t count;
    int64_t start, end;
    int64_t producer_id; /* the rig has one producer at a time */
    int16_t producer_epoch;
    struct {
        int32_t first, last;
        int64_t base_offset;
    } window[5];
    int32_t window_count;
};

/* One answer on its way to the client. */
struct crig_mail {
    uint64_t at_us, conn;
    struct iobuf *frame; /* NULL: the connection stands (node >= 0) or breaks (why) */
    enum err why;
};

struct crig {
    struct client *client;
    struct iobuf_pool *pool;
    size_t bytes; /* held by the client's allocator */
    uint64_t now_us, latency_us;
    struct prng prng;
    bool random_latency;
    struct crig_partition partitions[CRIG_PARTITIONS];
    int32_t partitions_count;
    bool topic_missing, down[CRIG_NODES + 1], silent[CRIG_NODES + 1];
    bool behind;           /* the metadata know neither the last node nor the newest leader epochs */
    bool old_api_versions; /* knows ApiVersions 0 only */
    bool no_topic_ids;
    int32_t conn_node[CRIG_CONNS_MAX];     /* by token; 0: closed */
    uint64_t conn_last_us[CRIG_CONNS_MAX]; /* answers of a connection stay in order */
    struct crig_mail mail[CRIG_QUEUE_MAX];
    int32_t mail_count;
    int64_t next_producer_id;
    /* Scripts: may be NULL. Returns the error for a batch that is fine otherwise; *append says whether it is
     * written all the same. */
    int16_t (*on_produce)(struct crig *rig, int32_t partition, const uint8_t *batch, bool *append);
    /* Before a request is looked at: false drops the connection unanswered. */
    bool (*on_request)(struct crig *rig, int32_t node, int16_t key);
    int16_t (*on_fetch)(struct crig *rig, int32_t partition, int64_t offset);
    /* After the client was given what came, before its turn. */
    void (*on_mail)(struct crig *rig, const struct crig_mail *mail);
    int16_t create_error;
    void *ctx;
    int32_t requests[96], version[96]; /* by API key: how many came, and the last version */
    int32_t fenced_offset;             /* >= 0: fetches past it with an older epoch diverge there */

    /* what the client told */
    int32_t topics_known, topics_failed, rooms, replies, failures;
    struct client_failure topic_failure, consume_failure, reply_failure;
    int16_t reply_error;
    int64_t delivered[CRIG_TAGS_MAX]; /* by tag: offset, -1 unknown, -2 not yet, -3 failed */
    struct client_failure fate[CRIG_TAGS_MAX];
    int32_t delivered_partition[CRIG_TAGS_MAX];
    int64_t delivered_count, failed_count;
    int32_t consumed_count;
    struct {
        int32_t partition;
        int64_t offset;
        uint64_t tag; /* the value, as crig_produce() wrote it */
    } consumed[CRIG_NOTES_MAX];
    int64_t moved_from;
    struct batch_scratch scratch;
};

/* Defaults: all nodes up, leaders spread, epoch 0, 4 partitions, 100 us one way. config may be NULL. The
 * result is big: the caller frees it by crig_free(), which also checks that the client gave all its memory
 * back. */
struct crig *crig_new(const struct client_config *config, uint64_t seed);
void crig_free(struct crig *rig);

/* Defaults of the client with the rig's three nodes as bootstrap. */
void crig_config(struct client_config *config);

/* Opens the topic and runs until it is known. */
struct client_topic *crig_topic(struct crig *rig);

/* One record whose value is the tag. */
enum err crig_produce(struct crig *rig, struct client_topic *topic, int32_t partition, uint64_t tag);

/* Runs for that long, or until done(rig) holds (false: time ran out). */
void crig_run(struct crig *rig, uint64_t for_us);
bool crig_until(struct crig *rig, uint64_t limit_us, bool (*done)(struct crig *rig));

/* Everything that was taken has been reported. */
bool crig_settled(struct crig *rig);

/* Connections of a node break (without answers that are still on the way). */
void crig_break(struct crig *rig, int32_t node);

/* Another leader with a newer epoch. */
void crig_lead(struct crig *rig, int32_t partition, int32_t node);

/* Fails the test unless each tag below `count` that was delivered stands in the log exactly once, and no
 * other more than once; tags of a partition rise with the offsets when `ordered`. */
void crig_check_log(struct crig *rig, uint64_t count, bool ordered);

#endif
