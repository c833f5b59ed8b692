/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/reach.h"

#include <string.h>

static uint64_t probes[PROBE_COUNT]; /* of this process: one seed, one process */

static const struct {
    const char *name, *event;
} reaches[REACH_COUNT] = {
#define X(id, name, event) {name, event},
    REACH_TABLE(X)
#undef X
#define X(id, name) {name, NULL},
        PROBE_TABLE(X)
#undef X
};

void probe_met(enum probe probe)
{
    probes[probe]++;
}

const char *reach_name(int reach)
{
    return reaches[reach].name;
}

void reach_note_line(uint64_t counts[REACH_COUNT], const char *line)
{
    for (int i = 0; i < REACH_COUNT; i++)
        if (reaches[i].event != NULL && strstr(line, reaches[i].event) != NULL)
            counts[i]++;
}

void reach_add_probes(uint64_t counts[REACH_COUNT])
{
    for (int i = 0; i < PROBE_COUNT; i++)
        counts[REACH_LOGGED_COUNT + i] += probes[i];
}

/* A line without its comment and blanks. */
static void trim(char *line)
{
    line[strcspn(line, "#\r\n")] = '\0';
    for (size_t len = strlen(line); len > 0 && line[len - 1] == ' '; len--)
        line[len - 1] = '\0';
}

static bool was_met(const char *name, const uint64_t counts[REACH_COUNT])
{
    for (int i = 0; i < REACH_COUNT; i++)
        if (strcmp(reaches[i].name, name) == 0)
            return counts[i] > 0;
    return false;
}

bool reach_demanded(const char *path, const uint64_t counts[REACH_COUNT], FILE *out)
{
    char line[128];
    unsigned demanded = 0, missing = 0;
    FILE *list = fopen(path, "r");
    if (list == NULL) {
        fprintf(out, "%s cannot be read\n", path);
        return false;
    }
    while (fgets(line, sizeof(line), list) != NULL) {
        trim(line);
        if (line[0] == '\0')
            continue;
        demanded++;
        if (was_met(line, counts))
            continue;
        missing++;
        fprintf(out, "not reached: %s\n", line);
    }
    fclose(list);
    fprintf(out, "must-reach: %u of %u\n", demanded - missing, demanded);
    return missing == 0 && demanded > 0;
}
