/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/core/topic_name.h"

#include <stddef.h>

static bool allowed(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

const char *topic_name_refusal(struct str name)
{
    if (name.len <= 0)
        return "the empty string is not allowed";
    if (str_eq_z(name, ".") || str_eq_z(name, ".."))
        return "'.' and '..' are not allowed";
    if (name.len > TOPIC_NAME_MAX)
        return "the length is over 249 characters";
    for (int32_t i = 0; i < name.len; i++) {
        if (!allowed(name.p[i]))
            return "it holds a character other than ASCII alphanumerics, '.', '_' and '-'";
    }
    return str_eq_z(name, "__cluster_metadata") ? "the name is reserved" : NULL;
}

static char folded(char c)
{
    return c == '.' ? '_' : c;
}

static bool equal_folded(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    for (int32_t i = 0; i < a.len; i++) {
        if (folded(a.p[i]) != folded(b.p[i]))
            return false;
    }
    return true;
}

struct search {
    struct str name;
    const struct image_topic *found;
};

static bool match(void *ctx, const struct image_topic *topic)
{
    struct search *search = ctx;
    if (!equal_folded(topic->name, search->name) || str_eq(topic->name, search->name))
        return true;
    search->found = topic;
    return false;
}

const struct image_topic *topic_name_collision(const struct image *image, struct str name)
{
    struct search search = {.name = name};
    bool relevant = false;
    for (int32_t i = 0; i < name.len; i++)
        relevant |= name.p[i] == '.' || name.p[i] == '_';
    if (relevant)
        image_each_topic(image, match, &search);
    return search.found;
}
