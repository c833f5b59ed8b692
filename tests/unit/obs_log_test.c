/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/obs/flight.h"
#include "common/obs/log.h"
#include "common/obs/text.h"
#include "tests/lib/unit.h"

#define LINES_MAX 64

static char lines[LINES_MAX][LOG_LINE_MAX + 64];
static int line_count;
static int64_t wall_ms;
static struct logger logger;

static void sink(void *ctx, const char *line, size_t len)
{
    ck_assert_int_lt(line_count, LINES_MAX);
    ck_assert_uint_le(len, LOG_LINE_MAX);
    ck_assert_int_eq(line[len - 1], '\n');
    ck_assert_ptr_eq(memchr(line, '\n', len), line + len - 1);
    memcpy(lines[line_count], line, len - 1);
    lines[line_count++][len - 1] = '\0';
}

static int64_t test_wall_ms(void *ctx)
{
    return wall_ms;
}

static void open_logger(enum log_format format)
{
    const struct logger_options options = {
        .level = LOG_LEVEL_INFO, .format = format, .wall_ms = test_wall_ms, .sink = sink, .node_id = -1};
    ck_assert_int_eq(logger_init(&logger, &options), OK);
    line_count = 0;
    wall_ms = 1700000000123;
}

static void setup(void)
{
    open_logger(LOG_FORMAT_TEXT);
}

START_TEST(text_line_has_time_level_event_and_fields)
{
    LOG(&logger, INFO, "broker.started", F_I64("n", -7), F_U64("u", UINT64_MAX), F_STR("topic", "orders"),
        F_BOOL("ok", true), F_F64("ratio", 0.5), F_ERR("err", ERR_TIMED_OUT));
    ck_assert_str_eq(lines[0],
                     "2023-11-14T22:13:20.123Z INFO  broker.started n=-7 u=18446744073709551615 topic=orders "
                     "ok=true ratio=0.5 err=TIMED_OUT");
}
END_TEST

START_TEST(json_line_is_one_object)
{
    open_logger(LOG_FORMAT_JSON);
    LOG(&logger, WARN, "disk.slow", F_I64("ms", 12), F_STR("path", "/a \"b\""), F_STR("none", NULL),
        F_BOOL("x", false), F_F64("nan", NAN));
    ck_assert_str_eq(lines[0],
                     "{\"ts\":\"2023-11-14T22:13:20.123Z\",\"level\":\"warn\",\"event\":\"disk.slow\","
                     "\"ms\":12,\"path\":\"/a \\\"b\\\"\",\"none\":null,\"x\":false,\"nan\":null}");
}
END_TEST

START_TEST(event_without_fields_works)
{
    LOG(&logger, ERROR, "lonely");
    ck_assert_str_eq(lines[0], "2023-11-14T22:13:20.123Z ERROR lonely");
}
END_TEST

START_TEST(role_and_node_stand_in_every_line)
{
    const struct logger_options options = {
        .wall_ms = test_wall_ms, .sink = sink, .role = "controller", .node_id = 3};
    logger_init(&logger, &options);
    LOG(&logger, DEBUG, "x");
    ck_assert_str_eq(lines[0], "2023-11-14T22:13:20.123Z DEBUG x role=controller node=3");
}
END_TEST

static int evaluated;

static int64_t evaluate(void)
{
    return ++evaluated;
}

START_TEST(lines_below_the_level_cost_nothing)
{
    LOG(&logger, DEBUG, "x", F_I64("n", evaluate()));
    ck_assert_int_eq(line_count, 0);
    ck_assert_int_eq(evaluated, 0);
    atomic_store(&logger.level, LOG_LEVEL_DEBUG);
    LOG(&logger, DEBUG, "x", F_I64("n", evaluate()));
    ck_assert_int_eq(line_count, 1);
}
END_TEST

START_TEST(hostile_text_cannot_forge_or_break_a_line)
{
    static const char hostile[] = "a\nb\033[31m\0c\xff\xc3\xa9\xed\xa0\x80\xc2\x9b=";
    const struct str view = {hostile, sizeof(hostile) - 1};
    LOG(&logger, INFO, "x", F_VIEW("v", view));
    ck_assert_ptr_nonnull(strstr(lines[0],
                                 "v=\"a\\nb\\u001b[31m\\u0000c\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd"
                                 "\xef\xbf\xbd\\u009b=\""));
}
END_TEST

START_TEST(text_that_would_be_misread_is_quoted)
{
    LOG(&logger, INFO, "x", F_STR("a", "two words"), F_STR("b", ""), F_STR("c", "k=v"), F_STR("d", "h:9092"));
    ck_assert_ptr_nonnull(strstr(lines[0], " a=\"two words\" b=\"\" c=\"k=v\" d=h:9092"));
}
END_TEST

START_TEST(long_values_are_cut_and_long_lines_marked)
{
    static char longest[8000];
    memset(longest, 'x', sizeof(longest) - 1);
    open_logger(LOG_FORMAT_JSON);
    LOG(&logger, INFO, "x", F_STR("a", longest));
    ck_assert_uint_lt(strlen(lines[0]), LOG_TEXT_MAX + 100);
    ck_assert_ptr_nonnull(strstr(lines[0], "...\"}"));
    LOG(&logger, INFO, "x", F_STR("a", longest), F_STR("b", longest), F_STR("c", longest),
        F_STR("d", longest), F_I64("e", 1));
    ck_assert_ptr_nonnull(strstr(lines[1], ",\"c\":"));
    ck_assert_ptr_null(strstr(lines[1], ",\"d\":"));
    ck_assert_str_eq(lines[1] + strlen(lines[1]) - 18, ",\"truncated\":true}");
}
END_TEST

START_TEST(limited_lines_come_once_a_second_with_a_count)
{
    struct log_limit limit = {0};
    for (int i = 0; i < 10; i++)
        LOG_LIMITED(&logger, &limit, WARN, "frame.bad", F_I64("i", i));
    ck_assert_int_eq(line_count, 1);
    ck_assert_ptr_nonnull(strstr(lines[0], "i=0 suppressed=0"));
    wall_ms += 999;
    LOG_LIMITED(&logger, &limit, WARN, "frame.bad");
    ck_assert_int_eq(line_count, 1);
    wall_ms += 1;
    LOG_LIMITED(&logger, &limit, WARN, "frame.bad");
    ck_assert_int_eq(line_count, 2);
    ck_assert_ptr_nonnull(strstr(lines[1], "suppressed=10"));
}
END_TEST

START_TEST(limit_survives_a_clock_that_is_set_back)
{
    struct log_limit limit = {0};
    LOG_LIMITED(&logger, &limit, WARN, "x");
    wall_ms -= 3600000;
    LOG_LIMITED(&logger, &limit, WARN, "x");
    ck_assert_int_eq(line_count, 2);
}
END_TEST

static void *write_lines(void *arg)
{
    for (int i = 0; i < 500; i++)
        LOG(&logger, WARN, "thread.line", F_I64("t", (intptr_t)arg),
            F_STR("pad", "abcdefghijklmnopqrstuvwxyz"));
    return NULL;
}

START_TEST(lines_go_to_a_file_and_stay_whole_with_many_threads_writing)
{
    char path[] = "log-test-XXXXXX", line[256];
    int fd = mkstemp(path), counts[4] = {0};
    const struct logger_options options = {.file = path, .node_id = -1};
    pthread_t threads[4];
    ck_assert_int_eq(logger_init(&logger, &options), OK);
    for (intptr_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_lines, (void *)i), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    logger_close(&logger);
    FILE *file = fdopen(fd, "r");
    while (fgets(line, sizeof(line), file)) {
        int t = -1;
        ck_assert_int_eq(sscanf(line + 24, " WARN  thread.line t=%d pad=abcdefghijklmnopqrstuvwxyz\n", &t),
                         1);
        counts[t]++;
    }
    fclose(file);
    unlink(path);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(counts[i], 500);
}
END_TEST

START_TEST(a_file_that_cannot_be_opened_is_an_error_and_lines_go_to_standard_error)
{
    const struct logger_options options = {.file = "/nonexistent/dir/file.log", .node_id = -1};
    ck_assert_int_eq(logger_init(&logger, &options), ERR_NOT_FOUND);
    ck_assert_int_eq(logger.fd, STDERR_FILENO);
}
END_TEST

START_TEST(a_line_that_cannot_be_written_is_counted)
{
    const struct logger_options options = {.file = "/dev/full", .node_id = -1};
    ck_assert_int_eq(logger_init(&logger, &options), OK);
    LOG(&logger, ERROR, "x");
    ck_assert_uint_eq(atomic_load(&logger.lines_lost), 1);
    logger_close(&logger);
}
END_TEST

START_TEST(utf8_refuses_what_the_standard_refuses)
{
    static const struct {
        const char *bytes;
        unsigned len;
    } cases[] = {
        {"a", 1},
        {"\xc3\xa9", 2},
        {"\xe2\x82\xac", 3},
        {"\xf0\x9f\x8e\x89", 4},
        {"\xc0\x80", 0},
        {"\xe0\x80\x80", 0},
        {"\xed\xa0\x80", 0},
        {"\xf4\x90\x80\x80", 0},
        {"\x80", 0},
        {"\xc3", 0},
        {"\xe2\x82", 0},
        {"\xf8\x88\x80\x80", 0},
        {"\xff", 0},
        {"\xf4\x8f\xbf\xbf", 4},
        {"\xef\xbf\xbf", 3},
        {"\xc3(", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        ck_assert_msg(utf8_next((const uint8_t *)cases[i].bytes, strlen(cases[i].bytes), NULL) ==
                          cases[i].len,
                      "case %zu", i);
}
END_TEST

static const char *code_name(uint32_t code)
{
    return code == 1 ? "append" : "other";
}

START_TEST(flight_keeps_the_last_events_in_order)
{
    struct flight_event events[4];
    struct flight flight;
    flight_init(&flight, "replica t-0", code_name, events, 4);
    for (int i = 0; i < 6; i++)
        flight_note(&flight, 100 + (uint64_t)i, (uint32_t)i % 2, i, -i, 0, 0);
    flight_dump(&flight, &logger);
    ck_assert_int_eq(line_count, 5);
    ck_assert_ptr_nonnull(strstr(lines[0], "flight.begin core=\"replica t-0\" recorded=6 kept=4"));
    ck_assert_ptr_nonnull(strstr(lines[1], "flight.event us=102 code=other a=2 b=-2 c=0 d=0"));
    ck_assert_ptr_nonnull(strstr(lines[4], "flight.event us=105 code=append a=5"));
}
END_TEST

START_TEST(flight_that_is_not_full_dumps_what_there_is)
{
    struct flight_event events[8];
    struct flight flight;
    flight_init(&flight, "c", NULL, events, 8);
    flight_note(&flight, 1, 42, 0, 0, 0, 0);
    flight_dump(&flight, &logger);
    ck_assert_int_eq(line_count, 2);
    ck_assert_ptr_nonnull(strstr(lines[1], "code=42"));
}
END_TEST

START_TEST(failed_assertion_dumps_the_deck_and_aborts)
{
    struct flight_event events[2];
    struct flight flight;
    struct flight_deck deck;
    char path[] = "flight-test-XXXXXX", text[2048] = "";
    int fd = mkstemp(path), status;
    pid_t child = fork();
    if (child == 0) {
        logger_init(&logger, &(struct logger_options){.file = path, .node_id = -1});
        flight_deck_init(&deck, &logger);
        flight_init(&flight, "core", NULL, events, 2);
        flight_deck_add(&deck, &flight);
        flight_note(&flight, 5, 9, 1, 2, 3, 4);
        flight_deck_install(&deck);
        ASSERT(line_count == 12345);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    ck_assert_int_gt(read(fd, text, sizeof(text) - 1), 0);
    close(fd);
    unlink(path);
    ck_assert_ptr_nonnull(strstr(text, "assert.failed file="));
    ck_assert_ptr_nonnull(strstr(text, "expr=\"line_count == 12345\""));
    ck_assert_ptr_nonnull(strstr(text, "flight.event us=5 code=9 a=1 b=2 c=3 d=4"));
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, text_line_has_time_level_event_and_fields);
    tcase_add_test(tcase, json_line_is_one_object);
    tcase_add_test(tcase, event_without_fields_works);
    tcase_add_test(tcase, role_and_node_stand_in_every_line);
    tcase_add_test(tcase, lines_below_the_level_cost_nothing);
    tcase_add_test(tcase, hostile_text_cannot_forge_or_break_a_line);
    tcase_add_test(tcase, text_that_would_be_misread_is_quoted);
    tcase_add_test(tcase, long_values_are_cut_and_long_lines_marked);
    tcase_add_test(tcase, limited_lines_come_once_a_second_with_a_count);
    tcase_add_test(tcase, limit_survives_a_clock_that_is_set_back);
    tcase_add_test(tcase, lines_go_to_a_file_and_stay_whole_with_many_threads_writing);
    tcase_add_test(tcase, a_file_that_cannot_be_opened_is_an_error_and_lines_go_to_standard_error);
    tcase_add_test(tcase, a_line_that_cannot_be_written_is_counted);
    tcase_add_test(tcase, utf8_refuses_what_the_standard_refuses);
    tcase_add_test(tcase, flight_keeps_the_last_events_in_order);
    tcase_add_test(tcase, flight_that_is_not_full_dumps_what_there_is);
    tcase_add_test(tcase, failed_assertion_dumps_the_deck_and_aborts);
}

SLUICE_TEST_MAIN("obs_log", add)
