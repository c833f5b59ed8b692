/* SPDX-License-Identifier: Apache-2.0 */
/* Group commit for one file: at most one fdatasync in flight; everything written while it runs joins the next
 * one. Writers say how far they have written, waiters are told when that position is durable. The first
 * failed sync is final: nothing after it is ever believed.
 */
#ifndef SLUICE_LOG_GROUP_SYNC_H
#define SLUICE_LOG_GROUP_SYNC_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/env/env.h"

/* Owned by the waiter until done. */
struct group_sync_wait {
    struct list link;
    uint64_t position;
    /* Once, from the loop: OK when everything below position is durable, else the failure of the file. */
    void (*done)(struct group_sync_wait *wait, enum err err);
};

struct group_sync {
    struct env *env;
    struct env_file *file; /* the owner's; must stay open while group_sync_running() */
    struct env_io io;
    struct env_task task; /* starts a sync, or tells waiters, at the end of the turn */
    struct list waiters;  /* by position */
    uint64_t written;     /* positions only grow */
    uint64_t target;      /* of the sync in flight */
    uint64_t synced;
    bool running;
    enum err failed;
    uint64_t syncs; /* started so far, for metrics */
    void (*gone)(void *ctx);
    void *gone_ctx;
};

/* position: what is written and durable already. */
void group_sync_init(struct group_sync *gs, struct env *env, struct env_file *file, uint64_t position);

/* Everything below position has been written (env_file_write returned). Does not start a sync. */
void group_sync_wrote(struct group_sync *gs, uint64_t position);

/* Asks for position (<= written) to become durable; a sync starts at the end of this turn unless one runs.
 * done() is never called from inside. */
void group_sync_until(struct group_sync *gs, struct group_sync_wait *wait, uint64_t position,
                      void (*done)(struct group_sync_wait *wait, enum err err));

/* The io inside is in use: gs and the file must stay. */
bool group_sync_running(const struct group_sync *gs);

/* For an owner that goes away: forgets all waiters (their done() is never called). Returns true when nothing
 * is in flight, so that gs and the file may go at once; else gone(ctx) is called once from the loop when the
 * last sync is over. */
bool group_sync_abandon(struct group_sync *gs, void (*gone)(void *ctx), void *ctx);

#endif
