/* SPDX-License-Identifier: Apache-2.0 */
/* Drives the core: requests and time go in, effects are carried out. */
#include <stdlib.h>

#include "common/base/assert.h"
#include "controller/controller_internal.h"
#include "controller/proposals.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define RESIGN_RETRY_US 500000

STATIC_ASSERT(CORE_INFLIGHT_MAX < PROPOSALS_MAX, "consensus takes what the core proposes");
STATIC_ASSERT(CORE_ENTRY_BYTES_MAX <= CONSENSUS_RECORDS_MAX, "consensus takes the largest entry");

/* -- probes -- */

static void probe_answered(void *ctx, uint64_t token, bool refused)
{
    struct controller *c = ctx;
    drive_run(c, core_probe_done(&c->core, env_now_us(c->env), token, refused));
}

/* Any listener of the broker will do; the process is there or it is not. */
static bool probe_address(const struct controller *c, int32_t broker_id, struct env_addr *ret_addr)
{
    const struct image_broker *broker = image_broker(c->image, broker_id);
    if (broker == NULL || broker->endpoints_count == 0)
        return false;
    str_copy(broker->endpoints[0].host, ret_addr->host, sizeof(ret_addr->host));
    ret_addr->port = broker->endpoints[0].port;
    return true;
}

static void probe_start(struct controller *c, int32_t broker_id, uint64_t token)
{
    struct env_addr addr;
    if (probe_address(c, broker_id, &addr))
        probes_ask(&c->probes, &addr, token);
}

/* -- replies -- */

uint64_t drive_expect(struct controller *c, const struct session *session, uint16_t type,
                      uint32_t correlation)
{
    struct pending *pending = malloc(sizeof(*pending));
    if (pending == NULL)
        return 0;
    *pending = (struct pending){
        .token = ++c->next_token, .session_id = session->id, .correlation = correlation, .type = type};
    if (!map_put(&c->pendings, pending->token, pending)) {
        free(pending);
        return 0;
    }
    return pending->token;
}

static void encode_admin(struct writer *w, const struct core_reply *reply, int32_t leader_id)
{
    struct writer body;
    struct rpc_admin_reply out = {
        .error = reply->admin.error, .leader_id = leader_id, .index = reply->admin.index, .body = {NULL, 0}};
    writer_init(&body, w->pool, 1024, REPLY_BYTES_MAX);
    const struct kafka_message_type *type = kafka_message_type(reply->admin.api_key, false);
    if (reply->admin.response != NULL && type != NULL)
        type->encode(&body, reply->admin.api_version, reply->admin.response);
    if (body.err != OK)
        out.error = KAFKA_UNKNOWN_SERVER_ERROR;
    else if (body.buf != NULL)
        out.body = (struct bytes){body.buf->data, (int32_t)body.buf->len};
    rpc_admin_reply_encode(w, &out);
    writer_free(&body);
}

/* The core knows only itself as a leader: who leads now is Raft's word. */
#define ENCODE(name, member)                                                                                 \
    do {                                                                                                     \
        struct rpc_##name##_reply out = reply->member;                                                       \
        out.leader_id = leader_id;                                                                           \
        rpc_##name##_reply_encode(w, &out);                                                                  \
    } while (0)

static void encode_reply(struct writer *w, const struct core_reply *reply, int32_t leader_id)
{
    switch (reply->type) {
    case CORE_REPLY_REGISTER_BROKER: ENCODE(register_broker, register_broker); break;
    case CORE_REPLY_HEARTBEAT: ENCODE(heartbeat, heartbeat); break;
    case CORE_REPLY_ALTER_PARTITION: ENCODE(alter_partition, alter_partition); break;
    case CORE_REPLY_PRODUCER_IDS: ENCODE(producer_ids, producer_ids); break;
    case CORE_REPLY_ADMIN: encode_admin(w, reply, leader_id); break;
    default: UNREACHABLE();
    }
}

void drive_reply(struct controller *c, uint64_t token, const struct core_reply *reply)
{
    struct pending *pending = map_remove(&c->pendings, token);
    ASSERT(pending != NULL);
    const struct session *session = map_get(&c->sessions, pending->session_id);
    if (session != NULL) {
        struct writer w;
        requests_init_writer(c, &w);
        encode_reply(&w, reply, consensus_status(c->consensus).leader);
        requests_reply(session->conn, pending->type, pending->correlation, &w);
    }
    free(pending);
}

/* -- effects -- */

static void core_timer_fired(struct env_timer *timer)
{
    struct controller *c = CONTAINER_OF(timer, struct controller, core_timer);
    drive_run(c, core_tick(&c->core, env_now_us(c->env)));
}

static void arm_core(struct controller *c)
{
    uint64_t deadline = core_deadline(&c->core);
    if (deadline == UINT64_MAX)
        env_timer_cancel(c->env, &c->core_timer);
    else
        env_timer_set(c->env, &c->core_timer, deadline);
}

static bool propose(struct controller *c, const struct core_effect *fx)
{
    enum err err = consensus_submit(c->consensus, fx->records->data, fx->records->len, fx->token);
    if (err != OK)
        LOG(c->options.logger, ERROR, "controller.proposal_refused", F_ERR("error", err),
            F_U64("bytes", fx->records->len));
    return err == OK;
}

/* Acknowledged records may be gone: never silently. */
static void tell_unclean(struct controller *c, const struct core_effect *fx)
{
    const struct image_topic *topic = image_topic_by_id(c->image, fx->topic_id);
    LOG_LIMITED(c->options.logger, &c->unclean_limit, WARN, "partition.unclean_election",
                F_VIEW("topic", topic ? topic->name : STR_LIT("?")), F_I64("partition", fx->partition),
                F_I64("leader", fx->broker_id));
}

/* For the flight recorder. */
static const char *effect_name(uint32_t code)
{
    static const char *const names[] = {
        [FX_PROPOSE] = "propose", [FX_REPLY] = "reply", [FX_UNCLEAN] = "unclean", [FX_PROBE] = "probe"};
    return code < ARRAY_LEN(names) ? names[code] : "?";
}

static void note_effect(struct controller *c, const struct core_effect *fx)
{
    flight_note(&c->flight, env_now_us(c->env), fx->type, (int64_t)fx->token, fx->records_count,
                fx->broker_id, fx->type == FX_REPLY ? (int64_t)fx->reply.type : fx->partition);
}

void drive_run(struct controller *c, const struct core_effects *effects)
{
    bool good = true; /* after a refused proposal none is made: its plan rests on the refused one */
    for (uint32_t i = 0; i < effects->count; i++) {
        const struct core_effect *fx = &effects->items[i];
        note_effect(c, fx);
        switch (fx->type) {
        case FX_PROPOSE: good = good && propose(c, fx); break;
        case FX_REPLY: drive_reply(c, fx->token, &fx->reply); break;
        case FX_UNCLEAN: tell_unclean(c, fx); break;
        case FX_PROBE: probe_start(c, fx->broker_id, fx->token); break;
        default: UNREACHABLE();
        }
    }
    if (!good && core_is_active(&c->core)) {
        drive_resign(c);
        drive_run(c, core_deactivate(&c->core, env_now_us(c->env)));
        return;
    }
    arm_core(c);
}

/* A successor may fail to take over; then it is tried again. */
static void resign(struct env_timer *timer)
{
    struct controller *c = CONTAINER_OF(timer, struct controller, resign_timer);
    if (!consensus_status(c->consensus).leads || core_is_active(&c->core) || c->stopping)
        return;
    if (consensus_transfer(c->consensus) == ERR_NOT_FOUND) {
        controller_fail(c, ERR_FULL, "a proposal was refused and nobody else can lead");
        return;
    }
    env_timer_set(c->env, timer, env_now_us(c->env) + RESIGN_RETRY_US);
}

void drive_resign(struct controller *c)
{
    env_timer_set(c->env, &c->resign_timer, 0);
}

/* -- life -- */

static struct core_config make_config(struct controller *c)
{
    struct core_config config = core_config_defaults();
    config.node_id = c->options.node_id;
    config.cluster_id = storage_cluster_id(c->storage);
    while (uuid_is_zero(config.cluster_id))
        env_random(c->env, &config.cluster_id, sizeof(config.cluster_id));
    env_random(c->env, &config.seed, sizeof(config.seed));
    config.session_us = c->options.session_us;
    config.num_partitions = c->options.num_partitions;
    config.default_replication_factor = c->options.default_replication_factor;
    config.auto_rebalance = c->options.auto_rebalance;
    config.rebalance_us = c->options.rebalance_us;
    config.imbalance_percent = c->options.imbalance_percent;
    config.controllers = c->endpoints;
    config.controllers_count = peers_endpoints(c);
    return config;
}

void drive_init(struct controller *c)
{
    struct core_config config = make_config(c);
    core_init(&c->core, &config);
    c->has_core = true;
}

void drive_prepare(struct controller *c)
{
    probes_init(&c->probes, c->env, probe_answered, c);
    map_init(&c->pendings);
    flight_init(&c->flight, "controller", effect_name, c->flight_events, CONTROLLER_FLIGHT_EVENTS);
    if (c->options.deck)
        flight_deck_add(c->options.deck, &c->flight);
    env_timer_init(&c->core_timer, core_timer_fired);
    env_timer_init(&c->resign_timer, resign);
}

void drive_free(struct controller *c)
{
    if (!c->has_core)
        return;
    flight_deck_remove(&c->flight);
    env_timer_cancel(c->env, &c->core_timer);
    env_timer_cancel(c->env, &c->resign_timer);
    probes_cancel(&c->probes);
    uint32_t pos = 0;
    uint64_t token;
    void *pending;
    while (map_next(&c->pendings, &pos, &token, &pending))
        free(pending);
    map_free(&c->pendings);
    core_free(&c->core);
    c->has_core = false;
}
