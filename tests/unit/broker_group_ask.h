/* SPDX-License-Identifier: Apache-2.0 */
/* One request to a group coordinator's core, with room for what it points to. */
#ifndef SLUICE_TESTS_UNIT_BROKER_GROUP_ASK_H
#define SLUICE_TESTS_UNIT_BROKER_GROUP_ASK_H

#include <stdio.h>

#include "broker/core/group.h"
#include "proto/kafka/messages.h"

#define WORLD_NAME_MAX 96

/* One request and what became of it. */
struct ask {
    struct group_call call;
    struct arena arena;
    union {
        struct kafka_join_group_request join;
        struct kafka_sync_group_request sync;
        struct kafka_heartbeat_request heartbeat;
        struct kafka_leave_group_request leave;
        struct kafka_offset_commit_request commit;
        struct kafka_offset_fetch_request_group fetch;
        struct kafka_txn_offset_commit_request txn_commit;
        struct kafka_offset_delete_request offset_delete;
        struct kafka_consumer_group_heartbeat_request consumer;
    } in;
    union {
        struct kafka_join_group_response join;
        struct kafka_sync_group_response sync;
        struct kafka_leave_group_response leave;
        struct kafka_offset_commit_response commit;
        struct kafka_offset_fetch_response_group fetch;
        struct kafka_txn_offset_commit_response txn_commit;
        struct kafka_offset_delete_response offset_delete;
        struct kafka_describe_groups_response_group describe;
        struct kafka_consumer_group_heartbeat_response consumer;
        struct kafka_consumer_group_describe_response_group consumer_describe;
        struct kafka_list_groups_response list;
    } out;
    union {
        struct kafka_join_group_request_protocol protocol;
        struct kafka_sync_group_request_assignment assignments[2];
        struct kafka_leave_group_request_member member;
        struct kafka_offset_commit_request_topic commit;
        struct kafka_txn_offset_commit_request_topic txn_commit;
        struct kafka_consumer_group_heartbeat_request_topic_partition owned[4];
    } part;
    struct str names[4];
    int32_t owned[64];
    char text[4][WORLD_NAME_MAX];
    struct kafka_offset_commit_request_partition offset;
    struct kafka_offset_commit_response_topic topic_out;
    struct kafka_offset_commit_response_partition offset_out;
    struct kafka_txn_offset_commit_request_partition txn_offset;
    struct kafka_txn_offset_commit_response_topic txn_topic_out;
    struct kafka_txn_offset_commit_response_partition txn_offset_out;
    struct kafka_offset_delete_response_topic delete_topic_out;
    struct kafka_offset_delete_response_partition delete_out;
    char member_id[WORLD_NAME_MAX];
    bool answered;
};

#endif
