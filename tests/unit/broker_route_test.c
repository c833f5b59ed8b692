/* SPDX-License-Identifier: Apache-2.0 */
/* Which shard owns a partition: entries are found, kept apart, and go one by one. */
#include <string.h>

#include "broker/shard/route.h"
#include "tests/lib/unit.h"

#define TOPICS     40
#define PARTITIONS 50

static struct uuid topic(int n)
{
    return (struct uuid){.b = {1, (uint8_t)n}};
}

static void count(void *ctx, struct route *route)
{
    (*(int *)ctx)++;
}

static int counted(const struct route_table *table)
{
    int n = 0;

    route_each(table, count, &n);
    return n;
}

START_TEST(entries_are_found_by_topic_and_index_and_removed_alone)
{
    struct route_table table;

    route_table_init(&table);
    for (int t = 0; t < TOPICS; t++)
        for (int32_t i = 0; i < PARTITIONS; i++)
            ck_assert_ptr_nonnull(route_put(&table, topic(t), i, (unsigned)(t + i) % 7));
    ck_assert_int_eq(counted(&table), TOPICS * PARTITIONS);
    for (int t = 0; t < TOPICS; t += 2)
        for (int32_t i = 0; i < PARTITIONS; i++)
            route_remove(&table, topic(t), i);
    for (int t = 0; t < TOPICS; t++) {
        for (int32_t i = 0; i < PARTITIONS; i++) {
            const struct route *route = route_find(&table, topic(t), i);
            ck_assert_int_eq(route != NULL, t % 2);
            if (route)
                ck_assert_uint_eq(route->shard, (unsigned)(t + i) % 7);
        }
    }
    ck_assert_int_eq(counted(&table), TOPICS / 2 * PARTITIONS);
    ck_assert_uint_eq(table.count, TOPICS / 2 * PARTITIONS);
    route_table_free(&table);
}
END_TEST

START_TEST(an_entry_keeps_its_shard)
{
    struct route_table table;

    route_table_init(&table);
    struct route *first = route_put(&table, topic(1), 0, 3);
    ck_assert_ptr_eq(route_put(&table, topic(1), 0, 5), first);
    ck_assert_uint_eq(first->shard, 3);
    ck_assert_ptr_null(route_find(&table, topic(1), 1));
    ck_assert_ptr_null(route_find(&table, topic(2), 0));
    route_remove(&table, topic(2), 0); /* no-op */
    ck_assert_uint_eq(table.count, 1);
    route_table_free(&table);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, entries_are_found_by_topic_and_index_and_removed_alone);
    tcase_add_test(tcase, an_entry_keeps_its_shard);
}

SLUICE_TEST_MAIN("broker_route", add)
