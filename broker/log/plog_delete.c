/* SPDX-License-Identifier: Apache-2.0 */
/* A deleted log: its directory gets another name at once, so that a new log may take the old one; its files
 * go on a worker. A process that dies meanwhile leaves "<name>.<random>-delete", which the next start removes
 * (data_dir.c). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/log/plog_hooks.h"
#include "broker/log/plog_internal.h"
#include "common/base/assert.h"

/* What the worker has of it. */
struct removal {
    struct env_work work;
    struct env *env;
    char data_dir[PLOG_PATH_MAX];
    char dir[PLOG_PATH_MAX];
};

static bool unlink_entry(void *ctx, const char *name, bool is_dir)
{
    const struct removal *removal = ctx;
    char path[PLOG_PATH_MAX + PLOG_NAME_MAX + 8];
    if (!is_dir && strlen(name) < PLOG_NAME_MAX + 8) {
        snprintf(path, sizeof(path), "%s/%s", removal->dir, name);
        env_unlink(removal->env, path);
    }
    return true;
}

/* The new name first: after a power cut the old one could be back with a part of the files, and be taken for
 * a log that begins or ends there. */
static void remove_files(struct env_work *work)
{
    struct removal *removal = CONTAINER_OF(work, struct removal, work);
    if (env_dir_sync_wait(removal->env, removal->data_dir) != OK)
        return; /* the next start removes them */
    env_dir_list(removal->env, removal->dir, unlink_entry, removal);
    env_rmdir(removal->env, removal->dir);
}

static void removed(struct env_work *work)
{
    free(CONTAINER_OF(work, struct removal, work));
}

/* NULL: out of memory, or it could not be renamed; then its topic is unknown at the next start, and it is set
 * aside. */
static struct removal *rename_away(struct plog *log)
{
    uint32_t random;
    struct removal *removal = calloc(1, sizeof(*removal));
    if (removal == NULL)
        return NULL;
    env_random(log->env, &random, sizeof(random));
    snprintf(removal->data_dir, sizeof(removal->data_dir), "%s", log->data_dir);
    int len = snprintf(removal->dir, sizeof(removal->dir), "%s.%08" PRIx32 "-delete", log->dir, random);
    if (len < (int)sizeof(removal->dir) && env_rename(log->env, log->dir, removal->dir) == OK)
        return removal;
    free(removal);
    return NULL;
}

void plog_delete(struct plog *log)
{
    struct env *env = log->env;
    plog_compact_leave(log);
    plog_asides_leave(log);
    for (int32_t i = 0; i < log->segments_count; i++)
        plog_segment_close(&log->segments[i]);
    log->segments_count = 0;
    struct removal *removal = rename_away(log);
    plog_close(log);
    if (removal == NULL)
        return;
    removal->env = env;
    removal->work.work = remove_files;
    removal->work.done = removed;
    env_work_submit(env, &removal->work);
}
