/* SPDX-License-Identifier: Apache-2.0 */
/* Taking records, and the life of batches from the first record to the report. */
#include "client/core/internal.h"
#include "proto/kafka/error.h"

#define TAGS_FIRST           64
#define BATCH_SIZE_HINT      16384
#define IDENTIFY_VERSION_MAX 5

/* -- memory of a batch -- */

static struct client_batch *batch_new(struct client *client, struct client_partition *partition, size_t need)
{
    const struct client_producer_config *config = &client->config.producer;
    struct batch_opts opts = BATCH_OPTS_PLAIN;
    struct client_batch *batch = client_take(client, sizeof(*batch));
    size_t cap = MAX((size_t)config->batch_bytes, need);
    if (!batch)
        return NULL;
    opts.codec = config->codec;
    opts.level = config->level;
    if (batch_builder_init(&batch->builder, &opts, client->pool, MIN(cap, (size_t)BATCH_SIZE_HINT), cap) !=
        OK) {
        client_give(client, batch, sizeof(*batch));
        return NULL;
    }
    batch->partition = partition;
    batch->created_us = client->now_us;
    batch->sequence = BATCH_NO_SEQUENCE;
    return batch;
}

static void batch_free(struct client *client, struct client_batch *batch)
{
    if (batch->data)
        iobuf_unref(batch->data);
    else
        batch_builder_free(&batch->builder);
    client_give(client, batch->tags, batch->tags_cap * sizeof(*batch->tags));
    client_give(client, batch, sizeof(*batch));
}

static bool batch_tag(struct client *client, struct client_batch *batch, uint64_t tag)
{
    if ((uint32_t)batch->count == batch->tags_cap) {
        uint32_t cap = batch->tags_cap ? batch->tags_cap * 2 : TAGS_FIRST;
        void *tags = client->alloc.resize(client->alloc.ctx, batch->tags, batch->tags_cap * sizeof(tag),
                                          cap * sizeof(tag));
        if (!tags)
            return false;
        batch->tags = tags;
        batch->tags_cap = cap;
    }
    batch->tags[batch->count] = tag;
    return true;
}

void client_producer_free(struct client *client)
{
    list_for_each_safe (it, tmp, &client->producing) {
        struct client_partition *partition = CONTAINER_OF(it, struct client_partition, out.active);
        while (!list_empty(&partition->out.batches)) {
            struct client_batch *batch = CONTAINER_OF(partition->out.batches.next, struct client_batch, link);
            list_remove(&batch->link);
            batch_free(client, batch);
        }
    }
}

/* -- taking records -- */

/* The batch that still takes records, or NULL. */
static struct client_batch *open_batch(struct client_partition *partition)
{
    struct client_batch *batch;
    if (list_empty(&partition->out.batches))
        return NULL;
    batch = CONTAINER_OF(partition->out.batches.prev, struct client_batch, link);
    return batch->closed ? NULL : batch;
}

static bool fits(const struct client *client, const struct client_batch *batch,
                 const struct record_in *record)
{
    return batch_builder_size_with(&batch->builder, record) <= client->config.producer.batch_bytes;
}

/* A new partition for records without a key: any that has a leader (KIP-480). */
static int32_t choose_partition(struct client *client, const struct client_topic *topic)
{
    int32_t first = (int32_t)prng_below(&client->prng, (uint64_t)topic->partitions_count);
    for (int32_t i = 0; i < topic->partitions_count; i++) {
        int32_t index = (first + i) % topic->partitions_count;
        if (topic->partitions[index]->leader >= 0)
            return index;
    }
    return first;
}

static int32_t sticky_partition(struct client *client, struct client_topic *topic,
                                const struct record_in *record)
{
    struct client_partition *partition = client_partition_of(topic, topic->sticky);
    struct client_batch *batch = partition ? open_batch(partition) : NULL;
    if (!batch || partition->leader < 0 || !fits(client, batch, record))
        topic->sticky = choose_partition(client, topic);
    return topic->sticky;
}

static int32_t partition_for(struct client *client, struct client_topic *topic, int32_t partition,
                             const struct record_in *record)
{
    if (partition != CLIENT_ANY_PARTITION)
        return partition;
    if (record->key.len >= 0)
        return client_key_partition(record->key, topic->partitions_count);
    return sticky_partition(client, topic, record);
}

static uint32_t record_bytes(const struct record_in *record)
{
    uint32_t bytes = (uint32_t)(MAX(record->key.len, 0) + MAX(record->value.len, 0));
    for (int32_t i = 0; i < record->header_count; i++)
        bytes += (uint32_t)(MAX(record->headers[i].key.len, 0) + MAX(record->headers[i].value.len, 0));
    return bytes;
}

static struct client_batch *batch_with_room(struct client *client, struct client_partition *partition,
                                            const struct record_in *record)
{
    struct client_batch *batch = open_batch(partition);
    size_t need = BATCH_HEADER_BYTES + 64 + (size_t)record_bytes(record) + 10 * (size_t)record->header_count;
    if (batch && fits(client, batch, record))
        return batch;
    if (batch) {
        batch->closed = true;
        client_wake(client, client->now_us);
    }
    batch = batch_new(client, partition, need);
    if (!batch)
        return NULL;
    list_push_back(&partition->out.batches, &batch->link);
    if (list_empty(&partition->out.active))
        list_push_back(&client->producing, &partition->out.active);
    client_wake(client, client->flush ? client->now_us : client->now_us + client->config.producer.linger_us);
    return batch;
}

static enum err add_record(struct client *client, struct client_batch *batch, const struct record_in *record,
                           uint64_t tag)
{
    if (!batch_tag(client, batch, tag))
        return ERR_NOMEM;
    enum err err = (enum err)batch_builder_add(&batch->builder, record);
    if (err != OK)
        return err;
    uint32_t bytes = record_bytes(record);
    batch->count++;
    batch->bytes += bytes;
    client->buffered_bytes += bytes;
    client->pending++;
    return OK;
}

/* An attempt that failed may leave a new batch without records behind. */
static void drop_if_empty(struct client *client, struct client_batch *batch)
{
    struct client_partition *partition = batch->partition;
    if (batch->count > 0)
        return;
    list_remove(&batch->link);
    batch_free(client, batch);
    if (list_empty(&partition->out.batches))
        list_remove(&partition->out.active);
}

enum err client_produce(struct client *client, uint64_t now_us, struct client_topic *topic, int32_t partition,
                        const struct record_in *record, uint64_t tag)
{
    client_now(client, now_us);
    if (topic->partitions_count == 0)
        return ERR_AGAIN;
    uint32_t bytes = record_bytes(record);
    if (bytes > client->config.producer.record_bytes_max)
        return ERR_TOO_LARGE;
    if (client->pending > 0 && client->buffered_bytes + bytes > client->config.producer.buffer_bytes) {
        client->room_wanted = true;
        return ERR_FULL;
    }
    struct client_partition *to = client_partition_of(topic, partition_for(client, topic, partition, record));
    if (!to)
        return ERR_OUT_OF_RANGE;
    struct client_batch *batch = batch_with_room(client, to, record);
    if (!batch)
        return ERR_NOMEM;
    enum err err = add_record(client, batch, record, tag);
    if (err != OK)
        drop_if_empty(client, batch);
    return err;
}

void client_produce_flush(struct client *client, bool flush)
{
    client->flush = flush;
    client_wake(client, client->now_us);
}

uint64_t client_produce_pending(const struct client *client)
{
    return client->pending;
}

/* -- the end of a batch -- */

static void give_room(struct client *client)
{
    if (!client->room_wanted || client->buffered_bytes > client->config.producer.buffer_bytes / 2)
        return;
    if (client_effect(client, CLIENT_FX_ROOM))
        client->room_wanted = false;
}

void client_batch_settle(struct client *client, struct client_batch *batch, struct client_failure failure,
                         int64_t base_offset)
{
    struct client_partition *partition = batch->partition;
    struct client_effect *effect = client_effect(client, CLIENT_FX_DELIVERED);
    ASSERT(!batch->sent && batch->count > 0);
    if (effect)
        effect->delivery = (struct client_delivery){
            .topic = partition->topic,
            .partition = partition->index,
            .failure = failure,
            .base_offset = base_offset,
            .count = batch->count,
            .tags = arena_copy(&client->box->arena, batch->tags, (size_t)batch->count * sizeof(*batch->tags)),
            .bytes = batch->bytes};
    if (failure.err != OK && batch->sequence != BATCH_NO_SEQUENCE)
        partition->out.reset = true;
    client->pending -= (uint64_t)batch->count;
    client->buffered_bytes -= batch->bytes;
    list_remove(&batch->link);
    batch_free(client, batch);
    if (list_empty(&partition->out.batches))
        list_remove(&partition->out.active);
    give_room(client);
}

void client_batch_retry(struct client *client, struct client_batch *batch, struct client_failure failure,
                        bool in_doubt)
{
    struct client_out *out = &batch->partition->out;
    batch->in_doubt |= in_doubt;
    batch->last = failure;
    batch->attempts++;
    if (client->config.producer.acks == CLIENT_ACKS_NONE) {
        client_batch_settle(client, batch, failure, -1);
        return;
    }
    out->retry_at_us = client_backoff(client, &out->failures);
}

/* -- identity -- */

static const void *identify_build(struct client *client, struct client_call_state *call, int16_t version,
                                  struct arena *arena)
{
    struct kafka_init_producer_id_request *request = arena_alloc(arena, sizeof(*request));
    if (!request)
        return NULL;
    kafka_init_producer_id_request_init(request);
    request->transactional_id = STR_NULL;
    request->transaction_timeout_ms = INT32_MAX;
    return request;
}

static void identify_done(struct client *client, struct client_call_state *call,
                          const struct client_answer *answer)
{
    const struct kafka_init_producer_id_response *response = answer->message;
    client->identifying = false;
    if (answer->err != OK || response->error_code != KAFKA_NONE) {
        client->identify_at_us = client_backoff(client, &client->identify_failures);
        return;
    }
    client->identify_failures = 0;
    client->producer_id = response->producer_id;
    client->producer_epoch = response->producer_epoch;
}

static void identify(struct client *client)
{
    struct client_peer *peer;
    if (client->identifying || client->producer_id >= 0)
        return;
    if (client->identify_at_us > client->now_us) {
        client_wake(client, client->identify_at_us);
        return;
    }
    peer = client_peer_any(client);
    if (!peer)
        return;
    client->identifying = true;
    client->identify_call = (struct client_call_state){.api_key = KAFKA_API_INIT_PRODUCER_ID,
                                                       .version_max = IDENTIFY_VERSION_MAX,
                                                       .timeout_us = client->config.request_timeout_us,
                                                       .build = identify_build,
                                                       .done = identify_done};
    client_peer_queue(client, peer, &client->identify_call);
}

/* Every batch gets its number from here; the partition takes over the present identity when it has none. */
static void number_batch(struct client *client, struct client_batch *batch)
{
    struct client_out *out = &batch->partition->out;
    if (out->producer_id != client->producer_id) {
        out->producer_id = client->producer_id;
        out->producer_epoch = client->producer_epoch;
        out->next_sequence = 0;
        out->known = false;
    }
    batch->sequence = out->next_sequence;
    batch->number = out->numbered++;
    out->next_sequence = batch_sequence_add(out->next_sequence, batch->count);
}

enum err client_batch_seal(struct client *client, struct client_batch *batch)
{
    struct client_out *out = &batch->partition->out;
    if (batch->data)
        return OK;
    batch->closed = true;
    if (client->config.producer.idempotent) {
        number_batch(client, batch);
        batch_builder_set_producer(&batch->builder, out->producer_id, out->producer_epoch, batch->sequence);
    }
    enum err err = (enum err)batch_builder_finish(&batch->builder, client->codecs, &batch->data);
    if (err == OK)
        return OK;
    /* The builder is gone, and the records with it. */
    batch->data = NULL;
    memset(&batch->builder, 0, sizeof(batch->builder));
    return err;
}

/* The next epoch under the same id; a fresh id when the epochs are used up. */
static void next_identity(struct client *client)
{
    if (client->producer_epoch < INT16_MAX - 1)
        client->producer_epoch++;
    else
        client->producer_id = BATCH_NO_PRODUCER_ID;
}

/* What may have been written under the old numbers must not be sent under new ones. */
static void fail_doubtful(struct client *client, struct client_partition *partition)
{
    list_for_each_safe (it, tmp, &partition->out.batches) {
        struct client_batch *batch = CONTAINER_OF(it, struct client_batch, link);
        if (batch->in_doubt)
            client_batch_settle(client, batch, client_failure_of(ERR_UNKNOWN_OUTCOME, 0), -1);
    }
}

void client_out_reset(struct client *client, struct client_partition *partition)
{
    struct client_out *out = &partition->out;
    if (!out->reset || out->in_flight > 0)
        return;
    if (!client->config.producer.idempotent) {
        out->reset = false;
        return;
    }
    fail_doubtful(client, partition);
    out->reset = false;
    next_identity(client);
    if (client->producer_id < 0) {
        out->reset = true; /* once the new id is there */
        return;
    }
    out->producer_id = client->producer_id;
    out->producer_epoch = client->producer_epoch;
    out->next_sequence = 0;
    out->known = false;
    list_for_each (it, &out->batches) {
        struct client_batch *batch = CONTAINER_OF(it, struct client_batch, link);
        if (!batch->data)
            break;
        batch->sequence = out->next_sequence;
        out->next_sequence = batch_sequence_add(out->next_sequence, batch->count);
        batch_set_producer(batch->data->data, out->producer_id, out->producer_epoch, batch->sequence);
    }
}

/* -- turns -- */

/* Batches that are not on their way and whose time is over. */
static void expire(struct client *client, struct client_partition *partition)
{
    list_for_each_safe (it, tmp, &partition->out.batches) {
        struct client_batch *batch = CONTAINER_OF(it, struct client_batch, link);
        uint64_t end_us = batch->created_us + client->config.producer.delivery_timeout_us;
        if (end_us > client->now_us) {
            client_wake(client, end_us);
            return;
        }
        if (batch->sent)
            continue;
        struct client_failure failure = client_failure_of(ERR_TIMED_OUT, batch->last.kafka_error);
        if (batch->in_doubt)
            failure.err = ERR_UNKNOWN_OUTCOME;
        client_batch_settle(client, batch, failure, -1);
    }
}

void client_producer_turn(struct client *client)
{
    if (list_empty(&client->producing))
        return;
    if (client->config.producer.idempotent)
        identify(client);
    list_for_each_safe (it, tmp, &client->producing) {
        struct client_partition *partition = CONTAINER_OF(it, struct client_partition, out.active);
        expire(client, partition);
        client_out_reset(client, partition);
        client_peer_of(client, partition->leader, CLIENT_PEER_COMMON); /* made when it is new */
    }
    if (client->config.producer.idempotent && client->producer_id < 0)
        return;
    list_for_each (it, &client->peers) {
        struct client_peer *peer = CONTAINER_OF(it, struct client_peer, link);
        if (peer->role == CLIENT_PEER_COMMON && peer->node >= 0)
            client_produce_to(client, peer);
    }
}
