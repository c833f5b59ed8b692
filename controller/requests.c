/* SPDX-License-Identifier: Apache-2.0 */
/* The front end: what brokers, tools and other controllers ask. A table says who may ask what, and what only
 * the active controller answers. */
#include <stdlib.h>

#include "common/base/assert.h"
#include "controller/controller_internal.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define ROLE(role)  (1u << (role))
#define BROKERS     ROLE(RPC_ROLE_BROKER)
#define CONTROLLERS ROLE(RPC_ROLE_CONTROLLER)
#define EVERYBODY   (BROKERS | CONTROLLERS | ROLE(RPC_ROLE_TOOL))

/* One request under way. */
struct request {
    struct controller *controller;
    struct session *session;
    uint16_t type;
    uint32_t correlation;
    struct reader reader;
    struct arena arena;
};

/* -- answers -- */

void requests_init_writer(struct controller *c, struct writer *w)
{
    writer_init(w, c->env->pool, 512, REPLY_BYTES_MAX);
}

void requests_reply(struct rpc_conn *conn, uint16_t type, uint32_t correlation, struct writer *w)
{
    struct iobuf *buf = writer_take(w);
    if (buf != NULL)
        rpc_reply(conn, type | CLUSTER_RPC_REPLY, correlation, buf);
    else
        rpc_conn_close(conn); /* no memory for an answer: the peer asks anew */
    iobuf_unref(buf);
    writer_free(w);
}

#define REFUSE(name)                                                                                         \
    do {                                                                                                     \
        struct rpc_##name##_reply out = {.error = error, .leader_id = leader_id};                            \
        rpc_##name##_reply_encode(&w, &out);                                                                 \
    } while (0)

void requests_refuse(struct controller *c, struct rpc_conn *conn, uint16_t type, uint32_t correlation,
                     int16_t error)
{
    struct writer w;
    int32_t leader_id = consensus_status(c->consensus).leader;
    requests_init_writer(c, &w);
    switch (type) {
    case CLUSTER_RPC_REGISTER_BROKER: REFUSE(register_broker); break;
    case CLUSTER_RPC_HEARTBEAT: REFUSE(heartbeat); break;
    case CLUSTER_RPC_TAIL: REFUSE(tail); break;
    case CLUSTER_RPC_ALTER_PARTITION: REFUSE(alter_partition); break;
    case CLUSTER_RPC_ADMIN: REFUSE(admin); break;
    case CLUSTER_RPC_PRODUCER_IDS: REFUSE(producer_ids); break;
    case CLUSTER_RPC_SNAPSHOT: {
        struct rpc_snapshot_reply out = {.error = error};
        rpc_snapshot_reply_encode(&w, &out);
        break;
    }
    default: UNREACHABLE();
    }
    requests_reply(conn, type, correlation, &w);
}

static void refuse(struct request *q, int16_t error)
{
    requests_refuse(q->controller, q->session->conn, q->type, q->correlation, error);
}

/* -- requests for the core -- */

/* A broker speaks for itself alone: for the node of its hello, which TLS has compared with its certificate.
 */
static bool is_own(const struct request *q, int32_t broker_id)
{
    const struct rpc_peer_info *peer = rpc_conn_peer(q->session->conn);
    if (peer->node_id == broker_id)
        return true;
    LOG_LIMITED(q->controller->options.logger, &q->controller->rejected_limit, ERROR,
                "broker.speaks_for_another", F_I64("broker", peer->node_id), F_I64("claimed", broker_id),
                F_I64("type", q->type));
    return false;
}

/* Decodes the request and gives it to the core, or says what is wrong. */
#define TO_CORE(name)                                                                                        \
    static void on_##name(struct request *q)                                                                 \
    {                                                                                                        \
        struct controller *c = q->controller;                                                                \
        struct rpc_##name##_request m;                                                                       \
        if (rpc_##name##_request_decode(&q->reader, &q->arena, &m) != OK) {                                  \
            refuse(q, KAFKA_INVALID_REQUEST);                                                                \
            return;                                                                                          \
        }                                                                                                    \
        if (!is_own(q, m.broker_id)) {                                                                       \
            refuse(q, KAFKA_CLUSTER_AUTHORIZATION_FAILED);                                                   \
            return;                                                                                          \
        }                                                                                                    \
        uint64_t token = drive_expect(c, q->session, q->type, q->correlation);                               \
        if (token == 0)                                                                                      \
            refuse(q, KAFKA_UNKNOWN_SERVER_ERROR);                                                           \
        else                                                                                                 \
            drive_run(c, core_##name(&c->core, env_now_us(c->env), token, &m));                              \
    }

TO_CORE(register_broker)
TO_CORE(heartbeat)
TO_CORE(alter_partition)
TO_CORE(producer_ids)

/* -- requests about the quorum itself -- */

static void on_describe_quorum(struct request *q, int16_t version, const void *request)
{
    describe_quorum(q->controller, q->session, q->correlation, version, &q->arena, request);
}

static void on_add_voter(struct request *q, int16_t version, const void *request)
{
    membership_add_voter(q->controller, q->session, q->correlation, version, request);
}

static void on_remove_voter(struct request *q, int16_t version, const void *request)
{
    membership_remove_voter(q->controller, q->session, q->correlation, version, request);
}

static const struct quorum_call {
    int16_t api_key;
    void (*fn)(struct request *q, int16_t version, const void *request);
} quorum_calls[] = {{KAFKA_API_DESCRIBE_QUORUM, on_describe_quorum},
                    {KAFKA_API_ADD_RAFT_VOTER, on_add_voter},
                    {KAFKA_API_REMOVE_RAFT_VOTER, on_remove_voter}};

static const struct quorum_call *find_quorum_call(int16_t api_key)
{
    for (size_t i = 0; i < ARRAY_LEN(quorum_calls); i++) {
        if (quorum_calls[i].api_key == api_key)
            return &quorum_calls[i];
    }
    return NULL;
}

/* What clients ask is taken from brokers of this cluster, not from any process with a broker's certificate.
 */
static bool is_registered(const struct request *q)
{
    return image_broker(q->controller->image, rpc_conn_peer(q->session->conn)->node_id) != NULL;
}

/* A client's Kafka request, forwarded as received. */
static void on_admin(struct request *q)
{
    struct controller *c = q->controller;
    struct rpc_admin_request m;
    if (rpc_admin_request_decode(&q->reader, &q->arena, &m) != OK) {
        refuse(q, KAFKA_INVALID_REQUEST);
        return;
    }
    if (!is_registered(q)) {
        refuse(q, KAFKA_CLUSTER_AUTHORIZATION_FAILED);
        return;
    }
    const struct kafka_message_type *type = kafka_message_type(m.api_key, true);
    if (type == NULL || m.api_version < type->min || m.api_version > type->max ||
        !(core_admin_supports(m.api_key) || find_quorum_call(m.api_key))) {
        refuse(q, KAFKA_UNSUPPORTED_VERSION);
        return;
    }
    struct reader body = reader_over(m.body.p, (size_t)MAX(m.body.len, 0));
    void *request = arena_alloc(&q->arena, type->size);
    uint64_t token = 0;
    if (request == NULL || type->decode(&body, &q->arena, m.api_version, request) != OK ||
        reader_left(&body) > 0)
        refuse(q, KAFKA_INVALID_REQUEST);
    else if (find_quorum_call(m.api_key) != NULL)
        find_quorum_call(m.api_key)->fn(q, m.api_version, request);
    else if ((token = drive_expect(c, q->session, q->type, q->correlation)) == 0)
        refuse(q, KAFKA_UNKNOWN_SERVER_ERROR);
    else
        drive_run(c, core_admin(&c->core, env_now_us(c->env), token, m.api_key, m.api_version, request));
}

/* -- others -- */

static void on_raft(struct request *q)
{
    const struct rpc_peer_info *peer = rpc_conn_peer(q->session->conn);
    if (q->controller->consensus != NULL)
        consensus_receive(q->controller->consensus, peer->node_id, q->reader.p, reader_left(&q->reader));
}

static void on_introduce(struct request *q)
{
    if (q->controller->consensus != NULL)
        peers_introduced(q->controller, q->session, &q->reader);
}

static void on_tail(struct request *q)
{
    struct rpc_tail_request m;
    if (rpc_tail_request_decode(&q->reader, &q->arena, &m) != OK)
        refuse(q, KAFKA_INVALID_REQUEST);
    else
        tail_request(q->controller, q->session, q->correlation, &m);
}

static void on_snapshot(struct request *q)
{
    struct rpc_snapshot_request m;
    if (rpc_snapshot_request_decode(&q->reader, &q->arena, &m) != OK)
        refuse(q, KAFKA_INVALID_REQUEST);
    else
        tail_snapshot(q->controller, q->session, q->correlation, &m);
}

static void on_status(struct request *q)
{
    struct controller *c = q->controller;
    struct consensus_status status = controller_status(c);
    struct rpc_status_reply out = {.error = KAFKA_NONE,
                                   .leader_id = status.leader,
                                   .term = status.term,
                                   .commit_index = status.commit_index,
                                   .applied_index = status.applied_index,
                                   .cluster_id = c->self.cluster_id};
    struct writer w;
    requests_init_writer(c, &w);
    rpc_status_reply_encode(&w, &out);
    requests_reply(q->session->conn, q->type, q->correlation, &w);
}

static const struct handler {
    uint16_t type;
    uint8_t roles;
    bool active_only; /* others answer NOT_CONTROLLER */
    bool one_way;
    void (*fn)(struct request *q);
} handlers[] = {
    {CLUSTER_RPC_RAFT, CONTROLLERS, false, true, on_raft},
    {CLUSTER_RPC_INTRODUCE, CONTROLLERS, false, true, on_introduce},
    {CLUSTER_RPC_REGISTER_BROKER, BROKERS, true, false, on_register_broker},
    {CLUSTER_RPC_HEARTBEAT, BROKERS, true, false, on_heartbeat},
    {CLUSTER_RPC_TAIL, EVERYBODY, true, false, on_tail},
    {CLUSTER_RPC_ALTER_PARTITION, BROKERS, true, false, on_alter_partition},
    {CLUSTER_RPC_ADMIN, BROKERS, true, false, on_admin},
    {CLUSTER_RPC_PRODUCER_IDS, BROKERS, true, false, on_producer_ids},
    {CLUSTER_RPC_SNAPSHOT, EVERYBODY, true, false, on_snapshot},
    {CLUSTER_RPC_STATUS, EVERYBODY, false, false, on_status},
};

static const struct handler *find_handler(uint16_t type)
{
    for (size_t i = 0; i < ARRAY_LEN(handlers); i++) {
        if (handlers[i].type == type)
            return &handlers[i];
    }
    return NULL;
}

/* -- connections -- */

static void peer_up(void *ctx, struct rpc_conn *conn, const struct rpc_peer_info *info)
{
    struct controller *c = ctx;
    struct session *session = calloc(1, sizeof(*session));
    if (session == NULL || !map_put(&c->sessions, ++c->next_session, session)) {
        free(session);
        rpc_conn_close(conn);
        return;
    }
    session->controller = c;
    session->conn = conn;
    session->id = c->next_session;
    list_init(&session->tails);
    rpc_conn_set_user(conn, session);
    if (info->role == RPC_ROLE_BROKER)
        peers_tell_broker(c, conn);
}

/* Whether a broker has another connection than the one that is going. */
static bool broker_connected(struct controller *c, int32_t broker_id)
{
    uint32_t pos = 0;
    uint64_t id;
    void *value;
    while (map_next(&c->sessions, &pos, &id, &value)) {
        const struct rpc_peer_info *peer = rpc_conn_peer(((struct session *)value)->conn);
        if (peer->role == RPC_ROLE_BROKER && peer->node_id == broker_id)
            return true;
    }
    return false;
}

static void peer_down(void *ctx, struct rpc_conn *conn, enum err why)
{
    struct controller *c = ctx;
    struct session *session = rpc_conn_user(conn);
    const struct rpc_peer_info *peer = rpc_conn_peer(conn);
    if (session == NULL)
        return;
    tail_drop_session(session);
    map_remove(&c->sessions, session->id);
    free(session);
    if (peer->role == RPC_ROLE_BROKER && core_is_active(&c->core) && !broker_connected(c, peer->node_id)) {
        LOG(c->options.logger, INFO, "broker.connection_closed", F_I64("broker", peer->node_id),
            F_ERR("why", why));
        drive_run(c, core_connection_closed(&c->core, env_now_us(c->env), peer->node_id));
    }
}

static void rejected(void *ctx, const struct env_addr *peer, enum err why)
{
    struct controller *c = ctx;
    char text[ENV_HOST_MAX + 8];
    LOG_LIMITED(c->options.logger, &c->rejected_limit, WARN, "rpc.rejected",
                F_STR("peer", env_addr_format(peer, text)), F_ERR("why", why));
}

static bool allowed(const struct handler *handler, const struct rpc_conn *conn, uint32_t correlation)
{
    const struct rpc_peer_info *peer = rpc_conn_peer(conn);
    return handler != NULL && (handler->roles & ROLE(peer->role)) != 0 &&
           handler->one_way == (correlation == 0);
}

static void on_request(void *ctx, struct rpc_conn *conn, uint16_t type, uint32_t correlation,
                       const uint8_t *payload, size_t len)
{
    struct controller *c = ctx;
    uint8_t first[REQUEST_ARENA_FIRST];
    const struct handler *handler = find_handler(type);
    struct request q = {
        .controller = c, .session = rpc_conn_user(conn), .type = type, .correlation = correlation};
    if (q.session == NULL || !allowed(handler, conn, correlation) || !c->started || c->failed) {
        rpc_conn_close(conn);
        return;
    }
    if (handler->active_only && !core_is_active(&c->core)) {
        refuse(&q, KAFKA_NOT_CONTROLLER);
        return;
    }
    q.reader = reader_over(payload, len);
    arena_init(&q.arena, first, sizeof(first), REQUEST_ARENA_MAX);
    handler->fn(&q);
    arena_free(&q.arena);
}

const struct rpc_server_handler controller_server_handler = {
    .peer_up = peer_up, .request = on_request, .peer_down = peer_down, .rejected = rejected};

void requests_free(struct controller *c)
{
    uint32_t pos = 0;
    uint64_t id;
    void *value;
    while (map_next(&c->sessions, &pos, &id, &value)) {
        tail_drop_session(value);
        free(value);
    }
    map_free(&c->sessions);
}
