/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/log/plog_handles.h"

#include <stdlib.h>

#include "broker/log/plog_internal.h"
#include "common/base/assert.h"

#define LOOK_MAX 64 /* files in use that are passed over in one search */

/* A segment with open files. The segment itself may move in memory: it is found by its offset. */
struct plog_slot {
    struct list link;
    struct plog_handles *handles;
    struct plog *log;
    int64_t base_offset;
};

static struct plog_segment *segment_of(const struct plog_slot *slot)
{
    struct plog *log = slot->log;
    struct plog_segment *seg = &log->segments[plog_segment_find(log, slot->base_offset)];
    ASSERT(seg->slot == slot && seg->base_offset == slot->base_offset);
    return seg;
}

static void count(struct plog_handles *handles, int64_t n)
{
    atomic_fetch_add_explicit(&handles->segments, n, memory_order_relaxed);
}

static bool too_many(const struct plog_handles *handles)
{
    return atomic_load_explicit(&handles->segments, memory_order_relaxed) > (int64_t)handles->max;
}

static bool held(struct env_file *file)
{
    return file != NULL && env_file_shared(file);
}

static bool in_round(const struct plog *log, const struct env_file *file)
{
    for (int i = 0; log->round && i < log->round->parts_count; i++)
        if (log->round->parts[i].file == file)
            return true;
    return false;
}

/* Whether nobody but the segment holds its files, and a sync covers all that was written to them. */
static bool may_close(struct plog *log, const struct plog_segment *seg)
{
    if (seg->file && (seg->dirty || in_round(log, seg->file)))
        return false;
    return !held(seg->file) && !held(seg->index.offset_file) && !held(seg->index.time_file);
}

static void close_file(struct env_file **file)
{
    if (*file)
        env_file_close(*file);
    *file = NULL;
}

static void close_files(struct plog_handles *handles, struct plog_segment *seg)
{
    close_file(&seg->file);
    close_file(&seg->index.offset_file);
    close_file(&seg->index.time_file);
    plog_handles_drop(seg);
    atomic_fetch_add_explicit(&handles->closed, 1, memory_order_relaxed);
}

/* Closes what was used least recently until there are few enough. Files of `but` (may be NULL) stay. all:
 * even when there are not too many. */
static void shrink(struct plog_handles *handles, const struct plog *but, bool all)
{
    struct list *it = handles->used.next;
    for (int looked = 0; it != &handles->used && looked < LOOK_MAX && (all || too_many(handles)); looked++) {
        struct plog_slot *slot = CONTAINER_OF(it, struct plog_slot, link);
        it = it->next;
        if (slot->log == but)
            continue;
        struct plog_segment *seg = segment_of(slot);
        if (may_close(slot->log, seg))
            close_files(handles, seg);
    }
}

/* Files that are not synced yet and that nobody asked a sync for: so that they can be closed afterwards. */
static void sync_oldest(struct plog_handles *handles)
{
    struct list *it = handles->used.next;
    for (int looked = 0; it != &handles->used && looked < LOOK_MAX; looked++) {
        struct plog_slot *slot = CONTAINER_OF(it, struct plog_slot, link);
        struct plog *log = slot->log;
        it = it->next;
        if (!segment_of(slot)->dirty || plog_syncing(log) || log->failed)
            continue;
        plog_sync(log);          /* opens files, and so may close others: */
        it = handles->used.next; /* the list is another one */
    }
}

/* At the end of the turn no log is in the middle of anything. */
static void trim(struct env_task *task)
{
    struct plog_handles *handles = CONTAINER_OF(task, struct plog_handles, trim);
    shrink(handles, NULL, false);
    if (too_many(handles))
        sync_oldest(handles);
}

void plog_handles_init(struct plog_handles *handles, struct env *env, uint32_t files_max)
{
    *handles =
        (struct plog_handles){.env = env, .max = MAX(files_max / PLOG_SEGMENT_FILES, PLOG_HANDLES_MIN)};
    list_init(&handles->used);
    list_init(&handles->spare);
    env_task_init(&handles->trim, trim);
}

void plog_handles_free(struct plog_handles *handles)
{
    ASSERT(list_empty(&handles->used));
    ASSERT(atomic_load(&handles->asides_waiting) == 0);
    env_task_cancel(&handles->trim);
    while (!list_empty(&handles->spare)) {
        struct plog_slot *slot = CONTAINER_OF(handles->spare.next, struct plog_slot, link);
        list_remove(&slot->link);
        free(slot);
    }
}

/* -- for the logs -- */

static struct plog_slot *take_slot(struct plog_handles *handles)
{
    if (list_empty(&handles->spare))
        return malloc(sizeof(struct plog_slot));
    struct plog_slot *slot = CONTAINER_OF(handles->spare.next, struct plog_slot, link);
    list_remove(&slot->link);
    return slot;
}

enum err plog_handles_use(struct plog *log, struct plog_segment *seg)
{
    struct plog_handles *handles = log->handles;
    if (seg->slot) {
        list_remove(&seg->slot->link);
        list_push_back(&handles->used, &seg->slot->link);
        return OK;
    }
    if (handles == NULL)
        return OK;
    struct plog_slot *slot = take_slot(handles);
    if (slot == NULL)
        return ERR_NOMEM;
    *slot = (struct plog_slot){.handles = handles, .log = log, .base_offset = seg->base_offset};
    list_push_back(&handles->used, &slot->link);
    seg->slot = slot;
    count(handles, 1);
    if (too_many(handles))
        shrink(handles, log, false);
    if (too_many(handles))
        env_defer(handles->env, &handles->trim);
    return OK;
}

void plog_handles_drop(struct plog_segment *seg)
{
    struct plog_slot *slot = seg->slot;
    if (slot == NULL)
        return;
    seg->slot = NULL;
    list_remove(&slot->link);
    list_push_back(&slot->handles->spare, &slot->link);
    count(slot->handles, -1);
}

enum err plog_handles_open(struct plog *log, const char *path, int flags, struct env_file **ret_file)
{
    enum err err = env_file_open(log->env, path, flags, ret_file);
    if (err != ERR_FD_LIMIT || log->handles == NULL)
        return err;
    atomic_fetch_add_explicit(&log->handles->limit_reached, 1, memory_order_relaxed);
    shrink(log->handles, log, true);
    return env_file_open(log->env, path, flags, ret_file);
}

void plog_handles_relieve(struct plog *log)
{
    if (log->handles == NULL)
        return;
    atomic_fetch_add_explicit(&log->handles->limit_reached, 1, memory_order_relaxed);
    shrink(log->handles, log, true);
}

void plog_handles_settled(struct plog *log)
{
    if (log->handles && too_many(log->handles))
        env_defer(log->handles->env, &log->handles->trim);
}
