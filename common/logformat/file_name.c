/* SPDX-License-Identifier: Apache-2.0 */
#include "common/logformat/file_name.h"

#include <string.h>

#include "common/base/assert.h"

bool log_file_name_parse(const char *name, const char *suffix, int64_t *ret_offset)
{
    int64_t offset = 0;
    for (int i = 0; i < LOG_FILE_DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9' || offset > (INT64_MAX - (name[i] - '0')) / 10)
            return false;
        offset = offset * 10 + (name[i] - '0');
    }
    if (strcmp(name + LOG_FILE_DIGITS, suffix) != 0)
        return false;
    *ret_offset = offset;
    return true;
}

void log_file_name_format(int64_t offset, const char *suffix, char out[LOG_FILE_NAME_MAX])
{
    size_t len = strlen(suffix);
    ASSERT(offset >= 0);
    ASSERT(len < LOG_FILE_NAME_MAX - LOG_FILE_DIGITS);
    for (int i = LOG_FILE_DIGITS - 1; i >= 0; i--, offset /= 10)
        out[i] = (char)('0' + offset % 10);
    memcpy(out + LOG_FILE_DIGITS, suffix, len + 1);
}

static bool topic_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

bool log_dir_name_parse(const char *name, int32_t *ret_index)
{
    const char *dash = NULL;
    int64_t index = 0;
    for (const char *c = name; *c; c++)
        dash = *c == '-' ? c : dash;
    if (dash == NULL || dash == name || dash - name > LOG_TOPIC_MAX || dash[1] == 0)
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
