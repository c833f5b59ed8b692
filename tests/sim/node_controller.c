/* SPDX-License-Identifier: Apache-2.0 */
/* A controller as a process of the world: what controller/main.c does, on the simulated env. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/config/config.h"
#include "controller/config.h"
#include "controller/consensus.h"
#include "controller/controller_internal.h"
#include "tests/sim/nodes.h"

struct controller_object {
    struct controller *controller;
    struct config *settings;
    struct controller_config config;
    struct logger log;
};

static void on_failed(void *ctx, const char *what)
{
    node_failed(ctx, what);
}

static void on_stopped(void *ctx)
{
    node_stopped(ctx);
}

void node_set(struct node *node, struct config *settings, const char *name, const char *value)
{
    char text[512];
    snprintf(text, sizeof(text), "%s=%s", name, value);
    enum err err = config_apply_set(settings, text);
    if (err != OK)
        node_failed(node, config_error(settings));
}

void node_set_number(struct node *node, struct config *settings, const char *name, uint64_t value)
{
    char text[32];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    node_set(node, settings, name, text);
}

void node_logger(struct node *node, struct logger *log)
{
    const struct logger_options options = {.level = LOG_LEVEL_INFO,
                                           .format = LOG_FORMAT_TEXT,
                                           .wall_ms = node_wall_ms,
                                           .sink = node_log,
                                           .ctx = node,
                                           .node_id = -1};
    enum err err = logger_init(log, &options);
    ASSERT(err == OK);
}

static void apply_settings(struct node *node, struct controller_object *object)
{
    const struct cluster_options *options = &node->cluster->options;
    char voters[256];
    config_add(object->settings, controller_settings(), &object->config);
    node_set_number(node, object->settings, "node.id", (uint64_t)node->id);
    node_set(node, object->settings, "controller.quorum.voters",
             cluster_controllers_text(node->cluster, true, voters, sizeof(voters)));
    if (node->id > options->controllers) { /* a spare one */
        snprintf(voters, sizeof(voters), "CONTROLLER://c%d:%d", node->id, CONTROLLER_PORT);
        node_set(node, object->settings, "listeners", voters);
    }
    node_set(node, object->settings, "metadata.log.dir", "/metadata");
    node_set_number(node, object->settings, "broker.session.timeout.ms", options->session_us / 1000);
    node_set_number(node, object->settings, "metadata.log.max.entries.between.snapshots",
                    options->snapshot_entries);
    node_set_number(node, object->settings, "num.partitions", (uint64_t)options->partitions);
    node_set_number(node, object->settings, "default.replication.factor", (uint64_t)options->replicas);
}

static bool controller_begin(struct node *node, struct env *env)
{
    struct controller_object *object = calloc(1, sizeof(*object));
    struct controller_options options;
    char text[CONTROLLER_TEXT_MAX];
    node->object = object;
    node_logger(node, &object->log);
    object->settings = config_new();
    apply_settings(node, object);
    controller_options_from(&object->config, &options);
    options.logger = &object->log;
    options.failed = on_failed;
    options.failed_ctx = node;
    enum err err = controller_new(env, &options, &object->controller, text);
    if (err == OK) {
        err = controller_start(object->controller);
        snprintf(text, sizeof(text), "start: %s", err_text(err));
    }
    snprintf(node->trouble, sizeof(node->trouble), "%.*s", (int)sizeof(node->trouble) - 1,
             err != OK ? text : "");
    return err == OK;
}

static void controller_end(struct node *node)
{
    struct controller_object *object = node->object;
    controller_stop(object->controller, on_stopped, node);
}

static void controller_let_go(struct node *node)
{
    struct controller_object *object = node->object;
    controller_free(object->controller);
    logger_close(&object->log);
    config_free(object->settings);
    free(object);
    node->object = NULL;
}

static void propose(void *arg)
{
    struct node *node = arg;
    struct controller *c = node_controller(node);
    int count = 0;
    const struct consensus_member *members =
        c != NULL && c->started ? consensus_members(c->consensus, &count) : NULL;
    for (int i = 0; i < count; i++) {
        if (members[i].node_id != node->voter.id)
            continue;
        consensus_change_members(c->consensus, CONSENSUS_REMOVE, &members[i]);
        break;
    }
}

void controller_propose_without(struct node *node, int32_t id)
{
    node->voter.id = id;
    process_call(node->process, propose, node);
}

struct controller *node_controller(const struct node *node)
{
    const struct controller_object *object = node->object;
    return node->started && object != NULL ? object->controller : NULL;
}

const struct role_ops role_controller = {
    .name = "controller", .begin = controller_begin, .stop = controller_end, .free = controller_let_go};
