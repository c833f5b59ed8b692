/* SPDX-License-Identifier: Apache-2.0 */
/* Scripted lives of a small simulated cluster: a text file of commands, one a line, with what they must print
 * below them ("> ..."). Same world, same nodes, same checker as the random seeds; the file is its own golden
 * output. Commands are listed in scenarios/README.md. */
#ifndef SLUICE_SIM_SCRIPT_H
#define SLUICE_SIM_SCRIPT_H

#include "tests/sim/run.h"

/* Plays the file in the world of a seed (1 is the one whose output the file holds). The transcript (comments,
 * commands and what they printed) goes to out; NULL: nowhere. The result is that of a seed; text says where
 * the transcript left the file, or the first violation. is_void: it could not be played to its end, or
 * printed something else than the file says. */
void script_run(const char *path, uint64_t seed, const struct run_options *options, FILE *out,
                struct run_result *ret_result);

#endif
