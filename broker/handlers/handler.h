/* SPDX-License-Identifier: Apache-2.0 */
/* The table of Kafka APIs: one row an API, one file a row. ApiVersions advertises exactly what the table
 * holds. */
#ifndef SLUICE_BROKER_HANDLERS_HANDLER_H
#define SLUICE_BROKER_HANDLERS_HANDLER_H

#include "broker/shard/request.h"

/* The right a caller needs (checked against the principal once authorization exists; today every principal
 * has every right but CLUSTER_ACTION, which belongs to the internal listener). */
enum handler_right {
    RIGHT_NONE, /* before authentication too */
    RIGHT_DESCRIBE,
    RIGHT_READ,
    RIGHT_WRITE,
    RIGHT_ALTER,
    RIGHT_CLUSTER_ACTION,
};

struct handler {
    int16_t api_key;
    int16_t min_version; /* accepted */
    int16_t max_version;
    int16_t advertised_min; /* may be lower than min_version (facts, trap T1) */
    enum handler_right right;
    uint32_t memory_factor; /* bound: frame bytes * factor + REQUEST_FIXED_BYTES, admitted before the body is
                               read */
    void (*start)(struct request *rq);
};

#define REQUEST_FIXED_BYTES (64 * 1024)
#define METADATA_ARENA_BYTES                                                                                 \
    (256u * 1024 * 1024) /* answers whose size follows from the cluster, not from the request */

/* NULL: not served here. */
const struct handler *handler_find(int16_t api_key);

/* All rows, in order of their keys, for ApiVersions. */
const struct handler *handler_table(size_t *ret_count);

/* Upper bound of memory for a frame of that size. */
static inline size_t handler_memory_bound(const struct handler *h, size_t frame_bytes)
{
    return frame_bytes * h->memory_factor + REQUEST_FIXED_BYTES;
}

/* One per file. */
void handle_produce(struct request *rq);
void handle_fetch(struct request *rq);
void handle_list_offsets(struct request *rq);
void handle_metadata(struct request *rq);
void handle_find_coordinator(struct request *rq);
void handle_join_group(struct request *rq);
void handle_sync_group(struct request *rq);
void handle_heartbeat(struct request *rq);
void handle_leave_group(struct request *rq);
void handle_offset_commit(struct request *rq);
void handle_offset_fetch(struct request *rq);
void handle_offset_delete(struct request *rq);
void handle_describe_groups(struct request *rq);
void handle_list_groups(struct request *rq);
void handle_delete_groups(struct request *rq);
void handle_consumer_group_heartbeat(struct request *rq);
void handle_consumer_group_describe(struct request *rq);
void handle_api_versions(struct request *rq);
void handle_create_topics(struct request *rq);
void handle_delete_topics(struct request *rq);
void handle_delete_records(struct request *rq);
void handle_init_producer_id(struct request *rq);
void handle_add_partitions_to_txn(struct request *rq);
void handle_add_offsets_to_txn(struct request *rq);
void handle_end_txn(struct request *rq);
void handle_write_txn_markers(struct request *rq);
void handle_txn_offset_commit(struct request *rq);
void handle_describe_log_dirs(struct request *rq);
void handle_describe_producers(struct request *rq);
void handle_describe_transactions(struct request *rq);
void handle_list_transactions(struct request *rq);
void handle_offset_for_leader_epoch(struct request *rq);
void handle_describe_configs(struct request *rq);
void handle_alter_configs(struct request *rq);
void handle_incremental_alter_configs(struct request *rq);
void handle_create_partitions(struct request *rq);
void handle_elect_leaders(struct request *rq);
void handle_alter_partition_reassignments(struct request *rq);
void handle_list_partition_reassignments(struct request *rq);
void handle_update_features(struct request *rq);
void handle_describe_quorum(struct request *rq);
void handle_unregister_broker(struct request *rq);
void handle_add_raft_voter(struct request *rq);
void handle_remove_raft_voter(struct request *rq);
void handle_describe_cluster(struct request *rq);
void handle_describe_topic_partitions(struct request *rq);

/* ApiVersions in a version that we do not know: answered in version 0 with UNSUPPORTED_VERSION (KIP-511). */
void handle_api_versions_unsupported(struct request *rq);

/* Most handlers: decodes the body into a struct in the arena, or refuses the request and returns NULL. */
#define request_decode(rq, name)                                                                             \
    ({                                                                                                       \
        struct kafka_##name##_request *decoded_ = arena_alloc(&(rq)->arena, sizeof(*decoded_));              \
        if (decoded_ && kafka_##name##_request_decode(&(rq)->body, &(rq)->arena, (rq)->header.api_version,   \
                                                      decoded_) != OK)                                       \
            decoded_ = NULL;                                                                                 \
        if (!decoded_)                                                                                       \
            request_refuse(rq, "cannot decode " #name " request");                                           \
        decoded_;                                                                                            \
    })

/* Encodes and sends the response. */
#define request_respond(rq, name, response)                                                                  \
    do {                                                                                                     \
        kafka_##name##_response_encode(request_reply_begin(rq), (rq)->header.api_version, (response));       \
        request_reply_end(rq);                                                                               \
    } while (0)

#endif
