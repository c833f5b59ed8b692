/* SPDX-License-Identifier: Apache-2.0 */
/* "name=value" words on the command line, as of --config and --header. */
#ifndef SLUICE_CLIENT_CLI_SETTINGS_H
#define SLUICE_CLIENT_CLI_SETTINGS_H

#include <argp.h>

#include "common/base/types.h"

#define SETTINGS_MAX 64

struct settings {
    struct {
        struct str name, value; /* views of the command line; value is null for a word without '=' */
    } items[SETTINGS_MAX];
    int32_t count;
};

/* Adds a word; too many, or a missing '=' (when needs_value), ends the process through argp. */
void settings_add(struct settings *settings, const struct argp_state *state, const char *option,
                  const char *word, bool needs_value);

#endif
