/* SPDX-License-Identifier: Apache-2.0 */
/* One seed from beginning to verdict: load and faults, then healing (everything must come back in time), then
 * a final reading, the replicas' logs, an orderly end, and the judge. */
#ifndef SLUICE_SIM_RUN_H
#define SLUICE_SIM_RUN_H

#include "tests/checker/checker.h"
#include "tests/sim/plan.h"

#define RUN_TEXT_MAX 768

struct run_options {
    uint32_t seconds;     /* of load */
    FILE *trace;          /* NULL: none */
    const char *keep_dir; /* where the history goes; NULL: nowhere */
    bool keep_bad;        /* only the history of a bad run */
    bool report_only;     /* assertions are deaths like others */
    uint64_t only_faults; /* bits by kind; 0: as planned */
    const char *scenario; /* a file to be played (script.h) instead of a seed; NULL: none */
};

/* Plain data, to be sent through a pipe. */
struct run_result {
    uint64_t seed, hash, events, virtual_us, operations;
    struct world_bites bites;
    uint64_t asked[FAULT_COUNT], bitten[FAULT_COUNT];
    uint64_t reached[REACH_COUNT];
    uint64_t violations[CHECKER_KIND_COUNT];
    uint64_t error_lines, records, gap_us, lag_us;
    uint64_t run_cpu_us, judge_cpu_us;
    uint64_t partitions_cut; /* faults that cut the network */
    bool bad;                /* a promise was broken */
    bool is_void;            /* too little happened to prove anything */
    char text[RUN_TEXT_MAX]; /* the first violation, or why it is void */
};

/* Everything a seed means, in this process. */
void run_seed(uint64_t seed, const struct run_options *options, struct run_result *ret_result);

#endif
