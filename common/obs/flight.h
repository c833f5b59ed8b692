/* SPDX-License-Identifier: Apache-2.0 */
/* Flight recorder: the last events of a core in a fixed ring, dumped to the log when an assertion fails on
 * its thread. Recording costs one store of 48 bytes and no decision. Recorded by the shell around a core
 * (cores know nothing of it), on the core's thread only. */
#ifndef SLUICE_OBS_FLIGHT_H
#define SLUICE_OBS_FLIGHT_H

#include <stdint.h>

#include "common/base/list.h"
#include "common/obs/log.h"

#define FLIGHT_ARGS 4

struct flight_event {
    uint64_t time_us; /* env_now_us() */
    uint32_t code;    /* the core's own event or effect code */
    int64_t args[FLIGHT_ARGS];
};

struct flight {
    const char *name;                        /* of the core: "replica orders-3" */
    const char *(*code_name)(uint32_t code); /* NULL: codes are printed as numbers */
    struct flight_event *events;             /* ring of cap, owned by the caller */
    uint32_t mask;
    uint64_t next; /* events recorded so far */
    struct list link;
};

/* cap must be a power of two. name, code_name and events outlive the flight. */
void flight_init(struct flight *flight, const char *name, const char *(*code_name)(uint32_t code),
                 struct flight_event *events, uint32_t cap);

static inline void flight_note(struct flight *flight, uint64_t time_us, uint32_t code, int64_t a, int64_t b,
                               int64_t c, int64_t d)
{
    flight->events[flight->next++ & flight->mask] = (struct flight_event){time_us, code, {a, b, c, d}};
}

/* Writes what the ring holds, oldest first: events "flight.begin", then "flight.event" for each. */
void flight_dump(const struct flight *flight, struct logger *logger);

/* All recorders of one thread, and where they are dumped. */
struct flight_deck {
    struct logger *logger;
    struct list flights;
};

/* An empty deck; the logger outlives it. */
void flight_deck_init(struct flight_deck *deck, struct logger *logger);

/* A recorder is on one deck at most, and is removed before its memory goes. Removing one that is on none is
 * safe. */
void flight_deck_add(struct flight_deck *deck, struct flight *flight);
void flight_deck_remove(struct flight *flight);

/* Makes this thread's failed assertions write "assert.failed" and every recorder of the deck. The deck must
 * outlive the thread, or assert_set_hook(NULL, NULL) is called first. */
void flight_deck_install(struct flight_deck *deck);

#endif
