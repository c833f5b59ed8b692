/* SPDX-License-Identifier: Apache-2.0 */
#include "common/log/group_sync.h"

#include "common/base/assert.h"
#include "common/base/mutant.h"

static void group_sync_turn(struct env_task *task);
static void group_sync_done(struct env_io *io, enum err err);

void group_sync_init(struct group_sync *gs, struct env *env, struct env_file *file, uint64_t position)
{
    *gs = (struct group_sync){
        .env = env, .file = file, .written = position, .target = position, .synced = position};
    list_init(&gs->waiters);
    env_task_init(&gs->task, group_sync_turn);
}

void group_sync_wrote(struct group_sync *gs, uint64_t position)
{
    ASSERT(position >= gs->written);
    gs->written = position;
}

static struct group_sync_wait *first_waiter(struct group_sync *gs)
{
    return list_empty(&gs->waiters) ? NULL : CONTAINER_OF(gs->waiters.next, struct group_sync_wait, link);
}

void group_sync_until(struct group_sync *gs, struct group_sync_wait *wait, uint64_t position,
                      void (*done)(struct group_sync_wait *wait, enum err err))
{
    ASSERT(position <= gs->written);
    wait->position = position;
    wait->done = done;
    struct list *at = gs->waiters.prev;
    while (at != &gs->waiters && CONTAINER_OF(at, struct group_sync_wait, link)->position > position)
        at = at->prev;
    list_add_between(&wait->link, at, at->next);
    if (!gs->running || gs->failed != OK)
        env_defer(gs->env, &gs->task);
}

/* Calls every waiter that is served, or all of them when the file has failed. A waiter may wait again, or let
 * gs go. */
static void tell_waiters(struct group_sync *gs)
{
    enum err failed = gs->failed;
    struct list served;
    list_init(&served);
    struct group_sync_wait *wait;
    while ((wait = first_waiter(gs)) != NULL && (failed != OK || wait->position <= gs->synced)) {
        list_remove(&wait->link);
        list_push_back(&served, &wait->link);
    }
    while (!list_empty(&served)) {
        wait = CONTAINER_OF(served.next, struct group_sync_wait, link);
        list_remove(&wait->link);
        wait->done(wait, failed);
    }
}

static uint64_t wanted(const struct group_sync *gs)
{
    if (list_empty(&gs->waiters))
        return 0;
    return CONTAINER_OF(gs->waiters.prev, struct group_sync_wait, link)->position;
}

/* Starts a sync if somebody waits for more than is durable. */
static void start_sync(struct group_sync *gs)
{
    if (gs->running || gs->failed != OK || wanted(gs) <= gs->synced)
        return;
    gs->running = true;
    gs->target = gs->written;
    gs->syncs++;
    if (MUTANT(RAFT_LOG_NOT_SYNCED)) {
        gs->running = false;
        gs->synced = gs->target;
        return;
    }
    env_file_sync(gs->file, &gs->io, group_sync_done);
}

static void group_sync_turn(struct env_task *task)
{
    struct group_sync *gs = CONTAINER_OF(task, struct group_sync, task);
    start_sync(gs);
    tell_waiters(gs);
}

static void group_sync_done(struct env_io *io, enum err err)
{
    struct group_sync *gs = CONTAINER_OF(io, struct group_sync, io);
    ASSERT(gs->running);
    gs->running = false;
    if (gs->gone != NULL) {
        gs->gone(gs->gone_ctx);
        return;
    }
    if (err != OK)
        gs->failed = err;
    else
        gs->synced = gs->target;
    /* The next one starts before anybody is told, so that the disk is never idle while there is something to
     * make durable. */
    group_sync_turn(&gs->task);
}

bool group_sync_running(const struct group_sync *gs)
{
    return gs->running;
}

bool group_sync_abandon(struct group_sync *gs, void (*gone)(void *ctx), void *ctx)
{
    env_task_cancel(&gs->task);
    while (!list_empty(&gs->waiters))
        list_remove(gs->waiters.next);
    if (!gs->running)
        return true;
    gs->gone = gone;
    gs->gone_ctx = ctx;
    return false;
}
