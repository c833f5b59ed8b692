/* SPDX-License-Identifier: Apache-2.0 */
/* Creates topics that clients asked metadata of (auto.create.topics.enable), on the side. */
#ifndef SLUICE_BROKER_HANDLERS_AUTO_CREATE_H
#define SLUICE_BROKER_HANDLERS_AUTO_CREATE_H

#include "broker/shard/shard.h"

/* Asks the active controller for the topic with the broker's defaults. Does nothing while this shard asks for
 * the same name already. The outcome shows in the metadata; failures are logged. */
void auto_create_topic(struct shard *shard, struct str name);

/* The same for a coordinator's topic (__consumer_offsets), with the partitions, replicas and settings that
 * the broker's configuration gives it. */
void auto_create_internal(struct shard *shard, struct str name);

#endif
