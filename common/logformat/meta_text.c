/* SPDX-License-Identifier: Apache-2.0 */
#include "common/logformat/meta_text.h"

#include <string.h>

#define VERSION_LINE "version: 0"
#define ID_KEY       "topic_id: "

/* The line that begins at *at, without its end; *at moves behind it. False: no more. */
static bool next_line(const char *text, uint32_t len, uint32_t *at, struct str *ret)
{
    if (*at >= len)
        return false;
    const char *end = memchr(text + *at, '\n', len - *at);
    uint32_t stop = end ? (uint32_t)(end - text) : len;
    *ret = (struct str){text + *at, (int32_t)(stop - *at)};
    if (ret->len > 0 && ret->p[ret->len - 1] == '\r')
        ret->len--;
    *at = stop + 1;
    return true;
}

enum err meta_text_parse(const char *text, uint32_t len, struct uuid *ret_topic_id)
{
    static const int32_t key = sizeof(ID_KEY) - 1;
    struct str line;
    uint32_t at = 0;
    if (!next_line(text, len, &at, &line) || !str_eq(line, str_from(VERSION_LINE)))
        return ERR_CORRUPT;
    while (next_line(text, len, &at, &line)) {
        if (line.len <= key || memcmp(line.p, ID_KEY, (size_t)key) != 0)
            continue;
        return uuid_parse((struct str){line.p + key, line.len - key}, ret_topic_id) == OK ? OK : ERR_CORRUPT;
    }
    return ERR_CORRUPT;
}

uint32_t meta_text_format(struct uuid topic_id, char out[META_TEXT_MAX])
{
    static const char head[] = VERSION_LINE "\n" ID_KEY;
    memcpy(out, head, sizeof(head) - 1);
    uuid_format(topic_id, out + sizeof(head) - 1);
    return (uint32_t)(sizeof(head) - 1 + strlen(out + sizeof(head) - 1));
}
