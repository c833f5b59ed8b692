/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of topic_regex: what a pattern says, as a tree in the arena. */
#ifndef SLUICE_BROKER_CORE_TOPIC_REGEX_TREE_H
#define SLUICE_BROKER_CORE_TOPIC_REGEX_TREE_H

#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/types.h"

enum regex_type { REGEX_EMPTY, REGEX_SET, REGEX_ASSERT, REGEX_THEN, REGEX_EITHER, REGEX_REPEAT };

enum regex_assert { REGEX_BEGIN, REGEX_END, REGEX_WORD_BORDER, REGEX_NO_WORD_BORDER };

/* Bytes. */
struct regex_set {
    uint64_t bits[4];
};

static inline bool regex_set_has(const struct regex_set *set, uint8_t c)
{
    return set->bits[c >> 6] >> (c & 63) & 1;
}

struct regex_node {
    enum regex_type type;
    enum regex_assert assertion;
    struct regex_set set;
    struct regex_node *first, *second;
    int32_t min, max; /* of REPEAT; max -1: no end */
};

/* ERR_INVALID: not a pattern; ERR_TOO_LARGE: too long or too deep; ERR_NOMEM. */
enum err regex_parse(struct arena *arena, struct str pattern, struct regex_node **ret);

#endif
