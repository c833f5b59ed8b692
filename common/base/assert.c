/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/assert.h"

#include <stdio.h>
#include <stdlib.h>

/* Per thread, because each shard and each simulated node dumps its own state. */
static _Thread_local assert_hook thread_hook;
static _Thread_local void *thread_ctx;

void assert_set_hook(assert_hook hook, void *ctx)
{
    thread_hook = hook;
    thread_ctx = ctx;
}

static void print_failure(const char *file, int line, const char *expr)
{
    fprintf(stderr, "assertion failed: %s:%d: %s\n", file, line, expr);
    fflush(stderr);
}

_Noreturn void assert_failed(const char *file, int line, const char *expr)
{
    assert_hook hook = thread_hook;
    thread_hook = NULL; /* an assertion inside the hook must not call it again */
    if (hook)
        hook(thread_ctx, file, line, expr);
    else
        print_failure(file, line, expr);
    abort();
}
