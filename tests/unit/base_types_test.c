/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/types.h"

#include <string.h>

#include "common/base/err.h"
#include "common/base/prng.h"
#include "tests/lib/unit.h"

START_TEST(null_equals_only_null)
{
    ck_assert(str_eq(STR_NULL, str_from(NULL)));
    ck_assert(!str_eq(STR_NULL, STR_LIT("")));
    ck_assert(str_eq(STR_LIT(""), str_from("")));
    ck_assert(str_eq_z(STR_LIT("abc"), "abc"));
    ck_assert(!str_eq_z(STR_LIT("abc"), "abd"));
    ck_assert(!str_eq_z(STR_LIT("abc"), NULL));
}
END_TEST

START_TEST(order_is_bytewise_and_shorter_first)
{
    ck_assert_int_lt(str_cmp(STR_LIT("ab"), STR_LIT("abc")), 0);
    ck_assert_int_gt(str_cmp(STR_LIT("b"), STR_LIT("abc")), 0);
    ck_assert_int_gt(str_cmp(STR_LIT("\xff"), STR_LIT("a")), 0);
    ck_assert_int_eq(str_cmp(STR_NULL, STR_LIT("")), 0);
}
END_TEST

START_TEST(copy_terminates_and_cuts)
{
    char out[4];
    ck_assert_str_eq(str_copy(STR_LIT("abcdef"), out, sizeof(out)), "abc");
    ck_assert_str_eq(str_copy(STR_NULL, out, sizeof(out)), "");
}
END_TEST

START_TEST(uuid_text_is_kafkas_base64url)
{
    struct uuid id;
    char text[UUID_TEXT_MAX];
    for (int i = 0; i < 16; i++)
        id.b[i] = (uint8_t)(0xfb - i);
    uuid_format(id, text);
    ck_assert_str_eq(text, "-_r5-Pf29fTz8vHw7-7t7A");
    memset(&id, 0, sizeof(id));
    uuid_format(id, text);
    ck_assert_str_eq(text, "AAAAAAAAAAAAAAAAAAAAAA");
    ck_assert(uuid_is_zero(id));
}
END_TEST

START_TEST(uuid_text_round_trips)
{
    struct prng prng;
    prng_seed(&prng, 9);
    for (int i = 0; i < 1000; i++) {
        struct uuid id, back;
        char text[UUID_TEXT_MAX];
        for (int j = 0; j < 16; j++)
            id.b[j] = (uint8_t)prng_next(&prng);
        uuid_format(id, text);
        ck_assert_int_eq(uuid_parse(str_from(text), &back), OK);
        ck_assert(uuid_eq(id, back));
    }
}
END_TEST

START_TEST(text_that_is_no_uuid_is_refused_and_the_result_untouched)
{
    static const char *const bad[] = {"", "AAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAA",
                                      "AAAAAAAAAAAAAAAAAAAAA+", "AAAAAAAAAAAAAAAAAAAAAB"};
    struct uuid id = {{1}}, same = id;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_int_eq(uuid_parse(str_from(bad[i]), &id), ERR_MALFORMED);
    ck_assert_int_eq(uuid_parse(STR_LIT("AAAAAAAAAA\0AAAAAAAAAAA"), &id), ERR_MALFORMED);
    ck_assert_int_eq(uuid_parse(STR_NULL, &id), ERR_MALFORMED);
    ck_assert(uuid_eq(id, same));
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, null_equals_only_null);
    tcase_add_test(tcase, order_is_bytewise_and_shorter_first);
    tcase_add_test(tcase, copy_terminates_and_cuts);
    tcase_add_test(tcase, uuid_text_is_kafkas_base64url);
    tcase_add_test(tcase, uuid_text_round_trips);
    tcase_add_test(tcase, text_that_is_no_uuid_is_refused_and_the_result_untouched);
}

SLUICE_TEST_MAIN("base_types", add)
