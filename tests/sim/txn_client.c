/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/txn_client.h"

#include <stdio.h>
#include <string.h>

#include "common/base/assert.h"
#include "tests/sim/nodes.h"

#define CALL_US           4000000
#define PLAIN_MAX         (1 << 20)
#define FETCH_BYTES       (64 << 10)
#define ABORTED_MAX       1024 /* in one answer of FETCH_BYTES */
#define FIRST_GROUP       10   /* in the history; other groups have lower numbers */
#define COORDINATOR_PARTS 2    /* partitions of the coordinators' topics (node_broker.c) */
#define UNREADABLE        UINT64_MAX

void txn_client_open(struct txn_client *c, struct node *node, struct env *env,
                     const struct client_driver_handler *handler)
{
    ASSERT(batch_scratch_init(&c->scratch, PLAIN_MAX, 0) == OK);
    client_node_open(&c->client, node, env, handler, c);
    for (int i = 0; i < TXN_PARTITIONS; i++)
        c->leaders[i] = -1;
    c->stale = true;
}

void txn_client_free(struct txn_client *c)
{
    batch_scratch_free(&c->scratch);
}

void txn_client_call(struct txn_client *c, int16_t api, int16_t version_max, const void *message,
                     int32_t node, bool repeatable)
{
    struct client_request request = {.api_key = api,
                                     .version_max = version_max,
                                     .message = message,
                                     .node = node,
                                     .timeout_us = CALL_US,
                                     .repeatable = repeatable};
    enum err err =
        client_call(client_driver_client(c->client.driver), client_driver_now_us(c->client.driver), &request);
    ASSERT(err == OK);
    client_driver_kick(c->client.driver);
}

/* -- looking up -- */

void txn_client_ask_leaders(struct txn_client *c)
{
    kafka_metadata_request_init(&c->metadata);
    memset(&c->metadata_topic, 0, sizeof(c->metadata_topic));
    c->metadata_topic.name = STR_LIT(TXN_TOPIC);
    c->metadata.topics = &c->metadata_topic;
    c->metadata.topics_count = 1;
    c->metadata.allow_auto_topic_creation = false;
    txn_client_call(c, KAFKA_API_METADATA, 9, &c->metadata, CLIENT_ANY_NODE, true);
}

void txn_client_take_leaders(struct txn_client *c, const struct kafka_metadata_response *response)
{
    if (response->topics_count != 1)
        return;
    c->stale = false;
    for (int32_t i = 0; i < response->topics[0].partitions_count; i++) {
        const struct kafka_metadata_response_partition *one = &response->topics[0].partitions[i];
        if (one->partition_index < TXN_PARTITIONS)
            c->leaders[one->partition_index] = one->leader_id;
    }
}

void txn_client_ask_coordinator(struct txn_client *c, const char *key, int8_t type)
{
    c->key = str_from(key);
    kafka_find_coordinator_request_init(&c->find);
    c->find.key_type = type;
    c->find.coordinator_keys = &c->key;
    c->find.coordinator_keys_count = 1;
    txn_client_call(c, KAFKA_API_FIND_COORDINATOR, 4, &c->find, CLIENT_ANY_NODE, true);
}

int32_t txn_client_coordinator(const struct kafka_find_coordinator_response *response)
{
    bool found = response->coordinators_count == 1 && response->coordinators[0].error_code == KAFKA_NONE;
    return found ? response->coordinators[0].node_id : -1;
}

/* -- reading -- */

bool txn_client_ask_records(struct txn_client *c, int32_t partition, int64_t from)
{
    if (c->leaders[partition] < 0)
        return false;
    kafka_fetch_request_init(&c->fetch);
    kafka_fetch_request_topic_init(&c->fetch_topic);
    kafka_fetch_request_partition_init(&c->fetch_part);
    c->fetch_part.partition = partition;
    c->fetch_part.fetch_offset = from;
    c->fetch_part.partition_max_bytes = FETCH_BYTES;
    c->fetch_topic.topic = STR_LIT(TXN_TOPIC);
    c->fetch_topic.partitions = &c->fetch_part;
    c->fetch_topic.partitions_count = 1;
    c->fetch.replica_id = -1;
    c->fetch.max_bytes = FETCH_BYTES;
    c->fetch.isolation_level = 1;
    c->fetch.rack_id = STR_LIT("");
    c->fetch.topics = &c->fetch_topic;
    c->fetch.topics_count = 1;
    txn_client_call(c, KAFKA_API_FETCH, 11, &c->fetch, c->leaders[partition], true);
    return true;
}

const struct kafka_fetch_response_partition *txn_client_records(struct txn_client *c,
                                                                const struct kafka_fetch_response *response)
{
    bool good = response->error_code == KAFKA_NONE && response->topics_count == 1 &&
                response->topics[0].partitions_count == 1 &&
                response->topics[0].partitions[0].error_code == KAFKA_NONE;
    c->stale |= !good;
    return good ? &response->topics[0].partitions[0] : NULL;
}

int64_t txn_client_each_record(struct txn_client *c, const struct kafka_fetch_response_partition *in,
                               int64_t from,
                               bool (*each)(void *ctx, const struct record *record, uint64_t value),
                               void *ctx)
{
    struct client_aborted aborted[ABORTED_MAX];
    struct client_records records = {
        .p = in->records.p, .len = (size_t)MAX(in->records.len, 0), .from = from, .aborted = aborted};
    struct record record;
    struct reader r = reader_over(records.p, records.len);
    const uint8_t *batch;
    size_t size, whole = 0;
    int64_t position = from;
    if (in->aborted_transactions_count > ABORTED_MAX)
        return from; /* more than this can hold: not read on, and the run says so */
    for (int32_t i = 0; i < in->aborted_transactions_count; i++)
        aborted[records.aborted_count++] = (struct client_aborted){in->aborted_transactions[i].producer_id,
                                                                   in->aborted_transactions[i].first_offset};
    while ((batch = batch_next(&r, &size)) != NULL) {
        whole += size;
        position = MAX(position, batch_next_offset(batch));
    }
    records.len = whole;
    struct client_records_iter it = client_records_begin(&records, &c->scratch);
    while (client_records_next(&it, &record)) {
        bool sane = record.value.len == TXN_VALUE_BYTES;
        if (!each(ctx, &record, sane ? load_be64(record.value.p) : UNREADABLE))
            return record.offset + 1;
    }
    return position;
}

/* -- groups -- */

void txn_client_ask_offset(struct txn_client *c, int32_t partition, int32_t coordinator)
{
    snprintf(c->group, sizeof(c->group), "tg%d", partition);
    c->asked_index = partition;
    kafka_offset_fetch_request_init(&c->asked);
    kafka_offset_fetch_request_group_init(&c->asked_group);
    memset(&c->asked_topic, 0, sizeof(c->asked_topic));
    c->asked_topic.name = STR_LIT(TXN_TOPIC);
    c->asked_topic.partition_indexes = &c->asked_index;
    c->asked_topic.partition_indexes_count = 1;
    c->asked_group.group_id = str_from(c->group);
    c->asked_group.topics = &c->asked_topic;
    c->asked_group.topics_count = 1;
    c->asked.groups = &c->asked_group;
    c->asked.groups_count = 1;
    c->asked.require_stable = true;
    txn_client_call(c, KAFKA_API_OFFSET_FETCH, 9, &c->asked, coordinator, true);
}

int16_t txn_client_offset(const struct kafka_offset_fetch_response *response, int64_t *ret_offset)
{
    if (response->groups_count != 1)
        return KAFKA_UNKNOWN_SERVER_ERROR;
    const struct kafka_offset_fetch_response_group *group = &response->groups[0];
    if (group->error_code != KAFKA_NONE)
        return group->error_code;
    if (group->topics_count != 1 || group->topics[0].partitions_count != 1)
        return KAFKA_UNKNOWN_SERVER_ERROR;
    *ret_offset = group->topics[0].partitions[0].committed_offset;
    return group->topics[0].partitions[0].error_code;
}

uint32_t txn_client_group(int32_t partition)
{
    return FIRST_GROUP + (uint32_t)partition;
}

struct str txn_client_group_name(int32_t partition)
{
    static const char *const names[TXN_IDENTITIES] = {"tg0", "tg1"};
    return str_from(names[partition]);
}

void txn_client_id(int32_t identity, char out[TXN_ID_MAX])
{
    snprintf(out, TXN_ID_MAX, "txn%d", identity);
}

/* As Kafka places groups and transactional ids: the hash of Java's strings. */
static int32_t place_of(struct str name)
{
    uint32_t hash = 0;
    for (int32_t i = 0; i < name.len; i++)
        hash = 31 * hash + (uint8_t)name.p[i];
    return (int32_t)((hash & INT32_MAX) % COORDINATOR_PARTS);
}

static int32_t epoch_of(const struct txn_client *c, const char *topic, struct str name, int32_t coordinator)
{
    struct cluster *cluster = c->client.node->cluster;
    for (int i = 0; i < cluster->options.brokers; i++)
        if (cluster_node(cluster, ROLE_BROKER, i)->id == coordinator)
            return node_leader_epoch(cluster_node(cluster, ROLE_BROKER, i), topic, place_of(name));
    return -1;
}

int32_t txn_client_txn_epoch(const struct txn_client *c, int32_t identity, int32_t coordinator)
{
    char id[TXN_ID_MAX];
    txn_client_id(identity, id);
    return epoch_of(c, "__transaction_state", str_from(id), coordinator);
}

int32_t txn_client_group_epoch(const struct txn_client *c, int32_t partition, int32_t coordinator)
{
    return epoch_of(c, "__consumer_offsets", txn_client_group_name(partition), coordinator);
}

/* -- the history -- */

struct history_record txn_client_note(const struct txn_client *c, enum history_type type, enum history_op op,
                                      int32_t partition, uint32_t call)
{
    struct history_record record = history_record(type, op, c->client.process, 0);
    if (partition >= 0) {
        record.topic = cluster_topic(CLUSTER_TXN_TOPIC);
        record.partition = partition;
    }
    record.call = call;
    return record;
}

void txn_client_record(const struct txn_client *c, struct history_record record)
{
    cluster_record(c->client.node->cluster, record);
}
