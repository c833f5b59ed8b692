/* SPDX-License-Identifier: Apache-2.0 */
/* Raft's messages to the other controllers: one lasting connection each way. Who they are: the voters of the
 * settings, the members that Raft's log names, and controllers that want to join and introduced themselves.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "controller/controller_internal.h"

static struct peer *find_peer(const struct controller *c, int32_t node_id)
{
    for (int i = 0; i < c->peers_count; i++) {
        if (c->peers[i]->node_id == node_id)
            return c->peers[i];
    }
    return NULL;
}

/* Lost messages are Raft's everyday business: nothing is queued for a peer that is away. */
static void send_to_peer(void *ctx, int32_t to, struct iobuf *buf)
{
    struct peer *peer = find_peer(ctx, to);
    if (peer != NULL && peer->client != NULL)
        rpc_client_send(peer->client, CLUSTER_RPC_RAFT, buf);
}

const struct consensus_transport controller_transport = {.send = send_to_peer};

/* -- introductions -- */

static const struct env_addr *own_address(const struct controller *c)
{
    for (int i = 0; i < c->options.voters_count; i++) {
        if (c->options.voters[i].node_id == c->options.node_id)
            return &c->options.voters[i].addr;
    }
    return &c->bound;
}

#define JOINED '+' /* in front of an introduction */
#define FIRST  '=' /* a voter of the first configuration */

/* Who this is, with which disk, and where: one that joins is in nobody's settings. */
static void introduce(struct controller *c, struct peer *peer)
{
    struct consensus_member self = {.node_id = c->options.node_id,
                                    .directory_id = storage_directory_id(c->storage),
                                    .addr = *own_address(c)};
    char text[1 + MEMBER_TEXT_MAX] = {storage_joined(c->storage) ? JOINED : FIRST};
    member_format(&self, text + 1);
    struct iobuf *buf = iobuf_get(c->env->pool, sizeof(text));
    if (buf == NULL)
        return;
    buf->len = (uint32_t)strlen(text);
    memcpy(buf->data, text, buf->len);
    rpc_client_send(peer->client, CLUSTER_RPC_INTRODUCE, buf);
    iobuf_unref(buf);
}

static enum err add_peer(struct controller *c, int32_t node_id, const struct env_addr *addr);

void peers_introduced(struct controller *c, struct session *session, struct reader *r)
{
    char text[1 + MEMBER_TEXT_MAX];
    size_t len = reader_left(r);
    struct consensus_member guest = {.voter = false};
    if (len == 0 || len >= sizeof(text) || (*r->p != JOINED && *r->p != FIRST))
        return;
    memcpy(text, r->p, len);
    text[len] = 0;
    bool joined = text[0] == JOINED;
    if (member_parse(text + 1, &guest) != OK || guest.node_id != rpc_conn_peer(session->conn)->node_id ||
        guest.node_id == c->options.node_id || uuid_is_zero(guest.directory_id))
        return;
    consensus_introduce(c->consensus, &guest, joined);
    if (!joined)
        return;
    session->guest = guest;
    session->introduced = true;
    if (add_peer(c, guest.node_id, &guest.addr) != OK)
        LOG(c->options.logger, WARN, "quorum.too_many_peers", F_I64("peer", guest.node_id));
}

/* -- connections -- */

static bool in_settings(const struct controller *c, int32_t node_id)
{
    for (int i = 0; i < c->options.voters_count; i++) {
        if (c->options.voters[i].node_id == node_id)
            return true;
    }
    return false;
}

static void peer_up(void *ctx, struct rpc_client *client, const struct rpc_peer_info *info)
{
    struct peer *peer = ctx;
    struct controller *c = peer->controller;
    if (info->role != RPC_ROLE_CONTROLLER || info->node_id != peer->node_id) {
        LOG(c->options.logger, ERROR, "quorum.wrong_peer", F_I64("expected", peer->node_id),
            F_I64("found", info->node_id), F_STR("fix", "check controller.quorum.voters"));
        return;
    }
    LOG(c->options.logger, DEBUG, "quorum.peer_up", F_I64("peer", peer->node_id));
    introduce(c, peer);
    if (!in_settings(c, c->options.node_id) && uuid_is_zero(c->self.cluster_id))
        controller_learn_cluster(c,
                                 info->cluster_id); /* it wants to join, and could join no other any more */
}

static void peer_down(void *ctx, struct rpc_client *client, enum err why)
{
    struct peer *peer = ctx;
    LOG(peer->controller->options.logger, DEBUG, "quorum.peer_down", F_I64("peer", peer->node_id),
        F_ERR("why", why));
}

/* Its port refuses: the process is gone. If it led, nobody needs to wait for a time-out. */
static void peer_error(void *ctx, struct rpc_client *client, enum err why)
{
    struct peer *peer = ctx;
    struct controller *c = peer->controller;
    if (why == ERR_REFUSED && c->consensus != NULL)
        consensus_peer_gone(c->consensus, peer->node_id);
    if (why == ERR_UNTRUSTED || why == ERR_IDENTITY || why == ERR_REJECTED || why == ERR_TLS)
        LOG_LIMITED(c->options.logger, &c->rejected_limit, ERROR, "quorum.peer_not_trusted",
                    F_I64("peer", peer->node_id), F_ERR("error", why),
                    F_STR("fix", "check ssl.* and the certificates of both nodes"));
    if (why == ERR_MISMATCH)
        LOG_LIMITED(c->options.logger, &c->rejected_limit, ERROR, "quorum.other_cluster",
                    F_I64("peer", peer->node_id), F_STR("fix", "check controller.quorum.voters"));
}

static const struct rpc_client_handler handler = {.up = peer_up, .down = peer_down, .error = peer_error};

static enum err add_peer(struct controller *c, int32_t node_id, const struct env_addr *addr)
{
    struct peer *peer = find_peer(c, node_id);
    if (peer != NULL) {
        if (addr->port != rpc_client_addr(peer->client)->port ||
            strcmp(addr->host, rpc_client_addr(peer->client)->host) != 0)
            rpc_client_set_addr(peer->client, addr);
        peer->addr = *addr;
        return OK;
    }
    if (c->peers_count == PEERS_MAX)
        return ERR_FULL;
    peer = calloc(1, sizeof(*peer));
    if (peer == NULL)
        return ERR_NOMEM;
    *peer = (struct peer){.controller = c, .node_id = node_id, .addr = *addr};
    peer->client = rpc_client_new(c->env, c->tls, &peer->addr, &c->self, &handler, peer);
    if (peer->client == NULL) {
        free(peer);
        return ERR_NOMEM;
    }
    c->peers[c->peers_count++] = peer;
    return OK;
}

enum err peers_connect(struct controller *c)
{
    enum err err = OK;
    for (int i = 0; i < c->options.voters_count && err == OK; i++) {
        const struct controller_voter *voter = &c->options.voters[i];
        if (voter->node_id != c->options.node_id)
            err = add_peer(c, voter->node_id, &voter->addr);
    }
    return err;
}

void peers_close(struct controller *c)
{
    for (int i = 0; i < c->peers_count; i++) {
        rpc_client_close(c->peers[i]->client);
        free(c->peers[i]);
    }
    c->peers_count = 0;
}

/* -- members -- */

const struct env_addr *peers_address(const struct controller *c, int32_t node_id)
{
    const struct peer *peer = find_peer(c, node_id);
    if (node_id == c->options.node_id)
        return own_address(c);
    return peer == NULL ? NULL : &peer->addr;
}

static void add_endpoint(struct controller *c, int32_t *count, int32_t node_id)
{
    const struct env_addr *addr = peers_address(c, node_id);
    for (int32_t i = 0; i < *count; i++) {
        if (c->endpoints[i].node_id == node_id)
            return;
    }
    if (addr != NULL && *count < PEERS_MAX)
        c->endpoints[(*count)++] =
            (struct meta_controller){.node_id = node_id, .host = str_from(addr->host), .port = addr->port};
}

int32_t peers_endpoints(struct controller *c)
{
    int32_t count = 0;
    int members_count = 0;
    const struct consensus_member *members =
        c->consensus != NULL ? consensus_members(c->consensus, &members_count) : NULL;
    for (int i = 0; i < c->options.voters_count; i++) {
        const struct controller_voter *voter = &c->options.voters[i];
        c->endpoints[count++] = (struct meta_controller){
            .node_id = voter->node_id, .host = str_from(voter->addr.host), .port = voter->addr.port};
    }
    for (int i = 0; i < members_count; i++)
        add_endpoint(c, &count, members[i].node_id);
    return count;
}

void peers_tell_broker(struct controller *c, struct rpc_conn *conn)
{
    struct writer w;
    int32_t count = peers_endpoints(c);
    requests_init_writer(c, &w);
    for (int32_t i = 0; i < count; i++) {
        struct meta_record record = {.type = META_CONTROLLER, .controller = c->endpoints[i]};
        meta_record_encode(&w, &record);
    }
    struct iobuf *buf = writer_take(&w);
    if (buf != NULL)
        rpc_send(conn, CLUSTER_RPC_CONTROLLERS, buf);
    iobuf_unref(buf);
    writer_free(&w);
}

static void tell_brokers(struct controller *c)
{
    uint32_t pos = 0;
    uint64_t id;
    void *value;
    while (map_next(&c->sessions, &pos, &id, &value)) {
        struct rpc_conn *conn = ((struct session *)value)->conn;
        if (rpc_conn_peer(conn)->role == RPC_ROLE_BROKER)
            peers_tell_broker(c, conn);
    }
}

void peers_members_changed(struct controller *c)
{
    int count;
    const struct consensus_member *members = consensus_members(c->consensus, &count);
    for (int i = 0; i < count; i++) {
        bool has_address = members[i].addr.host[0] != 0 && !in_settings(c, members[i].node_id);
        if (members[i].node_id != c->options.node_id && has_address)
            add_peer(c, members[i].node_id, &members[i].addr);
    }
    int32_t endpoints = peers_endpoints(c);
    if (core_is_active(&c->core))
        drive_run(c, core_controllers(&c->core, env_now_us(c->env), c->endpoints, endpoints));
    else
        core_set_controllers(&c->core, c->endpoints, endpoints);
    tell_brokers(c);
}
