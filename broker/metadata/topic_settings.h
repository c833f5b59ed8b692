/* SPDX-License-Identifier: Apache-2.0 */
/* The effective settings of a topic: its own, else the cluster-wide dynamic default, else this broker's file
 * (Kafka's synonyms), else the built-in default. */
#ifndef SLUICE_BROKER_METADATA_TOPIC_SETTINGS_H
#define SLUICE_BROKER_METADATA_TOPIC_SETTINGS_H

#include "broker/config.h"
#include "broker/shard/partition.h"

/* What a partition needs, resolved from the image. Values were validated when they were set; one that cannot
 * be read counts as unset. */
void topic_settings_resolve(const struct image *image, const struct broker_config *config, struct str topic,
                            struct partition_config *ret);

#endif
