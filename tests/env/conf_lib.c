/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "tests/env/conf_lib.h"

const struct env_conformance_impl *conf_impl;
struct env *conf_env;
_Thread_local int conf_inside;

/* -- waiting -- */

void conf_wait(bool (*pred)(void *ctx), void *ctx)
{
    ck_assert_msg(conf_impl->run_until(conf_env, pred, ctx, CONF_TIMEOUT_US),
                  "condition did not come true in time");
}

struct count_goal {
    const size_t *count;
    size_t at_least;
};

static bool count_reached(void *ctx)
{
    const struct count_goal *goal = ctx;
    return *goal->count >= goal->at_least;
}

void conf_wait_count(const size_t *count, size_t at_least)
{
    struct count_goal goal = {.count = count, .at_least = at_least};
    conf_wait(count_reached, &goal);
}

static bool flag_set(void *ctx)
{
    return *(const bool *)ctx;
}

void conf_wait_flag(const bool *flag)
{
    conf_wait(flag_set, (void *)(uintptr_t)flag);
}

static bool never(void *ctx)
{
    (void)ctx;
    return false;
}

void conf_let_run(uint64_t us)
{
    conf_impl->run_until(conf_env, never, NULL, us);
}

struct turn_mark {
    struct env_task task;
    bool done;
};

static void turn_mark_fn(struct env_task *task)
{
    CONTAINER_OF(task, struct turn_mark, task)->done = true;
}

void conf_turn(void)
{
    struct turn_mark mark = {.done = false};
    env_task_init(&mark.task, turn_mark_fn);
    env_defer(conf_env, &mark.task);
    conf_wait_flag(&mark.done);
}

/* -- ends of connections -- */

static void end_alloc(void *ctx, void **ret_buf, size_t *ret_len)
{
    struct conf_end *end = ctx;
    CONF_CALLED_BACK();
    ck_assert_uint_eq(end->closed_count, 0);
    end->alloc_count++;
    *ret_buf = end->buf;
    *ret_len = end->buf_limit > 0 ? end->buf_limit : sizeof(end->buf);
    if (end->refuse_alloc) {
        end->refused_count++;
        *ret_len = 0;
    }
}

static void end_keep(struct conf_end *end, const uint8_t *p, size_t len)
{
    if (end->received_len + len > end->received_cap) {
        end->received_cap = (end->received_len + len) * 2;
        end->received = realloc(end->received, end->received_cap);
        ck_assert_ptr_nonnull(end->received);
    }
    memcpy(end->received + end->received_len, p, len);
}

static void end_read(void *ctx, size_t len)
{
    struct conf_end *end = ctx;
    CONF_CALLED_BACK();
    ck_assert_uint_gt(len, 0);
    ck_assert_uint_le(len, end->buf_limit > 0 ? end->buf_limit : sizeof(end->buf));
    ck_assert_uint_eq(end->closed_count, 0);
    if (!end->discard)
        end_keep(end, end->buf, len);
    end->received_len += len;
    if (end->on_read != NULL)
        end->on_read(end, end->buf, len);
}

static void end_connected(void *ctx)
{
    struct conf_end *end = ctx;
    CONF_CALLED_BACK();
    ck_assert_uint_eq(end->closed_count, 0);
    end->connected_count++;
}

static void end_drained(void *ctx)
{
    struct conf_end *end = ctx;
    CONF_CALLED_BACK();
    ck_assert_uint_eq(end->closed_count, 0);
    end->drained_count++;
}

static void end_closed(void *ctx, enum err why)
{
    struct conf_end *end = ctx;
    CONF_CALLED_BACK();
    end->closed_count++;
    ck_assert_uint_eq(end->closed_count, 1);
    end->why = why;
    end->conn = NULL;
}

const struct env_conn_handler conf_end_handler = {
    .alloc = end_alloc,
    .read = end_read,
    .connected = end_connected,
    .drained = end_drained,
    .closed = end_closed,
};

void conf_end_free(struct conf_end *end)
{
    free(end->received);
    end->received = NULL;
}

void conf_end_write(struct conf_end *end, const void *p, size_t len)
{
    struct iobuf *buf = iobuf_get(end->env->pool, len);
    ck_assert_ptr_nonnull(buf);
    memcpy(buf->data, p, len);
    CONF_CALL(env_conn_write(end->conn, buf, 0, len));
    iobuf_unref(buf);
}

void conf_wait_received(const struct conf_end *end, size_t len)
{
    conf_wait_count(&end->received_len, len);
}

/* -- pairs -- */

static void pair_accepted(void *ctx, struct env_conn *conn, const struct env_addr *peer)
{
    struct conf_pair *pair = ctx;
    CONF_CALLED_BACK();
    ck_assert_uint_ne(peer->port, 0);
    pair->accepted_count++;
    pair->server.conn = conn;
    CONF_CALL(env_conn_start(conn, &conf_end_handler, &pair->server));
}

static const struct env_listener_handler pair_listener = {.accepted = pair_accepted};

void conf_listen(struct env *env, struct env_listener **ret_listener, struct env_addr *ret_bound,
                 const struct env_listener_handler *handler, void *ctx)
{
    struct env_addr any = {.host = "127.0.0.1", .port = 0};
    enum err err = env_listen(env, &any, false, handler, ctx, ret_listener, ret_bound);
    ck_assert_int_eq(err, OK);
    ck_assert_uint_ne(ret_bound->port, 0);
}

static bool pair_stands(void *ctx)
{
    const struct conf_pair *pair = ctx;
    return pair->accepted_count == 1 && pair->client.connected_count == 1;
}

void conf_pair_listen(struct conf_pair *pair)
{
    pair->server.env = pair->client.env = conf_env;
    conf_listen(conf_env, &pair->listener, &pair->bound, &pair_listener, pair);
}

void conf_pair_open(struct conf_pair *pair)
{
    conf_pair_listen(pair);
    CONF_CALL(pair->client.conn = env_connect(conf_env, &pair->bound, &conf_end_handler, &pair->client));
    ck_assert_ptr_nonnull(pair->client.conn);
    conf_wait(pair_stands, pair);
}

static bool pair_gone(void *ctx)
{
    const struct conf_pair *pair = ctx;
    return pair->server.conn == NULL && pair->client.conn == NULL;
}

void conf_pair_close(struct conf_pair *pair)
{
    if (pair->client.conn != NULL)
        CONF_CALL(env_conn_close(pair->client.conn));
    if (pair->server.conn != NULL)
        CONF_CALL(env_conn_close(pair->server.conn));
    conf_wait(pair_gone, pair);
    CONF_CALL(env_listener_close(pair->listener));
    conf_end_free(&pair->server);
    conf_end_free(&pair->client);
}

/* -- files -- */

uint8_t conf_pattern(uint64_t at)
{
    return (uint8_t)((at * 0x9e3779b97f4a7c15u) >> 56);
}

const char *conf_path(const char *name)
{
    static char paths[2][4096];
    static int turn;
    turn ^= 1;
    snprintf(paths[turn], sizeof(paths[turn]), "%s/%s", conf_impl->scratch_dir(conf_env), name);
    return paths[turn];
}

struct env_file *conf_pattern_file(const char *name, size_t len)
{
    struct env_file *file;
    uint8_t *bytes = malloc(len + 1);
    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < len; i++)
        bytes[i] = conf_pattern(i);
    enum err err = env_file_open(conf_env, conf_path(name), ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file);
    ck_assert_int_eq(err, OK);
    struct iovec iov = {.iov_base = bytes, .iov_len = len};
    ck_assert_int_eq(env_file_write(file, 0, &iov, 1), OK);
    free(bytes);
    return file;
}

/* -- loops -- */

struct loop_letter {
    struct env_msg msg;
    struct env *loop;
};

static void letter_nothing(struct env_msg *msg)
{
    free(CONTAINER_OF(msg, struct loop_letter, msg));
}

static void letter_stop(struct env_msg *msg)
{
    struct loop_letter *letter = CONTAINER_OF(msg, struct loop_letter, msg);
    env_stop(letter->loop);
    free(letter);
}

static struct loop_letter *letter_new(void (*fn)(struct env_msg *msg))
{
    struct loop_letter *letter = calloc(1, sizeof(*letter));
    ck_assert_ptr_nonnull(letter);
    letter->msg.fn = fn;
    return letter;
}

struct env *conf_spawn(void)
{
    struct env *loop = env_spawn(conf_env, "conf", &letter_new(letter_nothing)->msg);
    ck_assert_ptr_nonnull(loop);
    return loop;
}

void conf_stop_loop(struct env *loop)
{
    struct loop_letter *letter = letter_new(letter_stop);
    letter->loop = loop;
    env_post(loop, &letter->msg);
}

/* -- the suite -- */

static void conf_setup(void)
{
    conf_env = conf_impl->create();
    ck_assert_ptr_nonnull(conf_env);
}

static void conf_teardown(void)
{
    conf_impl->destroy(conf_env);
    conf_env = NULL;
}

static void suite_add(Suite *suite, const char *name, void (*add)(TCase *tcase))
{
    TCase *tcase = tcase_create(name);
    tcase_add_checked_fixture(tcase, conf_setup, conf_teardown);
    tcase_set_timeout(tcase, 60);
    add(tcase);
    suite_add_tcase(suite, tcase);
}

void env_conformance_add(Suite *suite, const struct env_conformance_impl *impl)
{
    conf_impl = impl;
    suite_add(suite, "time", conf_add_time);
    suite_add(suite, "mail", conf_add_mail);
    suite_add(suite, "net", conf_add_net);
    suite_add(suite, "flow", conf_add_flow);
    suite_add(suite, "file", conf_add_file);
    suite_add(suite, "disk", conf_add_disk);
}
