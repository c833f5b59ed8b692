/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/assert.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>

#include "tests/lib/unit.h"

struct caught {
    jmp_buf back;
    int calls;
    int line;
    const char *expr;
};

static void jump_out(void *ctx, const char *file, int line, const char *expr)
{
    struct caught *caught = ctx;
    caught->calls++;
    caught->line = line;
    caught->expr = expr;
    longjmp(caught->back, 1);
}

static void fails_too(void *ctx, const char *file, int line, const char *expr)
{
    (*(int *)ctx)++;
    ASSERT(*(int *)ctx > 1 && "inside the hook");
}

START_TEST(a_hook_sees_the_expression_and_may_jump_out)
{
    static struct caught caught;
    volatile int one = 1;
    assert_set_hook(jump_out, &caught);
    ASSERT(one == 1);
    ck_assert_int_eq(caught.calls, 0);
    if (setjmp(caught.back) == 0)
        ASSERT(one == 2);
    ck_assert_int_eq(caught.calls, 1);
    ck_assert_str_eq(caught.expr, "one == 2");
    assert_set_hook(NULL, NULL);
}
END_TEST

START_TEST(without_a_hook_the_process_aborts)
{
    UNREACHABLE();
}
END_TEST

START_TEST(an_assertion_inside_the_hook_does_not_call_it_again)
{
    static int calls;
    assert_set_hook(fails_too, &calls);
    UNREACHABLE();
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_hook_sees_the_expression_and_may_jump_out);
    tcase_add_test_raise_signal(tcase, without_a_hook_the_process_aborts, SIGABRT);
    tcase_add_test_raise_signal(tcase, an_assertion_inside_the_hook_does_not_call_it_again, SIGABRT);
}

SLUICE_TEST_MAIN("base_assert", add)
