/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/log/partition_meta.h"

#include "common/log/log_path.h"
#include "common/logformat/meta_text.h"

enum err partition_meta_read(struct env *env, const char *path, struct uuid *ret_topic_id)
{
    char name[LOG_PATH_MAX], text[META_TEXT_MAX];
    struct env_file *file;
    size_t len = 0;
    enum err err = log_path(name, path, META_TEXT_NAME);
    if (err == OK)
        err = env_file_open(env, name, ENV_OPEN_READ, &file);
    if (err)
        return err;
    err = env_file_read(file, 0, text, META_TEXT_MAX, &len);
    env_file_close(file);
    return err ? err : meta_text_parse(text, (uint32_t)len, ret_topic_id);
}
