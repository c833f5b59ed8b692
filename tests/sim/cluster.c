/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/cluster.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/obs/log.h"
#include "tests/sim/counted.h"

#define RESTART_US     100000 /* of a process that ended by itself */
#define RESTART_MAX_US 3000000
#define FREE_US        2000 /* between two looks at a process that ends */

static const struct role_ops *const roles[ROLE_COUNT] = {[ROLE_CONTROLLER] = &role_controller,
                                                         [ROLE_BROKER] = &role_broker,
                                                         [ROLE_PRODUCER] = &role_producer,
                                                         [ROLE_CONSUMER] = &role_consumer,
                                                         [ROLE_ADMIN] = &role_admin,
                                                         [ROLE_READER] = &role_reader,
                                                         [ROLE_MEMBER] = &role_member,
                                                         [ROLE_TXN] = &role_txn,
                                                         [ROLE_TXN_READER] = &role_txn_reader,
                                                         [ROLE_REPLAYER] = &role_replayer,
                                                         [ROLE_GROUP_REPLAYER] = &role_group_replayer};

/* -- life -- */

static void node_begin(void *arg, struct env *env)
{
    struct node *node = arg;
    if (node->ops->begin(node, env)) {
        node->started = true;
        node->start_failures = 0;
    } else {
        node_failed(node, node->trouble);
    }
}

static void on_restart(struct world_event *event)
{
    struct node *node = CONTAINER_OF(event, struct node, restart);
    node->stopping = false;
    process_start(node->process, node_begin, node);
}

void node_start(struct node *node, uint64_t after_us)
{
    struct world *world = node->cluster->world;
    node->wanted = true;
    if (!process_alive(node->process) && node->restart.node.slot == 0)
        world_at(world, &node->restart, world_now_us(world) + after_us);
}

static bool node_has_lying_cache(const struct node *node)
{
    return disk_failures(node->process, DISK_SYNC) > node->sync_errors_seen;
}

static void note_assertion(struct node *node, const char *why)
{
    struct cluster *cluster = node->cluster;
    if (cluster->first_assertion[0] == '\0')
        snprintf(cluster->first_assertion, sizeof(cluster->first_assertion), "%s: %s",
                 process_name(node->process), why);
    if (!cluster->options.report_only)
        cluster_unhealthy(cluster, node, 1, 0);
}

static void on_death(void *ctx, struct process *process, const char *why)
{
    struct node *node = ctx;
    struct world *world = node->cluster->world;
    node->object = NULL;
    node->started = false;
    node->pending = 0;
    counted_died(node->cluster->counted, node);
    if (!process_host_up(process))
        node->sync_errors_seen = disk_failures(process, DISK_SYNC);
    world_cancel(world, &node->ending);
    if (strncmp(why, "assertion", 9) == 0)
        note_assertion(node, why);
    if (!node->wanted)
        return;
    uint64_t delay_us = node->restart_delay_us;
    if (delay_us == 0)
        delay_us = MIN((uint64_t)RESTART_US << MIN(node->start_failures, 5u), RESTART_MAX_US);
    node->restart_delay_us = 0;
    world_at(world, &node->restart, world_now_us(world) + delay_us);
}

void node_kill(struct node *node, enum world_death death, uint64_t down_us)
{
    if (!process_alive(node->process))
        return;
    node->restart_delay_us = down_us;
    counted_look(node->cluster->counted);
    process_kill(node->process, node_has_lying_cache(node) ? DEATH_POWER : death);
}

/* -- graceful end -- */

static void call_free(void *arg)
{
    struct node *node = arg;
    node->ops->free(node);
    node->ending_step = 2;
}

static void on_ending(struct world_event *event)
{
    struct node *node = CONTAINER_OF(event, struct node, ending);
    struct cluster *cluster = node->cluster;
    if (node->ending_step == 0 && process_is_alone(node->process)) {
        node->ending_step = 1;
        process_call(node->process, call_free, node);
    }
    if (node->ending_step < 2 || !process_is_idle(node->process)) {
        world_at(cluster->world, &node->ending, world_now_us(cluster->world) + FREE_US);
        return;
    }
    node->graceful_stops++;
    size_t left = process_end(node->process); /* on_death() plans the restart */
    cluster->stop_leaks += left > 0;
    cluster_unhealthy(cluster, node, (int64_t)left, 0); /* blocks of memory */
}

void node_stopped(struct node *node)
{
    struct world *world = node->cluster->world;
    node->ending_step = 0;
    world_at(world, &node->ending, world_now_us(world) + FREE_US);
}

static void call_stop(void *arg)
{
    struct node *node = arg;
    if (!node->started)
        return;
    node->ops->stop(node);
}

void node_stop(struct node *node, uint64_t down_us)
{
    if (!process_alive(node->process) || node->stopping)
        return;
    node->stopping = true;
    node->wanted = down_us != UINT64_MAX;
    node->restart_delay_us = down_us;
    world_trace(node->cluster->world, "%s: asked to stop", process_name(node->process));
    process_call(node->process, call_stop, node);
}

void node_failed(struct node *node, const char *why)
{
    if (why != node->trouble)
        snprintf(node->trouble, sizeof(node->trouble), "%s", why);
    world_trace(node->cluster->world, "%s: gives up: %s", process_name(node->process), node->trouble);
    node->start_failures++;
    process_kill(node->process, node_has_lying_cache(node) ? DEATH_POWER : DEATH_KILL);
}

/* -- the cluster -- */

static void on_member_wrote(void *ctx, const uint8_t *p, size_t len)
{
    struct node *node = ctx;
    bool is_static = (node->cluster->options.static_members >> (node->id - 1) & 1) != 0;
    group_replays_keep(&node->cluster->group_replays, is_static ? node->id : 0, p, len);
}

static void add_group_replayer(struct cluster *cluster)
{
    prng_seed(&cluster->group_replays.prng, cluster->options.seed);
    for (int i = 0; i < cluster->node_count; i++)
        if (cluster->nodes[i].role == ROLE_MEMBER)
            process_tap(cluster->nodes[i].process, on_member_wrote, &cluster->nodes[i]);
    cluster_add(cluster, ROLE_GROUP_REPLAYER, 1);
}

void cluster_init(struct cluster *cluster, struct world *world, const struct cluster_options *options)
{
    *cluster = (struct cluster){.world = world, .options = *options, .next_client = 1};
    chronicle_init(&cluster->chronicle, options->seed);
    cluster->counted = options->large ? NULL : counted_new(cluster);
    ASSERT(cluster->counted != NULL || options->large);
    for (int i = 1; i <= options->controllers; i++)
        cluster_add(cluster, ROLE_CONTROLLER, i);
    for (int i = 1; i <= options->brokers; i++)
        cluster_add(cluster, ROLE_BROKER, 100 + i);
    for (int i = 1; i <= options->producers; i++)
        cluster_add(cluster, ROLE_PRODUCER, i);
    for (int i = 1; i <= options->consumers; i++)
        cluster_add(cluster, ROLE_CONSUMER, i);
    for (int i = 1; i <= options->admins; i++)
        cluster_add(cluster, ROLE_ADMIN, i);
    for (int i = 1; i <= options->members; i++)
        cluster_add(cluster, ROLE_MEMBER, i);
    for (int i = 1; i <= options->transactors; i++)
        cluster_add(cluster, ROLE_TXN, i);
    if (options->transactors > 0)
        cluster_add(cluster, ROLE_TXN_READER, 1);
    if (options->txn_replayer)
        cluster_add(cluster, ROLE_REPLAYER, 1);
    if (options->group_replayer)
        add_group_replayer(cluster);
    for (int i = 1; i <= options->spare_controllers; i++)
        cluster_add(cluster, ROLE_CONTROLLER, options->controllers + i);
}

void cluster_free(struct cluster *cluster)
{
    for (int i = 0; i < cluster->node_count; i++) {
        world_cancel(cluster->world, &cluster->nodes[i].restart);
        world_cancel(cluster->world, &cluster->nodes[i].ending);
    }
    counted_free(cluster->counted);
    chronicle_free(&cluster->chronicle);
}

struct node *cluster_add(struct cluster *cluster, enum role role, int id)
{
    char name[16];
    static const char letters[ROLE_COUNT] = {'c', 'b', 'p', 'r', 'a', 'f', 'g', 'x', 'y', 'z', 'q'};
    ASSERT(cluster->node_count < CLUSTER_NODES_MAX);
    struct node *node = &cluster->nodes[cluster->node_count++];
    snprintf(name, sizeof(name), "%c%d", letters[role], id % 100);
    *node = (struct node){.cluster = cluster,
                          .process = world_process_new(cluster->world, name),
                          .ops = roles[role],
                          .role = role,
                          .id = id,
                          .restart.fn = on_restart,
                          .ending.fn = on_ending};
    process_on_death(node->process, on_death, node);
    return node;
}

struct node *cluster_node(struct cluster *cluster, enum role role, int index)
{
    for (int i = 0; i < cluster->node_count; i++)
        if (cluster->nodes[i].role == role && index-- == 0)
            return &cluster->nodes[i];
    return NULL;
}

int cluster_count(const struct cluster *cluster, enum role role)
{
    int count = 0;
    for (int i = 0; i < cluster->node_count; i++)
        count += cluster->nodes[i].role == role;
    return count;
}

const char *cluster_other_topic(int topic)
{
    static const char *const others[] = {
        [CLUSTER_TXN_TOPIC - CLUSTER_TOPICS_MAX] = "tx",
        [CLUSTER_OFFSETS_TOPIC - CLUSTER_TOPICS_MAX] = "__consumer_offsets",
        [CLUSTER_TXN_STATE_TOPIC - CLUSTER_TOPICS_MAX] = "__transaction_state",
    };
    return others[topic - CLUSTER_TOPICS_MAX];
}

void cluster_topic_name(int topic, char out[CLUSTER_TOPIC_NAME_MAX])
{
    if (topic >= CLUSTER_TOPICS_MAX)
        snprintf(out, CLUSTER_TOPIC_NAME_MAX, "%s", cluster_other_topic(topic));
    else
        snprintf(out, CLUSTER_TOPIC_NAME_MAX, "t%d", topic);
}

char *cluster_controllers_text(const struct cluster *cluster, bool with_ids, char *out, size_t size)
{
    size_t len = 0;
    for (int i = 1; i <= cluster->options.controllers; i++) {
        if (with_ids)
            len += (size_t)snprintf(out + len, size - len, "%s%d@c%d:%d", i > 1 ? "," : "", i, i,
                                    CONTROLLER_PORT);
        else
            len += (size_t)snprintf(out + len, size - len, "%sc%d:%d", i > 1 ? "," : "", i, CONTROLLER_PORT);
        ASSERT(len < size);
    }
    return out;
}

/* -- what processes leave behind -- */

void cluster_record(struct cluster *cluster, struct history_record record)
{
    record.time_us = (int64_t)world_now_us(cluster->world);
    if (record.op == HISTORY_PRODUCE && record.type != HISTORY_INVOKE)
        cluster->sends_ended++;
    cluster->sends_refused += record.op == HISTORY_PRODUCE && record.type == HISTORY_FAIL;
    cluster->sends_acked += record.op == HISTORY_PRODUCE && record.type == HISTORY_OK;
    cluster->polls_answered += record.op == HISTORY_POLL && record.type == HISTORY_INVOKE;
    chronicle_add(&cluster->chronicle, &record);
}

struct history_record cluster_note(enum history_op op, int node, int topic, int partition)
{
    struct history_record record = history_record(HISTORY_OK, op, CLUSTER_OBSERVERS + (uint32_t)node, 0);
    if (node > 0)
        record.node = node;
    if (topic >= 0) {
        record.topic = cluster_topic(topic);
        record.partition = partition;
    }
    return record;
}

void cluster_unhealthy(struct cluster *cluster, const struct node *node, int64_t is, int64_t limit)
{
    struct history_record record = cluster_note(HISTORY_HEALTH, node != NULL ? node->id : 0, -1, 0);
    record.arg = is;
    record.arg2 = limit;
    cluster_record(cluster, record);
}

void node_log(void *ctx, const char *line, size_t len)
{
    struct node *node = ctx;
    char text[LOG_LINE_MAX];
    snprintf(text, sizeof(text), "%.*s", (int)(len > 0 ? len - 1 : 0), line);
    reach_note_line(node->cluster->reached, text);
    if (strstr(text, " ERROR ") != NULL)
        node->cluster->error_lines++;
    world_trace(node->cluster->world, "%s| %s", process_name(node->process), text);
}

int64_t node_wall_ms(void *ctx)
{
    const struct node *node = ctx;
    return env_wall_ms(process_env(node->process));
}
