/* SPDX-License-Identifier: Apache-2.0 */
/* Paths of files in a log's directory. */
#ifndef SLUICE_LOG_LOG_PATH_H
#define SLUICE_LOG_LOG_PATH_H

#include "common/base/err.h"

struct env;

#define LOG_PATH_MAX 1024 /* with the zero */

/* Writes "dir/name" into out. ERR_TOO_LARGE when it does not fit (out is then the empty string). */
enum err log_path(char out[LOG_PATH_MAX], const char *dir, const char *name);

/* Makes the directory and what is missing above it, and makes their names durable, also when an earlier start
 * made the directory and died before it could: a directory whose name is lost in a power cut takes all synced
 * files in it along. Blocks. ERR_EXISTS: a file is in the way. */
enum err log_dir_make_wait(struct env *env, const char *dir);

#endif
