/* SPDX-License-Identifier: Apache-2.0 */
/* Names, listening, connecting. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world/net_int.h"

#define ACCEPT_TURN_COUNT 64
#define RESOLVE_US        300

/* -- names -- */

static bool host_is_loopback(const char *host)
{
    return strcmp(host, "127.0.0.1") == 0 || strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0;
}

static void host_format(const struct process *process, bool loopback, char *out)
{
    if (loopback)
        strcpy(out, "127.0.0.1");
    else
        snprintf(out, ENV_HOST_MAX, "10.0.0.%d", process->index + 1);
}

static bool host_is(const struct process *process, const char *host)
{
    char literal[ENV_HOST_MAX];
    host_format(process, false, literal);
    return strcmp(host, process->name) == 0 || strcmp(host, literal) == 0;
}

struct process *host_find(struct process *from, const char *host, bool *ret_loopback)
{
    *ret_loopback = host_is_loopback(host);
    if (*ret_loopback)
        return from;
    for (int i = 0; i < from->world->process_count; i++)
        if (host_is(from->world->processes[i], host))
            return from->world->processes[i];
    return NULL;
}

/* -- listening -- */

static const struct env_listener_ops sim_listener_ops;

static bool listener_hears(const struct listener *listener, uint16_t port, bool loopback)
{
    return !listener->closed && listener->port == port && (loopback || !listener->loopback);
}

struct listener *listener_find(struct process *process, uint16_t port, bool loopback)
{
    uint64_t count = 0;
    list_for_each (it, &process->listeners)
        count += listener_hears(CONTAINER_OF(it, struct listener, link), port, loopback);
    if (count == 0)
        return NULL;
    uint64_t chosen = world_below(process->world, count);
    list_for_each (it, &process->listeners) {
        struct listener *listener = CONTAINER_OF(it, struct listener, link);
        if (listener_hears(listener, port, loopback) && chosen-- == 0)
            return listener;
    }
    UNREACHABLE();
}

void listener_offer(struct listener *listener, struct conn *conn)
{
    list_push_back(&listener->backlog, &conn->backlog);
    listener->backlog_count++;
    loop_arrive(listener->loop, &listener->arrival);
}

static void listener_accept(struct arrival *arrival)
{
    struct listener *listener = CONTAINER_OF(arrival, struct listener, arrival);
    for (int i = 0; i < ACCEPT_TURN_COUNT && !list_empty(&listener->backlog); i++) {
        struct conn *conn = CONTAINER_OF(listener->backlog.next, struct conn, backlog);
        struct env_addr peer = {.port = conn->wire->from_port};
        list_remove(&conn->backlog);
        listener->backlog_count--;
        host_format(conn->wire->procs[0], conn->wire->procs[0] == conn->process, peer.host);
        listener->handler->accepted(listener->ctx, &conn->base, &peer);
    }
    if (!list_empty(&listener->backlog))
        loop_arrive(listener->loop, &listener->arrival);
}

static bool port_is_taken(const struct process *process, uint16_t port, bool shared)
{
    list_for_each (it, &process->listeners) {
        const struct listener *other = CONTAINER_OF(it, struct listener, link);
        if (!other->closed && other->port == port && !(shared && other->shared))
            return true;
    }
    return false;
}

static uint16_t port_choose(struct process *process)
{
    while (port_is_taken(process, process->next_port, false) || process->next_port < 1024)
        process->next_port++;
    return process->next_port++;
}

static enum err sim_listen(struct env *env, const struct env_addr *addr, bool shared,
                           const struct env_listener_handler *handler, void *ctx,
                           struct env_listener **ret_listener, struct env_addr *ret_bound)
{
    struct process *process = loop_of(env)->process;
    bool loopback = host_is_loopback(addr->host), any = addr->host[0] == '\0';
    any = any || strcmp(addr->host, "0.0.0.0") == 0 || strcmp(addr->host, "::") == 0;
    if (!loopback && !any && !host_is(process, addr->host))
        return ERR_RESOLVE;
    if (addr->port != 0 && port_is_taken(process, addr->port, shared))
        return ERR_ADDRESS_IN_USE;
    struct listener *listener = host_alloc(sizeof(*listener));
    *listener = (struct listener){.base.ops = &sim_listener_ops,
                                  .process = process,
                                  .loop = loop_of(env),
                                  .handler = handler,
                                  .ctx = ctx,
                                  .arrival.fn = listener_accept,
                                  .port = addr->port != 0 ? addr->port : port_choose(process),
                                  .shared = shared,
                                  .loopback = loopback};
    list_init(&listener->backlog);
    list_init(&listener->arrival.link);
    list_push_back(&process->listeners, &listener->link);
    if (ret_bound != NULL) {
        *ret_bound = (struct env_addr){.port = listener->port};
        if (any)
            strcpy(ret_bound->host, "0.0.0.0");
        else
            host_format(process, loopback, ret_bound->host);
    }
    *ret_listener = &listener->base;
    return OK;
}

void listener_withdraw(struct listener *listener)
{
    listener->closed = true;
    list_remove(&listener->arrival.link);
    while (!list_empty(&listener->backlog)) {
        struct conn *conn = CONTAINER_OF(listener->backlog.next, struct conn, backlog);
        list_remove(&conn->backlog);
        sim_conn_ops.close(&conn->base);
    }
}

/* The memory stays with the process: accepted() may be running. */
static void listener_close(struct env_listener *base)
{
    struct listener *listener = (struct listener *)base;
    ASSERT(!listener->closed);
    listener_withdraw(listener);
}

static const struct env_listener_ops sim_listener_ops = {.close = listener_close};

/* -- connecting -- */

static struct env_conn *sim_connect(struct env *env, const struct env_addr *addr,
                                    const struct env_conn_handler *handler, void *ctx)
{
    struct loop *loop = loop_of(env);
    bool loopback;
    struct process *to = host_find(loop->process, addr->host, &loopback);
    struct conn *conn = conn_new(loop, NULL, 0);
    conn->state = CONN_CONNECTING;
    conn->handler = handler;
    conn->ctx = ctx;
    if (addr->host[0] == '\0' || addr->port == 0) {
        conn_end(conn, ERR_INVALID);
    } else if (to == NULL) {
        conn_end(conn, ERR_RESOLVE);
    } else {
        bool literal = addr->host[0] >= '0' && addr->host[0] <= '9';
        conn->wire = wire_new(loop->process, to, conn, addr);
        wire_handshake_start(conn->wire, loop_now(loop) + (literal ? 0 : RESOLVE_US));
    }
    return &conn->base;
}

const struct env_net_ops sim_net_ops = {.listen = sim_listen, .connect = sim_connect};
