/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/wire.h"

#include <math.h>
#include <string.h>

#include "tests/lib/unit.h"

START_TEST(fixed_width_values_are_big_endian_and_round_trip)
{
    static const uint8_t golden[] = {1, 0xfe, 0xff, 0xfd, 0x80, 0,    0,    0,    0x01, 2, 3, 4, 5, 6, 7,
                                     8, 0xbe, 0xef, 0xde, 0xad, 0xbe, 0xef, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0};
    struct writer w;
    writer_init(&w, NULL, 0, 1024);
    writer_bool(&w, true);
    writer_i8(&w, -2);
    writer_i16(&w, -3);
    writer_i32(&w, INT32_MIN);
    writer_i64(&w, 0x0102030405060708);
    writer_u16(&w, 0xbeef);
    writer_u32(&w, 0xdeadbeef);
    writer_f64(&w, 1.5);
    ck_assert_uint_eq(writer_pos(&w), sizeof(golden));
    ck_assert_mem_eq(w.buf->data, golden, sizeof(golden));
    struct reader r = reader_over(golden, sizeof(golden));
    ck_assert(reader_bool(&r));
    ck_assert_int_eq(reader_i8(&r), -2);
    ck_assert_int_eq(reader_i16(&r), -3);
    ck_assert_int_eq(reader_i32(&r), INT32_MIN);
    ck_assert_int_eq(reader_i64(&r), 0x0102030405060708);
    ck_assert_uint_eq(reader_u16(&r), 0xbeef);
    ck_assert_uint_eq(reader_u32(&r), 0xdeadbeef);
    ck_assert(fabs(reader_f64(&r) - 1.5) < 1e-12);
    ck_assert_int_eq(r.err, OK);
    ck_assert_uint_eq(reader_left(&r), 0);
    writer_free(&w);
}
END_TEST

START_TEST(varints_round_trip_at_their_edges)
{
    static const int64_t values[] = {0,     -1,   1,         63,        -64,       64,        8191,
                                     -8192, 8192, INT32_MAX, INT32_MIN, 1LL << 40, INT64_MAX, INT64_MIN};
    struct writer w;
    writer_init(&w, NULL, 0, 4096);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        writer_varlong(&w, values[i]);
        writer_varint(&w, (int32_t)values[i]);
        writer_uvarint(&w, (uint32_t)values[i]);
    }
    struct reader r = reader_over(w.buf->data, w.buf->len);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        ck_assert_int_eq(reader_varlong(&r), values[i]);
        ck_assert_int_eq(reader_varint(&r), (int32_t)values[i]);
        ck_assert_uint_eq(reader_uvarint(&r), (uint32_t)values[i]);
    }
    ck_assert_int_eq(r.err, OK);
    ck_assert_uint_eq(reader_left(&r), 0);
    writer_free(&w);
}
END_TEST

START_TEST(varints_that_are_too_long_are_malformed)
{
    static const uint8_t six[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0}, wide[] = {0xff, 0xff, 0xff, 0xff, 0x1f};
    static const uint8_t eleven[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0};
    struct reader r = reader_over(six, sizeof(six));
    ck_assert_uint_eq(reader_uvarint(&r), 0);
    ck_assert_int_eq(r.err, ERR_MALFORMED);
    r = reader_over(wide, sizeof(wide));
    ck_assert_int_eq(reader_varint(&r), 0);
    ck_assert_int_eq(r.err, ERR_MALFORMED);
    r = reader_over(eleven, sizeof(eleven));
    ck_assert_int_eq(reader_varlong(&r), 0);
    ck_assert_int_eq(r.err, ERR_MALFORMED);
    r = reader_over(six, 3);
    ck_assert_uint_eq(reader_uvarint(&r), 0);
    ck_assert_int_eq(r.err, ERR_TRUNCATED);
}
END_TEST

START_TEST(the_first_read_error_sticks_and_later_reads_give_zero)
{
    static const uint8_t data[] = {1, 2, 3, 4, 5, 6, 7};
    struct reader r = reader_over(data, sizeof(data));
    ck_assert_int_eq(reader_i32(&r), 0x01020304);
    ck_assert_int_eq(reader_i32(&r), 0);
    ck_assert_int_eq(r.err, ERR_TRUNCATED);
    reader_fail(&r, ERR_CORRUPT);
    ck_assert_int_eq(r.err, ERR_TRUNCATED);
    ck_assert_int_eq(reader_i8(&r), 0);
    ck_assert_ptr_null(reader_raw(&r, 0));
    ck_assert(uuid_is_zero(reader_uuid(&r)));
    ck_assert_uint_eq(reader_left(&r), 0);
}
END_TEST

START_TEST(a_huge_length_does_not_wrap)
{
    static const uint8_t data[] = {1, 2, 3};
    struct reader r = reader_over(data, sizeof(data));
    ck_assert_ptr_null(reader_raw(&r, SIZE_MAX));
    ck_assert_int_eq(r.err, ERR_TRUNCATED);
}
END_TEST

START_TEST(a_writer_grows_and_keeps_its_bytes)
{
    struct iobuf_pool *pool = iobuf_pool_new(1 << 20);
    struct writer w;
    writer_init(&w, pool, 16, 1 << 20);
    for (int32_t i = 0; i < 10000; i++)
        writer_i32(&w, i);
    writer_patch_i32(&w, 400, -7);
    struct iobuf *buf = writer_take(&w);
    ck_assert_uint_eq(buf->len, 40000);
    for (int32_t i = 0; i < 10000; i++)
        ck_assert_int_eq((int32_t)load_be32(buf->data + 4 * i), i == 100 ? -7 : i);
    writer_free(&w);
    iobuf_unref(buf);
    ck_assert_uint_eq(iobuf_pool_bytes_out(pool), 0);
    iobuf_pool_drop(pool);
}
END_TEST

START_TEST(the_cap_is_exact_and_its_error_sticks)
{
    struct writer w;
    writer_init(&w, NULL, 1 << 16, 10);
    writer_i64(&w, 1);
    writer_i16(&w, 1);
    ck_assert_int_eq(w.err, OK);
    writer_i8(&w, 1);
    ck_assert_int_eq(w.err, ERR_TOO_LARGE);
    writer_raw(&w, "", 0);
    ck_assert_uint_eq(writer_pos(&w), 10);
    ck_assert_ptr_null(writer_take(&w));
    writer_free(&w);
}
END_TEST

START_TEST(large_pieces_are_spliced_by_reference_small_ones_copied)
{
    struct iobuf_pool *pool = iobuf_pool_new(1 << 20);
    struct iobuf *owner = iobuf_get(pool, 4096);
    memset(owner->data, 'x', 4096);
    struct writer w;
    writer_init(&w, pool, 0, 1 << 20);
    writer_i32(&w, 1);
    writer_splice(&w, owner->data, 4096, owner);
    writer_splice(&w, owner->data, 100, owner);
    ck_assert_uint_eq(w.splice_count, 1);
    ck_assert_uint_eq(w.splices[0].at, 4);
    ck_assert_ptr_eq(w.splices[0].p, owner->data);
    ck_assert_uint_eq(writer_pos(&w), 104);
    ck_assert_uint_eq(writer_total(&w), 4200);
    iobuf_unref(owner); /* the writer still holds it */
    ck_assert_uint_ge(iobuf_pool_bytes_out(pool), 4096);
    writer_free(&w);
    ck_assert_uint_eq(iobuf_pool_bytes_out(pool), 0);
    iobuf_pool_drop(pool);
}
END_TEST

START_TEST(spliced_bytes_count_toward_the_cap)
{
    struct iobuf *owner = iobuf_get(NULL, 4096);
    struct writer w;
    memset(owner->data, 0, 4096);
    writer_init(&w, NULL, 0, 5000);
    writer_splice(&w, owner->data, 4096, owner);
    ck_assert_int_eq(w.err, OK);
    writer_splice(&w, owner->data, 1024, owner);
    ck_assert_int_eq(w.err, ERR_TOO_LARGE);
    writer_free(&w);
    iobuf_unref(owner);
}
END_TEST

START_TEST(a_full_splice_table_copies_memory_and_refuses_files)
{
    struct iobuf *owner = iobuf_get(NULL, 1024);
    struct writer w;
    memset(owner->data, 'y', 1024);
    writer_init(&w, NULL, 0, 1 << 24);
    for (int i = 0; i < WRITER_SPLICES_MAX + 1; i++)
        writer_splice(&w, owner->data, 1024, owner);
    ck_assert_uint_eq(w.splice_count, WRITER_SPLICES_MAX);
    ck_assert_uint_eq(writer_pos(&w), 1024);
    ck_assert_int_eq(w.err, OK);
    writer_splice_file(&w, NULL, 0, 10);
    ck_assert_int_eq(w.err, ERR_FULL);
    writer_free(&w);
    iobuf_unref(owner);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, fixed_width_values_are_big_endian_and_round_trip);
    tcase_add_test(tcase, varints_round_trip_at_their_edges);
    tcase_add_test(tcase, varints_that_are_too_long_are_malformed);
    tcase_add_test(tcase, the_first_read_error_sticks_and_later_reads_give_zero);
    tcase_add_test(tcase, a_huge_length_does_not_wrap);
    tcase_add_test(tcase, a_writer_grows_and_keeps_its_bytes);
    tcase_add_test(tcase, the_cap_is_exact_and_its_error_sticks);
    tcase_add_test(tcase, large_pieces_are_spliced_by_reference_small_ones_copied);
    tcase_add_test(tcase, spliced_bytes_count_toward_the_cap);
    tcase_add_test(tcase, a_full_splice_table_copies_memory_and_refuses_files);
}

SLUICE_TEST_MAIN("base_wire", add)
