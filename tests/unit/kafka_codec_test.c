/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of the wire forms that random round trips do not pin down: refusals, bounds, tags, record pieces.
 */
#include "proto/kafka/messages.h"
#include "tests/lib/unit.h"

#include <string.h>

#define CAP 65536

static struct arena arena;
static struct writer writer;

static void setup(void)
{
    arena_init(&arena, NULL, 0, CAP);
    writer_init(&writer, NULL, 64, 4 * CAP);
}

static void teardown(void)
{
    writer_free(&writer);
    arena_free(&arena);
}

#define READER(...) reader_over((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

START_TEST(strings_in_both_forms)
{
    struct reader r = READER(0, 2, 'h', 'i', 0xff, 0xff);
    ck_assert(str_eq_z(kafka_get_str(&r, false, false), "hi"));
    ck_assert_int_eq(kafka_get_str(&r, false, true).len, -1);
    ck_assert_int_eq(r.err, OK);
    r = READER(3, 'h', 'i', 1, 0);
    ck_assert(str_eq_z(kafka_get_str(&r, true, false), "hi"));
    ck_assert_int_eq(kafka_get_str(&r, true, false).len, 0);
    ck_assert_int_eq(kafka_get_str(&r, true, true).len, -1);
    ck_assert_int_eq(r.err, OK);
}
END_TEST

START_TEST(null_is_refused_where_not_allowed)
{
    struct reader r = READER(0xff, 0xff);
    kafka_get_str(&r, false, false);
    ck_assert_int_eq(r.err, ERR_MALFORMED);
    r = READER(0);
    kafka_get_bytes(&r, true, false);
    ck_assert_int_eq(r.err, ERR_MALFORMED);
    r = READER(0xff, 0xff, 0xff, 0xff);
    kafka_get_count(&r, false, false, 1);
    ck_assert_int_eq(r.err, ERR_MALFORMED);
}
END_TEST

START_TEST(negative_lengths_below_null_are_refused)
{
    struct reader r = READER(0xff, 0xfe);
    ck_assert_int_eq(kafka_get_str(&r, false, true).len, -1);
    ck_assert_int_eq(r.err, ERR_MALFORMED);
    r = READER(0x80, 0, 0, 0);
    ck_assert_int_eq(kafka_get_bytes(&r, false, true).len, -1);
    ck_assert_int_eq(r.err, ERR_MALFORMED);
    r = READER(0xff, 0xff, 0xff, 0xff, 0x0f);
    ck_assert_int_eq(kafka_get_bytes(&r, true, true).len, -1);
    ck_assert_int_eq(r.err, ERR_MALFORMED);
}
END_TEST

START_TEST(a_count_is_held_against_the_bytes_left)
{
    uint8_t two_of_four[4 + 8] = {0, 0, 0, 2};
    struct reader r = reader_over(two_of_four, sizeof two_of_four);
    ck_assert_int_eq(kafka_get_count(&r, false, false, 4), 2);
    ck_assert_int_eq(r.err, OK);
    r = reader_over(two_of_four, sizeof two_of_four);
    ck_assert_int_eq(kafka_get_count(&r, false, false, 5), 0);
    ck_assert_int_eq(r.err, ERR_TRUNCATED);
}
END_TEST

/* A request of 30 bytes that claims two billion topics must not cost more than its own bytes. */
START_TEST(a_lying_count_allocates_nothing)
{
    uint8_t bytes[30] = {0x7f, 0xff, 0xff, 0xff};
    struct reader r = reader_over(bytes, sizeof bytes);
    struct kafka_metadata_request m;
    ck_assert_int_eq(kafka_metadata_request_decode(&r, &arena, 1, &m), ERR_TRUNCATED);
    ck_assert_uint_eq(arena.used_bytes, 0);
    ck_assert_int_eq(m.topics_count, 0);
    ck_assert_ptr_null(m.topics);
}
END_TEST

START_TEST(a_full_arena_fails_the_decode)
{
    struct kafka_metadata_request_topic topics[200];
    for (size_t i = 0; i < 200; i++)
        kafka_metadata_request_topic_init(&topics[i]);
    struct kafka_metadata_request m;
    kafka_metadata_request_init(&m);
    m.topics = topics;
    m.topics_count = 200;
    kafka_metadata_request_encode(&writer, 1, &m);
    ck_assert_int_eq(writer.err, OK);
    struct arena small;
    arena_init(&small, NULL, 0, 1024);
    struct reader r = reader_over(writer.buf->data, writer.buf->len);
    ck_assert_int_eq(kafka_metadata_request_decode(&r, &small, 1, &m), ERR_NOMEM);
    arena_free(&small);
}
END_TEST

static enum err decode_api_versions(struct reader r)
{
    struct kafka_api_versions_request m;
    return kafka_api_versions_request_decode(&r, &arena, 3, &m);
}

START_TEST(unknown_tags_are_skipped)
{
    ck_assert_int_eq(decode_api_versions(READER(2, 'a', 2, '1', 2, 3, 1, 0xaa, 9, 2, 0xbb, 0xcc)), OK);
}
END_TEST

START_TEST(tags_must_rise_and_stay_inside_the_message)
{
    ck_assert_int_eq(decode_api_versions(READER(2, 'a', 2, '1', 2, 3, 0, 3, 0)), ERR_MALFORMED);
    ck_assert_int_eq(decode_api_versions(READER(2, 'a', 2, '1', 2, 3, 0, 2, 0)), ERR_MALFORMED);
    ck_assert_int_eq(decode_api_versions(READER(2, 'a', 2, '1', 1, 3, 5, 0)), ERR_TRUNCATED);
    ck_assert_int_eq(decode_api_versions(READER(2, 'a', 2, '1', 0xff, 0xff, 0xff, 0xff, 0x0f)),
                     ERR_TRUNCATED);
}
END_TEST

static void fetch_with_cluster_id(struct kafka_fetch_request *m, const char *cluster_id)
{
    kafka_fetch_request_init(m);
    m->cluster_id = str_from(cluster_id);
    kafka_fetch_request_encode(&writer, 12, m);
    ck_assert_int_eq(writer.err, OK);
}

START_TEST(a_known_tag_with_bytes_left_over_is_refused)
{
    struct kafka_fetch_request m;
    fetch_with_cluster_id(&m, "ab");
    uint8_t *end = writer.buf->data + writer.buf->len;
    ck_assert_mem_eq(end - 6, "\1\0\3\3ab", 6); /* one tag: 0, of 3 bytes, a compact string of 2 */
    end[-3] = 2;                                /* a string of 1 leaves a byte */
    struct reader r = reader_over(writer.buf->data, writer.buf->len);
    ck_assert_int_eq(kafka_fetch_request_decode(&r, &arena, 12, &m), ERR_MALFORMED);
}
END_TEST

START_TEST(a_tag_longer_than_127_bytes_gets_its_size_right)
{
    char text[301];
    memset(text, 'x', 300);
    text[300] = 0;
    struct kafka_fetch_request m;
    fetch_with_cluster_id(&m, text);
    struct reader r = reader_over(writer.buf->data, writer.buf->len);
    ck_assert_int_eq(kafka_fetch_request_decode(&r, &arena, 12, &m), OK);
    ck_assert_uint_eq(reader_left(&r), 0);
    ck_assert(str_eq_z(m.cluster_id, text));
}
END_TEST

static struct kafka_fetch_request_partition partition_of(struct kafka_fetch_request *m,
                                                         struct kafka_fetch_request_topic *topic)
{
    struct kafka_fetch_request_partition partition;
    kafka_fetch_request_partition_init(&partition);
    kafka_fetch_request_topic_init(topic);
    kafka_fetch_request_init(m);
    topic->partitions_count = 1;
    m->topics = topic;
    m->topics_count = 1;
    return partition;
}

START_TEST(durable_offset_travels_as_tag_10000)
{
    struct kafka_fetch_request m;
    struct kafka_fetch_request_topic topic;
    struct kafka_fetch_request_partition partition = partition_of(&m, &topic);
    ck_assert_int_eq(partition.durable_offset, -1);
    partition.durable_offset = 77;
    topic.partitions = &partition;
    kafka_fetch_request_encode(&writer, 17, &m);
    ck_assert_int_eq(writer.err, OK);
    struct reader r = reader_over(writer.buf->data, writer.buf->len);
    ck_assert_int_eq(kafka_fetch_request_decode(&r, &arena, 17, &m), OK);
    ck_assert_int_eq(m.topics[0].partitions[0].durable_offset, 77);
    ck_assert_int_eq(m.topics[0].partitions[0].high_watermark, INT64_MAX);
}
END_TEST

START_TEST(a_field_the_version_cannot_carry_is_refused_unless_ignorable)
{
    struct kafka_fetch_request m;
    struct kafka_fetch_request_topic topic;
    struct kafka_fetch_request_partition partition = partition_of(&m, &topic);
    topic.partitions = &partition;
    partition.log_start_offset = 5; /* from version 5, ignorable */
    m.rack_id = STR_LIT("r");       /* from version 11, ignorable */
    kafka_fetch_request_encode(&writer, 4, &m);
    ck_assert_int_eq(writer.err, OK);
    partition.durable_offset = 5; /* from version 12, not ignorable */
    kafka_fetch_request_encode(&writer, 4, &m);
    ck_assert_int_eq(writer.err, ERR_INVALID);
}
END_TEST

START_TEST(null_where_the_version_has_none_is_not_encoded)
{
    struct kafka_metadata_request m;
    kafka_metadata_request_init(&m);
    m.topics_count = -1;
    kafka_metadata_request_encode(&writer, 1, &m);
    ck_assert_int_eq(writer.err, OK);
    kafka_metadata_request_encode(&writer, 0, &m);
    ck_assert_int_eq(writer.err, ERR_INVALID);
}
END_TEST

START_TEST(a_nullable_struct_can_be_absent_or_present)
{
    struct kafka_describe_topic_partitions_request m;
    kafka_describe_topic_partitions_request_init(&m);
    ck_assert(!m.has_cursor);
    ck_assert_int_eq(m.response_partition_limit, 2000);
    kafka_describe_topic_partitions_request_encode(&writer, 0, &m);
    ck_assert_mem_eq(writer.buf->data, "\1\0\0\x07\xd0\xff\0", 7);
    m.has_cursor = true;
    m.cursor.topic_name = STR_LIT("t");
    m.cursor.partition_index = 3;
    size_t at = writer_pos(&writer);
    kafka_describe_topic_partitions_request_encode(&writer, 0, &m);
    struct reader r = reader_over(writer.buf->data + at, writer.buf->len - at);
    ck_assert_int_eq(kafka_describe_topic_partitions_request_decode(&r, &arena, 0, &m), OK);
    ck_assert(m.has_cursor);
    ck_assert_int_eq(m.cursor.partition_index, 3);
}
END_TEST

START_TEST(records_of_an_owner_are_spliced_not_copied)
{
    struct iobuf *owner = iobuf_get(NULL, 4096);
    memset(owner->data, 7, 4096);
    struct kafka_records records = {.p = owner->data, .len = 4096, .owner = owner};
    kafka_put_records(&writer, &records, false, true);
    ck_assert_int_eq(writer.err, OK);
    ck_assert_uint_eq(writer_pos(&writer), 4);
    ck_assert_uint_eq(writer_total(&writer), 4 + 4096);
    ck_assert_uint_eq(writer.splice_count, 1);
    ck_assert_ptr_eq(writer.splices[0].p, owner->data);
    iobuf_unref(owner);
}
END_TEST

START_TEST(pieces_of_records_come_in_a_row_and_add_up)
{
    const struct kafka_records pieces[] = {
        {.p = (const uint8_t *)"abc", .len = 3}, {.len = 0}, {.p = (const uint8_t *)"de", .len = 2}};
    struct kafka_records records = {.pieces = pieces, .pieces_count = 3, .len = -1};
    ck_assert_int_eq(kafka_records_size(&records), 5);
    kafka_put_records(&writer, &records, true, true);
    ck_assert_uint_eq(writer_pos(&writer), 6);
    ck_assert_mem_eq(writer.buf->data, "\6abcde", 6);
}
END_TEST

START_TEST(file_ranges_are_not_read)
{
    struct env_file *file = (struct env_file *)&writer; /* never dereferenced here */
    struct kafka_records records = {.file = file, .file_offset = 100, .len = 50000};
    kafka_put_records(&writer, &records, true, true);
    ck_assert_int_eq(writer.err, OK);
    ck_assert_uint_eq(writer.splice_count, 1);
    ck_assert_uint_eq(writer.splices[0].file_offset, 100);
    ck_assert_uint_eq(writer_total(&writer), writer_pos(&writer) + 50000);
}
END_TEST

START_TEST(strings_over_the_limit_are_refused)
{
    static const char big[KAFKA_STRING_MAX + 1];
    kafka_put_str(&writer, (struct str){big, KAFKA_STRING_MAX + 1}, true, false);
    ck_assert_int_eq(writer.err, ERR_INVALID);
    struct reader r = READER(0x81, 0x80, 0x02); /* 32769 - 1 bytes */
    kafka_get_str(&r, true, false);
    ck_assert_int_eq(r.err, ERR_MALFORMED);
}
END_TEST

START_TEST(an_error_in_the_writer_sticks)
{
    kafka_put_str(&writer, STR_NULL, true, false);
    ck_assert_int_eq(writer.err, ERR_INVALID);
    size_t mark = kafka_start_tag(&writer, 1);
    kafka_finish_tag(&writer, mark);
    ck_assert_int_eq(writer.err, ERR_INVALID);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, strings_in_both_forms);
    tcase_add_test(tcase, null_is_refused_where_not_allowed);
    tcase_add_test(tcase, negative_lengths_below_null_are_refused);
    tcase_add_test(tcase, a_count_is_held_against_the_bytes_left);
    tcase_add_test(tcase, a_lying_count_allocates_nothing);
    tcase_add_test(tcase, a_full_arena_fails_the_decode);
    tcase_add_test(tcase, unknown_tags_are_skipped);
    tcase_add_test(tcase, tags_must_rise_and_stay_inside_the_message);
    tcase_add_test(tcase, a_known_tag_with_bytes_left_over_is_refused);
    tcase_add_test(tcase, a_tag_longer_than_127_bytes_gets_its_size_right);
    tcase_add_test(tcase, durable_offset_travels_as_tag_10000);
    tcase_add_test(tcase, a_field_the_version_cannot_carry_is_refused_unless_ignorable);
    tcase_add_test(tcase, null_where_the_version_has_none_is_not_encoded);
    tcase_add_test(tcase, a_nullable_struct_can_be_absent_or_present);
    tcase_add_test(tcase, records_of_an_owner_are_spliced_not_copied);
    tcase_add_test(tcase, pieces_of_records_come_in_a_row_and_add_up);
    tcase_add_test(tcase, file_ranges_are_not_read);
    tcase_add_test(tcase, strings_over_the_limit_are_refused);
    tcase_add_test(tcase, an_error_in_the_writer_sticks);
}

SLUICE_TEST_MAIN("kafka_codec", add)
