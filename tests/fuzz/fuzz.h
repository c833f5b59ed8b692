/* SPDX-License-Identifier: Apache-2.0 */
/* The one entry of a fuzz target, in libFuzzer's form: linked with libFuzzer under -Dfuzzing=true, with
 * replay.c otherwise. */
#ifndef SLUICE_TESTS_FUZZ_FUZZ_H
#define SLUICE_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Runs the code under test on one input. A finding asserts or is a sanitizer's report. Returns 0 always. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
