/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/err.h"

#include <errno.h>
#include <string.h>

#include "tests/lib/unit.h"

START_TEST(every_error_is_negative_with_a_name_and_a_text)
{
    for (int ordinal = 1; ordinal < ERR_ORDINAL_COUNT; ordinal++) {
        enum err err = (enum err) - ordinal;
        ck_assert_int_lt(err, 0);
        ck_assert_uint_gt(strlen(err_name(err)), 1);
        ck_assert_uint_gt(strlen(err_text(err)), 3);
    }
    ck_assert_str_eq(err_name(ERR_TRUNCATED), "TRUNCATED");
    ck_assert_str_eq(err_name(OK), "OK");
}
END_TEST

START_TEST(unknown_values_have_a_name_too)
{
    ck_assert_str_eq(err_name((enum err)1), "UNKNOWN");
    ck_assert_str_eq(err_name((enum err) - 1000), "UNKNOWN");
    ck_assert_str_eq(err_text((enum err)7), "unknown error");
}
END_TEST

START_TEST(errno_maps_to_the_nearest_error)
{
    ck_assert_int_eq(err_from_errno(0), OK);
    ck_assert_int_eq(err_from_errno(ENOSPC), ERR_NO_SPACE);
    ck_assert_int_eq(err_from_errno(EMFILE), ERR_FD_LIMIT);
    ck_assert_int_eq(err_from_errno(ECONNREFUSED), ERR_REFUSED);
    ck_assert_int_eq(err_from_errno(EIO), ERR_IO);
    ck_assert_int_eq(err_from_errno(99999), ERR_IO);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, every_error_is_negative_with_a_name_and_a_text);
    tcase_add_test(tcase, unknown_values_have_a_name_too);
    tcase_add_test(tcase, errno_maps_to_the_nearest_error);
}

SLUICE_TEST_MAIN("base_err", add)
