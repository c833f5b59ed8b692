/* SPDX-License-Identifier: Apache-2.0 */
/* Raft's messages to the other controllers: one lasting connection each way. */
#include "common/base/assert.h"
#include "controller/controller_internal.h"

static struct peer *find_peer(struct controller *c, int32_t node_id)
{
    for (int i = 0; i < c->peers_count; i++) {
        if (c->peers[i].node_id == node_id)
            return &c->peers[i];
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

static void peer_up(void *ctx, struct rpc_client *client, const struct rpc_peer_info *info)
{
    struct peer *peer = ctx;
    struct controller *c = peer->controller;
    if (info->role != RPC_ROLE_CONTROLLER || info->node_id != peer->node_id)
        LOG(c->options.logger, ERROR, "quorum.wrong_peer", F_I64("expected", peer->node_id),
            F_I64("found", info->node_id), F_STR("fix", "check controller.quorum.voters"));
    else
        LOG(c->options.logger, DEBUG, "quorum.peer_up", F_I64("peer", peer->node_id));
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

enum err peers_connect(struct controller *c)
{
    for (int i = 0; i < c->options.voters_count; i++) {
        const struct controller_voter *voter = &c->options.voters[i];
        if (voter->node_id == c->options.node_id)
            continue;
        struct peer *peer = &c->peers[c->peers_count++];
        *peer = (struct peer){.controller = c, .node_id = voter->node_id, .addr = voter->addr};
        peer->client = rpc_client_new(c->env, c->tls, &peer->addr, &c->self, &handler, peer);
        if (peer->client == NULL)
            return ERR_NOMEM;
    }
    return OK;
}

void peers_close(struct controller *c)
{
    for (int i = 0; i < c->peers_count; i++) {
        if (c->peers[i].client != NULL)
            rpc_client_close(c->peers[i].client);
        c->peers[i].client = NULL;
    }
}
