/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/txn_requests.h"

#include <string.h>

#define PRODUCE_TIMEOUT_MS 3000

/* The newest versions without implicit additions, and those with. */
static int16_t version(const struct txn_who *who, int16_t v1, int16_t v2)
{
    return who->v1 ? v1 : v2;
}

void txn_request_add(struct txn_client *c, struct txn_request *request, const struct txn_who *who,
                     int32_t *partitions, int32_t count, int32_t node)
{
    struct kafka_add_partitions_to_txn_request *message = &request->message.add;
    struct kafka_add_partitions_to_txn_request_topic *topic = &request->topic.add;
    kafka_add_partitions_to_txn_request_init(message);
    memset(topic, 0, sizeof(*topic));
    topic->name = STR_LIT(TXN_TOPIC);
    topic->partitions = partitions;
    topic->partitions_count = count;
    message->v3_and_below_transactional_id = str_from(who->id);
    message->v3_and_below_producer_id = who->producer_id;
    message->v3_and_below_producer_epoch = who->epoch;
    message->v3_and_below_topics = topic;
    message->v3_and_below_topics_count = 1;
    txn_client_call(c, KAFKA_API_ADD_PARTITIONS_TO_TXN, 3, message, node, false);
}

void txn_request_produce(struct txn_client *c, struct txn_request *request, const struct txn_who *who,
                         int32_t partition, struct iobuf *batch, int32_t node)
{
    struct kafka_produce_request *message = &request->message.produce;
    struct kafka_produce_request_topic *topic = &request->topic.produce;
    struct kafka_produce_request_partition *part = &request->part.produce;
    kafka_produce_request_init(message);
    memset(topic, 0, sizeof(*topic));
    memset(part, 0, sizeof(*part));
    part->index = partition;
    part->records = (struct kafka_records){.p = batch->data, .owner = batch, .len = (int32_t)batch->len};
    topic->name = STR_LIT(TXN_TOPIC);
    topic->partitions = part;
    topic->partitions_count = 1;
    message->transactional_id = str_from(who->id);
    message->acks = -1;
    message->timeout_ms = PRODUCE_TIMEOUT_MS;
    message->topics = topic;
    message->topics_count = 1;
    txn_client_call(c, KAFKA_API_PRODUCE, version(who, 11, 12), message, node, false);
}

void txn_request_add_offsets(struct txn_client *c, struct txn_request *request, const struct txn_who *who,
                             int32_t input, int32_t node)
{
    struct kafka_add_offsets_to_txn_request *message = &request->message.add_offsets;
    kafka_add_offsets_to_txn_request_init(message);
    message->transactional_id = str_from(who->id);
    message->producer_id = who->producer_id;
    message->producer_epoch = who->epoch;
    message->group_id = txn_client_group_name(input);
    txn_client_call(c, KAFKA_API_ADD_OFFSETS_TO_TXN, 3, message, node, false);
}

void txn_request_offsets(struct txn_client *c, struct txn_request *request, const struct txn_who *who,
                         int32_t input, int64_t offset, int32_t node)
{
    struct kafka_txn_offset_commit_request *message = &request->message.offsets;
    struct kafka_txn_offset_commit_request_topic *topic = &request->topic.offsets;
    struct kafka_txn_offset_commit_request_partition *part = &request->part.offsets;
    kafka_txn_offset_commit_request_init(message);
    memset(topic, 0, sizeof(*topic));
    memset(part, 0, sizeof(*part));
    part->partition_index = input;
    part->committed_offset = offset;
    part->committed_leader_epoch = -1;
    part->committed_metadata = STR_LIT("");
    topic->name = STR_LIT(TXN_TOPIC);
    topic->partitions = part;
    topic->partitions_count = 1;
    message->transactional_id = str_from(who->id);
    message->group_id = txn_client_group_name(input);
    message->producer_id = who->producer_id;
    message->producer_epoch = who->epoch;
    message->member_id = STR_LIT("");
    message->topics = topic;
    message->topics_count = 1;
    txn_client_call(c, KAFKA_API_TXN_OFFSET_COMMIT, version(who, 4, 5), message, node, false);
}

void txn_request_end(struct txn_client *c, struct txn_request *request, const struct txn_who *who,
                     bool commit, int32_t node)
{
    struct kafka_end_txn_request *message = &request->message.end;
    kafka_end_txn_request_init(message);
    message->transactional_id = str_from(who->id);
    message->producer_id = who->producer_id;
    message->producer_epoch = who->epoch;
    message->committed = commit;
    txn_client_call(c, KAFKA_API_END_TXN, version(who, 4, 5), message, node, false);
}
