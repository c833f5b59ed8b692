/* SPDX-License-Identifier: Apache-2.0 */
/* Planted bugs (common/base/mutant.h): choosing one, and hunting them all. */
#ifndef SLUICE_SIM_MUTANTS_H
#define SLUICE_SIM_MUTANTS_H

#include <stdbool.h>
#include <stdio.h>

#include "tests/sim/range.h"

/* From now on this process and its children have the mutant. False: no such name. */
bool mutant_choose(const char *name);

/* One line for each: name, violations, what it does. */
void mutants_list(FILE *out);

/* Runs each mutant (the chosen one, if any) over the seeds of options until the judge calls one of the names
 * that the table gives it (and does not without the mutant): assertions, time-outs and an unhealthy end do
 * not count. A line for each, then a summary. True: all were found. */
bool mutants_hunt(const struct range_options *options, FILE *out);

#endif
