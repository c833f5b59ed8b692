/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of partitions: sorted arrays without repeats. */
#ifndef SLUICE_BROKER_CORE_TP_SET_H
#define SLUICE_BROKER_CORE_TP_SET_H

#include "common/base/arena.h"
#include "common/base/types.h"

struct tp {
    struct uuid topic;
    int32_t partition;
};

/* Order: by topic id, then partition. */
struct tp_set {
    struct tp *v;
    int32_t count;
};

/* Below, at or above zero. */
int tp_cmp(struct tp a, struct tp b);

/* Brings what was filled in any order into form: sorted, each once. */
void tp_set_form(struct tp_set *set);

/* Whether it is in the set. */
bool tp_set_has(const struct tp_set *set, struct tp tp);
/* The same partitions. */
bool tp_set_eq(const struct tp_set *a, const struct tp_set *b);
/* Every one of a is in b. */
bool tp_set_within(const struct tp_set *a, const struct tp_set *b);
/* At least one is in both. */
bool tp_set_meet(const struct tp_set *a, const struct tp_set *b);

/* New sets in the arena. False: it is full. */
bool tp_set_both(struct arena *arena, const struct tp_set *a, const struct tp_set *b, struct tp_set *ret);
bool tp_set_minus(struct arena *arena, const struct tp_set *a, const struct tp_set *b, struct tp_set *ret);
bool tp_set_either(struct arena *arena, const struct tp_set *a, const struct tp_set *b, struct tp_set *ret);

/* How many topics there are in it; the end of the run that begins at `from`, all of one topic. */
int32_t tp_set_topics(const struct tp_set *set);
int32_t tp_set_run(const struct tp_set *set, int32_t from);

#endif
