/* SPDX-License-Identifier: Apache-2.0 */
/* The frame of a unit test program: one suite, TAP on standard output, one process per test (libcheck's fork
 * mode). */
#ifndef SLUICE_TESTS_LIB_UNIT_H
#define SLUICE_TESTS_LIB_UNIT_H

#include <check.h>
#include <stdlib.h>

/* Defines main(): runs the START_TEST functions added by `add(TCase *)` and exits non-zero when one of them
 * failed. */
#define SLUICE_TEST_MAIN(suite_name, add)                                                                    \
    int main(void)                                                                                           \
    {                                                                                                        \
        Suite *suite = suite_create(suite_name);                                                             \
        TCase *tcase = tcase_create(suite_name);                                                             \
        add(tcase);                                                                                          \
        suite_add_tcase(suite, tcase);                                                                       \
        SRunner *runner = srunner_create(suite);                                                             \
        srunner_run_all(runner, CK_ENV);                                                                     \
        int failed = srunner_ntests_failed(runner);                                                          \
        srunner_free(runner);                                                                                \
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;                                                    \
    }

#endif
