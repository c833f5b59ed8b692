/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/core/topic_name.h"

#include "common/base/assert.h"

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

static uint64_t hash_folded(const struct topic_names *names, struct str name)
{
    char text[TOPIC_NAME_MAX];
    ASSERT(name.len > 0 && name.len <= TOPIC_NAME_MAX);
    for (int32_t i = 0; i < name.len; i++)
        text[i] = folded(name.p[i]);
    return hash_bytes(text, (uint64_t)name.len, names->seed);
}

void topic_names_init(struct topic_names *names, uint64_t seed)
{
    *names = (struct topic_names){.seed = seed};
    map_init(&names->folded);
}

void topic_names_free(struct topic_names *names)
{
    map_free(&names->folded);
    names->ready = false;
}

/* When memory is out a collision may go unseen: it harms nobody but the reader of metrics. */
static bool add_topic(void *ctx, const struct image_topic *topic)
{
    struct topic_names *names = ctx;
    return map_put(&names->folded, hash_folded(names, topic->name), (void *)topic->name.p);
}

static bool has_foldable(struct str name)
{
    for (int32_t i = 0; i < name.len; i++) {
        if (name.p[i] == '.' || name.p[i] == '_')
            return true;
    }
    return false;
}

struct str topic_names_collision(struct topic_names *names, const struct image *image, struct str name)
{
    if (!has_foldable(name))
        return STR_NULL;
    if (!names->ready)
        image_each_topic(image, add_topic, names);
    names->ready = true;
    const char *other = map_get(&names->folded, hash_folded(names, name));
    struct str found = {other, other ? name.len : -1}; /* folding keeps the length */
    return str_eq(found, name) ? STR_NULL : found;
}

void topic_names_add(struct topic_names *names, struct str name)
{
    if (names->ready)
        map_put(&names->folded, hash_folded(names, name), (void *)name.p);
}
