/* SPDX-License-Identifier: Apache-2.0 */
#include "common/config/config_argv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/assert.h"

enum option_key { KEY_SET = 's', KEY_CONFIG = 'c', KEY_VERSION = 'V', KEY_HELP_CONFIG = 0x100 };

static const struct argp_option options[] = {
    {.name = "config", .key = KEY_CONFIG, .arg = "FILE", .doc = "Read settings from FILE (YAML)"},
    {.name = "set",
     .key = KEY_SET,
     .arg = "KEY=VALUE",
     .doc = "Set one setting; overrides all else; repeatable"},
    {.name = "help-config",
     .key = KEY_HELP_CONFIG,
     .doc = "Print every setting as a commented file and exit"},
    {.name = "version", .key = KEY_VERSION, .doc = "Print the version and exit"},
    {.name = NULL},
};

static error_t on_option(int key, char *arg, struct argp_state *state)
{
    struct config_argv *args = state->input;
    switch (key) {
    case KEY_CONFIG: args->file = arg; return 0;
    case KEY_SET:
        if (args->set_count == CONFIG_SETS_MAX)
            argp_error(state, "more than %d --set options", CONFIG_SETS_MAX);
        else
            args->sets[args->set_count++] = arg;
        return 0;
    case KEY_HELP_CONFIG: args->help_config = true; return 0;
    case KEY_VERSION: printf("%s (Sluice) %s\n", state->name, SLUICE_VERSION); exit(EXIT_SUCCESS);
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp_common = {.options = options, .parser = on_option};

const struct argp *config_argp(void)
{
    return &argp_common;
}

enum err config_argv_load(struct config *config, const struct config_argv *args, char *const *environ_text)
{
    enum err err = args->file ? config_apply_file(config, args->file) : OK;
    if (!err)
        err = config_apply_env(config, environ_text);
    for (uint32_t i = 0; i < args->set_count && !err; i++)
        err = config_apply_set(config, args->sets[i]);
    return err ? err : config_finish(config);
}

/* The parent of the common options: refuses arguments and hands its input on. */
static error_t on_start_option(int key, char *arg, struct argp_state *state)
{
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = state->input; return 0;
    case ARGP_KEY_ARG: argp_error(state, "unexpected argument '%s'", arg); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

bool config_start(struct config *config, int argc, char **argv, const char *doc, int *ret_status)
{
    const struct argp_child children[] = {{.argp = &argp_common}, {.argp = NULL}};
    const struct argp argp = {.parser = on_start_option, .doc = doc, .children = children};
    struct config_argv args = {0};
    if (argp_parse(&argp, argc, argv, 0, NULL, &args) != 0) {
        *ret_status = EXIT_FAILURE;
        return false;
    }
    if (args.help_config) {
        config_print_help(config, stdout);
        *ret_status = EXIT_SUCCESS;
        return false;
    }
    if (config_argv_load(config, &args, environ) != OK) {
        fprintf(stderr, "%s: %s\n", program_invocation_short_name, config_error(config));
        *ret_status = CONFIG_EXIT_STATUS;
        return false;
    }
    return true;
}
