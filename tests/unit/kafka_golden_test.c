/* SPDX-License-Identifier: Apache-2.0 */
/* Frames captured between real clients and a real Kafka 4.2 broker (data/kafka, made with
 * tests/compat/schema/capture): each decodes, says what the client was told to say, and encodes to the same
 * bytes. */
#include "proto/kafka/messages.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <string.h>

#define CAP        (1u << 20)
#define FRAME_MAX  4096
#define LINE_BYTES (2 * FRAME_MAX + 64)

static const char *const files[] = {"kcat", "kafka_python", "confluent_python", "java_tools",
                                    "java_transactions"};

struct frame {
    bool is_request;
    int16_t key, version;
    size_t len;
    uint8_t bytes[FRAME_MAX];
};

static struct arena arena;

static void setup(void)
{
    arena_init(&arena, NULL, 0, CAP);
}

static void teardown(void)
{
    arena_free(&arena);
}

static bool parse_line(const char *line, struct frame *ret)
{
    char kind[16];
    int at = 0;
    if (line[0] == '#')
        return false;
    ck_assert_int_eq(sscanf(line, "%15s %hd %hd %n", kind, &ret->key, &ret->version, &at), 3);
    ret->is_request = strcmp(kind, "request") == 0;
    ret->len = 0;
    unsigned byte;
    while (sscanf(line + at, "%2x", &byte) == 1) {
        ck_assert_uint_lt(ret->len, FRAME_MAX);
        ret->bytes[ret->len++] = (uint8_t)byte;
        at += 2;
    }
    return true;
}

static FILE *open_file(const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/kafka/%s.hex", DATA_DIR, name);
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s", path);
    return file;
}

static void read_header(struct reader *r, const struct frame *frame, struct writer *w)
{
    if (frame->is_request) {
        struct kafka_request_header header;
        ck_assert_int_eq(kafka_request_header_peel(r, &header), OK);
        ck_assert_int_eq(header.api_key, frame->key);
        ck_assert_int_eq(header.api_version, frame->version);
        kafka_request_header_encode(w, kafka_request_header_version(frame->key, frame->version), &header);
    } else {
        int16_t version = kafka_response_header_version(frame->key, frame->version);
        struct kafka_response_header header;
        ck_assert_int_eq(kafka_response_header_decode(r, version, &header), OK);
        kafka_response_header_encode(w, version, &header);
    }
}

/* Decodes into the arena and checks that encoding gives the same frame. */
static void *decode(const struct frame *frame)
{
    const struct kafka_message_type *type = kafka_message_type(frame->key, frame->is_request);
    ck_assert_ptr_nonnull(type);
    struct writer w;
    writer_init(&w, NULL, 256, CAP);
    struct reader r = reader_over(frame->bytes, frame->len);
    read_header(&r, frame, &w);
    void *message = arena_alloc(&arena, type->size);
    enum err err = type->decode(&r, &arena, frame->version, message);
    ck_assert_msg(err == OK && reader_left(&r) == 0, "%s v%d: %s, %zu left", type->name, frame->version,
                  err_name(err), reader_left(&r));
    type->encode(&w, frame->version, message);
    ck_assert_int_eq(w.err, OK);
    ck_assert_msg(w.buf->len == frame->len && memcmp(w.buf->data, frame->bytes, frame->len) == 0,
                  "%s v%d: other bytes", type->name, frame->version);
    writer_free(&w);
    return message;
}

/* The first frame of that kind in the file, decoded. The frame is static, because strings are views of it. */
static void *golden(const char *name, bool is_request, int16_t key, int16_t version)
{
    static struct frame frame;
    static char line[LINE_BYTES];
    FILE *file = open_file(name);
    bool found = false;
    while (!found && fgets(line, sizeof line, file))
        found = parse_line(line, &frame) && frame.is_request == is_request && frame.key == key &&
                frame.version == version;
    fclose(file);
    ck_assert_msg(found, "%s: no key %d v%d", name, key, version);
    return decode(&frame);
}

START_TEST(every_captured_frame_decodes_and_encodes_to_itself)
{
    static struct frame frame;
    static char line[LINE_BYTES];
    unsigned frames = 0;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        FILE *file = open_file(files[i]);
        while (fgets(line, sizeof line, file)) {
            if (parse_line(line, &frame)) {
                decode(&frame);
                arena_reset(&arena);
                frames++;
            }
        }
        fclose(file);
    }
    ck_assert_uint_gt(frames, 150);
}
END_TEST

START_TEST(produce_of_kcat)
{
    const struct kafka_produce_request *m = golden("kcat", true, KAFKA_API_PRODUCE, 7);
    ck_assert_int_eq(m->transactional_id.len, -1);
    ck_assert_int_eq(m->acks, -1);
    ck_assert_int_eq(m->topics_count, 1);
    ck_assert(str_eq_z(m->topics[0].name, "kc"));
    ck_assert_int_eq(m->topics[0].partitions_count, 1);
    const struct kafka_produce_request_partition *partition = &m->topics[0].partitions[0];
    ck_assert_int_eq(partition->index, 0);
    ck_assert_int_gt(partition->records.len, 61);
    ck_assert_int_eq(partition->records.p[16], 2); /* magic */
    ck_assert_uint_eq(load_be32(partition->records.p + 8) + 12,
                      (uint32_t)partition->records.len);        /* one whole batch */
    ck_assert_uint_eq(load_be32(partition->records.p + 57), 3); /* records */
}
END_TEST

START_TEST(produce_of_java_goes_by_topic_id)
{
    const struct kafka_produce_request *m = golden("java_tools", true, KAFKA_API_PRODUCE, 13);
    ck_assert_int_eq(m->topics[0].name.len, 0);
    ck_assert(!uuid_is_zero(m->topics[0].topic_id));
    ck_assert_int_eq(m->topics[0].partitions[0].records.p[16], 2);
    const struct kafka_produce_response *answer = golden("java_tools", false, KAFKA_API_PRODUCE, 13);
    ck_assert_int_eq(answer->topics[0].partitions[0].error_code, 0);
    ck_assert_int_eq(answer->topics[0].partitions[0].base_offset, 0);
    ck_assert_int_eq(answer->topics[0].partitions[0].log_append_time_ms, -1);
}
END_TEST

START_TEST(fetch_of_kcat)
{
    const struct kafka_fetch_request *m = golden("kcat", true, KAFKA_API_FETCH, 11);
    ck_assert_int_eq(m->replica_id, -1);
    ck_assert_int_eq(m->max_wait_ms, 500);
    ck_assert_int_eq(m->min_bytes, 1);
    ck_assert_int_eq(m->session_epoch, -1);
    ck_assert(str_eq_z(m->topics[0].topic, "kc"));
    ck_assert_int_eq(m->topics[0].partitions[0].fetch_offset, 0);
    const struct kafka_fetch_response *answer = golden("kcat", false, KAFKA_API_FETCH, 11);
    ck_assert_int_eq(answer->topics[0].partitions[0].error_code, 0);
    ck_assert_int_gt(answer->topics[0].partitions[0].high_watermark, 0);
    ck_assert_int_gt(answer->topics[0].partitions[0].records.len, 61);
    ck_assert_int_eq(answer->topics[0].partitions[0].preferred_read_replica, -1);
}
END_TEST

START_TEST(fetch_of_java_is_a_session_by_topic_id)
{
    const struct kafka_fetch_request *m = golden("java_tools", true, KAFKA_API_FETCH, 18);
    ck_assert_int_eq(m->replica_state.replica_id, -1);
    ck_assert_int_eq(m->session_epoch, 0);
    ck_assert(!uuid_is_zero(m->topics[0].topic_id));
    ck_assert_int_eq(m->topics[0].partitions[0].high_watermark, INT64_MAX);
    ck_assert_int_eq(m->topics[0].partitions[0].durable_offset, -1);
}
END_TEST

START_TEST(metadata_of_kcat)
{
    const struct kafka_metadata_response *m = golden("kcat", false, KAFKA_API_METADATA, 4);
    ck_assert_int_eq(m->brokers_count, 1);
    ck_assert_int_eq(m->brokers[0].node_id, 1);
    ck_assert(str_eq_z(m->brokers[0].host, "127.0.0.1"));
    ck_assert_int_eq(m->brokers[0].rack.len, -1);
    ck_assert_int_eq(m->controller_id, 1);
    ck_assert_int_eq(m->cluster_id.len, 22);
}
END_TEST

START_TEST(api_versions_of_java)
{
    const struct kafka_api_versions_request *m = golden("java_tools", true, KAFKA_API_API_VERSIONS, 4);
    ck_assert(str_eq_z(m->client_software_name, "apache-kafka-java"));
    ck_assert(str_eq_z(m->client_software_version, "4.2.1"));
    const struct kafka_api_versions_response *answer = golden("java_tools", false, KAFKA_API_API_VERSIONS, 4);
    ck_assert_int_eq(answer->error_code, 0);
    ck_assert_int_eq(answer->api_keys_count, 75); /* all but the two of telemetry */
    ck_assert_int_ge(answer->finalized_features_epoch, 0);
    ck_assert_int_gt(answer->finalized_features_count, 0);
}
END_TEST

START_TEST(what_a_broker_advertises_has_a_schema)
{
    const struct kafka_api_versions_response *m = golden("java_tools", false, KAFKA_API_API_VERSIONS, 4);
    for (int32_t i = 0; i < m->api_keys_count; i++) {
        const struct kafka_api_info *info = kafka_api_info(m->api_keys[i].api_key);
        ck_assert_ptr_nonnull(info);
        int16_t advertised_min = info->key == KAFKA_API_PRODUCE ? 0 : info->min_version;
        int16_t advertised_max =
            info->key == KAFKA_API_INIT_PRODUCER_ID ? 5 : info->max_version; /* 6 is not stable */
        ck_assert_msg(m->api_keys[i].min_version == advertised_min &&
                          m->api_keys[i].max_version == advertised_max,
                      "%s %d-%d", info->name, m->api_keys[i].min_version, m->api_keys[i].max_version);
    }
}
END_TEST

START_TEST(create_topics_of_java)
{
    const struct kafka_create_topics_request *m = golden("java_tools", true, KAFKA_API_CREATE_TOPICS, 7);
    ck_assert_int_eq(m->topics_count, 1);
    ck_assert(str_eq_z(m->topics[0].name, "jt"));
    ck_assert_int_eq(m->topics[0].num_partitions, 2);
    ck_assert_int_eq(m->topics[0].replication_factor, 1);
    ck_assert_int_eq(m->topics[0].configs_count, 1);
    ck_assert(str_eq_z(m->topics[0].configs[0].name, "retention.ms"));
    ck_assert(str_eq_z(m->topics[0].configs[0].value, "3600000"));
    ck_assert(!m->validate_only);
}
END_TEST

START_TEST(transactions_of_java)
{
    const struct kafka_init_producer_id_request *m =
        golden("java_transactions", true, KAFKA_API_INIT_PRODUCER_ID, 5);
    ck_assert(str_eq_z(m->transactional_id, "tx"));
    ck_assert_int_eq(m->producer_id, -1);
    const struct kafka_end_txn_response *answer = golden("java_transactions", false, KAFKA_API_END_TXN, 5);
    ck_assert_int_eq(answer->error_code, 0);
    ck_assert_int_ge(answer->producer_id, 0);
    ck_assert_int_gt(answer->producer_epoch, 0);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, every_captured_frame_decodes_and_encodes_to_itself);
    tcase_add_test(tcase, produce_of_kcat);
    tcase_add_test(tcase, produce_of_java_goes_by_topic_id);
    tcase_add_test(tcase, fetch_of_kcat);
    tcase_add_test(tcase, fetch_of_java_is_a_session_by_topic_id);
    tcase_add_test(tcase, metadata_of_kcat);
    tcase_add_test(tcase, api_versions_of_java);
    tcase_add_test(tcase, what_a_broker_advertises_has_a_schema);
    tcase_add_test(tcase, create_topics_of_java);
    tcase_add_test(tcase, transactions_of_java);
}

SLUICE_TEST_MAIN("kafka_golden", add)
