/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/counted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/broker.h"
#include "broker/core/replica_isr.h"
#include "broker/shard/partition_internal.h"
#include "common/base/assert.h"
#include "common/batch/batch.h"
#include "tests/sim/nodes.h"

#define LOOK_US     20000
#define BROKER_BASE 101 /* node id of the first broker */

/* -- what leaders count on -- */

static void note_member(struct counted *counted, int32_t broker_id, int topic, int32_t index, int64_t end)
{
    int broker = broker_id - BROKER_BASE;
    if (broker < 0 || broker >= CLUSTER_BROKERS_MAX || index >= CLUSTER_PARTITIONS_MAX)
        return;
    int64_t *known = &counted->ends[broker][topic][index];
    *known = MAX(*known, end);
}

static void look_at_leader(void *ctx, struct partition *partition)
{
    struct counted *counted = ctx;
    const struct replica *core = &partition->core;
    struct str topic = partition_topic(partition);
    if (core->role != REPLICA_LEADER || topic.len != 2 || topic.p[0] != 't' || topic.p[1] < '0' ||
        topic.p[1] >= '0' + CLUSTER_TOPICS_MAX)
        return;
    for (int32_t i = 0; i < core->members_count; i++)
        if (core->isr & replica_bit(i))
            note_member(counted, core->members[i].broker_id, topic.p[1] - '0', partition->index,
                        core->high_watermark);
}

static void on_tick(struct world_event *event)
{
    struct counted *counted = CONTAINER_OF(event, struct counted, tick);
    struct cluster *cluster = counted->cluster;
    for (int i = 0; i < cluster->options.brokers; i++) {
        const struct broker *broker = node_broker(cluster_node(cluster, ROLE_BROKER, i));
        if (broker != NULL)
            broker_each_replica(broker, look_at_leader, counted);
    }
    world_at(cluster->world, event, world_now_us(cluster->world) + LOOK_US);
}

/* -- what the disk holds -- */

struct held {
    struct node *node;
    int64_t end; /* -1: nothing read yet */
    bool broken; /* a batch is missing or bad: nothing behind it counts */
};

static void read_batches(struct held *held, const uint8_t *p, size_t len)
{
    size_t size;
    while (len >= BATCH_HEADER_BYTES && batch_peek(p, len, &size) == OK && size <= len &&
           batch_verify(p, size) == OK) {
        if (held->end >= 0 && batch_base_offset(p) != held->end)
            break;
        held->end = batch_next_offset(p);
        p += size;
        len -= size;
    }
    held->broken = len > 0;
}

/* Segments come in the order of their offsets. */
static bool read_file(void *ctx, const char *path, uint64_t size)
{
    struct held *held = ctx;
    size_t len = strlen(path), got = 0;
    if (len < 4 || strcmp(path + len - 4, ".log") != 0 || size == 0)
        return true;
    uint8_t *bytes = malloc(size);
    ASSERT(bytes != NULL);
    if (disk_peek(held->node->process, path, 0, bytes, size, &got) == OK)
        read_batches(held, bytes, got);
    free(bytes);
    return !held->broken;
}

static void record_held(struct counted *counted, struct node *node, int topic, int partition, int64_t end)
{
    char dir[64];
    struct held held = {.node = node, .end = -1};
    snprintf(dir, sizeof(dir), "/data/t%d-%d", topic, partition);
    disk_walk(node->process, dir, read_file, &held);
    cluster_record(counted->cluster, (struct history_record){.type = HIST_OK,
                                                             .op = HIST_HELD,
                                                             .key = cluster_key(topic, partition),
                                                             .node = node->id,
                                                             .offset = MAX(held.end, 0),
                                                             .value = (uint64_t)end});
}

void counted_died(struct counted *counted, struct node *node)
{
    int broker = node->id - BROKER_BASE;
    if (node->role != ROLE_BROKER)
        return;
    for (int t = 0; t < counted->cluster->options.topics; t++)
        for (int p = 0; p < counted->cluster->options.partitions; p++)
            if (counted->ends[broker][t][p] > 0)
                record_held(counted, node, t, p, counted->ends[broker][t][p]);
}

/* -- life -- */

struct counted *counted_new(struct cluster *cluster)
{
    struct counted *counted = calloc(1, sizeof(*counted));
    if (counted == NULL)
        return NULL;
    counted->cluster = cluster;
    counted->tick.fn = on_tick;
    world_at(cluster->world, &counted->tick, world_now_us(cluster->world) + LOOK_US);
    return counted;
}

void counted_free(struct counted *counted)
{
    if (counted == NULL)
        return;
    world_cancel(counted->cluster->world, &counted->tick);
    free(counted);
}
