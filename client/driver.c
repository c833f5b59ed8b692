/* SPDX-License-Identifier: Apache-2.0 */
#include "client/driver.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/frame_in.h"

#define REPLY_BYTES_MAX (128u * 1024 * 1024)

/* One connection of the core. */
struct driver_conn {
    struct list link;
    struct client_driver *driver;
    struct env_conn *conn;
    struct frame_in in;
    uint64_t token; /* 0: the core has let go of it */
};

struct client_driver {
    struct env *env;
    struct tls_loop *tls; /* NULL: plain text */
    struct client *client;
    const struct client_driver_handler *handler;
    void *ctx;
    struct env_task turn;
    struct env_timer timer;
    struct list conns;
    bool closing;
    void (*done)(void *ctx);
    void *done_ctx;
};

/* -- memory -- */

static void *driver_resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
    if (new_size > 0)
        return realloc(old, new_size);
    free(old);
    return NULL;
}

/* -- connections -- */

static void driver_free_when_closed(struct client_driver *driver)
{
    if (!driver->closing || driver->client || !list_empty(&driver->conns))
        return;
    if (driver->done)
        driver->done(driver->done_ctx);
    free(driver);
}

static void on_alloc(void *ctx, void **ret_buf, size_t *ret_len)
{
    struct driver_conn *conn = ctx;
    *ret_len = 0;
    if (conn->token != 0 && !frame_in_room(&conn->in, ret_buf, ret_len))
        env_conn_close(conn->conn);
}

static bool on_frame(void *ctx, const uint8_t *p, uint32_t len, struct iobuf *owner)
{
    struct driver_conn *conn = ctx;
    struct client_driver *driver = conn->driver;
    client_frame(driver->client, env_now_us(driver->env), conn->token, p, len, owner);
    return conn->token != 0;
}

static void on_read(void *ctx, size_t len)
{
    struct driver_conn *conn = ctx;
    if (conn->token == 0)
        return;
    if (frame_in_landed(&conn->in, len, on_frame, conn) != OK)
        env_conn_close(conn->conn);
    client_driver_kick(conn->driver);
}

static void on_connected(void *ctx)
{
    struct driver_conn *conn = ctx;
    if (conn->token == 0)
        return;
    client_opened(conn->driver->client, env_now_us(conn->driver->env), conn->token);
    client_driver_kick(conn->driver);
}

static void on_closed(void *ctx, enum err why)
{
    struct driver_conn *conn = ctx;
    struct client_driver *driver = conn->driver;
    if (conn->token != 0) {
        client_closed(driver->client, env_now_us(driver->env), conn->token, why == OK ? ERR_CLOSED : why);
        client_driver_kick(driver);
    }
    frame_in_reset(&conn->in);
    list_remove(&conn->link);
    free(conn);
    driver_free_when_closed(driver);
}

static const struct env_conn_handler conn_handler = {
    .alloc = on_alloc, .read = on_read, .connected = on_connected, .closed = on_closed};

static struct driver_conn *conn_by_token(struct client_driver *driver, uint64_t token)
{
    list_for_each (it, &driver->conns) {
        struct driver_conn *conn = CONTAINER_OF(it, struct driver_conn, link);
        if (conn->token == token)
            return conn;
    }
    return NULL;
}

/* -- effects -- */

static void do_connect(struct client_driver *driver, const struct client_effect *effect)
{
    struct driver_conn *conn = calloc(1, sizeof(*conn));
    struct env_addr addr;
    if (!conn) {
        client_closed(driver->client, env_now_us(driver->env), effect->connect.conn, ERR_NOMEM);
        client_driver_kick(driver);
        return;
    }
    conn->driver = driver;
    conn->token = effect->connect.conn;
    frame_in_init(&conn->in, driver->env->pool, REPLY_BYTES_MAX);
    list_push_back(&driver->conns, &conn->link);
    memcpy(addr.host, effect->connect.address->host, sizeof(addr.host));
    addr.port = effect->connect.address->port;
    conn->conn = tls_connect(driver->env, driver->tls, TLS_USE_CLIENT, TLS_ROLE_ANY, TLS_NODE_ANY, &addr,
                             &conn_handler, conn);
}

static void do_send(struct client_driver *driver, const struct client_effect *effect)
{
    struct driver_conn *conn = conn_by_token(driver, effect->send.conn);
    for (uint32_t i = 0; conn && i < effect->send.count; i++) {
        const struct client_piece *piece = &effect->send.pieces[i];
        env_conn_write_view(conn->conn, piece->owner, piece->p, piece->len);
    }
}

static void do_close(struct client_driver *driver, const struct client_effect *effect)
{
    struct driver_conn *conn = conn_by_token(driver, effect->close.conn);
    if (!conn)
        return;
    conn->token = 0;
    env_conn_close(conn->conn);
}

static void tell(struct client_driver *driver, const struct client_effect *effect)
{
    const struct client_driver_handler *handler = driver->handler;
    if (effect->type == CLIENT_FX_TOPIC && handler->topic)
        handler->topic(driver->ctx, effect->topic.topic, effect->topic.failure);
    else if (effect->type == CLIENT_FX_DELIVERED && handler->delivered)
        handler->delivered(driver->ctx, &effect->delivery);
    else if (effect->type == CLIENT_FX_ROOM && handler->room)
        handler->room(driver->ctx);
    else if (effect->type == CLIENT_FX_RECORDS && handler->records)
        handler->records(driver->ctx, &effect->records);
    else if (effect->type == CLIENT_FX_CONSUME_FAILED && handler->consume_failed)
        handler->consume_failed(driver->ctx, effect->consume_failed.topic, effect->consume_failed.partition,
                                effect->consume_failed.failure);
    else if (effect->type == CLIENT_FX_REPLY && handler->reply)
        handler->reply(driver->ctx, &effect->reply);
}

static void carry_out(struct client_driver *driver, const struct client_effect *effect)
{
    switch (effect->type) {
    case CLIENT_FX_CONNECT: do_connect(driver, effect); break;
    case CLIENT_FX_SEND: do_send(driver, effect); break;
    case CLIENT_FX_CLOSE: do_close(driver, effect); break;
    default: tell(driver, effect); break;
    }
}

/* The owner may close the driver from inside of a handler. */
static void on_turn(struct env_task *task)
{
    struct client_driver *driver = CONTAINER_OF(task, struct client_driver, turn);
    struct client_effects effects = client_turn(driver->client, env_now_us(driver->env));
    for (uint32_t i = 0; i < effects.count && !driver->closing; i++)
        carry_out(driver, &effects.items[i]);
    if (driver->closing)
        return;
    uint64_t deadline_us = client_deadline(driver->client);
    if (deadline_us == CLIENT_NEVER)
        env_timer_cancel(driver->env, &driver->timer);
    else
        env_timer_set(driver->env, &driver->timer, deadline_us);
}

static void on_timer(struct env_timer *timer)
{
    client_driver_kick(CONTAINER_OF(timer, struct client_driver, timer));
}

/* -- life -- */

struct client_driver *client_driver_new(struct env *env, const struct client_config *config,
                                        const struct client_driver_handler *handler, void *ctx)
{
    struct client_driver *driver = calloc(1, sizeof(*driver));
    struct client_config own = *config;
    if (!driver)
        return NULL;
    uint64_t noise;
    env_random(env, &noise, sizeof(noise));
    own.seed ^= noise;
    driver->env = env;
    driver->handler = handler;
    driver->ctx = ctx;
    list_init(&driver->conns);
    env_task_init(&driver->turn, on_turn);
    env_timer_init(&driver->timer, on_timer);
    struct core_alloc alloc = {.ctx = driver, .resize = driver_resize};
    driver->client = client_new(&own, &alloc, env->pool);
    if (!driver->client) {
        free(driver);
        return NULL;
    }
    return driver;
}

void client_driver_set_tls(struct client_driver *driver, struct tls_loop *tls)
{
    driver->tls = tls;
}

/* Frees what is left once the turn that closed us is over. */
static void on_end(struct env_task *task)
{
    struct client_driver *driver = CONTAINER_OF(task, struct client_driver, turn);
    client_free(driver->client);
    driver->client = NULL;
    driver_free_when_closed(driver);
}

void client_driver_close(struct client_driver *driver, void (*done)(void *ctx), void *ctx)
{
    ASSERT(!driver->closing);
    driver->closing = true;
    driver->done = done;
    driver->done_ctx = ctx;
    env_timer_cancel(driver->env, &driver->timer);
    list_for_each (it, &driver->conns) {
        struct driver_conn *conn = CONTAINER_OF(it, struct driver_conn, link);
        conn->token = 0;
        env_conn_close(conn->conn);
    }
    env_task_cancel(&driver->turn);
    driver->turn.fn = on_end;
    env_defer(driver->env, &driver->turn);
}

struct client *client_driver_client(struct client_driver *driver)
{
    return driver->client;
}

uint64_t client_driver_now_us(const struct client_driver *driver)
{
    return env_now_us(driver->env);
}

void client_driver_kick(struct client_driver *driver)
{
    if (!driver->closing)
        env_defer(driver->env, &driver->turn);
}
