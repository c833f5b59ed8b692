/* SPDX-License-Identifier: Apache-2.0 */
/* Golden scripts: text files of commands, each followed by the output it must give, indented by two spaces.
 * The frame reads a script, feeds the commands to a world and compares what it prints with what the file
 * says. */
#ifndef SLUICE_TESTS_CORE_SCRIPT_H
#define SLUICE_TESTS_CORE_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define SCRIPT_WORDS_MAX 32

/* One command line, split at blanks: words[0] is its name. */
struct script_line {
    char *words[SCRIPT_WORDS_MAX];
    int count;
};

/* The value of the word `key=value`, or NULL. */
const char *script_value(const struct script_line *line, const char *key);

/* The same as a number, or fallback. */
int64_t script_number(const struct script_line *line, const char *key, int64_t fallback);

/* Whether a plain word is there (not counting words[0]). */
bool script_flag(const struct script_line *line, const char *word);

/* Comma-separated numbers of `key=1,2,3`; the count, or -1 when the key is missing. */
int script_numbers(const struct script_line *line, const char *key, int64_t *ret_numbers, int max);

/* What a script runs in. run() prints the command's output to `out`, one line each, without indentation.
 * hash() sums up the final state: a script is run twice and must end alike. */
struct script_world {
    void *(*start)(void);
    void (*run)(void *world, const struct script_line *line, FILE *out);
    uint64_t (*hash)(void *world);
    void (*stop)(void *world);
};

/* Runs the scripts named on the command line, prints TAP, returns the exit status. With SLUICE_GOLDEN_UPDATE
 * set in the environment the files are rewritten with what was printed. */
int script_main(int argc, char **argv, const struct script_world *world);

#endif
