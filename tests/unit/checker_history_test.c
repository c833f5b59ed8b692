/* SPDX-License-Identifier: Apache-2.0 */
/* The format of histories, binary and text. */
#include "tests/checker/history.h"
#include "tests/checker/history_text.h"
#include "tests/lib/unit.h"

#include <string.h>

#include "common/base/prng.h"

static const struct history_header header = {.client = 7, .seed = UINT64_C(0x1122334455667788)};

/* A record with every field set to something of its own. */
static struct history_record full_record(void)
{
    struct history_record r = history_record(HISTORY_INFO, HISTORY_COMMIT, 4000000000u, INT64_MAX);
    r.what = HISTORY_BATCH;
    r.flags = HISTORY_FINAL | HISTORY_COMPACTED;
    r.error = -5;
    r.node = INT32_MIN;
    r.call = UINT32_MAX;
    r.epoch = INT32_MAX;
    r.topic = HISTORY_QUORUM;
    r.partition = 12;
    r.value = history_value(UINT32_MAX, UINT32_MAX - 1);
    r.offset = INT64_MIN;
    r.txn = INT64_MAX;
    r.group = 9;
    r.arg = -1;
    r.arg2 = INT64_MIN + 1;
    return r;
}

static bool same(const struct history_record *a, const struct history_record *b)
{
    return a->type == b->type && a->op == b->op && a->what == b->what && a->flags == b->flags &&
           a->error == b->error && a->time_us == b->time_us && a->process == b->process &&
           a->node == b->node && a->call == b->call && a->epoch == b->epoch && a->topic == b->topic &&
           a->partition == b->partition && a->value == b->value && a->offset == b->offset &&
           a->txn == b->txn && a->group == b->group && a->arg == b->arg && a->arg2 == b->arg2;
}

START_TEST(records_are_read_as_they_were_written)
{
    uint8_t bytes[HISTORY_HEADER_BYTES + 2 * HISTORY_RECORD_BYTES];
    struct history_writer w;
    struct history_header got;
    struct history_record full = full_record(), plain = history_record(HISTORY_OK, HISTORY_POLL, 1, 2), read;
    history_writer_init(&w, bytes, sizeof(bytes), &header);
    ck_assert(history_put(&w, &full));
    ck_assert(history_put(&w, &plain));
    ck_assert_int_eq(history_open(bytes, w.used, &got), OK);
    ck_assert_uint_eq(got.client, 7);
    ck_assert_uint_eq(got.seed, header.seed);
    ck_assert_uint_eq(history_count(w.used), 2);
    ck_assert_int_eq(history_get(bytes, 0, &read), OK);
    ck_assert(same(&read, &full));
    ck_assert_int_eq(history_get(bytes, 1, &read), OK);
    ck_assert(same(&read, &plain));
}
END_TEST

START_TEST(a_full_buffer_takes_nothing_more)
{
    uint8_t bytes[HISTORY_HEADER_BYTES + 2 * HISTORY_RECORD_BYTES - 1];
    struct history_writer w;
    struct history_record r = history_record(HISTORY_OK, HISTORY_POLL, 1, 2);
    history_writer_init(&w, bytes, sizeof(bytes), &header);
    ck_assert(history_put(&w, &r));
    size_t used = w.used;
    ck_assert(!history_put(&w, &r));
    ck_assert_uint_eq(w.used, used);
}
END_TEST

START_TEST(the_bytes_of_a_record_do_not_change)
{
    uint8_t bytes[HISTORY_HEADER_BYTES + HISTORY_RECORD_BYTES];
    struct history_writer w;
    struct history_record r = history_record(HISTORY_OK, HISTORY_PRODUCE, 0x0a0b0c0d, 0x0102030405060708);
    history_writer_init(&w, bytes, sizeof(bytes), &header);
    ck_assert(history_put(&w, &r));
    static const uint8_t head[] = {'S', 'L', 'H', 'I', 'S', 'T', 'R', 'Y',  1,
                                   0,   88,  0,   7,   0,   0,   0,   0x88, 0x77};
    static const uint8_t record[] = {2, 1, 0, 0, 0,    0,    0,    0,    8,   7,   6,   5,
                                     4, 3, 2, 1, 0x0d, 0x0c, 0x0b, 0x0a, 255, 255, 255, 255};
    ck_assert_mem_eq(bytes, head, sizeof(head));
    ck_assert_mem_eq(bytes + HISTORY_HEADER_BYTES, record, sizeof(record));
}
END_TEST

START_TEST(what_is_no_history_is_refused)
{
    uint8_t bytes[HISTORY_HEADER_BYTES];
    struct history_writer w;
    struct history_header got;
    history_writer_init(&w, bytes, sizeof(bytes), &header);
    ck_assert_int_eq(history_open(bytes, sizeof(bytes) - 1, &got), ERR_TRUNCATED);
    bytes[8]++;
    ck_assert_int_eq(history_open(bytes, sizeof(bytes), &got), ERR_VERSION);
    bytes[8]--;
    bytes[10]++;
    ck_assert_int_eq(history_open(bytes, sizeof(bytes), &got), ERR_VERSION);
    bytes[0]++;
    ck_assert_int_eq(history_open(bytes, sizeof(bytes), &got), ERR_MALFORMED);
}
END_TEST

START_TEST(a_record_torn_by_a_kill_is_not_counted)
{
    ck_assert_uint_eq(history_count(0), 0);
    ck_assert_uint_eq(history_count(HISTORY_HEADER_BYTES + HISTORY_RECORD_BYTES - 1), 0);
    ck_assert_uint_eq(history_count(HISTORY_HEADER_BYTES + 2 * HISTORY_RECORD_BYTES - 1), 1);
}
END_TEST

START_TEST(unknown_kinds_of_records_are_refused)
{
    uint8_t bytes[HISTORY_HEADER_BYTES + HISTORY_RECORD_BYTES];
    static const struct {
        int at;
        uint8_t value;
    } broken[] = {{0, 0}, {0, HISTORY_TYPE_COUNT}, {1, 0}, {1, HISTORY_OP_COUNT}, {2, HISTORY_WHAT_COUNT}};
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        struct history_writer w;
        struct history_record r = history_record(HISTORY_OK, HISTORY_POLL, 1, 2), read;
        history_writer_init(&w, bytes, sizeof(bytes), &header);
        ck_assert(history_put(&w, &r));
        bytes[HISTORY_HEADER_BYTES + broken[i].at] = broken[i].value;
        ck_assert_int_eq(history_get(bytes, 0, &read), ERR_MALFORMED);
    }
}
END_TEST

START_TEST(text_says_the_same_as_the_record)
{
    char line[HISTORY_LINE_MAX];
    struct history_record full = full_record(), read;
    size_t len = history_print(line, &full);
    ck_assert_uint_eq(len, strlen(line));
    ck_assert_int_eq(history_parse(line, len, &read), 1);
    ck_assert(same(&read, &full));
    struct history_record ok = history_record(HISTORY_OK, HISTORY_PRODUCE, 1, 130);
    ok.topic = 1;
    ok.partition = 0;
    ok.value = history_value(1, 1);
    ok.offset = 0;
    ok.epoch = 3;
    ok.node = 2;
    history_print(line, &ok);
    ck_assert_str_eq(line, "130 p1 ok produce t1-0 value=1.1 offset=0 epoch=3 node=2");
}
END_TEST

START_TEST(every_record_survives_both_forms)
{
    struct prng prng;
    prng_seed(&prng, 5);
    for (int i = 0; i < 2000; i++) {
        char line[HISTORY_LINE_MAX];
        struct history_record r = history_record(HISTORY_INVOKE, HISTORY_PRODUCE, (uint32_t)prng_next(&prng),
                                                 0),
                              read;
        r.type = (uint8_t)(1 + prng_below(&prng, HISTORY_TYPE_COUNT - 1));
        r.op = (uint8_t)(1 + prng_below(&prng, HISTORY_OP_COUNT - 1));
        r.what = (uint8_t)prng_below(&prng, HISTORY_WHAT_COUNT);
        r.flags = (uint8_t)prng_below(&prng, 0x80);
        r.time_us = (int64_t)(prng_next(&prng) >> 1);
        r.value = history_value(1 + (uint32_t)prng_below(&prng, 9), (uint32_t)prng_next(&prng));
        r.offset = (int64_t)prng_next(&prng);
        r.arg = (int64_t)prng_next(&prng);
        size_t len = history_print(line, &r);
        ck_assert_int_eq(history_parse(line, len, &read), 1);
        ck_assert_msg(same(&read, &r), "%s", line);
    }
}
END_TEST

START_TEST(blanks_and_comments_are_no_records)
{
    struct history_record r;
    ck_assert_int_eq(history_parse("", 0, &r), 0);
    ck_assert_int_eq(history_parse("  \t", 3, &r), 0);
    ck_assert_int_eq(history_parse("# 1 p1 ok poll", 14, &r), 0);
    ck_assert_int_eq(history_parse("1 p1 ok poll # t1-0", 19, &r), 1);
    ck_assert_uint_eq(r.topic, 0);
}
END_TEST

START_TEST(lines_that_say_nonsense_are_refused)
{
    static const char *const lines[] = {
        "1 p1 ok",
        "x p1 ok poll",
        "-1 p1 ok poll",
        "1 1 ok poll",
        "1 p1 okay poll",
        "1 p1 ok pole",
        "1 p1 ok poll t0-0",
        "1 p1 ok poll t1",
        "1 p1 ok poll t1-",
        "1 p1 ok poll t1--1",
        "1 p1 ok poll what",
        "1 p1 ok poll offset=",
        "1 p1 ok poll offset=1x",
        "1 p1 ok poll of=1",
        "1 p1 ok poll value=1",
        "1 p1 ok poll value=0.1",
        "1 p1 ok poll node=2147483648",
        "1 p1 ok poll call=-1",
        "1 p1 ok poll txn=-1",
        "1 p1 ok ?",
    };
    struct history_record r;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        ck_assert_msg(history_parse(lines[i], strlen(lines[i]), &r) == ERR_MALFORMED, "%s", lines[i]);
    char longest[HISTORY_LINE_MAX + 1];
    memset(longest, ' ', sizeof(longest));
    ck_assert_int_eq(history_parse(longest, HISTORY_LINE_MAX, &r), ERR_TOO_LARGE);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, records_are_read_as_they_were_written);
    tcase_add_test(tcase, a_full_buffer_takes_nothing_more);
    tcase_add_test(tcase, the_bytes_of_a_record_do_not_change);
    tcase_add_test(tcase, what_is_no_history_is_refused);
    tcase_add_test(tcase, a_record_torn_by_a_kill_is_not_counted);
    tcase_add_test(tcase, unknown_kinds_of_records_are_refused);
    tcase_add_test(tcase, text_says_the_same_as_the_record);
    tcase_add_test(tcase, every_record_survives_both_forms);
    tcase_add_test(tcase, blanks_and_comments_are_no_records);
    tcase_add_test(tcase, lines_that_say_nonsense_are_refused);
}

SLUICE_TEST_MAIN("checker_history", add)
