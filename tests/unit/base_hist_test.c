/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/hist.h"

#include <stdlib.h>

#include "common/base/prng.h"
#include "tests/lib/unit.h"

static struct hist hist, other;

START_TEST(an_empty_histogram_answers_zero)
{
    hist_reset(&hist);
    ck_assert_uint_eq(hist_quantile(&hist, 0.5), 0);
}
END_TEST

START_TEST(every_magnitude_is_within_1_6_percent)
{
    for (uint64_t v = 1; v < UINT64_MAX / 3; v = v * 3 + 1) {
        hist_reset(&hist);
        hist_add(&hist, 0);
        hist_add(&hist, v);
        hist_add(&hist, UINT64_MAX);
        uint64_t got = hist_quantile(&hist, 0.5);
        uint64_t off = got > v ? got - v : v - got;
        ck_assert_uint_le(off, v / 62);
    }
}
END_TEST

START_TEST(quantiles_of_a_uniform_ramp)
{
    hist_reset(&hist);
    for (uint64_t v = 1; v <= 100000; v++)
        hist_add(&hist, v);
    ck_assert_uint_eq(hist_quantile(&hist, 0), 1);
    ck_assert_uint_eq(hist_quantile(&hist, 1), 100000);
    for (int percent = 1; percent < 100; percent++) {
        int64_t got = (int64_t)hist_quantile(&hist, percent / 100.0), want = percent * 1000;
        ck_assert_int_le(llabs(got - want), want * 16 / 1000 + 1);
    }
    ck_assert_uint_eq(hist.sum, 5000050000u);
}
END_TEST

START_TEST(merge_equals_adding_everything_to_one)
{
    static struct hist all;
    struct prng prng;
    hist_reset(&hist);
    hist_reset(&other);
    hist_reset(&all);
    prng_seed(&prng, 5);
    hist_merge(&hist, &other);
    ck_assert_uint_eq(hist.count, 0);
    for (int i = 0; i < 1000; i++) {
        uint64_t v = prng_below(&prng, 1 << 20);
        hist_add(i % 2 ? &hist : &other, v);
        hist_add(&all, v);
    }
    hist_merge(&hist, &other);
    ck_assert_mem_eq(&hist, &all, sizeof(all));
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, an_empty_histogram_answers_zero);
    tcase_add_test(tcase, every_magnitude_is_within_1_6_percent);
    tcase_add_test(tcase, quantiles_of_a_uniform_ramp);
    tcase_add_test(tcase, merge_equals_adding_everything_to_one);
}

SLUICE_TEST_MAIN("base_hist", add)
