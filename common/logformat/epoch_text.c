/* SPDX-License-Identifier: Apache-2.0 */
#include "common/logformat/epoch_text.h"

#include <string.h>

#include "common/base/assert.h"

#define VERSION_LINE    "0\n"
#define ENTRY_BYTES_MIN 4 /* "0 0\n" */

/* Reads decimal digits up to and including the byte `end`. False when there are none or the value passes max.
 */
static bool parse_number(struct epoch_text *it, char end, int64_t max, int64_t *ret)
{
    int64_t v = 0;
    const char *at = it->p;
    while (at < it->end && *at >= '0' && *at <= '9') {
        if (v > (max - (*at - '0')) / 10)
            return false;
        v = v * 10 + (*at++ - '0');
    }
    if (at == it->p || at == it->end || *at != end)
        return false;
    it->p = at + 1;
    *ret = v;
    return true;
}

enum err epoch_text_open(const char *text, uint32_t len, struct epoch_text *ret)
{
    uint32_t first = sizeof(VERSION_LINE) - 1;
    struct epoch_text it = {.p = text + first, .end = text + len, .epoch = -1, .start_offset = -1};
    if (len < first || memcmp(text, VERSION_LINE, first) != 0)
        return ERR_VERSION;
    if (!parse_number(&it, '\n', INT32_MAX, &it.left) || it.left > (it.end - it.p) / ENTRY_BYTES_MIN)
        return ERR_MALFORMED;
    *ret = it;
    return OK;
}

enum err epoch_text_next(struct epoch_text *it)
{
    int64_t epoch, start;
    if (it->left == 0)
        return it->p == it->end ? ERR_NOT_FOUND : ERR_MALFORMED;
    if (!parse_number(it, ' ', INT32_MAX, &epoch) || !parse_number(it, '\n', INT64_MAX, &start))
        return ERR_MALFORMED;
    if (epoch <= it->epoch || start <= it->start_offset)
        return ERR_MALFORMED;
    it->left--;
    it->epoch = (int32_t)epoch;
    it->start_offset = start;
    return OK;
}

/* Writes v in decimal and the byte `end`. Returns the place behind. */
static char *put_number(char *out, int64_t v, char end)
{
    char digits[20];
    int count = 0;
    ASSERT(v >= 0);
    do {
        digits[count++] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    while (count > 0)
        *out++ = digits[--count];
    *out++ = end;
    return out;
}

char *epoch_text_put_head(char *out, uint32_t count)
{
    size_t first = sizeof(VERSION_LINE) - 1;
    memcpy(out, VERSION_LINE, first);
    return put_number(out + first, count, '\n');
}

char *epoch_text_put(char *out, int32_t epoch, int64_t start_offset)
{
    return put_number(put_number(out, epoch, ' '), start_offset, '\n');
}
