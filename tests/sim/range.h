/* SPDX-License-Identifier: Apache-2.0 */
/* Many seeds: each in a process of its own (a crash of one is a result like others), several at a time, added
 * up. */
#ifndef SLUICE_SIM_RANGE_H
#define SLUICE_SIM_RANGE_H

#include "tests/sim/run.h"

struct range_options {
    struct run_options run;
    uint64_t first, last; /* seeds, both included */
    uint32_t jobs;
    FILE *transcript;       /* of a scenario; NULL: nowhere */
    uint32_t minutes;       /* > 0: new seeds until so much real time has passed; last does not count */
    bool each;              /* a line for each seed */
    bool stop_at_bad;       /* no new seeds after the first violation */
    const char *must_reach; /* a list of turns: fail unless all were met; NULL: none */
    uint64_t wanted;        /* bits of violations: no new seeds after one of them; 0: none */
};

struct range_totals {
    uint64_t seeds, bad, is_void, virtual_us, events, operations;
    uint64_t kills, power_cuts, partitions, disk_faults, asked, bitten;
    uint64_t reached[REACH_COUNT];
    uint64_t violations[CHECKER_KIND_COUNT];
    uint64_t asked_of[FAULT_COUNT], bitten_of[FAULT_COUNT];
    uint64_t run_cpu_us, judge_cpu_us;
    uint64_t first_bad_seed, seeds_before_bad;
    uint64_t found, found_seed; /* seeds with a wanted violation, the first of them */
};

/* Runs them, prints bad ones (and each, when asked) to out (NULL: nothing), and each minute to stderr how far
 * it is. */
void range_run(const struct range_options *options, struct range_totals *ret_totals, FILE *out);

/* The summary line, after lines about faults and about what was not reached. True: all is well. */
bool range_report(const struct range_options *options, const struct range_totals *totals, FILE *out);

#endif
