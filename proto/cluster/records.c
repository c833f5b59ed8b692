/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/cluster/records.h"

#include "common/base/assert.h"
#include "proto/cluster/tables.h"

#define F(num, kind, member)       PB_FIELD(struct T, num, kind, member)
#define A(num, kind, member, max)  PB_ARRAY(struct T, num, kind, member, member##_count, max, NULL)
#define M(num, member, max, table) PB_ARRAY(struct T, num, PB_MSG_ARRAY, member, member##_count, max, table)

#define T meta_endpoint
static const struct pb_field endpoint_fields[] = {
    F(1, PB_STR, name),     F(2, PB_STR, host),      F(3, PB_U16, port),
    F(4, PB_I16, security), F(5, PB_BOOL, internal),
};
#undef T
const struct pb_table pb_endpoint_table = PB_TABLE(struct meta_endpoint, endpoint_fields);

#define T meta_cluster
static const struct pb_field cluster_fields[] = {F(1, PB_UUID, cluster_id), F(2, PB_I64, created_ms)};
#undef T

#define T meta_broker
static const struct pb_field broker_fields[] = {
    F(1, PB_I32, broker_id),       F(2, PB_I64, broker_epoch),
    F(3, PB_UUID, incarnation_id), F(4, PB_UUID, directory_id),
    F(5, PB_STR_NULLABLE, rack),   M(6, endpoints, META_ENDPOINTS_MAX, &pb_endpoint_table),
    F(7, PB_BOOL, fenced),         F(8, PB_BOOL, in_controlled_shutdown),
    F(9, PB_BOOL, clean_start),    F(10, PB_I32, min_isr),
};
#undef T

#define T meta_broker_state
static const struct pb_field broker_state_fields[] = {
    F(1, PB_I32, broker_id),
    F(2, PB_I64, broker_epoch),
    F(3, PB_BOOL, fenced),
    F(4, PB_BOOL, in_controlled_shutdown),
};
#undef T

#define T meta_broker_removed
static const struct pb_field broker_removed_fields[] = {F(1, PB_I32, broker_id), F(2, PB_I64, broker_epoch)};
#undef T

#define T meta_topic
static const struct pb_field topic_fields[] = {F(1, PB_UUID, topic_id), F(2, PB_STR, name)};
#undef T

#define T meta_topic_removed
static const struct pb_field topic_removed_fields[] = {F(1, PB_UUID, topic_id)};
#undef T

#define T meta_partition
static const struct pb_field partition_fields[] = {
    F(1, PB_UUID, topic_id),
    F(2, PB_I32, index),
    F(3, PB_I32, leader),
    F(4, PB_I32, leader_epoch),
    F(5, PB_I32, partition_epoch),
    F(6, PB_BOOL, recovering),
    A(7, PB_I32_ARRAY, replicas, META_REPLICAS_MAX),
    A(8, PB_I32_ARRAY, isr, META_REPLICAS_MAX),
    A(9, PB_I32_ARRAY, elr, META_REPLICAS_MAX),
    A(10, PB_I32_ARRAY, last_known_elr, META_REPLICAS_MAX),
    A(11, PB_I32_ARRAY, adding, META_REPLICAS_MAX),
    A(12, PB_I32_ARRAY, removing, META_REPLICAS_MAX),
    F(13, PB_BOOL, disks_gone),
    F(14, PB_BOOL, yields),
};
#undef T

#define T meta_config
static const struct pb_field config_fields[] = {
    F(1, PB_I8, resource_type),
    F(2, PB_STR, resource_name),
    F(3, PB_STR, key),
    F(4, PB_STR_NULLABLE, value),
};
#undef T

#define T meta_producer_ids
static const struct pb_field producer_ids_fields[] = {
    F(1, PB_I32, broker_id),
    F(2, PB_I64, broker_epoch),
    F(3, PB_I64, next_producer_id),
};
#undef T

#define T meta_feature
static const struct pb_field feature_fields[] = {F(1, PB_STR, name), F(2, PB_I16, level)};
#undef T

#define T meta_controller
static const struct pb_field controller_fields[] = {F(1, PB_I32, node_id), F(2, PB_STR, host),
                                                    F(3, PB_U16, port)};
#undef T

/* Indexed by enum meta_type, which is the field number of MetadataRecord's oneof. */
static const struct pb_table record_tables[] = {
    [META_CLUSTER] = PB_TABLE(struct meta_cluster, cluster_fields),
    [META_BROKER] = PB_TABLE(struct meta_broker, broker_fields),
    [META_BROKER_STATE] = PB_TABLE(struct meta_broker_state, broker_state_fields),
    [META_BROKER_REMOVED] = PB_TABLE(struct meta_broker_removed, broker_removed_fields),
    [META_TOPIC] = PB_TABLE(struct meta_topic, topic_fields),
    [META_TOPIC_REMOVED] = PB_TABLE(struct meta_topic_removed, topic_removed_fields),
    [META_PARTITION] = PB_TABLE(struct meta_partition, partition_fields),
    [META_CONFIG] = PB_TABLE(struct meta_config, config_fields),
    [META_PRODUCER_IDS] = PB_TABLE(struct meta_producer_ids, producer_ids_fields),
    [META_FEATURE] = PB_TABLE(struct meta_feature, feature_fields),
    [META_CONTROLLER] = PB_TABLE(struct meta_controller, controller_fields),
};

const struct pb_table *meta_record_table(uint32_t type)
{
    return type > META_UNKNOWN && type < ARRAY_LEN(record_tables) ? &record_tables[type] : NULL;
}

/* The members of the union all start where it starts. */
#define BODY_OFFSET offsetof(struct meta_record, cluster)

void meta_record_encode(struct writer *w, const struct meta_record *record)
{
    const struct pb_table *table = meta_record_table((uint32_t)record->type);
    ASSERT(table != NULL);
    const void *body = (const uint8_t *)record + BODY_OFFSET;
    pb_write_envelope(w, (uint32_t)record->type, pb_table_size(table, body));
    pb_table_write(w, table, body);
}

static enum err decode_record(struct bytes message, struct arena *arena, struct meta_record *record)
{
    uint32_t number;
    struct bytes body;
    enum err err = pb_read_envelope(message.p, (size_t)message.len, &number, &body);
    if (err != OK)
        return err;
    if (number == META_UNKNOWN || number >= ARRAY_LEN(record_tables)) {
        record->type = META_UNKNOWN;
        return OK;
    }
    record->type = (enum meta_type)number;
    return pb_table_read(body.p, (size_t)body.len, arena, &record_tables[number],
                         (uint8_t *)record + BODY_OFFSET);
}

enum err meta_record_decode(struct reader *r, struct arena *arena, struct meta_record *ret_record)
{
    uint32_t len = reader_uvarint(r);
    if (r->err == OK && len > INT32_MAX)
        reader_fail(r, ERR_TOO_LARGE);
    const uint8_t *p = reader_raw(r, len);
    if (!p)
        return r->err == ERR_TRUNCATED ? ERR_MALFORMED : r->err;
    struct meta_record record = {0};
    enum err err = decode_record((struct bytes){p, (int32_t)len}, arena, &record);
    if (err != OK) {
        reader_fail(r, err);
        return err;
    }
    *ret_record = record;
    return OK;
}
