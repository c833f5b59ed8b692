/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a partition directory: what is written reads back, and nothing wrong is believed. */
#include <string.h>

#include "common/base/err.h"
#include "common/logformat/epoch_text.h"
#include "common/logformat/file_name.h"
#include "common/logformat/index_entry.h"
#include "common/logformat/meta_text.h"
#include "common/logformat/snapshot_format.h"
#include "tests/lib/unit.h"

START_TEST(file_names_are_twenty_digits_and_a_suffix)
{
    char name[LOG_FILE_NAME_MAX];
    int64_t offset = -1;
    log_file_name_format(INT64_MAX, LOG_SUFFIX_TIMEINDEX, name);
    ck_assert_str_eq(name, "09223372036854775807.timeindex");
    ck_assert(log_file_name_parse(name, LOG_SUFFIX_TIMEINDEX, &offset));
    ck_assert_int_eq(offset, INT64_MAX);
    ck_assert(!log_file_name_parse(name, LOG_SUFFIX_INDEX, &offset));
    ck_assert(!log_file_name_parse("09223372036854775808.log", LOG_SUFFIX_LOG, &offset));
    ck_assert(!log_file_name_parse("0000000000000000001.log", LOG_SUFFIX_LOG, &offset));
    ck_assert(!log_file_name_parse("00000000000000000001.log.tmp", LOG_SUFFIX_LOG, &offset));
    ck_assert(!log_file_name_parse("", LOG_SUFFIX_LOG, &offset));
}
END_TEST

START_TEST(directory_names_hold_a_topic_and_a_number)
{
    static const char *const good[] = {"a-0", "a-b-12", "__consumer_offsets-49", "a.b_c-2147483647"};
    static const char *const bad[] = {"",     "a",     "-1",           "a-",         "a-b",
                                      "a-1x", "a/b-1", "a-2147483648", "a-1.deleted"};
    int32_t index = -1;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        ck_assert_msg(log_dir_name_parse(good[i], &index), "%s", good[i]);
    ck_assert_int_eq(index, INT32_MAX);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(!log_dir_name_parse(bad[i], &index), "%s", bad[i]);
}
END_TEST

START_TEST(index_entries_are_big_endian)
{
    static const uint8_t offset[] = {0, 0, 1, 2, 0, 0, 3, 4};
    static const uint8_t time[] = {0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 7};
    uint8_t out[TXN_ENTRY];
    struct txn_entry txn = {1, 20, 30, 40}, back;
    struct offset_entry o = offset_entry_load(offset);
    struct time_entry t = time_entry_load(time);
    ck_assert(o.delta == 0x102 && o.position == 0x304 && t.timestamp == 256 && t.delta == 7);
    offset_entry_store(out, o);
    ck_assert_mem_eq(out, offset, sizeof(offset));
    time_entry_store(out, t);
    ck_assert_mem_eq(out, time, sizeof(time));
    txn_entry_store(out, txn);
    ck_assert(txn_entry_load(out, &back) && back.last_stable_offset == 40 && back.first_offset == 20);
    store_be16(out, 0); /* Kafka's */
    ck_assert(txn_entry_load(out, &back) && back.producer_id == 1 && back.last_offset == 30);
    store_be16(out, 1);
    ck_assert(!txn_entry_load(out, &back));
}
END_TEST

/* The sum is linear: what holds for this entry holds for any, but that a version may become Kafka's. */
START_TEST(no_flipped_bit_of_an_aborted_transaction_is_believed)
{
    uint8_t out[TXN_ENTRY];
    struct txn_entry txn = {12345678901, 20, 30, 40}, back;
    txn_entry_store(out, txn);
    ck_assert_int_lt((int16_t)load_be16(out), 0); /* which Kafka's tools read */
    for (unsigned bit = 0; bit < 8 * TXN_ENTRY; bit++) {
        out[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_msg(!txn_entry_load(out, &back), "bit %u", bit);
        out[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ck_assert(txn_entry_load(out, &back));
}
END_TEST

static uint32_t make_snapshot(uint8_t *p, int32_t entries, uint32_t more)
{
    uint8_t *at = p + SNAPSHOT_HEAD_BYTES;
    for (int32_t i = 0; i < entries; i++) {
        struct snapshot_entry e = {
            .producer_id = 7 + i, .last_sequence = 9, .last_offset = 100, .offset_delta = 2};
        at = snapshot_entry_put(at, &e);
    }
    memset(at, 5, more);
    uint32_t len = (uint32_t)(at - p) + more;
    snapshot_seal(p, len, (uint32_t)entries);
    return len;
}

START_TEST(a_snapshot_reads_back_and_ignores_what_follows)
{
    uint8_t p[256];
    struct reader r;
    struct snapshot_entry e;
    int32_t count;
    ck_assert_int_eq(snapshot_open(p, make_snapshot(p, 2, 11), &r, &count), OK);
    ck_assert_int_eq(count, 2);
    ck_assert_int_eq(snapshot_entry_get(&r, &e), OK);
    ck_assert_int_eq(snapshot_entry_get(&r, &e), OK);
    ck_assert(e.producer_id == 8 && e.last_sequence == 9 && e.offset_delta == 2);
}
END_TEST

START_TEST(a_snapshot_with_any_flipped_bit_is_refused)
{
    uint8_t p[256];
    struct reader r;
    int32_t count;
    uint32_t len = make_snapshot(p, 2, 3);
    for (uint32_t bit = 0; bit < len * 8; bit++) {
        p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_int_ne(snapshot_open(p, len, &r, &count), OK);
        p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (uint32_t cut = 0; cut < len; cut++)
        ck_assert_int_ne(snapshot_open(p, cut, &r, &count), OK);
    snapshot_seal(p, len, 3); /* more entries than there is room for */
    ck_assert_int_eq(snapshot_open(p, len, &r, &count), ERR_CORRUPT);
}
END_TEST

static enum err walk_epochs(const char *text, int *ret_count)
{
    struct epoch_text it;
    enum err err = epoch_text_open(text, (uint32_t)strlen(text), &it);
    *ret_count = 0;
    while (err == OK && (err = epoch_text_next(&it)) == OK)
        ++*ret_count;
    return err;
}

START_TEST(an_epoch_checkpoint_is_read_or_refused)
{
    static const struct {
        const char *text;
        enum err err;
        int count;
    } rows[] = {
        {"0\n0\n", ERR_NOT_FOUND, 0},
        {"0\n2\n0 0\n3 17\n", ERR_NOT_FOUND, 2},
        {"1\n0\n", ERR_VERSION, 0},
        {"", ERR_VERSION, 0},
        {"0\n", ERR_MALFORMED, 0},
        {"0\n2\n0 0\n", ERR_MALFORMED, 0}, /* a count that the text cannot hold */
        {"0\n2\n0 0\n0 17\n", ERR_MALFORMED, 1},
        {"0\n2\n0 5\n1 5\n", ERR_MALFORMED, 1},
        {"0\n1\n0 0\n1 1\n", ERR_MALFORMED, 1},
        {"0\n1\n0 x00\n", ERR_MALFORMED, 0},
        {"0\n1\n0 99999999999999999999\n", ERR_MALFORMED, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int count;
        ck_assert_msg(walk_epochs(rows[i].text, &count) == rows[i].err && count == rows[i].count, "row %zu",
                      i);
    }
}
END_TEST

START_TEST(an_epoch_checkpoint_is_written_as_it_is_read)
{
    char out[EPOCH_TEXT_HEAD_MAX + 2 * EPOCH_TEXT_ENTRY_MAX + 1];
    char *at = epoch_text_put(epoch_text_put(epoch_text_put_head(out, 2), 0, 0), INT32_MAX, INT64_MAX);
    *at = 0;
    ck_assert_str_eq(out, "0\n2\n0 0\n2147483647 9223372036854775807\n");
}
END_TEST

START_TEST(partition_metadata_reads_back)
{
    struct uuid id = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}}, back;
    char text[META_TEXT_MAX];
    uint32_t len = meta_text_format(id, text);
    ck_assert_int_eq(meta_text_parse(text, len, &back), OK);
    ck_assert(uuid_eq(id, back));
    for (uint32_t cut = 0; cut < len; cut++)
        ck_assert_int_eq(meta_text_parse(text, cut, &back), ERR_CORRUPT);
    static const char newline[] = "version: 0\r\ntopic_id: AQIDBAUGBwgJCgsMDQ4PEA\r\n",
                      other[] = "version: 1\ntopic_id: AQIDBAUGBwgJCgsMDQ4PEA";
    ck_assert_int_eq(meta_text_parse(newline, sizeof(newline) - 1, &back), OK);
    ck_assert(uuid_eq(id, back));
    ck_assert_int_eq(meta_text_parse(other, sizeof(other) - 1, &back), ERR_CORRUPT);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, file_names_are_twenty_digits_and_a_suffix);
    tcase_add_test(tcase, directory_names_hold_a_topic_and_a_number);
    tcase_add_test(tcase, index_entries_are_big_endian);
    tcase_add_test(tcase, no_flipped_bit_of_an_aborted_transaction_is_believed);
    tcase_add_test(tcase, a_snapshot_reads_back_and_ignores_what_follows);
    tcase_add_test(tcase, a_snapshot_with_any_flipped_bit_is_refused);
    tcase_add_test(tcase, an_epoch_checkpoint_is_read_or_refused);
    tcase_add_test(tcase, an_epoch_checkpoint_is_written_as_it_is_read);
    tcase_add_test(tcase, partition_metadata_reads_back);
}

SLUICE_TEST_MAIN("logformat_files", add_tests)
