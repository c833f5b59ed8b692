/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/obs/metrics.h"
#include "tests/lib/unit.h"

static struct metrics *metrics;
static char text[1 << 16];

static void setup(void)
{
    metrics = metrics_new();
    ck_assert_ptr_nonnull(metrics);
}

static void teardown(void)
{
    metrics_free(metrics);
}

static const char *scrape(void)
{
    struct writer out;
    writer_init(&out, NULL, 256, sizeof(text) - 1);
    metrics_write(metrics, &out);
    ck_assert_int_eq(out.err, OK);
    ck_assert_uint_eq(writer_total(&out), writer_pos(&out));
    if (out.buf)
        memcpy(text, out.buf->data, out.buf->len);
    text[writer_pos(&out)] = '\0';
    writer_free(&out);
    return text;
}

START_TEST(empty_registry_writes_nothing)
{
    ck_assert_str_eq(scrape(), "");
}
END_TEST

START_TEST(counter_and_gauge_are_exposed)
{
    struct counter *counter =
        metrics_counter(metrics, "a_total", "Things\\ that\nhappened.", METRIC_NO_LABELS);
    struct gauge *gauge = metrics_gauge(metrics, "b", "Level.", METRIC_NO_LABELS);
    counter_add(counter, 2);
    counter_add(counter, 3);
    counter_add_shared(counter, 1);
    gauge_set(gauge, -5);
    gauge_add_shared(gauge, 1);
    ck_assert_str_eq(scrape(), "# HELP a_total Things\\\\ that\\nhappened.\n"
                               "# TYPE a_total counter\n"
                               "a_total 6\n"
                               "# HELP b Level.\n"
                               "# TYPE b gauge\n"
                               "b -4\n");
}
END_TEST

START_TEST(cells_of_equal_labels_are_one_series)
{
    struct counter *shard0 = metrics_counter(metrics, "x_total", "X.", METRIC_LABELS({"api", "fetch"}));
    struct counter *other = metrics_counter(metrics, "x_total", "X.", METRIC_LABELS({"api", "produce"}));
    struct counter *shard1 = metrics_counter(metrics, "x_total", "X.", METRIC_LABELS({"api", "fetch"}));
    ck_assert_ptr_ne(shard0, shard1);
    counter_add(shard0, 10);
    counter_add(shard1, 1);
    counter_add(other, 7);
    ck_assert_str_eq(scrape(), "# HELP x_total X.\n# TYPE x_total counter\n"
                               "x_total{api=\"fetch\"} 11\n"
                               "x_total{api=\"produce\"} 7\n");
}
END_TEST

START_TEST(removing_the_last_cell_removes_the_series)
{
    struct gauge *one = metrics_gauge(metrics, "g", "G.", METRIC_LABELS({"p", "0"}));
    struct gauge *two = metrics_gauge(metrics, "g", "G.", METRIC_LABELS({"p", "0"}));
    struct gauge *three = metrics_gauge(metrics, "g", "G.", METRIC_LABELS({"p", "1"}));
    gauge_set(one, 1);
    gauge_set(two, 2);
    gauge_set(three, 3);
    metrics_remove(metrics, one);
    ck_assert_ptr_nonnull(strstr(scrape(), "g{p=\"0\"} 2\n"));
    metrics_remove(metrics, two);
    ck_assert_ptr_null(strstr(scrape(), "p=\"0\""));
    ck_assert_ptr_nonnull(strstr(scrape(), "g{p=\"1\"} 3\n"));
    metrics_remove(metrics, three);
    metrics_remove(metrics, NULL);
    ck_assert_str_eq(scrape(), "");
    metrics_counter(metrics, "g", "The name is free again.", METRIC_NO_LABELS);
    ck_assert_ptr_nonnull(strstr(scrape(), "# TYPE g counter\n"));
}
END_TEST

START_TEST(label_values_are_escaped)
{
    metrics_gauge(metrics, "g", "G.", METRIC_LABELS({"v", "a\"b\\c\nd\xff\x01\xc3\xa9"}));
    ck_assert_ptr_nonnull(strstr(scrape(), "g{v=\"a\\\"b\\\\c\\nd\xef\xbf\xbd\xef\xbf\xbd\xc3\xa9\"} 0\n"));
}
END_TEST

START_TEST(endless_label_values_are_cut)
{
    char longest[5000];
    memset(longest, '"', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    metrics_gauge(metrics, "g", "G.",
                  METRIC_LABELS({"a", longest}, {"b", longest}, {"c", longest}, {"d", longest},
                                {"e", longest}, {"f", longest}, {"g", longest}));
    ck_assert_uint_lt(strlen(scrape()), 4200);
    ck_assert_ptr_nonnull(strstr(text, "\\\"\",b=\"\\\""));
}
END_TEST

START_TEST(histogram_has_cumulative_buckets_sum_and_count)
{
    struct histogram *one = metrics_histogram(metrics, "h", "H.", METRIC_UNIT_ONE, METRIC_LABELS({"k", "v"}));
    struct histogram *two = metrics_histogram(metrics, "h", "H.", METRIC_UNIT_ONE, METRIC_LABELS({"k", "v"}));
    histogram_observe(one, 0);
    histogram_observe(one, 1);
    histogram_observe(one, 2);
    histogram_observe(two, 3);
    histogram_observe(two, 5000000000);
    histogram_observe(two, 5000000001);
    scrape();
    ck_assert_ptr_nonnull(
        strstr(text, "# TYPE h histogram\nh_bucket{k=\"v\",le=\"1\"} 2\nh_bucket{k=\"v\",le=\"2\"} 3\n"
                     "h_bucket{k=\"v\",le=\"5\"} 4\n"));
    ck_assert_ptr_nonnull(
        strstr(text, "h_bucket{k=\"v\",le=\"2000000000\"} 4\nh_bucket{k=\"v\",le=\"5000000000\"} 5\n"
                     "h_bucket{k=\"v\",le=\"+Inf\"} 6\n"
                     "h_sum{k=\"v\"} 10000000007\nh_count{k=\"v\"} 6\n"));
}
END_TEST

START_TEST(microseconds_are_exposed_in_seconds)
{
    struct histogram *h = metrics_histogram(metrics, "h_seconds", "H.", METRIC_UNIT_US, METRIC_NO_LABELS);
    histogram_observe(h, 1500000);
    scrape();
    ck_assert_ptr_nonnull(strstr(text, "h_seconds_bucket{le=\"1e-06\"} 0\n"));
    ck_assert_ptr_nonnull(strstr(text, "h_seconds_bucket{le=\"1\"} 0\nh_seconds_bucket{le=\"2\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(text, "h_seconds_sum 1.5\nh_seconds_count 1\n"));
}
END_TEST

static double seven_and_a_half(void *ctx)
{
    return *(double *)ctx;
}

START_TEST(callback_gauges_are_asked_and_summed)
{
    double value = 7.5, more = 0.25;
    void *handle = metrics_gauge_fn(metrics, "f", "F.", METRIC_NO_LABELS, seven_and_a_half, &value);
    metrics_gauge_fn(metrics, "f", "F.", METRIC_NO_LABELS, seven_and_a_half, &more);
    ck_assert_ptr_nonnull(strstr(scrape(), "# TYPE f gauge\nf 7.75\n"));
    metrics_remove(metrics, handle);
    ck_assert_ptr_nonnull(strstr(scrape(), "f 0.25\n"));
}
END_TEST

START_TEST(process_metrics_are_plausible)
{
    double resident = 0, fds = 0, started = 0;
    metrics_add_process(metrics);
    scrape();
    ck_assert_ptr_nonnull(strstr(text, "sluice_build_info{version=\"" SLUICE_VERSION "\"} 1\n"));
    ck_assert_int_eq(sscanf(strstr(text, "\nprocess_resident_memory_bytes "), "\n%*s %lf", &resident), 1);
    ck_assert_int_eq(sscanf(strstr(text, "\nprocess_open_fds "), "\n%*s %lf", &fds), 1);
    ck_assert_int_eq(sscanf(strstr(text, "\nprocess_start_time_seconds "), "\n%*s %lf", &started), 1);
    ck_assert_double_gt(resident, 100000);
    ck_assert_double_ge(fds, 3);
    ck_assert_double_gt(started, 1.6e9);
}
END_TEST

START_TEST(null_cells_are_ignored)
{
    counter_add(NULL, 1);
    counter_add_shared(NULL, 1);
    gauge_set(NULL, 1);
    gauge_add_shared(NULL, 1);
    histogram_observe(NULL, 1);
}
END_TEST

START_TEST(series_are_capped)
{
    char value[32];
    size_t made = 0;
    for (size_t i = 0; i < METRICS_SERIES_MAX + 10; i++) {
        snprintf(value, sizeof(value), "%zu", i);
        made += metrics_gauge(metrics, "g", "G.", METRIC_LABELS({"i", value})) != NULL;
    }
    ck_assert_uint_eq(made, METRICS_SERIES_MAX);
    ck_assert_ptr_null(metrics_gauge(metrics, "another", "A.", METRIC_NO_LABELS));
    ck_assert_ptr_nonnull(metrics_gauge(metrics, "g", "G.", METRIC_LABELS({"i", "5"})));
}
END_TEST

START_TEST(one_name_with_two_types_asserts)
{
    metrics_gauge(metrics, "same", "S.", METRIC_NO_LABELS);
    metrics_counter(metrics, "same", "S.", METRIC_NO_LABELS);
}
END_TEST

START_TEST(bad_names_assert)
{
    metrics_gauge(metrics, "no-dashes", "S.", METRIC_NO_LABELS);
}
END_TEST

#define THREADS 4
#define ROUNDS  20000

static void *count(void *arg)
{
    struct counter *counter = metrics_counter(metrics, "x_total", "X.", METRIC_NO_LABELS);
    struct histogram *histogram = metrics_histogram(metrics, "h", "H.", METRIC_UNIT_ONE, METRIC_NO_LABELS);
    for (int i = 0; i < ROUNDS; i++) {
        counter_add(counter, 1);
        histogram_observe(histogram, (uint64_t)i);
    }
    return NULL;
}

START_TEST(threads_with_cells_of_their_own_lose_nothing_while_others_scrape)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, count, NULL), 0);
    for (int i = 0; i < 20; i++)
        scrape();
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    scrape();
    ck_assert_ptr_nonnull(strstr(text, "\nx_total 80000\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nh_count 80000\n"));
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, empty_registry_writes_nothing);
    tcase_add_test(tcase, counter_and_gauge_are_exposed);
    tcase_add_test(tcase, cells_of_equal_labels_are_one_series);
    tcase_add_test(tcase, removing_the_last_cell_removes_the_series);
    tcase_add_test(tcase, label_values_are_escaped);
    tcase_add_test(tcase, endless_label_values_are_cut);
    tcase_add_test(tcase, histogram_has_cumulative_buckets_sum_and_count);
    tcase_add_test(tcase, microseconds_are_exposed_in_seconds);
    tcase_add_test(tcase, callback_gauges_are_asked_and_summed);
    tcase_add_test(tcase, process_metrics_are_plausible);
    tcase_add_test(tcase, null_cells_are_ignored);
    tcase_add_test(tcase, series_are_capped);
    tcase_add_test_raise_signal(tcase, one_name_with_two_types_asserts, 6);
    tcase_add_test_raise_signal(tcase, bad_names_assert, 6);
    tcase_add_test(tcase, threads_with_cells_of_their_own_lose_nothing_while_others_scrape);
}

SLUICE_TEST_MAIN("obs_metrics", add)
