/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the program that need no cluster: cutting input, keys, formats, JSON. */
#include <string.h>

#include "client/cli/consume_format.h"
#include "client/cli/json.h"
#include "client/cli/produce_input.h"
#include "common/batch/builder.h"
#include "tests/lib/unit.h"

/* Feeds text in pieces of `step` bytes and joins the records with '|'. */
static const char *cut(const char *delimiter, const char *text, size_t step, char *out)
{
    struct input_piece piece;
    struct input_splitter in;
    struct bytes record;
    size_t len = strlen(text), at = 0, n = 0;
    ck_assert(input_piece_parse(delimiter, &piece));
    input_splitter_init(&in, &piece, 1000);
    while (!in.eof) {
        void *p;
        size_t room, take = len - at < step ? len - at : step;
        ck_assert_int_eq(input_splitter_room(&in, &p, &room), OK);
        memcpy(p, text + at, take);
        at += take;
        input_splitter_landed(&in, take);
        while (input_splitter_next(&in, &record)) {
            memcpy(out + n, record.p, (size_t)record.len);
            n += (size_t)record.len;
            out[n++] = '|';
        }
    }
    out[n] = '\0';
    input_splitter_free(&in);
    return out;
}

START_TEST(input_is_cut_wherever_reads_end)
{
    char out[256];
    for (size_t step = 1; step < 12; step++) {
        ck_assert_str_eq(cut("\\n", "one\ntwo\n\nfour", step, out), "one|two||four|");
        ck_assert_str_eq(cut("\\n", "one\n", step, out), "one|");
        ck_assert_str_eq(cut("\\n\\n", "a\nb\n\nc\nd\n\n", step, out), "a\nb|c\nd|");
        ck_assert_str_eq(cut("\\n\\n", "a\nb\n\nc\nd\n", step, out), "a\nb|c\nd|");
        ck_assert_str_eq(cut("--", "a-b--c-", step, out), "a-b|c-|");
        ck_assert_str_eq(cut("\\x2c", "1,2,", step, out), "1|2|");
    }
    ck_assert_str_eq(cut("\\n", "", 1, out), "");
}
END_TEST

START_TEST(record_without_end_is_refused)
{
    struct input_splitter in;
    struct input_piece piece;
    struct bytes record;
    void *p;
    size_t room;
    ck_assert(input_piece_parse("\\n", &piece));
    input_splitter_init(&in, &piece, 100);
    ck_assert_int_eq(input_splitter_room(&in, &p, &room), OK);
    memset(p, 'x', 101);
    input_splitter_landed(&in, 101);
    ck_assert(!input_splitter_next(&in, &record));
    ck_assert_int_eq(input_splitter_room(&in, &p, &room), ERR_TOO_LARGE);
    input_splitter_free(&in);
}
END_TEST

START_TEST(escapes_are_understood_or_refused)
{
    struct input_piece piece;
    ck_assert(input_piece_parse("\\t\\x00\\\\", &piece));
    ck_assert_uint_eq(piece.len, 3);
    ck_assert_mem_eq(piece.p, "\t\0\\", 3);
    ck_assert(!input_piece_parse("", &piece));
    ck_assert(!input_piece_parse("\\q", &piece));
    ck_assert(!input_piece_parse("\\x1", &piece));
}
END_TEST

static void expect_key(const struct input_key *key, const char *record, const char *want_key,
                       const char *want_value)
{
    struct bytes k, v, whole = {(const uint8_t *)record, (int32_t)strlen(record)};
    input_key_split(key, whole, &k, &v);
    ck_assert_int_eq(k.len, want_key ? (int)strlen(want_key) : -1);
    if (want_key)
        ck_assert_mem_eq(k.p, want_key, strlen(want_key));
    ck_assert_int_eq(v.len, (int)strlen(want_value));
    ck_assert_mem_eq(v.p, want_value, strlen(want_value));
}

START_TEST(keys_come_from_separator_or_regex)
{
    struct input_key key = {.fixed = STR_NULL};
    char why[128];
    expect_key(&key, "a:b", NULL, "a:b");
    ck_assert(input_piece_parse(":", &key.separator));
    expect_key(&key, "a:b:c", "a", "b:c");
    expect_key(&key, "abc", NULL, "abc");
    expect_key(&key, ":x", "", "x");
    key.separator.len = 0;
    ck_assert(input_key_regex(&key, "^Package: ([^\\n]+)", why, sizeof(why)));
    expect_key(&key, "Source: x\nPackage: libncurses6\nVersion: 1", "libncurses6",
               "Source: x\nPackage: libncurses6\nVersion: 1");
    expect_key(&key, "No Package: here", NULL, "No Package: here");
    input_key_free(&key);
    ck_assert(input_key_regex(&key, "[0-9]+", why, sizeof(why)));
    expect_key(&key, "id 42 x", "42", "id 42 x");
    input_key_free(&key);
    ck_assert(!input_key_regex(&key, "(", why, sizeof(why)));
    key.fixed = STR_LIT("k");
    expect_key(&key, "v", "k", "v");
}
END_TEST

/* -- output -- */

static struct iobuf *one_record(struct bytes key, struct bytes value, struct record *ret)
{
    struct batch_opts opts = BATCH_OPTS_PLAIN;
    struct record_header header = {STR_LIT("h"), {(const uint8_t *)"1", 1}};
    struct record_in in = {
        .timestamp_ms = 1700000000000, .key = key, .value = value, .headers = &header, .header_count = 1};
    struct batch_builder builder;
    struct batch_iter it;
    struct iobuf *batch;
    ck_assert_int_eq(batch_builder_init(&builder, &opts, NULL, 256, 4096), OK);
    ck_assert_int_eq(batch_builder_add(&builder, &in), OK);
    ck_assert_int_eq(batch_builder_finish(&builder, NULL, &batch), OK);
    batch_set_base_offset(batch->data, 42);
    ck_assert_int_eq(batch_iter_init(&it, batch->data, NULL), OK);
    ck_assert(batch_iter_next(&it, ret));
    return batch;
}

START_TEST(records_are_printed_as_the_format_says)
{
    struct record record;
    struct iobuf *batch = one_record(BYTES_NULL, (struct bytes){(const uint8_t *)"value", 5}, &record);
    char *text = NULL, bad;
    size_t size;
    const char *format = "%t/%p@%o %T [%k,%K] %v %V %h %%\\t\\x41\\n";
    ck_assert(consume_format_check(format, &bad));
    FILE *out = open_memstream(&text, &size);
    consume_format_print(out, format, "topic", 3, &record);
    fclose(out);
    ck_assert_str_eq(text, "topic/3@42 1700000000000 [,-1] value 5 h=1 %\tA\n");
    ck_assert(!consume_format_check("%q", &bad));
    ck_assert_int_eq(bad, 'q');
    ck_assert(!consume_format_check("%", &bad));
    free(text);
    iobuf_unref(batch);
}
END_TEST

START_TEST(json_keeps_every_byte)
{
    struct record record;
    struct iobuf *batch = one_record((struct bytes){(const uint8_t *)"\xff\x00k", 3},
                                     (struct bytes){(const uint8_t *)"a\"\\\n\x01\xc3\xa9", 7}, &record);
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    consume_json_print(out, "t", 0, &record);
    fclose(out);
    ck_assert_str_eq(
        text,
        "{\"topic\":\"t\",\"partition\":0,\"offset\":42,\"timestamp\":1700000000000,\"key_base64\":\"/wBr\","
        "\"value\":\"a\\\"\\\\\\n\\u0001\xc3\xa9\",\"headers\":[{\"key\":\"h\",\"value\":\"1\"}]}\n");
    free(text);
    iobuf_unref(batch);
}
END_TEST

START_TEST(json_nests_with_commas_in_place)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    struct json j = json_to(out);
    json_object(&j, NULL);
    json_array(&j, "a");
    json_i64(&j, NULL, 1);
    json_object(&j, NULL);
    json_object_end(&j);
    json_f64(&j, NULL, 0.5, 2);
    json_array_end(&j);
    json_null(&j, "n");
    json_bool(&j, "b", true);
    json_z(&j, "bad", "\xffx");
    json_f64(&j, "inf", 1e308 * 10, 1);
    json_object_end(&j);
    json_line(&j);
    fclose(out);
    ck_assert_str_eq(text,
                     "{\"a\":[1,{},0.50],\"n\":null,\"b\":true,\"bad\":\"\xef\xbf\xbdx\",\"inf\":null}\n");
    free(text);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, input_is_cut_wherever_reads_end);
    tcase_add_test(tcase, record_without_end_is_refused);
    tcase_add_test(tcase, escapes_are_understood_or_refused);
    tcase_add_test(tcase, keys_come_from_separator_or_regex);
    tcase_add_test(tcase, records_are_printed_as_the_format_says);
    tcase_add_test(tcase, json_keeps_every_byte);
    tcase_add_test(tcase, json_nests_with_commas_in_place);
}

SLUICE_TEST_MAIN("client_cli", add)
