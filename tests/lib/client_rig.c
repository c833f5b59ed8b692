/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/client_rig.h"

#include <check.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "proto/kafka/api.h"
#include "proto/kafka/error.h"

#define PORT_BASE 9000

/* -- answers on their way -- */

static void post(struct crig *rig, struct crig_mail mail)
{
    uint64_t delay = rig->random_latency ? 50 + prng_below(&rig->prng, 3000) : rig->latency_us;
    ck_assert_int_lt(rig->mail_count, CRIG_QUEUE_MAX);
    mail.at_us = MAX(rig->now_us + delay, rig->conn_last_us[mail.conn]);
    rig->conn_last_us[mail.conn] = mail.at_us;
    rig->mail[rig->mail_count++] = mail;
}

static void answer(struct crig *rig, uint64_t conn, int16_t key, int16_t version, int32_t correlation,
                   const void *message)
{
    struct writer w;
    struct kafka_response_header header = {.correlation_id = correlation};
    writer_init(&w, rig->pool, 512, 64u << 20);
    kafka_response_header_encode(&w, kafka_response_header_version(key, version), &header);
    kafka_message_type(key, false)->encode(&w, version, message);
    ck_assert_int_eq(w.err, OK);
    post(rig, (struct crig_mail){.conn = conn, .frame = writer_take(&w)});
    writer_free(&w);
}

/* -- the brokers: one function per API -- */

static const struct {
    int16_t key, min, max;
} apis[] = {{KAFKA_API_PRODUCE, 0, 11},     {KAFKA_API_FETCH, 4, 17},
            {KAFKA_API_LIST_OFFSETS, 1, 8}, {KAFKA_API_METADATA, 0, 12},
            {KAFKA_API_API_VERSIONS, 0, 3}, {KAFKA_API_INIT_PRODUCER_ID, 0, 4},
            {KAFKA_API_CREATE_TOPICS, 2, 7}};

static void serve_versions(struct crig *rig, uint64_t conn, const struct kafka_request_header *header)
{
    struct kafka_api_versions_response response;
    struct kafka_api_versions_response_api_key keys[ARRAY_LEN(apis)];
    bool refused = rig->old_api_versions && header->api_version > 0;
    kafka_api_versions_response_init(&response);
    for (size_t i = 0; i < ARRAY_LEN(apis); i++) {
        kafka_api_versions_response_api_key_init(&keys[i]);
        keys[i].api_key = apis[i].key;
        keys[i].min_version = apis[i].min;
        keys[i].max_version = apis[i].max;
        if (rig->no_topic_ids && apis[i].key == KAFKA_API_METADATA)
            keys[i].max_version = 9;
    }
    response.error_code = refused ? KAFKA_UNSUPPORTED_VERSION : KAFKA_NONE;
    response.api_keys = keys;
    response.api_keys_count = refused ? 0 : (int32_t)ARRAY_LEN(apis);
    answer(rig, conn, KAFKA_API_API_VERSIONS, refused ? 0 : header->api_version, header->correlation_id,
           &response);
}

static struct uuid topic_id(void)
{
    return (struct uuid){{7}};
}

static void serve_metadata(struct crig *rig, uint64_t conn, const struct kafka_request_header *header)
{
    struct kafka_metadata_response response;
    struct kafka_metadata_response_broker brokers[CRIG_NODES];
    struct kafka_metadata_response_topic topic;
    struct kafka_metadata_response_partition partitions[CRIG_PARTITIONS];
    kafka_metadata_response_init(&response);
    kafka_metadata_response_topic_init(&topic);
    for (int32_t i = 0; i < CRIG_NODES; i++) {
        kafka_metadata_response_broker_init(&brokers[i]);
        brokers[i].node_id = i + 1;
        brokers[i].host = STR_LIT("node");
        brokers[i].port = PORT_BASE + i + 1;
    }
    for (int32_t i = 0; i < rig->partitions_count; i++) {
        kafka_metadata_response_partition_init(&partitions[i]);
        partitions[i].partition_index = i;
        partitions[i].leader_id = rig->partitions[i].leader;
        partitions[i].leader_epoch = rig->partitions[i].epoch - rig->behind;
        partitions[i].error_code = rig->partitions[i].leader < 0 ? KAFKA_LEADER_NOT_AVAILABLE : KAFKA_NONE;
    }
    topic.name = STR_LIT(CRIG_TOPIC);
    topic.topic_id = topic_id();
    topic.error_code = rig->topic_missing ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : KAFKA_NONE;
    topic.partitions = partitions;
    topic.partitions_count = rig->topic_missing ? 0 : rig->partitions_count;
    response.brokers = brokers;
    response.brokers_count = CRIG_NODES - rig->behind;
    response.topics = &topic;
    response.topics_count = 1;
    answer(rig, conn, KAFKA_API_METADATA, header->api_version, header->correlation_id, &response);
}

static void serve_init_producer_id(struct crig *rig, uint64_t conn, const struct kafka_request_header *header)
{
    struct kafka_init_producer_id_response response;
    kafka_init_producer_id_response_init(&response);
    response.producer_id = rig->next_producer_id++;
    answer(rig, conn, KAFKA_API_INIT_PRODUCER_ID, header->api_version, header->correlation_id, &response);
}

static void serve_create_topics(struct crig *rig, uint64_t conn, const struct kafka_request_header *header)
{
    struct kafka_create_topics_response response;
    struct kafka_create_topics_response_topic topic;
    kafka_create_topics_response_init(&response);
    kafka_create_topics_response_topic_init(&topic);
    topic.name = STR_LIT("new");
    topic.error_message = STR_NULL;
    topic.error_code = rig->create_error;
    response.topics = &topic;
    response.topics_count = 1;
    answer(rig, conn, KAFKA_API_CREATE_TOPICS, header->api_version, header->correlation_id, &response);
}

/* -- produce: what an idempotent leader checks (KIP-98) -- */

static int16_t check_sequence(struct crig_partition *p, const uint8_t *batch, int64_t *ret_offset)
{
    int32_t first = batch_base_sequence(batch), last = batch_last_sequence(batch);
    if (batch_producer_id(batch) < 0)
        return KAFKA_NONE;
    if (p->producer_id != batch_producer_id(batch))
        return KAFKA_NONE; /* who is not known may begin with any number */
    bool fresh = batch_producer_epoch(batch) > p->producer_epoch;
    if (!fresh && batch_producer_epoch(batch) < p->producer_epoch)
        return KAFKA_INVALID_PRODUCER_EPOCH;
    for (int32_t i = 0; !fresh && i < p->window_count; i++) {
        if (p->window[i].first != first || p->window[i].last != last)
            continue;
        *ret_offset = p->window[i].base_offset;
        return KAFKA_NONE;
    }
    int32_t expected =
        fresh || p->window_count == 0 ? 0 : batch_sequence_add(p->window[p->window_count - 1].last, 1);
    return first == expected ? KAFKA_NONE : KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER;
}

static void remember(struct crig_partition *p, const uint8_t *batch)
{
    if (p->producer_id != batch_producer_id(batch) || p->producer_epoch != batch_producer_epoch(batch))
        p->window_count = 0;
    p->producer_id = batch_producer_id(batch);
    p->producer_epoch = batch_producer_epoch(batch);
    if (p->window_count == 5)
        memmove(&p->window[0], &p->window[1], 4 * sizeof(p->window[0]));
    else
        p->window_count++;
    p->window[p->window_count - 1].first = batch_base_sequence(batch);
    p->window[p->window_count - 1].last = batch_last_sequence(batch);
    p->window[p->window_count - 1].base_offset = p->end;
}

static int64_t append(struct crig_partition *p, const uint8_t *batch, size_t size)
{
    struct iobuf *data = iobuf_get(NULL, size);
    int64_t at = p->end;
    ck_assert_int_lt(p->count, (int)ARRAY_LEN(p->batches));
    memcpy(data->data, batch, size);
    data->len = (uint32_t)size;
    batch_set_base_offset(data->data, p->end);
    batch_set_leader_epoch(data->data, p->epoch);
    if (batch_producer_id(batch) >= 0)
        remember(p, batch);
    p->batches[p->count++].data = data;
    p->end += batch_record_count(batch);
    return at;
}

static int16_t produce_one(struct crig *rig, int32_t node, int32_t index, const uint8_t *batch, size_t size,
                           int64_t *ret_offset)
{
    struct crig_partition *p = &rig->partitions[index];
    bool write = true;
    int64_t before = -1;
    ck_assert_int_eq(batch_verify(batch, size), OK);
    if (p->leader != node)
        return KAFKA_NOT_LEADER_OR_FOLLOWER;
    int16_t error = check_sequence(p, batch, &before);
    if (error != KAFKA_NONE)
        return error;
    if (rig->on_produce) {
        write = false;
        error = rig->on_produce(rig, index, batch, &write);
        write |= error == KAFKA_NONE;
    }
    *ret_offset = before;
    if (write && before < 0)
        *ret_offset = append(p, batch, size);
    return error;
}

static void serve_produce(struct crig *rig, uint64_t conn, int32_t node,
                          const struct kafka_request_header *header,
                          const struct kafka_produce_request *request)
{
    struct kafka_produce_response response;
    struct kafka_produce_response_topic topic;
    struct kafka_produce_response_partition partitions[CRIG_PARTITIONS];
    kafka_produce_response_init(&response);
    kafka_produce_response_topic_init(&topic);
    ck_assert_int_eq(request->topics_count, 1);
    topic.name = request->topics[0].name;
    topic.partitions = partitions;
    for (int32_t i = 0; i < request->topics[0].partitions_count; i++) {
        const struct kafka_produce_request_partition *in = &request->topics[0].partitions[i];
        struct kafka_produce_response_partition *out = &partitions[topic.partitions_count++];
        kafka_produce_response_partition_init(out);
        out->index = in->index;
        out->base_offset = -1;
        out->error_code =
            produce_one(rig, node, in->index, in->records.p, (size_t)in->records.len, &out->base_offset);
    }
    response.topics = &topic;
    response.topics_count = 1;
    if (request->acks != 0)
        answer(rig, conn, KAFKA_API_PRODUCE, header->api_version, header->correlation_id, &response);
}

/* -- fetch, list offsets -- */

static void fill_records(const struct crig_partition *p, int64_t offset, struct kafka_records *ret)
{
    *ret = (struct kafka_records){.len = 0};
    for (int32_t i = 0; i < p->count; i++) {
        if (batch_last_offset(p->batches[i].data->data) < offset)
            continue;
        *ret = (struct kafka_records){.p = p->batches[i].data->data, .len = (int32_t)p->batches[i].data->len};
        return;
    }
}

static void fetch_one(struct crig *rig, int32_t node, const struct kafka_fetch_request_partition *in,
                      struct kafka_fetch_response_partition *out)
{
    const struct crig_partition *p = &rig->partitions[in->partition];
    kafka_fetch_response_partition_init(out);
    out->partition_index = in->partition;
    out->high_watermark = p->end;
    out->log_start_offset = p->start;
    out->records = (struct kafka_records){.len = 0};
    out->error_code = p->leader != node ? KAFKA_NOT_LEADER_OR_FOLLOWER
                      : in->fetch_offset < p->start || in->fetch_offset > p->end ? KAFKA_OFFSET_OUT_OF_RANGE
                      : rig->on_fetch ? rig->on_fetch(rig, in->partition, in->fetch_offset)
                                      : KAFKA_NONE;
    if (out->error_code == KAFKA_OFFSET_OUT_OF_RANGE && rig->fenced_offset >= 0)
        out->error_code = KAFKA_NONE;
    if (out->error_code != KAFKA_NONE)
        return;
    if (rig->fenced_offset >= 0 && in->last_fetched_epoch >= 0 && in->last_fetched_epoch < p->epoch &&
        in->fetch_offset > rig->fenced_offset) {
        out->diverging_epoch.epoch = in->last_fetched_epoch;
        out->diverging_epoch.end_offset = rig->fenced_offset;
        return;
    }
    fill_records(p, in->fetch_offset, &out->records);
}

static void serve_fetch(struct crig *rig, uint64_t conn, int32_t node,
                        const struct kafka_request_header *header, const struct kafka_fetch_request *request)
{
    struct kafka_fetch_response response;
    struct kafka_fetch_response_topic topic;
    struct kafka_fetch_response_partition partitions[CRIG_PARTITIONS];
    kafka_fetch_response_init(&response);
    kafka_fetch_response_topic_init(&topic);
    ck_assert_int_eq(request->topics_count, 1);
    topic.topic = STR_LIT(CRIG_TOPIC);
    topic.topic_id = topic_id();
    topic.partitions = partitions;
    for (int32_t i = 0; i < request->topics[0].partitions_count; i++)
        fetch_one(rig, node, &request->topics[0].partitions[i], &partitions[topic.partitions_count++]);
    response.topics = &topic;
    response.topics_count = 1;
    answer(rig, conn, KAFKA_API_FETCH, header->api_version, header->correlation_id, &response);
}

static void serve_list_offsets(struct crig *rig, uint64_t conn, int32_t node,
                               const struct kafka_request_header *header,
                               const struct kafka_list_offsets_request *request)
{
    struct kafka_list_offsets_response response;
    struct kafka_list_offsets_response_topic topic;
    struct kafka_list_offsets_response_partition partition;
    const struct kafka_list_offsets_request_partition *in = &request->topics[0].partitions[0];
    const struct crig_partition *p = &rig->partitions[in->partition_index];
    kafka_list_offsets_response_init(&response);
    kafka_list_offsets_response_topic_init(&topic);
    kafka_list_offsets_response_partition_init(&partition);
    partition.partition_index = in->partition_index;
    partition.error_code = p->leader == node ? KAFKA_NONE : KAFKA_NOT_LEADER_OR_FOLLOWER;
    partition.offset = in->timestamp == -2 ? p->start : in->timestamp == -1 ? p->end : -1;
    topic.name = STR_LIT(CRIG_TOPIC);
    topic.partitions = &partition;
    topic.partitions_count = 1;
    response.topics = &topic;
    response.topics_count = 1;
    answer(rig, conn, KAFKA_API_LIST_OFFSETS, header->api_version, header->correlation_id, &response);
}

static void dispatch(struct crig *rig, uint64_t conn, int32_t node, const struct kafka_request_header *header,
                     const void *message)
{
    switch (header->api_key) {
    case KAFKA_API_API_VERSIONS: serve_versions(rig, conn, header); break;
    case KAFKA_API_METADATA: serve_metadata(rig, conn, header); break;
    case KAFKA_API_INIT_PRODUCER_ID: serve_init_producer_id(rig, conn, header); break;
    case KAFKA_API_CREATE_TOPICS: serve_create_topics(rig, conn, header); break;
    case KAFKA_API_PRODUCE: serve_produce(rig, conn, node, header, message); break;
    case KAFKA_API_FETCH: serve_fetch(rig, conn, node, header, message); break;
    case KAFKA_API_LIST_OFFSETS: serve_list_offsets(rig, conn, node, header, message); break;
    default: ck_abort_msg("unexpected API %d", header->api_key);
    }
}

static void drop_conn(struct crig *rig, uint64_t conn)
{
    int32_t kept = 0;
    for (int32_t i = 0; i < rig->mail_count; i++) {
        if (rig->mail[i].conn == conn)
            iobuf_unref(rig->mail[i].frame);
        else
            rig->mail[kept++] = rig->mail[i];
    }
    rig->mail_count = kept;
    rig->conn_node[conn] = 0;
    post(rig, (struct crig_mail){.conn = conn, .why = ERR_CLOSED});
}

static void serve(struct crig *rig, uint64_t conn, const uint8_t *p, size_t len)
{
    uint8_t memory[16384];
    struct arena arena;
    struct reader r = reader_over(p + 4, len - 4);
    struct kafka_request_header header;
    int32_t node = rig->conn_node[conn];
    ck_assert_uint_eq(load_be32(p), len - 4);
    ck_assert_int_eq(kafka_request_header_peel(&r, &header), OK);
    rig->requests[header.api_key]++;
    rig->version[header.api_key] = header.api_version;
    if (rig->silent[node])
        return;
    if (rig->on_request && !rig->on_request(rig, node, header.api_key)) {
        drop_conn(rig, conn);
        return;
    }
    const struct kafka_message_type *type = kafka_message_type(header.api_key, true);
    arena_init(&arena, memory, sizeof(memory), 64u << 20);
    void *message = arena_alloc(&arena, type->size);
    ck_assert_int_eq(type->decode(&r, &arena, header.api_version, message), OK);
    ck_assert_uint_eq(reader_left(&r), 0);
    dispatch(rig, conn, node, &header, message);
    arena_free(&arena);
}

/* -- effects -- */

static void do_connect(struct crig *rig, const struct client_effect *effect)
{
    int32_t node = effect->connect.address->port - PORT_BASE;
    uint64_t conn = effect->connect.conn;
    ck_assert_uint_lt(conn, CRIG_CONNS_MAX);
    ck_assert_int_ge(node, 1);
    ck_assert_int_le(node, CRIG_NODES);
    if (rig->down[node]) {
        post(rig, (struct crig_mail){.conn = conn, .why = ERR_REFUSED});
        return;
    }
    rig->conn_node[conn] = node;
    post(rig, (struct crig_mail){.conn = conn});
}

static void do_send(struct crig *rig, const struct client_effect *effect)
{
    size_t len = 0;
    uint64_t conn = effect->send.conn;
    if (rig->conn_node[conn] == 0)
        return;
    for (uint32_t i = 0; i < effect->send.count; i++)
        len += effect->send.pieces[i].len;
    uint8_t *frame = malloc(len), *at = frame;
    for (uint32_t i = 0; i < effect->send.count; i++) {
        memcpy(at, effect->send.pieces[i].p, effect->send.pieces[i].len);
        at += effect->send.pieces[i].len;
    }
    serve(rig, conn, frame, len);
    free(frame);
}

static void note_delivery(struct crig *rig, const struct client_delivery *d)
{
    for (int32_t i = 0; i < d->count; i++) {
        uint64_t tag = d->tags[i];
        ck_assert_int_eq(rig->delivered[tag], -2); /* told once */
        rig->delivered[tag] = d->failure.err != OK ? -3 : d->base_offset < 0 ? -1 : d->base_offset + i;
        rig->delivered_partition[tag] = d->partition;
        rig->fate[tag] = d->failure;
    }
    if (d->failure.err == OK)
        rig->delivered_count += d->count;
    else
        rig->failed_count += d->count;
}

static void note_records(struct crig *rig, const struct client_records *records)
{
    struct client_records_iter it = client_records_begin(records, &rig->scratch);
    struct record record;
    if (records->moved_from >= 0)
        rig->moved_from = records->moved_from;
    while (client_records_next(&it, &record)) {
        ck_assert_int_lt(rig->consumed_count, CRIG_NOTES_MAX);
        rig->consumed[rig->consumed_count].partition = records->partition;
        rig->consumed[rig->consumed_count].offset = record.offset;
        rig->consumed[rig->consumed_count++].tag = load_be64(record.value.p);
    }
    ck_assert_int_eq(it.err, OK);
}

static void note_reply(struct crig *rig, const struct client_reply *reply)
{
    rig->replies++;
    rig->reply_failure = reply->failure;
    if (reply->message && reply->api_key == KAFKA_API_CREATE_TOPICS)
        rig->reply_error =
            ((const struct kafka_create_topics_response *)reply->message)->topics[0].error_code;
}

static void carry_out(struct crig *rig, const struct client_effect *effect)
{
    switch (effect->type) {
    case CLIENT_FX_CONNECT: do_connect(rig, effect); break;
    case CLIENT_FX_SEND: do_send(rig, effect); break;
    case CLIENT_FX_CLOSE: rig->conn_node[effect->close.conn] = 0; break;
    case CLIENT_FX_TOPIC:
        rig->topic_failure = effect->topic.failure;
        *(effect->topic.failure.err == OK ? &rig->topics_known : &rig->topics_failed) += 1;
        break;
    case CLIENT_FX_DELIVERED: note_delivery(rig, &effect->delivery); break;
    case CLIENT_FX_ROOM: rig->rooms++; break;
    case CLIENT_FX_RECORDS: note_records(rig, &effect->records); break;
    case CLIENT_FX_CONSUME_FAILED:
        rig->failures++;
        rig->consume_failure = effect->consume_failed.failure;
        break;
    case CLIENT_FX_REPLY: note_reply(rig, &effect->reply); break;
    case CLIENT_FX_NONE: break;
    }
}

/* -- time -- */

static void deliver(struct crig *rig, const struct crig_mail *mail)
{
    if (mail->frame) {
        if (rig->conn_node[mail->conn] != 0)
            client_frame(rig->client, rig->now_us, mail->conn, mail->frame->data, mail->frame->len,
                         mail->frame);
        iobuf_unref(mail->frame);
    } else if (mail->why == OK) {
        client_opened(rig->client, rig->now_us, mail->conn);
    } else {
        client_closed(rig->client, rig->now_us, mail->conn, mail->why);
    }
}

static int32_t first_mail(const struct crig *rig)
{
    int32_t first = -1;
    for (int32_t i = 0; i < rig->mail_count; i++)
        if (first < 0 || rig->mail[i].at_us < rig->mail[first].at_us)
            first = i;
    return first;
}

/* One step: the next mail or deadline that is not after limit. False: nothing until then. */
static bool step(struct crig *rig, uint64_t limit_us)
{
    int32_t first = first_mail(rig);
    uint64_t mail_us = first >= 0 ? rig->mail[first].at_us : UINT64_MAX,
             wake_us = client_deadline(rig->client);
    uint64_t at_us = MAX(MIN(mail_us, wake_us), rig->now_us);
    if (MIN(mail_us, wake_us) == UINT64_MAX || at_us > limit_us) {
        rig->now_us = limit_us;
        return false;
    }
    rig->now_us = at_us;
    if (mail_us <= at_us) {
        struct crig_mail mail = rig->mail[first];
        memmove(&rig->mail[first], &rig->mail[first + 1], (size_t)(--rig->mail_count - first) * sizeof(mail));
        deliver(rig, &mail);
        if (rig->on_mail)
            rig->on_mail(rig, &mail);
    }
    struct client_effects effects = client_turn(rig->client, rig->now_us);
    for (uint32_t i = 0; i < effects.count; i++)
        carry_out(rig, &effects.items[i]);
    return true;
}

void crig_run(struct crig *rig, uint64_t for_us)
{
    uint64_t limit_us = rig->now_us + for_us;
    while (step(rig, limit_us))
        ;
}

bool crig_until(struct crig *rig, uint64_t limit_us, bool (*done)(struct crig *rig))
{
    uint64_t until_us = rig->now_us + limit_us;
    while (!done(rig))
        if (!step(rig, until_us))
            return done(rig);
    return true;
}

bool crig_settled(struct crig *rig)
{
    return client_produce_pending(rig->client) == 0;
}

/* -- scripts -- */

void crig_break(struct crig *rig, int32_t node)
{
    for (uint64_t conn = 1; conn < CRIG_CONNS_MAX; conn++)
        if (rig->conn_node[conn] == node)
            drop_conn(rig, conn);
}

void crig_lead(struct crig *rig, int32_t partition, int32_t node)
{
    rig->partitions[partition].leader = node;
    rig->partitions[partition].epoch++;
}

enum err crig_produce(struct crig *rig, struct client_topic *topic, int32_t partition, uint64_t tag)
{
    uint8_t value[8];
    struct record_in record = {.timestamp_ms = 1, .key = BYTES_NULL, .value = {value, sizeof(value)}};
    store_be64(value, tag);
    return client_produce(rig->client, rig->now_us, topic, partition, &record, tag);
}

static bool topic_told(struct crig *rig)
{
    return rig->topics_known + rig->topics_failed > 0;
}

struct client_topic *crig_topic(struct crig *rig)
{
    struct client_topic *topic = client_topic_open(rig->client, rig->now_us, STR_LIT(CRIG_TOPIC));
    ck_assert(crig_until(rig, 10000000, topic_told));
    ck_assert_int_eq(rig->topics_failed, 0);
    return topic;
}

static void check_partition(struct crig *rig, int32_t index, uint8_t *seen, bool ordered)
{
    const struct crig_partition *p = &rig->partitions[index];
    int64_t last = -1;
    for (int32_t i = 0; i < p->count; i++) {
        struct batch_iter it;
        struct record record;
        ck_assert_int_eq(batch_iter_init(&it, p->batches[i].data->data, &rig->scratch), OK);
        while (batch_iter_next(&it, &record)) {
            uint64_t tag = load_be64(record.value.p);
            ck_assert_msg(!seen[tag], "tag %llu stands twice in the log", (unsigned long long)tag);
            seen[tag] = 1;
            if (rig->delivered[tag] >= 0)
                ck_assert_int_eq(rig->delivered[tag], record.offset);
            ck_assert(!ordered || (int64_t)tag > last);
            last = (int64_t)tag;
        }
    }
}

void crig_check_log(struct crig *rig, uint64_t count, bool ordered)
{
    uint8_t *seen = calloc(CRIG_TAGS_MAX, 1);
    for (int32_t i = 0; i < rig->partitions_count; i++)
        check_partition(rig, i, seen, ordered);
    for (uint64_t tag = 0; tag < count; tag++) {
        if (rig->delivered[tag] >= -1)
            ck_assert_msg(seen[tag], "tag %llu was acknowledged and is not in the log",
                          (unsigned long long)tag);
        if (rig->delivered[tag] == -3 && rig->fate[tag].err != ERR_UNKNOWN_OUTCOME)
            ck_assert_msg(!seen[tag], "tag %llu failed for certain and is in the log",
                          (unsigned long long)tag);
    }
    free(seen);
}

/* -- life -- */

static void *counted_resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
    struct crig *rig = ctx;
    rig->bytes += new_size - old_size;
    if (new_size == 0) {
        free(old);
        return NULL;
    }
    return realloc(old, new_size);
}

void crig_config(struct client_config *config)
{
    client_config_init(config);
    for (int i = 0; i < CRIG_NODES; i++) {
        str_copy(STR_LIT("node"), config->bootstrap[i].host, CLIENT_HOST_MAX);
        config->bootstrap[i].port = (uint16_t)(PORT_BASE + i + 1);
    }
    config->bootstrap_count = CRIG_NODES;
    config->seed = 1;
}

struct crig *crig_new(const struct client_config *config, uint64_t seed)
{
    struct crig *rig = calloc(1, sizeof(*rig));
    struct core_alloc alloc = {.ctx = rig, .resize = counted_resize};
    struct client_config own;
    crig_config(&own);
    rig->pool = iobuf_pool_new(1 << 20);
    rig->latency_us = 100;
    rig->now_us = 1000000;
    rig->partitions_count = CRIG_PARTITIONS;
    rig->moved_from = rig->fenced_offset = -1;
    prng_seed(&rig->prng, seed);
    for (int32_t i = 0; i < CRIG_PARTITIONS; i++) {
        rig->partitions[i].leader = i % CRIG_NODES + 1;
        rig->partitions[i].producer_id = -1;
    }
    for (size_t i = 0; i < CRIG_TAGS_MAX; i++)
        rig->delivered[i] = -2;
    ck_assert_int_eq(batch_scratch_init(&rig->scratch, 1 << 20, 0), OK);
    rig->client = client_new(config ? config : &own, &alloc, rig->pool);
    ck_assert_ptr_nonnull(rig->client);
    return rig;
}

void crig_free(struct crig *rig)
{
    client_free(rig->client);
    ck_assert_uint_eq(rig->bytes, 0);
    for (int32_t i = 0; i < rig->mail_count; i++)
        iobuf_unref(rig->mail[i].frame);
    for (int32_t i = 0; i < CRIG_PARTITIONS; i++)
        for (int32_t k = 0; k < rig->partitions[i].count; k++)
            iobuf_unref(rig->partitions[i].batches[k].data);
    ck_assert_uint_eq(iobuf_pool_bytes_out(rig->pool), 0);
    iobuf_pool_drop(rig->pool);
    batch_scratch_free(&rig->scratch);
    free(rig);
}
