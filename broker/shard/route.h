/* SPDX-License-Identifier: Apache-2.0 */
/* Which shard of this broker owns a partition replica. Every shard has a table of its own, kept equal by the
 * updates that the control loop mails with each new image; `partition` is set only in the owner's table. */
#ifndef SLUICE_BROKER_SHARD_ROUTE_H
#define SLUICE_BROKER_SHARD_ROUTE_H

#include "common/base/map.h"
#include "common/base/types.h"

struct coordinator;
struct partition;

struct route {
    struct uuid topic_id;
    int32_t index;
    unsigned shard;
    struct partition *partition;     /* owner's table only; NULL while it could not be opened */
    struct coordinator *coordinator; /* owner's table only; of an internal topic that this broker leads */
    uint64_t opening;                /* of all that this shard opened, which one `partition` is */
    uint8_t counted;                 /* the gauges that count it (shard.h) */
    bool failed;                     /* counted in shard->failed_partitions */
    struct route *next;              /* same hash */
};

struct route_table {
    struct map by_hash;
    uint32_t count;
};

/* An empty table takes no memory. */
void route_table_init(struct route_table *table);
void route_table_free(struct route_table *table); /* partitions must have been closed */

/* NULL: no replica of that partition here. */
struct route *route_find(const struct route_table *table, struct uuid topic_id, int32_t index);

/* Finds or makes the entry. NULL only when memory is out. */
struct route *route_put(struct route_table *table, struct uuid topic_id, int32_t index, unsigned shard);
void route_remove(struct route_table *table, struct uuid topic_id, int32_t index);

/* Iteration over all entries, in no order; the table must not change meanwhile. */
void route_each(const struct route_table *table, void (*each)(void *ctx, struct route *route), void *ctx);

#endif
