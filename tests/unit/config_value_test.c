/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/config/logging_config.h"
#include "common/config/setting.h"
#include "common/config/suggest.h"
#include "tests/lib/unit.h"

struct values {
    bool flag;
    int32_t small;
    int64_t size, time_us, time_ms, minutes_us;
    const char *text;
    struct setting_list list;
    int word;
    struct endpoints listeners, nodes, servers;
};

static const struct setting items[] = {
    SETTING_BOOL("flag", struct values, flag, "false", 0, "A flag."),
    SETTING_INT("small", struct values, small, "3", -1, 100, 0, "A number."),
    SETTING_SIZE("size", struct values, size, "64MiB", 1024, INT64_C(1) << 40, 0, "A size."),
    SETTING_DURATION_US("time", struct values, time_us, "250ms", 0, INT64_C(604800000000), 0, "A time."),
    SETTING_DURATION_MS("time.ms", struct values, time_ms, "7d", -1, INT64_MAX, 0, "A Kafka time."),
    SETTING_DURATION_US("time.minutes", struct values, minutes_us, "5", 0, 0, 0, "Minutes."),
    SETTING_STRING("text", struct values, text, "none", 0, "A text."),
    SETTING_LIST("list", struct values, list, "", 0, "A list."),
    SETTING_ENUM("word", struct values, word, "beta", "alpha|beta|gamma", 0, "A word."),
    SETTING_LISTENERS("listeners", struct values, listeners, NULL, 0, "Listeners."),
    SETTING_NODES("nodes", struct values, nodes, NULL, 0, "Nodes."),
    SETTING_SERVERS("servers", struct values, servers, NULL, 0, "Servers."),
};
static const struct setting_table table = {items, ARRAY_LEN(items)};

static struct arena arena;
static struct values v;

static enum err parse(const char *name, const char *text)
{
    return setting_parse(setting_find(&table, name), text, &arena, &v);
}

static void setup(void)
{
    arena_init(&arena, NULL, 0, 1 << 20);
    memset(&v, 0, sizeof(v));
}

static void teardown(void)
{
    arena_free(&arena);
}

START_TEST(bool_takes_the_usual_words_and_nothing_else)
{
    ck_assert_int_eq(parse("flag", "true"), OK);
    ck_assert(v.flag);
    ck_assert_int_eq(parse("flag", "Off"), OK);
    ck_assert(!v.flag);
    ck_assert_int_eq(parse("flag", "1"), OK);
    ck_assert(v.flag);
    ck_assert_int_eq(parse("flag", "maybe"), ERR_INVALID);
    ck_assert_int_eq(parse("flag", ""), ERR_INVALID);
    ck_assert(v.flag);
}
END_TEST

START_TEST(int_keeps_to_its_range_and_form)
{
    static const struct {
        const char *text;
        enum err err;
        int32_t value;
    } cases[] = {
        {"0", OK, 0},
        {"-1", OK, -1},
        {"100", OK, 100},
        {"101", ERR_OUT_OF_RANGE, 0},
        {"-2", ERR_OUT_OF_RANGE, 0},
        {"9223372036854775808", ERR_OUT_OF_RANGE, 0},
        {"4294967297", ERR_OUT_OF_RANGE, 0},
        {"", ERR_INVALID, 0},
        {"-", ERR_INVALID, 0},
        {"1x", ERR_INVALID, 0},
        {" 1", ERR_INVALID, 0},
        {"1.5", ERR_INVALID, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        v.small = 77;
        ck_assert_msg(parse("small", cases[i].text) == cases[i].err, "'%s'", cases[i].text);
        ck_assert_int_eq(v.small, cases[i].err == OK ? cases[i].value : 77);
    }
}
END_TEST

START_TEST(size_takes_binary_and_decimal_units)
{
    static const struct {
        const char *text;
        int64_t bytes;
    } cases[] = {
        {"4096", 4096},
        {"64MiB", 64 << 20},
        {"64mib", 64 << 20},
        {"1g", 1 << 30},
        {"1k", 1024},
        {"1KiB", 1024},
        {"5MB", 5000000},
        {"2 GiB", INT64_C(2) << 30},
        {"1t", INT64_C(1) << 40},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        ck_assert_msg(parse("size", cases[i].text) == OK, "'%s'", cases[i].text);
        ck_assert_int_eq(v.size, cases[i].bytes);
    }
    ck_assert_int_eq(parse("size", "1023"), ERR_OUT_OF_RANGE);
    ck_assert_int_eq(parse("size", "8388608t"), ERR_OUT_OF_RANGE);
    ck_assert_int_eq(parse("size", "64 parsecs"), ERR_INVALID);
    ck_assert_int_eq(parse("size", "MiB"), ERR_INVALID);
    ck_assert_int_eq(parse("size", "1.5g"), ERR_INVALID);
}
END_TEST

START_TEST(duration_needs_a_unit_unless_its_name_says_one)
{
    ck_assert_int_eq(parse("time", "3s"), OK);
    ck_assert_int_eq(v.time_us, 3000000);
    ck_assert_int_eq(parse("time", "20us"), OK);
    ck_assert_int_eq(v.time_us, 20);
    ck_assert_int_eq(parse("time", "0"), OK);
    ck_assert_int_eq(v.time_us, 0);
    ck_assert_int_eq(parse("time", "3"), ERR_INVALID);
    ck_assert_int_eq(parse("time", "8d"), ERR_OUT_OF_RANGE);
    ck_assert_int_eq(parse("time", "-1"), ERR_OUT_OF_RANGE);
    ck_assert_int_eq(parse("time.ms", "1500"), OK);
    ck_assert_int_eq(v.time_ms, 1500);
    ck_assert_int_eq(parse("time.ms", "2m"), OK);
    ck_assert_int_eq(v.time_ms, 120000);
    ck_assert_int_eq(parse("time.ms", "-1"), OK);
    ck_assert_int_eq(v.time_ms, -1);
    ck_assert_int_eq(parse("time.ms", "9223372036854775807"), OK);
    ck_assert_int_eq(v.time_ms, INT64_MAX);
    ck_assert_int_eq(parse("time.ms", "5us"), ERR_INVALID);
    ck_assert_int_eq(parse("time.minutes", "2"), OK);
    ck_assert_int_eq(v.minutes_us, 120000000);
}
END_TEST

START_TEST(list_splits_at_commas_and_trims)
{
    ck_assert_int_eq(parse("list", " a, bb ,c"), OK);
    ck_assert_uint_eq(v.list.count, 3);
    ck_assert_str_eq(v.list.items[0], "a");
    ck_assert_str_eq(v.list.items[1], "bb");
    ck_assert_str_eq(v.list.items[2], "c");
    ck_assert_int_eq(parse("list", "a,,b"), ERR_INVALID);
    ck_assert_int_eq(parse("list", "a,"), ERR_INVALID);
    ck_assert_uint_eq(v.list.count, 3);
    ck_assert_int_eq(parse("list", "  "), OK);
    ck_assert_uint_eq(v.list.count, 0);
}
END_TEST

START_TEST(enum_gives_the_index_of_the_word)
{
    ck_assert_int_eq(parse("word", "gamma"), OK);
    ck_assert_int_eq(v.word, 2);
    ck_assert_int_eq(parse("word", "ALPHA"), OK);
    ck_assert_int_eq(v.word, 0);
    ck_assert_int_eq(parse("word", "alph"), ERR_INVALID);
    ck_assert_int_eq(parse("word", "alpha|beta"), ERR_INVALID);
    ck_assert_int_eq(parse("word", ""), ERR_INVALID);
}
END_TEST

START_TEST(text_is_copied)
{
    char text[] = "abc";
    ck_assert_int_eq(parse("text", text), OK);
    text[0] = 'x';
    ck_assert_str_eq(v.text, "abc");
}
END_TEST

START_TEST(listeners_have_name_host_and_port)
{
    char out[64];
    ck_assert_int_eq(parse("listeners", "plaintext://0.0.0.0:9092, INTERNAL://[::1]:0,X://:7"), OK);
    ck_assert_uint_eq(v.listeners.count, 3);
    ck_assert_str_eq(v.listeners.items[0].name, "PLAINTEXT");
    ck_assert_str_eq(v.listeners.items[0].host, "0.0.0.0");
    ck_assert_uint_eq(v.listeners.items[0].port, 9092);
    ck_assert_str_eq(v.listeners.items[1].host, "::1");
    ck_assert_str_eq(endpoint_address(&v.listeners.items[1], out, sizeof(out)), "[::1]:0");
    ck_assert_str_eq(endpoint_address(&v.listeners.items[2], out, sizeof(out)), ":7");
    ck_assert_ptr_eq(endpoints_by_name(&v.listeners, "internal"), &v.listeners.items[1]);
    ck_assert_ptr_null(endpoints_by_name(&v.listeners, "SSL"));
}
END_TEST

START_TEST(bad_listeners_are_refused)
{
    static const char *const cases[] = {
        "PLAINTEXT", "://h:1",    "A://h",        "A://h:",       "A://h:65536",
        "A://h:1x",  "A://h:-1",  "A B://h:1",    "A://h:1,",     "A://h:1,a://h:2",
        "A://[]:1",  "A://h h:1", "A://::1:9092", "A://h:000001", "A://h/x:1",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        ck_assert_msg(parse("listeners", cases[i]) == ERR_INVALID, "'%s'", cases[i]);
    ck_assert_ptr_null(v.listeners.items);
}
END_TEST

START_TEST(too_many_endpoints_are_refused)
{
    char text[2048] = "";
    for (int i = 0; i <= ENDPOINTS_MAX; i++)
        sprintf(text + strlen(text), "%s%d@h:%d", i ? "," : "", i, i + 1);
    ck_assert_int_eq(parse("nodes", text), ERR_INVALID);
    *strrchr(text, ',') = '\0';
    ck_assert_int_eq(parse("nodes", text), OK);
    ck_assert_uint_eq(v.nodes.count, ENDPOINTS_MAX);
}
END_TEST

START_TEST(nodes_have_id_host_and_port)
{
    ck_assert_int_eq(parse("nodes", "1@c1:9093,2@c2.example:9094"), OK);
    ck_assert_uint_eq(v.nodes.count, 2);
    ck_assert_int_eq(v.nodes.items[1].id, 2);
    ck_assert_str_eq(endpoints_by_id(&v.nodes, 2)->host, "c2.example");
    ck_assert_ptr_null(endpoints_by_id(&v.nodes, 3));
    ck_assert_int_eq(parse("nodes", "1@a:1,1@b:2"), ERR_INVALID);
    ck_assert_int_eq(parse("nodes", "@a:1"), ERR_INVALID);
    ck_assert_int_eq(parse("nodes", "-1@a:1"), ERR_INVALID);
    ck_assert_int_eq(parse("nodes", "99999999999@a:1"), ERR_INVALID);
    ck_assert_int_eq(parse("nodes", "1@:1"), ERR_INVALID);
    ck_assert_int_eq(parse("nodes", "1@a:0"), ERR_INVALID);
    ck_assert_int_eq(parse("servers", "a:1,a:1,:0"), OK);
    ck_assert_uint_eq(v.servers.count, 3);
    ck_assert_int_eq(parse("servers", ""), OK);
    ck_assert_uint_eq(v.servers.count, 0);
}
END_TEST

START_TEST(expected_text_states_the_range_in_units)
{
    char out[SETTING_TEXT_MAX];
    ck_assert_str_eq(setting_expected(setting_find(&table, "small"), out, sizeof(out)),
                     "a whole number, from -1 to 100");
    ck_assert_ptr_nonnull(
        strstr(setting_expected(setting_find(&table, "size"), out, sizeof(out)), "from 1KiB to 1TiB"));
    ck_assert_ptr_nonnull(
        strstr(setting_expected(setting_find(&table, "time"), out, sizeof(out)), "from 0 to 7d"));
    ck_assert_ptr_nonnull(
        strstr(setting_expected(setting_find(&table, "time.ms"), out, sizeof(out)), "at least -1"));
    ck_assert_str_eq(setting_expected(setting_find(&table, "word"), out, sizeof(out)),
                     "one of alpha, beta, gamma");
}
END_TEST

START_TEST(env_name_is_upper_case_with_underscores)
{
    char out[SETTING_NAME_MAX + 8];
    ck_assert_str_eq(setting_env_name(setting_find(&table, "time.ms"), out, sizeof(out)), "SLUICE_TIME_MS");
}
END_TEST

START_TEST(table_check_names_the_bad_row)
{
    static const struct setting bad_rows[] = {
        SETTING_INT("num", struct values, small, "500", 0, 100, 0, "Default out of range."),
        SETTING_INT("num", struct values, small, "1", 0, INT64_MAX, 0, "Range too wide for the field."),
        SETTING_BOOL("num", struct values, flag, "false", 0, ""),
        SETTING_BOOL("Num", struct values, flag, "false", 0, "Upper case."),
        SETTING_BOOL("num", struct values, flag, "false", SETTING_REQUIRED, "Required with a default."),
        SETTING_ENUM("num", struct values, word, "delta", "alpha|beta", 0, "Default is no choice."),
    };
    ck_assert_ptr_null(setting_table_check(&table));
    ck_assert_ptr_null(setting_table_check(logging_settings()));
    for (size_t i = 0; i < ARRAY_LEN(bad_rows); i++) {
        struct setting_table one = {&bad_rows[i], 1};
        ck_assert_ptr_eq(setting_table_check(&one), bad_rows[i].name);
    }
    const struct setting twice[] = {items[0], items[0]};
    struct setting_table doubled = {twice, 2};
    ck_assert_str_eq(setting_table_check(&doubled), "flag");
}
END_TEST

START_TEST(distance_counts_edits_and_swaps)
{
    ck_assert_uint_eq(name_distance("log.dirs", "log.dirs"), 0);
    ck_assert_uint_eq(name_distance("log.dris", "log.dirs"), 1);
    ck_assert_uint_eq(name_distance("log.dir", "log.dirs"), 1);
    ck_assert_uint_eq(name_distance("logdirs", "log.dirs"), 1);
    ck_assert_uint_eq(name_distance("kitten", "sitting"), 3);
    ck_assert_uint_eq(name_distance("", "abc"), 3);
    ck_assert_uint_eq(name_distance("ca", "abc"), 3); /* no edit inside a swapped pair */
    char longest[SETTING_NAME_MAX + 2];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    ck_assert_uint_eq(name_distance(longest, "x"), UINT_MAX);
}
END_TEST

START_TEST(suggestion_is_the_nearest_and_only_if_near)
{
    static const struct {
        const char *typed, *best;
    } cases[] = {
        {"log.dris", "log.dirs"},  {"num.partition", "num.partitions"},
        {"listener", "listeners"}, {"nodeid", "node.id"},
        {"zzzzzz", NULL},          {"x", NULL},
    };
    static const char *const known[] = {"listeners", "log.dirs", "log.dir.id", "node.id", "num.partitions"};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct suggest suggest;
        suggest_init(&suggest, cases[i].typed);
        for (size_t j = 0; j < ARRAY_LEN(known); j++)
            suggest_offer(&suggest, known[j]);
        if (cases[i].best)
            ck_assert_pstr_eq(suggest.best, cases[i].best);
        else
            ck_assert_ptr_null(suggest.best);
    }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, bool_takes_the_usual_words_and_nothing_else);
    tcase_add_test(tcase, int_keeps_to_its_range_and_form);
    tcase_add_test(tcase, size_takes_binary_and_decimal_units);
    tcase_add_test(tcase, duration_needs_a_unit_unless_its_name_says_one);
    tcase_add_test(tcase, list_splits_at_commas_and_trims);
    tcase_add_test(tcase, enum_gives_the_index_of_the_word);
    tcase_add_test(tcase, text_is_copied);
    tcase_add_test(tcase, listeners_have_name_host_and_port);
    tcase_add_test(tcase, bad_listeners_are_refused);
    tcase_add_test(tcase, too_many_endpoints_are_refused);
    tcase_add_test(tcase, nodes_have_id_host_and_port);
    tcase_add_test(tcase, expected_text_states_the_range_in_units);
    tcase_add_test(tcase, env_name_is_upper_case_with_underscores);
    tcase_add_test(tcase, table_check_names_the_bad_row);
    tcase_add_test(tcase, distance_counts_edits_and_swaps);
    tcase_add_test(tcase, suggestion_is_the_nearest_and_only_if_near);
}

SLUICE_TEST_MAIN("config_value", add)
