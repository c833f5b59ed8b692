/* SPDX-License-Identifier: Apache-2.0 */
/* The table-driven codec of proto/cluster: every message, filled at random through its table, must survive
 * our round trip, must be read and written byte for byte alike by the codec that nanopb generates from
 * cluster.proto, and must be refused when it is cut or inflated. */
#include "tests/lib/unit.h"

#include <pb_decode.h>
#include <pb_encode.h>
#include <string.h>

#include "cluster.pb.h"
#include "common/base/assert.h"
#include "common/base/prng.h"
#include "proto/cluster/tables.h"

#define ARENA_CAP (1 << 20)
#define BUFFER    (1 << 16)
#define ROUNDS    200

static struct prng prng;
static struct arena arena;

static void fresh(uint64_t seed)
{
    prng_seed(&prng, seed);
    arena_init(&arena, NULL, 0, ARENA_CAP);
}

/* --- random content, by table --- */

static struct str random_text(int32_t least)
{
    int32_t len = least + (int32_t)prng_below(&prng, 12);
    char *p = arena_alloc(&arena, (size_t)len + 1);
    for (int32_t i = 0; i < len; i++)
        p[i] = (char)('a' + prng_below(&prng, 26));
    return (struct str){p, len};
}

static void fill(const struct pb_table *table, uint8_t *object);

static void fill_array(const struct pb_field *field, uint8_t *object)
{
    int32_t count = (int32_t)prng_below(&prng, field->count_max ? field->count_max + 1 : 40);
    int32_t *counter = (int32_t *)(object + field->count_offset);
    if (field->kind == PB_I64_ARRAY)
        count = *counter; /* isr_epochs: shared with the array before */
    size_t size = field->kind == PB_MSG_ARRAY ? field->sub->size_bytes : field->kind == PB_I32_ARRAY ? 4 : 8;
    uint8_t *array = arena_calloc(&arena, (size_t)count + 1, size);
    for (int32_t i = 0; i < count; i++) {
        if (field->kind == PB_MSG_ARRAY)
            fill(field->sub, array + (size_t)i * size);
        else if (field->kind == PB_I32_ARRAY)
            ((int32_t *)array)[i] = (int32_t)prng_next(&prng) >> prng_below(&prng, 31);
        else
            ((int64_t *)array)[i] = (int64_t)prng_next(&prng) >> prng_below(&prng, 63);
    }
    *counter = count;
    *(void **)(object + field->offset) = array;
}

static void fill_number(const struct pb_field *field, uint8_t *at)
{
    uint64_t value = prng_next(&prng) >> prng_below(&prng, 64);
    if (prng_below(&prng, 4) == 0)
        value = 0;
    switch (field->kind) {
    case PB_BOOL: *(bool *)at = value & 1; break;
    case PB_I8: *(int8_t *)at = (int8_t)value; break;
    case PB_I16:
    case PB_U16: memcpy(at, &value, 2); break;
    case PB_I32:
    case PB_U32: memcpy(at, &value, 4); break;
    default: memcpy(at, &value, 8); break;
    }
}

static void fill_view(const struct pb_field *field, uint8_t *at)
{
    if (field->kind == PB_UUID) {
        for (int i = 0; i < 16; i++)
            at[i] = (uint8_t)(1 + prng_below(&prng, 255));
    } else if (field->kind == PB_VIEW) {
        struct str text = random_text(1);
        *(struct bytes *)at = (struct bytes){(const uint8_t *)text.p, text.len};
    } else if (field->kind == PB_STR_NULLABLE && prng_below(&prng, 3) == 0) {
        *(struct str *)at = STR_NULL;
    } else {
        *(struct str *)at = random_text(1);
    }
}

static void fill(const struct pb_table *table, uint8_t *object)
{
    memset(object, 0, table->size_bytes);
    for (size_t i = 0; i < table->fields_count; i++) {
        const struct pb_field *field = &table->fields[i];
        if (field->kind >= PB_I32_ARRAY)
            fill_array(field, object);
        else if (field->kind >= PB_UUID)
            fill_view(field, object + field->offset);
        else
            fill_number(field, object + field->offset);
    }
}

/* --- comparison, by table --- */

static size_t scalar_size(enum pb_kind kind)
{
    static const size_t sizes[] = {[PB_BOOL] = 1, [PB_I8] = 1,  [PB_I16] = 2, [PB_I32] = 4,  [PB_I64] = 8,
                                   [PB_U16] = 2,  [PB_U32] = 4, [PB_U64] = 8, [PB_UUID] = 16};
    return sizes[kind];
}

static bool equal(const struct pb_table *table, const uint8_t *a, const uint8_t *b);

static bool equal_array(const struct pb_field *field, const uint8_t *a, const uint8_t *b)
{
    int32_t count = *(const int32_t *)(a + field->count_offset);
    if (count != *(const int32_t *)(b + field->count_offset))
        return false;
    const uint8_t *x = *(uint8_t *const *)(a + field->offset), *y = *(uint8_t *const *)(b + field->offset);
    if (field->kind != PB_MSG_ARRAY)
        return count == 0 || memcmp(x, y, (size_t)count * (field->kind == PB_I32_ARRAY ? 4 : 8)) == 0;
    for (int32_t i = 0; i < count; i++) {
        size_t at = (size_t)i * field->sub->size_bytes;
        if (!equal(field->sub, x + at, y + at))
            return false;
    }
    return true;
}

static bool equal_field(const struct pb_field *field, const uint8_t *a, const uint8_t *b)
{
    const uint8_t *x = a + field->offset, *y = b + field->offset;
    if (field->kind >= PB_I32_ARRAY)
        return equal_array(field, a, b);
    if (field->kind == PB_STR || field->kind == PB_STR_NULLABLE)
        return str_eq(*(const struct str *)x, *(const struct str *)y);
    if (field->kind == PB_VIEW) {
        const struct bytes *p = (const struct bytes *)x, *q = (const struct bytes *)y;
        return p->len == q->len && memcmp(p->p, q->p, (size_t)p->len) == 0;
    }
    return memcmp(x, y, scalar_size(field->kind)) == 0;
}

static bool equal(const struct pb_table *table, const uint8_t *a, const uint8_t *b)
{
    for (size_t i = 0; i < table->fields_count; i++) {
        if (!equal_field(&table->fields[i], a, b))
            return false;
    }
    return true;
}

/* --- every message --- */

struct message {
    const char *name;
    const struct pb_table *table;
    const pb_msgdesc_t *descriptor;
    size_t nanopb_size;
};

#define RPC(name, Camel)                                                                                     \
    {                                                                                                        \
#Camel, &rpc_##name##_table, &sluice_cluster_##Camel##_msg, sizeof(sluice_cluster_##Camel)           \
    }
static const struct message rpc_messages[] = {
    RPC(register_broker_request, RegisterBrokerRequest),
    RPC(register_broker_reply, RegisterBrokerReply),
    RPC(heartbeat_request, HeartbeatRequest),
    RPC(heartbeat_reply, HeartbeatReply),
    RPC(tail_request, TailRequest),
    RPC(tail_reply, TailReply),
    RPC(snapshot_request, SnapshotRequest),
    RPC(snapshot_reply, SnapshotReply),
    RPC(alter_partition_request, AlterPartitionRequest),
    RPC(alter_partition_reply, AlterPartitionReply),
    RPC(admin_request, AdminRequest),
    RPC(admin_reply, AdminReply),
    RPC(producer_ids_request, ProducerIdsRequest),
    RPC(producer_ids_reply, ProducerIdsReply),
    RPC(status_request, StatusRequest),
    RPC(status_reply, StatusReply),
};

static const struct {
    enum meta_type type;
    const char *name;
    const pb_msgdesc_t *descriptor;
    size_t nanopb_size;
} record_messages[] = {
#define REC(type, Camel)                                                                                     \
    {                                                                                                        \
        type, #Camel, &sluice_cluster_##Camel##_msg, sizeof(sluice_cluster_##Camel)                          \
    }
    REC(META_CLUSTER, Cluster),
    REC(META_BROKER, Broker),
    REC(META_BROKER_STATE, BrokerState),
    REC(META_BROKER_REMOVED, BrokerRemoved),
    REC(META_TOPIC, Topic),
    REC(META_TOPIC_REMOVED, TopicRemoved),
    REC(META_PARTITION, Partition),
    REC(META_CONFIG, Config),
    REC(META_PRODUCER_IDS, ProducerIds),
    REC(META_FEATURE, Feature),
    REC(META_CONTROLLER, Controller),
};

static struct iobuf *encode(const struct pb_table *table, const void *object)
{
    struct writer w;
    writer_init(&w, NULL, 64, BUFFER);
    pb_table_write(&w, table, object);
    ck_assert_int_eq(w.err, OK);
    ck_assert_uint_eq(writer_pos(&w), pb_table_size(table, object));
    struct iobuf *buf = writer_take(&w);
    writer_free(&w);
    return buf;
}

/* nanopb reads our bytes and writes them again: the same bytes. */
static void second_opinion(const struct message *message, const struct iobuf *buf)
{
    static uint8_t again[BUFFER];
    void *decoded = calloc(1, message->nanopb_size + 1);
    pb_istream_t in = pb_istream_from_buffer(buf->data, buf->len);
    ck_assert_msg(pb_decode(&in, message->descriptor, decoded), "%s: %s", message->name, PB_GET_ERROR(&in));
    pb_ostream_t out = pb_ostream_from_buffer(again, sizeof(again));
    ck_assert_msg(pb_encode(&out, message->descriptor, decoded), "%s: %s", message->name, PB_GET_ERROR(&out));
    ck_assert_msg(out.bytes_written == buf->len, "%s: %zu bytes, ours %u", message->name, out.bytes_written,
                  buf->len);
    ck_assert_msg(memcmp(again, buf->data, buf->len) == 0, "%s: other bytes", message->name);
    pb_release(message->descriptor, decoded);
    free(decoded);
}

static void check_message(const struct message *message)
{
    uint8_t *object = arena_alloc(&arena, message->table->size_bytes),
            *back = arena_alloc(&arena, message->table->size_bytes);
    fill(message->table, object);
    struct iobuf *buf = encode(message->table, object);
    second_opinion(message, buf);
    ck_assert_int_eq(pb_table_read(buf->data, buf->len, &arena, message->table, back), OK);
    ck_assert_msg(equal(message->table, object, back), "%s", message->name);
    iobuf_unref(buf);
}

START_TEST(every_rpc_message_agrees_with_the_generated_codec)
{
    for (uint64_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < ARRAY_LEN(rpc_messages); i++) {
            fresh(round * 100 + i);
            check_message(&rpc_messages[i]);
            arena_free(&arena);
        }
    }
}
END_TEST

START_TEST(every_record_body_agrees_with_the_generated_codec)
{
    for (uint64_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < ARRAY_LEN(record_messages); i++) {
            fresh(round * 100 + i);
            struct message message = {record_messages[i].name,
                                      meta_record_table((uint32_t)record_messages[i].type),
                                      record_messages[i].descriptor, record_messages[i].nanopb_size};
            check_message(&message);
            arena_free(&arena);
        }
    }
}
END_TEST

/* --- records with their envelope --- */

static void random_record(size_t which, struct meta_record *record)
{
    *record = (struct meta_record){.type = record_messages[which].type};
    fill(meta_record_table((uint32_t)record->type), (uint8_t *)&record->cluster);
}

START_TEST(records_in_sequence_read_back_with_their_types)
{
    fresh(7);
    struct meta_record records[ARRAY_LEN(record_messages)], back;
    struct writer w;
    writer_init(&w, NULL, 64, BUFFER);
    for (size_t i = 0; i < ARRAY_LEN(records); i++) {
        random_record(i, &records[i]);
        meta_record_encode(&w, &records[i]);
    }
    ck_assert_int_eq(w.err, OK);
    struct reader r = reader_over(w.buf->data, w.buf->len);
    for (size_t i = 0; i < ARRAY_LEN(records); i++) {
        ck_assert_int_eq(meta_record_decode(&r, &arena, &back), OK);
        ck_assert_int_eq(back.type, records[i].type);
        ck_assert(equal(meta_record_table((uint32_t)back.type), (uint8_t *)&records[i].cluster,
                        (uint8_t *)&back.cluster));
    }
    ck_assert_uint_eq(reader_left(&r), 0);
    writer_free(&w);
    arena_free(&arena);
}
END_TEST

START_TEST(generated_codec_reads_the_envelope_and_names_agree)
{
    int32_t replicas[] = {3, 1, 2}, isr[] = {3, 1}, elr[] = {2};
    struct meta_record record = {.type = META_PARTITION,
                                 .partition = {.topic_id = {{1, 2, 3}},
                                               .index = 5,
                                               .leader = -1,
                                               .leader_epoch = 7,
                                               .partition_epoch = 9,
                                               .recovering = true,
                                               .replicas = replicas,
                                               .replicas_count = 3,
                                               .isr = isr,
                                               .isr_count = 2,
                                               .elr = elr,
                                               .elr_count = 1}};
    struct writer w;
    writer_init(&w, NULL, 64, BUFFER);
    meta_record_encode(&w, &record);
    pb_istream_t in = pb_istream_from_buffer(w.buf->data, w.buf->len);
    sluice_cluster_MetadataRecord m = sluice_cluster_MetadataRecord_init_zero;
    ck_assert(pb_decode_ex(&in, sluice_cluster_MetadataRecord_fields, &m, PB_DECODE_DELIMITED));
    ck_assert_int_eq(m.which_record, META_PARTITION);
    sluice_cluster_Partition *p = &m.record.partition;
    ck_assert_int_eq(p->topic_id->size, 16);
    ck_assert_int_eq(p->topic_id->bytes[2], 3);
    ck_assert_int_eq(p->index, 5);
    ck_assert_int_eq(p->leader, -1);
    ck_assert_int_eq(p->leader_epoch, 7);
    ck_assert_int_eq(p->partition_epoch, 9);
    ck_assert(p->recovering);
    ck_assert_int_eq(p->replicas_count, 3);
    ck_assert_int_eq(p->isr_count, 2);
    ck_assert_int_eq(p->elr[0], 2);
    ck_assert_int_eq(p->last_known_elr_count + p->adding_count + p->removing_count, 0);
    pb_release(sluice_cluster_MetadataRecord_fields, &m);
    writer_free(&w);
}
END_TEST

START_TEST(rpc_fields_have_their_names_on_the_wire)
{
    int32_t isr[] = {1, 2};
    int64_t epochs[] = {10, -1};
    struct rpc_alter_partition part = {.topic_id = {{9}},
                                       .index = 4,
                                       .leader_epoch = 5,
                                       .partition_epoch = 6,
                                       .isr = isr,
                                       .isr_epochs = epochs,
                                       .isr_count = 2};
    struct rpc_alter_partition_request m = {
        .broker_id = 2, .broker_epoch = 77, .partitions = &part, .partitions_count = 1};
    struct writer w;
    writer_init(&w, NULL, 64, BUFFER);
    rpc_alter_partition_request_encode(&w, &m);
    pb_istream_t in = pb_istream_from_buffer(w.buf->data, w.buf->len);
    sluice_cluster_AlterPartitionRequest g = sluice_cluster_AlterPartitionRequest_init_zero;
    ck_assert(pb_decode(&in, sluice_cluster_AlterPartitionRequest_fields, &g));
    ck_assert_int_eq(g.broker_id, 2);
    ck_assert_int_eq(g.broker_epoch, 77);
    ck_assert_int_eq(g.partitions[0].index, 4);
    ck_assert_int_eq(g.partitions[0].leader_epoch, 5);
    ck_assert_int_eq(g.partitions[0].partition_epoch, 6);
    ck_assert_int_eq(g.partitions[0].isr[1], 2);
    ck_assert_int_eq(g.partitions[0].isr_epochs[1], -1);
    pb_release(sluice_cluster_AlterPartitionRequest_fields, &g);
    writer_free(&w);
}
END_TEST

/* --- hostile input --- */

START_TEST(a_record_cut_at_any_byte_is_refused)
{
    fresh(11);
    for (size_t which = 0; which < ARRAY_LEN(record_messages); which++) {
        struct meta_record record, back = {.type = (enum meta_type)99};
        random_record(which, &record);
        struct writer w;
        writer_init(&w, NULL, 64, BUFFER);
        meta_record_encode(&w, &record);
        for (size_t len = 0; len < w.buf->len; len++) {
            uint8_t *exact = malloc(len + 1); /* so that a sanitizer sees a read past the end */
            memcpy(exact, w.buf->data, len);
            struct reader r = reader_over(exact, len);
            ck_assert_int_eq(meta_record_decode(&r, &arena, &back), ERR_MALFORMED);
            ck_assert_int_eq(back.type, 99);
            free(exact);
        }
        writer_free(&w);
    }
    arena_free(&arena);
}
END_TEST

START_TEST(random_bytes_never_break_a_decoder)
{
    for (uint64_t round = 0; round < 3000; round++) {
        fresh(round);
        size_t len = prng_below(&prng, 64);
        uint8_t *bytes = malloc(len + 1);
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)(prng_below(&prng, 2) ? prng_next(&prng) : prng_below(&prng, 20));
        for (size_t i = 0; i < ARRAY_LEN(rpc_messages); i++) {
            void *object = arena_alloc(&arena, rpc_messages[i].table->size_bytes);
            enum err err = pb_table_read(bytes, len, &arena, rpc_messages[i].table, object);
            ck_assert(err == OK || err == ERR_MALFORMED || err == ERR_TOO_LARGE || err == ERR_NOMEM);
        }
        struct reader r = reader_over(bytes, len);
        struct meta_record record;
        while (meta_record_decode(&r, &arena, &record) == OK && reader_left(&r) > 0)
            continue;
        arena_free(&arena);
        free(bytes);
    }
}
END_TEST

START_TEST(more_replicas_than_allowed_are_refused)
{
    fresh(1);
    uint8_t bytes[3 + META_REPLICAS_MAX + 1] = {7 << 3 | 2,
                                                META_REPLICAS_MAX + 1}; /* field 7, packed, one byte each */
    struct meta_partition m;
    ck_assert_int_eq(
        pb_table_read(bytes, 2 + META_REPLICAS_MAX + 1, &arena, meta_record_table(META_PARTITION), &m),
        ERR_TOO_LARGE);
    bytes[1] = META_REPLICAS_MAX;
    ck_assert_int_eq(
        pb_table_read(bytes, 2 + META_REPLICAS_MAX, &arena, meta_record_table(META_PARTITION), &m), OK);
    ck_assert_int_eq(m.replicas_count, META_REPLICAS_MAX);
    arena_free(&arena);
}
END_TEST

START_TEST(isr_and_its_epochs_must_be_equally_long)
{
    fresh(1);
    const uint8_t bytes[] = {3 << 3 | 2, 7, 6 << 3 | 2, 2, 2, 4, 7 << 3 | 2, 1, 2};
    struct rpc_alter_partition_request m;
    struct reader r = reader_over(bytes, sizeof(bytes));
    ck_assert_int_eq(rpc_alter_partition_request_decode(&r, &arena, &m), ERR_MALFORMED);
    arena_free(&arena);
}
END_TEST

START_TEST(a_number_too_large_for_its_field_is_refused)
{
    fresh(1);
    const uint8_t bytes[] = {1 << 3, 0x80, 0x80, 0x04}; /* error = zigzag(65536): 32768, beyond 16 bits */
    struct rpc_heartbeat_reply m = {.error = 5};
    struct reader r = reader_over(bytes, sizeof(bytes));
    ck_assert_int_eq(rpc_heartbeat_reply_decode(&r, &arena, &m), ERR_MALFORMED);
    ck_assert_int_eq(m.error, 5);
    arena_free(&arena);
}
END_TEST

START_TEST(an_unknown_record_type_and_unknown_fields_are_skipped)
{
    fresh(1);
    /* type 60 with three bytes; then a topic record with an unknown varint field 9 behind its name */
    const uint8_t bytes[] = {6, 0xe2, 0x03, 3, 1, 2, 3, 7, 5 << 3 | 2, 5, 2 << 3 | 2, 1, 'x', 9 << 3, 1};
    struct reader r = reader_over(bytes, sizeof(bytes));
    struct meta_record record;
    ck_assert_int_eq(meta_record_decode(&r, &arena, &record), OK);
    ck_assert_int_eq(record.type, META_UNKNOWN);
    ck_assert_int_eq(meta_record_decode(&r, &arena, &record), OK);
    ck_assert_int_eq(record.type, META_TOPIC);
    ck_assert(str_eq_z(record.topic.name, "x"));
    ck_assert_uint_eq(reader_left(&r), 0);
    arena_free(&arena);
}
END_TEST

START_TEST(a_small_arena_gives_nomem_and_a_small_writer_too_large)
{
    fresh(3);
    struct meta_record record, back;
    random_record(6, &record);
    record.partition.replicas_count = META_REPLICAS_MAX;
    record.partition.replicas = arena_calloc(&arena, META_REPLICAS_MAX, sizeof(int32_t));
    struct writer w, small;
    writer_init(&w, NULL, 64, BUFFER);
    meta_record_encode(&w, &record);
    struct arena tiny;
    arena_init(&tiny, NULL, 0, 64);
    struct reader r = reader_over(w.buf->data, w.buf->len);
    ck_assert_int_eq(meta_record_decode(&r, &tiny, &back), ERR_NOMEM);
    writer_init(&small, NULL, 16, 16);
    meta_record_encode(&small, &record);
    ck_assert_int_eq(small.err, ERR_TOO_LARGE);
    meta_record_encode(&small, &record); /* stays failed */
    ck_assert_int_eq(small.err, ERR_TOO_LARGE);
    writer_free(&small);
    writer_free(&w);
    arena_free(&tiny);
    arena_free(&arena);
}
END_TEST

static void add(TCase *tc)
{
    tcase_add_test(tc, every_rpc_message_agrees_with_the_generated_codec);
    tcase_add_test(tc, every_record_body_agrees_with_the_generated_codec);
    tcase_add_test(tc, records_in_sequence_read_back_with_their_types);
    tcase_add_test(tc, generated_codec_reads_the_envelope_and_names_agree);
    tcase_add_test(tc, rpc_fields_have_their_names_on_the_wire);
    tcase_add_test(tc, a_record_cut_at_any_byte_is_refused);
    tcase_add_test(tc, random_bytes_never_break_a_decoder);
    tcase_add_test(tc, more_replicas_than_allowed_are_refused);
    tcase_add_test(tc, isr_and_its_epochs_must_be_equally_long);
    tcase_add_test(tc, a_number_too_large_for_its_field_is_refused);
    tcase_add_test(tc, an_unknown_record_type_and_unknown_fields_are_skipped);
    tcase_add_test(tc, a_small_arena_gives_nomem_and_a_small_writer_too_large);
}

SLUICE_TEST_MAIN("cluster_records", add)
