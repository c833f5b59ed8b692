/* SPDX-License-Identifier: Apache-2.0 */
/* Paths of files in a log's directory. */
#ifndef SLUICE_LOG_LOG_PATH_H
#define SLUICE_LOG_LOG_PATH_H

#include "common/base/err.h"

#define LOG_PATH_MAX 1024 /* with the zero */

/* Writes "dir/name" into out. ERR_TOO_LARGE when it does not fit (out is then the empty string). */
enum err log_path(char out[LOG_PATH_MAX], const char *dir, const char *name);

#endif
