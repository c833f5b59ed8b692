/* SPDX-License-Identifier: Apache-2.0 */
/* A controller core with everything around it that a script needs: virtual time, a log that commits on
 * command, topic ids behind names. */
#ifndef SLUICE_TESTS_CORE_CONTROLLER_WORLD_H
#define SLUICE_TESTS_CORE_CONTROLLER_WORLD_H

#include "controller/core/core.h"
#include "tests/core/script.h"

#define WORLD_TOPICS_MAX   64
#define WORLD_INFLIGHT_MAX 256
#define WORLD_BROKERS_MAX  16

struct world {
    struct core core;
    struct image *image; /* committed */
    uint64_t term, now_us, next_token;
    bool hold; /* proposals stay in flight until `commit` */
    struct {
        uint64_t token;
        struct iobuf *records;
    } inflight[WORLD_INFLIGHT_MAX];
    int inflight_count;
    struct {
        char name[64];
        struct uuid id;
    } topics[WORLD_TOPICS_MAX]; /* every topic that ever was, newest last */
    int topics_count;
    uint64_t probes[WORLD_BROKERS_MAX]; /* last probe's token, by broker */
    struct arena arena;                 /* of the command being run */
};

/* Prints the effects, keeps proposals in flight, and commits them at once unless held (printing what
 * follows). */
void world_effects(struct world *world, const struct core_effects *effects, FILE *out);

/* Commits the oldest `count` proposals. */
void world_commit(struct world *world, int count, FILE *out);

/* Drops what is in flight, as a lost leadership does. */
void world_drop_inflight(struct world *world);

/* The newest id that the name ever had; zero: never. */
struct uuid world_topic_id(const struct world *world, const char *name);

/* Prints records, replies, partitions in the form of the scripts. */
void print_record(const struct world *world, const struct meta_record *record, FILE *out);
void print_reply(const struct world *world, uint64_t token, const struct core_reply *reply, FILE *out);
void print_topic(const struct world *world, const struct image *image, const char *name, FILE *out);
void print_brokers(const struct image *image, FILE *out);

/* Runs a command of a script; false when there is none of that name. */
bool run_admin(struct world *world, const struct script_line *line, FILE *out);
bool run_broker(struct world *world, const struct script_line *line, FILE *out);

#endif
