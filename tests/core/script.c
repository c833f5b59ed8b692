/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/core/script.h"

#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 4096

const char *script_value(const struct script_line *line, const char *key)
{
    size_t len = strlen(key);
    for (int i = 1; i < line->count; i++) {
        if (strncmp(line->words[i], key, len) == 0 && line->words[i][len] == '=')
            return line->words[i] + len + 1;
    }
    return NULL;
}

int64_t script_number(const struct script_line *line, const char *key, int64_t fallback)
{
    const char *value = script_value(line, key);
    return value ? strtoll(value, NULL, 10) : fallback;
}

bool script_flag(const struct script_line *line, const char *word)
{
    for (int i = 1; i < line->count; i++) {
        if (strcmp(line->words[i], word) == 0)
            return true;
    }
    return false;
}

int script_numbers(const struct script_line *line, const char *key, int64_t *ret_numbers, int max)
{
    const char *at = script_value(line, key);
    if (!at)
        return -1;
    int count = 0;
    while (*at && count < max) {
        char *end;
        ret_numbers[count++] = strtoll(at, &end, 10);
        at = *end == ',' ? end + 1 : end;
        if (at == end && *end)
            break;
    }
    return count;
}

static void split(char *text, struct script_line *line)
{
    line->count = 0;
    for (char *word = strtok(text, " \n"); word && line->count < SCRIPT_WORDS_MAX; word = strtok(NULL, " \n"))
        line->words[line->count++] = word;
}

/* Runs one command and copies its output, indented, to `out`. */
static void run_line(const struct script_world *frame, void *world, const char *text, FILE *out)
{
    char copy[LINE_MAX_BYTES], *printed = NULL;
    size_t size = 0;
    struct script_line line;
    snprintf(copy, sizeof(copy), "%s", text);
    split(copy, &line);
    FILE *buffer = open_memstream(&printed, &size);
    frame->run(world, &line, buffer);
    fclose(buffer);
    for (char *row = strtok(printed, "\n"); row; row = strtok(NULL, "\n"))
        fprintf(out, "  %s\n", row);
    free(printed);
}

/* The script with the output it really gives. */
static char *play(const char *path, const struct script_world *frame, uint64_t *ret_hash)
{
    char text[LINE_MAX_BYTES], *result = NULL;
    size_t size = 0;
    FILE *in = fopen(path, "r"), *out = open_memstream(&result, &size);
    if (!in) {
        fclose(out);
        free(result);
        return NULL;
    }
    void *world = frame->start();
    while (fgets(text, sizeof(text), in)) {
        if (text[0] == ' ')
            continue;
        fputs(text, out);
        if (text[0] != '#' && text[0] != '\n')
            run_line(frame, world, text, out);
    }
    *ret_hash = frame->hash(world);
    frame->stop(world);
    fclose(in);
    fclose(out);
    return result;
}

static char *read_file(const char *path)
{
    char *text = NULL;
    size_t size = 0;
    int c;
    FILE *in = fopen(path, "r"), *out = open_memstream(&text, &size);
    while (in && (c = fgetc(in)) != EOF)
        fputc(c, out);
    if (in)
        fclose(in);
    fclose(out);
    return text;
}

/* The first line that differs, as TAP comments. */
static void explain(const char *expected, const char *actual)
{
    int number = 1;
    while (*expected && *expected == *actual) {
        number += *expected == '\n';
        expected++;
        actual++;
    }
    while (expected[-1] != '\n' && number > 1) {
        expected--;
        actual--;
    }
    printf("# line %d\n# expected: %.*s\n# actual:   %.*s\n", number, (int)strcspn(expected, "\n"), expected,
           (int)strcspn(actual, "\n"), actual);
}

static bool update(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");
    if (!out)
        return false;
    fputs(text, out);
    return fclose(out) == 0;
}

static bool run_script(const char *path, const struct script_world *frame)
{
    uint64_t hash = 0, again_hash = 1;
    char *expected = read_file(path), *actual = play(path, frame, &hash),
         *again = play(path, frame, &again_hash);
    bool repeatable = actual && again && hash == again_hash && strcmp(actual, again) == 0;
    bool same = actual && strcmp(expected, actual) == 0;
    if (actual && !same && getenv("SLUICE_GOLDEN_UPDATE"))
        same = update(path, actual);
    if (actual && !same)
        explain(expected, actual);
    if (!repeatable)
        printf("# a second run gave another result\n");
    free(expected);
    free(actual);
    free(again);
    return same && repeatable;
}

int script_main(int argc, char **argv, const struct script_world *world)
{
    int failed = 0;
    printf("1..%d\n", argc - 1);
    for (int i = 1; i < argc; i++) {
        bool held = run_script(argv[i], world);
        const char *name = strrchr(argv[i], '/');
        printf("%s %d - %s\n", held ? "ok" : "not ok", i, name ? name + 1 : argv[i]);
        failed += !held;
    }
    return failed || argc < 2 ? EXIT_FAILURE : EXIT_SUCCESS;
}
