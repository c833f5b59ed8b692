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

#define LOOK_US     2000 /* a replica that joins too early may have caught up a moment later */
#define BROKER_BASE 101  /* node id of the first broker */
#define LEADERS_MAX (CLUSTER_BROKERS_MAX * CLUSTER_TOPICS_MAX * CLUSTER_PARTITIONS_MAX)

/* -- what leaders count on -- */

static uint32_t broker_bit(int32_t broker_id)
{
    int32_t broker = broker_id - BROKER_BASE;
    return broker >= 0 && broker < CLUSTER_BROKERS_MAX ? 1u << broker : 0;
}

/* The topic's number; -1: not one of ours. */
static int topic_of(const struct partition *partition)
{
    struct str topic = partition_topic(partition);
    bool ours = topic.len == 2 && topic.p[0] == 't' && topic.p[1] >= '0' &&
                topic.p[1] < '0' + CLUSTER_TOPICS_MAX && partition->index < CLUSTER_PARTITIONS_MAX;
    return ours ? topic.p[1] - '0' : -1;
}

/* Of two that may be NULL. */
static const struct image *newer(const struct image *a, const struct image *b)
{
    return a == NULL || (b != NULL && image_index(b) > image_index(a)) ? b : a;
}

/* The newest metadata that anybody has applied, NULL: nobody has. A broker may go by what its controller died
 * with. */
static const struct image *newest_image(const struct counted *counted)
{
    const struct image *newest = NULL;
    for (int i = 0; i < cluster_count(counted->cluster, ROLE_CONTROLLER); i++) {
        const struct controller *c = node_controller(cluster_node(counted->cluster, ROLE_CONTROLLER, i));
        newest = newer(newest, c != NULL ? controller_image(c) : NULL);
    }
    for (int i = 0; i < cluster_count(counted->cluster, ROLE_BROKER); i++) {
        const struct broker *broker = node_broker(cluster_node(counted->cluster, ROLE_BROKER, i));
        newest = newer(newest, broker != NULL ? broker_image(broker) : NULL);
    }
    return newest;
}

/* Whoever has applied something may die before the others have: what was known once stays known. */
static void learn_partition(struct counted_known *known, const struct image_partition *p)
{
    *known = (struct counted_known){.said = true};
    for (int32_t i = 0; i < p->replicas_count; i++)
        known->replicas |= broker_bit(p->replicas[i]);
    for (int32_t i = 0; i < p->isr_count; i++)
        known->isr |= broker_bit(p->isr[i]);
}

static void learn(struct counted *counted, const struct image *image)
{
    if (image == NULL || image_index(image) < counted->index)
        return;
    counted->index = image_index(image);
    memset(counted->known, 0, sizeof(counted->known));
    for (int t = 0; t < CLUSTER_TOPICS_MAX; t++) {
        char name[] = {'t', (char)('0' + t), 0};
        const struct image_topic *topic = image_topic_by_name(image, str_from(name));
        for (int32_t i = 0; topic != NULL && i < MIN(topic->partitions_count, CLUSTER_PARTITIONS_MAX); i++)
            learn_partition(&counted->known[t][i], image_partition(image, topic, i));
    }
}

/* The leaders met on the way; what the others hold is known at the end of it. */
struct look {
    struct counted *counted;
    const struct image *image; /* the newest, or NULL */
    int broker;
    struct partition *leaders[LEADERS_MAX];
    int leader_count;
};

/* A replica in doubt tells the controllers itself what it lost; once they can hear it they soon know. */
static bool is_excused(struct look *look, const struct partition *partition, int topic)
{
    uint64_t now_us = world_now_us(look->counted->cluster->world);
    uint64_t *since_us = &look->counted->doubted_us[look->broker][topic][partition->index];
    const struct image_broker *broker =
        look->image != NULL ? image_broker(look->image, look->broker + BROKER_BASE) : NULL;
    if (!partition->back.doubt || broker == NULL || broker->fenced || *since_us == 0)
        *since_us = now_us;
    return partition->back.doubt && now_us - *since_us < COUNTED_DOUBT_US;
}

static void note_replica(void *ctx, struct partition *partition)
{
    struct look *look = ctx;
    int topic = topic_of(partition);
    if (topic < 0)
        return;
    if (!partition->core.failed && !is_excused(look, partition, topic))
        look->counted->open[look->broker][topic][partition->index] = partition->core.log_end;
    int64_t *start = &look->counted->starts[look->broker][topic][partition->index];
    *start = MAX(*start, partition->core.log_start);
    if (partition->core.role == REPLICA_LEADER && look->leader_count < LEADERS_MAX)
        look->leaders[look->leader_count++] = partition;
}

/* False: the controllers took it out of the ISR (moved away, perhaps added again with an empty log), and the
 * leader has not heard of that yet: it waits for a replica that owes nothing. */
static bool still_in_sync(const struct counted *counted, int topic, int32_t index, int32_t broker_id)
{
    const struct counted_known *known = &counted->known[topic][index];
    return !known->said || (known->isr & broker_bit(broker_id)) != 0; /* nobody says otherwise */
}

/* Those that do hold it are not written down: they are all, all the time. */
static void note_member(struct look *look, int32_t broker_id, int topic, const struct partition *leader,
                        bool in_sync)
{
    struct counted *counted = look->counted;
    int broker = broker_id - BROKER_BASE;
    int64_t end = leader->core.high_watermark;
    if (broker < 0 || broker >= CLUSTER_BROKERS_MAX)
        return;
    bool *lost = &counted->lost[broker][topic][leader->index];
    *lost = *lost && in_sync;
    if (*lost || !in_sync || !still_in_sync(counted, topic, leader->index, broker_id))
        return;
    int64_t *known = &counted->ends[broker][topic][leader->index];
    int64_t held = counted->open[broker][topic][leader->index];
    *known = MAX(*known, end);
    if (held < 0 || held >= end)
        return;
    struct history_record record = cluster_note(HISTORY_METADATA, broker_id, topic, leader->index);
    record.what = HISTORY_JOINED;
    record.epoch = leader->core.leader_epoch;
    record.offset = held;
    record.arg = end;
    cluster_record(counted->cluster, record);
}

static void look_at_leader(struct look *look, const struct partition *partition)
{
    const struct replica *core = &partition->core;
    int topic = topic_of(partition);
    int32_t *newest = &look->counted->epochs[topic][partition->index];
    if (core->leader_epoch < *newest)
        return; /* deposed, and does not know it yet: nothing that it counts on counts */
    *newest = core->leader_epoch;
    int64_t *start = &look->counted->leader_starts[topic][partition->index];
    *start = MAX(*start, core->log_start);
    for (int32_t i = 0; i < core->members_count; i++)
        note_member(look, core->members[i].broker_id, topic, partition, core->isr & replica_bit(i));
}

/* -- replicas that were moved away: their data is deleted, they owe nothing -- */

static void forget_moved(struct counted *counted, int topic, int index)
{
    const struct counted_known *known = &counted->known[topic][index];
    for (int b = 0; b < CLUSTER_BROKERS_MAX; b++) {
        if (!known->said || (known->replicas & broker_bit(b + BROKER_BASE)))
            continue;
        counted->ends[b][topic][index] = -1;
        counted->lost[b][topic][index] = false;
    }
}

static void look_for_moves(struct counted *counted)
{
    for (int t = 0; t < CLUSTER_TOPICS_MAX; t++)
        for (int i = 0; i < CLUSTER_PARTITIONS_MAX; i++)
            forget_moved(counted, t, i);
}

void counted_look(struct counted *counted)
{
    if (counted == NULL)
        return;
    struct look look = {.counted = counted, .image = newest_image(counted)};
    learn(counted, look.image);
    memset(counted->open, 0xff, sizeof(counted->open)); /* -1 */
    for (int i = 0; i < counted->cluster->options.brokers; i++) {
        const struct broker *broker = node_broker(cluster_node(counted->cluster, ROLE_BROKER, i));
        look.broker = i;
        if (broker != NULL)
            broker_each_replica(broker, note_replica, &look);
    }
    for (int i = 0; i < look.leader_count; i++)
        look_at_leader(&look, look.leaders[i]);
    look_for_moves(counted);
}

static void on_tick(struct world_event *event)
{
    struct counted *counted = CONTAINER_OF(event, struct counted, tick);
    counted_look(counted);
    world_at(counted->cluster->world, event, world_now_us(counted->cluster->world) + LOOK_US);
}

/* -- what the disk holds -- */

struct held {
    struct node *node;
    int64_t start; /* of the log: removals of files below it reach the disk in any order */
    int64_t end;   /* -1: nothing read yet */
    bool broken;   /* a batch is missing or bad: nothing behind it counts */
};

static void read_batches(struct held *held, const char *path, const uint8_t *p, size_t len)
{
    size_t size;
    while (len >= BATCH_HEADER_BYTES && batch_peek(p, len, &size) == OK && size <= len &&
           batch_verify(p, size) == OK) {
        int64_t base = batch_base_offset(p);
        bool deleted = held->end < held->start && base <= held->start;
        if (held->end >= 0 && base != held->end && !deleted)
            break;
        held->end = batch_next_offset(p);
        p += size;
        len -= size;
    }
    while (len > 0 && *p == 0) { /* room that was made ahead, perhaps given back without a sync */
        p++;
        len--;
    }
    held->broken = len > 0;
    if (held->broken)
        world_trace(held->node->cluster->world,
                    "%s: %s ends at %lld, %zu bytes before its end (base offset there %lld)",
                    process_name(held->node->process), path, (long long)held->end, len,
                    len >= BATCH_HEADER_BYTES ? (long long)batch_base_offset(p) : -1);
}

/* Segments come in the order of their offsets. */
static bool read_file(void *ctx, const char *path, uint64_t size)
{
    struct held *held = ctx;
    size_t len = strlen(path), got = 0;
    if (len < 24 || strcmp(path + len - 4, ".log") != 0)
        return true;
    if (held->end < 0) /* what came before was deleted */
        held->end = strtoll(path + len - 24, NULL, 10);
    if (size == 0)
        return true;
    uint8_t *bytes = malloc(size);
    ASSERT(bytes != NULL);
    if (disk_peek(held->node->process, path, 0, bytes, size, &got) == OK)
        read_batches(held, path, bytes, got);
    free(bytes);
    return !held->broken;
}

/* A follower that ends below the leader's log start drops all it has and starts over there: what was deleted
 * is owed by nobody. */
static bool owes(const struct counted *counted, int broker, int topic, int partition)
{
    return counted->ends[broker][topic][partition] > counted->leader_starts[topic][partition];
}

int64_t counted_start(const struct counted *counted, int broker, int topic, int partition)
{
    return MIN(counted->starts[broker][topic][partition], counted->leader_starts[topic][partition]);
}

static void record_held(struct counted *counted, struct node *node, int topic, int partition, int64_t end)
{
    char dir[64];
    struct held held = {.node = node, .end = -1};
    held.start = counted->starts[node->id - BROKER_BASE][topic][partition];
    snprintf(dir, sizeof(dir), "/data/t%d-%d", topic, partition);
    disk_walk(node->process, dir, read_file, &held);
    struct history_record record = cluster_note(HISTORY_METADATA, node->id, topic, partition);
    record.what = HISTORY_HELD;
    record.offset = MAX(held.end, 0);
    record.arg = end;
    cluster_record(counted->cluster, record);
}

void counted_died(struct counted *counted, struct node *node)
{
    int broker = node->id - BROKER_BASE;
    if (counted == NULL || node->role != ROLE_BROKER || node == counted->cluster->rotten)
        return;
    counted_look(counted); /* the other brokers */
    for (int t = 0; t < counted->cluster->options.topics; t++)
        for (int p = 0; p < counted->cluster->options.partitions; p++)
            if (owes(counted, broker, t, p) && t != counted->cluster->options.compact_topic)
                record_held(counted, node, t, p, counted->ends[broker][t][p]);
}

void counted_lost(struct counted *counted, struct node *node)
{
    int broker = node->id - BROKER_BASE;
    node->disks++;
    for (int t = 0; t < CLUSTER_TOPICS_MAX; t++) {
        for (int p = 0; p < CLUSTER_PARTITIONS_MAX; p++) {
            counted->lost[broker][t][p] = counted->ends[broker][t][p] >= 0;
            counted->ends[broker][t][p] = -1;
        }
    }
}

bool counted_any_lost(const struct counted *counted)
{
    const bool *lost = &counted->lost[0][0][0];
    for (size_t i = 0; i < sizeof(counted->lost); i++)
        if (lost[i])
            return true;
    return false;
}

/* -- life -- */

struct counted *counted_new(struct cluster *cluster)
{
    struct counted *counted = calloc(1, sizeof(*counted));
    if (counted == NULL)
        return NULL;
    counted->cluster = cluster;
    memset(counted->ends, 0xff, sizeof(counted->ends)); /* -1 */
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
