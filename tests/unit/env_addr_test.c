/* SPDX-License-Identifier: Apache-2.0 */
#include "common/env/env.h"

#include <string.h>

#include "common/base/assert.h"
#include "tests/lib/unit.h"

static const struct {
    const char *text, *host;
    uint16_t port;
} good[] = {
    {"broker-1:9092", "broker-1", 9092},
    {"10.0.0.1:1", "10.0.0.1", 1},
    {"[::1]:65535", "::1", 65535},
    {":9092", "", 9092},
    {"host:0", "host", 0},
    {"[fe80::1%eth0]:7", "fe80::1%eth0", 7},
};

START_TEST(addresses_of_every_form_parse)
{
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct env_addr addr;
        ck_assert_int_eq(env_addr_parse(good[i].text, &addr), OK);
        ck_assert_str_eq(addr.host, good[i].host);
        ck_assert_uint_eq(addr.port, good[i].port);
    }
}
END_TEST

START_TEST(format_gives_back_what_was_parsed)
{
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct env_addr addr;
        char text[ENV_HOST_MAX + 8];
        ck_assert_int_eq(env_addr_parse(good[i].text, &addr), OK);
        ck_assert_str_eq(env_addr_format(&addr, text), good[i].text);
    }
}
END_TEST

START_TEST(anything_else_is_invalid_and_leaves_the_result_alone)
{
    static const char *bad[] = {"",        "host",    "host:",      "host:x", "host:65536", "host:100000",
                                "host:-1", "host: 1", "::1:80",     "[::1]",  "[::1]80",    "[]:80",
                                "[::1:80", "::1]:80", "[[::1]]:80", "a b:80", "host:1 ",    "a:b:80",
                                "[a]b:80", "host:+1", "host:080001"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct env_addr addr = {.host = "untouched", .port = 77};
        ck_assert_msg(env_addr_parse(bad[i], &addr) == ERR_INVALID, "%s parsed", bad[i]);
        ck_assert_str_eq(addr.host, "untouched");
        ck_assert_uint_eq(addr.port, 77);
    }
}
END_TEST

START_TEST(host_must_fit)
{
    char text[ENV_HOST_MAX + 16];
    struct env_addr addr;
    memset(text, 'h', sizeof(text));
    strcpy(text + ENV_HOST_MAX - 1, ":80");
    ck_assert_int_eq(env_addr_parse(text, &addr), OK);
    ck_assert_uint_eq(strlen(addr.host), ENV_HOST_MAX - 1);
    memset(text, 'h', sizeof(text));
    strcpy(text + ENV_HOST_MAX, ":80");
    ck_assert_int_eq(env_addr_parse(text, &addr), ERR_INVALID);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, addresses_of_every_form_parse);
    tcase_add_test(tcase, format_gives_back_what_was_parsed);
    tcase_add_test(tcase, anything_else_is_invalid_and_leaves_the_result_alone);
    tcase_add_test(tcase, host_must_fit);
}

SLUICE_TEST_MAIN("env_addr", add_tests)
