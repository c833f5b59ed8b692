/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the cluster has the consumer protocol: group.version is a finalized feature. */
#ifndef SLUICE_BROKER_HANDLERS_CONSUMER_FEATURE_H
#define SLUICE_BROKER_HANDLERS_CONSUMER_FEATURE_H

#include "broker/handlers/handler.h"

static inline bool consumer_protocol_on(const struct request *rq)
{
    return image_feature(rq->shard->image, STR_LIT("group.version")) >= 1;
}

#endif
