/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/log/data_dir.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/log/disk_guard.h"
#include "broker/log/partition_meta.h"
#include "common/base/assert.h"
#include "common/base/mutant.h"
#include "common/log/atomic_file.h"
#include "common/log/log_path.h"
#include "common/logformat/file_name.h"

#define LOCK_NAME ".lock" /* Kafka's name */
#define META_NAME "meta.properties"
#define META_MAX  1024

__attribute__((format(printf, 2, 3))) static void say(char *message, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(message, DATA_DIR_MESSAGE_MAX, format, args);
    va_end(args);
}

/* -- meta.properties -- */

static enum err write_meta(struct data_dir *dir)
{
    char text[META_MAX], id[UUID_TEXT_MAX], cluster[UUID_TEXT_MAX];
    uuid_format(dir->directory_id, id);
    uuid_format(dir->cluster_id, cluster);
    int len =
        snprintf(text, sizeof(text), "version=1\nnode.id=%" PRId32 "\ndirectory.id=%s\n", dir->node_id, id);
    if (!uuid_is_zero(dir->cluster_id))
        len += snprintf(text + len, sizeof(text) - (size_t)len, "cluster.id=%s\n", cluster);
    return atomic_file_write_wait(dir->env, dir->path, META_NAME, text, (size_t)len);
}

/* Value of "key=" at the start of a line; null view when absent. */
static struct str property(const char *text, const char *key)
{
    size_t key_len = strlen(key);
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, key_len) == 0 && line[key_len] == '=')
            return (struct str){line + key_len + 1, (int32_t)strcspn(line + key_len + 1, "\r\n")};
    }
    return STR_NULL;
}

static enum err check_ids(struct data_dir *dir, const char *text, struct uuid cluster_id, char *message)
{
    char want[16], have_text[64], cluster_text[UUID_TEXT_MAX];
    struct str node = property(text, "node.id"), cluster = property(text, "cluster.id");
    struct uuid have;
    snprintf(want, sizeof(want), "%" PRId32, dir->node_id);
    if (!str_eq_z(node, want)) {
        say(message,
            "%s/%s is of node %s, but this is node %s: give each node its own data directory, or set node.id "
            "back",
            dir->path, META_NAME, str_copy(node, have_text, sizeof(have_text)), want);
        return ERR_MISMATCH;
    }
    if (cluster.len < 0)
        return OK;
    if (uuid_parse(cluster, &have) != OK)
        return ERR_CORRUPT;
    dir->cluster_id = have;
    if (uuid_is_zero(cluster_id) || uuid_eq(have, cluster_id))
        return OK;
    uuid_format(cluster_id, cluster_text);
    say(message, "%s/%s is of cluster %s, but this is cluster %s: use an empty data directory", dir->path,
        META_NAME, str_copy(cluster, have_text, sizeof(have_text)), cluster_text);
    return ERR_MISMATCH;
}

static enum err take_meta(struct data_dir *dir, const char *text, struct uuid cluster_id, char *message)
{
    struct str id = property(text, "directory.id");
    enum err err = ERR_CORRUPT;
    if (str_eq_z(property(text, "version"), "1") && id.len > 0 && uuid_parse(id, &dir->directory_id) == OK)
        err = check_ids(dir, text, cluster_id, message);
    if (err == ERR_CORRUPT)
        say(message, "%s/%s is damaged: restore it, or use an empty data directory", dir->path, META_NAME);
    return err;
}

/* *ret_was_there: the directory has been in use. */
static enum err open_meta(struct data_dir *dir, struct uuid cluster_id, bool *ret_was_there, char *message)
{
    struct iobuf *buf;
    enum err err = atomic_file_read(dir->env, dir->path, META_NAME, &buf);
    *ret_was_there = err == OK;
    if (err == OK) {
        err = take_meta(dir, (const char *)buf->data, cluster_id, message);
        iobuf_unref(buf);
        if (err == OK && uuid_is_zero(dir->cluster_id) && !uuid_is_zero(cluster_id))
            err = data_dir_set_cluster(dir, cluster_id);
        return err;
    }
    if (err == ERR_NOT_FOUND) {
        env_random(dir->env, dir->directory_id.b, sizeof(dir->directory_id.b));
        dir->cluster_id = cluster_id;
        err = write_meta(dir);
    }
    if (err)
        say(message, "%s/%s: %s", dir->path, META_NAME, err_text(err));
    return err;
}

enum err data_dir_set_cluster(struct data_dir *dir, struct uuid cluster_id)
{
    ASSERT(!uuid_is_zero(cluster_id));
    if (uuid_eq(dir->cluster_id, cluster_id))
        return OK;
    if (!uuid_is_zero(dir->cluster_id))
        return ERR_MISMATCH;
    dir->cluster_id = cluster_id;
    return write_meta(dir);
}

/* -- deleted directories -- */

struct removal {
    struct data_dir *dir;
    char path[LOG_PATH_MAX];
};

static bool remove_file(void *ctx, const char *name, bool is_dir)
{
    const struct removal *removal = ctx;
    char path[LOG_PATH_MAX];
    if (!is_dir && log_path(path, removal->path, name) == OK)
        env_unlink(removal->dir->env, path);
    return true;
}

/* plog_delete() gave it this name: its topic is gone, only the process died before the last unlink. */
static bool remove_deleted(void *ctx, const char *name, bool is_dir)
{
    static const char suffix[] = "-delete";
    struct data_dir *dir = ctx;
    struct removal removal = {.dir = dir};
    size_t len = strlen(name);
    if (!is_dir || len < sizeof(suffix) || strcmp(name + len - (sizeof(suffix) - 1), suffix) != 0 ||
        strchr(name, '.') == NULL || log_path(removal.path, dir->path, name) != OK)
        return true;
    env_dir_list(dir->env, removal.path, remove_file, &removal);
    env_rmdir(dir->env, removal.path);
    return true;
}

/* -- open and close -- */

static enum err lock(struct data_dir *dir, char *message)
{
    char path[LOG_PATH_MAX];
    enum err err = log_dir_make_wait(dir->env, dir->path);
    if (err) {
        say(message, "data directory %s cannot be made: %s; check the path and its permissions", dir->path,
            err_text(err));
        return err;
    }
    err = log_path(path, dir->path, LOCK_NAME);
    if (err == OK)
        err = env_file_open(dir->env, path, ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_LOCK, &dir->lock);
    if (err == ERR_BUSY)
        say(message,
            "data directory %s is in use by another process (its lock is %s): stop that one, or use another "
            "directory",
            dir->path, path);
    else if (err)
        say(message, "data directory %s cannot be used: %s: %s; check permissions and mount", dir->path, path,
            err_text(err));
    return err ? err : env_dir_sync_wait(dir->env, dir->path); /* names that a killed process left unsynced */
}

static void free_dir(struct data_dir *dir)
{
    if (dir->lock)
        env_file_close(dir->lock);
    free(dir->path);
    free(dir);
}

static enum err open_all(struct data_dir *dir, struct uuid cluster_id, char *message)
{
    bool was_there;
    enum err err = lock(dir, message);
    if (err == OK)
        err = open_meta(dir, cluster_id, &was_there, message);
    if (err)
        return err;
    err = manifest_open_again(dir->env, dir->path, was_there, &dir->manifest, &dir->report);
    if (err)
        say(message, "%s/%s: %s", dir->path, MANIFEST_NAME, err_text(err));
    return err ? err : env_dir_list(dir->env, dir->path, remove_deleted, dir);
}

static enum err open_again(struct data_dir *dir, struct uuid cluster_id, char *message)
{
    if (dir->lock)
        env_file_close(dir->lock);
    dir->lock = NULL;
    message[0] = 0;
    return open_all(dir, cluster_id, message);
}

enum err data_dir_open(struct env *env, const char *path, int32_t node_id, struct uuid cluster_id,
                       struct data_dir **ret_dir, char *ret_message)
{
    struct data_dir *dir = calloc(1, sizeof(*dir));
    ret_message[0] = 0;
    if (dir == NULL)
        return ERR_NOMEM;
    dir->env = env;
    dir->node_id = node_id;
    dir->path = strdup(path);
    enum err err = dir->path ? open_all(dir, cluster_id, ret_message) : ERR_NOMEM;
    if (err == ERR_NO_SPACE && disk_reserve_drop(env, path)) /* a full broker must start to make room */
        err = open_again(dir, cluster_id, ret_message);
    if (err == OK)
        disk_reserve_make(env, path);
    if (err) {
        free_dir(dir);
        return err;
    }
    *ret_dir = dir;
    return OK;
}

bool data_dir_clean_start(const struct data_dir *dir)
{
    return !dir->report.damaged && (dir->report.clean_stop || dir->report.same_boot);
}

bool data_dir_synced_kept(const struct data_dir *dir)
{
    return !dir->report.created && !dir->report.points_lost;
}

bool data_dir_power_lost(const struct data_dir *dir)
{
    const struct manifest_report *report = &dir->report;
    return !report->created && !report->damaged && !report->clean_stop && !report->same_boot;
}

enum err data_dir_close(struct data_dir *dir, bool clean)
{
    enum err err = manifest_close(dir->manifest, clean);
    free_dir(dir);
    return err;
}

/* -- unknown directories -- */

struct sweep {
    struct data_dir *dir;
    bool (*known)(void *ctx, const char *name, struct uuid topic_id, int32_t index);
    void *ctx;
    uint32_t quarantined;
    enum err err;
};

static enum err quarantine(struct data_dir *dir, const char *name)
{
    char from[LOG_PATH_MAX], to[LOG_PATH_MAX + 32];
    uint32_t random;
    enum err err = log_path(from, dir->path, name);
    if (err)
        return err;
    env_random(dir->env, &random, sizeof(random));
    snprintf(to, sizeof(to), "%s.quarantined-x%08" PRIx32 "%s", from, random,
             MUTANT(DELETE_UNKNOWN_DIRECTORY) ? "-delete" : "");
    return env_rename(dir->env, from, to);
}

static bool sweep_one(void *ctx, const char *name, bool is_dir)
{
    struct sweep *sweep = ctx;
    struct uuid topic_id = {{0}};
    char path[LOG_PATH_MAX];
    int32_t index;
    if (!is_dir || !log_dir_name_parse(name, &index) || log_path(path, sweep->dir->path, name) != OK)
        return true;
    enum err err = partition_meta_read(sweep->dir->env, path, &topic_id);
    if (err && err != ERR_NOT_FOUND && err != ERR_CORRUPT) {
        sweep->err = err;
        return false;
    }
    if (sweep->known(sweep->ctx, name, topic_id, index))
        return true;
    sweep->err = quarantine(sweep->dir, name);
    sweep->quarantined += sweep->err == OK;
    return sweep->err == OK;
}

enum err data_dir_sweep(struct data_dir *dir,
                        bool (*known)(void *ctx, const char *name, struct uuid topic_id, int32_t index),
                        void *ctx, uint32_t *ret_quarantined)
{
    struct sweep sweep = {.dir = dir, .known = known, .ctx = ctx};
    enum err err = env_dir_list(dir->env, dir->path, sweep_one, &sweep);
    *ret_quarantined = sweep.quarantined;
    if (err == OK)
        err = sweep.err;
    return err || sweep.quarantined == 0 ? err : env_dir_sync_wait(dir->env, dir->path);
}
