/* SPDX-License-Identifier: Apache-2.0 */
#include "common/batch/builder.h"

#include "common/base/prng.h"
#include "tests/lib/unit.h"
#include "tests/unit/batch_fixture.h"

#define CAP_BYTES (1 << 20)

static struct batch_scratch scratch;
static struct iobuf_pool *pool;

static void setup(void)
{
    ck_assert_int_eq(batch_scratch_init(&scratch, CAP_BYTES * 4, 0), OK);
    pool = iobuf_pool_new(CAP_BYTES * 4);
}

static void teardown(void)
{
    ck_assert_uint_eq(iobuf_pool_bytes_out(pool), 0);
    iobuf_pool_drop(pool);
    batch_scratch_free(&scratch);
}

static struct iobuf *build_golden(const struct batch_opts *opts)
{
    struct batch_builder b;
    struct iobuf *batch = NULL;
    ck_assert_int_eq(batch_builder_init(&b, opts, pool, 100, CAP_BYTES), OK);
    for (int i = 0; i < GOLDEN_COUNT; i++)
        ck_assert_int_eq(batch_builder_add(&b, &golden_records()[i]), OK);
    ck_assert_int_eq(batch_builder_finish(&b, scratch.codecs, &batch), OK);
    batch_set_leader_epoch(batch->data, 0); /* the other encoder writes 0 */
    return batch;
}

START_TEST(plain_bytes_equal_those_of_another_encoder)
{
    struct iobuf *batch = build_golden(&BATCH_OPTS_PLAIN);
    ck_assert_uint_eq(batch->len, sizeof(golden_none));
    ck_assert_mem_eq(batch->data, golden_none, sizeof(golden_none));
    iobuf_unref(batch);
}
END_TEST

START_TEST(identity_bytes_equal_those_of_another_encoder)
{
    struct batch_opts opts = BATCH_OPTS_PLAIN;
    opts.producer_id = 0x123456789;
    opts.producer_epoch = 7;
    opts.base_sequence = 99;
    opts.transactional = true;
    struct iobuf *batch = build_golden(&opts);
    ck_assert_uint_eq(batch->len, sizeof(golden_identity));
    ck_assert_mem_eq(batch->data, golden_identity, sizeof(golden_identity));
    iobuf_unref(batch);
}
END_TEST

START_TEST(a_new_batch_has_offset_zero_no_epoch_and_its_flags)
{
    struct batch_builder b;
    struct batch_opts opts = BATCH_OPTS_PLAIN;
    struct iobuf *batch;
    opts.control = true;
    ck_assert_int_eq(batch_builder_init(&b, &opts, pool, 0, CAP_BYTES), OK);
    ck_assert_int_eq(batch_builder_add(&b, &golden_records()[0]), OK);
    batch_builder_set_producer(&b, 8, 3, BATCH_NO_SEQUENCE);
    ck_assert_int_eq(batch_builder_finish(&b, NULL, &batch), OK);
    ck_assert_int_eq(batch_verify(batch->data, batch->len), OK);
    ck_assert_int_eq(batch_base_offset(batch->data), 0);
    ck_assert_int_eq(batch_leader_epoch(batch->data), BATCH_NO_EPOCH);
    ck_assert_int_eq(batch_producer_id(batch->data), 8);
    ck_assert(batch_is_control(batch->data) && !batch_is_transactional(batch->data));
    iobuf_unref(batch);
}
END_TEST

START_TEST(every_codec_round_trips)
{
    struct batch_opts opts = BATCH_OPTS_PLAIN;
    opts.codec = (enum codec)_i;
    struct iobuf *batch = build_golden(&opts);
    struct batch_iter it;
    struct record rec;
    int seen = 0;
    ck_assert_int_eq(batch_verify(batch->data, batch->len), OK);
    ck_assert_int_eq(batch_codec(batch->data), _i);
    ck_assert_int_eq(batch_iter_init(&it, batch->data, &scratch), OK);
    for (; batch_iter_next(&it, &rec); seen++) {
        const struct record_in *want = &golden_records()[seen];
        ck_assert_int_eq(rec.timestamp, want->timestamp_ms);
        ck_assert_int_eq(rec.value.len, want->value.len);
        ck_assert(want->value.len <= 0 || memcmp(rec.value.p, want->value.p, (size_t)want->value.len) == 0);
        ck_assert_int_eq(rec.header_count, want->header_count);
    }
    ck_assert_int_eq(seen, GOLDEN_COUNT);
    ck_assert_int_eq(it.r.err, OK);
    iobuf_unref(batch);
}
END_TEST

START_TEST(the_size_is_known_before_a_record_is_added)
{
    static uint8_t big[70000];
    struct batch_builder b;
    struct prng prng;
    prng_seed(&prng, 4);
    ck_assert_int_eq(batch_builder_init(&b, &BATCH_OPTS_PLAIN, pool, 0, CAP_BYTES * 64), OK);
    for (int i = 0; i < 3000; i++) {
        struct record_header header = {{(const char *)big, (int32_t)prng_below(&prng, 200)}, BYTES_NULL};
        struct record_in rec = {.timestamp_ms = (int64_t)prng_next(&prng) >> prng_below(&prng, 64),
                                .key = {big, (int32_t)prng_below(&prng, 300) - 1},
                                .value = {big, (int32_t)prng_below(&prng, i % 100 ? 300 : sizeof(big)) - 1},
                                .headers = &header,
                                .header_count = (int32_t)prng_below(&prng, 2)};
        size_t expected = batch_builder_size_with(&b, &rec);
        ck_assert_int_eq(batch_builder_add(&b, &rec), OK);
        ck_assert_uint_eq(batch_builder_size(&b), expected);
    }
    batch_builder_free(&b);
}
END_TEST

START_TEST(a_record_over_the_cap_is_refused_and_the_batch_stays_good)
{
    static const uint8_t value[1000];
    struct record_in large = {.key = BYTES_NULL, .value = {value, 1000}},
                     small = {.key = BYTES_NULL, .value = {value, 1}};
    struct batch_builder b;
    struct iobuf *batch;
    ck_assert_int_eq(batch_builder_init(&b, &BATCH_OPTS_PLAIN, pool, 0, 1000), OK);
    ck_assert_int_eq(batch_builder_add(&b, &small), OK);
    ck_assert_int_eq(batch_builder_add(&b, &large), ERR_TOO_LARGE);
    ck_assert_int_eq(batch_builder_add(&b, &small), OK);
    ck_assert_int_eq(batch_builder_finish(&b, NULL, &batch), OK);
    ck_assert_int_eq(batch_record_count(batch->data), 2);
    iobuf_unref(batch);
}
END_TEST

START_TEST(impossible_records_are_refused)
{
    struct record_header null_key = {STR_NULL, BYTES_NULL};
    struct record_in with_null_key = {
        .key = BYTES_NULL, .value = BYTES_NULL, .headers = &null_key, .header_count = 1};
    struct record_in negative = {.key = {NULL, -2}, .value = BYTES_NULL};
    struct batch_builder b;
    ck_assert_int_eq(batch_builder_init(&b, &BATCH_OPTS_PLAIN, pool, 0, 1000), OK);
    ck_assert_int_eq(batch_builder_add(&b, &with_null_key), ERR_INVALID);
    ck_assert_int_eq(batch_builder_add(&b, &negative), ERR_INVALID);
    ck_assert_uint_eq(batch_builder_size(&b), BATCH_HEADER_BYTES);
    batch_builder_free(&b);
}
END_TEST

START_TEST(a_level_off_the_scale_is_refused_at_the_end)
{
    struct batch_opts opts = BATCH_OPTS_PLAIN;
    struct batch_builder b;
    struct iobuf *batch = NULL;
    opts.codec = CODEC_GZIP;
    opts.level = 10;
    ck_assert_int_eq(batch_builder_init(&b, &opts, pool, 0, 1000), OK);
    ck_assert_int_eq(batch_builder_add(&b, &golden_records()[0]), OK);
    ck_assert_int_eq(batch_builder_finish(&b, scratch.codecs, &batch), ERR_INVALID);
    ck_assert_ptr_null(batch);
}
END_TEST

START_TEST(steady_building_does_not_go_to_malloc)
{
    for (int i = 0; i < 3; i++)
        iobuf_unref(build_golden(&BATCH_OPTS_PLAIN));
    uint64_t before = iobuf_pool_mallocs(pool);
    for (int i = 0; i < 50; i++)
        iobuf_unref(build_golden(&BATCH_OPTS_PLAIN));
    ck_assert_uint_eq(iobuf_pool_mallocs(pool), before);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, plain_bytes_equal_those_of_another_encoder);
    tcase_add_test(tcase, identity_bytes_equal_those_of_another_encoder);
    tcase_add_test(tcase, a_new_batch_has_offset_zero_no_epoch_and_its_flags);
    tcase_add_loop_test(tcase, every_codec_round_trips, 0, CODEC_COUNT);
    tcase_add_test(tcase, the_size_is_known_before_a_record_is_added);
    tcase_add_test(tcase, a_record_over_the_cap_is_refused_and_the_batch_stays_good);
    tcase_add_test(tcase, impossible_records_are_refused);
    tcase_add_test(tcase, a_level_off_the_scale_is_refused_at_the_end);
    tcase_add_test(tcase, steady_building_does_not_go_to_malloc);
}

SLUICE_TEST_MAIN("batch_builder", add)
