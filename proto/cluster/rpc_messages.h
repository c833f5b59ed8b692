/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and replies of the cluster RPC, as C structs over views; nanopb stays inside rpc_messages.c
 * (cluster.proto). The frame's type field is enum cluster_rpc; a reply has the type of its request with
 * CLUSTER_RPC_REPLY set. Every reply starts with `error` (Kafka's codes; 41 NOT_CONTROLLER tells who leads, 0
 * none). Who may call: peers whose hello named the role in brackets. */
#ifndef SLUICE_PROTO_CLUSTER_RPC_MESSAGES_H
#define SLUICE_PROTO_CLUSTER_RPC_MESSAGES_H

#include "proto/cluster/records.h"

enum cluster_rpc {
    CLUSTER_RPC_RAFT = 1, /* [controller] one way: an opaque Raft message, see controller/consensus */
    CLUSTER_RPC_INTRODUCE =
        2, /* [controller] one way: one that joined tells who it is, see controller/member.h */
    CLUSTER_RPC_CONTROLLERS =
        3, /* [to brokers] one way: META_CONTROLLER records, where the controllers are */
    CLUSTER_RPC_REGISTER_BROKER = 10, /* [broker] */
    CLUSTER_RPC_HEARTBEAT = 11,       /* [broker] */
    CLUSTER_RPC_TAIL = 12,            /* [broker, controller, tool] long poll for committed entries */
    CLUSTER_RPC_ALTER_PARTITION = 13, /* [broker] */
    CLUSTER_RPC_ADMIN = 14,           /* [broker] a client's Kafka request, forwarded as received */
    CLUSTER_RPC_PRODUCER_IDS = 15,    /* [broker] */
    CLUSTER_RPC_SNAPSHOT = 16,        /* [broker, controller, tool] read a piece of the newest snapshot */
    CLUSTER_RPC_STATUS = 17,          /* [any] who leads, at which index */
    CLUSTER_RPC_REPLY = 0x8000,       /* flag */
};

struct rpc_register_broker_request {
    int32_t broker_id;
    struct uuid cluster_id; /* zero: not known yet (first start) */
    struct uuid incarnation_id;
    struct uuid directory_id;
    struct str rack;
    struct meta_endpoint *endpoints;
    int32_t endpoints_count;
    bool clean_start;              /* see meta_broker */
    int64_t previous_broker_epoch; /* from the clean-shutdown marker, -1 none */
    int32_t min_isr;               /* see meta_broker */
    bool synced_kept; /* if not clean_start: all that was synced is there, as far as can be known, and topics
                         without a flush.messages of their own sync before they acknowledge */
};
struct rpc_register_broker_reply {
    int16_t error;     /* 101 DUPLICATE_BROKER_REGISTRATION while another incarnation's session lives, 104
                          INCONSISTENT_CLUSTER_ID */
    int32_t leader_id; /* active controller, -1 unknown */
    struct uuid cluster_id;
    int64_t broker_epoch;
};

struct rpc_heartbeat_request {
    int32_t broker_id;
    int64_t broker_epoch;
    uint64_t metadata_index; /* applied at the broker */
    bool want_fence;         /* stay fenced (not ready, or disk offline) */
    bool want_shutdown;      /* controlled shutdown: move my leaders, tell me when I may go */
};
struct rpc_heartbeat_reply {
    int16_t error; /* 77 STALE_BROKER_EPOCH: register again */
    int32_t leader_id;
    bool fenced;
    bool caught_up;
    bool may_shut_down;
};

struct rpc_tail_request {
    uint64_t from_index; /* first entry wanted */
    uint32_t max_bytes;
    uint32_t wait_ms; /* answer empty after this long */
};
struct rpc_tail_entry {
    uint64_t index;
    uint64_t term;
    struct bytes records; /* length-delimited MetadataRecords; empty for entries that are Raft's own */
};
struct rpc_tail_reply {
    int16_t error; /* 1 OFFSET_OUT_OF_RANGE: trimmed, read the snapshot first */
    int32_t leader_id;
    uint64_t commit_index;
    struct rpc_tail_entry *entries;
    int32_t entries_count;
};

struct rpc_snapshot_request {
    uint64_t snapshot_index; /* 0: the newest; else continue that one */
    uint64_t offset;
    uint32_t max_bytes;
};
struct rpc_snapshot_reply {
    int16_t error; /* 98 SNAPSHOT_NOT_FOUND: start over with 0 */
    uint64_t snapshot_index, snapshot_term;
    uint64_t offset;
    struct bytes chunk; /* of the stream of records */
    bool last;
};

struct rpc_alter_partition {
    struct uuid topic_id;
    int32_t index;
    int32_t leader_epoch;
    int32_t partition_epoch; /* the one this change builds on */
    bool recovering;         /* false: leader has recovered (KIP-704) */
    int32_t *isr;            /* wanted ISR */
    int64_t *isr_epochs;     /* broker epochs of the members as the leader knows them, -1 unknown (KIP-903) */
    int32_t isr_count;
    /* Not an ISR: the sender, leader or not, takes its own replica out of it, because its log failed or (with
     * lost_data: out of the eligible replicas too) is not what it was. isr is ignored, partition_epoch too.
     */
    bool leave, lost_data;
    /* With leave, while nobody leads nor is known to be complete: what the sender's log holds, so that the
     * longest may lead when all replicas have spoken (KIP-966, unclean recovery). */
    bool tells_end;
    int32_t end_epoch; /* of the last batch, -1: empty */
    int64_t end_offset;
    /* The leader was asked to yield and does: every other member of the ISR has all that it acknowledged, and
     * it acknowledges nothing on its own word any more. */
    bool gives_way;
};
struct rpc_alter_partition_request {
    int32_t broker_id;
    int64_t broker_epoch;
    struct rpc_alter_partition *partitions;
    int32_t partitions_count;
};
struct rpc_alter_partition_result {
    struct uuid topic_id;
    int32_t index;
    int16_t error; /* facts: order of AlterPartition checks */
};
struct rpc_alter_partition_reply {
    int16_t error;
    int32_t leader_id;
    uint64_t index; /* results are visible in the metadata from this index on */
    struct rpc_alter_partition_result *partitions;
    int32_t partitions_count;
};

struct rpc_admin_request {
    int16_t api_key, api_version;
    struct str principal; /* "User:ANONYMOUS" for now */
    struct str client_host;
    uint32_t timeout_ms;
    struct bytes body; /* the Kafka request's body, without header */
};
struct rpc_admin_reply {
    int16_t error; /* of the forwarding itself: 41 NOT_CONTROLLER, 7 REQUEST_TIMED_OUT */
    int32_t leader_id;
    uint64_t index;    /* the broker answers its client once its image has reached this index */
    struct bytes body; /* the Kafka response's body, without header */
};

struct rpc_producer_ids_request {
    int32_t broker_id;
    int64_t broker_epoch;
};
struct rpc_producer_ids_reply {
    int16_t error;
    int32_t leader_id;
    int64_t first_id;
    int32_t count; /* 1000 */
};

struct rpc_status_request {
    uint8_t unused;
};
struct rpc_status_reply {
    int16_t error;
    int32_t leader_id;
    uint64_t term, commit_index, applied_index;
    struct uuid cluster_id;
};

/* For every X below: void rpc_X_encode(struct writer *, const struct rpc_X *); enum err rpc_X_decode(struct
 * reader *, struct arena *, struct rpc_X *ret). Encoders are sticky, decoders take the whole rest of the
 * reader, give views into it, check counts, and leave ret untouched on failure. */
/* clang-format off */
#define CLUSTER_RPC_MESSAGES(X)                                                                              \
    X(register_broker_request) X(register_broker_reply)                                                      \
    X(heartbeat_request) X(heartbeat_reply)                                                                  \
    X(tail_request) X(tail_reply)                                                                            \
    X(snapshot_request) X(snapshot_reply)                                                                    \
    X(alter_partition_request) X(alter_partition_reply)                                                      \
    X(admin_request) X(admin_reply)                                                                          \
    X(producer_ids_request) X(producer_ids_reply)                                                            \
    X(status_request) X(status_reply)
/* clang-format on */

#define X(name)                                                                                              \
    void rpc_##name##_encode(struct writer *w, const struct rpc_##name *m);                                  \
    enum err rpc_##name##_decode(struct reader *r, struct arena *arena, struct rpc_##name *ret);
CLUSTER_RPC_MESSAGES(X)
#undef X

#endif
