/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of scripts: script.c (lives, waiting, the end) and script_faults.c (what breaks). */
#ifndef SLUICE_SIM_SCRIPT_INT_H
#define SLUICE_SIM_SCRIPT_INT_H

#include "tests/sim/observe.h"
#include "tests/sim/script.h"

#define SCRIPT_SECOND_US   1000000u
#define SCRIPT_WORDS_MAX   12
#define SCRIPT_ALIASES_MAX 8

struct script {
    const struct run_options *options;
    FILE *transcript;
    struct world *world; /* NULL before `cluster` */
    struct cluster *cluster;
    struct observer observer;
    struct alias {
        char name[16];
        struct node *node;
    } aliases[SCRIPT_ALIASES_MAX];
    int alias_count;
    int64_t mark_ms;                  /* the time of `mark` */
    uint64_t acked, refused, unknown; /* told by the last `settle` */
    struct run_result *result;
    char *words[SCRIPT_WORDS_MAX];
    int word_count;
};

/* A line of the transcript, "> " before it. */
void script_say(struct script *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The i-th word of the command (0: its name); "": there are not so many. */
const char *script_word(const struct script *s, int i);

/* The node of an alias or a process; NULL, and the transcript says so: there is none. */
struct node *script_node(struct script *s, const char *name);

/* "300ms", "2s": microseconds. */
uint64_t script_time(const char *text);

/* Does the command if it is one of this file's. False: it is none. */
bool script_fault(struct script *s);

/* Takes every cut, clog and slow link away, and mends disks. */
void script_heal(struct script *s);

/* Whether the broker leads the partition of topic 0 and waits for the answer to an in-sync set that it has
 * proposed. */
bool script_proposes(struct node *node, int partition);

#endif
