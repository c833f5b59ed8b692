/* SPDX-License-Identifier: Apache-2.0 */
/* sluice-check: judges history files. */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/checker/checker.h"

enum { STATUS_CLEAN, STATUS_VIOLATIONS, STATUS_UNUSABLE };

struct arguments {
    struct checker_options options;
    bool explain;
    char **files;
    int file_count;
};

enum { OPT_PARTIAL = 256, OPT_LAG, OPT_GAP };

static const struct argp_option options[] = {
    {"explain", 'e', NULL, 0, "show what each violation means and the records that prove it", 0},
    {"partial", OPT_PARTIAL, NULL, 0, "the histories have no final reads: do not ask for them", 0},
    {"lag-max-ms", OPT_LAG, "MS", 0, "report polls that miss what was acknowledged longer ago", 0},
    {"gap-max-ms", OPT_GAP, "MS", 0, "report partitions that acknowledge nothing for longer", 0},
    {0},
};

static int64_t parse_ms(const char *text, struct argp_state *state)
{
    char *end;
    errno = 0;
    long long ms = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0' || end == text || ms <= 0 || ms > INT64_MAX / 1000)
        argp_error(state, "'%s' is not a time in milliseconds", text);
    return ms * 1000;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case 'e': a->explain = true; return 0;
    case OPT_PARTIAL: a->options.partial = true; return 0;
    case OPT_LAG: a->options.lag_max_us = parse_ms(arg, state); return 0;
    case OPT_GAP: a->options.gap_max_us = parse_ms(arg, state); return 0;
    case ARGP_KEY_ARGS:
        a->files = &state->argv[state->next];
        a->file_count = state->argc - state->next;
        return 0;
    case ARGP_KEY_NO_ARGS: argp_usage(state); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* The whole file in memory of the caller; NULL after a message. */
static void *read_file(const char *path, size_t *ret_len)
{
    struct stat st;
    FILE *file = fopen(path, "rb");
    void *bytes = NULL;
    if (file && fstat(fileno(file), &st) == 0 && (bytes = malloc((size_t)st.st_size + 1)))
        *ret_len = fread(bytes, 1, (size_t)st.st_size, file);
    if (!bytes || ferror(file)) {
        fprintf(stderr, "sluice-check: %s: %s\n", path, strerror(errno));
        free(bytes);
        bytes = NULL;
    }
    if (file)
        fclose(file);
    return bytes;
}

static bool add_file(struct checker *c, const char *path)
{
    size_t len = 0;
    uint32_t position = 0;
    void *bytes = read_file(path, &len);
    if (!bytes)
        return false;
    enum err err = checker_add(c, path, bytes, len, &position);
    free(bytes);
    if (err != OK)
        fprintf(stderr, "sluice-check: %s:%" PRIu32 ": %s\n", path, position, err_text(err));
    return err == OK;
}

/* Adds the files, judges and prints; the exit status. */
static int check(struct checker *c, const struct arguments *a)
{
    for (int i = 0; i < a->file_count; i++)
        if (!add_file(c, a->files[i]))
            return STATUS_UNUSABLE;
    enum err err = checker_run(c);
    if (err != OK) {
        fprintf(stderr, "sluice-check: %s\n", err_text(err));
        return STATUS_UNUSABLE;
    }
    checker_print(c, stdout, a->explain);
    checker_print_summary(c, stdout);
    if (checker_stats(c)->records == 0) {
        fprintf(stderr, "sluice-check: the histories are empty: nothing was checked\n");
        return STATUS_UNUSABLE;
    }
    return checker_stats(c)->violations ? STATUS_VIOLATIONS : STATUS_CLEAN;
}

int main(int argc, char **argv)
{
    struct arguments a = {0};
    const struct argp argp = {
        options,
        parse_option,
        "FILE...",
        "Judges histories of clients, binary or text. Exit status: 0 clean, 1 violations, 2 unusable input.",
        NULL,
        NULL,
        NULL};
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    struct checker *c = checker_new(&a.options);
    if (!c) {
        fprintf(stderr, "sluice-check: %s\n", err_text(ERR_NOMEM));
        return STATUS_UNUSABLE;
    }
    int status = check(c, &a);
    checker_free(c);
    return status;
}
