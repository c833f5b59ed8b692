/* SPDX-License-Identifier: Apache-2.0 */
#include "common/batch/validate.h"

#include "tests/lib/unit.h"
#include "tests/unit/batch_fixture.h"

static struct batch_scratch scratch;
static struct batch_rules rules;
static struct batch_verdict verdict;

static void setup(void)
{
    ck_assert_int_eq(batch_scratch_init(&scratch, 1 << 20, 0), OK);
    rules = (struct batch_rules){.now_ms = GOLDEN_BASE_MS,
                                 .before_max_ms = INT64_MAX,
                                 .after_max_ms = 3600000,
                                 .max_message_bytes = 1 << 20,
                                 .segment_bytes = 1 << 30,
                                 .zstd_allowed = true};
    memset(&verdict, 0x55, sizeof(verdict));
}

static void teardown(void)
{
    batch_scratch_free(&scratch);
}

static int validate(const uint8_t *p, size_t len)
{
    uint8_t *exact = copy_of(p, len ? len : 1); /* reads past the end are seen by the address checker */
    int error = batch_validate(exact, len, &rules, &scratch, &verdict);
    ck_assert_int_eq(error, verdict.error);
    ck_assert((error == BATCH_OK) == (verdict.message == NULL));
    free(exact);
    return error;
}

/* The golden batch with a 1, 2, 4 or 8-byte field changed and the checksum made right. */
static int with_field(size_t at, size_t width, uint64_t value)
{
    uint8_t *p = copy_of(golden_none, sizeof(golden_none));
    for (size_t i = 0; i < width; i++)
        p[at + i] = (uint8_t)(value >> 8 * (width - 1 - i));
    fix_crc(p);
    int error = validate(p, sizeof(golden_none));
    free(p);
    return error;
}

static int with_records(const void *records, size_t len, int32_t count)
{
    size_t size;
    uint8_t *p = crafted(records, len, count, CODEC_NONE, &size);
    int error = validate(p, size);
    free(p);
    return error;
}

START_TEST(good_batches_of_every_codec_pass)
{
    ck_assert_int_eq(validate(golden[_i].p, golden[_i].len), BATCH_OK);
    ck_assert_int_eq(verdict.record_index, -1);
    ck_assert_int_eq(verdict.record_count, GOLDEN_COUNT);
    ck_assert_int_eq(verdict.max_timestamp, GOLDEN_MAX_MS);
    ck_assert_int_eq(verdict.max_timestamp_delta, 4);
    ck_assert_int_eq(verdict.compressed, _i % CODEC_COUNT != 0);
}
END_TEST

START_TEST(a_cut_batch_is_corrupt_at_every_byte)
{
    for (size_t len = 0; len < sizeof(golden_none); len++)
        ck_assert_int_eq(validate(golden_none, len), BATCH_CORRUPT_MESSAGE);
}
END_TEST

START_TEST(every_flipped_bit_is_refused_or_harmless)
{
    uint8_t *p = copy_of(golden_lz4, sizeof(golden_lz4));
    for (size_t bit = 0; bit < sizeof(golden_lz4) * 8; bit++) {
        bool in_epoch = bit / 8 >= BATCH_AT_LEADER_EPOCH && bit / 8 < BATCH_AT_MAGIC; /* ours to overwrite */
        p[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_int_eq(validate(p, sizeof(golden_lz4)) == BATCH_OK, in_epoch);
        p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    free(p);
}
END_TEST

START_TEST(a_wrong_checksum_is_corrupt)
{
    uint8_t *p = copy_of(golden_none, sizeof(golden_none));
    p[sizeof(golden_none) - 1] ^= 1;
    ck_assert_int_eq(validate(p, sizeof(golden_none)), BATCH_CORRUPT_MESSAGE);
    ck_assert_int_eq(verdict.record_index, -1);
    free(p);
}
END_TEST

START_TEST(only_magic_2_is_accepted)
{
    ck_assert_int_eq(with_field(BATCH_AT_MAGIC, 1, 1), BATCH_INVALID_RECORD);
    ck_assert_int_eq(with_field(BATCH_AT_MAGIC, 1, 3), BATCH_INVALID_RECORD);
}
END_TEST

START_TEST(exactly_one_batch_is_accepted)
{
    uint8_t two[2 * sizeof(golden_none)];
    memcpy(two, golden_none, sizeof(golden_none));
    memcpy(two + sizeof(golden_none), golden_none, sizeof(golden_none));
    ck_assert_int_eq(validate(two, sizeof(two)), BATCH_INVALID_RECORD);
    ck_assert_int_eq(validate(two, sizeof(golden_none) + 1), BATCH_INVALID_RECORD);
}
END_TEST

START_TEST(the_base_offset_must_be_zero)
{
    ck_assert_int_eq(with_field(BATCH_AT_BASE_OFFSET, 8, 1), BATCH_INVALID_RECORD);
    ck_assert_int_eq(with_field(BATCH_AT_BASE_OFFSET, 8, UINT64_MAX), BATCH_INVALID_RECORD);
}
END_TEST

START_TEST(sizes_are_bounded_by_topic_and_segment)
{
    rules.max_message_bytes = (int64_t)sizeof(golden_none);
    ck_assert_int_eq(validate(golden_none, sizeof(golden_none)), BATCH_OK);
    rules.max_message_bytes--;
    ck_assert_int_eq(validate(golden_none, sizeof(golden_none)), BATCH_MESSAGE_TOO_LARGE);
    rules.max_message_bytes = 1 << 20;
    rules.segment_bytes = (int64_t)sizeof(golden_none) - 1;
    ck_assert_int_eq(validate(golden_none, sizeof(golden_none)), BATCH_RECORD_LIST_TOO_LARGE);
}
END_TEST

START_TEST(range_and_count_must_agree_and_be_positive)
{
    ck_assert_int_eq(with_field(BATCH_AT_RECORD_COUNT, 4, 0), BATCH_INVALID_RECORD);
    ck_assert_int_eq(with_field(BATCH_AT_RECORD_COUNT, 4, UINT32_MAX), BATCH_INVALID_RECORD);
    ck_assert_int_eq(with_field(BATCH_AT_RECORD_COUNT, 4, GOLDEN_COUNT - 1), BATCH_INVALID_RECORD);
    ck_assert_int_eq(with_field(BATCH_AT_RECORD_COUNT, 4, GOLDEN_COUNT + 1), BATCH_INVALID_RECORD);
    ck_assert_int_eq(with_field(BATCH_AT_LAST_OFFSET_DELTA, 4, UINT32_MAX), BATCH_INVALID_RECORD);
    ck_assert_int_eq(with_field(BATCH_AT_LAST_OFFSET_DELTA, 4, INT32_MAX), BATCH_INVALID_RECORD);
}
END_TEST

START_TEST(a_batch_that_lies_about_its_count_is_refused)
{
    static const uint8_t one[] = {0x0c, 0, 0, 0, 1, 1, 0};
    ck_assert_int_eq(with_records(one, sizeof(one), 1), BATCH_OK);
    ck_assert_int_eq(with_records(one, sizeof(one), 2), BATCH_INVALID_RECORD);
    ck_assert_int_eq(verdict.record_index, 1);
    ck_assert_int_eq(with_records(one, sizeof(one), INT32_MAX), BATCH_INVALID_RECORD);
    ck_assert_int_eq(verdict.record_index, 1);
}
END_TEST

START_TEST(clients_may_not_write_control_batches)
{
    ck_assert_int_eq(with_field(BATCH_AT_ATTRIBUTES, 2, BATCH_CONTROL), BATCH_INVALID_RECORD);
    rules.internal = true;
    ck_assert_int_eq(with_field(BATCH_AT_ATTRIBUTES, 2, BATCH_CONTROL), BATCH_OK);
}
END_TEST

START_TEST(a_producer_id_needs_a_sequence)
{
    uint8_t *p = copy_of(golden_identity, sizeof(golden_identity));
    store_be32(p + BATCH_AT_BASE_SEQUENCE, (uint32_t)-1);
    fix_crc(p);
    ck_assert_int_eq(validate(p, sizeof(golden_identity)), BATCH_INVALID_RECORD);
    rules.internal = true;
    ck_assert_int_eq(validate(p, sizeof(golden_identity)), BATCH_OK);
    free(p);
}
END_TEST

START_TEST(codecs_are_limited_to_the_known_and_allowed)
{
    ck_assert_int_eq(with_field(BATCH_AT_ATTRIBUTES, 2, 5), BATCH_UNSUPPORTED_COMPRESSION_TYPE);
    ck_assert_int_eq(with_field(BATCH_AT_ATTRIBUTES, 2, 7), BATCH_UNSUPPORTED_COMPRESSION_TYPE);
    rules.zstd_allowed = false;
    ck_assert_int_eq(validate(golden_zstd, sizeof(golden_zstd)), BATCH_UNSUPPORTED_COMPRESSION_TYPE);
    ck_assert_int_eq(validate(golden_lz4, sizeof(golden_lz4)), BATCH_OK);
}
END_TEST

START_TEST(the_producer_must_not_claim_append_time)
{
    ck_assert_int_eq(with_field(BATCH_AT_ATTRIBUTES, 2, BATCH_APPEND_TIME), BATCH_INVALID_TIMESTAMP);
}
END_TEST

START_TEST(offset_deltas_must_be_dense)
{
    static const uint8_t gap[] = {0x0c, 0, 0, 0, 1, 1, 0, 0x0c, 0, 0, 4, 1, 1, 0};
    ck_assert_int_eq(with_records(gap, sizeof(gap), 2), BATCH_INVALID_RECORD);
    ck_assert_int_eq(verdict.record_index, 1);
}
END_TEST

START_TEST(a_compacted_topic_needs_keys)
{
    rules.compacted = true;
    for (size_t i = 0; i < ARRAY_LEN(golden); i++) {
        ck_assert_int_eq(validate(golden[i].p, golden[i].len), BATCH_INVALID_RECORD);
        ck_assert_int_eq(verdict.record_index, 1);
    }
}
END_TEST

START_TEST(broken_record_bytes_name_the_record)
{
    static const uint8_t second_is_broken[] = {0x0c, 0, 0, 0, 1, 1, 0, 0x0c, 0, 0, 2, 1, 9, 0};
    static const uint8_t left_over[] = {0x0c, 0, 0, 0, 1, 1, 0, 0};
    ck_assert_int_eq(with_records(second_is_broken, sizeof(second_is_broken), 2), BATCH_INVALID_RECORD);
    ck_assert_int_eq(verdict.record_index, 1);
    ck_assert_int_eq(with_records(left_over, sizeof(left_over), 1), BATCH_INVALID_RECORD);
    ck_assert_int_eq(verdict.record_index, -1);
}
END_TEST

START_TEST(timestamps_must_lie_in_the_window)
{
    rules.now_ms = GOLDEN_MAX_MS - 100;
    rules.after_max_ms = 100;
    ck_assert_int_eq(validate(golden_none, sizeof(golden_none)), BATCH_OK);
    rules.after_max_ms = 99;
    ck_assert_int_eq(validate(golden_gzip, sizeof(golden_gzip)), BATCH_INVALID_TIMESTAMP);
    ck_assert_int_eq(verdict.record_index, 4);
    rules.now_ms = GOLDEN_MAX_MS;
    rules.before_max_ms = GOLDEN_MAX_MS - GOLDEN_BASE_MS + 7;
    ck_assert_int_eq(validate(golden_none, sizeof(golden_none)), BATCH_OK);
    rules.before_max_ms--;
    ck_assert_int_eq(validate(golden_none, sizeof(golden_none)), BATCH_INVALID_TIMESTAMP);
    ck_assert_int_eq(verdict.record_index, 2);
}
END_TEST

START_TEST(a_missing_timestamp_passes_the_window)
{
    static const uint8_t one[] = {0x0c, 0, 0, 0, 1, 1, 0};
    size_t size;
    uint8_t *p = crafted(one, sizeof(one), 1, CODEC_NONE, &size);
    store_be64(p + BATCH_AT_BASE_TIMESTAMP, (uint64_t)BATCH_NO_TIMESTAMP);
    fix_crc(p);
    rules.before_max_ms = 10;
    ck_assert_int_eq(validate(p, size), BATCH_OK);
    ck_assert_int_eq(verdict.max_timestamp, BATCH_NO_TIMESTAMP);
    free(p);
}
END_TEST

START_TEST(extreme_timestamps_and_windows_do_not_overflow)
{
    rules.after_max_ms = INT64_MAX;
    ck_assert_int_eq(with_field(BATCH_AT_BASE_TIMESTAMP, 8, INT64_MAX), BATCH_OK);
    rules.before_max_ms = INT64_MAX - 1;
    ck_assert_int_eq(with_field(BATCH_AT_BASE_TIMESTAMP, 8, (uint64_t)INT64_MIN), BATCH_INVALID_TIMESTAMP);
}
END_TEST

START_TEST(append_time_ignores_the_records_clocks)
{
    rules.append_time = true;
    rules.now_ms = 5;
    rules.before_max_ms = rules.after_max_ms = 0;
    ck_assert_int_eq(validate(golden_snappy, sizeof(golden_snappy)), BATCH_OK);
    ck_assert_int_eq(verdict.max_timestamp, 5);
    ck_assert_int_eq(verdict.max_timestamp_delta, GOLDEN_COUNT - 1);
}
END_TEST

START_TEST(what_cannot_be_decompressed_is_corrupt)
{
    size_t size;
    uint8_t *p = crafted("garbage garbage", 15, 1, CODEC_ZSTD, &size);
    ck_assert_int_eq(validate(p, size), BATCH_CORRUPT_MESSAGE);
    free(p);
}
END_TEST

START_TEST(a_decompression_bomb_is_too_large)
{
    static uint8_t value[900000];
    struct batch_builder b;
    struct batch_opts opts = BATCH_OPTS_PLAIN;
    struct record_in rec = {GOLDEN_BASE_MS, BYTES_NULL, {value, sizeof(value)}, NULL, 0};
    struct iobuf *batch;
    opts.codec = CODEC_ZSTD;
    ck_assert_int_eq(batch_builder_init(&b, &opts, NULL, 0, 8 << 20), OK);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(batch_builder_add(&b, &rec), OK);
    ck_assert_int_eq(batch_builder_finish(&b, scratch.codecs, &batch), OK);
    ck_assert_uint_lt(batch->len, 10000);
    ck_assert_int_eq(validate(batch->data, batch->len), BATCH_MESSAGE_TOO_LARGE);
    scratch.plain.cap_bytes = 4 << 20;
    ck_assert_int_eq(validate(batch->data, batch->len), BATCH_OK);
    scratch.ratio_max = 100;
    ck_assert_int_eq(validate(batch->data, batch->len), BATCH_MESSAGE_TOO_LARGE);
    iobuf_unref(batch);
}
END_TEST

START_TEST(assign_keeps_the_checksum_when_the_times_are_right)
{
    uint8_t *p = copy_of(golden_none, sizeof(golden_none));
    ck_assert_int_eq(validate(p, sizeof(golden_none)), BATCH_OK);
    batch_assign(p, 555, 3, &rules, &verdict);
    ck_assert_int_eq(batch_base_offset(p), 555);
    ck_assert_int_eq(batch_leader_epoch(p), 3);
    ck_assert_uint_eq(batch_crc(p), batch_crc(golden_none));
    ck_assert_int_eq(batch_verify(p, sizeof(golden_none)), OK);
    free(p);
}
END_TEST

START_TEST(assign_corrects_a_false_max_timestamp)
{
    uint8_t *p = copy_of(golden_gzip, sizeof(golden_gzip));
    batch_set_max_timestamp(p, INT64_MAX);
    ck_assert_int_eq(validate(p, sizeof(golden_gzip)), BATCH_OK);
    batch_assign(p, 0, 0, &rules, &verdict);
    ck_assert_int_eq(batch_max_timestamp(p), GOLDEN_MAX_MS);
    ck_assert_int_eq(batch_verify(p, sizeof(golden_gzip)), OK);
    free(p);
}
END_TEST

START_TEST(assign_stamps_append_time)
{
    uint8_t *p = copy_of(golden_none, sizeof(golden_none));
    rules.append_time = true;
    rules.now_ms = 4242;
    ck_assert_int_eq(validate(p, sizeof(golden_none)), BATCH_OK);
    batch_assign(p, 0, 0, &rules, &verdict);
    ck_assert(batch_is_append_time(p));
    ck_assert_int_eq(batch_max_timestamp(p), 4242);
    ck_assert_int_eq(batch_verify(p, sizeof(golden_none)), OK);
    free(p);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, good_batches_of_every_codec_pass, 0, (int)ARRAY_LEN(golden));
    tcase_add_test(tcase, a_cut_batch_is_corrupt_at_every_byte);
    tcase_add_test(tcase, every_flipped_bit_is_refused_or_harmless);
    tcase_add_test(tcase, a_wrong_checksum_is_corrupt);
    tcase_add_test(tcase, only_magic_2_is_accepted);
    tcase_add_test(tcase, exactly_one_batch_is_accepted);
    tcase_add_test(tcase, the_base_offset_must_be_zero);
    tcase_add_test(tcase, sizes_are_bounded_by_topic_and_segment);
    tcase_add_test(tcase, range_and_count_must_agree_and_be_positive);
    tcase_add_test(tcase, a_batch_that_lies_about_its_count_is_refused);
    tcase_add_test(tcase, clients_may_not_write_control_batches);
    tcase_add_test(tcase, a_producer_id_needs_a_sequence);
    tcase_add_test(tcase, codecs_are_limited_to_the_known_and_allowed);
    tcase_add_test(tcase, the_producer_must_not_claim_append_time);
    tcase_add_test(tcase, offset_deltas_must_be_dense);
    tcase_add_test(tcase, a_compacted_topic_needs_keys);
    tcase_add_test(tcase, broken_record_bytes_name_the_record);
    tcase_add_test(tcase, timestamps_must_lie_in_the_window);
    tcase_add_test(tcase, a_missing_timestamp_passes_the_window);
    tcase_add_test(tcase, extreme_timestamps_and_windows_do_not_overflow);
    tcase_add_test(tcase, append_time_ignores_the_records_clocks);
    tcase_add_test(tcase, what_cannot_be_decompressed_is_corrupt);
    tcase_add_test(tcase, a_decompression_bomb_is_too_large);
    tcase_add_test(tcase, assign_keeps_the_checksum_when_the_times_are_right);
    tcase_add_test(tcase, assign_corrects_a_false_max_timestamp);
    tcase_add_test(tcase, assign_stamps_append_time);
}

SLUICE_TEST_MAIN("batch_validate", add)
