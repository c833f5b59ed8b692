/* SPDX-License-Identifier: Apache-2.0 */
/* The directory of snapshots. */
#include "controller/snapshot_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "controller/snapshot_internal.h"

#define NAMES_MAX 64 /* files that are looked at; there are two or three */

struct listing {
    struct snapshot_id ids[NAMES_MAX]; /* rising */
    uint32_t count;
};

/* Names come in rising order (env_dir_list), so the newest are last; of too many the oldest are forgotten. */
static bool found_snapshot(void *ctx, const char *name, bool is_dir)
{
    struct listing *l = ctx;
    struct snapshot_id id;
    if (is_dir || !snapshot_parse_name(name, &id))
        return true;
    if (l->count == NAMES_MAX) {
        memmove(l->ids, l->ids + 1, sizeof(l->ids) - sizeof(l->ids[0]));
        l->count--;
    }
    l->ids[l->count++] = id;
    return true;
}

static enum err path_of(const struct snapshot_store *store, struct snapshot_id id, char out[LOG_PATH_MAX])
{
    char name[SNAPSHOT_NAME_MAX];
    snapshot_name(name, id);
    return log_path(out, store->dir, name);
}

static void remove_id(struct snapshot_store *store, struct snapshot_id id)
{
    char path[LOG_PATH_MAX];
    if (path_of(store, id, path) == OK)
        env_unlink(store->env, path); /* one that stays is removed at the next start */
}

/* Opens one found file into the next free place. A damaged one is named in text and left alone. */
static enum err open_found(struct snapshot_store *store, struct snapshot_id id, struct snapshot **place,
                           char *text, size_t text_size)
{
    char path[LOG_PATH_MAX];
    enum err err = path_of(store, id, path);
    if (err == OK)
        err = snapshot_open_checked(store->env, path, id, place);
    if (err != ERR_CORRUPT)
        return err;
    snprintf(text, text_size, "%s: damaged snapshot", path);
    return OK;
}

static enum err open_all(struct snapshot_store *store, char *text, size_t text_size)
{
    struct listing l = {.count = 0};
    enum err err = env_dir_list(store->env, store->dir, found_snapshot, &l);
    uint32_t kept = 0;
    for (uint32_t i = l.count; i > 0 && err == OK; i--) {
        if (kept == SNAPSHOTS_KEPT) {
            remove_id(store, l.ids[i - 1]);
            continue;
        }
        err = open_found(store, l.ids[i - 1], &store->kept[kept], text, text_size);
        kept += store->kept[kept] != NULL;
    }
    return err;
}

enum err snapshot_store_open(struct env *env, const char *dir, struct snapshot_store **ret_store, char *text,
                             size_t text_size)
{
    char temp[LOG_PATH_MAX];
    struct snapshot_store *store = calloc(1, sizeof(*store));
    if (store == NULL)
        return ERR_NOMEM;
    text[0] = 0;
    store->env = env;
    snprintf(store->dir, sizeof(store->dir), "%s", dir);
    enum err err = log_path(temp, dir, SNAPSHOT_TEMP);
    if (err == OK)
        err = env_unlink(env, temp);
    if (err == OK || err == ERR_NOT_FOUND)
        err = open_all(store, text, text_size);
    if (err != OK) {
        snapshot_store_close(store);
        return err;
    }
    *ret_store = store;
    return OK;
}

void snapshot_store_close(struct snapshot_store *store)
{
    if (store == NULL)
        return;
    if (store->writer != NULL)
        snapshot_writer_orphan(store->writer);
    for (int i = 0; i < SNAPSHOTS_KEPT; i++)
        snapshot_unref(store->kept[i]);
    free(store);
}

struct snapshot *snapshot_newest(const struct snapshot_store *store)
{
    return store->kept[0];
}

struct snapshot *snapshot_previous(const struct snapshot_store *store)
{
    return store->kept[1];
}

void snapshot_store_add(struct snapshot_store *store, struct snapshot *snapshot)
{
    struct snapshot *oldest = store->kept[SNAPSHOTS_KEPT - 1];
    ASSERT(store->kept[0] == NULL || store->kept[0]->id.index < snapshot->id.index);
    if (oldest != NULL) {
        remove_id(store, oldest->id);
        snapshot_unref(oldest);
    }
    memmove(store->kept + 1, store->kept, sizeof(store->kept) - sizeof(store->kept[0]));
    store->kept[0] = snapshot;
}
