/* SPDX-License-Identifier: Apache-2.0 */
/* The options that every process has: --config FILE, --set KEY=VALUE (repeatable), --help-config, --version.
 */
#ifndef SLUICE_CONFIG_CONFIG_ARGV_H
#define SLUICE_CONFIG_CONFIG_ARGV_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/config/config.h"

#define CONFIG_SETS_MAX    256
#define CONFIG_EXIT_STATUS 78 /* EX_CONFIG of sysexits.h: a mistake in the settings */

struct config_argv {
    const char *file; /* NULL: none */
    const char *sets[CONFIG_SETS_MAX];
    uint32_t set_count;
    bool help_config;
};

/* An argp parser to be used as a child; its input is a zeroed struct config_argv. --version prints and exits
 * by itself. */
const struct argp *config_argp(void);

/* File, environment, --set, check of the required ones, in that order. */
enum err config_argv_load(struct config *config, const struct config_argv *args, char *const *environ_text);

/* All of it for a process without options of its own: parses argv, serves --help-config, loads. True: run.
 * False: exit with *ret_status, everything is said on standard output or standard error. doc: one sentence
 * for --help. config has its tables already. */
bool config_start(struct config *config, int argc, char **argv, const char *doc, int *ret_status);

#endif
