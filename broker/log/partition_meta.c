/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/log/partition_meta.h"

#include <stdio.h>
#include <string.h>

#include "common/log/log_path.h"

#define TOPIC_MAX 249

static bool topic_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

bool partition_meta_parse_name(const char *name, int32_t *ret_index)
{
    const char *dash = strrchr(name, '-');
    int64_t index = 0;
    if (dash == NULL || dash == name || dash - name > TOPIC_MAX || dash[1] == 0)
        return false;
    for (const char *c = name; c < dash; c++)
        if (!topic_char(*c))
            return false;
    for (const char *c = dash + 1; *c; c++) {
        if (*c < '0' || *c > '9' || (index = index * 10 + (*c - '0')) > INT32_MAX)
            return false;
    }
    *ret_index = (int32_t)index;
    return true;
}

static enum err parse(const char *text, struct uuid *ret_topic_id)
{
    static const char version[] = "version: 0\n", key[] = "topic_id: ";
    if (strncmp(text, version, sizeof(version) - 1) != 0)
        return ERR_CORRUPT;
    const char *at = strstr(text, key);
    if (at == NULL)
        return ERR_CORRUPT;
    at += sizeof(key) - 1;
    return uuid_parse((struct str){at, (int32_t)strcspn(at, "\r\n")}, ret_topic_id) == OK ? OK : ERR_CORRUPT;
}

enum err partition_meta_read(struct env *env, const char *path, struct uuid *ret_topic_id)
{
    char name[LOG_PATH_MAX], text[PARTITION_META_MAX + 1];
    struct env_file *file;
    size_t len = 0;
    enum err err = log_path(name, path, PARTITION_META_NAME);
    if (err == OK)
        err = env_file_open(env, name, ENV_OPEN_READ, &file);
    if (err)
        return err;
    err = env_file_read(file, 0, text, PARTITION_META_MAX, &len);
    env_file_close(file);
    text[len] = 0;
    return err ? err : parse(text, ret_topic_id);
}

uint32_t partition_meta_format(struct uuid topic_id, char *out)
{
    char id[UUID_TEXT_MAX];
    uuid_format(topic_id, id);
    return (uint32_t)snprintf(out, PARTITION_META_MAX, "version: 0\ntopic_id: %s", id);
}
