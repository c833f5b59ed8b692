/* SPDX-License-Identifier: Apache-2.0 */
/* A transactional producer and a reader of committed records in one client: transactions over several
 * partitions of a topic of their own, some with a group's offset, in protocol version 2. What became of each
 * stands in the cluster's ledger, which outlives the client.
 *
 * While all is running, no record may be seen whose commit was not asked for. At the end, with nothing under
 * way, every transaction is whole or absent: whole if its commit was confirmed, absent if it was never asked
 * for; the log is stable up to its end (nothing hangs), and the group stands where a committed transaction
 * put it. */
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "tests/sim/client_node.h"
#include "tests/sim/nodes.h"
#include "tests/sim/observe.h"

#define TOPIC          "tx"
#define TXN_ID         "txn"
#define GROUP          "tg"
#define WRITE_TAG      1
#define READ_TAG       2
#define CALL_US        4000000
#define TICK_US        150000
#define RETRY_US       60000
#define TXN_TIMEOUT_MS 8000
#define VALUE_BYTES    8
#define PLAIN_MAX      (1 << 20)
#define ABORTED_MAX    1024 /* in one answer of 64 KiB */

enum step {
    STEP_TOPIC,
    STEP_FIND,
    STEP_INIT,
    STEP_IDLE,
    STEP_PRODUCE,
    STEP_FIND_GROUP,
    STEP_OFFSETS,
    STEP_END
};

enum read_step { READ_NOTHING, READ_LOG, READ_OFFSETS, READ_DONE };

struct transactor {
    struct client_node client; /* first */
    struct env_timer tick, again;
    struct batch_scratch scratch;
    enum step step;
    bool busy, with_offsets, commit;
    int32_t coordinator, group_coordinator, partition;
    int64_t producer_id;
    int16_t epoch;
    uint32_t number; /* of the present transaction */
    uint32_t parts;  /* bits: partitions still to be written */
    struct iobuf *batch;
    /* The reader. */
    enum read_step read_step;
    bool reading, final;
    int32_t read_partition, unstable;
    int64_t positions[TXN_PARTITIONS];
    int32_t leaders[TXN_PARTITIONS]; /* -1: nobody, or not known */
    bool stale;                      /* they are to be asked for */
    struct kafka_metadata_request metadata;
    struct kafka_metadata_request_topic metadata_topic;
    union {
        struct kafka_create_topics_request create;
        struct kafka_find_coordinator_request find;
        struct kafka_init_producer_id_request init;
        struct kafka_produce_request produce;
        struct kafka_txn_offset_commit_request offsets;
        struct kafka_end_txn_request end;
    } write;
    union {
        struct kafka_create_topics_request_topic create;
        struct kafka_produce_request_topic produce;
        struct kafka_txn_offset_commit_request_topic offsets;
    } write_topic;
    union {
        struct kafka_produce_request_partition produce;
        struct kafka_txn_offset_commit_request_partition offsets;
    } write_part;
    struct str key;
    struct kafka_fetch_request fetch;
    struct kafka_fetch_request_topic fetch_topic;
    struct kafka_fetch_request_partition fetch_part;
    struct kafka_offset_fetch_request asked;
    struct kafka_offset_fetch_request_group asked_group;
    struct kafka_offset_fetch_request_group_topic asked_topic;
    int32_t asked_index;
};

static void on_again(struct env_timer *timer);

static struct txn_ledger *ledger_of(const struct transactor *x)
{
    return &x->client.node->cluster->txns;
}

static void violated(struct transactor *x, const char *what, uint32_t number, int64_t is)
{
    struct cluster *cluster = x->client.node->cluster;
    world_trace(cluster->world, "transactions: %s: number %u (%lld)", what, number, (long long)is);
    cluster_unhealthy(cluster, x->client.node, 1, 0);
}

static void call(struct transactor *x, int16_t api, int16_t version_max, const void *message, int32_t node,
                 uint64_t tag)
{
    struct client_request request = {.api_key = api,
                                     .version_max = version_max,
                                     .message = message,
                                     .node = node,
                                     .timeout_us = CALL_US,
                                     .repeatable = true,
                                     .tag = tag};
    enum err err =
        client_call(client_driver_client(x->client.driver), client_driver_now_us(x->client.driver), &request);
    ASSERT(err == OK);
    client_driver_kick(x->client.driver);
}

static void again_soon(struct transactor *x)
{
    env_timer_set(x->client.env, &x->again, env_now_us(x->client.env) + RETRY_US);
}

/* -- writing -- */

static void send_create(struct transactor *x)
{
    kafka_create_topics_request_init(&x->write.create);
    kafka_create_topics_request_topic_init(&x->write_topic.create);
    x->write_topic.create.name = STR_LIT(TOPIC);
    x->write_topic.create.num_partitions = TXN_PARTITIONS;
    x->write_topic.create.replication_factor = (int16_t)x->client.node->cluster->options.replicas;
    x->write.create.topics = &x->write_topic.create;
    x->write.create.topics_count = 1;
    x->write.create.timeout_ms = 3000;
    call(x, KAFKA_API_CREATE_TOPICS, 5, &x->write.create, CLIENT_ANY_NODE, WRITE_TAG);
}

static void send_find(struct transactor *x, const char *key, int8_t type)
{
    x->key = str_from(key);
    kafka_find_coordinator_request_init(&x->write.find);
    x->write.find.key_type = type;
    x->write.find.coordinator_keys = &x->key;
    x->write.find.coordinator_keys_count = 1;
    call(x, KAFKA_API_FIND_COORDINATOR, 4, &x->write.find, CLIENT_ANY_NODE, WRITE_TAG);
}

static void send_init(struct transactor *x)
{
    kafka_init_producer_id_request_init(&x->write.init);
    x->write.init.transactional_id = STR_LIT(TXN_ID);
    x->write.init.transaction_timeout_ms = TXN_TIMEOUT_MS;
    call(x, KAFKA_API_INIT_PRODUCER_ID, 5, &x->write.init, x->coordinator, WRITE_TAG);
}

static struct iobuf *make_batch(const struct transactor *x)
{
    uint8_t value[VALUE_BYTES];
    struct batch_opts opts = BATCH_OPTS_PLAIN;
    struct batch_builder builder;
    struct iobuf *batch = NULL;
    store_be32(value, x->number);
    store_be32(value + 4, (uint32_t)x->partition);
    opts.transactional = true;
    opts.producer_id = x->producer_id;
    opts.producer_epoch = x->epoch;
    opts.base_sequence = 0;
    struct record_in record = {.timestamp_ms = env_wall_ms(x->client.env), .value = {value, VALUE_BYTES}};
    enum err err = (enum err)batch_builder_init(&builder, &opts, NULL, 256, 4096);
    ASSERT(err == OK && batch_builder_add(&builder, &record) == OK);
    err = (enum err)batch_builder_finish(&builder, NULL, &batch);
    ASSERT(err == OK);
    return batch;
}

static void send_produce(struct transactor *x)
{
    x->partition = __builtin_ctz(x->parts);
    int32_t leader = x->leaders[x->partition];
    if (leader < 0) {
        x->stale = true;
        x->busy = false;
        again_soon(x);
        return;
    }
    iobuf_unref(x->batch);
    x->batch = make_batch(x);
    kafka_produce_request_init(&x->write.produce);
    memset(&x->write_topic.produce, 0, sizeof(x->write_topic.produce));
    memset(&x->write_part.produce, 0, sizeof(x->write_part.produce));
    x->write_part.produce.index = x->partition;
    x->write_part.produce.records =
        (struct kafka_records){.p = x->batch->data, .owner = x->batch, .len = (int32_t)x->batch->len};
    x->write_topic.produce.name = STR_LIT(TOPIC);
    x->write_topic.produce.partitions = &x->write_part.produce;
    x->write_topic.produce.partitions_count = 1;
    x->write.produce.transactional_id = STR_LIT(TXN_ID);
    x->write.produce.acks = -1;
    x->write.produce.timeout_ms = 3000;
    x->write.produce.topics = &x->write_topic.produce;
    x->write.produce.topics_count = 1;
    call(x, KAFKA_API_PRODUCE, 12, &x->write.produce, leader, WRITE_TAG);
}

static void send_offsets(struct transactor *x)
{
    kafka_txn_offset_commit_request_init(&x->write.offsets);
    memset(&x->write_topic.offsets, 0, sizeof(x->write_topic.offsets));
    memset(&x->write_part.offsets, 0, sizeof(x->write_part.offsets));
    x->write_part.offsets.committed_offset = x->number;
    x->write_part.offsets.committed_leader_epoch = -1;
    x->write_part.offsets.committed_metadata = STR_LIT("");
    x->write_topic.offsets.name = STR_LIT(TOPIC);
    x->write_topic.offsets.partitions = &x->write_part.offsets;
    x->write_topic.offsets.partitions_count = 1;
    x->write.offsets.transactional_id = STR_LIT(TXN_ID);
    x->write.offsets.group_id = STR_LIT(GROUP);
    x->write.offsets.producer_id = x->producer_id;
    x->write.offsets.producer_epoch = x->epoch;
    x->write.offsets.member_id = STR_LIT("");
    x->write.offsets.topics = &x->write_topic.offsets;
    x->write.offsets.topics_count = 1;
    call(x, KAFKA_API_TXN_OFFSET_COMMIT, 5, &x->write.offsets, x->group_coordinator, WRITE_TAG);
}

static void send_end(struct transactor *x)
{
    struct txn_entry_sim *entry = &ledger_of(x)->list[x->number];
    if (x->commit)
        entry->asked = true;
    kafka_end_txn_request_init(&x->write.end);
    x->write.end.transactional_id = STR_LIT(TXN_ID);
    x->write.end.producer_id = x->producer_id;
    x->write.end.producer_epoch = x->epoch;
    x->write.end.committed = x->commit;
    call(x, KAFKA_API_END_TXN, 5, &x->write.end, x->coordinator, WRITE_TAG);
}

static void begin(struct transactor *x)
{
    struct prng *prng = &x->client.env->prng;
    struct txn_ledger *ledger = ledger_of(x);
    if (x->client.node->cluster->draining || ledger->count == TXN_LEDGER_MAX)
        return;
    x->number = ledger->count++;
    x->parts = 1 + (uint32_t)prng_below(prng, (1u << TXN_PARTITIONS) - 1);
    x->commit = prng_below(prng, 4) > 0;
    x->with_offsets = prng_below(prng, 3) == 0;
    ledger->list[x->number] = (struct txn_entry_sim){.parts = (uint8_t)x->parts, .offsets = x->with_offsets};
    x->step = STEP_PRODUCE;
}

static void write_on(struct transactor *x)
{
    if (x->busy)
        return;
    if (x->step == STEP_IDLE)
        begin(x);
    x->busy = x->step != STEP_IDLE;
    switch (x->step) {
    case STEP_TOPIC: send_create(x); return;
    case STEP_FIND: send_find(x, TXN_ID, 1); return;
    case STEP_INIT: send_init(x); return;
    case STEP_IDLE: return;
    case STEP_PRODUCE: send_produce(x); return;
    case STEP_FIND_GROUP: send_find(x, GROUP, 0); return;
    case STEP_OFFSETS: send_offsets(x); return;
    case STEP_END: send_end(x); return;
    }
}

/* It is another producer from now on: what was under way ends with that. */
static void start_over(struct transactor *x)
{
    x->step = STEP_FIND;
}

static bool repeats(int16_t error)
{
    switch (error) {
    case KAFKA_INVALID_PRODUCER_EPOCH:
    case KAFKA_PRODUCER_FENCED:
    case KAFKA_INVALID_PRODUCER_ID_MAPPING:
    case KAFKA_INVALID_TXN_STATE:
    case KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER:
    case KAFKA_INVALID_TIMESTAMP: /* our clock or the leader's is hours off */
    case KAFKA_TRANSACTION_ABORTABLE: return false;
    default: return true;
    }
}

static int16_t found(const struct kafka_find_coordinator_response *response, int32_t *ret_node)
{
    if (response->coordinators_count != 1)
        return KAFKA_UNKNOWN_SERVER_ERROR;
    *ret_node = response->coordinators[0].node_id;
    return response->coordinators[0].error_code;
}

/* There may be too few brokers yet. */
static int16_t created(const struct kafka_create_topics_response *response)
{
    int16_t error = response->topics_count == 1 ? response->topics[0].error_code : KAFKA_UNKNOWN_SERVER_ERROR;
    return error == KAFKA_TOPIC_ALREADY_EXISTS ? KAFKA_NONE : error;
}

static void ended(struct transactor *x, const struct kafka_end_txn_response *response)
{
    struct txn_entry_sim *entry = &ledger_of(x)->list[x->number];
    entry->committed = x->commit;
    x->producer_id = response->producer_id;
    x->epoch = response->producer_epoch;
    x->step = STEP_IDLE;
}

/* The error of the answer; the step that follows when there is none. */
static int16_t take_write(struct transactor *x, const struct client_reply *reply)
{
    const struct kafka_init_producer_id_response *init = reply->message;
    const struct kafka_produce_response *produce = reply->message;
    const struct kafka_txn_offset_commit_response *offsets = reply->message;
    const struct kafka_end_txn_response *end = reply->message;
    int16_t error = KAFKA_NONE;

    switch (x->step) {
    case STEP_TOPIC:
        error = created(reply->message);
        x->step = error == KAFKA_NONE ? STEP_FIND : STEP_TOPIC;
        break;
    case STEP_FIND:
        error = found(reply->message, &x->coordinator);
        x->step = error == KAFKA_NONE ? STEP_INIT : STEP_FIND;
        break;
    case STEP_INIT:
        error = init->error_code;
        x->producer_id = init->producer_id;
        x->epoch = init->producer_epoch;
        x->step = error == KAFKA_NONE ? STEP_IDLE : STEP_FIND;
        break;
    case STEP_PRODUCE:
        error = produce->topics_count == 1 && produce->topics[0].partitions_count == 1
                    ? produce->topics[0].partitions[0].error_code
                    : KAFKA_UNKNOWN_SERVER_ERROR;
        if (error == KAFKA_NONE && (x->parts &= x->parts - 1) == 0)
            x->step = x->with_offsets ? STEP_FIND_GROUP : STEP_END;
        break;
    case STEP_FIND_GROUP:
        error = found(reply->message, &x->group_coordinator);
        x->step = error == KAFKA_NONE ? STEP_OFFSETS : STEP_FIND_GROUP;
        break;
    case STEP_OFFSETS:
        error = offsets->topics_count == 1 && offsets->topics[0].partitions_count == 1
                    ? offsets->topics[0].partitions[0].error_code
                    : KAFKA_UNKNOWN_SERVER_ERROR;
        x->step = error == KAFKA_NONE ? STEP_END : STEP_FIND_GROUP;
        break;
    case STEP_END:
        error = end->error_code;
        if (error == KAFKA_NONE)
            ended(x, end);
        break;
    case STEP_IDLE: break;
    }
    return error;
}

/* EndTxn went to somebody who is not the coordinator any more, or nobody answered: whom to ask? */
static void find_again(struct transactor *x, int16_t error)
{
    if (x->step == STEP_END && error != KAFKA_CONCURRENT_TRANSACTIONS)
        send_find(x, TXN_ID, 1), x->busy = true;
}

static void on_write(struct transactor *x, const struct client_reply *reply)
{
    int16_t error = KAFKA_REQUEST_TIMED_OUT;
    enum step before = x->step;
    x->busy = false;
    if (reply->failure.err == OK && reply->api_key == KAFKA_API_FIND_COORDINATOR && x->step == STEP_END) {
        found(reply->message, &x->coordinator);
        again_soon(x);
        return;
    }
    if (reply->failure.err == OK)
        error = take_write(x, reply);
    else if (x->step == STEP_INIT || x->step == STEP_TOPIC)
        x->step = x->step == STEP_INIT ? STEP_FIND : STEP_TOPIC;
    if (error != KAFKA_NONE)
        world_trace(x->client.node->cluster->world, "x%u: number %u, step %d to %d: error %d",
                    x->client.process, x->number, (int)before, (int)x->step, error);
    x->stale |= error != KAFKA_NONE;
    if (error != KAFKA_NONE && !repeats(error))
        start_over(x);
    else if (error != KAFKA_NONE)
        find_again(x, error);
    if (error == KAFKA_NONE && x->step != STEP_IDLE)
        write_on(x);
    else if (error != KAFKA_NONE && !x->busy)
        again_soon(x);
}

/* -- reading -- */

static void send_metadata(struct transactor *x)
{
    kafka_metadata_request_init(&x->metadata);
    memset(&x->metadata_topic, 0, sizeof(x->metadata_topic));
    x->metadata_topic.name = STR_LIT(TOPIC);
    x->metadata.topics = &x->metadata_topic;
    x->metadata.topics_count = 1;
    x->metadata.allow_auto_topic_creation = false;
    x->reading = true;
    call(x, KAFKA_API_METADATA, 9, &x->metadata, CLIENT_ANY_NODE, READ_TAG);
}

static void take_metadata(struct transactor *x, const struct kafka_metadata_response *response)
{
    if (response->topics_count != 1)
        return;
    x->stale = false;
    for (int32_t i = 0; i < response->topics[0].partitions_count; i++) {
        const struct kafka_metadata_response_partition *one = &response->topics[0].partitions[i];
        if (one->partition_index < TXN_PARTITIONS)
            x->leaders[one->partition_index] = one->leader_id;
    }
}

static void send_fetch(struct transactor *x)
{
    int32_t leader = x->leaders[x->read_partition];
    if (leader < 0) {
        x->stale = true;
        return;
    }
    kafka_fetch_request_init(&x->fetch);
    kafka_fetch_request_topic_init(&x->fetch_topic);
    kafka_fetch_request_partition_init(&x->fetch_part);
    x->fetch_part.partition = x->read_partition;
    x->fetch_part.fetch_offset = x->positions[x->read_partition];
    x->fetch_part.partition_max_bytes = 64 << 10;
    x->fetch_topic.topic = STR_LIT(TOPIC);
    x->fetch_topic.partitions = &x->fetch_part;
    x->fetch_topic.partitions_count = 1;
    x->fetch.replica_id = -1;
    x->fetch.max_bytes = 64 << 10;
    x->fetch.isolation_level = 1;
    x->fetch.rack_id = STR_LIT("");
    x->fetch.topics = &x->fetch_topic;
    x->fetch.topics_count = 1;
    x->reading = true;
    call(x, KAFKA_API_FETCH, 11, &x->fetch, leader, READ_TAG);
}

static void seen(struct transactor *x, const struct record *record)
{
    struct txn_ledger *ledger = ledger_of(x);
    if (record->value.len != VALUE_BYTES) {
        violated(x, "a strange record", 0, record->value.len);
        return;
    }
    uint32_t number = load_be32(record->value.p);
    uint32_t bit = 1u << load_be32(record->value.p + 4);
    if (number >= ledger->count || !ledger->list[number].asked)
        violated(x, "a record that nobody committed is seen", number, record->offset);
    else if (x->final && ledger->list[number].seen & bit)
        violated(x, "a record is seen twice", number, record->offset);
    else if (x->final)
        ledger->list[number].seen |= (uint8_t)bit;
}

static void take_records(struct transactor *x, const struct kafka_fetch_response_partition *in)
{
    struct client_aborted aborted[ABORTED_MAX];
    int64_t *position = &x->positions[x->read_partition];
    struct client_records records = {
        .p = in->records.p, .len = (size_t)MAX(in->records.len, 0), .from = *position, .aborted = aborted};
    struct record record;
    struct reader r = reader_over(records.p, records.len);
    const uint8_t *batch;
    size_t size, whole = 0;
    for (int32_t i = 0; i < MIN(in->aborted_transactions_count, (int32_t)ARRAY_LEN(aborted)); i++)
        aborted[records.aborted_count++] = (struct client_aborted){in->aborted_transactions[i].producer_id,
                                                                   in->aborted_transactions[i].first_offset};
    if (in->aborted_transactions_count > (int32_t)ARRAY_LEN(aborted))
        return; /* more than this can hold: not read on, and the run says so */
    while ((batch = batch_next(&r, &size)) != NULL) {
        whole += size;
        *position = MAX(*position, batch_next_offset(batch));
    }
    records.len = whole;
    struct client_records_iter it = client_records_begin(&records, &x->scratch);
    while (client_records_next(&it, &record))
        seen(x, &record);
}

/* The whole log was read in one go, from its beginning to an end that is stable. */
static void partition_end(struct transactor *x, const struct kafka_fetch_response_partition *in)
{
    int64_t position = x->positions[x->read_partition];
    if (in->last_stable_offset < in->high_watermark || position < in->last_stable_offset)
        return; /* more to come */
    if (x->final && position != cluster_log_end(x->client.node->cluster, TOPIC, x->read_partition))
        return; /* a new leader does not know yet that its log is committed */
    if (++x->read_partition < TXN_PARTITIONS)
        return;
    x->read_partition = 0;
    if (x->final)
        x->read_step = READ_OFFSETS;
}

static void send_offset_fetch(struct transactor *x)
{
    if (x->group_coordinator < 0)
        return;
    kafka_offset_fetch_request_init(&x->asked);
    kafka_offset_fetch_request_group_init(&x->asked_group);
    memset(&x->asked_topic, 0, sizeof(x->asked_topic));
    x->asked_topic.name = STR_LIT(TOPIC);
    x->asked_topic.partition_indexes = &x->asked_index;
    x->asked_topic.partition_indexes_count = 1;
    x->asked_group.group_id = STR_LIT(GROUP);
    x->asked_group.topics = &x->asked_topic;
    x->asked_group.topics_count = 1;
    x->asked.groups = &x->asked_group;
    x->asked.groups_count = 1;
    x->asked.require_stable = true;
    x->reading = true;
    call(x, KAFKA_API_OFFSET_FETCH, 9, &x->asked, x->group_coordinator, READ_TAG);
}

static void check_whole(struct transactor *x)
{
    struct txn_ledger *ledger = ledger_of(x);
    for (uint32_t i = 0; i < ledger->count; i++) {
        const struct txn_entry_sim *entry = &ledger->list[i];
        if (entry->seen != 0 && entry->seen != entry->parts)
            violated(x, "a transaction is torn", i, entry->seen);
        if (entry->committed && entry->seen != entry->parts)
            violated(x, "a committed transaction is missing", i, entry->seen);
    }
}

/* The newest transaction with offsets that committed, or a later one that may have. */
static void check_offset(struct transactor *x, int64_t offset)
{
    struct txn_ledger *ledger = ledger_of(x);
    int64_t least = -1;
    for (uint32_t i = 0; i < ledger->count; i++)
        if (ledger->list[i].offsets && ledger->list[i].seen != 0)
            least = i;
    if (offset != least)
        violated(x, "the group does not stand where the transactions put it", (uint32_t)MAX(least, 0),
                 offset);
}

static void take_offsets(struct transactor *x, const struct kafka_offset_fetch_response *response)
{
    if (response->groups_count != 1 || response->groups[0].error_code != KAFKA_NONE ||
        response->groups[0].topics_count != 1 || response->groups[0].topics[0].partitions_count != 1 ||
        response->groups[0].topics[0].partitions[0].error_code != KAFKA_NONE) {
        x->group_coordinator = -1;
        return;
    }
    check_whole(x);
    check_offset(x, response->groups[0].topics[0].partitions[0].committed_offset);
    x->read_step = READ_DONE;
    x->client.node->cluster->txns.judged = true;
}

static void on_read(struct transactor *x, const struct client_reply *reply)
{
    x->reading = false;
    if (reply->failure.err != OK) {
        x->stale = true;
        x->group_coordinator = x->final ? -1 : x->group_coordinator;
        return;
    }
    if (reply->api_key == KAFKA_API_METADATA) {
        take_metadata(x, reply->message);
    } else if (reply->api_key == KAFKA_API_OFFSET_FETCH) {
        take_offsets(x, reply->message);
    } else if (reply->api_key == KAFKA_API_FIND_COORDINATOR) {
        if (found(reply->message, &x->group_coordinator) != KAFKA_NONE)
            x->group_coordinator = -1;
    } else {
        const struct kafka_fetch_response *response = reply->message;
        if (response->error_code != KAFKA_NONE || response->topics_count != 1 ||
            response->topics[0].partitions_count != 1 ||
            response->topics[0].partitions[0].error_code != KAFKA_NONE) {
            x->stale = true;
            return;
        }
        take_records(x, &response->topics[0].partitions[0]);
        partition_end(x, &response->topics[0].partitions[0]);
    }
}

/* Once nothing is under way any more, everything is read once more from the beginning. */
static void begin_final(struct transactor *x)
{
    struct txn_ledger *ledger = ledger_of(x);
    x->final = true;
    x->read_step = READ_LOG;
    x->read_partition = 0;
    memset(x->positions, 0, sizeof(x->positions));
    for (uint32_t i = 0; i < ledger->count; i++)
        ledger->list[i].seen = 0;
}

static void read_on(struct transactor *x)
{
    bool idle = x->step == STEP_IDLE && !x->busy;
    if (x->reading || x->read_step == READ_DONE)
        return;
    if (x->stale) {
        send_metadata(x);
        return;
    }
    if (!x->final && x->client.node->cluster->draining && idle)
        begin_final(x);
    if (x->read_step == READ_OFFSETS && x->group_coordinator < 0) {
        x->reading = true;
        x->key = str_from(GROUP);
        kafka_find_coordinator_request_init(&x->write.find); /* nothing is written any more */
        x->write.find.coordinator_keys = &x->key;
        x->write.find.coordinator_keys_count = 1;
        call(x, KAFKA_API_FIND_COORDINATOR, 4, &x->write.find, CLIENT_ANY_NODE, READ_TAG);
    } else if (x->read_step == READ_OFFSETS) {
        send_offset_fetch(x);
    } else {
        send_fetch(x);
    }
}

/* -- life -- */

static void on_reply(void *ctx, const struct client_reply *reply)
{
    if (reply->tag == WRITE_TAG)
        on_write(ctx, reply);
    else
        on_read(ctx, reply);
}

static void on_topic(void *ctx, struct client_topic *topic, struct client_failure failure)
{
}

static const struct client_driver_handler handler = {.topic = on_topic, .reply = on_reply};

static void on_again(struct env_timer *timer)
{
    write_on(CONTAINER_OF(timer, struct transactor, again));
}

static void on_tick(struct env_timer *timer)
{
    struct transactor *x = CONTAINER_OF(timer, struct transactor, tick);
    write_on(x);
    read_on(x);
    uint64_t next_us = x->final ? TICK_US / 10 : 1 + prng_below(&x->client.env->prng, 2ull * TICK_US);
    env_timer_set(x->client.env, timer, env_now_us(x->client.env) + next_us);
}

static bool txn_begin(struct node *node, struct env *env)
{
    struct transactor *x = calloc(1, sizeof(*x));
    node->object = x;
    ASSERT(batch_scratch_init(&x->scratch, PLAIN_MAX, 0) == OK);
    client_node_open(&x->client, node, env, &handler, x);
    x->coordinator = x->group_coordinator = -1;
    for (int i = 0; i < TXN_PARTITIONS; i++)
        x->leaders[i] = -1;
    x->stale = true;
    env_timer_init(&x->tick, on_tick);
    env_timer_init(&x->again, on_again);
    on_tick(&x->tick);
    return true;
}

static void txn_end(struct node *node)
{
    struct transactor *x = node->object;
    env_timer_cancel(x->client.env, &x->tick);
    env_timer_cancel(x->client.env, &x->again);
    client_node_close(&x->client);
}

static void txn_let_go(struct node *node)
{
    struct transactor *x = node->object;
    iobuf_unref(x->batch);
    batch_scratch_free(&x->scratch);
    free(x);
    node->object = NULL;
}

const struct role_ops role_txn = {
    .name = "transactor", .begin = txn_begin, .stop = txn_end, .free = txn_let_go};
