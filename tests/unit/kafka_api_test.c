/* SPDX-License-Identifier: Apache-2.0 */
/* The table of APIs, the headers, and the table of error codes. */
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"
#include "tests/lib/unit.h"

#include <string.h>

START_TEST(all_keys_of_the_broker_listener_are_known)
{
    unsigned known = 0;
    for (int16_t key = -1; key < 200; key++)
        known += kafka_api_info(key) != NULL;
    ck_assert_uint_eq(known, 77);
    ck_assert_uint_eq(kafka_message_types_count, 2 * 77);
    ck_assert_ptr_null(kafka_api_info(4));
    ck_assert_ptr_null(kafka_api_info(INT16_MIN));
    ck_assert_ptr_null(kafka_api_info(INT16_MAX));
    ck_assert_str_eq(kafka_api_name(KAFKA_API_OFFSET_FOR_LEADER_EPOCH), "OffsetForLeaderEpoch");
    ck_assert_str_eq(kafka_api_name(5), "Unknown");
}
END_TEST

START_TEST(message_types_agree_with_the_api_table)
{
    for (size_t i = 0; i < kafka_message_types_count; i++) {
        const struct kafka_message_type *type = &kafka_message_types[i];
        const struct kafka_api_info *info = kafka_api_info(type->key);
        ck_assert_ptr_nonnull(info);
        ck_assert_int_eq(type->min, info->min_version);
        ck_assert_int_eq(type->max, info->max_version);
        ck_assert_ptr_eq(kafka_message_type(type->key, type->is_request), type);
    }
}
END_TEST

START_TEST(header_versions_follow_the_flexible_ones)
{
    ck_assert_int_eq(kafka_request_header_version(KAFKA_API_PRODUCE, 8), 1);
    ck_assert_int_eq(kafka_request_header_version(KAFKA_API_PRODUCE, 9), 2);
    ck_assert_int_eq(kafka_response_header_version(KAFKA_API_PRODUCE, 8), 0);
    ck_assert_int_eq(kafka_response_header_version(KAFKA_API_PRODUCE, 9), 1);
    ck_assert_int_eq(kafka_request_header_version(KAFKA_API_SASL_HANDSHAKE, 1), 1);
    ck_assert_int_eq(kafka_response_header_version(KAFKA_API_SASL_HANDSHAKE, 1), 0);
    ck_assert_int_eq(kafka_request_header_version(KAFKA_API_API_VERSIONS, 99), 2);
    ck_assert_int_eq(kafka_response_header_version(KAFKA_API_API_VERSIONS, 4), 0);
    ck_assert_int_eq(kafka_request_header_version(4, 0), -1);
    ck_assert_int_eq(kafka_response_header_version(4, 0), -1);
}
END_TEST

START_TEST(version_ranges_are_checked_at_both_ends)
{
    ck_assert(!kafka_api_has_version(KAFKA_API_PRODUCE, 2));
    ck_assert(kafka_api_has_version(KAFKA_API_PRODUCE, 3));
    ck_assert(kafka_api_has_version(KAFKA_API_PRODUCE, 13));
    ck_assert(!kafka_api_has_version(KAFKA_API_PRODUCE, 14));
    ck_assert(!kafka_api_has_version(4, 0));
}
END_TEST

START_TEST(request_headers_survive_a_round_trip)
{
    for (int16_t version = 0; version <= 2; version++) {
        struct writer w;
        writer_init(&w, NULL, 64, 1024);
        const struct kafka_request_header sent = {KAFKA_API_FETCH, 11, 0x01020304, STR_LIT("me")};
        kafka_request_header_encode(&w, version, &sent);
        ck_assert_int_eq(w.err, OK);
        struct reader r = reader_over(w.buf->data, w.buf->len);
        struct kafka_request_header got;
        ck_assert_int_eq(kafka_request_header_decode(&r, version, &got), OK);
        ck_assert_uint_eq(reader_left(&r), 0);
        ck_assert_int_eq(got.correlation_id, sent.correlation_id);
        ck_assert_int_eq(got.api_key, sent.api_key);
        ck_assert_int_eq(got.api_version, sent.api_version);
        ck_assert(version == 0 ? got.client_id.len == -1 : str_eq_z(got.client_id, "me"));
        writer_free(&w);
    }
}
END_TEST

/* The client id keeps its two-byte length even in the flexible header. */
START_TEST(peel_finds_the_header_version_by_itself)
{
    const uint8_t flexible[] = {0, 18, 0, 3, 0, 0, 0, 9, 0, 1, 'c', 1, 5, 1, 0xee, 0x55};
    struct reader r = reader_over(flexible, sizeof flexible);
    struct kafka_request_header header;
    ck_assert_int_eq(kafka_request_header_peel(&r, &header), OK);
    ck_assert(str_eq_z(header.client_id, "c"));
    ck_assert_int_eq(header.correlation_id, 9);
    ck_assert_uint_eq(reader_left(&r), 1);
    const uint8_t plain[] = {0, 18, 0, 2, 0, 0, 0, 9, 0xff, 0xff, 0x55};
    r = reader_over(plain, sizeof plain);
    ck_assert_int_eq(kafka_request_header_peel(&r, &header), OK);
    ck_assert_int_eq(header.client_id.len, -1);
    ck_assert_uint_eq(reader_left(&r), 1);
}
END_TEST

START_TEST(peel_names_what_is_wrong)
{
    const uint8_t unknown[] = {0, 4, 0, 3, 0, 0, 0, 9, 0xff, 0xff};
    struct reader r = reader_over(unknown, sizeof unknown);
    struct kafka_request_header header = {0};
    ck_assert_int_eq(kafka_request_header_peel(&r, &header), ERR_UNSUPPORTED);
    ck_assert_int_eq(header.api_key, 4);
    ck_assert_int_eq(header.correlation_id, 9);
    r = reader_over(unknown, 7);
    ck_assert_int_eq(kafka_request_header_peel(&r, &header), ERR_TRUNCATED);
}
END_TEST

START_TEST(response_headers_survive_a_round_trip)
{
    for (int16_t version = 0; version <= 1; version++) {
        struct writer w;
        writer_init(&w, NULL, 64, 1024);
        kafka_response_header_encode(&w, version, &(struct kafka_response_header){.correlation_id = -7});
        ck_assert_uint_eq(writer_pos(&w), version == 0 ? 4 : 5);
        struct reader r = reader_over(w.buf->data, w.buf->len);
        struct kafka_response_header got;
        ck_assert_int_eq(kafka_response_header_decode(&r, version, &got), OK);
        ck_assert_int_eq(got.correlation_id, -7);
        writer_free(&w);
    }
}
END_TEST

START_TEST(unknown_header_versions_are_refused)
{
    const uint8_t zeros[16] = {0};
    struct reader r = reader_over(zeros, sizeof zeros);
    struct kafka_request_header request;
    ck_assert_int_eq(kafka_request_header_decode(&r, 3, &request), ERR_VERSION);
    r = reader_over(zeros, sizeof zeros);
    struct kafka_response_header response;
    ck_assert_int_eq(kafka_response_header_decode(&r, -1, &response), ERR_VERSION);
}
END_TEST

START_TEST(error_codes_have_names_texts_and_retriability)
{
    ck_assert_str_eq(kafka_error_name(0), "NONE");
    ck_assert_str_eq(kafka_error_name(-1), "UNKNOWN_SERVER_ERROR");
    ck_assert_str_eq(kafka_error_name(KAFKA_NOT_LEADER_OR_FOLLOWER), "NOT_LEADER_OR_FOLLOWER");
    ck_assert_int_eq(KAFKA_NOT_LEADER_OR_FOLLOWER, 6);
    ck_assert_int_eq(KAFKA_ERROR_LAST, 133);
    ck_assert(kafka_error_retriable(KAFKA_NOT_LEADER_OR_FOLLOWER));
    ck_assert(!kafka_error_retriable(KAFKA_OFFSET_OUT_OF_RANGE));
    for (int16_t code = -1; code <= KAFKA_ERROR_LAST; code++) {
        ck_assert_uint_gt(strlen(kafka_error_name(code)), 0);
        ck_assert_uint_gt(strlen(kafka_error_text(code)), 0);
    }
    ck_assert_str_eq(kafka_error_name(134), "UNKNOWN_SERVER_ERROR");
    ck_assert_str_eq(kafka_error_name(INT16_MIN), "UNKNOWN_SERVER_ERROR");
    ck_assert(!kafka_error_retriable(134));
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, all_keys_of_the_broker_listener_are_known);
    tcase_add_test(tcase, message_types_agree_with_the_api_table);
    tcase_add_test(tcase, header_versions_follow_the_flexible_ones);
    tcase_add_test(tcase, version_ranges_are_checked_at_both_ends);
    tcase_add_test(tcase, request_headers_survive_a_round_trip);
    tcase_add_test(tcase, peel_finds_the_header_version_by_itself);
    tcase_add_test(tcase, peel_names_what_is_wrong);
    tcase_add_test(tcase, response_headers_survive_a_round_trip);
    tcase_add_test(tcase, unknown_header_versions_are_refused);
    tcase_add_test(tcase, error_codes_have_names_texts_and_retriability);
}

SLUICE_TEST_MAIN("kafka_api", add)
