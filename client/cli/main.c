/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the verb and runs it. */
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli.h"
#include "common/env_uv/env_uv.h"

static const struct cli_world world = {
    .env_new = env_uv_main_new,
    .env_turn = env_uv_main_turn,
    .on_signal = env_uv_main_on_signal,
    .env_free = env_uv_main_free,
};

/* group: only its verbs; NULL: all. */
static void print_verbs(FILE *out, const char *group)
{
    fputs("usage: sluice [OPTION...] VERB [ARGUMENT...]\n\n", out);
    for (const struct cli_verb *verb = cli_verbs; verb->group; verb++) {
        char name[64];
        if (group && strcmp(verb->group, group) != 0)
            continue;
        snprintf(name, sizeof(name), "%s%s%s", verb->group, verb->name ? " " : "",
                 verb->name ? verb->name : "");
        fprintf(out, "  %-18s %s\n", name, verb->doc);
    }
    fputs("\n'sluice VERB --help' explains a verb. All take --bootstrap HOST:PORT,... (or "
          "$SLUICE_BOOTSTRAP), -o json,\n"
          "--timeout and --quiet. Exit status: 0 done, 1 refused or failed, 2 usage, 3 no broker reached, 4 "
          "timed out,\n"
          "5 not found, 6 local file or stream failed, 130 interrupted.\n",
          out);
}

static const struct cli_verb *find_verb(const char *group, const char *name, int *ret_words)
{
    for (const struct cli_verb *verb = cli_verbs; verb->group; verb++) {
        if (strcmp(verb->group, group) != 0)
            continue;
        if (!verb->name || (name && strcmp(verb->name, name) == 0)) {
            *ret_words = verb->name ? 2 : 1;
            return verb;
        }
    }
    return NULL;
}

/* `sluice group`: the first word of several verbs. */
static bool is_group(const char *word)
{
    for (const struct cli_verb *verb = cli_verbs; verb->group; verb++)
        if (verb->name && strcmp(verb->group, word) == 0)
            return true;
    return false;
}

struct words {
    struct cli *cli;
    int first; /* index of the verb in argv */
};

static error_t parse_words(int key, char *arg, struct argp_state *state)
{
    struct words *words = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = words->cli; return 0;
    case 'h': print_verbs(stdout, NULL); exit(EXIT_OK);
    case 'V': puts("sluice " SLUICE_VERSION); exit(EXIT_OK);
    case ARGP_KEY_ARG:
        words->first = state->next - 1;
        state->next = state->argc;
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option own_options[] = {
    {"help", 'h', NULL, 0, "", 0}, {"version", 'V', NULL, 0, "", 0}, {0}};

static int run_verb(struct cli *cli, int argc, char **argv, int first)
{
    int words = 1;
    const char *second = first + 1 < argc ? argv[first + 1] : NULL;
    const struct cli_verb *verb = find_verb(argv[first], second, &words);
    bool group = is_group(argv[first]);
    if (!verb && group && second && (strcmp(second, "--help") == 0 || strcmp(second, "-?") == 0)) {
        print_verbs(stdout, argv[first]);
        return EXIT_OK;
    }
    if (!verb) {
        fprintf(stderr, "sluice: unknown verb '%s%s%s'\n\n", argv[first], second ? " " : "",
                second ? second : "");
        print_verbs(stderr, group ? argv[first] : NULL);
        return EXIT_USAGE;
    }
    snprintf(cli->name, sizeof(cli->name), "sluice %s%s%s", verb->group, verb->name ? " " : "",
             verb->name ? verb->name : "");
    return verb->run(cli, argc - first - words + 1, argv + first + words - 1);
}

int main(int argc, char **argv)
{
    struct cli cli = {.world = &world, .name = "sluice", .timeout_us = 30000000, .topic_wait_us = 3000000};
    cli.tls = (struct cli_tls){
        .ca = getenv("SLUICE_TLS_CA"), .cert = getenv("SLUICE_TLS_CERT"), .key = getenv("SLUICE_TLS_KEY")};
    struct words words = {.cli = &cli, .first = 0};
    struct argp_child children[] = {{cli_global_argp(), 0, NULL, 0}, {0}};
    struct argp argp = {.options = own_options, .parser = parse_words, .children = children};
    argp_err_exit_status = EXIT_USAGE;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER | ARGP_NO_HELP, NULL, &words);
    if (words.first == 0) {
        print_verbs(stderr, NULL);
        return EXIT_USAGE;
    }
    int code = run_verb(&cli, argc, argv, words.first);
    if (fflush(stdout) != 0 && code == EXIT_OK)
        code = EXIT_LOCAL_IO;
    return code;
}
