/* SPDX-License-Identifier: Apache-2.0 */
#include "common/batch/record.h"

#include "tests/lib/unit.h"
#include "tests/unit/batch_fixture.h"

#define PLAIN_MAX (1 << 20)

static struct batch_scratch scratch;

static void setup(void)
{
    ck_assert_int_eq(batch_scratch_init(&scratch, PLAIN_MAX, 0), OK);
}

static void teardown(void)
{
    batch_scratch_free(&scratch);
}

static void check_bytes(struct bytes got, struct bytes want)
{
    ck_assert_int_eq(got.len, want.len);
    ck_assert(want.len <= 0 || memcmp(got.p, want.p, (size_t)want.len) == 0);
    ck_assert(want.len >= 0 || got.p == NULL);
}

static void check_headers(const struct record *rec, const struct record_in *want)
{
    struct header_iter it = record_headers(rec);
    struct record_header got;
    ck_assert_int_eq(rec->header_count, want->header_count);
    for (int32_t i = 0; i < want->header_count; i++) {
        ck_assert(header_iter_next(&it, &got));
        ck_assert(str_eq(got.key, want->headers[i].key));
        check_bytes(got.value, want->headers[i].value);
    }
    ck_assert(!header_iter_next(&it, &got));
}

START_TEST(records_of_another_encoder_are_read_in_every_codec)
{
    const struct record_in *want = golden_records();
    uint8_t *p = copy_of(golden[_i].p, golden[_i].len);
    struct batch_iter it;
    struct record rec;
    batch_set_base_offset(p, 1000);
    ck_assert_int_eq(batch_iter_init(&it, p, &scratch), OK);
    for (int32_t i = 0; i < GOLDEN_COUNT; i++) {
        ck_assert(batch_iter_next(&it, &rec));
        ck_assert_int_eq(rec.offset, 1000 + i);
        ck_assert_int_eq(rec.offset_delta, i);
        ck_assert_int_eq(rec.timestamp, want[i].timestamp_ms);
        ck_assert_int_eq(rec.attributes, 0);
        check_bytes(rec.key, want[i].key);
        check_bytes(rec.value, want[i].value);
        check_headers(&rec, &want[i]);
    }
    ck_assert(!batch_iter_next(&it, &rec));
    ck_assert_int_eq(it.r.err, OK);
    free(p);
}
END_TEST

START_TEST(an_uncompressed_batch_needs_no_scratch_and_is_not_copied)
{
    struct batch_iter it;
    struct record rec;
    ck_assert_int_eq(batch_iter_init(&it, golden_none, NULL), OK);
    ck_assert(batch_iter_next(&it, &rec));
    ck_assert(rec.key.p > golden_none && rec.key.p < golden_none + sizeof(golden_none));
}
END_TEST

START_TEST(append_time_replaces_every_timestamp)
{
    uint8_t *p = copy_of(golden_none, sizeof(golden_none));
    struct batch_iter it;
    struct record rec;
    int seen = 0;
    batch_set_append_time(p, 99);
    ck_assert_int_eq(batch_iter_init(&it, p, &scratch), OK);
    for (; batch_iter_next(&it, &rec); seen++)
        ck_assert_int_eq(rec.timestamp, 99);
    ck_assert_int_eq(seen, GOLDEN_COUNT);
    free(p);
}
END_TEST

START_TEST(a_compacted_batch_keeps_its_gaps_and_may_be_empty)
{
    static const uint8_t gap[] = {0x0c, 0, 0, 0x12, 1, 1, 0};
    size_t size;
    struct batch_iter it;
    struct record rec;
    uint8_t *p = crafted(gap, sizeof(gap), 1, CODEC_NONE, &size);
    store_be32(p + BATCH_AT_LAST_OFFSET_DELTA, 20);
    batch_set_base_offset(p, 100);
    ck_assert_int_eq(batch_iter_init(&it, p, NULL), OK);
    ck_assert(batch_iter_next(&it, &rec));
    ck_assert_int_eq(rec.offset, 109);
    free(p);
    p = crafted("", 0, 0, CODEC_NONE, &size);
    ck_assert_int_eq(batch_iter_init(&it, p, NULL), OK);
    ck_assert(!batch_iter_next(&it, &rec));
    ck_assert_int_eq(it.r.err, OK);
    free(p);
}
END_TEST

/* Record bytes that break the format, each in one way. */
static const struct {
    const char *what;
    uint8_t bytes[16];
    size_t len;
    int32_t count;
    enum err err; /* OK: ERR_MALFORMED */
} broken[] = {
    {"no bytes", {0}, 0, 1, ERR_TRUNCATED},
    {"negative length", {0x01}, 1, 1, OK},
    {"length beyond the batch", {0x10, 0, 0, 0, 1, 1, 0}, 7, 1, OK},
    {"length shorter than the fields", {0x0a, 0, 0, 0, 1, 1, 0}, 7, 1, OK},
    {"length longer than the fields", {0x0e, 0, 0, 0, 1, 1, 0, 0}, 8, 1, OK},
    {"key beyond the record", {0x0c, 0, 0, 0, 0x10, 1, 0}, 7, 1, OK},
    {"key length below -1", {0x0c, 0, 0, 0, 3, 1, 0}, 7, 1, OK},
    {"value beyond the record", {0x0c, 0, 0, 0, 1, 4, 0}, 7, 1, OK},
    {"value length below -1", {0x0c, 0, 0, 0, 1, 5, 0}, 7, 1, OK},
    {"negative header count", {0x0c, 0, 0, 0, 1, 1, 1}, 7, 1, OK},
    {"more headers than bytes", {0x0c, 0, 0, 0, 1, 1, 2}, 7, 1, OK},
    {"huge header count", {0x14, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f}, 11, 1, OK},
    {"null header key", {0x10, 0, 0, 0, 1, 1, 2, 1, 1}, 9, 1, OK},
    {"header value beyond the record", {0x10, 0, 0, 0, 1, 1, 2, 0, 8}, 9, 1, OK},
    {"varint of six bytes", {0x18, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 1, 1, 0}, 12, 1, OK},
    {"fewer records than counted", {0x0c, 0, 0, 0, 1, 1, 0}, 7, 2, ERR_TRUNCATED},
    {"more bytes than counted", {0x0c, 0, 0, 0, 1, 1, 0, 0}, 8, 1, OK},
    {"negative count", {0x0c, 0, 0, 0, 1, 1, 0}, 7, -3, OK},
};

START_TEST(broken_records_end_the_iteration_with_an_error)
{
    size_t size;
    struct batch_iter it;
    struct record rec;
    uint8_t *p = crafted(broken[_i].bytes, broken[_i].len, broken[_i].count, CODEC_NONE, &size);
    ck_assert_int_eq(batch_iter_init(&it, p, NULL), OK);
    while (batch_iter_next(&it, &rec))
        ;
    enum err want = broken[_i].err == OK ? ERR_MALFORMED : broken[_i].err;
    ck_assert_msg(it.r.err == want, "%s", broken[_i].what);
    ck_assert(!batch_iter_next(&it, &rec));
    free(p);
}
END_TEST

START_TEST(records_that_cannot_be_decompressed_are_an_error)
{
    size_t size;
    struct batch_iter it;
    uint8_t *p = crafted("not compressed", 14, 1, CODEC_GZIP, &size);
    ck_assert_int_eq(batch_iter_init(&it, p, &scratch), ERR_MALFORMED);
    store_be16(p + BATCH_AT_ATTRIBUTES, 6);
    ck_assert_int_eq(batch_iter_init(&it, p, &scratch), ERR_UNSUPPORTED);
    free(p);
}
END_TEST

START_TEST(the_scratchs_cap_holds)
{
    struct batch_scratch small;
    struct batch_iter it;
    ck_assert_int_eq(batch_scratch_init(&small, 500, 0), OK);
    ck_assert_int_eq(batch_iter_init(&it, golden_zstd, &small), ERR_TOO_LARGE);
    batch_scratch_free(&small);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, records_of_another_encoder_are_read_in_every_codec, 0, (int)ARRAY_LEN(golden));
    tcase_add_test(tcase, an_uncompressed_batch_needs_no_scratch_and_is_not_copied);
    tcase_add_test(tcase, append_time_replaces_every_timestamp);
    tcase_add_test(tcase, a_compacted_batch_keeps_its_gaps_and_may_be_empty);
    tcase_add_loop_test(tcase, broken_records_end_the_iteration_with_an_error, 0, (int)ARRAY_LEN(broken));
    tcase_add_test(tcase, records_that_cannot_be_decompressed_are_an_error);
    tcase_add_test(tcase, the_scratchs_cap_holds);
}

SLUICE_TEST_MAIN("batch_record", add)
