/* SPDX-License-Identifier: Apache-2.0 */
/* Lag of the groups whose coordinators live on this shard, for /metrics: per group, topic and partition
 *
 *   sluice_group_committed_offset   the committed offset
 *   sluice_group_lag_messages       offsets between it and the high watermark; what retention took does not
 * count sluice_group_lag_seconds        about how long ago the first unread record came
 *
 * Bounds and starts of partitions are asked of their leaders, all of one leader's in two requests, one leader
 * after the other. Nothing is done unless somebody scrapes: a scrape asks for figures, and for five minutes
 * they are brought up to date every few seconds. Each scrape shows what is known by then. The age of the
 * first unread record is estimated from when its offset was first seen below the high watermark; nothing
 * older than the first look is known (a lower bound).
 */
#ifndef SLUICE_BROKER_SHARD_GROUP_LAG_H
#define SLUICE_BROKER_SHARD_GROUP_LAG_H

#include "broker/shard/shard.h"

/* Positions of one shard that are shown; others are counted in sluice_group_lag_dropped. */
#define GROUP_LAG_POSITIONS_MAX 20000

struct group_lag;

/* NULL: out of memory. */
struct group_lag *group_lag_new(struct shard *shard);

/* Ends what is under way; frees it, now or when its connection has closed (shard->group_lag is NULL then). */
void group_lag_close(struct group_lag *lag);

/* Somebody scraped. */
void group_lag_wanted(struct group_lag *lag);

#endif
