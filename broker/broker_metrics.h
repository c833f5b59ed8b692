/* SPDX-License-Identifier: Apache-2.0 */
/* What a broker shows at /metrics. */
#ifndef SLUICE_BROKER_BROKER_METRICS_H
#define SLUICE_BROKER_BROKER_METRICS_H

#include "broker/shard/shard.h"

/* Registers counters and gauges of every shard (all set up), and the budget, in broker->metrics; they are
 * read when scraped, so the broker's memory must be there as long. Nothing can fail: what has no room is not
 * shown. */
void broker_metrics_add(struct broker_shared *broker);

#endif
