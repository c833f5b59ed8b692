/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/log_paths.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/assert.h"
#include "common/logformat/epoch_text.h"
#include "common/logformat/file_name.h"
#include "common/logformat/meta_text.h"

/* -- names -- */

void log_names_free(struct log_names *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->names[i]);
    free(list->names);
    *list = (struct log_names){0};
}

struct listing {
    struct log_names *list;
    bool directories;
    bool (*wanted)(const char *name);
    enum err err;
};

static enum err add_name(struct log_names *list, const char *name)
{
    if (list->count == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 16;
        void *grown = realloc(list->names, cap * sizeof(*list->names));
        if (!grown)
            return ERR_NOMEM;
        list->names = grown;
        list->cap = cap;
    }
    list->names[list->count] = strdup(name);
    return list->names[list->count] ? (list->count++, OK) : ERR_NOMEM;
}

static bool take_name(void *ctx, const char *name, bool is_dir)
{
    struct listing *listing = ctx;
    if (is_dir == listing->directories && listing->wanted(name))
        listing->err = add_name(listing->list, name);
    return listing->err == OK;
}

enum err log_names_list(struct env *env, const char *path, bool directories, bool (*wanted)(const char *name),
                        struct log_names *ret)
{
    struct listing listing = {.list = ret, .directories = directories, .wanted = wanted};
    *ret = (struct log_names){0};
    enum err err = env_dir_list(env, path, take_name, &listing);
    if (err == OK)
        err = listing.err;
    if (err)
        log_names_free(ret);
    return err;
}

bool log_paths_join(char out[LOG_PATHS_MAX], const char *dir, const char *name)
{
    int len = snprintf(out, LOG_PATHS_MAX, "%s/%s", dir, name);
    return len > 0 && len < LOG_PATHS_MAX;
}

const char *log_paths_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool log_paths_known(const char *name)
{
    static const char *const suffixes[] = {LOG_SUFFIX_LOG, LOG_SUFFIX_INDEX, LOG_SUFFIX_TIMEINDEX,
                                           LOG_SUFFIX_TXNINDEX, LOG_SUFFIX_SNAPSHOT};
    int64_t offset;
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
        if (log_file_name_parse(name, suffixes[i], &offset))
            return true;
    return strcmp(name, EPOCH_TEXT_NAME) == 0 || strcmp(name, META_TEXT_NAME) == 0;
}

/* -- visits -- */

static bool is_partition(const char *name)
{
    int32_t index;
    return log_dir_name_parse(name, &index);
}

static int cannot_read(const struct log_paths *paths, const char *path, enum err err)
{
    return cli_fail_words(paths->cli, EXIT_LOCAL_IO, err_text(err), NULL, "cannot read %s", path);
}

static int visit_all(const struct log_paths *paths, const char *path, const struct log_names *list)
{
    int code = EXIT_OK;
    for (size_t i = 0; i < list->count; i++) {
        char below[LOG_PATHS_MAX];
        int now = log_paths_join(below, path, list->names[i]) ? paths->partition(paths->ctx, below)
                                                              : cannot_read(paths, path, ERR_TOO_LARGE);
        code = code == EXIT_OK ? now : code;
    }
    return code;
}

/* A directory that holds files of a partition is one, whatever its name (it may have been set aside). */
static int visit_directory(const struct log_paths *paths, const char *path)
{
    struct log_names list;
    enum err err = log_names_list(paths->env, path, false, log_paths_known, &list);
    if (err)
        return cannot_read(paths, path, err);
    bool partition = list.count > 0;
    log_names_free(&list);
    if (partition)
        return paths->partition(paths->ctx, path);
    err = log_names_list(paths->env, path, true, is_partition, &list);
    if (err)
        return cannot_read(paths, path, err);
    int code = visit_all(paths, path, &list);
    if (list.count == 0)
        code = cli_fail_words(paths->cli, EXIT_NOT_FOUND, "no partition directories in it",
                              "name a broker's data directory, or <topic>-<n> below it", "%s", path);
    log_names_free(&list);
    return code;
}

int log_paths_visit(const struct log_paths *paths, const char *path)
{
    struct stat st;
    char trimmed[LOG_PATHS_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof(trimmed))
        return cli_fail_words(paths->cli, EXIT_USAGE, "empty or too long", NULL, "path '%s'", path);
    memcpy(trimmed, path, len + 1);
    while (len > 1 && trimmed[len - 1] == '/')
        trimmed[--len] = 0;
    if (stat(trimmed, &st) != 0)
        return cli_fail_words(paths->cli, errno == ENOENT ? EXIT_NOT_FOUND : EXIT_LOCAL_IO, strerror(errno),
                              NULL, "cannot read %s", trimmed);
    if (S_ISDIR(st.st_mode))
        return visit_directory(paths, trimmed);
    if (!paths->file)
        return cli_fail_words(paths->cli, EXIT_USAGE, "not a directory",
                              "name a data directory or a partition directory", "%s", trimmed);
    return paths->file(paths->ctx, trimmed);
}
