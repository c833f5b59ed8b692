/* SPDX-License-Identifier: Apache-2.0 */
/* Start: data directory, shards (all set up before the first listens), listeners shard by shard, control
 * loop. Stop: leadership handed over, shards shut down, control loop stopped (which answers what shards
 * asked), shards idle and freed, data directory closed. */
#include "broker/broker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/broker_metrics.h"
#include "broker/config.h"
#include "broker/log/data_dir.h"
#include "broker/shard/control.h"
#include "broker/shard/shard.h"
#include "broker/sweep.h"
#include "common/base/assert.h"
#include "common/obs/log.h"
#include "proto/kafka/error.h"

/* At a stop: looks whether followers have everything, for at most so long; and takes no records for as long
 * as leaders usually take to move. */
#define DRAIN_STEP_US 2000
#define DRAIN_MAX_US  300000
#define HANDOVER_US   1000000

#define FILES_KEPT      64 /* descriptors that neither logs nor connections take */
#define CONNECTIONS_MIN 16

struct broker;

/* A shard, and the step of the broker's life that is being done on it. */
struct slot {
    struct broker *broker;
    struct shard shard;
    struct env *env;
    struct env_msg spawned, msg;
    void (*step)(struct slot *slot); /* on the shard's loop */
    bool later;                      /* the step answers by itself, with slot_done() */
    bool initialized;
    bool image_applied; /* it saw metadata before it closed */
    enum err err;
    uint64_t unreplicated; /* see shard_unreplicated() */
};

struct broker {
    struct broker_shared shared;
    struct broker_options options;
    struct env *env;
    struct data_dir *dir;
    struct slot *slots;
    unsigned spawned_count;
    unsigned listening_count;
    unsigned pending; /* shards that the present step waits for */
    void (*after)(struct broker *broker);
    struct env_msg start_msg, control_gone;
    bool control_runs;
    bool ready;
    bool stopping; /* broker_stop() was called */
    bool ending;   /* past the handing over */
    bool draining; /* steps are under way that wait for followers; end_due: the end waits for them */
    bool end_due;
    uint64_t drain_until_us;
    struct env_timer drain_timer;
    bool starting; /* steps of the start are under way: the stop waits for them */
    bool failed;
    bool swept; /* once per run */
    struct directory_sweep sweep;
    struct control_image_ask image_ask;
};

/* -- steps on shards -- */

static void on_slot_back(struct env_msg *msg)
{
    struct broker *broker = CONTAINER_OF(msg, struct slot, msg)->broker;

    ASSERT(broker->pending > 0);
    if (--broker->pending == 0)
        broker->after(broker);
}

static void slot_done(struct slot *slot)
{
    slot->msg.fn = on_slot_back;
    env_post(slot->broker->env, &slot->msg);
}

static void on_slot_step(struct env_msg *msg)
{
    struct slot *slot = CONTAINER_OF(msg, struct slot, msg);
    bool later = slot->later;

    slot->step(slot);
    if (!later)
        slot_done(slot);
}

static void slot_post(struct slot *slot, void (*step)(struct slot *slot), bool later)
{
    slot->step = step;
    slot->later = later;
    slot->msg.fn = on_slot_step;
    slot->broker->pending++;
    env_post(slot->env, &slot->msg);
}

/* Runs step on every shard's loop, then after() here. */
static void each_slot(struct broker *broker, void (*step)(struct slot *slot), bool later,
                      void (*after)(struct broker *broker))
{
    broker->after = after;
    for (unsigned i = 0; i < broker->spawned_count; i++)
        slot_post(&broker->slots[i], step, later);
    if (broker->spawned_count == 0)
        after(broker);
}

/* -- stopping -- */

/* Whether every replica assigned here was opened in this run, so that its clean end says something. Otherwise
 * the directory stays what it was. */
static bool ends_cleanly(const struct broker *broker)
{
    for (unsigned i = 0; i < broker->spawned_count; i++)
        if (!broker->slots[i].image_applied || broker->slots[i].shard.failed_partitions > 0)
            return false;
    return broker->spawned_count > 0;
}

static void after_freed(struct broker *broker)
{
    bool clean = ends_cleanly(broker) || (!broker->control_runs && broker->dir->report.clean_stop);
    enum err err = data_dir_close(broker->dir, clean);

    broker->dir = NULL;
    broker->shared.manifest = NULL;
    if (err != OK)
        LOG(broker->options.log, ERROR, "data_dir.close_failed", F_STR("error", err_text(err)));
    LOG(broker->options.log, INFO, "broker.stopped", F_BOOL("clean", clean && err == OK));
    broker->options.stopped(broker->options.ctx);
}

static void step_free(struct slot *slot)
{
    if (slot->initialized)
        shard_free(&slot->shard);
    env_stop(slot->env);
}

static void after_idle(struct broker *broker)
{
    each_slot(broker, step_free, false, after_freed);
}

static void on_idle(struct shard *shard)
{
    slot_done(CONTAINER_OF(shard, struct slot, shard));
}

static void step_finish(struct slot *slot)
{
    if (slot->initialized)
        shard_finish(&slot->shard, on_idle);
    else
        slot_done(slot);
}

static void after_control(struct broker *broker)
{
    each_slot(broker, step_finish, true, after_idle);
}

static void on_control_gone(struct env_msg *msg)
{
    after_control(CONTAINER_OF(msg, struct broker, control_gone));
}

static void after_shutdown(struct broker *broker)
{
    broker->control_gone.fn = on_control_gone;
    if (broker->control_runs)
        control_stop(broker->shared.control, &broker->control_gone);
    else
        after_control(broker);
}

static void step_shutdown(struct slot *slot)
{
    if (!slot->initialized)
        return;
    slot->image_applied = image_index(slot->shard.image) > 0;
    shard_shutdown(&slot->shard, true);
}

static void end(struct broker *broker)
{
    if (broker->draining) {
        broker->end_due = true;
        return;
    }
    if (broker->ending)
        return;
    broker->ending = true;
    broker->ready = false;
    each_slot(broker, step_shutdown, false, after_shutdown);
}

/* -- before the leaders are handed over: what is acknowledged gets to the followers -- */

static void step_measure(struct slot *slot)
{
    slot->unreplicated = slot->initialized ? shard_unreplicated(&slot->shard) : 0;
}

static void after_measured(struct broker *broker)
{
    uint64_t records = 0, now_us = env_now_us(broker->env);

    for (unsigned i = 0; i < broker->spawned_count; i++)
        records += broker->slots[i].unreplicated;
    if (records > 0 && now_us < broker->drain_until_us && !broker->end_due) {
        env_timer_set(broker->env, &broker->drain_timer, now_us + DRAIN_STEP_US);
        return;
    }
    broker->draining = false;
    if (broker->end_due)
        end(broker);
    else
        control_begin_shutdown(broker->shared.control);
}

static void on_drain_timer(struct env_timer *timer)
{
    each_slot(CONTAINER_OF(timer, struct broker, drain_timer), step_measure, false, after_measured);
}

static void drain(struct broker *broker)
{
    uint64_t now_us = env_now_us(broker->env);

    broker->draining = true;
    broker->drain_until_us = now_us + DRAIN_MAX_US;
    atomic_store(&broker->shared.handover_until_us, now_us + HANDOVER_US);
    env_timer_init(&broker->drain_timer, on_drain_timer);
    each_slot(broker, step_measure, false, after_measured);
}

void broker_stop(struct broker *broker)
{
    bool again = broker->stopping;

    broker->stopping = true;
    if (broker->starting)
        return; /* the start notices, and ends */
    if (!broker->control_runs || broker->failed || again) {
        end(broker);
        return;
    }
    LOG(broker->options.log, INFO, "broker.stopping",
        F_I64("timeout_ms", broker->options.config->controlled_shutdown_timeout_ms));
    drain(broker);
}

/* -- starting -- */

static void fail(struct broker *broker, const char *why)
{
    broker->starting = false;
    if (broker->failed || broker->ending)
        return;
    broker->failed = true;
    broker->options.failed(broker->options.ctx, why);
    if (broker->stopping)
        end(broker);
}

static void on_cluster_known(void *ctx, struct uuid cluster_id)
{
    struct broker *broker = ctx;
    enum err err = broker->dir ? data_dir_set_cluster(broker->dir, cluster_id) : OK;
    char why[BROKER_MESSAGE_MAX];

    if (err == OK)
        return;
    snprintf(why, sizeof(why), "%s: cannot note the cluster's id: %s",
             broker->options.config->log_dirs.items[0], err_text(err));
    fail(broker, why);
}

static void on_rejected(void *ctx, int16_t error)
{
    struct broker *broker = ctx;
    char why[BROKER_MESSAGE_MAX];

    if (error == KAFKA_INCONSISTENT_CLUSTER_ID)
        snprintf(
            why, sizeof(why),
            "%s/meta.properties: cluster.id is not the cluster of these controllers; correct log.dirs or "
            "controller.quorum.bootstrap.servers",
            broker->options.config->log_dirs.items[0]);
    else
        snprintf(why, sizeof(why),
                 "the controllers refuse this broker: %s; check node.id, log.dirs and "
                 "controller.quorum.bootstrap.servers",
                 kafka_error_text(error));
    fail(broker, why);
}

static void on_may_stop(void *ctx)
{
    end(ctx);
}

static void on_image(struct control_image_ask *ask)
{
    struct broker *broker = CONTAINER_OF(ask, struct broker, image_ask);

    if (ask->image && !broker->ending)
        sweep_finish(&broker->sweep, broker->dir, ask->image, broker->shared.broker_id, broker->options.log);
    image_unref(ask->image);
    sweep_free(&broker->sweep);
}

/* Once, when the metadata has reached our own registration. */
static void sweep_directories(struct broker *broker)
{
    if (broker->swept || !broker->ready)
        return;
    broker->swept = true;
    enum err err = sweep_look(&broker->sweep, broker->dir);
    if (err != OK) {
        LOG(broker->options.log, ERROR, "data_dir.sweep_failed", F_ERR("error", err));
        return;
    }
    broker->image_ask.done = on_image;
    control_ask_image(broker->shared.control, &broker->image_ask);
}

static void on_ready(void *ctx, bool ready)
{
    struct broker *broker = ctx;

    broker->ready = ready && !broker->ending;
    if (ready)
        manifest_trust(broker->shared.manifest); /* the controllers know how our last run ended */
    sweep_directories(broker);
}

static void log_listeners(const struct broker *broker)
{
    char address[ENV_HOST_MAX + 8];

    for (unsigned i = 0; i < broker->shared.listener_count; i++) {
        const struct listener_info *info = &broker->shared.listeners[i];
        LOG(broker->options.log, INFO, "broker.listening", F_STR("listener", info->name),
            F_STR("address", env_addr_format(&info->bind, address)),
            F_STR("serves", info->internal ? "brokers" : "clients"));
    }
}

static void start_control(struct broker *broker)
{
    const struct control_options options = {
        .cluster_id = broker->dir->cluster_id,
        .directory_id = broker->dir->directory_id,
        .clean_start = data_dir_clean_start(broker->dir),
        .synced_kept = data_dir_synced_kept(broker->dir),
        .previous_broker_epoch = -1,
        .ctx = broker,
        .cluster_known = on_cluster_known,
        .rejected = on_rejected,
        .may_stop = on_may_stop,
        .ready = on_ready,
    };

    broker->starting = false;
    if (broker->stopping) {
        end(broker);
        return;
    }
    if (!control_start(broker->env, &broker->shared, &options)) {
        fail(broker, "cannot start the control thread: out of memory or threads");
        return;
    }
    broker->control_runs = true;
    log_listeners(broker);
    if (broker->options.started)
        broker->options.started(broker->options.ctx);
}

static void step_listen(struct slot *slot)
{
    slot->err = shard_listen(&slot->shard);
}

static void fail_listen(struct broker *broker, const struct slot *slot)
{
    const struct listener_info *info = broker->shared.listeners;
    char why[BROKER_MESSAGE_MAX], address[ENV_HOST_MAX + 8];
    unsigned i = 0;

    while (i + 1 < broker->shared.listener_count && slot->shard.listeners[i])
        i++;
    snprintf(why, sizeof(why), "listeners: cannot listen on %s://%s: %s; free it or change the setting",
             info[i].name, env_addr_format(&info[i].bind, address), err_text(slot->err));
    fail(broker, why);
}

/* One shard after the other: the first fixes the ports. */
static void listen_next(struct broker *broker)
{
    if (broker->listening_count > 0 && broker->slots[broker->listening_count - 1].err != OK) {
        fail_listen(broker, &broker->slots[broker->listening_count - 1]);
        return;
    }
    if (broker->listening_count == broker->spawned_count) {
        start_control(broker);
        return;
    }
    broker->after = listen_next;
    slot_post(&broker->slots[broker->listening_count++], step_listen, false);
}

static void after_init(struct broker *broker)
{
    for (unsigned i = 0; i < broker->spawned_count; i++) {
        if (broker->slots[i].err != OK) {
            fail(broker, "cannot set up the shards: out of memory");
            return;
        }
    }
    broker_metrics_add(&broker->shared); /* the shards stay where they are until broker_free() */
    listen_next(broker);
}

static void step_init(struct slot *slot)
{
    struct broker *broker = slot->broker;

    slot->err = shard_init(&slot->shard, &broker->shared, (unsigned)(slot - broker->slots), slot->env);
    slot->initialized = slot->err == OK;
}

static void on_spawned(struct env_msg *msg)
{
    /* The loop runs; what it does comes by mail, when the broker knows its address. */
}

static bool spawn(struct broker *broker, unsigned index)
{
    struct slot *slot = &broker->slots[index];
    char name[24];

    snprintf(name, sizeof(name), "shard-%u", index);
    slot->broker = broker;
    slot->spawned.fn = on_spawned;
    slot->env = env_spawn(broker->env, name, &slot->spawned);
    if (slot->env)
        broker->spawned_count++;
    return slot->env != NULL;
}

static void on_start(struct env_msg *msg)
{
    struct broker *broker = CONTAINER_OF(msg, struct broker, start_msg);

    for (unsigned i = 0; i < broker->shared.shard_count; i++) {
        if (!spawn(broker, i)) {
            fail(broker, "cannot start the shards' threads; lower num.shards or raise the limit of threads");
            return;
        }
    }
    each_slot(broker, step_init, false, after_init);
}

void broker_start(struct broker *broker)
{
    broker->starting = true;
    broker->start_msg.fn = on_start;
    env_post(broker->env, &broker->start_msg);
}

bool broker_ready(const struct broker *broker, char *reason, size_t size)
{
    const char *why = broker->stopping       ? "stopping"
                      : broker->starting     ? "starting"
                      : broker->control_runs ? "not registered with the active controller, or fenced by it"
                                             : "not started";

    bool heard = broker_session_lives(&broker->shared, env_now_us(broker->env));

    if (broker->ready && !heard)
        why = "no controller has answered for broker.session.timeout.ms: check that a majority of the "
              "controllers runs";
    if (!broker->ready || !heard || broker->stopping)
        snprintf(reason, size, "%s", why);
    return broker->ready && heard && !broker->stopping;
}

/* -- making -- */

static enum err fill_address(const struct endpoint *endpoint, const char *default_host, struct env_addr *ret)
{
    const char *host = endpoint->host[0] ? endpoint->host : default_host;

    if (strlen(host) >= sizeof(ret->host))
        return ERR_INVALID;
    snprintf(ret->host, sizeof(ret->host), "%s", host);
    ret->port = endpoint->port;
    return OK;
}

static enum err fill_listener(const struct broker_options *options, const struct endpoint *endpoint,
                              struct listener_info *info)
{
    const struct broker_config *config = options->config;
    const struct endpoint *told = endpoints_by_name(&config->advertised_listeners, endpoint->name);
    const struct endpoint *inner = endpoints_by_name(&config->listeners, config->inter_broker_listener_name);
    enum err err = fill_address(endpoint, "", &info->bind);

    info->name = endpoint->name;
    info->internal = endpoint == inner;
    info->tls = security_is_ssl(&config->security, endpoint->name);
    info->authenticated = true;
    return err ? err : fill_address(told ? told : endpoint, options->default_host, &info->advertised);
}

static unsigned shards_wanted(const struct broker *broker)
{
    unsigned wanted = (unsigned)broker->options.config->num_shards;

    return MIN(wanted ? wanted : env_cpu_count(broker->env), (unsigned)BROKER_SHARDS_MAX);
}

/* Logs and connections share the process's descriptors; some are left for everything else, so that neither
 * takes what a log needs to end a segment or to sync a directory. */
static void share_descriptors(struct broker *broker)
{
    struct broker_shared *shared = &broker->shared;
    uint32_t files_max = env_files_max(broker->env), wanted = (uint32_t)shared->config->log_open_files;
    uint32_t connections = (uint32_t)shared->config->max_connections;

    shared->log_files_max = wanted ? wanted : files_max / 2;
    uint32_t taken = MIN(shared->log_files_max, files_max / 4 * 3) + FILES_KEPT;
    uint32_t left = files_max > taken ? files_max - taken : 0;
    shared->connections_max = MIN(connections, MAX(left, (uint32_t)CONNECTIONS_MIN));
    if (shared->connections_max < connections && shared->log)
        LOG(shared->log, INFO, "limits.descriptors", F_I64("limit", files_max),
            F_I64("logs", shared->log_files_max), F_I64("connections", shared->connections_max),
            F_STR("fix", "raise the limit of open files for more connections (max.connections)"));
}

/* Recovery points stand still meanwhile: a restart scans more. */
static void manifest_changed(void *ctx, enum err err)
{
    struct broker_shared *shared = ctx;

    atomic_store(&shared->manifest_failed, err != OK);
    atomic_fetch_add(&shared->manifest_failures, err != OK);
    if (!shared->log)
        return;
    if (err != OK)
        LOG(shared->log, ERROR, "manifest.failed", F_ERR("error", err),
            F_STR("fix", "look after the data disk; a new file is tried until one is written"));
    else
        LOG(shared->log, INFO, "manifest.healed", F_STR("file", "a new one has taken its place"));
}

static enum err fill_shared(struct broker *broker, char *message)
{
    struct broker_shared *shared = &broker->shared;
    const struct broker_config *config = broker->options.config;

    shared->broker_id = config->node_id;
    shared->config = config;
    shared->settings = broker->options.settings;
    shared->log = broker->options.log;
    shared->record = broker->options.record;
    shared->metrics = broker->options.metrics;
    shared->tls = broker->options.tls;
    shared->controller_tls =
        security_is_ssl(&config->security, security_controller_listener(&config->security));
    shared->replica_tls = security_is_ssl(&config->security, config->inter_broker_listener_name);
    shared->manifest = broker->dir->manifest;
    manifest_watch(shared->manifest, manifest_changed, shared);
    shared->power_lost = data_dir_power_lost(broker->dir);
    disk_guard_init(&shared->guard, broker->dir->path, shared->config->log_dir_free_min_bytes);
    share_descriptors(broker);
    budget_init(&shared->budget, (uint64_t)config->memory_budget_bytes);
    shared->shard_count = shards_wanted(broker);
    for (uint32_t i = 0; i < config->listeners.count; i++) {
        if (fill_listener(&broker->options, &config->listeners.items[i], &shared->listeners[i]) != OK) {
            snprintf(message, BROKER_MESSAGE_MAX, "listeners: the host of %s is too long",
                     config->listeners.items[i].name);
            return ERR_INVALID;
        }
        shared->listener_count++;
    }
    return OK;
}

static enum err make_slots(struct broker *broker, char *message)
{
    broker->slots = calloc(broker->shared.shard_count, sizeof(*broker->slots));
    if (!broker->slots) {
        snprintf(message, BROKER_MESSAGE_MAX, "out of memory");
        return ERR_NOMEM;
    }
    for (unsigned i = 0; i < broker->shared.shard_count; i++)
        broker->shared.shards[i] = &broker->slots[i].shard;
    return OK;
}

enum err broker_new(struct env *env, const struct broker_options *options, struct broker **ret_broker,
                    char *message)
{
    struct broker *broker = calloc(1, sizeof(*broker));

    if (!broker) {
        snprintf(message, BROKER_MESSAGE_MAX, "out of memory");
        return ERR_NOMEM;
    }
    broker->env = env;
    broker->options = *options;
    enum err err = data_dir_open(env, options->config->log_dirs.items[0], options->config->node_id,
                                 (struct uuid){0}, &broker->dir, message);
    if (err == OK)
        err = fill_shared(broker, message);
    if (err == OK)
        err = make_slots(broker, message);
    if (err != OK) {
        broker_free(broker);
        return err;
    }
    *ret_broker = broker;
    return OK;
}

struct replica_visit {
    void (*each)(void *ctx, struct partition *partition);
    void *ctx;
};

static void visit_route(void *ctx, struct route *route)
{
    const struct replica_visit *visit = ctx;

    if (route->partition)
        visit->each(visit->ctx, route->partition);
}

void broker_each_replica(const struct broker *broker, void (*each)(void *ctx, struct partition *partition),
                         void *ctx)
{
    struct replica_visit visit = {.each = each, .ctx = ctx};

    for (unsigned i = 0; i < broker->spawned_count && !broker->ending; i++)
        if (broker->slots[i].initialized)
            route_each(&broker->slots[i].shard.routes, visit_route, &visit);
}

const struct image *broker_image(const struct broker *broker)
{
    bool runs = broker->spawned_count > 0 && !broker->ending && broker->slots[0].initialized;
    return runs ? broker->slots[0].shard.image : NULL;
}

void broker_free(struct broker *broker)
{
    if (broker->dir)
        data_dir_close(broker->dir, broker->dir->report.clean_stop);
    if (broker->shared.control)
        control_free(broker->shared.control);
    sweep_free(&broker->sweep);
    free(broker->slots);
    free(broker);
}
