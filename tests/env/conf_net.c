/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: their birth, their order (E4), their end (E2, E3). */
#include <string.h>

#include "common/base/assert.h"
#include "tests/env/conf_lib.h"

static struct conf_pair pair;

/* -- order -- */

static void echo_back(struct conf_end *end, const uint8_t *p, size_t len)
{
    conf_end_write(end, p, len);
}

START_TEST(bytes_come_back_from_an_echo)
{
    pair.server.on_read = echo_back;
    conf_pair_open(&pair);
    conf_end_write(&pair.client, "hello, loop", 11);
    conf_wait_received(&pair.client, 11);
    ck_assert_mem_eq(pair.client.received, "hello, loop", 11);
    ck_assert_uint_eq(pair.client.received_len, 11);
    conf_pair_close(&pair);
}
END_TEST

/* Three kinds of writes, of growing length, so that they cross every limit of pieces per call. */
static size_t write_mixed(struct conf_end *end, struct env_file *file, size_t count)
{
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        size_t len = i % 97 + 1;
        struct iobuf *buf = iobuf_get(end->env->pool, len + 8);
        for (size_t k = 0; k < len; k++)
            buf->data[k + 8] = conf_pattern(at + k);
        if (i % 3 == 0)
            CONF_CALL(env_conn_write(end->conn, buf, 8, len));
        else if (i % 3 == 1)
            CONF_CALL(env_conn_write_view(end->conn, buf, buf->data + 8, len));
        else
            CONF_CALL(env_conn_write_file(end->conn, file, at, len));
        iobuf_unref(buf);
        at += len;
    }
    return at;
}

static void check_pattern(const struct conf_end *end, size_t len)
{
    ck_assert_uint_eq(end->received_len, len);
    for (size_t i = 0; i < len; i++)
        if (end->received[i] != conf_pattern(i))
            ck_abort_msg("byte %zu is wrong", i);
}

START_TEST(writes_of_all_kinds_arrive_in_order_of_the_calls)
{
    struct env_file *file = conf_pattern_file("mixed", 65536);
    conf_pair_open(&pair);
    size_t len = write_mixed(&pair.client, file, 1000);
    ck_assert_uint_eq(env_conn_queued(pair.client.conn), len);
    env_file_close(file); /* the connection has references of its own */
    conf_wait_received(&pair.server, len);
    check_pattern(&pair.server, len);
    ck_assert_uint_eq(env_conn_queued(pair.client.conn), 0);
    conf_pair_close(&pair);
}
END_TEST

START_TEST(writes_before_the_connection_stands_are_sent_when_it_does)
{
    conf_pair_listen(&pair);
    CONF_CALL(pair.client.conn = env_connect(conf_env, &pair.bound, &conf_end_handler, &pair.client));
    conf_end_write(&pair.client, "first words", 11);
    ck_assert_uint_eq(pair.client.connected_count, 0);
    conf_wait_received(&pair.server, 11);
    ck_assert_mem_eq(pair.server.received, "first words", 11);
    ck_assert_uint_eq(pair.client.connected_count, 1);
    conf_pair_close(&pair);
}
END_TEST

/* -- the end -- */

START_TEST(close_tells_both_ends_once)
{
    conf_pair_open(&pair);
    CONF_CALL(env_conn_close(pair.client.conn));
    CONF_CALL(env_conn_close(pair.client.conn)); /* twice is safe */
    ck_assert_uint_eq(pair.client.closed_count, 0);
    conf_wait_count(&pair.client.closed_count, 1);
    conf_wait_count(&pair.server.closed_count, 1);
    conf_let_run(5000);
    ck_assert_int_eq(pair.client.why, OK);
    ck_assert_int_eq(pair.server.why, ERR_CLOSED);
    ck_assert_uint_eq(pair.client.closed_count, 1);
    ck_assert_uint_eq(pair.server.closed_count, 1);
    conf_pair_close(&pair);
}
END_TEST

START_TEST(close_sends_what_is_queued_and_later_writes_are_nothing)
{
    conf_pair_open(&pair);
    conf_end_write(&pair.client, "last ", 5);
    conf_end_write(&pair.client, "words", 5);
    CONF_CALL(env_conn_close(pair.client.conn));
    conf_end_write(&pair.client, "too late", 8);
    ck_assert_uint_eq(env_conn_queued(pair.client.conn), 0);
    conf_wait_count(&pair.server.closed_count, 1);
    ck_assert_uint_eq(pair.server.received_len, 10);
    ck_assert_mem_eq(pair.server.received, "last words", 10);
    conf_pair_close(&pair);
}
END_TEST

static void answer_and_close(struct conf_end *end, const uint8_t *p, size_t len)
{
    conf_end_write(end, "no", 2);
    CONF_CALL(env_conn_close(end->conn));
    end->on_read = NULL;
}

START_TEST(owner_may_answer_and_close_inside_read)
{
    pair.server.on_read = answer_and_close;
    pair.server.buf_limit = 3; /* more input waits when it closes: the answer must arrive all the same */
    conf_pair_open(&pair);
    conf_end_write(&pair.client, "one two three", 13);
    conf_wait_count(&pair.client.closed_count, 1);
    ck_assert_uint_eq(pair.client.received_len, 2);
    ck_assert_uint_eq(pair.server.received_len, 3);
    ck_assert_int_eq(pair.server.why, OK);
    conf_pair_close(&pair);
}
END_TEST

START_TEST(reply_written_in_the_turn_in_which_the_peer_closes_breaks_nothing)
{
    pair.server.on_read = echo_back;
    conf_pair_open(&pair);
    conf_end_write(&pair.client, "bye", 3);
    CONF_CALL(env_conn_close(pair.client.conn));
    conf_wait_count(&pair.server.closed_count, 1);
    ck_assert_uint_eq(pair.server.received_len, 3);
    conf_pair_close(&pair);
}
END_TEST

/* -- connecting fails -- */

static struct conf_end lone;

static void lone_connect(const struct env_addr *addr)
{
    lone.env = conf_env;
    CONF_CALL(lone.conn = env_connect(conf_env, addr, &conf_end_handler, &lone));
    ck_assert_ptr_nonnull(lone.conn);
    conf_end_write(&lone, "into the void", 13);
}

static void no_accept(void *ctx, struct env_conn *conn, const struct env_addr *peer)
{
    ck_abort_msg("accepted on a closed listener");
}

static const struct env_listener_handler no_accept_handler = {.accepted = no_accept};

START_TEST(connecting_to_a_closed_port_is_refused)
{
    struct env_listener *listener;
    struct env_addr bound;
    conf_listen(conf_env, &listener, &bound, &no_accept_handler, NULL);
    CONF_CALL(env_listener_close(listener));
    lone_connect(&bound);
    conf_wait_count(&lone.closed_count, 1);
    ck_assert_int_eq(lone.why, ERR_REFUSED);
    ck_assert_uint_eq(lone.connected_count, 0);
}
END_TEST

START_TEST(name_that_cannot_exist_does_not_resolve)
{
    struct env_addr addr = {.port = 9};
    memset(addr.host, 'x', 70); /* longer than a label may be: no name server is asked */
    lone_connect(&addr);
    conf_wait_count(&lone.closed_count, 1);
    ck_assert_int_eq(lone.why, ERR_RESOLVE);
}
END_TEST

START_TEST(close_while_connecting_is_told_as_ours)
{
    struct env_addr addr = {.host = "localhost", .port = 9};
    lone_connect(&addr);
    CONF_CALL(env_conn_close(lone.conn));
    conf_wait_count(&lone.closed_count, 1);
    ck_assert_int_eq(lone.why, OK);
    conf_let_run(5000);
    ck_assert_uint_eq(lone.closed_count, 1);
}
END_TEST

START_TEST(name_resolves)
{
    conf_pair_listen(&pair);
    struct env_addr addr = {.host = "localhost", .port = pair.bound.port};
    lone_connect(&addr);
    conf_wait_received(&pair.server, 13);
    CONF_CALL(env_conn_close(lone.conn));
    conf_wait_count(&lone.closed_count, 1);
    conf_pair_close(&pair);
}
END_TEST

/* -- listeners -- */

START_TEST(address_that_is_listened_on_is_in_use)
{
    struct env_listener *listener, *second = NULL;
    struct env_addr bound;
    conf_listen(conf_env, &listener, &bound, &no_accept_handler, NULL);
    ck_assert_str_eq(bound.host, "127.0.0.1");
    enum err err = env_listen(conf_env, &bound, false, &no_accept_handler, NULL, &second, NULL);
    ck_assert_int_eq(err, ERR_ADDRESS_IN_USE);
    ck_assert_ptr_null(second);
    CONF_CALL(env_listener_close(listener));
}
END_TEST

static size_t turned_away;

static void turn_away(void *ctx, struct env_conn *conn, const struct env_addr *peer)
{
    CONF_CALLED_BACK();
    turned_away++;
    CONF_CALL(env_conn_close(conn));
}

static const struct env_listener_handler turn_away_handler = {.accepted = turn_away};

START_TEST(listener_may_turn_a_connection_away)
{
    struct env_listener *listener;
    struct env_addr any = {.host = ""}, bound;
    ck_assert_int_eq(env_listen(conf_env, &any, false, &turn_away_handler, NULL, &listener, &bound), OK);
    strcpy(bound.host, "127.0.0.1"); /* "" covers it */
    lone_connect(&bound);
    conf_wait_count(&lone.closed_count, 1);
    ck_assert_uint_eq(turned_away, 1);
    ck_assert_int_eq(lone.why, ERR_CLOSED);
    CONF_CALL(env_listener_close(listener));
}
END_TEST

static struct env_listener *once_listener;

static void accept_once(void *ctx, struct env_conn *conn, const struct env_addr *peer)
{
    turned_away++;
    CONF_CALL(env_conn_close(conn));
    CONF_CALL(env_listener_close(once_listener));
}

static const struct env_listener_handler accept_once_handler = {.accepted = accept_once};

START_TEST(listener_closed_inside_accepted_accepts_no_more)
{
    static struct conf_end ends[4];
    struct env_addr bound;
    conf_listen(conf_env, &once_listener, &bound, &accept_once_handler, NULL);
    for (int i = 0; i < 4; i++) {
        ends[i].env = conf_env;
        ends[i].conn = env_connect(conf_env, &bound, &conf_end_handler, &ends[i]);
    }
    for (int i = 0; i < 4; i++)
        conf_wait_count(&ends[i].closed_count, 1);
    ck_assert_uint_eq(turned_away, 1);
}
END_TEST

/* -- one address, two loops -- */

#define SHARED_CLIENTS 64

struct shared_side {
    struct env_msg go, stop, stopped;
    struct env *loop;
    struct env_listener *listener;
    struct env_addr addr, bound;
    atomic_size_t accepted;
    size_t listening, ended;
    struct env_msg listening_msg;
};

static atomic_size_t shared_total;

static void shared_accepted(void *ctx, struct env_conn *conn, const struct env_addr *peer)
{
    struct shared_side *side = ctx;
    atomic_fetch_add(&side->accepted, 1);
    atomic_fetch_add(&shared_total, 1);
    env_conn_close(conn);
}

static const struct env_listener_handler shared_handler = {.accepted = shared_accepted};

static void shared_is_listening(struct env_msg *msg)
{
    CONTAINER_OF(msg, struct shared_side, listening_msg)->listening = 1;
}

static void shared_has_ended(struct env_msg *msg)
{
    CONTAINER_OF(msg, struct shared_side, stopped)->ended = 1;
}

static void shared_go(struct env_msg *msg)
{
    struct shared_side *side = CONTAINER_OF(msg, struct shared_side, go);
    enum err err =
        env_listen(side->loop, &side->addr, true, &shared_handler, side, &side->listener, &side->bound);
    ck_assert_int_eq(err, OK);
    env_post(conf_env, &side->listening_msg);
}

static void shared_stop(struct env_msg *msg)
{
    struct shared_side *side = CONTAINER_OF(msg, struct shared_side, stop);
    env_listener_close(side->listener);
    env_post(conf_env, &side->stopped);
    env_stop(side->loop);
}

static void shared_open(struct shared_side *side, const struct env_addr *addr)
{
    side->go.fn = shared_go;
    side->stop.fn = shared_stop;
    side->stopped.fn = shared_has_ended;
    side->listening_msg.fn = shared_is_listening;
    side->addr = *addr;
    side->loop = conf_spawn();
    env_post(side->loop, &side->go);
    conf_wait_count(&side->listening, 1);
}

static bool shared_all(void *ctx)
{
    return atomic_load(&shared_total) == SHARED_CLIENTS;
}

START_TEST(two_loops_share_one_address)
{
    static struct shared_side sides[2];
    static struct conf_end clients[SHARED_CLIENTS];
    struct env_addr any = {.host = "127.0.0.1"};
    shared_open(&sides[0], &any);
    shared_open(&sides[1], &sides[0].bound);
    for (size_t i = 0; i < SHARED_CLIENTS; i++) {
        clients[i].env = conf_env;
        clients[i].conn = env_connect(conf_env, &sides[0].bound, &conf_end_handler, &clients[i]);
    }
    for (size_t i = 0; i < SHARED_CLIENTS; i++)
        conf_wait_count(&clients[i].closed_count, 1);
    conf_wait(shared_all, NULL);
    ck_assert_uint_gt(atomic_load(&sides[0].accepted), 0); /* all on one side: chance 2^-63 */
    ck_assert_uint_gt(atomic_load(&sides[1].accepted), 0);
    for (size_t i = 0; i < 2; i++) {
        env_post(sides[i].loop, &sides[i].stop);
        conf_wait_count(&sides[i].ended, 1);
    }
}
END_TEST

void conf_add_net(TCase *tcase)
{
    tcase_add_test(tcase, bytes_come_back_from_an_echo);
    tcase_add_test(tcase, writes_of_all_kinds_arrive_in_order_of_the_calls);
    tcase_add_test(tcase, writes_before_the_connection_stands_are_sent_when_it_does);
    tcase_add_test(tcase, close_tells_both_ends_once);
    tcase_add_test(tcase, close_sends_what_is_queued_and_later_writes_are_nothing);
    tcase_add_test(tcase, owner_may_answer_and_close_inside_read);
    tcase_add_test(tcase, reply_written_in_the_turn_in_which_the_peer_closes_breaks_nothing);
    tcase_add_test(tcase, connecting_to_a_closed_port_is_refused);
    tcase_add_test(tcase, name_that_cannot_exist_does_not_resolve);
    tcase_add_test(tcase, close_while_connecting_is_told_as_ours);
    tcase_add_test(tcase, name_resolves);
    tcase_add_test(tcase, address_that_is_listened_on_is_in_use);
    tcase_add_test(tcase, listener_may_turn_a_connection_away);
    tcase_add_test(tcase, listener_closed_inside_accepted_accepts_no_more);
    tcase_add_test(tcase, two_loops_share_one_address);
}
