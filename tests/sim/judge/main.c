/* SPDX-License-Identifier: Apache-2.0 */
/* sluice-check DIR: judges the histories of a run again, whoever recorded them. Exit status 0: nothing is
 * wrong; 1: violations; 2: not readable. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/judge/verdict.h"

static int usage(void)
{
    fprintf(stderr, "usage: sluice-check [--staleness-ms N] [--gap-ms N] DIR\n");
    return 2;
}

static bool option_us(int argc, char **argv, int *at, const char *name, uint64_t *ret_us)
{
    if (strcmp(argv[*at], name) != 0 || *at + 1 >= argc)
        return false;
    *ret_us = strtoull(argv[++*at], NULL, 10) * 1000;
    return true;
}

int main(int argc, char **argv)
{
    struct check_options options = {.staleness_max_us = 0};
    static struct check_report report;
    const char *dir = NULL;
    for (int i = 1; i < argc; i++) {
        if (option_us(argc, argv, &i, "--staleness-ms", &options.staleness_max_us) ||
            option_us(argc, argv, &i, "--gap-ms", &options.gap_max_us))
            continue;
        if (argv[i][0] == '-' || dir != NULL)
            return usage();
        dir = argv[i];
    }
    if (dir == NULL)
        return usage();
    struct history history;
    history_init(&history);
    enum err err = history_load_dir(&history, dir);
    if (err != OK) {
        fprintf(stderr, "sluice-check: %s: %s\n", dir, err_text(err));
        history_free(&history);
        return 2;
    }
    bool good = check_history(&history, &options, &report);
    check_report_print(&report, stdout);
    history_free(&history);
    return good ? 0 : 1;
}
