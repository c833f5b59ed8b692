/* SPDX-License-Identifier: Apache-2.0 */
/* One broker: its data directory, its shards, its control loop, put together and taken apart in order.
 * Several may live in one process (the simulator, sluice-standalone beside a controller). Everything here
 * runs on the loop of the env it was made with; callbacks come from that loop, never from inside a call (E2).
 */
#ifndef SLUICE_BROKER_BROKER_H
#define SLUICE_BROKER_BROKER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"

struct broker;
struct image;
struct broker_config;
struct config;
struct env;
struct logger;
struct metrics;
struct partition;
struct tls;

#define BROKER_MESSAGE_MAX 1024

struct broker_options {
    const struct broker_config *config; /* checked with broker_config_problem(); outlives the broker */
    const struct config *settings;      /* what config was read with, for DescribeConfigs; may be NULL */
    const char *default_host;           /* advertised for listeners without a host */
    struct logger *log;                 /* outlives the broker */
    struct tls *tls;                    /* of listeners and links with SSL; outlives the loops; may be NULL */
    struct metrics *metrics;            /* outlives the broker's run; not scraped after broker_free() */
    bool record; /* failed assertions of its threads dump the last events of their cores to the log */
    void *ctx;
    /* It listens (ports that the kernel chose are known) and looks for its controllers. May be NULL. */
    void (*started)(void *ctx);
    /* It cannot start, or must not go on; why: one line that names the fix. The owner calls broker_stop(). */
    void (*failed)(void *ctx, const char *why);
    /* After broker_stop(): nothing of it runs any more, the data directory is free. */
    void (*stopped)(void *ctx);
};

/* Takes the data directory and gets ready to start. On failure message (BROKER_MESSAGE_MAX bytes) is one line
 * that names the place and the fix. */
enum err broker_new(struct env *env, const struct broker_options *options, struct broker **ret_broker,
                    char *message);

/* Starts shards, listeners and the control loop, in this order; started() or failed() follows. */
void broker_start(struct broker *broker);

/* Hands leadership over and ends; stopped() follows. Called again: no more waiting for the handing over. */
void broker_stop(struct broker *broker);

/* Whether clients are served: registered and not fenced. Else a line into reason (size bytes). */
bool broker_ready(const struct broker *broker, char *reason, size_t size);

/* Calls each for every replica that is open on this broker, whichever shard owns it. For a world of one
 * thread (the simulator's observers); nothing is locked. */
void broker_each_replica(const struct broker *broker, void (*each)(void *ctx, struct partition *partition),
                         void *ctx);

/* The metadata that its first shard goes by; NULL: none yet. Borrowed until the loop goes on; for the same
 * world. */
const struct image *broker_image(const struct broker *broker);

/* Frees the memory: after stopped() (or instead of broker_start()), when the loops made by env_spawn have
 * ended, since they may still hold its address. */
void broker_free(struct broker *broker);

#endif
