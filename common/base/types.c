/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/types.h"

#include <string.h>

#include "common/base/assert.h"
#include "common/base/err.h"

static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

struct str str_from(const char *z)
{
    return z ? (struct str){z, (int32_t)strlen(z)} : STR_NULL;
}

bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len <= 0 || memcmp(a.p, b.p, (size_t)a.len) == 0);
}

bool str_eq_z(struct str a, const char *z)
{
    return str_eq(a, str_from(z));
}

int str_cmp(struct str a, struct str b)
{
    int32_t a_len = MAX(a.len, 0), b_len = MAX(b.len, 0);
    int32_t common = MIN(a_len, b_len);
    int order = common > 0 ? memcmp(a.p, b.p, (size_t)common) : 0;
    return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

char *str_copy(struct str s, char *out, size_t size)
{
    ASSERT(size > 0);
    size_t len = s.len > 0 ? MIN((size_t)s.len, size - 1) : 0;
    if (len > 0)
        memcpy(out, s.p, len);
    out[len] = 0;
    return out;
}

bool uuid_eq(struct uuid a, struct uuid b)
{
    return memcmp(a.b, b.b, sizeof(a.b)) == 0;
}

bool uuid_is_zero(struct uuid id)
{
    return uuid_eq(id, (struct uuid){{0}});
}

void uuid_format(struct uuid id, char *out)
{
    uint32_t bits = 0, have = 0;
    for (size_t i = 0; i < sizeof(id.b); i++) {
        bits = bits << 8 | id.b[i];
        for (have += 8; have >= 6; have -= 6)
            *out++ = base64url[bits >> (have - 6) & 63];
    }
    *out++ = base64url[bits << (6 - have) & 63];
    *out = 0;
}

static int digit_of(char c)
{
    const char *at = c ? strchr(base64url, c) : NULL;
    return at ? (int)(at - base64url) : -1;
}

int uuid_parse(struct str text, struct uuid *ret_id)
{
    struct uuid id;
    uint32_t bits = 0, have = 0, n = 0;
    if (text.len != UUID_TEXT_MAX - 1)
        return ERR_MALFORMED;
    for (int32_t i = 0; i < text.len; i++) {
        int digit = digit_of(text.p[i]);
        if (digit < 0)
            return ERR_MALFORMED;
        bits = bits << 6 | (uint32_t)digit;
        have += 6;
        if (have >= 8) {
            have -= 8;
            id.b[n++] = (uint8_t)(bits >> have);
        }
    }
    ASSERT(n == sizeof(id.b) && have == 4);
    if (bits & 15) /* the last character has four spare bits: one text per id */
        return ERR_MALFORMED;
    *ret_id = id;
    return OK;
}
