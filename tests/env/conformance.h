/* SPDX-License-Identifier: Apache-2.0 */
/* The conformance suite of the env seam: written against env.h alone, run on every implementation of it. */
#ifndef SLUICE_TESTS_ENV_CONFORMANCE_H
#define SLUICE_TESTS_ENV_CONFORMANCE_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/env/env.h"

/* What a program that runs the suite provides. */
struct env_conformance_impl {
    const char *name;
    /* A new main loop (a process of its own, in the simulator). */
    struct env *(*create)(void);
    /* Runs the loop until pred(ctx) holds: true; or timeout_us of the env's time have passed: false. */
    bool (*run_until)(struct env *env, bool (*pred)(void *ctx), void *ctx, uint64_t timeout_us);
    /* Ends the loop; all loops spawned from it have been stopped. */
    void (*destroy)(struct env *env);
    /* An existing empty directory on the env's disk; valid until destroy. */
    const char *(*scratch_dir)(struct env *env);
};

/* Adds one test case per law to the suite. impl must outlive the run. */
void env_conformance_add(Suite *suite, const struct env_conformance_impl *impl);

#endif
