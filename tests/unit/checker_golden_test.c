/* SPDX-License-Identifier: Apache-2.0 */
/* Hand-made histories, bad and good, for everything that the checker can name. Each file says in its head
 * what must be found in it: `# expect: clean`, or for each violation its name and the line numbers of its
 * records. */
#include "tests/checker/checker.h"
#include "tests/checker/history_text.h"
#include "tests/lib/unit.h"

#include <dirent.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define NAMES_MAX   200
#define FINDING_MAX 200
#define FILE_MAX    16384

struct names {
    char *of[NAMES_MAX];
    int count;
};

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The .txt files of the folder, in order. */
static struct names list_data(void)
{
    struct names names = {.count = 0};
    DIR *dir = opendir(CHECKER_DATA_DIR);
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (!strstr(entry->d_name, ".txt"))
            continue;
        ck_assert_int_lt(names.count, NAMES_MAX);
        names.of[names.count++] = strdup(entry->d_name);
    }
    closedir(dir);
    qsort(names.of, (size_t)names.count, sizeof(char *), compare_names);
    return names;
}

static void free_names(struct names *names)
{
    for (int i = 0; i < names->count; i++)
        free(names->of[i]);
}

static size_t read_data(const char *name, char *text)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", CHECKER_DATA_DIR, name);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s", path);
    size_t len = fread(text, 1, FILE_MAX - 1, file);
    fclose(file);
    ck_assert_uint_lt(len, FILE_MAX - 1);
    text[len] = '\0';
    return len;
}

/* The rest of the line behind a heading that starts a line, one for each call; NULL at the end. */
static const char *next_line(const char **at, const char *heading, char *out, size_t size)
{
    for (const char *line = *at; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (strncmp(line, heading, strlen(heading)) != 0)
            continue;
        size_t len = strcspn(line, "\n") - strlen(heading);
        ck_assert_uint_lt(len, size);
        memcpy(out, line + strlen(heading), len);
        out[len] = '\0';
        *at = line + strlen(heading);
        return out;
    }
    return NULL;
}

static struct checker_options options_of(const char *text)
{
    struct checker_options options = {0};
    char words[FINDING_MAX];
    int64_t ms;
    if (!next_line(&text, "# options: ", words, sizeof(words)))
        return options;
    options.partial = strstr(words, "partial") != NULL;
    if (strstr(words, "lag-max-ms=") && sscanf(strstr(words, "lag-max-ms="), "lag-max-ms=%" SCNd64, &ms) == 1)
        options.lag_max_us = ms * 1000;
    if (strstr(words, "gap-max-ms=") && sscanf(strstr(words, "gap-max-ms="), "gap-max-ms=%" SCNd64, &ms) == 1)
        options.gap_max_us = ms * 1000;
    return options;
}

/* "name line line ..." of one violation; `positions` as the text file has them. */
static void describe(const struct checker_violation *v, const uint32_t *lines, char *out, size_t size)
{
    size_t n = (size_t)snprintf(out, size, "%s", checker_kind_name(v->kind));
    for (uint32_t i = 0; i < v->event_count; i++) {
        uint32_t position = v->events[i]->position;
        n += (size_t)snprintf(out + n, size - n, " %" PRIu32, lines ? lines[position] : position);
    }
}

/* Compares all violations with the expectations of the file. lines: of each binary record, or NULL. */
static void compare(const struct checker *c, const char *name, const char *text, const uint32_t *lines)
{
    char expected[FINDING_MAX], found[FINDING_MAX];
    uint32_t count = 0;
    for (const struct checker_violation *v; (v = checker_violation(c, count)); count++) {
        describe(v, lines, found, sizeof(found));
        ck_assert_msg(next_line(&text, "# expect: ", expected, sizeof(expected)) != NULL,
                      "%s: not expected: %s", name, found);
        ck_assert_msg(strcmp(found, expected) == 0, "%s: expected %s, found %s", name, expected, found);
    }
    const char *more = next_line(&text, "# expect: ", expected, sizeof(expected));
    ck_assert_msg(count == 0 ? more && strcmp(more, "clean") == 0 : more == NULL, "%s: not found: %s", name,
                  more ? more : "any expectation");
    ck_assert_uint_eq(checker_stats(c)->violations, count);
}

/* A fresh checker that has judged one history. */
static struct checker *judge(const char *name, const void *bytes, size_t len,
                             const struct checker_options *options)
{
    struct checker *c = checker_new(options);
    uint32_t position = 0;
    ck_assert_ptr_nonnull(c);
    enum err err = checker_add(c, name, bytes, len, &position);
    ck_assert_msg(err == OK, "%s:%" PRIu32 ": %s", name, position, err_name(err));
    ck_assert_int_eq(checker_run(c), OK);
    return c;
}

START_TEST(every_history_is_judged_as_it_says)
{
    char text[FILE_MAX];
    struct names names = list_data();
    ck_assert_int_gt(names.count, 0);
    for (int i = 0; i < names.count; i++) {
        size_t len = read_data(names.of[i], text);
        struct checker_options options = options_of(text);
        struct checker *c = judge(names.of[i], text, len, &options);
        compare(c, names.of[i], text, NULL);
        bool bad = strstr(names.of[i], ".bad.txt") != NULL;
        ck_assert_msg(bad == (checker_stats(c)->violations > 0), "%s", names.of[i]);
        checker_free(c);
    }
    free_names(&names);
}
END_TEST

/* The binary form of a text; lines[i] is the line of record i. */
static size_t to_binary(const char *text, uint8_t *bytes, size_t size, uint32_t *lines)
{
    struct history_writer w;
    uint32_t line = 1, count = 0;
    history_writer_init(&w, bytes, size, &(struct history_header){.client = 1});
    for (; *text; text += strcspn(text, "\n") + 1, line++) {
        struct history_record rec;
        if (history_parse(text, strcspn(text, "\n"), &rec) != 1)
            continue;
        lines[count++] = line;
        ck_assert(history_put(&w, &rec));
    }
    return w.used;
}

START_TEST(the_binary_form_gives_the_same_verdict)
{
    static char text[FILE_MAX];
    static uint8_t bytes[HISTORY_HEADER_BYTES + 200 * HISTORY_RECORD_BYTES];
    uint32_t lines[200];
    struct names names = list_data();
    for (int i = 0; i < names.count; i++) {
        read_data(names.of[i], text);
        size_t len = to_binary(text, bytes, sizeof(bytes), lines);
        struct checker_options options = options_of(text);
        struct checker *c = judge(names.of[i], bytes, len, &options);
        compare(c, names.of[i], text, lines);
        checker_free(c);
    }
    free_names(&names);
}
END_TEST

START_TEST(everything_that_can_be_named_has_a_bad_and_a_good_history)
{
    for (int kind = 0; kind < CHECKER_KIND_COUNT; kind++) {
        char name[128], text[FILE_MAX], heading[128];
        snprintf(name, sizeof(name), "%s.good.txt", checker_kind_name(kind));
        read_data(name, text);
        ck_assert_msg(strstr(text, "# expect: clean\n") != NULL, "%s", name);
        snprintf(name, sizeof(name), "%s.bad.txt", checker_kind_name(kind));
        read_data(name, text);
        snprintf(heading, sizeof(heading), "# expect: %s ", checker_kind_name(kind));
        ck_assert_msg(strstr(text, heading) != NULL, "%s", name);
    }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, every_history_is_judged_as_it_says);
    tcase_add_test(tcase, the_binary_form_gives_the_same_verdict);
    tcase_add_test(tcase, everything_that_can_be_named_has_a_bad_and_a_good_history);
}

SLUICE_TEST_MAIN("checker_golden", add)
