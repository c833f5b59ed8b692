/* SPDX-License-Identifier: Apache-2.0 */
#include "common/batch/batch.h"

#include "tests/lib/unit.h"
#include "tests/unit/batch_fixture.h"

/* Written by hand from the layout: every field has a value of its own; one record (key "k", value "v"). The
 * checksum was computed bit by bit from the definition of CRC-32C, not by our code. */
static const uint8_t by_hand[] = {
    0x00, 0x00, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05,       /* base offset */
    0x00, 0x00, 0x00, 0x3a,                               /* length: 49 + 9 */
    0x00, 0x00, 0x00, 0x11,                               /* leader epoch 17 */
    0x02,                                                 /* magic */
    0x00, 0x00, 0x00, 0x00,                               /* checksum, see by_hand_crc() */
    0x00, 0x18,                                           /* attributes: append time, transactional */
    0x00, 0x00, 0x00, 0x00,                               /* last offset delta */
    0x00, 0x00, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00,       /* base timestamp */
    0x00, 0x00, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x09,       /* max timestamp */
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0xe9,       /* producer id 1001 */
    0x00, 0x05,                                           /* producer epoch */
    0x7f, 0xff, 0xff, 0xff,                               /* base sequence */
    0x00, 0x00, 0x00, 0x01,                               /* count */
    0x10, 0x00, 0x00, 0x00, 0x02, 0x6b, 0x02, 0x76, 0x00, /* the record */
};

static uint32_t by_hand_crc(const uint8_t *p, size_t len)
{
    uint32_t state = 0xffffffff;
    for (size_t i = 21; i < len; i++) {
        state ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            state = state >> 1 ^ (state & 1 ? 0x82f63b78u : 0);
    }
    return ~state;
}

static uint8_t *hand_made(void)
{
    uint8_t *p = copy_of(by_hand, sizeof(by_hand));
    store_be32(p + 17, by_hand_crc(p, sizeof(by_hand)));
    return p;
}

START_TEST(every_field_is_read_from_its_place)
{
    uint8_t *p = hand_made();
    ck_assert_int_eq(batch_verify(p, sizeof(by_hand)), OK);
    ck_assert_int_eq(batch_base_offset(p), 0x0102030405);
    ck_assert_uint_eq(batch_size(p), sizeof(by_hand));
    ck_assert_int_eq(batch_leader_epoch(p), 17);
    ck_assert_uint_eq(batch_attributes(p), 0x18);
    ck_assert_int_eq(batch_codec(p), CODEC_NONE);
    ck_assert(batch_is_append_time(p) && batch_is_transactional(p) && !batch_is_control(p));
    ck_assert_int_eq(batch_last_offset_delta(p), 0);
    ck_assert_int_eq(batch_last_offset(p), 0x0102030405);
    ck_assert_int_eq(batch_next_offset(p), 0x0102030406);
    ck_assert_int_eq(batch_base_timestamp(p), GOLDEN_BASE_MS);
    ck_assert_int_eq(batch_max_timestamp(p), GOLDEN_BASE_MS + 9);
    ck_assert_int_eq(batch_producer_id(p), 1001);
    ck_assert_int_eq(batch_producer_epoch(p), 5);
    ck_assert_int_eq(batch_base_sequence(p), INT32_MAX);
    ck_assert_int_eq(batch_last_sequence(p), INT32_MAX);
    ck_assert_int_eq(batch_record_count(p), 1);
    free(p);
}
END_TEST

START_TEST(the_header_struct_agrees_with_the_accessors)
{
    uint8_t *p = hand_made();
    struct batch_header h = batch_header_of(p);
    ck_assert_int_eq(h.base_offset, batch_base_offset(p));
    ck_assert_int_eq(h.last_offset, batch_last_offset(p));
    ck_assert_int_eq(h.base_timestamp, batch_base_timestamp(p));
    ck_assert_int_eq(h.max_timestamp, batch_max_timestamp(p));
    ck_assert_int_eq(h.producer_id, batch_producer_id(p));
    ck_assert_uint_eq(h.size_bytes, batch_size(p));
    ck_assert_uint_eq(h.crc, by_hand_crc(p, sizeof(by_hand)));
    ck_assert_int_eq(h.leader_epoch, batch_leader_epoch(p));
    ck_assert_int_eq(h.base_sequence, batch_base_sequence(p));
    ck_assert_int_eq(h.last_sequence, batch_last_sequence(p));
    ck_assert_int_eq(h.record_count, batch_record_count(p));
    ck_assert_int_eq(h.producer_epoch, batch_producer_epoch(p));
    ck_assert_uint_eq(h.attributes, batch_attributes(p));
    free(p);
}
END_TEST

START_TEST(sequences_wrap_to_zero)
{
    ck_assert_int_eq(batch_sequence_add(INT32_MAX, 1), 0);
    ck_assert_int_eq(batch_sequence_add(INT32_MAX - 1, 5), 3);
    ck_assert_int_eq(batch_sequence_add(7, 0), 7);
}
END_TEST

START_TEST(peek_tells_what_is_wrong_with_a_header)
{
    uint8_t *p = hand_made();
    size_t size = 1;
    for (size_t len = 0; len < BATCH_HEADER_BYTES; len++)
        ck_assert_int_eq(batch_peek(p, len, &size), ERR_TRUNCATED);
    ck_assert_uint_eq(size, 1);
    ck_assert_int_eq(batch_peek(p, BATCH_HEADER_BYTES, &size), OK);
    ck_assert_uint_eq(size, sizeof(by_hand));
    p[16] = 1;
    ck_assert_int_eq(batch_peek(p, sizeof(by_hand), &size), ERR_VERSION);
    p[16] = 2;
    store_be32(p + 8, 48);
    ck_assert_int_eq(batch_peek(p, sizeof(by_hand), &size), ERR_CORRUPT);
    store_be32(p + 8, 0x80000000);
    ck_assert_int_eq(batch_peek(p, sizeof(by_hand), &size), ERR_CORRUPT);
    free(p);
}
END_TEST

START_TEST(batches_of_another_encoder_verify)
{
    ck_assert_int_eq(batch_verify(golden[_i].p, golden[_i].len), OK);
    ck_assert_int_eq(batch_codec(golden[_i].p), _i % CODEC_COUNT);
    ck_assert_int_eq(batch_record_count(golden[_i].p), GOLDEN_COUNT);
    ck_assert_int_eq(batch_max_timestamp(golden[_i].p), GOLDEN_MAX_MS);
}
END_TEST

START_TEST(identity_fields_of_another_encoder_are_read)
{
    const uint8_t *p = golden_identity;
    ck_assert_int_eq(batch_producer_id(p), 0x123456789);
    ck_assert_int_eq(batch_producer_epoch(p), 7);
    ck_assert_int_eq(batch_base_sequence(p), 99);
    ck_assert_int_eq(batch_last_sequence(p), 103);
    ck_assert(batch_is_transactional(p));
    ck_assert_int_eq(batch_last_sequence(golden_none), BATCH_NO_SEQUENCE);
}
END_TEST

START_TEST(every_flipped_bit_under_the_checksum_is_found)
{
    size_t len = sizeof(golden_gzip);
    uint8_t *p = copy_of(golden_gzip, len);
    for (size_t bit = BATCH_AT_CRC * 8; bit < len * 8; bit++) {
        p[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_int_eq(batch_verify(p, len), ERR_CORRUPT);
        p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    ck_assert_int_eq(batch_verify(p, len - 1), ERR_TRUNCATED);
    free(p);
}
END_TEST

START_TEST(a_range_or_count_that_cannot_be_is_corrupt)
{
    static const struct {
        int64_t base;
        int32_t delta, count;
        int want;
    } cases[] = {
        {0, 0, 1, OK},
        {0, 9, 3, OK},
        {0, 9, 0, OK},
        {0, -1, 0, ERR_CORRUPT},
        {0, 0, 2, ERR_CORRUPT},
        {0, 0, -1, ERR_CORRUPT},
        {-1, 0, 1, ERR_CORRUPT},
        {INT64_MAX, 0, 1, ERR_CORRUPT},
        {INT64_MAX - 1, 0, 1, OK},
        {0, INT32_MAX, INT32_MAX, OK},
    };
    uint8_t *p = copy_of(golden_none, sizeof(golden_none));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        batch_set_base_offset(p, cases[i].base);
        store_be32(p + BATCH_AT_LAST_OFFSET_DELTA, (uint32_t)cases[i].delta);
        store_be32(p + BATCH_AT_RECORD_COUNT, (uint32_t)cases[i].count);
        fix_crc(p);
        ck_assert_int_eq(batch_verify(p, sizeof(golden_none)), cases[i].want);
    }
    free(p);
}
END_TEST

START_TEST(base_offset_and_epoch_change_without_the_checksum)
{
    uint8_t *p = copy_of(golden_none, sizeof(golden_none));
    uint32_t crc = batch_crc(p);
    batch_set_base_offset(p, 123456789012);
    batch_set_leader_epoch(p, 42);
    ck_assert_int_eq(batch_base_offset(p), 123456789012);
    ck_assert_int_eq(batch_last_offset(p), 123456789016);
    ck_assert_int_eq(batch_leader_epoch(p), 42);
    ck_assert_uint_eq(batch_crc(p), crc);
    ck_assert_int_eq(batch_verify(p, sizeof(golden_none)), OK);
    free(p);
}
END_TEST

START_TEST(times_and_identity_change_with_the_checksum)
{
    uint8_t *p = copy_of(golden_lz4, sizeof(golden_lz4));
    batch_set_append_time(p, 777);
    ck_assert(batch_is_append_time(p));
    ck_assert_int_eq(batch_codec(p), CODEC_LZ4);
    ck_assert_int_eq(batch_max_timestamp(p), 777);
    ck_assert_int_eq(batch_verify(p, sizeof(golden_lz4)), OK);
    batch_set_max_timestamp(p, 888);
    ck_assert(!batch_is_append_time(p));
    ck_assert_int_eq(batch_max_timestamp(p), 888);
    ck_assert_int_eq(batch_verify(p, sizeof(golden_lz4)), OK);
    batch_set_producer(p, 5, 6, 7);
    ck_assert_int_eq(batch_producer_id(p), 5);
    ck_assert_int_eq(batch_producer_epoch(p), 6);
    ck_assert_int_eq(batch_base_sequence(p), 7);
    ck_assert_int_eq(batch_verify(p, sizeof(golden_lz4)), OK);
    free(p);
}
END_TEST

START_TEST(a_sequence_of_batches_is_walked_and_a_cut_end_noticed)
{
    size_t size, both = sizeof(golden_none) + sizeof(golden_zstd);
    uint8_t *p = malloc(both);
    memcpy(p, golden_none, sizeof(golden_none));
    memcpy(p + sizeof(golden_none), golden_zstd, sizeof(golden_zstd));
    struct reader r = reader_over(p, both);
    ck_assert_ptr_eq(batch_next(&r, &size), p);
    ck_assert_uint_eq(size, sizeof(golden_none));
    ck_assert_ptr_eq(batch_next(&r, &size), p + sizeof(golden_none));
    ck_assert_ptr_null(batch_next(&r, &size));
    ck_assert_int_eq(r.err, OK);
    for (size_t cut = sizeof(golden_none) + 1; cut < both; cut++) {
        r = reader_over(p, cut);
        ck_assert_ptr_nonnull(batch_next(&r, &size));
        ck_assert_ptr_null(batch_next(&r, &size));
        ck_assert_int_eq(r.err, ERR_TRUNCATED);
    }
    p[16] = 9;
    r = reader_over(p, both);
    ck_assert_ptr_null(batch_next(&r, &size));
    ck_assert_int_eq(r.err, ERR_VERSION);
    free(p);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, every_field_is_read_from_its_place);
    tcase_add_test(tcase, the_header_struct_agrees_with_the_accessors);
    tcase_add_test(tcase, sequences_wrap_to_zero);
    tcase_add_test(tcase, peek_tells_what_is_wrong_with_a_header);
    tcase_add_loop_test(tcase, batches_of_another_encoder_verify, 0, (int)ARRAY_LEN(golden));
    tcase_add_test(tcase, identity_fields_of_another_encoder_are_read);
    tcase_add_test(tcase, every_flipped_bit_under_the_checksum_is_found);
    tcase_add_test(tcase, a_range_or_count_that_cannot_be_is_corrupt);
    tcase_add_test(tcase, base_offset_and_epoch_change_without_the_checksum);
    tcase_add_test(tcase, times_and_identity_change_with_the_checksum);
    tcase_add_test(tcase, a_sequence_of_batches_is_walked_and_a_cut_end_noticed);
}

SLUICE_TEST_MAIN("batch_header", add)
