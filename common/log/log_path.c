/* SPDX-License-Identifier: Apache-2.0 */
#include "common/log/log_path.h"

#include <stdio.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/env/env.h"

enum err log_path(char out[LOG_PATH_MAX], const char *dir, const char *name)
{
    ASSERT(dir != NULL && name != NULL);
    int len = snprintf(out, LOG_PATH_MAX, "%s/%s", dir, name);
    if (len < 0 || len >= LOG_PATH_MAX) {
        out[0] = 0;
        return ERR_TOO_LARGE;
    }
    return OK;
}

/* Cuts the last component off: "/a/b" -> "/a", "/a" -> "/", "a" -> ".". */
static void parent_of(const char *dir, char out[LOG_PATH_MAX])
{
    const char *slash = strrchr(dir, '/');
    if (slash == NULL)
        snprintf(out, LOG_PATH_MAX, ".");
    else
        snprintf(out, LOG_PATH_MAX, "%.*s", slash == dir ? 1 : (int)(slash - dir), dir);
}

/* One level, whose parent exists. A parent that may not be opened made its names durable itself, long ago. */
static enum err level_make_wait(struct env *env, const char *dir)
{
    char parent[LOG_PATH_MAX];
    bool is_dir = false;
    enum err err = env_mkdir(env, dir);
    bool made = err == OK;
    if (err == ERR_EXISTS && env_path_exists(env, dir, &is_dir) == OK && is_dir)
        err = OK;
    if (err != OK)
        return err;
    parent_of(dir, parent);
    err = env_dir_sync_wait(env, parent);
    return err == ERR_PERMISSION && !made ? OK : err;
}

enum err log_dir_make_wait(struct env *env, const char *dir)
{
    char path[LOG_PATH_MAX];
    size_t len = strlen(dir);
    while (len > 1 && dir[len - 1] == '/')
        len--;
    if (len == 0 || len >= sizeof(path))
        return len == 0 ? ERR_INVALID : ERR_TOO_LARGE;
    snprintf(path, sizeof(path), "%.*s", (int)len, dir);
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        enum err err = level_make_wait(env, path);
        *slash = '/';
        if (err != OK)
            return err;
    }
    return level_make_wait(env, path);
}
