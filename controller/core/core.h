/* SPDX-License-Identifier: Apache-2.0 */
/* The active controller's state machine: pure (no clock, no I/O), driven by one thread. Events go in as calls
 * that carry the time; what is to be done comes out as a list of effects. It plans every change against the
 * committed image plus its own proposals still in flight (DESIGN, Metadata), and answers a request only when
 * all that its answer rests on is committed.
 *
 * Life: core_init, then for each period of leadership core_activate ... core_deactivate. While inactive every
 * request is answered NOT_CONTROLLER. The driver:
 *   1. activates it once the entry that opens its Raft term is applied, with the committed image of that
 * moment;
 *   2. proposes each FX_PROPOSE as one Raft entry, in order, and when that entry is committed and applied
 * calls core_committed with its token and the new image;
 *   3. when Raft loses leadership, or refuses a proposal, calls core_deactivate (and activates again only in
 * a later term);
 *   4. calls core_tick when core_deadline has passed.
 * Every event function returns the effects of that event. They, and all memory they point to, are valid until
 * the next call on the same core. */
#ifndef SLUICE_CONTROLLER_CORE_H
#define SLUICE_CONTROLLER_CORE_H

#include "common/base/arena.h"
#include "common/base/heap.h"
#include "common/base/iobuf.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/prng.h"
#include "proto/cluster/image.h"
#include "proto/cluster/rpc_messages.h"

/* Answers that wait for commits; beyond it requests are refused (THROTTLING_QUOTA_EXCEEDED, nothing was
 * done). */
#define CORE_WAITERS_MAX 4096
/* Own proposals in flight; beyond it requests that may propose more are refused in the same way. */
#define CORE_INFLIGHT_MAX 1024
/* A plan of independent changes is cut into entries of about this many records; no entry is larger than this
 * when encoded. */
#define CORE_ENTRY_RECORDS   4000
#define CORE_ENTRY_BYTES_MAX (8u << 20)
/* Kafka's ProducerIdsBlock, and Kafka's limit of new partitions in one request. */
#define CORE_PRODUCER_ID_BLOCK          1000
#define CORE_PARTITIONS_PER_REQUEST_MAX 10000

struct core_config {
    int32_t node_id;            /* of this controller; replies name it as the leader */
    struct uuid cluster_id;     /* given to a cluster that has none yet; not zero */
    uint64_t seed;              /* of topic ids: different for each process start */
    uint64_t session_us;        /* a broker that is silent this long is fenced */
    uint64_t suspect_window_us; /* closes of several brokers within this time mean "suspect myself" */
    int32_t num_partitions, default_replication_factor; /* for -1 in CreateTopics */
    const struct meta_controller *controllers; /* endpoints to publish; borrowed, see core_controllers() */
    int32_t controllers_count;
    bool auto_rebalance;       /* auto.leader.rebalance.enable */
    uint64_t rebalance_us;     /* leader.imbalance.check.interval.seconds */
    int32_t imbalance_percent; /* leader.imbalance.per.broker.percentage */
    size_t request_bytes_max;  /* memory of one request: its answer and its plan */
};

/* Kafka-like defaults where there are any; cluster_id and seed must be set by the caller. */
struct core_config core_config_defaults(void);

enum core_effect_type {
    FX_PROPOSE, /* append `records` as one Raft entry */
    FX_REPLY,   /* answer the request that came with `token` */
    FX_UNCLEAN, /* tell: `partition` of topic_id is led by broker_id now, which may lack acknowledged records
                 */
    FX_PROBE,   /* connect to a listener of `broker_id` and report with core_probe_done */
};

enum core_reply_type {
    CORE_REPLY_REGISTER_BROKER,
    CORE_REPLY_HEARTBEAT,
    CORE_REPLY_ALTER_PARTITION,
    CORE_REPLY_PRODUCER_IDS,
    CORE_REPLY_ADMIN,
};

/* The body of a reply; leader_id and index are filled in where the message has them. */
struct core_reply {
    enum core_reply_type type;
    union {
        struct rpc_register_broker_reply register_broker;
        struct rpc_heartbeat_reply heartbeat;
        struct rpc_alter_partition_reply alter_partition;
        struct rpc_producer_ids_reply producer_ids;
        struct {
            int16_t error;  /* of the forwarding: 0, NOT_CONTROLLER (nothing happened), REQUEST_TIMED_OUT
                               (outcome unknown), ... */
            uint64_t index; /* rpc_admin_reply.index */
            int16_t api_key, api_version;
            const void
                *response; /* the Kafka response struct of api_key (proto/kafka), NULL when error is set */
        } admin;
    };
};

struct core_effect {
    enum core_effect_type type;
    uint64_t
        token; /* FX_PROPOSE: for core_committed; FX_REPLY: the caller's; FX_PROBE: for core_probe_done */
    struct iobuf *
        records; /* FX_PROPOSE: length-delimited MetadataRecords; the core's reference, take one to keep it */
    int32_t records_count;
    int32_t broker_id;       /* FX_PROBE, FX_UNCLEAN */
    int32_t partition;       /* FX_UNCLEAN */
    struct uuid topic_id;    /* FX_UNCLEAN */
    struct core_reply reply; /* FX_REPLY */
};

struct core_effects {
    struct core_effect *items; /* in the order in which they are to be carried out */
    uint32_t count, cap;
};

/* What this node decided since its start, for metrics. */
struct core_counts {
    uint64_t unclean_elections;   /* leaders that may lack acknowledged records */
    uint64_t preferred_elections; /* leaders moved to the first replica by auto.leader.rebalance.enable */
    uint64_t moves_ended;         /* reassignments */
    uint64_t joins_delayed;       /* refused because the replica had left the ISR too often */
};

/* A value: allocate it anywhere, do not move it after core_init. The members are the core's own; see
 * internal.h. */
struct core {
    struct core_config config;
    bool active;
    uint64_t now_us;
    struct image *committed; /* NULL while inactive */
    struct image *latest;    /* committed plus all in flight */
    uint64_t term;
    uint64_t proposed_token, committed_token; /* in flight: those between; never reused */
    struct list waiters;                      /* answers in order of the token they wait for */
    uint32_t waiters_count;
    struct list done;      /* answered in the last event; freed at the next */
    struct map sessions;   /* broker id -> struct session */
    struct heap deadlines; /* of living sessions */
    struct list free_sessions;
    struct map words;         /* words.c */
    struct arena word_memory; /* of theirs */
    struct arena memory;      /* sessions */
    struct arena event;       /* effects of the last event */
    struct core_effects effects;
    struct prng prng;
    struct core_counts counts;
    uint64_t balance_us;    /* when leaders go back to first replicas, UINT64_MAX: nothing is displaced */
    uint64_t balance_index; /* metadata that was looked at and left as it is */
    uint8_t event_first[8192];
};

/* config is copied (its controllers are borrowed). Nothing is allocated yet. */
void core_init(struct core *core, const struct core_config *config);

/* Frees everything; pending answers are dropped. */
void core_free(struct core *core);

/* Between core_activate and core_deactivate. */
bool core_is_active(const struct core *core);

/* Endpoints that the next activation publishes, in place of the config's; borrowed likewise. Inactive only.
 */
void core_set_controllers(struct core *core, const struct meta_controller *controllers, int32_t count);

/* --- leadership --- */

/* Raft made this node leader in `term` and `image` (the core takes its own reference) holds every entry
 * before it. Grants each registered broker a full session, proposes the cluster's identity if it has none,
 * controllers' endpoints that changed, and repairs partitions that a former controller left half-way.
 * wall_ms: the date, for created_ms. */
const struct core_effects *core_activate(struct core *core, uint64_t now_us, int64_t wall_ms,
                                         struct image *image, uint64_t term);

/* The controllers have changed: publishes endpoints that are new or others than before. The array is borrowed
 * until the next call, or for the life of the core. Active only. */
const struct core_effects *core_controllers(struct core *core, uint64_t now_us,
                                            const struct meta_controller *controllers, int32_t count);

/* Leadership is lost: requests with proposals in flight are answered REQUEST_TIMED_OUT (outcome unknown), all
 * others NOT_CONTROLLER. */
const struct core_effects *core_deactivate(struct core *core, uint64_t now_us);

/* The proposal `token` is committed and `image` is the committed image with it applied (own reference taken).
 * Tokens come in order, none left out. */
const struct core_effects *core_committed(struct core *core, uint64_t now_us, uint64_t token,
                                          struct image *image);

/* --- time --- */

/* Fences brokers whose session is over. */
const struct core_effects *core_tick(struct core *core, uint64_t now_us);

/* When core_tick is next needed, UINT64_MAX for never. */
uint64_t core_deadline(const struct core *core);

/* --- suspicion (DESIGN, Metadata) --- */

/* The broker's control connection closed. May ask for a probe. */
const struct core_effects *core_connection_closed(struct core *core, uint64_t now_us, int32_t broker_id);

/* Answer to FX_PROBE: refused true only if the broker's host refused the connection (the process is gone);
 * anything else is no evidence. */
const struct core_effects *core_probe_done(struct core *core, uint64_t now_us, uint64_t token, bool refused);

/* --- requests --- */

/* Brokers' requests. `token` comes back in the FX_REPLY; the request's memory is needed during the call only.
 */
const struct core_effects *core_register_broker(struct core *core, uint64_t now_us, uint64_t token,
                                                const struct rpc_register_broker_request *request);
const struct core_effects *core_heartbeat(struct core *core, uint64_t now_us, uint64_t token,
                                          const struct rpc_heartbeat_request *request);
const struct core_effects *core_alter_partition(struct core *core, uint64_t now_us, uint64_t token,
                                                const struct rpc_alter_partition_request *request);
const struct core_effects *core_producer_ids(struct core *core, uint64_t now_us, uint64_t token,
                                             const struct rpc_producer_ids_request *request);

/* Which Kafka APIs core_admin answers: 19 CreateTopics, 20 DeleteTopics, 33 AlterConfigs, 37
 * CreatePartitions, 43 ElectLeaders, 44 IncrementalAlterConfigs, 45 AlterPartitionReassignments, 46
 * ListPartitionReassignments, 57 UpdateFeatures, 64 UnregisterBroker. */
bool core_admin_supports(int16_t api_key);

/* request: the decoded Kafka request struct of api_key. An api_key without support is answered
 * UNSUPPORTED_VERSION. */
const struct core_effects *core_admin(struct core *core, uint64_t now_us, uint64_t token, int16_t api_key,
                                      int16_t api_version, const void *request);

/* --- inspection --- */

/* Asserts the invariants of README.md; O(partitions), for tests and the simulator. */
void core_check(const struct core *core);

/* Of all state that decides future behaviour. */
uint64_t core_hash(const struct core *core);

/* Brokers with a living session, and unfenced brokers, for metrics. */
uint32_t core_live_brokers(const struct core *core);

#endif
