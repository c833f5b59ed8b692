/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/observe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/broker.h"
#include "broker/log/manifest.h"
#include "broker/shard/partition_internal.h"
#include "common/base/assert.h"
#include "controller/controller_internal.h"
#include "controller/raft_log.h"
#include "controller/storage.h"
#include "proto/cluster/image.h"
#include "proto/cluster/topic_config.h"
#include "tests/sim/nodes.h"
#include "tests/sim/world/sim_heap.h"

#define LOOK_US             20000
#define OBSERVERS_OF_A_DISK 1000u

/* "t<number>" -> number; -1 for other topics. */
static int topic_number(struct str name)
{
    if (name.len != 2 || name.p[0] != 't' || name.p[1] < '0' || name.p[1] >= '0' + CLUSTER_TOPICS_MAX)
        return -1;
    return name.p[1] - '0';
}

/* The same, and the numbers of topics that clients do not choose. */
static int looked_at_number(struct str name)
{
    for (int i = CLUSTER_TOPICS_MAX; i < CLUSTER_LOOKED_AT; i++)
        if (str_eq(name, str_from(cluster_other_topic(i))))
            return i;
    return topic_number(name);
}

static struct image *newest_image(struct cluster *cluster, struct node **ret_node)
{
    struct image *newest = NULL;
    for (int i = 0; i < cluster_count(cluster, ROLE_CONTROLLER); i++) {
        struct node *node = cluster_node(cluster, ROLE_CONTROLLER, i);
        struct controller *controller = node_controller(node);
        struct image *image = controller != NULL ? controller_image(controller) : NULL;
        if (image == NULL)
            continue;
        bool leads = controller_status(controller).leads; /* of equal ones, that of the leader */
        if (newest != NULL && image_index(image) + leads <= image_index(newest))
            continue;
        newest = image;
        *ret_node = node;
    }
    return newest;
}

/* -- partitions of an image -- */

static uint64_t bits_of(const int32_t *ids, int32_t count)
{
    uint64_t bits = 0;
    for (int32_t i = 0; i < count; i++)
        bits |= 1ull << (ids[i] % 64);
    return bits;
}

static void note_leader(struct cluster *cluster, int topic, int partition, int32_t epoch, int32_t leader,
                        bool unclean)
{
    struct history_record record = cluster_note(HISTORY_METADATA, leader, topic, partition);
    record.what = HISTORY_LEADER;
    record.epoch = epoch;
    record.flags = unclean ? HISTORY_UNCLEAN : 0;
    cluster_record(cluster, record);
}

/* Allowed, and led by a replica that was not known to be complete: what it lacks may be lost. */
static bool is_unclean(const struct observer *observer, const struct seen_partition *seen,
                       const struct image_partition *p)
{
    return observer->cluster->options.unclean_elections && p->leader_epoch > seen->leader_epoch &&
           seen->epoch > 0 && !(seen->complete & 1ull << (p->leader % 64));
}

static void note_moves(struct observer *observer, const struct seen_partition *seen, int topic,
                       const struct image_partition *p)
{
    uint64_t gone = seen->replicas & ~bits_of(p->replicas, p->replicas_count);
    for (int b = 0; b < CLUSTER_BROKERS_MAX; b++)
        observer->moved[b][topic][p->index] += gone >> (CLUSTER_BROKER_BASE + b) % 64 & 1;
}

static void note_change(struct observer *observer, struct seen_partition *seen, int topic,
                        const struct image_partition *p)
{
    struct cluster *cluster = observer->cluster;
    note_moves(observer, seen, topic, p);
    struct history_record isr = cluster_note(HISTORY_METADATA, 0, topic, p->index);
    isr.what = HISTORY_ISR;
    isr.epoch = p->leader_epoch;
    isr.offset = p->partition_epoch;
    isr.arg = (int64_t)(bits_of(p->isr, p->isr_count) | bits_of(p->elr, p->elr_count));
    isr.arg2 = (int64_t)bits_of(p->replicas, p->replicas_count);
    cluster_record(cluster, isr);
    if (p->leader >= 0)
        note_leader(cluster, topic, p->index, p->leader_epoch, p->leader, is_unclean(observer, seen, p));
    cluster->reached[REACH_ISR_SHRUNK] += p->isr_count < seen->isr_count;
    cluster->reached[REACH_ISR_EXPANDED] += seen->isr_count > 0 && p->isr_count > seen->isr_count;
    cluster->reached[REACH_LEADER_CHANGED] += p->leader_epoch > seen->leader_epoch;
    *seen = (struct seen_partition){.epoch = p->partition_epoch + 1,
                                    .leader_epoch = p->leader_epoch,
                                    .isr_count = p->isr_count,
                                    .complete = (uint64_t)isr.arg,
                                    .replicas = (uint64_t)isr.arg2};
}

struct topic_look {
    struct observer *observer;
    const struct image *image;
};

static bool look_at_topic(void *ctx, const struct image_topic *topic)
{
    struct topic_look *look = ctx;
    int number = looked_at_number(topic->name);
    for (int32_t i = 0; number >= 0 && i < MIN(topic->partitions_count, CLUSTER_PARTITIONS_MAX); i++) {
        const struct image_partition *p = image_partition(look->image, topic, i);
        struct seen_partition *seen = &look->observer->partitions[number][i];
        if (p != NULL && p->partition_epoch >= seen->epoch)
            note_change(look->observer, seen, number, p);
    }
    return true;
}

static bool look_at_broker(void *ctx, const struct image_broker *broker)
{
    struct observer *observer = ctx;
    uint64_t bit = 1ull << (broker->id % 64);
    if (broker->fenced && !(observer->fenced & bit))
        observer->cluster->reached[REACH_BROKER_FENCED]++;
    observer->fenced = broker->fenced ? observer->fenced | bit : observer->fenced & ~bit;
    return true;
}

/* -- controllers -- */

/* What it has applied since the last look: terms of entries say which ones they are (thesis, figure 3.2: log
 * matching), their types whether the log holds what was appended. */
static void look_at_entries(struct observer *observer, const struct node *node,
                            const struct controller *controller, uint64_t applied)
{
    uint64_t *seen = &observer->entry_seen[node - observer->cluster->nodes];
    if (controller->storage == NULL) /* it has ended */
        return;
    const struct raft_log *log = storage_log(controller->storage);
    if (applied < *seen)
        *seen = 0; /* it has started again */
    for (uint64_t i = MAX(*seen + 1, raft_log_first(log)); i <= MIN(applied, raft_log_last(log)); i++) {
        struct history_record record = cluster_note(HISTORY_ENTRY, node->id, -1, 0);
        record.offset = (int64_t)i;
        record.epoch = (int32_t)raft_log_term(log, i);
        record.arg = raft_log_type(log, i);
        cluster_record(observer->cluster, record);
    }
    *seen = applied;
}

static void note_image(struct observer *observer, const struct node *node, const struct image *image)
{
    int i = (int)(node - observer->cluster->nodes);
    if (image == NULL || image_index(image) == 0 || image_index(image) == observer->image_seen[i])
        return;
    observer->image_seen[i] = image_index(image);
    struct history_record record = cluster_note(HISTORY_IMAGE, node->id, -1, 0);
    record.offset = (int64_t)image_index(image);
    record.arg = (int64_t)image_hash(image);
    cluster_record(observer->cluster, record);
}

static void look_at_controller(struct observer *observer, struct node *node)
{
    struct controller *controller = node_controller(node);
    int i = (int)(node - observer->cluster->nodes);
    if (controller == NULL)
        return;
    struct consensus_status status = controller_status(controller);
    if (status.leader == node->id && status.term != observer->term_seen[i]) { /* active or not yet */
        observer->term_seen[i] = status.term;
        observer->cluster->reached[REACH_ELECTION]++;
        struct history_record record = cluster_note(HISTORY_METADATA, node->id, -1, 0);
        record.what = HISTORY_LEADER;
        record.topic = HISTORY_QUORUM;
        record.partition = 0;
        record.epoch = (int32_t)status.term;
        cluster_record(observer->cluster, record);
    }
    look_at_entries(observer, node, controller, status.applied_index);
    note_image(observer, node, controller_image(controller));
}

static void look(struct observer *observer)
{
    struct cluster *cluster = observer->cluster;
    struct node *node;
    for (int i = 0; i < cluster_count(cluster, ROLE_CONTROLLER); i++)
        look_at_controller(observer, cluster_node(cluster, ROLE_CONTROLLER, i));
    const struct image *newest = newest_image(cluster, &node);
    if (newest == NULL || image_index(newest) <= observer->newest_index)
        return;
    observer->newest_index = image_index(newest);
    struct topic_look topic_look = {.observer = observer, .image = newest};
    image_each_topic(newest, look_at_topic, &topic_look);
    image_each_broker(newest, look_at_broker, observer);
}

/* -- brokers -- */

struct broker_look {
    struct observer *observer;
    struct node *node;
    int index; /* of the broker */
};

/* A number that a leader told, when it is another than before: a call of no time. Returns whether it was. */
static bool note_sample(struct broker_look *at, int topic, int partition, int32_t epoch,
                        enum history_what what, int64_t value, int64_t *known)
{
    struct history_record record = cluster_note(HISTORY_SAMPLE, at->node->id, topic, partition);
    if (*known == value)
        return false;
    *known = value;
    /* neither an empty disk remembers anything, nor a log that was deleted and made anew */
    record.process +=
        OBSERVERS_OF_A_DISK * (at->node->disks + at->observer->moved[at->index][topic][partition]);
    record.what = (uint8_t)what;
    record.call = ++at->observer->calls;
    record.type = HISTORY_INVOKE;
    cluster_record(at->observer->cluster, record);
    record.type = HISTORY_OK;
    record.epoch = epoch;
    record.offset = value;
    cluster_record(at->observer->cluster, record);
    return true;
}

/* retention.messages may take all but so many committed records. */
static void note_retention(struct cluster *cluster, int topic, int partition,
                           const struct partition_view *view)
{
    if (topic != cluster->options.compact_topic || !cluster->options.compact_delete)
        return;
    int64_t *committed = &cluster->committed[topic][partition];
    *committed = MAX(*committed, view->high_watermark);
    int64_t *allowed = &cluster->retained[topic][partition];
    if (*committed - CLUSTER_RETAINED <= *allowed)
        return;
    *allowed = *committed - CLUSTER_RETAINED;
    struct history_record record = cluster_note(HISTORY_TRIM, 0, topic, partition);
    record.offset = *allowed;
    cluster_record(cluster, record);
}

/* As in Kafka a new log start may be forgotten with the process until it is written down: on a full disk that
 * takes until there is room. */
static bool starts_are_durable(const struct partition *partition)
{
    struct manifest *manifest = partition->host->manifest;
    return manifest == NULL || manifest_reached(manifest, manifest_mark(manifest));
}

/* Such a log start is wrong whether it is durable or not. */
static bool start_counts(const struct partition *partition, const struct partition_view *view)
{
    return view->log_start > view->high_watermark ||
           (starts_are_durable(partition) && replica_low_watermark(&partition->core) >= view->log_start);
}

static void look_at_replica(void *ctx, struct partition *partition)
{
    struct broker_look *at = ctx;
    struct partition_view view;
    int topic = looked_at_number(partition_topic(partition)), index = partition_index(partition);
    partition_get(partition, &view);
    if (topic < 0 || index >= CLUSTER_PARTITIONS_MAX || !view.is_leader)
        return;
    struct sampled *known = &at->observer->sampled[at->index][topic][index];
    if (known->epoch != view.leader_epoch + 1) {
        *known = (struct sampled){view.leader_epoch + 1, -1, -1, -1};
        note_leader(at->observer->cluster, topic, index, view.leader_epoch, at->node->id, false);
    }
    note_retention(at->observer->cluster, topic, index, &view);
    bool bounded =
        start_counts(partition, &view) && note_sample(at, topic, index, view.leader_epoch, HISTORY_LOG_START,
                                                      view.log_start, &known->log_start);
    bounded |= note_sample(at, topic, index, view.leader_epoch, HISTORY_LAST_STABLE, view.last_stable_offset,
                           &known->last_stable);
    if (bounded) /* by the high watermark of this moment */
        known->high_watermark = -1;
    note_sample(at, topic, index, view.leader_epoch, HISTORY_HIGH_WATERMARK, view.high_watermark,
                &known->high_watermark);
}

static void look_at_brokers(struct observer *observer)
{
    for (int i = 0; i < observer->cluster->options.brokers; i++) {
        struct broker_look at = {
            .observer = observer, .node = cluster_node(observer->cluster, ROLE_BROKER, i), .index = i};
        char reason[256];
        if (node_broker(at.node) != NULL)
            note_image(observer, at.node, broker_image(node_broker(at.node)));
        if (node_broker(at.node) != NULL && broker_ready(node_broker(at.node), reason, sizeof(reason)))
            broker_each_replica(node_broker(at.node), look_at_replica,
                                &at); /* before that it serves nobody */
    }
}

static void trace_replica(void *ctx, struct partition *partition)
{
    struct broker_look *at = ctx;
    struct partition_view view;
    char name[64];
    partition_get(partition, &view);
    world_trace(at->observer->cluster->world,
                "%s: %s-%d %s%s%s leader=%d epoch=%d/%d log=%lld..%lld synced=%lld hw=%lld isr=%d/%d",
                process_name(at->node->process), str_copy(partition_topic(partition), name, sizeof(name)),
                partition_index(partition), view.is_leader ? "leader" : "",
                view.is_follower ? "follower" : "", view.offline ? " offline" : "", view.leader,
                view.leader_epoch, view.partition_epoch, (long long)view.log_start, (long long)view.log_end,
                (long long)view.synced_end, (long long)view.high_watermark, view.isr_count,
                view.replicas_count);
}

void observer_trace(struct observer *observer)
{
    for (int i = 0; i < observer->cluster->options.brokers; i++) {
        struct broker_look at = {.observer = observer,
                                 .node = cluster_node(observer->cluster, ROLE_BROKER, i)};
        if (node_broker(at.node) != NULL)
            broker_each_replica(node_broker(at.node), trace_replica, &at);
    }
}

/* -- life -- */

static void on_tick(struct world_event *event)
{
    struct observer *observer = CONTAINER_OF(event, struct observer, tick);
    look(observer);
    look_at_brokers(observer);
    world_at(observer->cluster->world, event, world_now_us(observer->cluster->world) + LOOK_US);
}

void observer_start(struct observer *observer, struct cluster *cluster)
{
    *observer = (struct observer){.cluster = cluster, .tick.fn = on_tick};
    world_at(cluster->world, &observer->tick, world_now_us(cluster->world) + LOOK_US);
}

void observer_end(struct observer *observer)
{
    look_at_brokers(observer); /* retention may have gone on since the last look, and readers seen it */
    world_cancel(observer->cluster->world, &observer->tick);
}

/* -- is it whole? -- */

static const struct image_partition *partition_of(const struct image *image, int topic, int partition)
{
    char name[CLUSTER_TOPIC_NAME_MAX];
    cluster_topic_name(topic, name);
    const struct image_topic *found = image_topic_by_name(image, str_from(name));
    return found != NULL && partition < found->partitions_count ? image_partition(image, found, partition)
                                                                : NULL;
}

static bool part_is_whole(const struct image_partition *p, int topic, int index, char *why, size_t size)
{
    char name[CLUSTER_TOPIC_NAME_MAX];
    if (p != NULL && p->leader >= 0 && p->isr_count == p->replicas_count)
        return true;
    cluster_topic_name(topic, name);
    snprintf(why, size, "%s-%d: leader %d, %d of %d replicas in sync", name, index,
             p != NULL ? p->leader : -1, p != NULL ? p->isr_count : 0, p != NULL ? p->replicas_count : 0);
    return false;
}

static bool parts_are_whole(const struct cluster *cluster, const struct image *image, char *why, size_t size)
{
    const struct image_partition *p;
    for (int t = 0; t < cluster->options.topics; t++)
        for (int i = 0; i < cluster->options.partitions; i++)
            if (!part_is_whole(partition_of(image, t, i), t, i, why, size))
                return false;
    for (int i = 0; (p = partition_of(image, CLUSTER_TXN_TOPIC, i)) != NULL; i++)
        if (!part_is_whole(p, CLUSTER_TXN_TOPIC, i, why, size))
            return false;
    return true;
}

/* What was acknowledged with acks=1 is read by nobody before the followers have it, too. */
static void look_at_tail(void *ctx, struct partition *partition)
{
    struct partition_view *open = ctx, view;
    partition_get(partition, &view);
    if (view.is_leader && topic_number(partition_topic(partition)) >= 0 && view.high_watermark < view.log_end)
        *open = view;
}

static bool tails_are_committed(struct cluster *cluster, char *why, size_t size)
{
    struct partition_view open = {.is_leader = false};
    for (int i = 0; i < cluster->options.brokers; i++)
        if (node_broker(cluster_node(cluster, ROLE_BROKER, i)) != NULL)
            broker_each_replica(node_broker(cluster_node(cluster, ROLE_BROKER, i)), look_at_tail, &open);
    if (open.is_leader)
        snprintf(why, size, "a leader's high watermark is %lld, its log end %lld",
                 (long long)open.high_watermark, (long long)open.log_end);
    return !open.is_leader;
}

/* Leaders whose ISR is complete, and how many they are. */
struct complete {
    int leaders;
    bool all;
};

static void look_at_isr(void *ctx, struct partition *partition)
{
    struct complete *complete = ctx;
    struct partition_view view;
    partition_get(partition, &view);
    if (!view.is_leader || topic_number(partition_topic(partition)) < 0)
        return;
    complete->leaders++;
    complete->all = complete->all && view.isr_count == view.replicas_count;
}

static bool leaders_agree(struct cluster *cluster)
{
    struct complete complete = {.all = true};
    for (int i = 0; i < cluster->options.brokers; i++)
        if (node_broker(cluster_node(cluster, ROLE_BROKER, i)) != NULL)
            broker_each_replica(node_broker(cluster_node(cluster, ROLE_BROKER, i)), look_at_isr, &complete);
    return complete.all && complete.leaders == cluster->options.topics * cluster->options.partitions;
}

bool cluster_is_registered(struct cluster *cluster, char *why, size_t size)
{
    char reason[CLUSTER_TEXT_MAX / 2];
    for (int i = 0; i < cluster->options.brokers; i++) {
        const struct node *node = cluster_node(cluster, ROLE_BROKER, i);
        snprintf(reason, sizeof(reason), "it does not run");
        if (node_broker(node) != NULL && broker_ready(node_broker(node), reason, sizeof(reason)))
            continue;
        snprintf(why, size, "%s does not serve: %s", process_name(node->process), reason);
        return false;
    }
    return true;
}

bool cluster_is_whole(struct cluster *cluster, char *why, size_t size)
{
    struct node *node = NULL;
    for (int i = 0; i < cluster->node_count; i++) {
        const struct node *each = &cluster->nodes[i];
        if (each->wanted && !each->started) {
            snprintf(why, size, "%s does not run: %s", process_name(each->process), each->trouble);
            return false;
        }
        if (each->pending > 0) {
            snprintf(why, size, "%s waits for %llu answers", process_name(each->process),
                     (unsigned long long)each->pending);
            return false;
        }
    }
    const struct image *image = newest_image(cluster, &node);
    if (image == NULL || !controller_status(node_controller(node)).leads) {
        snprintf(why, size, "no active controller has the newest metadata");
        return false;
    }
    if (!parts_are_whole(cluster, image, why, size) || !cluster_is_registered(cluster, why, size) ||
        !tails_are_committed(cluster, why, size) || !cluster_is_sound(cluster, why, size))
        return false;
    snprintf(why, size, "not every partition has a leader that has all replicas in sync");
    return leaders_agree(cluster); /* brokers may just have started, and the metadata are of before */
}

/* All topics, those of the coordinators (what groups and transactions were promised) and of transactions
 * among them. */
struct any_topics {
    const struct image *image;
    bool whole;
};

static bool look_at_any(void *ctx, const struct image_topic *topic)
{
    struct any_topics *any = ctx;
    for (int32_t i = 0; i < topic->partitions_count; i++) {
        const struct image_partition *p = image_partition(any->image, topic, i);
        any->whole = any->whole && p->leader >= 0 && p->isr_count == p->replicas_count;
    }
    return any->whole;
}

static bool topics_are_whole(const struct image *image)
{
    struct any_topics any = {.image = image, .whole = true};
    image_each_topic(image, look_at_any, &any);
    return any.whole;
}

bool cluster_is_in_sync(struct cluster *cluster)
{
    struct node *node;
    char why[CLUSTER_TEXT_MAX];
    const struct image *image = newest_image(cluster, &node);
    /* others may just have read their logs again, and know old things only */
    return image != NULL && controller_status(node_controller(node)).leads &&
           parts_are_whole(cluster, image, why, sizeof(why)) && topics_are_whole(image) &&
           leaders_agree(cluster);
}

struct uuid cluster_disk(struct cluster *cluster, const struct node *broker)
{
    struct node *node;
    const struct image *image = newest_image(cluster, &node);
    bool leads = image != NULL && controller_status(node_controller(node)).leads;
    const struct image_broker *found = leads ? image_broker(image, broker->id) : NULL;
    return found != NULL ? found->directory_id : (struct uuid){0};
}

/* Where the log of a leader of the newest epoch ends. */
struct log_end {
    struct str topic;
    const struct image_partition *newest;
    int64_t end, high_watermark;
};

static void look_at_end(void *ctx, struct partition *partition)
{
    struct log_end *at = ctx;
    struct partition_view view;
    partition_get(partition, &view);
    if (view.is_leader && partition_index(partition) == at->newest->index &&
        str_eq(partition_topic(partition), at->topic) && view.leader_epoch == at->newest->leader_epoch)
        at->end = view.log_end, at->high_watermark = view.high_watermark;
}

static struct log_end leader_end(struct cluster *cluster, const char *topic, int partition)
{
    struct node *node;
    const struct image *image = newest_image(cluster, &node);
    const struct image_topic *found = image != NULL ? image_topic_by_name(image, str_from(topic)) : NULL;
    struct log_end at = {.topic = str_from(topic), .end = -1, .high_watermark = -1};
    if (found == NULL || partition >= found->partitions_count)
        return at;
    at.newest = image_partition(image, found, partition);
    for (int i = 0; i < cluster->options.brokers; i++)
        if (node_broker(cluster_node(cluster, ROLE_BROKER, i)) != NULL)
            broker_each_replica(node_broker(cluster_node(cluster, ROLE_BROKER, i)), look_at_end, &at);
    return at;
}

int64_t cluster_log_end(struct cluster *cluster, const char *topic, int partition)
{
    return leader_end(cluster, topic, partition).end;
}

int64_t cluster_high_watermark(struct cluster *cluster, const char *topic, int partition)
{
    return leader_end(cluster, topic, partition).high_watermark;
}

static void note_register(struct cluster *cluster, uint32_t topic, uint32_t call, int64_t value)
{
    struct history_record record = cluster_note(HISTORY_ADMIN, 0, -1, 0);
    record.what = HISTORY_GET;
    record.topic = topic;
    record.partition = 0;
    record.call = call;
    record.type = HISTORY_INVOKE;
    cluster_record(cluster, record);
    record.type = HISTORY_OK;
    record.arg = value;
    cluster_record(cluster, record);
}

void observe_registers(struct cluster *cluster)
{
    struct node *node;
    char name[16], value[32] = "";
    uint32_t call = 0;
    const struct image *image = newest_image(cluster, &node);
    for (int i = 0; image != NULL && i < CLUSTER_SPARE_TOPICS; i++) {
        snprintf(name, sizeof(name), "x%d", i);
        note_register(cluster, CLUSTER_REGISTER_TOPIC + (uint32_t)i, ++call,
                      image_topic_by_name(image, str_from(name)) != NULL);
    }
    for (int i = 0; image != NULL && i < cluster->options.topics; i++) {
        snprintf(name, sizeof(name), "t%d", i);
        struct str text =
            image_config(image, CONFIG_RESOURCE_TOPIC, str_from(name), str_from(CLUSTER_SETTING));
        int64_t number = text.len > 0 ? strtoll(str_copy(text, value, sizeof(value)), NULL, 10) : 0;
        note_register(cluster, CLUSTER_REGISTER_SETTING + (uint32_t)i, ++call, number);
    }
}

void cluster_look(struct cluster *cluster, int topic, int partition, struct cluster_part *ret_part)
{
    struct node *node;
    const struct image *image = newest_image(cluster, &node);
    const struct image_partition *p = image != NULL ? partition_of(image, topic, partition) : NULL;
    *ret_part = (struct cluster_part){.known = p != NULL, .leader = p != NULL ? p->leader : -1};
    for (int32_t i = 0; p != NULL && i < p->isr_count; i++)
        ret_part->isr |= 1ull << (p->isr[i] - CLUSTER_BROKER_BASE);
    for (int32_t i = 0; p != NULL && i < p->replicas_count; i++)
        ret_part->replicas |= 1ull << (p->replicas[i] - CLUSTER_BROKER_BASE);
    ret_part->isr_count = p != NULL ? p->isr_count : 0;
}

uint64_t cluster_replicas(struct cluster *cluster, int topic, int partition)
{
    struct node *node;
    const struct image *image = newest_image(cluster, &node);
    const struct image_partition *p = image != NULL ? partition_of(image, topic, partition) : NULL;
    uint64_t bits = 0;
    for (int32_t i = 0; p != NULL && i < p->replicas_count; i++)
        bits |= 1ull << (p->replicas[i] - 101);
    return bits;
}
