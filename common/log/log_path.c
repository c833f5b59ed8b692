/* SPDX-License-Identifier: Apache-2.0 */
#include "common/log/log_path.h"

#include <stdio.h>

#include "common/base/assert.h"

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
