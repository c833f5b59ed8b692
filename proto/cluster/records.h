/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata records: the facts that a Raft entry of the controllers holds (DESIGN, Metadata). An entry is a
 * list of records that applies as a whole. C structs with views (strings and arrays live in the decoder's
 * arena or in the encoder's caller); nanopb stays inside records.c. On the wire and on disk: cluster.proto,
 * message MetadataRecord; unknown fields and unknown record types are kept compatible as protobuf does (an
 * unknown type decodes to META_UNKNOWN and is skipped by the image). */
#ifndef SLUICE_PROTO_CLUSTER_RECORDS_H
#define SLUICE_PROTO_CLUSTER_RECORDS_H

#include "common/base/arena.h"
#include "common/base/types.h"
#include "common/base/wire.h"

#define META_REPLICAS_MAX      64    /* replicas of one partition */
#define META_ENDPOINTS_MAX     16    /* listeners of one broker */
#define META_ENTRY_RECORDS_MAX 20000 /* records in one entry; a larger plan is refused */
#define NODE_NONE              (-1)

enum meta_type {
    META_UNKNOWN = 0,
    META_CLUSTER = 1,      /* the cluster's identity, first record ever */
    META_BROKER = 2,       /* a broker registered (replaces its former registration) */
    META_BROKER_STATE = 3, /* fenced / unfenced / in controlled shutdown */
    META_BROKER_REMOVED = 4,
    META_TOPIC = 5,
    META_TOPIC_REMOVED = 6, /* with its partitions and configs */
    META_PARTITION = 7,     /* the whole state of one partition */
    META_CONFIG = 8,
    META_PRODUCER_IDS = 9, /* a block of producer ids was given out */
    META_FEATURE = 10,
    META_CONTROLLER = 11, /* a controller's advertised endpoint, for clients of the cluster RPC */
};

struct meta_endpoint {
    struct str name; /* listener name, e.g. PLAINTEXT */
    struct str host;
    uint16_t port;
    int16_t security; /* Kafka's ids: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL */
    bool internal;    /* replica traffic only; never shown to clients */
};

struct meta_cluster {
    struct uuid cluster_id;
    int64_t created_ms;
};

struct meta_broker {
    int32_t broker_id;
    int64_t broker_epoch;       /* rises with each registration; at most the index of its entry */
    struct uuid incarnation_id; /* new for each process start */
    struct uuid directory_id;   /* of its data directory */
    struct str rack;            /* null: none */
    struct meta_endpoint *endpoints;
    int32_t endpoints_count;
    bool fenced; /* brokers register fenced */
    bool in_controlled_shutdown;
    bool clean_start; /* the former run ended cleanly, or the page cache survived it (same boot id) */
    int32_t min_isr;  /* its static min.insync.replicas, for topics without one; 0: not told, counts as 1 */
};

struct meta_broker_state {
    int32_t broker_id;
    int64_t broker_epoch;
    bool fenced;
    bool in_controlled_shutdown;
};

struct meta_broker_removed {
    int32_t broker_id;
    int64_t broker_epoch;
};

struct meta_topic {
    struct uuid topic_id;
    struct str name;
};

struct meta_topic_removed {
    struct uuid topic_id;
};

struct meta_partition {
    struct uuid topic_id;
    int32_t index;
    int32_t leader;          /* NODE_NONE: offline */
    int32_t leader_epoch;    /* rises with each change of leader */
    int32_t partition_epoch; /* rises with each change of this record */
    bool recovering;         /* led after an unclean election (KIP-704) */
    bool disks_gone;         /* no leader: the last replica that was complete came back with another disk */
    bool
        yields; /* another replica is to lead: the leader says so when the others have what it acknowledged */
    int32_t *replicas; /* in order of preference */
    int32_t replicas_count;
    int32_t *isr;
    int32_t isr_count;
    int32_t *elr; /* eligible leader replicas (KIP-966) */
    int32_t elr_count;
    int32_t *last_known_elr;
    int32_t last_known_elr_count;
    int32_t *adding; /* reassignment in progress (KIP-455) */
    int32_t adding_count;
    int32_t *removing;
    int32_t removing_count;
};

/* Kafka's resource types: 2 topic, 4 broker, 8 logger, 16 client metrics, 32 group. Name "" of a broker is
 * the cluster's default. */
struct meta_config {
    int8_t resource_type;
    struct str resource_name;
    struct str key;
    struct str value; /* null deletes */
};

struct meta_producer_ids {
    int32_t broker_id;
    int64_t broker_epoch;
    int64_t next_producer_id; /* first id that is still free */
};

struct meta_feature {
    struct str name;
    int16_t level; /* 0 removes */
};

struct meta_controller {
    int32_t node_id;
    struct str host;
    uint16_t port;
};

struct meta_record {
    enum meta_type type;
    union {
        struct meta_cluster cluster;
        struct meta_broker broker;
        struct meta_broker_state broker_state;
        struct meta_broker_removed broker_removed;
        struct meta_topic topic;
        struct meta_topic_removed topic_removed;
        struct meta_partition partition;
        struct meta_config config;
        struct meta_producer_ids producer_ids;
        struct meta_feature feature;
        struct meta_controller controller;
    };
};

/* Appends one record in length-delimited form (what an entry and a snapshot are made of). Sticky error in w.
 */
void meta_record_encode(struct writer *w, const struct meta_record *record);

/* Reads the next length-delimited record; strings are views into the reader's memory, arrays are allocated
 * from arena. ERR_MALFORMED, ERR_TOO_LARGE (caps above), ERR_NOMEM. A type this build does not know gives
 * META_UNKNOWN and OK. */
enum err meta_record_decode(struct reader *r, struct arena *arena, struct meta_record *ret_record);

#endif
