/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/settings.h"

#include <string.h>

void settings_add(struct settings *settings, const struct argp_state *state, const char *option,
                  const char *word, bool needs_value)
{
    const char *equals = strchr(word, '=');
    if (settings->count == SETTINGS_MAX)
        argp_error(state, "more than %d times --%s", SETTINGS_MAX, option);
    if (equals == word || (needs_value && !equals))
        argp_error(state, "--%s wants NAME=VALUE, not '%s'", option, word);
    int32_t i = settings->count++;
    settings->items[i].name = equals ? (struct str){word, (int32_t)(equals - word)} : str_from(word);
    settings->items[i].value = equals ? str_from(equals + 1) : STR_NULL;
}
