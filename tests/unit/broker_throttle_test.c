/* SPDX-License-Identifier: Apache-2.0 */
/* Replication throttles: which replicas a setting names, and what a rate means. */
#include "broker/shard/throttle.h"
#include "tests/lib/unit.h"

static bool has(const char *list, int32_t partition, int32_t broker)
{
    return throttle_list_has(str_from(list), partition, broker);
}

START_TEST(a_list_names_pairs_of_partition_and_broker)
{
    ck_assert(has("*", 7, 9));
    ck_assert(has("0:101,1:102", 0, 101));
    ck_assert(has("0:101,1:102", 1, 102));
    ck_assert(has("0:101, 1:102", 1, 102));
    ck_assert(!has("0:101,1:102", 0, 102));
    ck_assert(!has("0:101,1:102", 10, 1));
    ck_assert(!has("0:1012", 0, 101));
    ck_assert(!has("", 0, 101));
    ck_assert(!throttle_list_has(STR_NULL, 0, 101));
    ck_assert(!has("0", 0, 0));
    ck_assert(!has("0:", 0, 0));
    ck_assert(!has(":5", 0, 5));
    ck_assert(!has("99999999999:1,1:99999999999", 1, 1));
    ck_assert(has("x,,0:101", 0, 101));
}
END_TEST

START_TEST(bytes_are_paid_for_at_the_rate)
{
    struct throttle t = {.rate = 1000};
    ck_assert_uint_eq(throttle_wait_until(&t, 500), 0);
    throttle_charge(&t, 500, 2000);
    ck_assert_uint_eq(throttle_wait_until(&t, 500), 2000500);
    throttle_charge(&t, 1000500, 1000); /* more on top of what is not paid for yet */
    ck_assert_uint_eq(throttle_wait_until(&t, 1000500), 3000500);
    ck_assert_uint_eq(throttle_wait_until(&t, 3000500), 0);
    throttle_charge(&t, 9000000, 1000); /* an idle time saves nothing up */
    ck_assert_uint_eq(throttle_wait_until(&t, 9000000), 10000000);
    t.rate = 0;
    ck_assert_uint_eq(throttle_wait_until(&t, 9000000), 0);
    throttle_charge(&t, 9000000, 1000000);
    t.rate = 1000;
    ck_assert_uint_eq(throttle_wait_until(&t, 9000000), 10000000);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_list_names_pairs_of_partition_and_broker);
    tcase_add_test(tcase, bytes_are_paid_for_at_the_rate);
}

SLUICE_TEST_MAIN("broker_throttle", add)
