/* SPDX-License-Identifier: Apache-2.0 */
/* The requests of a transactor, and the errors in their answers. */
#include <string.h>

#include "common/base/assert.h"
#include "tests/sim/node_txn.h"

void txn_send_create(struct transactor *x)
{
    kafka_create_topics_request_init(&x->write.create);
    kafka_create_topics_request_topic_init(&x->write_topic);
    x->write_topic.name = STR_LIT(TXN_TOPIC);
    x->write_topic.num_partitions = TXN_PARTITIONS;
    x->write_topic.replication_factor = (int16_t)x->c.client.node->cluster->options.replicas;
    x->write.create.topics = &x->write_topic;
    x->write.create.topics_count = 1;
    x->write.create.timeout_ms = 3000;
    txn_client_call(&x->c, KAFKA_API_CREATE_TOPICS, 5, &x->write.create, CLIENT_ANY_NODE, true);
}

void txn_send_init(struct transactor *x)
{
    kafka_init_producer_id_request_init(&x->write.init);
    x->write.init.transactional_id = str_from(x->id);
    x->write.init.transaction_timeout_ms = TXN_TIMEOUT_MS;
    if (x->reinit) {
        x->write.init.producer_id = x->producer_id;
        x->write.init.producer_epoch = x->epoch;
    }
    txn_client_call(&x->c, KAFKA_API_INIT_PRODUCER_ID, 5, &x->write.init, x->coordinator, true);
}

static struct txn_who who(const struct transactor *x)
{
    return (struct txn_who){.id = x->id, .producer_id = x->producer_id, .epoch = x->epoch, .v1 = x->v1};
}

void txn_send_add(struct transactor *x)
{
    uint32_t seen = 0;
    int32_t count = 0;
    for (int i = 0; i < x->send_count; i++) {
        if (!(seen & 1u << x->sends[i].partition))
            x->write_parts[count++] = x->sends[i].partition;
        seen |= 1u << x->sends[i].partition;
    }
    struct txn_who self = who(x);
    txn_request_add(&x->c, &x->request, &self, x->write_parts, count, x->coordinator);
}

static struct iobuf *make_batch(const struct transactor *x, const struct txn_send *send)
{
    uint8_t value[TXN_VALUE_BYTES];
    struct batch_opts opts = BATCH_OPTS_PLAIN;
    struct batch_builder builder;
    struct iobuf *batch = NULL;
    store_be64(value, send->value);
    opts.transactional = true;
    opts.producer_id = x->producer_id;
    opts.producer_epoch = x->epoch;
    opts.base_sequence = x->sequences[send->partition];
    struct record_in record = {.timestamp_ms = env_wall_ms(x->c.client.env),
                               .value = {value, TXN_VALUE_BYTES}};
    enum err err = (enum err)batch_builder_init(&builder, &opts, NULL, 256, 4096);
    ASSERT(err == OK && batch_builder_add(&builder, &record) == OK);
    err = (enum err)batch_builder_finish(&builder, NULL, &batch);
    ASSERT(err == OK);
    return batch;
}

void txn_send_produce(struct transactor *x)
{
    struct txn_send *send = &x->sends[x->sent];
    if (x->batch == NULL) /* the same once more, otherwise */
        x->batch = make_batch(x, send);
    struct txn_who self = who(x);
    txn_request_produce(&x->c, &x->request, &self, send->partition, x->batch, x->c.leaders[send->partition]);
}

void txn_send_add_offsets(struct transactor *x)
{
    struct txn_who self = who(x);
    txn_request_add_offsets(&x->c, &x->request, &self, x->identity, x->coordinator);
}

void txn_send_offsets(struct transactor *x)
{
    struct txn_who self = who(x);
    txn_request_offsets(&x->c, &x->request, &self, x->identity, x->next_position, x->group_coordinator);
}

void txn_send_end(struct transactor *x)
{
    struct txn_who self = who(x);
    txn_request_end(&x->c, &x->request, &self, x->commit, x->coordinator);
}

/* -- answers -- */

/* There may be too few brokers yet. */
static int16_t error_in_create(const struct kafka_create_topics_response *response)
{
    int16_t error = response->topics_count == 1 ? response->topics[0].error_code : KAFKA_UNKNOWN_SERVER_ERROR;
    return error == KAFKA_TOPIC_ALREADY_EXISTS ? KAFKA_NONE : error;
}

static int16_t error_in_add(const struct kafka_add_partitions_to_txn_response *response)
{
    if (response->results_by_topic_v3_and_below_count != 1)
        return KAFKA_UNKNOWN_SERVER_ERROR;
    const struct kafka_add_partitions_to_txn_response_topic_result *topic =
        &response->results_by_topic_v3_and_below[0];
    for (int32_t i = 0; i < topic->results_by_partition_count; i++)
        if (topic->results_by_partition[i].partition_error_code != KAFKA_NONE)
            return topic->results_by_partition[i].partition_error_code;
    return KAFKA_NONE;
}

static int16_t error_in_produce(const struct kafka_produce_response *response)
{
    return response->topics_count == 1 && response->topics[0].partitions_count == 1
               ? response->topics[0].partitions[0].error_code
               : KAFKA_UNKNOWN_SERVER_ERROR;
}

static int16_t error_in_offsets(const struct kafka_txn_offset_commit_response *response)
{
    return response->topics_count == 1 && response->topics[0].partitions_count == 1
               ? response->topics[0].partitions[0].error_code
               : KAFKA_UNKNOWN_SERVER_ERROR;
}

int16_t txn_error_in(const struct client_reply *reply)
{
    switch (reply->api_key) {
    case KAFKA_API_CREATE_TOPICS: return error_in_create(reply->message);
    case KAFKA_API_INIT_PRODUCER_ID:
        return ((const struct kafka_init_producer_id_response *)reply->message)->error_code;
    case KAFKA_API_ADD_PARTITIONS_TO_TXN: return error_in_add(reply->message);
    case KAFKA_API_PRODUCE: return error_in_produce(reply->message);
    case KAFKA_API_ADD_OFFSETS_TO_TXN:
        return ((const struct kafka_add_offsets_to_txn_response *)reply->message)->error_code;
    case KAFKA_API_TXN_OFFSET_COMMIT: return error_in_offsets(reply->message);
    case KAFKA_API_END_TXN: return ((const struct kafka_end_txn_response *)reply->message)->error_code;
    default: return KAFKA_UNKNOWN_SERVER_ERROR;
    }
}

bool txn_error_is_fencing(int16_t error)
{
    return error == KAFKA_INVALID_PRODUCER_EPOCH || error == KAFKA_PRODUCER_FENCED ||
           error == KAFKA_INVALID_PRODUCER_ID_MAPPING;
}

bool txn_error_is_final(int16_t error)
{
    return txn_error_is_fencing(error) || error == KAFKA_INVALID_TXN_STATE ||
           error == KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER ||
           error == KAFKA_INVALID_TIMESTAMP || /* our clock or the leader's is hours off */
           error == KAFKA_TRANSACTION_ABORTABLE;
}

/* -- once more -- */

static struct txn_replay *keep(struct transactor *x, enum txn_replay_kind kind)
{
    struct txn_replays *replays = &x->c.client.node->cluster->replays;
    struct txn_replay *kept = &replays->list[replays->count++ % TXN_REPLAYS_MAX];
    replays->coordinator[x->identity] = x->coordinator;
    if (x->group_coordinator >= 0)
        replays->group_coordinator[x->identity] = x->group_coordinator;
    *kept = (struct txn_replay){.kind = kind,
                                .identity = x->identity,
                                .v1 = x->v1,
                                .commit = x->commit,
                                .producer_id = x->producer_id,
                                .epoch = x->epoch,
                                .offset = x->next_position};
    return kept;
}

void txn_keep_request(struct transactor *x, enum txn_replay_kind kind)
{
    if (x->v1 && kind != TXN_REPLAY_PRODUCE && kind != TXN_REPLAY_ADD)
        return;
    struct txn_replay *kept = keep(x, kind);
    kept->partition = x->sends[MIN(x->sent, x->send_count - 1)].partition;
    if (kind != TXN_REPLAY_PRODUCE)
        return;
    ASSERT(x->batch->len <= sizeof(kept->batch));
    kept->len = x->batch->len;
    memcpy(kept->batch, x->batch->data, x->batch->len);
}

void txn_keep_markers(struct transactor *x)
{
    int32_t epoch = txn_client_txn_epoch(&x->c, x->identity, x->coordinator);
    if (epoch < 0)
        return;
    struct txn_replay *kept = keep(x, TXN_REPLAY_MARKER);
    kept->partition = x->sends[0].partition;
    kept->coordinator_epoch = epoch;
}
