/* SPDX-License-Identifier: Apache-2.0 */
/* The group coordinator of one partition of __consumer_offsets: pure. Classic groups (facts §5, KIP-134, 345,
 * 394, 559, 814), groups of the consumer protocol (KIP-848), and their committed offsets.
 *
 * Events go in by groups_call(), groups_committed(), groups_failed() and groups_tick(), each after
 * groups_set_time(). Effects are taken afterwards with groups_take_write() (records to append, in this order)
 * and groups_take_settled() (calls that are answered), until both give nothing.
 *
 * What changes committed offsets, or what a new coordinator must know, is written first and applied when the
 * log has it for good (groups_committed): nothing is answered from state that a failover could take back.
 * Loading is the same application of the same records.
 */
#ifndef SLUICE_BROKER_CORE_GROUP_H
#define SLUICE_BROKER_CORE_GROUP_H

#include "broker/core/coordinator_write.h"
#include "common/base/alloc.h"
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/types.h"

struct groups;

/* A topic as the metadata has it. */
struct group_topic_view {
    struct uuid id;
    struct str name; /* valid until the metadata changes: use at once */
    int32_t partitions;
    bool internal;
};

/* The metadata, as far as groups look at it. Answers change only when version() does. */
struct group_topics {
    void *ctx;
    bool (*by_name)(void *ctx, struct str name, struct group_topic_view *ret);
    bool (*by_id)(void *ctx, struct uuid id, struct group_topic_view *ret);
    void (*each)(void *ctx, bool (*each)(void *arg, const struct group_topic_view *topic), void *arg);
    uint64_t (*version)(void *ctx);
};

/* Kafka's settings of the same names. */
struct group_settings {
    int32_t session_min_ms, session_max_ms; /* group.{min,max}.session.timeout.ms */
    int32_t initial_delay_ms;               /* group.initial.rebalance.delay.ms */
    int32_t size_max;                       /* group.max.size */
    int32_t metadata_max;                   /* offset.metadata.max.bytes */
    int32_t commit_timeout_ms;              /* offsets.commit.timeout.ms */
    int64_t retention_ms, retention_check_ms;
    /* Groups of the consumer protocol (KIP-848). */
    const struct group_topics *topics;
    int32_t consumer_session_ms,
        consumer_heartbeat_ms;                 /* group.consumer.{session.timeout,heartbeat.interval}.ms */
    int32_t consumer_size_max;                 /* group.consumer.max.size */
    bool consumer_upgrade, consumer_downgrade; /* group.consumer.migration.policy */
};

/* What a call asks, and the structs that request and response point to. */
enum group_call_type {
    GROUP_CALL_JOIN,          /* kafka_join_group_request, _response */
    GROUP_CALL_SYNC,          /* kafka_sync_group_request, _response */
    GROUP_CALL_HEARTBEAT,     /* kafka_heartbeat_request, none */
    GROUP_CALL_LEAVE,         /* kafka_leave_group_request, _response */
    GROUP_CALL_COMMIT,        /* kafka_offset_commit_request, _response: laid out, checked partitions have
                                 KAFKA_NONE, others keep the error they have */
    GROUP_CALL_TXN_COMMIT,    /* kafka_txn_offset_commit_request, _response: laid out as for commits */
    GROUP_CALL_FETCH,         /* kafka_offset_fetch_request_group, kafka_offset_fetch_response_group */
    GROUP_CALL_OFFSET_DELETE, /* kafka_offset_delete_request, _response: laid out as for commits */
    GROUP_CALL_DESCRIBE,      /* none, kafka_describe_groups_response_group */
    GROUP_CALL_DELETE,        /* none, none */
    GROUP_CALL_LIST,          /* kafka_list_groups_request, kafka_list_groups_response */
    GROUP_CALL_CONSUMER_HEARTBEAT, /* kafka_consumer_group_heartbeat_request, _response */
    GROUP_CALL_CONSUMER_DESCRIBE,  /* none, kafka_consumer_group_describe_response_group */
    GROUP_CALL_COUNT,
};

/* One request, or the part of one that concerns one group. The caller's memory (request, response and arena
 * too) until it is settled; exactly once. */
struct group_call {
    struct list link; /* private while not settled */
    enum group_call_type type;
    int16_t version; /* of the API */
    int16_t error;   /* the answer as a whole: KAFKA_NONE, or why not; also where the response has a field */
    bool settled;
    bool stable; /* FETCH: offsets that a transaction may change are not told (KIP-447) */
    struct str group_id, client_id, client_host;
    const void *request;
    void *response;       /* initialized */
    struct arena *arena;  /* for what the response points to */
    uint64_t deadline_us; /* private */
    bool began;           /* private: waits for a round that makes way for it */
};

/* Figures of one committed offset, for metrics. */
struct group_position {
    struct str group, topic;
    int32_t partition;
    int64_t offset;
    int64_t commit_ms;
};

#define GROUPS_NO_DEADLINE UINT64_MAX

/* An empty coordinator in the state of loading. seed: for member ids, from a generator fit for ids. NULL:
 * memory is out. alloc and settings outlive it. */
struct groups *groups_new(const struct core_alloc *alloc, const struct group_settings *settings,
                          uint64_t seed);
void groups_free(struct groups *g); /* every call has been settled and taken (groups_end) */

/* The present: monotonic microseconds and wall clock milliseconds. */
void groups_set_time(struct groups *g, uint64_t now_us, int64_t wall_ms);

/* Loading: one record of the log, in order; value len -1: a tombstone. ERR_MALFORMED: not one of ours, the
 * state is unchanged. ERR_VERSION: of a later version, skipped. Takes no effect that must be taken. */
enum err groups_replay(struct groups *g, struct bytes key, struct bytes value);
/* The same for a record of a transactional batch: it counts when its producer's transaction commits. */
enum err groups_replay_txn(struct groups *g, int64_t producer_id, struct bytes key, struct bytes value);
/* A committed marker, live or loaded: the producer's offsets count now, or never. */
void groups_marked(struct groups *g, int64_t producer_id, bool commit);
/* Everything has been replayed: sessions begin. */
void groups_loaded(struct groups *g);

/* A call comes in. It is settled at once, or later. */
void groups_call(struct groups *g, struct group_call *call);
/* Every write up to seq is committed. */
void groups_committed(struct groups *g, uint64_t seq);
/* The writes first..last were not appended, for Kafka's reason error. */
void groups_failed(struct groups *g, uint64_t first, uint64_t last, int16_t error);
/* A topic was deleted: what groups have committed of it goes, so that another topic of its name begins anew.
 * What is missed while no coordinator is loaded goes when retention is looked at. */
void groups_topic_gone(struct groups *g, struct str topic);
/* Time passed groups_deadline(). */
void groups_tick(struct groups *g);
/* This is the end: every call that waits is settled with NOT_COORDINATOR. */
void groups_end(struct groups *g);

/* Effects. False, NULL: none left. The write's memory lives until it is committed or failed. */
bool groups_take_write(struct groups *g, struct coordinator_write *ret);
struct group_call *groups_take_settled(struct groups *g);

/* When groups_tick() is due; may be earlier than needed. */
uint64_t groups_deadline(const struct groups *g);

/* Counts, and every committed offset (the views live until the next event). */
uint32_t groups_count(const struct groups *g);
uint64_t groups_offset_count(const struct groups *g);
void groups_each_position(const struct groups *g,
                          void (*each)(void *ctx, const struct group_position *position), void *ctx);

/* A digest of all that is committed, equal for equal logs. Asserts the invariants of the whole. */
uint64_t groups_check(const struct groups *g);

#endif
