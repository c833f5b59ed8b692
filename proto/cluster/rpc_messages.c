/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/cluster/rpc_messages.h"

#include "common/base/assert.h"
#include "proto/cluster/tables.h"

#define F(num, kind, member)       PB_FIELD(struct T, num, kind, member)
#define M(num, member, table, max) PB_ARRAY(struct T, num, PB_MSG_ARRAY, member, member##_count, max, table)

#define T rpc_register_broker_request
static const struct pb_field register_broker_request_fields[] = {
    F(1, PB_I32, broker_id),       F(2, PB_UUID, cluster_id),
    F(3, PB_UUID, incarnation_id), F(4, PB_UUID, directory_id),
    F(5, PB_STR_NULLABLE, rack),   M(6, endpoints, &pb_endpoint_table, META_ENDPOINTS_MAX),
    F(7, PB_BOOL, clean_start),    F(8, PB_I64, previous_broker_epoch),
    F(9, PB_I32, min_isr),         F(10, PB_BOOL, synced_kept),
};
#undef T

#define T rpc_register_broker_reply
static const struct pb_field register_broker_reply_fields[] = {
    F(1, PB_I16, error),
    F(2, PB_I32, leader_id),
    F(3, PB_UUID, cluster_id),
    F(4, PB_I64, broker_epoch),
};
#undef T

#define T rpc_heartbeat_request
static const struct pb_field heartbeat_request_fields[] = {
    F(1, PB_I32, broker_id),   F(2, PB_I64, broker_epoch),   F(3, PB_U64, metadata_index),
    F(4, PB_BOOL, want_fence), F(5, PB_BOOL, want_shutdown),
};
#undef T

#define T rpc_heartbeat_reply
static const struct pb_field heartbeat_reply_fields[] = {
    F(1, PB_I16, error),      F(2, PB_I32, leader_id),      F(3, PB_BOOL, fenced),
    F(4, PB_BOOL, caught_up), F(5, PB_BOOL, may_shut_down),
};
#undef T

#define T rpc_tail_request
static const struct pb_field tail_request_fields[] = {
    F(1, PB_U64, from_index),
    F(2, PB_U32, max_bytes),
    F(3, PB_U32, wait_ms),
};
#undef T

#define T rpc_tail_entry
static const struct pb_field tail_entry_fields[] = {
    F(1, PB_U64, index),
    F(2, PB_U64, term),
    F(3, PB_VIEW, records),
};
#undef T
static const struct pb_table tail_entry_table = PB_TABLE(struct rpc_tail_entry, tail_entry_fields);

#define T rpc_tail_reply
static const struct pb_field tail_reply_fields[] = {
    F(1, PB_I16, error),
    F(2, PB_I32, leader_id),
    F(3, PB_U64, commit_index),
    M(4, entries, &tail_entry_table, 0),
};
#undef T

#define T rpc_snapshot_request
static const struct pb_field snapshot_request_fields[] = {
    F(1, PB_U64, snapshot_index),
    F(2, PB_U64, offset),
    F(3, PB_U32, max_bytes),
};
#undef T

#define T rpc_snapshot_reply
static const struct pb_field snapshot_reply_fields[] = {
    F(1, PB_I16, error),  F(2, PB_U64, snapshot_index), F(3, PB_U64, snapshot_term),
    F(4, PB_U64, offset), F(5, PB_VIEW, chunk),         F(6, PB_BOOL, last),
};
#undef T

#define T rpc_alter_partition
static const struct pb_field alter_partition_fields[] = {
    F(1, PB_UUID, topic_id),
    F(2, PB_I32, index),
    F(3, PB_I32, leader_epoch),
    F(4, PB_I32, partition_epoch),
    F(5, PB_BOOL, recovering),
    PB_ARRAY(struct T, 6, PB_I32_ARRAY, isr, isr_count, META_REPLICAS_MAX, NULL),
    PB_ARRAY(struct T, 7, PB_I64_ARRAY, isr_epochs, isr_count, META_REPLICAS_MAX, NULL),
    F(8, PB_BOOL, leave),
    F(9, PB_BOOL, lost_data),
    F(10, PB_BOOL, tells_end),
    F(11, PB_I32, end_epoch),
    F(12, PB_I64, end_offset),
    F(13, PB_BOOL, gives_way),
};
#undef T
static const struct pb_table alter_partition_table =
    PB_TABLE(struct rpc_alter_partition, alter_partition_fields);

#define T rpc_alter_partition_request
static const struct pb_field alter_partition_request_fields[] = {
    F(1, PB_I32, broker_id),
    F(2, PB_I64, broker_epoch),
    M(3, partitions, &alter_partition_table, 0),
};
#undef T

#define T rpc_alter_partition_result
static const struct pb_field alter_partition_result_fields[] = {
    F(1, PB_UUID, topic_id),
    F(2, PB_I32, index),
    F(3, PB_I16, error),
};
#undef T
static const struct pb_table alter_partition_result_table =
    PB_TABLE(struct rpc_alter_partition_result, alter_partition_result_fields);

#define T rpc_alter_partition_reply
static const struct pb_field alter_partition_reply_fields[] = {
    F(1, PB_I16, error),
    F(2, PB_I32, leader_id),
    F(3, PB_U64, index),
    M(4, partitions, &alter_partition_result_table, 0),
};
#undef T

#define T rpc_admin_request
static const struct pb_field admin_request_fields[] = {
    F(1, PB_I16, api_key),     F(2, PB_I16, api_version), F(3, PB_STR, principal),
    F(4, PB_STR, client_host), F(5, PB_U32, timeout_ms),  F(6, PB_VIEW, body),
};
#undef T

#define T rpc_admin_reply
static const struct pb_field admin_reply_fields[] = {
    F(1, PB_I16, error),
    F(2, PB_I32, leader_id),
    F(3, PB_U64, index),
    F(4, PB_VIEW, body),
};
#undef T

#define T rpc_producer_ids_request
static const struct pb_field producer_ids_request_fields[] = {F(1, PB_I32, broker_id),
                                                              F(2, PB_I64, broker_epoch)};
#undef T

#define T rpc_producer_ids_reply
static const struct pb_field producer_ids_reply_fields[] = {
    F(1, PB_I16, error),
    F(2, PB_I32, leader_id),
    F(3, PB_I64, first_id),
    F(4, PB_I32, count),
};
#undef T

#define T rpc_status_reply
static const struct pb_field status_reply_fields[] = {
    F(1, PB_I16, error),        F(2, PB_I32, leader_id),     F(3, PB_U64, term),
    F(4, PB_U64, commit_index), F(5, PB_U64, applied_index), F(6, PB_UUID, cluster_id),
};
#undef T

/* StatusRequest has no fields yet. */
const struct pb_table rpc_status_request_table = {.size_bytes = sizeof(struct rpc_status_request)};

#define TABLE(name) const struct pb_table rpc_##name##_table = PB_TABLE(struct rpc_##name, name##_fields);
TABLE(register_broker_request)
TABLE(register_broker_reply)
TABLE(heartbeat_request)
TABLE(heartbeat_reply)
TABLE(tail_request)
TABLE(tail_reply)
TABLE(snapshot_request)
TABLE(snapshot_reply)
TABLE(alter_partition_request)
TABLE(alter_partition_reply)
TABLE(admin_request)
TABLE(admin_reply)
TABLE(producer_ids_request)
TABLE(producer_ids_reply)
TABLE(status_reply)
#undef TABLE

/* Takes the whole rest of the reader. `scratch` is filled first, so that the caller's struct stays untouched
 * on failure. */
static enum err read_rest(struct reader *r, struct arena *arena, const struct pb_table *table, void *scratch)
{
    if (r->err != OK)
        return r->err;
    size_t len = reader_left(r);
    enum err err = pb_table_read(r->p, len, arena, table, scratch);
    if (err != OK)
        reader_fail(r, err);
    else
        r->p = r->end;
    return err;
}

#define X(name)                                                                                              \
    void rpc_##name##_encode(struct writer *w, const struct rpc_##name *m)                                   \
    {                                                                                                        \
        if (w->err == OK)                                                                                    \
            pb_table_write(w, &rpc_##name##_table, m);                                                       \
    }                                                                                                        \
    enum err rpc_##name##_decode(struct reader *r, struct arena *arena, struct rpc_##name *ret)              \
    {                                                                                                        \
        struct rpc_##name scratch;                                                                           \
        enum err err = read_rest(r, arena, &rpc_##name##_table, &scratch);                                   \
        if (err == OK)                                                                                       \
            *ret = scratch;                                                                                  \
        return err;                                                                                          \
    }
CLUSTER_RPC_MESSAGES(X)
#undef X
