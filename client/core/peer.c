/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a connection: connecting, agreeing on versions, time-outs, loss. */
#include "client/core/internal.h"
#include "proto/kafka/error.h"

#define HELLO_VERSION    3 /* ApiVersions with our name in it; a broker that knows less says so */
#define SCORE_CONNECTING 1000
#define SCORE_IDLE       2000
#define SCORE_STALLED    3000
#define SCORE_BACKOFF    10000
#define SCORE_BOOTSTRAP  5000

static void hello_done(struct client *client, struct client_call_state *call,
                       const struct client_answer *answer);

/* -- the set of peers -- */

static struct client_peer *peer_new(struct client *client, int32_t node, enum client_peer_role role,
                                    const struct client_address *address)
{
    struct client_peer *peer = client_take(client, sizeof(*peer));
    if (!peer)
        return NULL;
    peer->node = node;
    peer->role = role;
    peer->address = *address;
    list_init(&peer->waiting);
    list_init(&peer->sent);
    list_init(&peer->hello.link);
    list_push_back(&client->peers, &peer->link);
    return peer;
}

bool client_peers_init(struct client *client)
{
    for (uint32_t i = 0; i < client->config.bootstrap_count; i++)
        if (!peer_new(client, -2 - (int32_t)i, CLIENT_PEER_COMMON, &client->config.bootstrap[i]))
            return false;
    return true;
}

struct client_peer *client_peer_of(struct client *client, int32_t node, enum client_peer_role role)
{
    const struct client_node *known = client_node(client, node);
    if (!known) {
        client_refresh(client); /* an answer may be older than the one that named this leader */
        return NULL;
    }
    list_for_each (it, &client->peers) {
        struct client_peer *peer = CONTAINER_OF(it, struct client_peer, link);
        if (peer->node == node && peer->role == role)
            return peer;
    }
    return peer_new(client, node, role, &known->address);
}

static bool is_stalled(const struct client *client, const struct client_peer *peer)
{
    if (list_empty(&peer->sent))
        return false;
    const struct client_call_state *first = CONTAINER_OF(peer->sent.next, struct client_call_state, link);
    return first->sent_us + client->config.stall_us <= client->now_us;
}

/* Lower is better. */
static uint64_t score(const struct client *client, const struct client_peer *peer)
{
    uint64_t base = peer->node < 0 && client->nodes_count > 0 ? SCORE_BOOTSTRAP : 0;
    switch (peer->state) {
    case CLIENT_PEER_READY: return is_stalled(client, peer) ? SCORE_STALLED : peer->sent_count;
    case CLIENT_PEER_CONNECTING:
    case CLIENT_PEER_GREETING: return base + SCORE_CONNECTING;
    case CLIENT_PEER_IDLE: break;
    }
    if (peer->retry_at_us <= client->now_us)
        return base + SCORE_IDLE + MIN(peer->failures, 100u);
    return base + SCORE_BACKOFF + (peer->retry_at_us - client->now_us);
}

static bool make_known_peers(struct client *client)
{
    for (int32_t i = 0; i < client->nodes_count; i++)
        if (!client_peer_of(client, client->nodes[i].id, CLIENT_PEER_COMMON))
            return false;
    return true;
}

struct client_peer *client_peer_any(struct client *client)
{
    struct client_peer *best = NULL;
    uint64_t best_score = UINT64_MAX;
    uint32_t ties = 0;
    if (!make_known_peers(client))
        return NULL;
    list_for_each (it, &client->peers) {
        struct client_peer *peer = CONTAINER_OF(it, struct client_peer, link);
        if (peer->role != CLIENT_PEER_COMMON || (peer->node >= 0 && !client_node(client, peer->node)))
            continue;
        uint64_t now = score(client, peer);
        if (now > best_score)
            continue;
        ties = now == best_score ? ties + 1 : 1;
        bool first = client->config.same_broker;
        if (first ? ties == 1 : prng_below(&client->prng, ties) == 0)
            best = peer;
        best_score = now;
    }
    return best;
}

static struct client_peer *peer_by_conn(struct client *client, uint64_t conn)
{
    list_for_each (it, &client->peers) {
        struct client_peer *peer = CONTAINER_OF(it, struct client_peer, link);
        if (peer->conn == conn && conn != 0)
            return peer;
    }
    return NULL;
}

/* -- loss -- */

static void fail_calls(struct client *client, struct list *calls, enum err why)
{
    while (!list_empty(calls)) {
        struct client_call_state *call = CONTAINER_OF(calls->next, struct client_call_state, link);
        struct client_answer answer = {.err = why};
        list_remove(&call->link);
        call->done(client, call, &answer);
    }
}

/* Back to idle. Calls that were sent end with sent_why, the others were never sent. */
static void peer_lost(struct client *client, struct client_peer *peer, enum err sent_why)
{
    struct list waiting, sent;
    list_init(&waiting);
    list_init(&sent);
    list_splice_back(&waiting, &peer->waiting);
    list_splice_back(&sent, &peer->sent);
    peer->state = CLIENT_PEER_IDLE;
    peer->conn = 0;
    peer->sent_count = 0;
    peer->retry_at_us = client_backoff(client, &peer->failures);
    fail_calls(client, &sent, sent_why);
    fail_calls(client, &waiting, ERR_UNREACHABLE);
}

void client_peers_free(struct client *client)
{
    list_for_each_safe (it, tmp, &client->peers) {
        struct client_peer *peer = CONTAINER_OF(it, struct client_peer, link);
        peer_lost(client, peer, ERR_CANCELED); /* its calls free themselves */
        list_remove(it);
        client_give(client, peer, sizeof(*peer));
    }
}

static void note_trouble(struct client *client, const struct client_peer *peer, enum err why)
{
    client->trouble = (struct client_trouble){.address = peer->address, .err = why};
}

void client_peer_drop(struct client *client, struct client_peer *peer, enum err why)
{
    if (peer->conn == 0)
        return;
    note_trouble(client, peer, why);
    struct client_effect *effect = client_effect(client, CLIENT_FX_CLOSE);
    if (effect)
        effect->close.conn = peer->conn;
    peer_lost(client, peer, why);
}

/* Without calls it may go quietly. */
static void peer_retire(struct client *client, struct client_peer *peer)
{
    struct client_effect *effect;
    if (peer->state != CLIENT_PEER_READY || !list_empty(&peer->sent) || !list_empty(&peer->waiting))
        return;
    effect = client_effect(client, CLIENT_FX_CLOSE);
    if (!effect)
        return;
    effect->close.conn = peer->conn;
    peer->conn = 0;
    peer->state = CLIENT_PEER_IDLE;
}

static bool same_address(const struct client_address *a, const struct client_address *b)
{
    return a->port == b->port && strncmp(a->host, b->host, sizeof(a->host)) == 0;
}

void client_peers_moved(struct client *client)
{
    list_for_each (it, &client->peers) {
        struct client_peer *peer = CONTAINER_OF(it, struct client_peer, link);
        const struct client_node *node = client_node(client, peer->node);
        if (peer->node < 0) {
            peer_retire(client, peer);
        } else if (!node) {
            client_peer_drop(client, peer, ERR_CLOSED);
        } else if (!same_address(&node->address, &peer->address)) {
            client_peer_drop(client, peer, ERR_CLOSED);
            peer->address = node->address;
            peer->retry_at_us = 0;
        }
    }
}

/* -- connecting and greeting -- */

static void peer_connect(struct client *client, struct client_peer *peer)
{
    struct client_effect *effect = client_effect(client, CLIENT_FX_CONNECT);
    struct client_address *address = arena_copy(&client->box->arena, &peer->address, sizeof(*address));
    if (!effect || !address) {
        if (effect)
            client->box->count--;
        client_wake(client, client->now_us + client->config.backoff_first_us);
        return;
    }
    peer->conn = client->next_conn++;
    peer->state = CLIENT_PEER_CONNECTING;
    peer->deadline_us = client->now_us + client->config.connect_timeout_us;
    client_wake(client, peer->deadline_us);
    effect->connect.conn = peer->conn;
    effect->connect.address = address;
}

static const void *hello_build(struct client *client, struct client_call_state *call, int16_t version,
                               struct arena *arena)
{
    struct kafka_api_versions_request *request = arena_alloc(arena, sizeof(*request));
    if (!request)
        return NULL;
    kafka_api_versions_request_init(request);
    request->client_software_name = STR_LIT("sluice");
    request->client_software_version = STR_LIT(SLUICE_VERSION);
    return request;
}

static void peer_greet(struct client *client, struct client_peer *peer, int16_t version)
{
    peer->hello_version = version;
    peer->hello = (struct client_call_state){.api_key = KAFKA_API_API_VERSIONS,
                                             .version_min = version,
                                             .version_max = version,
                                             .timeout_us = client->config.request_timeout_us,
                                             .build = hello_build,
                                             .done = hello_done};
    list_init(&peer->hello.link);
    client_peer_send(client, peer, &peer->hello);
}

static void take_versions(struct client_peer *peer, const struct kafka_api_versions_response *response)
{
    for (int i = 0; i < CLIENT_KEYS_MAX; i++)
        peer->version_max[i] = -1;
    for (int32_t i = 0; i < response->api_keys_count; i++) {
        int16_t key = response->api_keys[i].api_key;
        if (key < 0 || key >= CLIENT_KEYS_MAX)
            continue;
        peer->version_min[key] = response->api_keys[i].min_version;
        peer->version_max[key] = response->api_keys[i].max_version;
    }
}

static void hello_done(struct client *client, struct client_call_state *call,
                       const struct client_answer *answer)
{
    struct client_peer *peer = CONTAINER_OF(call, struct client_peer, hello);
    const struct kafka_api_versions_response *response = answer->message;
    if (answer->err != OK)
        return; /* the connection is gone */
    if (response->error_code == KAFKA_UNSUPPORTED_VERSION && peer->hello_version > 0) {
        peer_greet(client, peer, 0); /* KIP-511 */
        return;
    }
    if (response->error_code != KAFKA_NONE) {
        client_peer_drop(client, peer, ERR_REJECTED);
        return;
    }
    take_versions(peer, response);
    peer->state = CLIENT_PEER_READY;
    peer->failures = 0;
    client->met_broker = true;
    client_wake(client, client->now_us);
}

bool client_peer_ready(struct client *client, struct client_peer *peer)
{
    if (peer->state == CLIENT_PEER_READY)
        return true;
    peer->wanted = true;
    return false;
}

void client_opened(struct client *client, uint64_t now_us, uint64_t conn)
{
    client_now(client, now_us);
    struct client_peer *peer = peer_by_conn(client, conn);
    if (!peer || peer->state != CLIENT_PEER_CONNECTING)
        return;
    peer->state = CLIENT_PEER_GREETING;
    peer_greet(client, peer, HELLO_VERSION);
}

void client_closed(struct client *client, uint64_t now_us, uint64_t conn, enum err why)
{
    client_now(client, now_us);
    struct client_peer *peer = peer_by_conn(client, conn);
    ASSERT(why != OK);
    if (!peer)
        return;
    note_trouble(client, peer, why);
    if (peer->node >= 0)
        client_refresh(client); /* its partitions may have new leaders */
    peer_lost(client, peer, ERR_CLOSED);
    client_wake(client, client->now_us);
}

/* -- turns -- */

static void peer_timeouts(struct client *client, struct client_peer *peer)
{
    if (peer->state == CLIENT_PEER_CONNECTING || peer->state == CLIENT_PEER_GREETING) {
        if (peer->deadline_us <= client->now_us)
            client_peer_drop(client, peer, ERR_TIMED_OUT);
        else
            client_wake(client, peer->deadline_us);
        return;
    }
    if (list_empty(&peer->sent))
        return;
    const struct client_call_state *first = CONTAINER_OF(peer->sent.next, struct client_call_state, link);
    uint64_t stall_us = first->sent_us + client->config.stall_us;
    if (first->sent_us + first->timeout_us <= client->now_us) {
        client_peer_drop(client, peer, ERR_TIMED_OUT);
        client_refresh(client);
        return;
    }
    client_wake(client, first->sent_us + first->timeout_us);
    if (peer->role == CLIENT_PEER_COMMON && stall_us <= client->now_us)
        client_refresh(client);
    else if (peer->role == CLIENT_PEER_COMMON)
        client_wake(client, stall_us);
}

void client_peers_timeouts(struct client *client)
{
    list_for_each (it, &client->peers)
        peer_timeouts(client, CONTAINER_OF(it, struct client_peer, link));
}

static void peer_flush(struct client *client, struct client_peer *peer)
{
    if (peer->state == CLIENT_PEER_IDLE && (peer->wanted || !list_empty(&peer->waiting))) {
        if (peer->retry_at_us <= client->now_us)
            peer_connect(client, peer);
        else
            client_wake(client, peer->retry_at_us);
    }
    peer->wanted = false;
    while (peer->state == CLIENT_PEER_READY && !list_empty(&peer->waiting)) {
        struct client_call_state *call = CONTAINER_OF(peer->waiting.next, struct client_call_state, link);
        list_remove(&call->link);
        client_peer_send(client, peer, call);
    }
}

void client_peers_flush(struct client *client)
{
    list_for_each (it, &client->peers)
        peer_flush(client, CONTAINER_OF(it, struct client_peer, link));
}
