/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/properties.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/assert.h"

void properties_init(struct properties *p)
{
    p->text[0] = 0;
    p->len = 0;
}

static void properties_add(struct properties *p, const char *key, const char *value)
{
    int len = snprintf(p->text + p->len, sizeof(p->text) - p->len, "%s=%s\n", key, value);
    ASSERT(len > 0 && p->len + (uint32_t)len < sizeof(p->text));
    p->len += (uint32_t)len;
}

void properties_add_u64(struct properties *p, const char *key, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, value);
    properties_add(p, key, text);
}

void properties_add_uuid(struct properties *p, const char *key, struct uuid value)
{
    char text[UUID_TEXT_MAX];
    uuid_format(value, text);
    properties_add(p, key, text);
}

struct str properties_get(struct str text, const char *key)
{
    size_t key_len = strlen(key);
    const char *at = text.p;
    const char *end = text.p + text.len;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (stop == NULL)
            stop = end;
        size_t len = (size_t)(stop - at);
        if (len > key_len && at[key_len] == '=' && memcmp(at, key, key_len) == 0)
            return (struct str){at + key_len + 1, (int32_t)(len - key_len - 1)};
        at = stop + 1;
    }
    return STR_NULL;
}

enum err properties_get_u64(struct str text, const char *key, uint64_t *ret_value)
{
    struct str value = properties_get(text, key);
    if (value.len < 0)
        return ERR_NOT_FOUND;
    if (value.len == 0 || value.len > 19)
        return ERR_MALFORMED;
    uint64_t n = 0;
    for (int32_t i = 0; i < value.len; i++) {
        if (value.p[i] < '0' || value.p[i] > '9')
            return ERR_MALFORMED;
        n = n * 10 + (uint64_t)(value.p[i] - '0');
    }
    *ret_value = n;
    return OK;
}

enum err properties_get_uuid(struct str text, const char *key, struct uuid *ret_value)
{
    struct str value = properties_get(text, key);
    if (value.len < 0)
        return ERR_NOT_FOUND;
    return uuid_parse(value, ret_value) == OK ? OK : ERR_MALFORMED;
}
