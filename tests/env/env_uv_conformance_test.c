/* SPDX-License-Identifier: Apache-2.0 */
/* The conformance suite on the real env. */
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/env_uv/env_uv.h"
#include "tests/env/conformance.h"

static char scratch[] = "/tmp/sluice-env-XXXXXX";

static struct env *uv_create(void)
{
    ck_assert_ptr_nonnull(mkdtemp(scratch));
    return env_uv_main_new();
}

static void deadline_passed(struct env_timer *timer)
{
    (void)timer;
}

static bool uv_run_until(struct env *env, bool (*pred)(void *ctx), void *ctx, uint64_t timeout_us)
{
    struct env_timer deadline;
    env_timer_init(&deadline, deadline_passed);
    env_timer_set(env, &deadline, env_now_us(env) + timeout_us);
    while (!pred(ctx)) {
        if (!env_timer_armed(&deadline))
            return false;
        env_uv_main_turn(env);
    }
    env_timer_cancel(env, &deadline);
    return true;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}

static void uv_destroy(struct env *env)
{
    env_uv_main_free(env);
    nftw(scratch, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *uv_scratch_dir(struct env *env)
{
    return scratch;
}

static const struct env_conformance_impl env_uv_impl = {
    .name = "env_uv",
    .create = uv_create,
    .run_until = uv_run_until,
    .destroy = uv_destroy,
    .scratch_dir = uv_scratch_dir,
};

int main(void)
{
    Suite *suite = suite_create("env_uv");
    env_conformance_add(suite, &env_uv_impl);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
