/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/handlers/handler.h"

#include "common/base/assert.h"

#define ANY_FACTOR      16 /* decoded structs of small fields: a few bytes on the wire become a few dozen */
#define PRODUCE_FACTOR  2  /* records are views */
#define PARTWISE_FACTOR 32 /* 12 bytes of a partition on the wire become its part, its wait, its answer */
#define FETCH_FACTOR    64 /* 30 bytes of a partition on the wire become its read, its pieces, its answer */

/* In order of the keys. advertised_min differs from min_version only where clients need to see it (facts,
 * trap T1). */
static const struct handler table[] = {
    {KAFKA_API_PRODUCE, 3, 13, 0, RIGHT_WRITE, PRODUCE_FACTOR, handle_produce},
    {KAFKA_API_FETCH, 4, 18, 4, RIGHT_READ, FETCH_FACTOR, handle_fetch},
    {KAFKA_API_LIST_OFFSETS, 1, 10, 1, RIGHT_DESCRIBE, PARTWISE_FACTOR, handle_list_offsets},
    {KAFKA_API_METADATA, 0, 13, 0, RIGHT_DESCRIBE, ANY_FACTOR, handle_metadata},
    {KAFKA_API_OFFSET_COMMIT, 2, 10, 2, RIGHT_READ, ANY_FACTOR, handle_offset_commit},
    {KAFKA_API_OFFSET_FETCH, 1, 10, 1, RIGHT_DESCRIBE, ANY_FACTOR, handle_offset_fetch},
    {KAFKA_API_FIND_COORDINATOR, 0, 6, 0, RIGHT_DESCRIBE, ANY_FACTOR, handle_find_coordinator},
    {KAFKA_API_JOIN_GROUP, 0, 9, 0, RIGHT_READ, ANY_FACTOR, handle_join_group},
    {KAFKA_API_HEARTBEAT, 0, 4, 0, RIGHT_READ, ANY_FACTOR, handle_heartbeat},
    {KAFKA_API_LEAVE_GROUP, 0, 5, 0, RIGHT_READ, ANY_FACTOR, handle_leave_group},
    {KAFKA_API_SYNC_GROUP, 0, 5, 0, RIGHT_READ, ANY_FACTOR, handle_sync_group},
    {KAFKA_API_DESCRIBE_GROUPS, 0, 6, 0, RIGHT_DESCRIBE, ANY_FACTOR, handle_describe_groups},
    {KAFKA_API_LIST_GROUPS, 0, 5, 0, RIGHT_DESCRIBE, ANY_FACTOR, handle_list_groups},
    {KAFKA_API_API_VERSIONS, 0, 4, 0, RIGHT_NONE, ANY_FACTOR, handle_api_versions},
    {KAFKA_API_CREATE_TOPICS, 2, 7, 2, RIGHT_ALTER, ANY_FACTOR, handle_create_topics},
    {KAFKA_API_DELETE_TOPICS, 1, 6, 1, RIGHT_ALTER, ANY_FACTOR, handle_delete_topics},
    {KAFKA_API_DELETE_RECORDS, 0, 2, 0, RIGHT_ALTER, PARTWISE_FACTOR, handle_delete_records},
    {KAFKA_API_INIT_PRODUCER_ID, 0, 5, 0, RIGHT_WRITE, ANY_FACTOR, handle_init_producer_id},
    {KAFKA_API_OFFSET_FOR_LEADER_EPOCH, 2, 4, 2, RIGHT_DESCRIBE, PARTWISE_FACTOR,
     handle_offset_for_leader_epoch},
    {KAFKA_API_ADD_PARTITIONS_TO_TXN, 0, 5, 0, RIGHT_WRITE, ANY_FACTOR, handle_add_partitions_to_txn},
    {KAFKA_API_ADD_OFFSETS_TO_TXN, 0, 4, 0, RIGHT_WRITE, ANY_FACTOR, handle_add_offsets_to_txn},
    {KAFKA_API_END_TXN, 0, 5, 0, RIGHT_WRITE, ANY_FACTOR, handle_end_txn},
    {KAFKA_API_WRITE_TXN_MARKERS, 1, 2, 1, RIGHT_ALTER, ANY_FACTOR, handle_write_txn_markers},
    {KAFKA_API_TXN_OFFSET_COMMIT, 0, 5, 0, RIGHT_READ, ANY_FACTOR, handle_txn_offset_commit},
    {KAFKA_API_DESCRIBE_CONFIGS, 1, 4, 1, RIGHT_DESCRIBE, ANY_FACTOR, handle_describe_configs},
    {KAFKA_API_ALTER_CONFIGS, 0, 2, 0, RIGHT_ALTER, ANY_FACTOR, handle_alter_configs},
    {KAFKA_API_DESCRIBE_LOG_DIRS, 1, 4, 1, RIGHT_DESCRIBE, ANY_FACTOR, handle_describe_log_dirs},
    {KAFKA_API_CREATE_PARTITIONS, 0, 3, 0, RIGHT_ALTER, ANY_FACTOR, handle_create_partitions},
    {KAFKA_API_DELETE_GROUPS, 0, 2, 0, RIGHT_ALTER, ANY_FACTOR, handle_delete_groups},
    {KAFKA_API_ELECT_LEADERS, 0, 2, 0, RIGHT_ALTER, ANY_FACTOR, handle_elect_leaders},
    {KAFKA_API_INCREMENTAL_ALTER_CONFIGS, 0, 1, 0, RIGHT_ALTER, ANY_FACTOR, handle_incremental_alter_configs},
    {KAFKA_API_ALTER_PARTITION_REASSIGNMENTS, 0, 1, 0, RIGHT_ALTER, ANY_FACTOR,
     handle_alter_partition_reassignments},
    {KAFKA_API_LIST_PARTITION_REASSIGNMENTS, 0, 0, 0, RIGHT_DESCRIBE, ANY_FACTOR,
     handle_list_partition_reassignments},
    {KAFKA_API_OFFSET_DELETE, 0, 0, 0, RIGHT_ALTER, ANY_FACTOR, handle_offset_delete},
    {KAFKA_API_DESCRIBE_QUORUM, 0, 2, 0, RIGHT_DESCRIBE, ANY_FACTOR, handle_describe_quorum},
    {KAFKA_API_UPDATE_FEATURES, 0, 2, 0, RIGHT_ALTER, ANY_FACTOR, handle_update_features},
    {KAFKA_API_DESCRIBE_CLUSTER, 0, 2, 0, RIGHT_DESCRIBE, ANY_FACTOR, handle_describe_cluster},
    {KAFKA_API_DESCRIBE_PRODUCERS, 0, 0, 0, RIGHT_READ, ANY_FACTOR, handle_describe_producers},
    {KAFKA_API_UNREGISTER_BROKER, 0, 0, 0, RIGHT_ALTER, ANY_FACTOR, handle_unregister_broker},
    {KAFKA_API_CONSUMER_GROUP_HEARTBEAT, 0, 1, 0, RIGHT_READ, ANY_FACTOR, handle_consumer_group_heartbeat},
    {KAFKA_API_CONSUMER_GROUP_DESCRIBE, 0, 1, 0, RIGHT_DESCRIBE, ANY_FACTOR, handle_consumer_group_describe},
    {KAFKA_API_DESCRIBE_TRANSACTIONS, 0, 0, 0, RIGHT_DESCRIBE, ANY_FACTOR, handle_describe_transactions},
    {KAFKA_API_LIST_TRANSACTIONS, 0, 2, 0, RIGHT_DESCRIBE, ANY_FACTOR, handle_list_transactions},
    {KAFKA_API_DESCRIBE_TOPIC_PARTITIONS, 0, 0, 0, RIGHT_DESCRIBE, ANY_FACTOR,
     handle_describe_topic_partitions},
    {KAFKA_API_ADD_RAFT_VOTER, 0, 1, 0, RIGHT_ALTER, ANY_FACTOR, handle_add_raft_voter},
    {KAFKA_API_REMOVE_RAFT_VOTER, 0, 0, 0, RIGHT_ALTER, ANY_FACTOR, handle_remove_raft_voter},
};

const struct handler *handler_find(int16_t api_key)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].api_key == api_key)
            return &table[i];
    return NULL;
}

const struct handler *handler_table(size_t *ret_count)
{
    *ret_count = ARRAY_LEN(table);
    return table;
}
