/* SPDX-License-Identifier: Apache-2.0 */
/* Lag of groups: what the table makes of positions, bounds and looks at them, and what stays in /metrics. */
#include "broker/shard/group_lag_table.h"

#include <string.h>

#include "common/obs/metrics.h"
#include "tests/lib/unit.h"

static const struct uuid topic_id = {{1}};
static struct metrics *metrics;
static struct lag_table table;

static void setup(void)
{
    metrics = metrics_new();
    lag_table_init(&table, metrics);
}

static void teardown(void)
{
    lag_table_free(&table);
    metrics_free(metrics);
}

static bool shown(const char *line)
{
    struct writer w;
    static char text[65536];

    writer_init(&w, NULL, 4096, sizeof(text) - 1);
    metrics_write(metrics, &w);
    memcpy(text, w.buf->data, writer_pos(&w));
    text[writer_pos(&w)] = '\0';
    writer_free(&w);
    return strstr(text, line) != NULL;
}

static struct lag_partition *position(int64_t offset)
{
    struct lag_partition *partition = lag_partition_take(&table, topic_id, STR_LIT("t"), 3);
    struct group_position at = {
        .group = STR_LIT("g"), .topic = STR_LIT("t"), .partition = 3, .offset = offset};

    lag_series_take(&table, &at, partition);
    return partition;
}

START_TEST(messages_are_counted_from_the_log_start)
{
    static const struct {
        int64_t offset, log_start, high_watermark, lag;
    } rows[] = {{5, 0, 10, 5}, {10, 0, 10, 0}, {12, 0, 10, 0}, {0, 7, 10, 3}, {5, 10, 10, 0}, {-1, 0, 4, 4}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct lag_partition partition = {.log_start = rows[i].log_start};
        ck_assert_int_eq(lag_messages(&partition, rows[i].offset), 0); /* nothing known yet */
        lag_partition_sample(&partition, 1, rows[i].high_watermark);
        ck_assert_int_eq(lag_messages(&partition, rows[i].offset), rows[i].lag);
    }
}
END_TEST

START_TEST(age_is_read_from_when_offsets_were_seen)
{
    struct lag_partition partition = {.log_start = 0};

    ck_assert_uint_eq(lag_age_us(&partition, 0, 100), 0);
    lag_partition_sample(&partition, 1000, 10);
    lag_partition_sample(&partition, 2000, 20);
    lag_partition_sample(&partition, 3000, 20);
    ck_assert_uint_eq(lag_age_us(&partition, 20, 5000), 0);
    ck_assert_uint_eq(lag_age_us(&partition, 15, 5000), 3500); /* half way between two looks */
    ck_assert_uint_eq(lag_age_us(&partition, 10, 5000), 4000);
    ck_assert_uint_eq(lag_age_us(&partition, 3, 5000), 4000); /* at least: nobody looked before */
    partition.log_start = 20;
    ck_assert_uint_eq(lag_age_us(&partition, 3, 5000), 0); /* retention took it */
}
END_TEST

START_TEST(old_looks_are_thinned_out_and_an_end_may_go_back)
{
    struct lag_partition partition = {.log_start = 0};

    for (uint64_t i = 1; i <= 1000; i++) {
        lag_partition_sample(&partition, i * 1000, (int64_t)i);
        ck_assert_int_le(partition.samples_count, LAG_SAMPLES_MAX);
    }
    ck_assert_uint_eq(lag_age_us(&partition, 0, 1000000), 999000); /* the first one stays */
    uint64_t age = lag_age_us(&partition, 990, 1000000);
    ck_assert_uint_ge(age, 9000);
    ck_assert_uint_le(age, 10000);
    lag_partition_sample(&partition, 1001000, 500);
    ck_assert_int_eq(lag_messages(&partition, 400), 100);
    ck_assert_uint_eq(lag_age_us(&partition, 500, 1001000), 0);
}
END_TEST

START_TEST(series_come_and_go_with_positions)
{
    lag_table_begin(&table);
    struct lag_partition *partition = position(4);
    lag_table_drop_old(&table);
    lag_table_show(&table, 10);
    ck_assert(!shown("sluice_group_committed_offset{")); /* its leader has not answered */
    lag_partition_sample(partition, 1000000, 9);
    lag_table_show(&table, 3000000);
    ck_assert(shown("sluice_group_committed_offset{group=\"g\",topic=\"t\",partition=\"3\"} 4"));
    ck_assert(shown("sluice_group_lag_messages{group=\"g\",topic=\"t\",partition=\"3\"} 5"));
    ck_assert(shown("sluice_group_lag_seconds{group=\"g\",topic=\"t\",partition=\"3\"} 2"));
    lag_table_begin(&table);
    ck_assert_ptr_eq(position(9), partition); /* looks are kept */
    lag_table_drop_old(&table);
    lag_table_show(&table, 4000000);
    ck_assert(shown("sluice_group_lag_messages{group=\"g\",topic=\"t\",partition=\"3\"} 0"));
    lag_table_begin(&table);
    lag_table_drop_old(&table);
    ck_assert(!shown("sluice_group_lag_messages{"));
    ck_assert_ptr_null(lag_partition_find(&table, topic_id, 3));
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, messages_are_counted_from_the_log_start);
    tcase_add_test(tcase, age_is_read_from_when_offsets_were_seen);
    tcase_add_test(tcase, old_looks_are_thinned_out_and_an_end_may_go_back);
    tcase_add_test(tcase, series_come_and_go_with_positions);
}

SLUICE_TEST_MAIN("broker_group_lag", add)
