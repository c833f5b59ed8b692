/* SPDX-License-Identifier: Apache-2.0 */
/* Life of the control loop, and which controller it talks to. */
#include "broker/shard/control.h"

#include <stdlib.h>
#include <string.h>

#include "broker/config.h"
#include "broker/shard/control_internal.h"
#include "broker/shard/shard.h"
#include "common/base/assert.h"
#include "common/obs/log.h"
#include "proto/kafka/error.h"

/* -- links -- */

static int link_of_node(const struct control *control, int32_t node_id)
{
    for (unsigned i = 0; i < control->link_count; i++)
        if (control->links[i].up && control->links[i].node_id == node_id)
            return (int)i;
    return -1;
}

/* The next link after `from` that is up, in a circle; -1: none. */
static int next_up(const struct control *control, unsigned from)
{
    for (unsigned i = 1; i <= control->link_count; i++) {
        unsigned candidate = (from + i) % control->link_count;
        if (control->links[candidate].up)
            return (int)candidate;
    }
    return -1;
}

struct control_link *control_active(struct control *control)
{
    if (control->active < 0 || !control->links[control->active].up)
        control->active = next_up(control, control->active < 0 ? 0 : (unsigned)control->active);
    return control->active < 0 ? NULL : &control->links[control->active];
}

/* Another controller is asked from now on: a tail that waits at the old one is of no use. */
static void set_active(struct control *control, int link)
{
    if (control->active == link)
        return;
    control->active = link;
    if (control->tail_ask.under_way) {
        rpc_call_cancel(&control->tail_ask.call);
        control->tail_ask.under_way = false;
    }
}

void control_not_leader(struct control *control, unsigned from, int32_t leader_id)
{
    if (control->active >= 0 && (unsigned)control->active != from) {
        control_retry_soon(control); /* an old answer: another controller is asked */
        return;
    }
    int hinted = leader_id >= 0 ? link_of_node(control, leader_id) : -1;
    if (hinted >= 0 && (unsigned)hinted != from) {
        set_active(control, hinted);
        control_drive(control);
        return;
    }
    set_active(control, next_up(control, from));
    control_retry_soon(control);
}

void control_retry_soon(struct control *control)
{
    if (!control->stopping && !env_timer_armed(&control->retry))
        env_timer_set(control->env, &control->retry, env_now_us(control->env) + CONTROL_RETRY_US);
}

static void on_retry(struct env_timer *timer)
{
    control_drive(CONTAINER_OF(timer, struct control, retry));
}

void control_drive(struct control *control)
{
    if (control->stopping)
        return;
    control_calls_drive(control);
    if (!control_active(control))
        return; /* the next link that comes up drives */
    if (!control->registered)
        control_register(control);
    control_tail(control);
}

bool control_ask_send(struct control *control, struct control_ask *ask, uint16_t type, struct iobuf *payload,
                      uint64_t timeout_us,
                      void (*done)(struct rpc_call *call, enum err err, uint16_t type, const uint8_t *payload,
                                   size_t len))
{
    struct control_link *link = control_active(control);
    bool can = payload && link && !ask->under_way;

    if (can) {
        ask->control = control;
        ask->under_way = true;
        ask->link = (unsigned)control->active;
        ask->call.done = done;
        rpc_client_call(link->client, type, payload, timeout_us, &ask->call);
    }
    iobuf_unref(payload);
    return can;
}

unsigned control_ask_over(struct control_ask *ask)
{
    ask->under_way = false;
    return ask->link;
}

static void on_link_up(void *ctx, struct rpc_client *client, const struct rpc_peer_info *peer)
{
    struct control_link *link = ctx;

    link->up = true;
    link->node_id = peer->node_id;
    control_drive(link->control);
}

static void on_link_down(void *ctx, struct rpc_client *client, enum err why)
{
    struct control_link *link = ctx;
    struct control *control = link->control;

    LOG(control->broker->log, WARN, "controller.lost", F_STR("host", link->addr.host),
        F_I64("port", link->addr.port), F_ERR("error", why));
    link->up = false;
    if (control->active >= 0 && link == &control->links[control->active])
        set_active(control, next_up(control, (unsigned)control->active));
    control_retry_soon(control);
}

/* Attempts fail as long as a controller is away, which is no news; one that will never do is. A broker whose
 * very first controller belongs to another cluster has the wrong directory, or the wrong address. */
static void on_link_error(void *ctx, struct rpc_client *client, enum err why)
{
    struct control_link *link = ctx;

    if (why == ERR_MISMATCH || why == ERR_VERSION || why == ERR_TLS || why == ERR_UNTRUSTED ||
        why == ERR_IDENTITY || why == ERR_REJECTED)
        LOG(link->control->broker->log, ERROR, "controller.refused", F_STR("host", link->addr.host),
            F_I64("port", link->addr.port), F_ERR("error", why));
    if (why == ERR_MISMATCH && link->control->broker_epoch == 0)
        control_reject(link->control, KAFKA_INCONSISTENT_CLUSTER_ID);
}

static void on_link_message(void *ctx, struct rpc_client *client, uint16_t type, const uint8_t *payload,
                            size_t len);

static bool link_open(struct control *control, struct str host, uint16_t port)
{
    static const struct rpc_client_handler handler = {
        .up = on_link_up, .down = on_link_down, .message = on_link_message, .error = on_link_error};
    struct control_link *link = &control->links[control->link_count];

    *link = (struct control_link){.control = control, .node_id = -1, .addr = {.port = port}};
    str_copy(host, link->addr.host, sizeof(link->addr.host));
    link->client = rpc_client_new(control->env, control->tls, &link->addr, &control->self, &handler, link);
    control->link_count += link->client != NULL;
    return link->client != NULL;
}

static void learn_controller(struct control *control, const struct meta_controller *controller)
{
    for (unsigned i = 0; i < control->link_count; i++)
        if (control->links[i].node_id == controller->node_id ||
            (control->links[i].addr.port == controller->port &&
             str_eq_z(controller->host, control->links[i].addr.host)))
            return;
    if (controller->port != 0 && control->link_count < CONTROL_LINKS_MAX)
        link_open(control, controller->host, controller->port);
}

/* A controller tells where the others are: the quorum may have other members than when this broker was set
 * up. */
static void on_link_message(void *ctx, struct rpc_client *client, uint16_t type, const uint8_t *payload,
                            size_t len)
{
    struct control *control = ((struct control_link *)ctx)->control;
    struct reader r = reader_over(payload, len);
    struct meta_record record;

    arena_reset(&control->arena);
    while (type == CLUSTER_RPC_CONTROLLERS && !control->stopping && reader_left(&r) > 0 &&
           meta_record_decode(&r, &control->arena, &record) == OK)
        if (record.type == META_CONTROLLER)
            learn_controller(control, &record.controller);
}

static void links_open(struct control *control)
{
    const struct endpoints *servers = &control->broker->config->controller_bootstrap_servers;

    for (uint32_t i = 0; i < MIN(servers->count, (uint32_t)CONTROL_LINKS_MAX); i++) {
        bool opened = link_open(control, str_from(servers->items[i].host), servers->items[i].port);
        ASSERT(opened); /* at start: nothing to lose yet */
    }
}

/* -- life -- */

/* The new loop may run before env_spawn() has returned, when control->env is not known yet. */
static void on_spawned(struct env_msg *msg)
{
}

static void on_start(struct env_msg *msg)
{
    struct control *control = CONTAINER_OF(msg, struct control, start_msg);

    flight_deck_init(&control->deck, control->broker->log);
    if (control->broker->record)
        flight_deck_install(&control->deck);
    env_random(control->env, &control->self.incarnation, sizeof(control->self.incarnation));
    env_random(control->env, control->incarnation_id.b, sizeof(control->incarnation_id.b));
    if (control->broker->controller_tls)
        control->tls = tls_loop_new(control->env, control->broker->tls);
    links_open(control);
}

static void on_shutdown_timer(struct env_timer *timer)
{
    control_may_stop(CONTAINER_OF(timer, struct control, shutdown_timer));
}

static void applied_init(struct control *control)
{
    for (unsigned i = 0; i < control->broker->shard_count; i++)
        control->applied[i].control = control;
}

struct control *control_start(struct env *parent, struct broker_shared *broker,
                              const struct control_options *options)
{
    struct control *control = calloc(1, sizeof(*control));

    if (!control)
        return NULL;
    control->broker = broker;
    control->options = *options;
    control->parent = parent;
    control->self = (struct rpc_peer_info){
        .node_id = broker->broker_id, .role = RPC_ROLE_BROKER, .cluster_id = options->cluster_id};
    control->active = -1;
    control->fenced = true;
    control->image = image_new();
    control->published = control->image ? image_ref(control->image) : NULL;
    list_init(&control->calls);
    route_table_init(&control->placement);
    route_table_init(&control->left);
    arena_init(&control->arena, NULL, 0, CONTROL_ARENA_BYTES);
    env_timer_init(&control->retry, on_retry);
    env_timer_init(&control->heartbeat_timer, control_on_heartbeat_timer);
    env_timer_init(&control->shutdown_timer, on_shutdown_timer);
    control_notes_init(control);
    applied_init(control);
    broker->control = control; /* before the first message can come back */
    control->spawn_msg.fn = on_spawned;
    control->env = control->image ? env_spawn(parent, "control", &control->spawn_msg) : NULL;
    if (control->env) {
        control->start_msg.fn = on_start;
        env_post(control->env, &control->start_msg);
        return control;
    }
    image_unref(control->image);
    image_unref(control->published);
    free(control);
    broker->control = NULL;
    return NULL;
}

static void on_shutdown(struct env_msg *msg)
{
    struct control *control = CONTAINER_OF(msg, struct control, shutdown_msg);
    uint64_t patience_us = (uint64_t)control->broker->config->controlled_shutdown_timeout_ms * 1000;

    control->shutting_down = true;
    if (control->broker_epoch == 0) { /* nobody ever heard of us */
        control_may_stop(control);
        return;
    }
    env_timer_set(control->env, &control->shutdown_timer, env_now_us(control->env) + patience_us);
    control_heartbeat_now(control);
}

void control_begin_shutdown(struct control *control)
{
    control->shutdown_msg.fn = on_shutdown;
    env_post(control->env, &control->shutdown_msg);
}

static void on_stop(struct env_msg *msg)
{
    struct control *control = CONTAINER_OF(msg, struct control, stop_msg);
    struct env *parent = control->parent;
    struct env_msg *done = control->stopped_msg;

    struct control_ask *asks[] = {&control->register_ask, &control->heartbeat_ask, &control->tail_ask};

    control->stopping = true;
    for (size_t i = 0; i < ARRAY_LEN(asks); i++)
        if (asks[i]->under_way)
            rpc_call_cancel(&asks[i]->call);
    control_calls_fail_all(control, KAFKA_BROKER_NOT_AVAILABLE);
    for (unsigned i = 0; i < control->link_count; i++)
        rpc_client_close(control->links[i].client);
    tls_loop_drop(control->tls);
    env_timer_cancel(control->env, &control->retry);
    env_timer_cancel(control->env, &control->heartbeat_timer);
    env_timer_cancel(control->env, &control->shutdown_timer);
    if (control->snapshot.edit)
        image_edit_abort(control->snapshot.edit);
    writer_free(&control->snapshot.rest);
    route_table_free(&control->placement);
    route_table_free(&control->left);
    arena_free(&control->arena);
    image_unref(control->image);
    image_unref(control->published);
    assert_set_hook(NULL, NULL); /* the deck goes before the thread does */
    env_stop(control->env);      /* after the turns that the closing connections need */
    env_post(parent, done);
}

void control_stop(struct control *control, struct env_msg *done)
{
    control->stopped_msg = done;
    control->stop_msg.fn = on_stop;
    env_post(control->env, &control->stop_msg);
}

void control_free(struct control *control)
{
    free(control);
}

/* -- the image, for the broker object -- */

static void on_image_told(struct env_msg *msg)
{
    struct control_image_ask *ask = CONTAINER_OF(msg, struct control_image_ask, msg);

    ask->done(ask);
}

static void on_image_asked(struct env_msg *msg)
{
    struct control_image_ask *ask = CONTAINER_OF(msg, struct control_image_ask, msg);
    struct control *control = ask->control;

    ask->image = control->stopping ? NULL : image_ref(control->published); /* never goes back */
    ask->msg.fn = on_image_told;
    env_post(control->parent, &ask->msg);
}

void control_ask_image(struct control *control, struct control_image_ask *ask)
{
    ask->control = control;
    ask->msg.fn = on_image_asked;
    env_post(control->env, &ask->msg);
}

/* -- notes from shards -- */

static void on_applied(struct env_msg *msg)
{
    struct applied_note *note = CONTAINER_OF(msg, struct applied_note, msg);
    struct control *control = note->control;

    atomic_store(&note->posted, false);
    if (control->registered && control->fenced &&
        control_applied_min(control) >= (uint64_t)control->broker_epoch)
        control_heartbeat_now(control); /* ready to be unfenced: no need to wait for the interval */
}

void control_shard_applied(struct control *control, unsigned shard, uint64_t index,
                           uint32_t failed_partitions)
{
    struct applied_note *note = &control->applied[shard];

    atomic_store(&note->index, index);
    atomic_store(&note->failed_partitions, failed_partitions);
    if (atomic_exchange(&note->posted, true))
        return;
    note->msg.fn = on_applied;
    env_post(control->env, &note->msg);
}
