/* SPDX-License-Identifier: Apache-2.0 */
/* Registration and heartbeats: how the controllers know that this broker lives. */
#include "broker/config.h"
#include "broker/shard/control_internal.h"
#include "common/base/assert.h"
#include "common/obs/log.h"
#include "proto/kafka/error.h"

#define REGISTER_TIMEOUT_US  (5 * 1000000ull)
#define SHUTDOWN_INTERVAL_US 50000
/* A controller that is silent for so long may have been replaced: another one is asked, which knows. */
#define HEARTBEAT_TIMEOUT_US 500000

/* -- telling the broker object (on its own loop) -- */

static void post_ready(struct control *control, bool ready)
{
    atomic_store(&control->ready_value, ready);
    if (!atomic_exchange(&control->ready_posted, true))
        env_post(control->parent, &control->ready_msg);
}

static void on_ready(struct env_msg *msg)
{
    struct control *control = CONTAINER_OF(msg, struct control, ready_msg);

    atomic_store(&control->ready_posted, false);
    control->options.ready(control->options.ctx, atomic_load(&control->ready_value));
}

static void on_cluster_known(struct env_msg *msg)
{
    struct control *control = CONTAINER_OF(msg, struct control, cluster_msg);

    control->options.cluster_known(control->options.ctx, control->known_cluster_id);
}

static void on_rejected(struct env_msg *msg)
{
    struct control *control = CONTAINER_OF(msg, struct control, rejected_msg);

    control->options.rejected(control->options.ctx, control->rejected_error);
}

static void on_may_stop(struct env_msg *msg)
{
    struct control *control = CONTAINER_OF(msg, struct control, may_stop_msg);

    control->options.may_stop(control->options.ctx);
}

void control_may_stop(struct control *control)
{
    if (control->may_stop_posted)
        return;
    control->may_stop_posted = true;
    env_post(control->parent, &control->may_stop_msg);
}

void control_notes_init(struct control *control)
{
    control->ready_msg.fn = on_ready;
    control->cluster_msg.fn = on_cluster_known;
    control->rejected_msg.fn = on_rejected;
    control->may_stop_msg.fn = on_may_stop;
}

static void learn_cluster(struct control *control, struct uuid cluster_id)
{
    if (uuid_is_zero(cluster_id) || !uuid_is_zero(control->self.cluster_id))
        return;
    control->self.cluster_id = cluster_id;
    control->known_cluster_id = cluster_id;
    env_post(control->parent, &control->cluster_msg);
}

/* -- registration -- */

static int32_t fill_endpoints(const struct broker_shared *broker, struct meta_endpoint *endpoints)
{
    for (unsigned i = 0; i < broker->listener_count; i++) {
        const struct listener_info *info = &broker->listeners[i];
        endpoints[i] = (struct meta_endpoint){
            .name = str_from(info->name),
            .host = str_from(info->advertised.host),
            .port = info->advertised.port ? info->advertised.port : info->bind.port,
            .security = info->tls ? SECURITY_SSL : SECURITY_PLAINTEXT,
            .internal = info->internal,
        };
    }
    return (int32_t)broker->listener_count;
}

/* Refusals that trying again does not change. */
static bool is_final(int16_t error)
{
    return error == KAFKA_INCONSISTENT_CLUSTER_ID || error == KAFKA_INVALID_REGISTRATION ||
           error == KAFKA_UNSUPPORTED_VERSION;
}

void control_reject(struct control *control, int16_t error)
{
    if (control->stopping)
        return;
    LOG(control->broker->log, ERROR, "broker.rejected", F_STR("error", kafka_error_name(error)),
        F_STR("why", kafka_error_text(error)));
    control->stopping = true;
    control->rejected_error = error;
    env_post(control->parent, &control->rejected_msg);
}

static void take_registration(struct control *control, unsigned link,
                              const struct rpc_register_broker_reply *reply)
{
    if (reply->error == KAFKA_NOT_CONTROLLER) {
        control_not_leader(control, link, reply->leader_id);
    } else if (is_final(reply->error)) {
        control_reject(control, reply->error);
    } else if (reply->error != KAFKA_NONE) {
        if (control->register_failures++ % 50 == 0)
            LOG(control->broker->log, WARN, "broker.registration_refused",
                F_STR("error", kafka_error_name(reply->error)), F_STR("why", kafka_error_text(reply->error)));
        control_retry_soon(control);
    } else {
        control->registered = true;
        control->register_failures = 0;
        control->broker_epoch = reply->broker_epoch;
        learn_cluster(control, reply->cluster_id);
        control_publish(control);
        LOG(control->broker->log, INFO, "broker.registered", F_I64("epoch", reply->broker_epoch),
            F_I64("controller", reply->leader_id));
        control_heartbeat_now(control);
        control_drive(control);
    }
}

static void on_registered(struct rpc_call *call, enum err err, uint16_t type, const uint8_t *payload,
                          size_t len)
{
    struct control_ask *ask = CONTAINER_OF(call, struct control_ask, call);
    struct control *control = ask->control;
    unsigned link = control_ask_over(ask);
    struct reader r = reader_over(payload, len);
    struct rpc_register_broker_reply reply;

    arena_reset(&control->arena);
    if (err == ERR_CANCELED)
        return;
    if (err == OK && rpc_register_broker_reply_decode(&r, &control->arena, &reply) == OK)
        take_registration(control, link, &reply);
    else
        control_not_leader(control, link, -1);
}

void control_register(struct control *control)
{
    const struct broker_shared *broker = control->broker;
    struct meta_endpoint endpoints[BROKER_LISTENERS_MAX];
    struct rpc_register_broker_request request = {
        .broker_id = broker->broker_id,
        .cluster_id = control->self.cluster_id,
        .incarnation_id = control->incarnation_id,
        .directory_id = control->options.directory_id,
        .rack = broker->config->rack[0] ? str_from(broker->config->rack) : STR_NULL,
        .endpoints = endpoints,
        .endpoints_count = fill_endpoints(broker, endpoints),
        .clean_start = control->options.clean_start,
        .synced_kept = control->options.synced_kept && broker->config->log_flush_interval_messages == 1,
        .previous_broker_epoch = control->options.previous_broker_epoch,
        .min_isr = broker->config->min_insync_replicas,
    };

    if (!control->register_ask.under_way)
        control_ask_send(control, &control->register_ask, CLUSTER_RPC_REGISTER_BROKER,
                         control_encode(control, register_broker_request, &request), REGISTER_TIMEOUT_US,
                         on_registered);
}

/* -- heartbeats -- */

uint64_t control_applied_min(const struct control *control)
{
    uint64_t lowest = UINT64_MAX;

    for (unsigned i = 0; i < control->broker->shard_count; i++)
        lowest = MIN(lowest, atomic_load(&control->applied[i].index));
    return lowest;
}

static void arm_heartbeat(struct control *control)
{
    uint64_t interval_us = (uint64_t)control->broker->config->heartbeat_interval_ms * 1000;
    if (control->shutting_down) /* each answer may be the leave to go */
        interval_us = MIN(interval_us, (uint64_t)SHUTDOWN_INTERVAL_US);

    env_timer_set(control->env, &control->heartbeat_timer, control->heartbeat_sent_us + interval_us);
}

static void take_heartbeat(struct control *control, const struct rpc_heartbeat_reply *reply)
{
    uint64_t session_us = (uint64_t)control->broker->config->session_timeout_ms * 1000;
    bool was_fenced = control->fenced;

    if (atomic_load(&control->broker->session_end_us) > 0 &&
        !broker_session_lives(control->broker, env_now_us(control->env)))
        atomic_store(&control->broker->session_again_us, env_now_us(control->env));
    atomic_store(&control->broker->session_end_us, control->heartbeat_sent_us + session_us);
    control->fenced = reply->fenced;
    if (was_fenced != reply->fenced) {
        LOG(control->broker->log, INFO, reply->fenced ? "broker.fenced" : "broker.unfenced",
            F_I64("epoch", control->broker_epoch));
        post_ready(control, !reply->fenced);
    }
    if (control->shutting_down && reply->may_shut_down)
        control_may_stop(control);
}

static void on_heartbeat(struct rpc_call *call, enum err err, uint16_t type, const uint8_t *payload,
                         size_t len)
{
    struct control_ask *ask = CONTAINER_OF(call, struct control_ask, call);
    struct control *control = ask->control;
    unsigned link = control_ask_over(ask);
    struct reader r = reader_over(payload, len);
    struct rpc_heartbeat_reply reply;

    arena_reset(&control->arena);
    if (err == ERR_CANCELED)
        return;
    if (err != OK || rpc_heartbeat_reply_decode(&r, &control->arena, &reply) != OK) {
        control_not_leader(control, link, -1);
    } else if (reply.error == KAFKA_NOT_CONTROLLER) {
        control_not_leader(control, link, reply.leader_id);
        control->heartbeat_sent_us = 0; /* the new one is told at once */
    } else if (reply.error != KAFKA_NONE) {
        LOG(control->broker->log, WARN, "broker.registration_lost",
            F_STR("error", kafka_error_name(reply.error)));
        control->registered = false;
        control_drive(control);
        return;
    } else {
        take_heartbeat(control, &reply);
        control_calls_superseded(control, link);
    }
    if (control->heartbeat_again) {
        control->heartbeat_again = false;
        control_heartbeat_now(control);
        return;
    }
    arm_heartbeat(control);
    if (control->heartbeat_sent_us == 0)
        env_timer_set(control->env, &control->heartbeat_timer, env_now_us(control->env) + CONTROL_RETRY_US);
}

void control_heartbeat_now(struct control *control)
{
    struct rpc_heartbeat_request request = {
        .broker_id = control->broker->broker_id,
        .broker_epoch = control->broker_epoch,
        .metadata_index = control_applied_min(control),
        .want_fence = false,
        .want_shutdown = control->shutting_down,
    };

    if (control->stopping || !control->registered)
        return;
    if (control->heartbeat_ask.under_way) {
        control->heartbeat_again = true;
        return;
    }
    uint64_t now = env_now_us(control->env);
    if (control_ask_send(control, &control->heartbeat_ask, CLUSTER_RPC_HEARTBEAT,
                         control_encode(control, heartbeat_request, &request), HEARTBEAT_TIMEOUT_US,
                         on_heartbeat))
        control->heartbeat_sent_us = now;
    else
        env_timer_set(control->env, &control->heartbeat_timer, now + CONTROL_RETRY_US);
}

void control_on_heartbeat_timer(struct env_timer *timer)
{
    control_heartbeat_now(CONTAINER_OF(timer, struct control, heartbeat_timer));
}
