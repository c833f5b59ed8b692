/* SPDX-License-Identifier: Apache-2.0 */
#include "common/logwalk/file_load.h"

#include <stdlib.h>

#include "common/base/assert.h"

static enum err load_open(struct env_file *file, uint64_t max, uint8_t **ret_p, uint32_t *ret_len)
{
    uint64_t size;
    size_t got = 0;
    enum err err = env_file_size(file, &size);
    if (err)
        return err;
    if (size > max)
        return ERR_TOO_LARGE;
    uint8_t *p = malloc(size + 1);
    if (p == NULL)
        return ERR_NOMEM;
    err = env_file_read(file, 0, p, size, &got);
    if (err) {
        free(p);
        return err;
    }
    p[got] = 0;
    *ret_p = p;
    *ret_len = (uint32_t)got;
    return OK;
}

enum err log_file_load(struct env *env, const char *path, uint64_t max, uint8_t **ret_p, uint32_t *ret_len)
{
    struct env_file *file;
    ASSERT(max < UINT32_MAX);
    enum err err = env_file_open(env, path, ENV_OPEN_READ, &file);
    if (err)
        return err;
    err = load_open(file, max, ret_p, ret_len);
    env_file_close(file);
    return err;
}
