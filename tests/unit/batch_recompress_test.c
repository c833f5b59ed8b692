/* SPDX-License-Identifier: Apache-2.0 */
/* Every batch can be rewritten with every codec, and says the same afterwards. */
#include "common/batch/recompress.h"

#include "tests/lib/unit.h"
#include "tests/unit/batch_fixture.h"

#define NOW_MS 1800000000000

static struct batch_scratch scratch;
static struct batch_rules rules;

static void setup(void)
{
    ck_assert_int_eq(batch_scratch_init(&scratch, 1 << 20, 0), OK);
    rules = (struct batch_rules){.now_ms = NOW_MS,
                                 .before_max_ms = INT64_MAX,
                                 .after_max_ms = 3600000,
                                 .max_message_bytes = 1 << 20,
                                 .segment_bytes = 1 << 30,
                                 .zstd_allowed = true,
                                 .internal = true};
}

static void teardown(void)
{
    batch_scratch_free(&scratch);
}

static int rewrite(const uint8_t *p, size_t len, const struct batch_target *target,
                   struct batch_verdict *verdict, struct iobuf **ret)
{
    ck_assert_int_eq(batch_validate(p, len, &rules, &scratch, verdict), BATCH_OK);
    return batch_recompress(p, verdict, target, &scratch, NULL, ret);
}

static bool same_bytes(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len <= 0 || memcmp(a.p, b.p, (size_t)a.len) == 0);
}

/* Both batches hold the same records, but for the timestamps when the broker stamped them. */
static void check_same(const uint8_t *a, const uint8_t *b)
{
    struct batch_scratch other;
    struct batch_iter i, j;
    struct record x, y;
    ck_assert_int_eq(batch_scratch_init(&other, 1 << 20, 0), OK);
    ck_assert_int_eq(batch_iter_init(&i, a, &scratch), OK);
    ck_assert_int_eq(batch_iter_init(&j, b, &other), OK);
    while (batch_iter_next(&i, &x)) {
        ck_assert(batch_iter_next(&j, &y));
        ck_assert(x.offset_delta == y.offset_delta && x.timestamp_delta == y.timestamp_delta);
        ck_assert(same_bytes(x.key, y.key) && same_bytes(x.value, y.value) &&
                  same_bytes(x.headers, y.headers));
    }
    ck_assert(!batch_iter_next(&j, &y) && i.r.err == OK && j.r.err == OK);
    batch_scratch_free(&other);
}

START_TEST(every_codec_becomes_every_other)
{
    const uint8_t *p = golden[_i].p;
    for (int codec = 0; codec < CODEC_COUNT; codec++) {
        struct batch_target target = {.codec = (enum codec)codec, .level = COMPRESS_LEVEL_DEFAULT};
        struct batch_verdict verdict;
        struct iobuf *out;
        ck_assert_int_eq(batch_must_recompress(p, &target), batch_codec(p) != target.codec);
        ck_assert_int_eq(rewrite(p, golden[_i].len, &target, &verdict, &out), OK);
        ck_assert_int_eq(batch_verify(out->data, out->len), OK);
        ck_assert_int_eq((int)batch_codec(out->data), codec);
        ck_assert_int_eq(batch_producer_id(out->data), batch_producer_id(p));
        ck_assert_int_eq(batch_base_sequence(out->data), batch_base_sequence(p));
        ck_assert_int_eq(batch_max_timestamp(out->data), batch_max_timestamp(p));
        ck_assert_int_eq(batch_attributes(out->data) & ~BATCH_CODEC_MASK,
                         batch_attributes(p) & ~BATCH_CODEC_MASK);
        check_same(p, out->data);
        iobuf_unref(out);
    }
}
END_TEST

START_TEST(a_rewritten_batch_takes_append_time)
{
    struct batch_target target = {.codec = CODEC_LZ4, .level = 9};
    struct batch_verdict verdict;
    struct batch_iter it;
    struct record rec;
    struct iobuf *out;
    int records = 0;
    rules.append_time = true;
    ck_assert_int_eq(rewrite(golden[_i].p, golden[_i].len, &target, &verdict, &out), OK);
    batch_assign(out->data, 77, 3, &rules, &verdict);
    ck_assert_int_eq(batch_verify(out->data, out->len), OK);
    ck_assert(batch_is_append_time(out->data) && batch_max_timestamp(out->data) == NOW_MS);
    ck_assert_int_eq(batch_iter_init(&it, out->data, &scratch), OK);
    for (; batch_iter_next(&it, &rec); records++)
        ck_assert(rec.timestamp == NOW_MS && rec.offset == 77 + records);
    ck_assert_int_eq(records, GOLDEN_COUNT);
    iobuf_unref(out);
}
END_TEST

START_TEST(as_produced_is_never_rewritten)
{
    struct batch_target target = {.as_produced = true, .codec = CODEC_ZSTD};
    for (size_t i = 0; i < ARRAY_LEN(golden); i++)
        ck_assert(!batch_must_recompress(golden[i].p, &target));
}
END_TEST

START_TEST(a_level_that_the_codec_lacks_is_refused)
{
    struct batch_target target = {.codec = CODEC_GZIP, .level = 10};
    struct batch_verdict verdict;
    struct iobuf *out;
    ck_assert_int_eq(rewrite(golden_none, sizeof(golden_none), &target, &verdict, &out), ERR_INVALID);
}
END_TEST

START_TEST(what_grew_too_large_is_noticed)
{
    struct batch_target target = {.codec = CODEC_NONE};
    struct batch_verdict verdict;
    struct iobuf *out;
    rules.max_message_bytes = (int64_t)sizeof(golden_gzip);
    ck_assert_int_eq(rewrite(golden_gzip, sizeof(golden_gzip), &target, &verdict, &out), OK);
    ck_assert_int_eq(batch_size_error(out->len, &rules, &verdict), BATCH_MESSAGE_TOO_LARGE);
    ck_assert_ptr_nonnull(verdict.message);
    iobuf_unref(out);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, every_codec_becomes_every_other, 0, (int)ARRAY_LEN(golden));
    tcase_add_loop_test(tcase, a_rewritten_batch_takes_append_time, 0, (int)ARRAY_LEN(golden));
    tcase_add_test(tcase, as_produced_is_never_rewritten);
    tcase_add_test(tcase, a_level_that_the_codec_lacks_is_refused);
    tcase_add_test(tcase, what_grew_too_large_is_noticed);
}

SLUICE_TEST_MAIN("batch_recompress", add_tests)
