/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/cluster/feature_table.h"

#include "common/base/assert.h"

/* Kafka's names and levels. metadata.version 29 is 4.2-IV1; we have no older metadata formats to offer, so
 * its level never changes here. A feature whose APIs this build does not serve completely has max or initial
 * 0. */
const struct feature features[] = {
    {"eligible.leader.replicas.version", 0, 1, 1},
    {"group.version", 0, 1, 1},
    {"kraft.version", 0, 1, 1},
    {"metadata.version", 29, 29, 29},
    {"transaction.version", 0, 2, 2},
};
const size_t features_count = ARRAY_LEN(features);

const struct feature *feature_find(struct str name)
{
    for (size_t i = 0; i < features_count; i++) {
        if (str_eq_z(name, features[i].name))
            return &features[i];
    }
    return NULL;
}

const char *feature_refusal(const struct feature *feature, int16_t from, int16_t to, bool allow_downgrade)
{
    ASSERT(feature->min <= feature->max);
    if (to < feature->min || to > feature->max)
        return "the level is not one that this cluster supports";
    if (to < from && !allow_downgrade)
        return "the level would be lowered, and the request does not say that this is meant";
    return NULL;
}
