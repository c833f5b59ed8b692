/* SPDX-License-Identifier: Apache-2.0 */
/* What the flight recorder writes when an assertion fails; and log files that are moved away. */
#include "common/obs/flight.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "tests/lib/unit.h"

static const char *code_name(uint32_t code)
{
    return code == 1 ? "one" : "two";
}

static void read_file(const char *path, char *out, size_t size)
{
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    out[fread(out, 1, size - 1, file)] = 0;
    fclose(file);
}

static void temp_name(char out[64])
{
    snprintf(out, 64, "/tmp/sluice-flight-XXXXXX");
    int fd = mkstemp(out);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

static void fail_an_assertion(const char *path)
{
    struct flight_event events[4];
    struct flight flight;
    struct flight_deck deck;
    struct logger logger;
    const struct logger_options options = {.level = LOG_LEVEL_INFO, .file = path, .node_id = -1};
    volatile int truth = 0;
    if (logger_init(&logger, &options) != OK)
        _exit(3);
    flight_init(&flight, "tested", code_name, events, 4);
    flight_deck_init(&deck, &logger);
    flight_deck_add(&deck, &flight);
    flight_deck_install(&deck);
    for (int i = 0; i < 6; i++)
        flight_note(&flight, (uint64_t)i, (uint32_t)(1 + i % 2), 100 + i, 0, 0, -1);
    signal(SIGABRT, SIG_DFL);
    ASSERT(truth == 1);
}

START_TEST(a_failed_assertion_dumps_the_newest_events)
{
    char path[64], text[4096];
    int status;
    temp_name(path);
    pid_t child = fork();
    if (child == 0) {
        fail_an_assertion(path);
        _exit(4);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    read_file(path, text, sizeof(text));
    ck_assert_msg(strstr(text, "assert.failed") && strstr(text, "truth == 1"), "%s", text);
    ck_assert_msg(strstr(text, "core=tested") && strstr(text, "recorded=6") && strstr(text, "kept=4"), "%s",
                  text);
    ck_assert_msg(!strstr(text, "a=101 ") && strstr(text, "a=102 ") && strstr(text, "a=105 "), "%s", text);
    ck_assert_msg(strstr(text, "code=two"), "%s", text);
    unlink(path);
}
END_TEST

START_TEST(a_log_that_was_moved_away_is_opened_anew)
{
    char path[64], moved[80], text[4096];
    struct logger logger;
    temp_name(path);
    const struct logger_options options = {.level = LOG_LEVEL_INFO, .file = path, .node_id = -1};
    ck_assert_int_eq(logger_init(&logger, &options), OK);
    int fd = logger.fd;
    LOG(&logger, INFO, "before");
    snprintf(moved, sizeof(moved), "%s.1", path);
    ck_assert_int_eq(rename(path, moved), 0);
    LOG(&logger, INFO, "between");
    ck_assert_int_eq(logger_reopen(&logger, path), OK);
    LOG(&logger, INFO, "after");
    ck_assert_int_eq(logger.fd, fd);
    logger_close(&logger);
    read_file(moved, text, sizeof(text));
    ck_assert(strstr(text, "before") && strstr(text, "between") && !strstr(text, "after"));
    read_file(path, text, sizeof(text));
    ck_assert(strstr(text, "after") && !strstr(text, "between"));
    unlink(path);
    unlink(moved);
}
END_TEST

START_TEST(a_log_that_cannot_be_opened_anew_goes_on)
{
    char path[64], text[4096];
    struct logger logger;
    temp_name(path);
    const struct logger_options options = {.level = LOG_LEVEL_INFO, .file = path, .node_id = -1};
    ck_assert_int_eq(logger_init(&logger, &options), OK);
    ck_assert_int_ne(logger_reopen(&logger, "/no such folder/x"), OK);
    LOG(&logger, INFO, "still");
    logger_close(&logger);
    read_file(path, text, sizeof(text));
    ck_assert_ptr_nonnull(strstr(text, "still"));
    ck_assert_int_eq(logger_reopen(&logger, path), OK); /* standard error now: nothing to do */
    unlink(path);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, a_failed_assertion_dumps_the_newest_events);
    tcase_add_test(tcase, a_log_that_was_moved_away_is_opened_anew);
    tcase_add_test(tcase, a_log_that_cannot_be_opened_anew_goes_on);
}

SLUICE_TEST_MAIN("obs_flight", add_tests)
