/* SPDX-License-Identifier: Apache-2.0 */
/* A broker as a process of the world: what broker/main.c does, on the simulated env. */
#include <stdio.h>
#include <stdlib.h>

#include "broker/broker.h"
#include "broker/config.h"
#include "broker/shard/partition.h"
#include "common/base/assert.h"
#include "common/config/config.h"
#include "common/obs/metrics.h"
#include "tests/sim/nodes.h"

struct broker_object {
    struct broker *broker;
    struct config *settings;
    struct broker_config config;
    struct metrics *metrics;
    struct logger log;
    char host[16];
};

static void on_failed(void *ctx, const char *why)
{
    node_failed(ctx, why);
}

static void on_stopped(void *ctx)
{
    node_stopped(ctx);
}

/* Much happens often: what is rare in production meets faults here. */
static void apply_unkind_settings(struct node *node, struct config *settings)
{
    node_set(node, settings, "memory.budget.bytes", "64MiB");
    node_set_number(node, settings, "log.cleaner.backoff.ms", 300);
    node_set_number(node, settings, "log.retention.check.interval.ms", 300);
    node_set(node, settings, "log.tail.cache.bytes", "32KiB"); /* much is read from files all the same */
    node_set(node, settings, "log.scrub.period.ms", "5s");
    node_set(node, settings, "log.open.files", "12"); /* closed and opened again all the time */
}

static void apply_settings(struct node *node, struct broker_object *object)
{
    const struct cluster_options *options = &node->cluster->options;
    struct config *settings = object->settings;
    char text[256];
    config_add(settings, broker_settings(), &object->config);
    node_set_number(node, settings, "node.id", (uint64_t)node->id);
    snprintf(text, sizeof(text), "PLAINTEXT://%s:%d,REPLICATION://%s:%d", object->host, BROKER_PORT,
             object->host, REPLICA_PORT);
    node_set(node, settings, "listeners", text);
    node_set(node, settings, "controller.quorum.bootstrap.servers",
             cluster_controllers_text(node->cluster, false, text, sizeof(text)));
    node_set(node, settings, "log.dirs", "/data");
    node_set_number(node, settings, "num.shards", (uint64_t)options->shards);
    node_set_number(node, settings, "broker.session.timeout.ms", options->session_us / 1000);
    node_set_number(node, settings, "num.partitions", (uint64_t)options->partitions);
    node_set_number(node, settings, "default.replication.factor", (uint64_t)options->replicas);
    node_set_number(node, settings, "min.insync.replicas", (uint64_t)options->min_isr);
    node_set_number(node, settings, "log.segment.bytes", options->segment_bytes);
    node_set_number(node, settings, "offsets.topic.num.partitions", 2);
    node_set_number(node, settings, "offsets.topic.replication.factor", (uint64_t)options->replicas);
    node_set_number(node, settings, "offsets.topic.segment.bytes", options->segment_bytes);
    node_set_number(node, settings, "transaction.state.log.num.partitions", 2);
    node_set_number(node, settings, "transaction.state.log.replication.factor", (uint64_t)options->replicas);
    node_set_number(node, settings, "transaction.state.log.segment.bytes", options->segment_bytes);
    node_set(node, settings, "group.initial.rebalance.delay.ms", "100");
    node_set(node, settings, "group.min.session.timeout.ms", "1000");
    node_set(node, settings, "group.consumer.session.timeout.ms", "3s");
    node_set(node, settings, "group.consumer.heartbeat.interval.ms", "500");
    if (!options->large)
        apply_unkind_settings(node, settings);
    if (options->compact_slowly)
        node_set(node, settings, "log.cleaner.io.max.bytes.per.second", "64KiB");
    if (options->lag_ms > 0)
        node_set_number(node, settings, "replica.lag.time.max.ms", options->lag_ms);
}

static bool broker_begin(struct node *node, struct env *env)
{
    struct broker_object *object = calloc(1, sizeof(*object));
    char message[BROKER_MESSAGE_MAX];
    node->object = object;
    node_logger(node, &object->log);
    snprintf(object->host, sizeof(object->host), "%s", process_name(node->process));
    object->settings = config_new();
    apply_settings(node, object);
    object->metrics = metrics_new();
    const struct broker_options options = {.config = &object->config,
                                           .settings = object->settings,
                                           .default_host = object->host,
                                           .log = &object->log,
                                           .metrics = object->metrics,
                                           .ctx = node,
                                           .failed = on_failed,
                                           .stopped = on_stopped};
    const char *problem = broker_config_problem(&object->config);
    ASSERT(problem == NULL);
    enum err err = broker_new(env, &options, &object->broker, message);
    snprintf(node->trouble, sizeof(node->trouble), "%.*s", (int)sizeof(node->trouble) - 1,
             err != OK ? message : "");
    if (err == OK)
        broker_start(object->broker);
    return err == OK;
}

static void broker_end(struct node *node)
{
    struct broker_object *object = node->object;
    broker_stop(object->broker);
}

static void broker_let_go(struct node *node)
{
    struct broker_object *object = node->object;
    metrics_free(object->metrics);
    broker_free(object->broker);
    logger_close(&object->log);
    config_free(object->settings);
    free(object);
    node->object = NULL;
}

struct broker *node_broker(const struct node *node)
{
    const struct broker_object *object = node->object;
    return node->started && object != NULL ? object->broker : NULL;
}

struct epoch_look {
    const char *topic;
    int32_t partition, epoch;
    bool any_role;
};

static void look_for_epoch(void *ctx, struct partition *partition)
{
    struct epoch_look *look = ctx;
    struct partition_view view;

    if (!str_eq_z(partition_topic(partition), look->topic) || partition_index(partition) != look->partition)
        return;
    partition_get(partition, &view);
    look->epoch = view.is_leader || look->any_role ? view.leader_epoch : -1;
}

static int32_t look_up_epoch(const struct node *node, struct epoch_look look)
{
    if (node_broker(node) != NULL)
        broker_each_replica(node_broker(node), look_for_epoch, &look);
    return look.epoch;
}

int32_t node_leader_epoch(const struct node *node, const char *topic, int32_t partition)
{
    return look_up_epoch(node, (struct epoch_look){.topic = topic, .partition = partition, .epoch = -1});
}

int32_t node_known_epoch(const struct node *node, const char *topic, int32_t partition)
{
    return look_up_epoch(
        node, (struct epoch_look){.topic = topic, .partition = partition, .epoch = -1, .any_role = true});
}

const struct role_ops role_broker = {
    .name = "broker", .begin = broker_begin, .stop = broker_end, .free = broker_let_go};
