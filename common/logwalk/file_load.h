/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_LOGWALK_FILE_LOAD_H
#define SLUICE_LOGWALK_FILE_LOAD_H

#include "common/env/env.h"

/* Reads a whole file of at most max bytes into malloc'd memory (one byte more, a zero). ERR_TOO_LARGE,
 * ERR_NOMEM, or errors of the disk. */
enum err log_file_load(struct env *env, const char *path, uint64_t max, uint8_t **ret_p, uint32_t *ret_len);

#endif
