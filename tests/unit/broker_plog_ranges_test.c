/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "broker/log/plog_ranges.h"
#include "common/base/prng.h"
#include "tests/lib/unit.h"

#define ROOM 300

START_TEST(ranges_that_touch_become_one)
{
    struct plog_ranges set = {0};
    plog_ranges_add(&set, 10, 20);
    plog_ranges_add(&set, 30, 40);
    ck_assert_uint_eq(plog_ranges_end(&set, 10), 20);
    ck_assert_uint_eq(plog_ranges_end(&set, 20), 20);
    ck_assert_uint_eq(plog_ranges_end(&set, 35), 40);
    plog_ranges_add(&set, 20, 30);
    ck_assert_uint_eq(set.count, 1);
    ck_assert_uint_eq(plog_ranges_end(&set, 10), 40);
    plog_ranges_remove(&set, 15, 16);
    ck_assert_uint_eq(plog_ranges_end(&set, 10), 15);
    ck_assert_uint_eq(plog_ranges_end(&set, 15), 15);
    ck_assert_uint_eq(plog_ranges_end(&set, 16), 40);
    plog_ranges_clear(&set);
    ck_assert_uint_eq(plog_ranges_end(&set, 16), 16);
}
END_TEST

/* Against one flag per byte: the set may forget, but never claims what was not added or was taken out. */
START_TEST(set_claims_nothing_that_is_not_so)
{
    struct prng prng;
    struct plog_ranges set = {0};
    static bool truth[ROOM];
    prng_seed(&prng, (uint64_t)_i + 1);
    memset(truth, 0, sizeof(truth));
    for (int step = 0; step < 300; step++) {
        uint32_t from = (uint32_t)prng_below(&prng, ROOM), to = from + (uint32_t)prng_below(&prng, 4);
        bool add = prng_below(&prng, 3) > 0;
        to = to > ROOM ? ROOM : to;
        (add ? plog_ranges_add : plog_ranges_remove)(&set, from, to);
        for (uint32_t at = from; at < to; at++)
            truth[at] = add;
        ck_assert_uint_le(set.count, PLOG_RANGES_MAX);
        for (uint32_t at = 0; at < ROOM; at++)
            for (uint32_t end = plog_ranges_end(&set, at); end > at; end--)
                ck_assert(truth[end - 1]);
        for (uint16_t i = 1; i < set.count; i++)
            ck_assert_uint_lt(set.at[i - 1].to, set.at[i].from);
    }
    plog_ranges_clear(&set);
}
END_TEST

START_TEST(small_sets_forget_nothing)
{
    struct plog_ranges set = {0};
    for (uint32_t i = 0; i < PLOG_RANGES_MAX; i++)
        plog_ranges_add(&set, i * 10, i * 10 + 5);
    for (uint32_t i = 0; i < PLOG_RANGES_MAX; i++)
        ck_assert_uint_eq(plog_ranges_end(&set, i * 10), i * 10 + 5);
    plog_ranges_add(&set, 10000, 10100); /* the largest stays, whatever goes */
    ck_assert_uint_eq(plog_ranges_end(&set, 10000), 10100);
    ck_assert_uint_eq(set.count, PLOG_RANGES_MAX);
    plog_ranges_clear(&set);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, ranges_that_touch_become_one);
    tcase_add_loop_test(tcase, set_claims_nothing_that_is_not_so, 0, 4);
    tcase_add_test(tcase, small_sets_forget_nothing);
}

SLUICE_TEST_MAIN("broker_plog_ranges", add)
