/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/controller.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "controller/controller_internal.h"

#define STOP_WAIT_US 500000 /* for a successor, when a leader stops */

struct controller_options controller_options_defaults(void)
{
    return (struct controller_options){.election_timeout_ms = 200,
                                       .heartbeat_ms = 20,
                                       .session_us = 3000000,
                                       .num_partitions = 1,
                                       .default_replication_factor = 1,
                                       .auto_rebalance = true,
                                       .rebalance_us = 300000000,
                                       .imbalance_percent = 10,
                                       .snapshot_entries = 20000,
                                       .snapshot_bytes = 20u << 20,
                                       .segment_bytes = 8u << 20};
}

/* -- snapshots of the image -- */

static enum err cursor_next(void *ctx, struct writer *w, size_t budget, bool *ret_done)
{
    return image_cursor_write(((struct controller *)ctx)->snapshot_cursor, w, budget, ret_done);
}

static void cursor_end(void *ctx, enum err err)
{
    struct controller *c = ctx;
    image_cursor_free(c->snapshot_cursor);
    c->snapshot_cursor = NULL;
    if (err == OK)
        LOG(c->options.logger, INFO, "snapshot.written",
            F_U64("index", snapshot_newest(storage_snapshots(c->storage))->id.index));
    else if (err != ERR_CANCELED)
        LOG(c->options.logger, ERROR, "snapshot.failed", F_ERR("error", err));
}

static const struct consensus_source image_source = {.next = cursor_next, .end = cursor_end};

static void maybe_take_snapshot(struct controller *c)
{
    if (c->entries_since_snapshot < c->options.snapshot_entries &&
        c->bytes_since_snapshot < c->options.snapshot_bytes)
        return;
    if (c->snapshot_cursor != NULL || c->failed)
        return;
    c->snapshot_cursor = image_cursor_new(c->image);
    if (c->snapshot_cursor == NULL)
        return; /* with the next entry */
    if (consensus_take_snapshot(c->consensus, &image_source, c) == OK) {
        c->entries_since_snapshot = c->bytes_since_snapshot = 0;
        return;
    }
    image_cursor_free(c->snapshot_cursor);
    c->snapshot_cursor = NULL;
}

static void publish(struct env_task *task)
{
    struct controller *c = CONTAINER_OF(task, struct controller, publish_task);
    if (!c->started || c->failed)
        return;
    tail_publish(c);
    maybe_take_snapshot(c);
}

/* -- life -- */

static void members_changed(struct env_task *task)
{
    struct controller *c = CONTAINER_OF(task, struct controller, members_task);
    if (c->started && !c->failed)
        peers_members_changed(c);
}

static void stop_now(struct env_timer *timer);
static void tell_stopped(struct env_task *task);

static void init_parts(struct controller *c)
{
    map_init(&c->sessions);
    drive_prepare(c);
    env_task_init(&c->publish_task, publish);
    env_task_init(&c->members_task, members_changed);
    membership_init(c);
    env_task_init(&c->stopped_task, tell_stopped);
    env_timer_init(&c->stop_timer, stop_now);
    c->self = (struct rpc_peer_info){.node_id = c->options.node_id, .role = RPC_ROLE_CONTROLLER};
    env_random(c->env, &c->self.incarnation, sizeof(c->self.incarnation));
}

static enum err open_parts(struct controller *c, char *text)
{
    struct storage_options so = {.dir = c->metadata_dir,
                                 .node_id = c->options.node_id,
                                 .segment_bytes = c->options.segment_bytes,
                                 .allocate_bytes = 1u << 20};
    enum err err = storage_open(c->env, &so, &c->storage, text);
    if (err != OK)
        return err;
    if (storage_warning(c->storage)[0] != 0)
        LOG(c->options.logger, WARN, "storage.damaged_snapshot", F_STR("what", storage_warning(c->storage)));
    c->self.cluster_id = storage_cluster_id(c->storage);
    c->tls = tls_loop_new(c->env, c->options.tls);
    err = rpc_server_listen(c->env, c->tls, &c->options.listen, &c->self, &controller_server_handler, c,
                            &c->server, &c->bound);
    if (err == OK)
        return OK;
    char address[ENV_HOST_MAX + 8];
    snprintf(text, CONTROLLER_TEXT_MAX, "cannot listen on %s: %s: check listeners",
             env_addr_format(&c->options.listen, address), err_text(err));
    return err;
}

enum err controller_new(struct env *env, const struct controller_options *options,
                        struct controller **ret_controller, char text[CONTROLLER_TEXT_MAX])
{
    ASSERT(options->logger != NULL && options->metadata_dir != NULL);
    text[0] = 0;
    struct controller *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return ERR_NOMEM;
    c->env = env;
    c->options = *options;
    snprintf(c->metadata_dir, sizeof(c->metadata_dir), "%s", options->metadata_dir);
    init_parts(c);
    c->image = image_new();
    enum err err = c->image == NULL ? ERR_NOMEM : open_parts(c, text);
    if (err != OK) {
        if (text[0] == 0)
            snprintf(text, CONTROLLER_TEXT_MAX, "%s", err_text(err));
        controller_free(c);
        return err;
    }
    *ret_controller = c;
    return OK;
}

const struct env_addr *controller_address(const struct controller *c)
{
    return &c->bound;
}

void controller_set_voter(struct controller *c, int32_t node_id, const struct env_addr *addr)
{
    ASSERT(!c->started);
    for (int i = 0; i < c->options.voters_count; i++) {
        if (c->options.voters[i].node_id == node_id)
            c->options.voters[i].addr = *addr;
    }
}

enum err controller_start(struct controller *c)
{
    struct consensus_options co = {.node_id = c->options.node_id,
                                   .voters_count = c->options.voters_count,
                                   .election_timeout_ms = c->options.election_timeout_ms,
                                   .heartbeat_ms = c->options.heartbeat_ms,
                                   .trailing_entries = (uint32_t)MIN(c->options.snapshot_entries, 10000)};
    for (int i = 0; i < c->options.voters_count; i++)
        co.voters[i] = c->options.voters[i].node_id;
    drive_init(c);
    c->consensus =
        consensus_new(c->env, c->storage, &co, &controller_transport, c, &controller_consensus_handler, c);
    if (c->consensus == NULL)
        return ERR_NOMEM;
    c->metrics = controller_metrics_new(c);
    c->started = true;
    enum err err = peers_connect(c);
    if (err == OK)
        err = consensus_start(c->consensus);
    if (err != OK)
        controller_fail(c, err, "joining the quorum");
    return err;
}

/* Everything closes; what is durable is recorded. */
static void close_parts(struct controller *c, bool clean)
{
    env_task_cancel(&c->publish_task);
    env_task_cancel(&c->members_task);
    env_timer_cancel(c->env, &c->stop_timer);
    membership_stop(c);
    controller_metrics_free(c->metrics);
    c->metrics = NULL;
    peers_close(c);
    if (c->server != NULL)
        rpc_server_close(c->server);
    c->server = NULL;
    tls_loop_drop(c->tls);
    c->tls = NULL;
    requests_free(c);
    consensus_free(c->consensus);
    c->consensus = NULL;
    drive_free(c);
    if (c->storage != NULL && clean && !c->failed && storage_stop_wait(c->storage) != OK)
        LOG(c->options.logger, ERROR, "storage.stop_failed");
    storage_close(c->storage);
    c->storage = NULL;
    c->started = false;
}

static void tell_stopped(struct env_task *task)
{
    struct controller *c = CONTAINER_OF(task, struct controller, stopped_task);
    c->stopped(c->stopped_ctx);
}

static void stop_now(struct env_timer *timer)
{
    struct controller *c = CONTAINER_OF(timer, struct controller, stop_timer);
    close_parts(c, true);
    env_defer(c->env, &c->stopped_task);
}

void controller_stop(struct controller *c, void (*stopped)(void *ctx), void *ctx)
{
    ASSERT(!c->stopping && stopped != NULL);
    c->stopping = true;
    c->stopped = stopped;
    c->stopped_ctx = ctx;
    bool hands_over = c->started && !c->failed && consensus_transfer(c->consensus) == OK;
    env_timer_set(c->env, &c->stop_timer, hands_over ? env_now_us(c->env) + STOP_WAIT_US : 0);
}

void controller_free(struct controller *c)
{
    if (c == NULL)
        return;
    close_parts(c, false);
    env_task_cancel(&c->stopped_task);
    image_unref(c->image);
    free(c);
}

bool controller_ready(struct controller *c, char *reason, size_t size)
{
    struct consensus_status status = controller_status(c);
    if (c->failed || !c->started)
        snprintf(reason, size, "not running");
    else if (status.leader < 0)
        snprintf(reason, size, "no leader of the quorum is known");
    else if (status.leader == c->options.node_id && !status.leads)
        snprintf(reason, size, "applying what was committed before this term");
    else
        return true;
    return false;
}

struct consensus_status controller_status(const struct controller *c)
{
    return c->started ? consensus_status(c->consensus) : (struct consensus_status){.leader = NODE_NONE};
}

struct image *controller_image(const struct controller *c)
{
    return c->image;
}
