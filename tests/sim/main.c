/* SPDX-License-Identifier: Apache-2.0 */
/* sluice-sim: whole clusters from seeds. Exit status 0: no violation; 1: violations, or too little happened;
 * 2: wrong use. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/mutants.h"

enum option_key {
    KEY_SEEDS = 256,
    KEY_JOBS,
    KEY_MINUTES,
    KEY_REPLAY,
    KEY_SECONDS,
    KEY_SCENARIO,
    KEY_EACH,
    KEY_KEEP,
    KEY_FAULTS,
    KEY_STOP,
    KEY_REACH,
    KEY_REPORT_ONLY,
    KEY_MUTANT,
    KEY_MUTANTS,
    KEY_MAX_SEEDS
};

struct command {
    struct range_options range;
    bool hunt; /* mutants */
    uint64_t max_seeds;
};

static const struct argp_option options_table[] = {
    {"seed", 's', "N", 0, "Run this seed", 0},
    {"seeds", KEY_SEEDS, "A..B", 0, "Run a range of seeds", 0},
    {"jobs", KEY_JOBS, "J", 0, "So many seeds at a time (1)", 0},
    {"minutes", KEY_MINUTES, "M", 0, "Run new seeds, from --seed on, for M minutes", 0},
    {"seconds", KEY_SECONDS, "S", 0, "Virtual seconds under load and faults (60)", 0},
    {"replay", KEY_REPLAY, 0, 0, "Print the whole trace of the seed", 0},
    {"each", KEY_EACH, 0, 0, "Print a line for each seed", 0},
    {"stop", KEY_STOP, 0, 0, "Start no new seed after the first violation", 0},
    {"must-reach", KEY_REACH, "FILE", 0, "Fail unless everything on this list was met", 0},
    {"faults", KEY_FAULTS, "NAME,...", 0, "Only these faults", 0},
    {"report-only", KEY_REPORT_ONLY, 0, 0,
     "A failed assertion kills its process and is no violation by itself", 0},
    {"mutant", KEY_MUTANT, "NAME", 0, "With this planted bug; 'list' shows all", 0},
    {"mutants", KEY_MUTANTS, 0, 0, "Run each planted bug (or the one of --mutant) until the judge finds it",
     0},
    {"max-seeds", KEY_MAX_SEEDS, "N", 0, "With --mutants: at most so many seeds, from --seed on (300)", 0},
    {"scenario", KEY_SCENARIO, "FILE", 0, "Play this file (tests/sim/scenarios) and print what came of it",
     0},
    {"keep", KEY_KEEP, "DIR", 0, "Write the history of the seed there (of a range: of its bad seeds)", 0},
    {0}};

static bool parse_range(const char *text, struct range_options *options)
{
    char *end;
    options->first = strtoull(text, &end, 10);
    if (end == text || strncmp(end, "..", 2) != 0)
        return false;
    const char *second = end + 2;
    options->last = strtoull(second, &end, 10);
    return end != second && *end == '\0' && options->last >= options->first;
}

static void parse_faults(char *text, struct run_options *run, struct argp_state *state)
{
    for (char *save, *name = strtok_r(text, ",", &save); name != NULL; name = strtok_r(NULL, ",", &save)) {
        enum fault_kind kind = fault_by_name(name);
        if (kind == FAULT_COUNT)
            argp_error(state, "unknown fault '%s'", name);
        run->only_faults |= 1ull << kind;
    }
}

static void choose_mutant(const char *name, struct argp_state *state)
{
    if (strcmp(name, "list") == 0) {
        mutants_list(stdout);
        exit(EXIT_SUCCESS);
    }
    if (!mutant_choose(name))
        argp_error(state, "unknown mutant '%s'", name);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct command *command = state->input;
    struct range_options *options = &command->range;
    switch (key) {
    case 's': options->first = options->last = strtoull(arg, NULL, 10); break;
    case KEY_SEEDS:
        if (!parse_range(arg, options))
            argp_error(state, "--seeds wants A..B");
        break;
    case KEY_JOBS: options->jobs = (uint32_t)strtoul(arg, NULL, 10); break;
    case KEY_MINUTES: options->minutes = (uint32_t)strtoul(arg, NULL, 10); break;
    case KEY_SECONDS: options->run.seconds = (uint32_t)strtoul(arg, NULL, 10); break;
    case KEY_REPLAY: options->run.trace = stdout; break;
    case KEY_EACH: options->each = true; break;
    case KEY_STOP: options->stop_at_bad = true; break;
    case KEY_REACH: options->must_reach = arg; break;
    case KEY_REPORT_ONLY: options->run.report_only = true; break;
    case KEY_FAULTS: parse_faults(arg, &options->run, state); break;
    case KEY_MUTANT: choose_mutant(arg, state); break;
    case KEY_MUTANTS: command->hunt = true; break;
    case KEY_MAX_SEEDS: command->max_seeds = strtoull(arg, NULL, 10); break;
    case KEY_SCENARIO:
        options->run.scenario = arg;
        options->transcript = stdout;
        break;
    case KEY_KEEP: options->run.keep_dir = arg; break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct argp argp = {.options = options_table,
                              .parser = parse,
                              .doc = "Runs simulated clusters under faults and judges them."};
    struct command command = {.range = {.run.seconds = 60, .first = 1, .last = 1, .jobs = 1},
                              .max_seeds = 300};
    struct range_options *options = &command.range;
    static struct range_totals totals;
    if (argp_parse(&argp, argc, argv, 0, NULL, &command) != 0)
        return 2;
    if (command.hunt) {
        options->last = options->first + command.max_seeds - 1;
        return mutants_hunt(options, stdout) ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    options->run.keep_bad = options->first != options->last || options->minutes > 0;
    options->each = options->each || (options->first == options->last && options->minutes == 0);
    range_run(options, &totals, stdout);
    if (options->run.scenario != NULL)
        return totals.bad + totals.is_void == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    return range_report(options, &totals, stdout) ? EXIT_SUCCESS : EXIT_FAILURE;
}
