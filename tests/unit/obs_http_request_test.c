/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/obs/http_request.h"
#include "tests/lib/unit.h"

static struct http_request request;
static size_t used;

static enum http_progress feed(const char *text)
{
    return http_request_feed(&request, text, strlen(text), &used);
}

static void setup(void)
{
    http_request_init(&request);
}

START_TEST(a_request_gives_target_and_keep_alive)
{
    const char *text = "GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n";
    ck_assert_int_eq(feed(text), REQUEST_DONE);
    ck_assert_uint_eq(used, strlen(text));
    ck_assert_str_eq(request.target, "/metrics?x=1");
    ck_assert(request.keep_alive);
    ck_assert(!request.head);
}
END_TEST

START_TEST(a_request_may_come_byte_by_byte)
{
    const char *text = "HEAD /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for (const char *p = text; p[1]; p++) {
        ck_assert_int_eq(http_request_feed(&request, p, 1, &used), REQUEST_MORE);
        ck_assert_uint_eq(used, 1);
    }
    ck_assert_int_eq(http_request_feed(&request, "\n", 1, &used), REQUEST_DONE);
    ck_assert_str_eq(request.target, "/healthz");
    ck_assert(request.head);
    ck_assert(!request.keep_alive);
}
END_TEST

START_TEST(pipelined_requests_come_one_by_one)
{
    char bytes[] = "GET /a HTTP/1.1\r\n\r\nGET /bb HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n";
    const char *text =
        bytes; /* not the literal itself: gcc 12 folds strlen(literal + used) with a later value of used */
    ck_assert_int_eq(feed(text), REQUEST_DONE);
    ck_assert_str_eq(request.target, "/a");
    text += used;
    http_request_next(&request);
    ck_assert_int_eq(feed(text), REQUEST_DONE);
    ck_assert_str_eq(request.target, "/bb");
    text += used;
    http_request_next(&request);
    ck_assert_int_eq(feed(text), REQUEST_MORE);
    ck_assert_int_eq(feed("\r\n"), REQUEST_DONE);
    ck_assert_str_eq(request.target, "/c");
}
END_TEST

START_TEST(http_1_0_closes_unless_asked)
{
    ck_assert_int_eq(feed("GET / HTTP/1.0\r\n\r\n"), REQUEST_DONE);
    ck_assert(!request.keep_alive);
    http_request_init(&request);
    ck_assert_int_eq(feed("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), REQUEST_DONE);
    ck_assert(request.keep_alive);
}
END_TEST

START_TEST(an_upgrade_is_answered_and_closed)
{
    ck_assert_int_eq(feed("GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nraw bytes"),
                     REQUEST_DONE);
    ck_assert(!request.keep_alive);
}
END_TEST

static const struct refusal {
    const char *text;
    int status;
} refusals[] = {
    {"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 405},
    {"CONNECT a:1 HTTP/1.1\r\n\r\n", 405},
    {"DELETE / HTTP/1.1\r\n\r\n", 405},
    {"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 413},
    {"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413},
    {"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
    {"GET / HTTP/2.0\r\n\r\n", 505},
    {"GET / HTTP/9.9\r\n\r\n", 505},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
    {"NONSENSE / HTTP/1.1\r\n\r\n", 400},
    {"GET /a b HTTP/1.1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n: x\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\na: b\nc: d\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nA: \x01\r\n\r\n", 400},
    {"\x16\x03\x01\x02\x01\x01", 400},
    {"GET / ICY/1.1\r\n\r\n", 400},
};

START_TEST(what_is_not_taken_is_refused_with_its_status)
{
    const struct refusal *refusal = &refusals[_i];
    ck_assert_msg(feed(refusal->text) == REQUEST_REFUSED, "%s", refusal->text);
    ck_assert_msg(request.status == refusal->status, "%d for %s", request.status, refusal->text);
}
END_TEST

START_TEST(refusals_do_not_depend_on_where_the_bytes_are_cut)
{
    const struct refusal *refusal = &refusals[_i];
    enum http_progress progress = REQUEST_MORE;
    for (const char *p = refusal->text; *p && progress == REQUEST_MORE; p++)
        progress = http_request_feed(&request, p, 1, &used);
    ck_assert_msg(progress == REQUEST_REFUSED && request.status == refusal->status, "%d for %s",
                  request.status, refusal->text);
}
END_TEST

START_TEST(a_long_target_is_refused_in_any_pieces)
{
    char piece[101];
    memset(piece, 'a', 100);
    piece[100] = '\0';
    ck_assert_int_eq(feed("GET /"), REQUEST_MORE);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(feed(piece), REQUEST_MORE);
    ck_assert_int_eq(feed("123"), REQUEST_MORE);
    ck_assert_int_eq(strlen(request.target), 1004);
    ck_assert_int_eq(feed(piece), REQUEST_REFUSED);
    ck_assert_int_eq(request.status, 414);
}
END_TEST

static int feed_until_refused(const char *piece)
{
    for (int i = 0; i < 100000; i++)
        if (feed(piece) == REQUEST_REFUSED)
            return request.status;
    return 0;
}

START_TEST(endless_headers_are_refused)
{
    static const char *const pieces[] = {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "a: b\r\n", "a:\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        http_request_init(&request);
        ck_assert_int_eq(feed("GET / HTTP/1.1\r\n"), REQUEST_MORE);
        ck_assert_int_eq(feed_until_refused(pieces[i]), 431);
        ck_assert_uint_le(request.header_bytes, HTTP_HEADER_MAX + 64);
    }
    http_request_init(&request);
    ck_assert_int_eq(feed("GET / HTTP/1.1\r\na: "), REQUEST_MORE);
    ck_assert_int_eq(feed_until_refused("bbbbbbbbbbbbbbbbbb"), 431);
}
END_TEST

START_TEST(the_header_cap_counts_for_each_request_anew)
{
    char header[4200] = "GET /x HTTP/1.1\r\nA: ";
    memset(header + strlen(header), 'b', 4000);
    strcpy(header + 4020, "\r\n\r\n");
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(feed(header), REQUEST_DONE);
        http_request_next(&request);
    }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, a_request_gives_target_and_keep_alive);
    tcase_add_test(tcase, a_request_may_come_byte_by_byte);
    tcase_add_test(tcase, pipelined_requests_come_one_by_one);
    tcase_add_test(tcase, http_1_0_closes_unless_asked);
    tcase_add_test(tcase, an_upgrade_is_answered_and_closed);
    tcase_add_loop_test(tcase, what_is_not_taken_is_refused_with_its_status, 0, ARRAY_LEN(refusals));
    tcase_add_loop_test(tcase, refusals_do_not_depend_on_where_the_bytes_are_cut, 0, ARRAY_LEN(refusals));
    tcase_add_test(tcase, a_long_target_is_refused_in_any_pieces);
    tcase_add_test(tcase, endless_headers_are_refused);
    tcase_add_test(tcase, the_header_cap_counts_for_each_request_anew);
}

SLUICE_TEST_MAIN("obs_http_request", add)
