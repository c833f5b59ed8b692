/* SPDX-License-Identifier: Apache-2.0 */
/* Features with levels (KIP-584): what this build supports, and what a new cluster starts with. The level in
 * force is a record of the metadata (image_feature); a feature without one has level 0. */
#ifndef SLUICE_PROTO_CLUSTER_FEATURE_TABLE_H
#define SLUICE_PROTO_CLUSTER_FEATURE_TABLE_H

#include "common/base/types.h"

struct feature {
    const char *name;
    int16_t min, max; /* supported levels; 0 is off */
    int16_t initial;  /* of a new cluster */
};

/* The whole table, sorted by name. */
extern const struct feature features[];
extern const size_t features_count;

/* NULL: this build does not know it. */
const struct feature *feature_find(struct str name);

/* NULL when the change from one level to another is allowed, else the reason, one line. allow_downgrade: the
 * request says that lowering is meant. */
const char *feature_refusal(const struct feature *feature, int16_t from, int16_t to, bool allow_downgrade);

#endif
