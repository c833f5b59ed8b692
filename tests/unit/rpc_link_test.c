/* SPDX-License-Identifier: Apache-2.0 */
/* Client and server over real loopback connections, and each against a raw peer that misbehaves. */
#include "common/rpc/rpc.h"

#include <string.h>

#include "common/base/assert.h"
#include "common/base/wire.h"
#include "common/env_uv/env_uv.h"
#include "common/rpc/frame.h"
#include "tests/lib/unit.h"

#define TIMEOUT_US 20000000u
#define CALL_US    10000000u
#define TYPE_ECHO  7  /* answered with type 8 and the same bytes */
#define TYPE_HOLD  9  /* kept for later */
#define TYPE_PUSH  11 /* answered with a one-way message */
#define TYPE_HANG  13 /* the server closes the connection */

static struct env *env;

/* -- waiting -- */

static void deadline_passed(struct env_timer *timer)
{
    (void)timer;
}

static void wait_count(const size_t *count, size_t at_least)
{
    struct env_timer deadline;
    env_timer_init(&deadline, deadline_passed);
    env_timer_set(env, &deadline, env_now_us(env) + TIMEOUT_US);
    while (*count < at_least) {
        ck_assert_msg(env_timer_armed(&deadline), "condition did not come true in time");
        env_uv_main_turn(env);
    }
    env_timer_cancel(env, &deadline);
}

struct pause {
    struct env_timer timer;
    size_t over;
};

static void pause_over(struct env_timer *timer)
{
    CONTAINER_OF(timer, struct pause, timer)->over = 1;
}

static void let_run(uint64_t us)
{
    struct pause pause = {.over = 0};
    env_timer_init(&pause.timer, pause_over);
    env_timer_set(env, &pause.timer, env_now_us(env) + us);
    wait_count(&pause.over, 1);
}

static struct iobuf *text_buf(const char *text)
{
    struct iobuf *buf = iobuf_get(env->pool, strlen(text) + 1);
    memcpy(buf->data, text, strlen(text));
    buf->len = (uint32_t)strlen(text);
    return buf;
}

/* -- server side -- */

struct side {
    struct rpc_peer_info me;
    struct rpc_server *server;
    struct env_addr bound;
    size_t ups, downs, requests, rejects;
    enum err down_why, reject_why;
    struct rpc_conn *conn; /* the newest */
    struct rpc_peer_info peer;
    uint16_t type;
    uint32_t correlation;
    uint32_t held[8];
    size_t held_count;
    struct iobuf *kept;
};

static void side_up(void *ctx, struct rpc_conn *conn, const struct rpc_peer_info *info)
{
    struct side *side = ctx;
    side->ups++;
    side->conn = conn;
    side->peer = *info;
    ck_assert_ptr_null(rpc_conn_user(conn));
    rpc_conn_set_user(conn, side);
}

static void side_down(void *ctx, struct rpc_conn *conn, enum err why)
{
    struct side *side = ctx;
    ck_assert_ptr_eq(rpc_conn_user(conn), side);
    side->downs++;
    side->down_why = why;
    if (side->conn == conn)
        side->conn = NULL;
}

static void side_rejected(void *ctx, const struct env_addr *peer, enum err why)
{
    struct side *side = ctx;
    ck_assert_uint_ne(peer->port, 0);
    side->rejects++;
    side->reject_why = why;
}

static void side_request(void *ctx, struct rpc_conn *conn, uint16_t type, uint32_t correlation,
                         const uint8_t *payload, size_t len)
{
    struct side *side = ctx;
    side->requests++;
    side->type = type;
    side->correlation = correlation;
    struct iobuf *reply = iobuf_get(env->pool, len + 1);
    memcpy(reply->data, payload, len);
    reply->len = (uint32_t)len;
    if (type == TYPE_ECHO && correlation != 0)
        ck_assert_int_eq(rpc_reply(conn, TYPE_ECHO + 1, correlation, reply), OK);
    if (type == TYPE_HOLD)
        side->held[side->held_count++] = correlation;
    if (type == TYPE_PUSH)
        ck_assert_int_eq(rpc_send(conn, TYPE_PUSH + 1, reply), OK);
    if (type == TYPE_HANG)
        rpc_conn_close(conn);
    iobuf_unref(reply);
}

static const struct rpc_server_handler side_handler = {
    .peer_up = side_up, .request = side_request, .peer_down = side_down, .rejected = side_rejected};

static void side_listen(struct side *side, uint16_t port)
{
    struct env_addr addr = {.host = "127.0.0.1", .port = port};
    side->me.role = RPC_ROLE_CONTROLLER;
    side->me.node_id = 1;
    side->me.incarnation = 42;
    ck_assert_int_eq(
        rpc_server_listen(env, NULL, &addr, &side->me, &side_handler, side, &side->server, &side->bound), OK);
}

/* -- client side -- */

struct user {
    struct rpc_peer_info me;
    struct rpc_client *client;
    size_t ups, downs, messages, errors;
    enum err down_why, error_why;
    struct rpc_peer_info peer;
    char message[64];
};

static void user_up(void *ctx, struct rpc_client *client, const struct rpc_peer_info *info)
{
    struct user *user = ctx;
    user->ups++;
    user->peer = *info;
    ck_assert(rpc_client_is_up(client));
    ck_assert_int_eq(rpc_client_peer(client)->node_id, info->node_id);
}

static void user_down(void *ctx, struct rpc_client *client, enum err why)
{
    struct user *user = ctx;
    user->downs++;
    user->down_why = why;
    ck_assert(!rpc_client_is_up(client));
    ck_assert_ptr_null(rpc_client_peer(client));
}

static void user_message(void *ctx, struct rpc_client *client, uint16_t type, const uint8_t *payload,
                         size_t len)
{
    struct user *user = ctx;
    user->messages++;
    ck_assert_uint_eq(type, TYPE_PUSH + 1);
    ck_assert_uint_lt(len, sizeof(user->message));
    memcpy(user->message, payload, len);
    user->message[len] = '\0';
}

static void user_error(void *ctx, struct rpc_client *client, enum err why)
{
    struct user *user = ctx;
    user->errors++;
    user->error_why = why;
}

static const struct rpc_client_handler user_handler = {
    .up = user_up, .down = user_down, .message = user_message, .error = user_error};

static void user_dial(struct user *user, const struct env_addr *addr)
{
    user->me.role = RPC_ROLE_BROKER;
    user->me.node_id = 5;
    user->me.incarnation = 99;
    user->client = rpc_client_new(env, NULL, addr, &user->me, &user_handler, user);
    ck_assert_ptr_nonnull(user->client);
}

/* -- calls -- */

struct ask {
    struct rpc_call call;
    size_t done;
    enum err err;
    uint16_t type;
    char reply[64];
    size_t len;
    bool again; /* asks again inside done */
};

static bool inside_call;

static void ask_done(struct rpc_call *call, enum err err, uint16_t type, const uint8_t *payload, size_t len)
{
    struct ask *ask = CONTAINER_OF(call, struct ask, call);
    ck_assert(!inside_call);
    ask->done++;
    ask->err = err;
    ask->type = type;
    ask->len = len;
    if (len > 0)
        memcpy(ask->reply, payload, MIN(len, sizeof(ask->reply) - 1));
    if (ask->again && ask->done < 3)
        rpc_client_call(call->client, TYPE_ECHO, NULL, CALL_US, call);
}

static void ask_for(struct ask *ask, struct user *user, uint16_t type, const char *text, uint64_t timeout_us)
{
    struct iobuf *buf = text_buf(text);
    ask->call.done = ask_done;
    inside_call = true;
    rpc_client_call(user->client, type, buf, timeout_us, &ask->call);
    inside_call = false;
    iobuf_unref(buf);
}

/* -- fixture: one server, one client that is up -- */

static struct side side;
static struct user user;

static void start(void)
{
    side_listen(&side, 0);
    user_dial(&user, &side.bound);
    wait_count(&user.ups, 1);
    wait_count(&side.ups, 1);
}

static void setup(void)
{
    env = env_uv_main_new();
    ck_assert_ptr_nonnull(env);
}

static void teardown(void)
{
    if (user.client != NULL)
        rpc_client_close(user.client);
    if (side.server != NULL)
        rpc_server_close(side.server);
    let_run(1000); /* what was closed is told and freed */
    ck_assert_uint_eq(iobuf_pool_bytes_out(env->pool), 0);
    env_uv_main_free(env);
}

/* -- a raw peer -- */

struct raw {
    struct env_conn *conn;
    struct env_listener *listener;
    struct env_addr bound;
    uint8_t in[4096], got[4096];
    size_t got_len, accepted, closed;
    bool deaf;
};

static void raw_alloc(void *ctx, void **ret_buf, size_t *ret_len)
{
    struct raw *raw = ctx;
    *ret_buf = raw->in;
    *ret_len = raw->deaf ? 0 : sizeof(raw->in);
}

static void raw_read(void *ctx, size_t len)
{
    struct raw *raw = ctx;
    for (size_t i = 0; i < len; i++)
        raw->got[raw->got_len++ % sizeof(raw->got)] = raw->in[i];
}

static void raw_closed(void *ctx, enum err why)
{
    struct raw *raw = ctx;
    raw->closed++;
    raw->conn = NULL;
}

static const struct env_conn_handler raw_handler = {
    .alloc = raw_alloc, .read = raw_read, .closed = raw_closed};

static void raw_accepted(void *ctx, struct env_conn *conn, const struct env_addr *peer)
{
    struct raw *raw = ctx;
    raw->accepted++;
    raw->conn = conn;
    env_conn_start(conn, &raw_handler, raw);
}

static const struct env_listener_handler raw_listener = {.accepted = raw_accepted};

static void raw_listen(struct raw *raw)
{
    struct env_addr any = {.host = "127.0.0.1"};
    ck_assert_int_eq(env_listen(env, &any, false, &raw_listener, raw, &raw->listener, &raw->bound), OK);
}

static void raw_dial(struct raw *raw)
{
    raw->conn = env_connect(env, &side.bound, &raw_handler, raw);
}

static void raw_write(struct raw *raw, const void *p, size_t len)
{
    struct iobuf *buf = iobuf_get(env->pool, len);
    memcpy(buf->data, p, len);
    env_conn_write(raw->conn, buf, 0, len);
    iobuf_unref(buf);
}

/* A frame with a hello of that version, for cluster `cluster`. Returns its length. */
static size_t raw_hello(uint8_t *out, uint16_t version, uint8_t cluster)
{
    struct rpc_peer_info info = {.node_id = 3, .role = RPC_ROLE_BROKER};
    info.cluster_id.b[0] = cluster;
    rpc_header_write(out, RPC_TYPE_HELLO, 0, RPC_HELLO_BYTES);
    rpc_hello_write(out + RPC_HEADER_BYTES, &info);
    store_be16(out + RPC_HEADER_BYTES, version);
    return RPC_HEADER_BYTES + RPC_HELLO_BYTES;
}

/* -- calls and messages -- */

START_TEST(hello_tells_each_side_who_the_other_is)
{
    start();
    ck_assert_int_eq(side.peer.node_id, 5);
    ck_assert_uint_eq(side.peer.role, RPC_ROLE_BROKER);
    ck_assert_uint_eq(side.peer.incarnation, 99);
    ck_assert_int_eq(user.peer.node_id, 1);
    ck_assert_uint_eq(user.peer.role, RPC_ROLE_CONTROLLER);
    ck_assert_uint_eq(user.peer.incarnation, 42);
    ck_assert_str_eq(rpc_conn_addr(side.conn)->host, "127.0.0.1");
}
END_TEST

START_TEST(call_is_answered)
{
    struct ask ask = {.done = 0}, empty = {.done = 0};
    start();
    ask_for(&ask, &user, TYPE_ECHO, "how are you", CALL_US);
    ask_for(&empty, &user, TYPE_ECHO, "", CALL_US);
    wait_count(&empty.done, 1);
    ck_assert_uint_eq(ask.done, 1);
    ck_assert_int_eq(ask.err, OK);
    ck_assert_uint_eq(ask.type, TYPE_ECHO + 1);
    ck_assert_str_eq(ask.reply, "how are you");
    ck_assert_int_eq(empty.err, OK);
    ck_assert_uint_eq(empty.len, 0);
}
END_TEST

START_TEST(replies_find_their_calls_in_any_order)
{
    struct ask asks[8] = {{.done = 0}};
    start();
    for (size_t i = 0; i < 8; i++)
        ask_for(&asks[i], &user, TYPE_HOLD, "x", CALL_US);
    wait_count(&side.held_count, 8);
    for (size_t i = 8; i-- > 0;) {
        char text[2] = {(char)('a' + i), 0};
        struct iobuf *buf = text_buf(text);
        ck_assert_int_eq(rpc_reply(side.conn, TYPE_HOLD, side.held[i], buf), OK);
        iobuf_unref(buf);
    }
    wait_count(&asks[0].done, 1);
    for (size_t i = 0; i < 8; i++) {
        ck_assert_uint_eq(asks[i].done, 1);
        ck_assert_int_eq(asks[i].reply[0], (int)('a' + i));
    }
}
END_TEST

START_TEST(one_way_messages_go_both_ways)
{
    struct iobuf *buf = text_buf("ping it back");
    start();
    ck_assert_int_eq(rpc_client_send(user.client, TYPE_PUSH, buf), OK);
    iobuf_unref(buf);
    wait_count(&user.messages, 1);
    ck_assert_uint_eq(side.correlation, 0);
    ck_assert_str_eq(user.message, "ping it back");
}
END_TEST

START_TEST(unanswered_call_times_out_and_a_late_reply_finds_nobody)
{
    struct ask slow = {.done = 0}, next = {.done = 0};
    start();
    uint64_t from = env_now_us(env);
    ask_for(&slow, &user, TYPE_HOLD, "x", 20000);
    wait_count(&slow.done, 1);
    ck_assert_int_eq(slow.err, ERR_TIMED_OUT);
    ck_assert_uint_ge(env_now_us(env) - from, 20000);
    ask_for(&next, &user, TYPE_ECHO, "next", CALL_US); /* takes the same slot */
    ck_assert_int_eq(rpc_reply(side.conn, TYPE_HOLD, side.held[0], NULL), OK);
    wait_count(&next.done, 1);
    ck_assert_str_eq(next.reply, "next");
    ck_assert_uint_eq(slow.done, 1);
    ck_assert(rpc_client_is_up(user.client));
}
END_TEST

START_TEST(cancelled_call_is_never_done)
{
    struct ask sent = {.done = 0}, refused = {.done = 0}, last = {.done = 0};
    start();
    ask_for(&sent, &user, TYPE_ECHO, "x", CALL_US);
    rpc_call_cancel(&sent.call);
    rpc_call_cancel(&sent.call);
    ask_for(&last, &user, TYPE_ECHO, "y", CALL_US);
    wait_count(&last.done, 1);
    ck_assert_uint_eq(sent.done, 0);
    rpc_server_close(side.server);
    side.server = NULL;
    wait_count(&user.downs, 1);
    ask_for(&refused, &user, TYPE_ECHO, "x", CALL_US);
    rpc_call_cancel(&refused.call);
    let_run(2000);
    ck_assert_uint_eq(refused.done, 0);
}
END_TEST

START_TEST(large_payloads_pass_and_larger_ones_are_refused)
{
    struct ask ask = {.done = 0}, over = {.done = 0};
    start();
    struct iobuf *buf = iobuf_get(NULL, RPC_PAYLOAD_MAX_BYTES + 1);
    memset(buf->data, 'x', RPC_PAYLOAD_MAX_BYTES + 1);
    buf->len = RPC_PAYLOAD_MAX_BYTES;
    ask.call.done = over.call.done = ask_done;
    rpc_client_call(user.client, TYPE_ECHO, buf, CALL_US, &ask.call);
    wait_count(&ask.done, 1);
    ck_assert_int_eq(ask.err, OK);
    ck_assert_uint_eq(ask.len, RPC_PAYLOAD_MAX_BYTES);
    buf->len = RPC_PAYLOAD_MAX_BYTES + 1;
    rpc_client_call(user.client, TYPE_ECHO, buf, CALL_US, &over.call);
    ck_assert_int_eq(rpc_client_send(user.client, TYPE_ECHO, buf), ERR_TOO_LARGE);
    wait_count(&over.done, 1);
    ck_assert_int_eq(over.err, ERR_TOO_LARGE);
    ck_assert(rpc_client_is_up(user.client));
    iobuf_unref(buf);
}
END_TEST

START_TEST(steady_calls_take_no_memory)
{
    struct ask ask = {.done = 0};
    uint64_t mallocs = 0;
    start();
    for (size_t i = 0; i < 1100; i++) {
        if (i == 100)
            mallocs = iobuf_pool_mallocs(env->pool);
        ask_for(&ask, &user, TYPE_ECHO, "steady", CALL_US);
        wait_count(&ask.done, i + 1);
    }
    ck_assert_uint_eq(iobuf_pool_mallocs(env->pool), mallocs);
}
END_TEST

/* -- connections come and go -- */

START_TEST(call_without_connection_fails_from_the_loop_and_may_try_again_at_once)
{
    struct ask ask = {.again = true};
    struct env_addr nowhere;
    side_listen(&side, 0);
    nowhere = side.bound;
    rpc_server_close(side.server);
    side.server = NULL;
    user_dial(&user, &nowhere);
    ask_for(&ask, &user, TYPE_ECHO, "x", CALL_US);
    ck_assert_uint_eq(ask.done, 0);
    wait_count(&ask.done, 3);
    ck_assert_int_eq(ask.err, ERR_CLOSED);
    wait_count(&user.errors, 1);
    ck_assert_int_eq(user.error_why, ERR_REFUSED);
    ck_assert_int_eq(rpc_client_send(user.client, TYPE_ECHO, NULL), ERR_CLOSED);
}
END_TEST

START_TEST(attempts_back_off)
{
    struct env_addr nowhere;
    side_listen(&side, 0);
    nowhere = side.bound;
    rpc_server_close(side.server);
    side.server = NULL;
    user_dial(&user, &nowhere);
    let_run(600000);
    ck_assert_uint_ge(user.errors, 3);
    ck_assert_uint_le(user.errors, 8); /* 10 + 20 + 40 + 80 + 160 + 250 ms at the least */
}
END_TEST

START_TEST(lost_connection_leaves_calls_unknown_and_comes_back)
{
    struct ask waiting = {.done = 0}, again = {.done = 0};
    start();
    uint16_t port = side.bound.port;
    ask_for(&waiting, &user, TYPE_HOLD, "x", CALL_US);
    wait_count(&side.held_count, 1);
    rpc_server_close(side.server);
    wait_count(&waiting.done, 1);
    ck_assert_int_eq(waiting.err, ERR_UNKNOWN_OUTCOME);
    ck_assert_uint_eq(user.downs, 1);
    ck_assert_int_eq(user.down_why, ERR_CLOSED);
    ck_assert_uint_eq(side.downs, 0); /* a closed server is silent */
    side_listen(&side, port);
    wait_count(&user.ups, 2);
    ask_for(&again, &user, TYPE_ECHO, "back", CALL_US);
    wait_count(&again.done, 1);
    ck_assert_str_eq(again.reply, "back");
}
END_TEST

START_TEST(server_may_close_a_connection_and_the_client_returns)
{
    struct iobuf *buf = text_buf("");
    start();
    ck_assert_int_eq(rpc_client_send(user.client, TYPE_HANG, buf), OK);
    iobuf_unref(buf);
    wait_count(&side.downs, 1);
    ck_assert_int_eq(side.down_why, OK);
    wait_count(&user.ups, 2);
    wait_count(&side.ups, 2);
}
END_TEST

START_TEST(new_address_moves_the_client_at_once)
{
    static struct side other;
    start();
    side_listen(&other, 0);
    rpc_client_set_addr(user.client, rpc_client_addr(user.client)); /* the same: nothing happens */
    ck_assert(rpc_client_is_up(user.client));
    rpc_client_set_addr(user.client, &other.bound);
    ck_assert(!rpc_client_is_up(user.client));
    wait_count(&other.ups, 1);
    wait_count(&user.ups, 2);
    wait_count(&side.downs, 1);
    ck_assert_int_eq(side.down_why, ERR_CLOSED);
    ck_assert_uint_eq(user.downs, 1);
    ck_assert_uint_eq(user.errors, 0);
    rpc_server_close(other.server);
}
END_TEST

START_TEST(closed_client_cancels_its_calls_and_says_no_more)
{
    struct ask waiting = {.done = 0};
    start();
    ask_for(&waiting, &user, TYPE_HOLD, "x", CALL_US);
    rpc_client_close(user.client);
    user.client = NULL;
    ck_assert_uint_eq(waiting.done, 0);
    wait_count(&waiting.done, 1);
    ck_assert_int_eq(waiting.err, ERR_CANCELED);
    wait_count(&side.downs, 1);
    ck_assert_int_eq(side.down_why, ERR_CLOSED);
    ck_assert_uint_eq(user.downs, 0);
}
END_TEST

/* -- who does not belong -- */

START_TEST(other_cluster_is_refused_on_both_sides_and_tried_slowly)
{
    side.me.cluster_id.b[3] = 1;
    user.me.cluster_id.b[3] = 2;
    side_listen(&side, 0);
    user_dial(&user, &side.bound);
    wait_count(&user.errors, 1);
    wait_count(&side.rejects, 1);
    ck_assert_int_eq(user.error_why, ERR_MISMATCH);
    ck_assert_int_eq(side.reject_why, ERR_MISMATCH);
    let_run(700000);
    ck_assert_uint_eq(user.errors, 1);
    ck_assert_uint_eq(user.ups + side.ups, 0);
}
END_TEST

START_TEST(unknown_cluster_matches_and_learns)
{
    side.me.cluster_id.b[3] = 1;
    start();
    ck_assert_uint_eq(user.peer.cluster_id.b[3], 1);
    ck_assert(uuid_is_zero(side.peer.cluster_id));
}
END_TEST

/* What the server says of the raw bytes; *ret_len: what it answered. */
static enum err server_rejects(const void *p, size_t len, struct raw *raw)
{
    side_listen(&side, 0);
    raw_dial(raw);
    raw_write(raw, p, len);
    wait_count(&side.rejects, 1);
    wait_count(&raw->closed, 1);
    ck_assert_uint_eq(side.ups, 0);
    return side.reject_why;
}

START_TEST(wrong_magic_is_refused_without_an_answer)
{
    static struct raw raw;
    ck_assert_int_eq(server_rejects("GET / HTTP/1.1\r\n\r\n", 18, &raw), ERR_MALFORMED);
    ck_assert_uint_eq(raw.got_len, 0);
}
END_TEST

START_TEST(other_version_is_told_ours_and_refused)
{
    static struct raw raw;
    uint8_t hello[64];
    size_t len = raw_hello(hello, RPC_PROTOCOL_VERSION + 1, 0);
    ck_assert_int_eq(server_rejects(hello, len, &raw), ERR_VERSION);
    ck_assert_uint_eq(raw.got_len, RPC_HEADER_BYTES + RPC_HELLO_BYTES);
    ck_assert_uint_eq(load_be16(raw.got + RPC_HEADER_BYTES), RPC_PROTOCOL_VERSION);
}
END_TEST

START_TEST(first_frame_that_is_not_a_hello_is_refused)
{
    static struct raw raw;
    uint8_t frame[RPC_HEADER_BYTES];
    rpc_header_write(frame, TYPE_ECHO, 1, 0);
    ck_assert_int_eq(server_rejects(frame, sizeof(frame), &raw), ERR_MALFORMED);
    ck_assert_uint_eq(side.requests, 0);
}
END_TEST

START_TEST(large_frame_before_the_hello_is_refused)
{
    static struct raw raw;
    uint8_t frame[RPC_HEADER_BYTES];
    rpc_header_write(frame, RPC_TYPE_HELLO, 0, RPC_HELLO_MAX_BYTES + 1);
    ck_assert_int_eq(server_rejects(frame, sizeof(frame), &raw), ERR_TOO_LARGE);
}
END_TEST

START_TEST(oversized_frame_after_the_hello_ends_the_connection)
{
    static struct raw raw;
    uint8_t bytes[128];
    side_listen(&side, 0);
    raw_dial(&raw);
    size_t len = raw_hello(bytes, RPC_PROTOCOL_VERSION, 0);
    rpc_header_write(bytes + len, TYPE_ECHO, 1, 0);
    store_be32(bytes + len + 10, RPC_PAYLOAD_MAX_BYTES + 1);
    raw_write(&raw, bytes, len + RPC_HEADER_BYTES);
    wait_count(&side.downs, 1);
    ck_assert_int_eq(side.down_why, ERR_TOO_LARGE);
    ck_assert_uint_eq(side.requests, 0);
    wait_count(&raw.closed, 1);
}
END_TEST

START_TEST(frames_in_single_bytes_are_understood_and_half_a_frame_is_nothing)
{
    static struct raw raw;
    uint8_t bytes[128];
    side_listen(&side, 0);
    raw_dial(&raw);
    size_t len = raw_hello(bytes, RPC_PROTOCOL_VERSION, 0);
    rpc_header_write(bytes + len, TYPE_ECHO, 1, 2);
    memcpy(bytes + len + RPC_HEADER_BYTES, "ok", 2);
    len += RPC_HEADER_BYTES + 2;
    for (size_t i = 0; i < len; i++) {
        ck_assert_uint_eq(side.requests, 0);
        raw_write(&raw, bytes + i, 1);
        env_uv_main_turn(env);
    }
    wait_count(&side.requests, 1);
    raw_write(&raw, bytes, 20);
    env_conn_close(raw.conn);
    wait_count(&side.downs, 1);
    ck_assert_int_eq(side.down_why, ERR_CLOSED);
    ck_assert_uint_eq(side.requests, 1);
    wait_count(&raw.closed, 1);
}
END_TEST

START_TEST(client_refuses_a_server_of_another_version)
{
    static struct raw raw;
    uint8_t hello[64];
    raw_listen(&raw);
    user_dial(&user, &raw.bound);
    wait_count(&raw.accepted, 1);
    raw_write(&raw, hello, raw_hello(hello, RPC_PROTOCOL_VERSION + 1, 0));
    wait_count(&user.errors, 1);
    ck_assert_int_eq(user.error_why, ERR_VERSION);
    env_listener_close(raw.listener);
    wait_count(&raw.closed, 1);
}
END_TEST

START_TEST(messages_to_a_peer_that_does_not_read_are_dropped_at_the_cap)
{
    static struct raw raw;
    uint8_t hello[64];
    raw.deaf = true;
    raw_listen(&raw);
    user_dial(&user, &raw.bound);
    wait_count(&raw.accepted, 1);
    raw_write(&raw, hello, raw_hello(hello, RPC_PROTOCOL_VERSION, 0));
    wait_count(&user.ups, 1);
    struct iobuf *buf = iobuf_get(NULL, RPC_PAYLOAD_MAX_BYTES);
    memset(buf->data, 0, RPC_PAYLOAD_MAX_BYTES);
    buf->len = RPC_PAYLOAD_MAX_BYTES;
    size_t sent = 0;
    enum err err;
    while ((err = rpc_client_send(user.client, TYPE_ECHO, buf)) == OK && sent < 100)
        sent++;
    ck_assert_int_eq(err, ERR_FULL);
    ck_assert_uint_eq(sent, RPC_OUTPUT_MAX_BYTES / RPC_PAYLOAD_MAX_BYTES - 1); /* headers count too */
    ck_assert(rpc_client_is_up(user.client));
    iobuf_unref(buf);
    env_listener_close(raw.listener);
    env_conn_close(raw.conn);
    wait_count(&raw.closed, 1);
}
END_TEST

/* Real seconds, all at the same time: no hello (server 5 s, client 3 s), a peer that falls silent after its
 * hello (client 3 s). */
START_TEST(silent_peers_are_given_up)
{
    static struct raw mute, quiet_server, quiet;
    static struct user waiting, lonely;
    uint8_t hello[64];
    start();
    raw_dial(&mute);
    raw_listen(&quiet_server);
    raw_listen(&quiet);
    user_dial(&waiting, &quiet_server.bound);
    user_dial(&lonely, &quiet.bound);
    wait_count(&quiet.accepted, 1);
    raw_write(&quiet, hello, raw_hello(hello, RPC_PROTOCOL_VERSION, 0));
    wait_count(&lonely.ups, 1);
    wait_count(&lonely.downs, 1);
    ck_assert_int_eq(lonely.down_why, ERR_TIMED_OUT);
    wait_count(&waiting.errors, 1);
    ck_assert_int_eq(waiting.error_why, ERR_TIMED_OUT);
    rpc_client_close(lonely.client);
    rpc_client_close(waiting.client);
    env_listener_close(quiet.listener);
    env_listener_close(quiet_server.listener);
    wait_count(&side.rejects, 1);
    ck_assert_int_eq(side.reject_why, ERR_TIMED_OUT);
    ck_assert_uint_eq(user.downs, 0); /* pings keep an idle connection up */
    ck_assert(rpc_client_is_up(user.client));
}
END_TEST

static void add_calls(TCase *tcase)
{
    tcase_add_test(tcase, hello_tells_each_side_who_the_other_is);
    tcase_add_test(tcase, call_is_answered);
    tcase_add_test(tcase, replies_find_their_calls_in_any_order);
    tcase_add_test(tcase, one_way_messages_go_both_ways);
    tcase_add_test(tcase, unanswered_call_times_out_and_a_late_reply_finds_nobody);
    tcase_add_test(tcase, cancelled_call_is_never_done);
    tcase_add_test(tcase, large_payloads_pass_and_larger_ones_are_refused);
    tcase_add_test(tcase, steady_calls_take_no_memory);
}

static void add_tests(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    add_calls(tcase);
    tcase_add_test(tcase, call_without_connection_fails_from_the_loop_and_may_try_again_at_once);
    tcase_add_test(tcase, attempts_back_off);
    tcase_add_test(tcase, lost_connection_leaves_calls_unknown_and_comes_back);
    tcase_add_test(tcase, server_may_close_a_connection_and_the_client_returns);
    tcase_add_test(tcase, new_address_moves_the_client_at_once);
    tcase_add_test(tcase, closed_client_cancels_its_calls_and_says_no_more);
    tcase_add_test(tcase, other_cluster_is_refused_on_both_sides_and_tried_slowly);
    tcase_add_test(tcase, unknown_cluster_matches_and_learns);
    tcase_add_test(tcase, wrong_magic_is_refused_without_an_answer);
    tcase_add_test(tcase, other_version_is_told_ours_and_refused);
    tcase_add_test(tcase, first_frame_that_is_not_a_hello_is_refused);
    tcase_add_test(tcase, large_frame_before_the_hello_is_refused);
    tcase_add_test(tcase, oversized_frame_after_the_hello_ends_the_connection);
    tcase_add_test(tcase, frames_in_single_bytes_are_understood_and_half_a_frame_is_nothing);
    tcase_add_test(tcase, client_refuses_a_server_of_another_version);
    tcase_add_test(tcase, messages_to_a_peer_that_does_not_read_are_dropped_at_the_cap);
    tcase_add_test(tcase, silent_peers_are_given_up);
}

SLUICE_TEST_MAIN("rpc_link", add_tests)
