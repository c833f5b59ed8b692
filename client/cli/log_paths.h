/* SPDX-License-Identifier: Apache-2.0 */
/* What PATH on a command line means to `sluice log`: a data directory, one partition directory, or one file.
 */
#ifndef SLUICE_CLIENT_CLI_LOG_PATHS_H
#define SLUICE_CLIENT_CLI_LOG_PATHS_H

#include "client/cli/cli.h"

#define LOG_PATHS_MAX 4096 /* bytes of a path, with its zero */

/* Names in byte order. Zero is an empty list. */
struct log_names {
    char **names;
    size_t count, cap;
};
void log_names_free(struct log_names *list);

/* Entries of a directory (directories or files) whose names wanted() accepts. ERR_NOMEM or the disk's. */
enum err log_names_list(struct env *env, const char *path, bool directories, bool (*wanted)(const char *name),
                        struct log_names *ret);

/* Calls one of the two for what PATH is; each returns an enum cli_exit. file NULL: files are refused. Gives
 * the first that is not EXIT_OK after all of them were called, or reports what is wrong with PATH. */
struct log_paths {
    struct cli *cli;
    struct env *env;
    int (*partition)(void *ctx, const char *path);
    int (*file)(void *ctx, const char *path);
    void *ctx;
};
int log_paths_visit(const struct log_paths *paths, const char *path);

/* "<dir>/<name>"; false: too long. */
bool log_paths_join(char out[LOG_PATHS_MAX], const char *dir, const char *name);

/* The part behind the last slash. */
const char *log_paths_name(const char *path);

/* True for the names of segments, indexes, snapshots and the epoch checkpoint. */
bool log_paths_known(const char *name);

#endif
