/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/budget.h"

#include <pthread.h>

#include "tests/lib/unit.h"

START_TEST(the_limit_is_exact_and_a_refusal_takes_nothing)
{
    struct budget budget;
    budget_init(&budget, 100);
    ck_assert(budget_take(&budget, BUDGET_CACHE, 60));
    ck_assert(budget_take(&budget, BUDGET_REQUESTS, 40));
    ck_assert(!budget_take(&budget, BUDGET_REQUESTS, 1));
    ck_assert(!budget_take(&budget, BUDGET_REQUESTS, SIZE_MAX));
    ck_assert_uint_eq(budget.used_bytes, 100);
    ck_assert_uint_eq(budget.by_owner[BUDGET_CACHE], 60);
    ck_assert_uint_eq(budget.refusals, 2);
    budget_give(&budget, BUDGET_CACHE, 60);
    ck_assert(budget_take(&budget, BUDGET_REQUESTS, 60));
    ck_assert_uint_eq(budget.by_owner[BUDGET_REQUESTS], 100);
}
END_TEST

static void *take_and_give(void *arg)
{
    struct budget *budget = arg;
    for (int i = 0; i < 20000; i++)
        if (budget_take(budget, BUDGET_REPLIES, 3))
            budget_give(budget, BUDGET_REPLIES, 3);
    return NULL;
}

START_TEST(threads_leave_the_account_balanced)
{
    struct budget budget;
    pthread_t threads[3];
    budget_init(&budget, 7);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_and_give, &budget), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(budget.used_bytes, 0);
    ck_assert_uint_eq(budget.by_owner[BUDGET_REPLIES], 0);
}
END_TEST

START_TEST(owners_have_names)
{
    ck_assert_str_eq(budget_owner_name(BUDGET_REQUESTS), "requests");
    ck_assert_str_eq(budget_owner_name(BUDGET_CONNECTIONS), "connections");
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, the_limit_is_exact_and_a_refusal_takes_nothing);
    tcase_add_test(tcase, threads_leave_the_account_balanced);
    tcase_add_test(tcase, owners_have_names);
}

SLUICE_TEST_MAIN("base_budget", add)
