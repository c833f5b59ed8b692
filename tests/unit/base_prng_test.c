/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/prng.h"

#include "tests/lib/unit.h"

START_TEST(splitmix_seeding_and_xoshiro_give_the_published_stream)
{
    struct prng prng = {{1, 2, 3, 4}};
    ck_assert_uint_eq(prng_next(&prng), 11520); /* reference output for state {1, 2, 3, 4} */
    ck_assert_uint_eq(prng_next(&prng), 0);
    ck_assert_uint_eq(prng_next(&prng), 1509978240);
    prng_seed(&prng, 0);
    ck_assert_uint_eq(prng.s[0], 0xe220a8397b1dcdaf); /* reference output of splitmix64 from 0 */
    ck_assert_uint_eq(prng.s[1], 0x6e789e6aa1b965f4);
}
END_TEST

START_TEST(the_same_seed_repeats_and_another_differs)
{
    struct prng a, b, c;
    prng_seed(&a, 1);
    prng_seed(&b, 1);
    prng_seed(&c, 2);
    int equal = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t v = prng_next(&a);
        ck_assert_uint_eq(v, prng_next(&b));
        equal += v == prng_next(&c);
    }
    ck_assert_int_eq(equal, 0);
}
END_TEST

START_TEST(below_reaches_every_value_evenly)
{
    int hits[7] = {0};
    struct prng prng;
    prng_seed(&prng, 11);
    for (int i = 0; i < 70000; i++) {
        uint64_t v = prng_below(&prng, 7);
        ck_assert_uint_lt(v, 7);
        hits[v]++;
    }
    for (int i = 0; i < 7; i++)
        ck_assert(hits[i] > 9500 && hits[i] < 10500);
    ck_assert_uint_eq(prng_below(&prng, 1), 0);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, splitmix_seeding_and_xoshiro_give_the_published_stream);
    tcase_add_test(tcase, the_same_seed_repeats_and_another_differs);
    tcase_add_test(tcase, below_reaches_every_value_evenly);
}

SLUICE_TEST_MAIN("base_prng", add)
