/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "broker/core/epoch_cache.h"
#include "common/base/prng.h"
#include "tests/lib/unit.h"

static void *resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
    if (ctx && *(int *)ctx == 0 && new_size > 0)
        return NULL;
    if (new_size > 0)
        return realloc(old, new_size);
    free(old);
    return NULL;
}

static struct core_alloc alloc = {.resize = resize};

static struct epoch_cache make(const struct epoch_entry *entries, int count)
{
    struct epoch_cache cache;
    epoch_cache_init(&cache, &alloc);
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(epoch_cache_assign(&cache, entries[i].epoch, entries[i].start_offset, NULL), OK);
    epoch_cache_check(&cache);
    return cache;
}

static const struct epoch_entry sample[] = {{2, 0}, {5, 10}, {6, 10 + 20}, {9, 100}};

START_TEST(the_end_of_an_epoch_is_the_start_of_the_next)
{
    static const struct {
        int32_t asked, epoch;
        int64_t end;
    } rows[] = {
        {-1, -1, -1}, {0, 0, 0},   {1, 1, 0},   {2, 2, 10},  {3, 2, 10},  {4, 2, 10},
        {5, 5, 30},   {6, 6, 100}, {7, 6, 100}, {8, 6, 100}, {9, 9, 120}, {10, -1, -1},
    };
    struct epoch_cache cache = make(sample, 4);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int32_t epoch;
        int64_t end;
        epoch_cache_end(&cache, rows[i].asked, 120, &epoch, &end);
        ck_assert_msg(epoch == rows[i].epoch && end == rows[i].end, "asked %d: epoch %d end %d",
                      rows[i].asked, epoch, (int)end);
    }
    epoch_cache_free(&cache);
}
END_TEST

START_TEST(a_follower_cuts_at_the_smaller_end)
{
    static const struct {
        int32_t epoch;
        int64_t end, cut;
    } rows[] = {
        {9, 110, 110}, /* same epoch, the leader's ends earlier */
        {9, 500, 120}, /* the leader has more */
        {6, 50, 50},   /* the leader never had epoch 9 */
        {6, 400, 100}, /* ours ends earlier there */
        {7, 90, 100},  /* we have no 7: our end of 6, then ask again */
        {1, 0, 0},     /* nothing in common */
        {12, 80, 80},  /* newer than all of ours */
    };
    struct epoch_cache cache = make(sample, 4);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        ck_assert_int_eq(epoch_cache_divergence(&cache, rows[i].epoch, rows[i].end, 120), rows[i].cut);
    epoch_cache_free(&cache);
}
END_TEST

START_TEST(an_entry_that_contradicts_older_ones_replaces_them)
{
    bool changed;
    struct epoch_cache cache = make(sample, 4);
    ck_assert_int_eq(epoch_cache_assign(&cache, 9, 110, &changed), OK);
    ck_assert(!changed); /* known: it began at 100 */
    ck_assert_int_eq(epoch_cache_assign(&cache, 10, 100, &changed), OK);
    ck_assert(changed); /* epoch 9 has no data */
    ck_assert_uint_eq(cache.count, 4);
    ck_assert_int_eq(epoch_cache_latest(&cache), 10);
    ck_assert_int_eq(epoch_cache_assign(&cache, 6, 25, &changed), OK);
    ck_assert_uint_eq(cache.count, 3);
    ck_assert_int_eq(epoch_cache_at(&cache, 24), 5);
    ck_assert_int_eq(epoch_cache_at(&cache, 25), 6);
    epoch_cache_check(&cache);
    epoch_cache_free(&cache);
}
END_TEST

START_TEST(truncation_drops_what_lies_outside)
{
    struct epoch_cache cache = make(sample, 4);
    ck_assert(!epoch_cache_truncate_end(&cache, 101));
    ck_assert(epoch_cache_truncate_end(&cache, 100)); /* an epoch without data goes too (KAFKA-10706) */
    ck_assert_int_eq(epoch_cache_latest(&cache), 6);
    ck_assert(epoch_cache_truncate_start(&cache, 12));
    ck_assert_int_eq(cache.entries[0].epoch, 5);
    ck_assert_int_eq(cache.entries[0].start_offset, 12);
    ck_assert(!epoch_cache_truncate_start(&cache, 12));
    ck_assert(epoch_cache_truncate_start(&cache, 1000));
    ck_assert_uint_eq(cache.count, 1);
    ck_assert_int_eq(epoch_cache_latest(&cache), 6);
    ck_assert(epoch_cache_truncate_end(&cache, 0));
    ck_assert_int_eq(epoch_cache_latest(&cache), EPOCH_NONE);
    epoch_cache_free(&cache);
}
END_TEST

START_TEST(the_checkpoint_text_is_kafkas_and_comes_back)
{
    struct epoch_cache cache = make(sample, 4), back;
    char text[512];
    ck_assert_uint_le(epoch_cache_text_max(&cache), sizeof(text));
    uint32_t len = epoch_cache_format(&cache, text);
    static const char expected[] = "0\n4\n2 0\n5 10\n6 30\n9 100\n";
    ck_assert_uint_eq(len, sizeof(expected) - 1);
    ck_assert_int_eq(memcmp(text, expected, len), 0);
    epoch_cache_init(&back, &alloc);
    ck_assert_int_eq(epoch_cache_parse(&back, text, len), OK);
    ck_assert_uint_eq(epoch_cache_hash(&back), epoch_cache_hash(&cache));
    for (uint32_t cut = 0; cut < len; cut++) {
        ck_assert_int_ne(epoch_cache_parse(&back, text, cut), OK);
        ck_assert_uint_eq(back.count, 0);
    }
    epoch_cache_free(&cache);
    epoch_cache_free(&back);
}
END_TEST

START_TEST(a_text_that_is_none_is_refused)
{
    static const struct {
        const char *text;
        enum err err;
    } rows[] = {
        {"1\n0\n", ERR_VERSION},
        {"", ERR_VERSION},
        {"0\n2\n1 0\n1 5\n", ERR_MALFORMED},
        {"0\n2\n1 5\n2 5\n", ERR_MALFORMED},
        {"0\n1\n-1 5\n", ERR_MALFORMED},
        {"0\n1\n1 5\nmore", ERR_MALFORMED},
        {"0\n99999999999\n", ERR_MALFORMED},
        {"0\n1\n2147483648 0\n", ERR_MALFORMED},
        {"0\n1\n1 9223372036854775808\n", ERR_MALFORMED},
        {"0\n0\n", OK},
    };
    struct epoch_cache cache = make(NULL, 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        ck_assert_int_eq(epoch_cache_parse(&cache, rows[i].text, (uint32_t)strlen(rows[i].text)),
                         rows[i].err);
    epoch_cache_free(&cache);
}
END_TEST

START_TEST(without_memory_nothing_changes)
{
    int left = 0;
    struct core_alloc none = {.resize = resize, .ctx = &left};
    struct epoch_cache cache;
    epoch_cache_init(&cache, &none);
    ck_assert_int_eq(epoch_cache_assign(&cache, 1, 0, NULL), ERR_NOMEM);
    ck_assert_uint_eq(cache.count, 0);
    left = 1;
    ck_assert_int_eq(epoch_cache_reserve(&cache), OK);
    left = 0;
    ck_assert_int_eq(epoch_cache_assign(&cache, 1, 0, NULL), OK);
    epoch_cache_free(&cache);
}
END_TEST

/* Against the plain truth: an array of the epoch of every offset. */
START_TEST(it_agrees_with_an_array_of_epochs)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        int32_t epochs[400], latest = 0;
        int64_t end = 0;
        struct epoch_cache cache = make(NULL, 0);
        struct prng prng;
        prng_seed(&prng, seed);
        for (int step = 0; step < 60; step++) {
            uint64_t what = prng_below(&prng, 8);
            if (what == 0) {
                end = (int64_t)prng_below(&prng, (uint64_t)end + 1);
                epoch_cache_truncate_end(&cache, end);
            } else if (what == 1) {
                latest += 1 + (int32_t)prng_below(&prng, 3);
            }
            for (uint64_t n = prng_below(&prng, 6); n > 0 && end < 400; n--) {
                ck_assert_int_eq(epoch_cache_assign(&cache, latest, end, NULL), OK);
                epochs[end++] = latest;
            }
            epoch_cache_check(&cache);
            for (int64_t i = 0; i < end; i++)
                ck_assert_int_eq(epoch_cache_at(&cache, i), epochs[i]);
        }
        epoch_cache_free(&cache);
    }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, the_end_of_an_epoch_is_the_start_of_the_next);
    tcase_add_test(tcase, a_follower_cuts_at_the_smaller_end);
    tcase_add_test(tcase, an_entry_that_contradicts_older_ones_replaces_them);
    tcase_add_test(tcase, truncation_drops_what_lies_outside);
    tcase_add_test(tcase, the_checkpoint_text_is_kafkas_and_comes_back);
    tcase_add_test(tcase, a_text_that_is_none_is_refused);
    tcase_add_test(tcase, without_memory_nothing_changes);
    tcase_add_test(tcase, it_agrees_with_an_array_of_epochs);
}

SLUICE_TEST_MAIN("broker_epoch_cache", add)
