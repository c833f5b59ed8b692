/* SPDX-License-Identifier: Apache-2.0 */
/* What a client can be told at its start. All times in microseconds. */
#ifndef SLUICE_CLIENT_CORE_CONFIG_H
#define SLUICE_CLIENT_CORE_CONFIG_H

#include "common/base/types.h"
#include "common/compress/compress.h"

#define CLIENT_BOOTSTRAP_MAX 32
#define CLIENT_HOST_MAX      256 /* with its zero */
#define CLIENT_ID_MAX        64

struct client_address {
    char host[CLIENT_HOST_MAX];
    uint16_t port;
};

/* Kafka's three levels of acknowledgment. */
enum client_acks { CLIENT_ACKS_NONE = 0, CLIENT_ACKS_LEADER = 1, CLIENT_ACKS_ALL = -1 };

struct client_producer_config {
    int16_t acks;              /* enum client_acks */
    bool idempotent;           /* each record exactly once and in order; needs acks all */
    enum codec codec;          /* of the batches */
    int level;                 /* COMPRESS_LEVEL_DEFAULT or the codec's scale */
    uint32_t batch_bytes;      /* a batch is closed at this size, before compression */
    uint32_t record_bytes_max; /* a larger record is refused */
    uint32_t request_bytes;    /* batches of several partitions share a request up to this size */
    size_t buffer_bytes;       /* records that wait for their acknowledgment; beyond: ERR_FULL */
    uint32_t in_flight_max;    /* produce requests on one connection, 1 to 5 */
    uint64_t linger_us;        /* how long a batch may wait for more records */
    uint64_t delivery_timeout_us;
};

/* Where a consumer goes on when its offset is no longer (or not yet) in the log. */
enum client_reset { CLIENT_RESET_EARLIEST, CLIENT_RESET_LATEST, CLIENT_RESET_FAIL };

struct client_consumer_config {
    int32_t max_wait_ms, min_bytes, max_bytes, partition_max_bytes; /* as in Kafka's Fetch */
    enum client_reset reset;
    bool read_committed; /* nothing of open or aborted transactions (KIP-98) */
};

struct client_config {
    struct client_address bootstrap[CLIENT_BOOTSTRAP_MAX];
    uint32_t bootstrap_count; /* at least 1 */
    char client_id[CLIENT_ID_MAX];
    uint64_t seed;               /* of jitter and of the choice of partitions */
    uint64_t request_timeout_us; /* a connection that owes an answer this long is closed */
    uint64_t connect_timeout_us;
    uint64_t stall_us;            /* a request that is unanswered this long makes us look for new leaders */
    uint64_t metadata_max_age_us; /* refreshed at least so often while topics are in use */
    uint64_t topic_wait_us;       /* how long a topic may be unknown before it counts as missing */
    uint64_t backoff_first_us, backoff_max_us;
    bool same_broker; /* of brokers that would do, ask the first, not any: the next call of a script meets the
                         broker that knows what this one did */
    bool auto_create_topics; /* let the broker create topics that are used and missing */
    struct client_producer_config producer;
    struct client_consumer_config consumer;
};

/* Fills in everything but the bootstrap addresses and the seed. */
void client_config_init(struct client_config *config);

#endif
