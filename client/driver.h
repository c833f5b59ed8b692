/* SPDX-License-Identifier: Apache-2.0 */
/* A client (client/core) on an env: opens its connections, carries its bytes, keeps its time. Everything on
 * one loop; the owner calls the core's functions (client_produce() ...) on driver_client() with
 * driver_now_us(), then client_driver_kick(). */
#ifndef SLUICE_CLIENT_DRIVER_H
#define SLUICE_CLIENT_DRIVER_H

#include "client/core/client.h"
#include "common/env/env.h"
#include "common/tls/tls.h"

struct client_driver;

/* What the owner is told, each from a turn of the loop (never from inside a call). What the pointers lead to
 * is valid during the call. Any may be NULL. */
struct client_driver_handler {
    void (*topic)(void *ctx, struct client_topic *topic, struct client_failure failure);
    void (*delivered)(void *ctx, const struct client_delivery *delivery);
    void (*room)(void *ctx);
    void (*records)(void *ctx, const struct client_records *records);
    void (*consume_failed)(void *ctx, struct client_topic *topic, int32_t partition,
                           struct client_failure failure);
    void (*reply)(void *ctx, const struct client_reply *reply);
};

/* config is copied; its seed is mixed with the env's randomness. NULL when memory is out. */
struct client_driver *client_driver_new(struct env *env, const struct client_config *config,
                                        const struct client_driver_handler *handler, void *ctx);

/* Connections that are made from now on speak TLS; before the first turn. The caller keeps its reference on
 * tls until the driver is closed. */
void client_driver_set_tls(struct client_driver *driver, struct tls_loop *tls);

/* Closes the connections; closed() of the last one frees the driver, so the loop must run on for a moment.
 * done (may be NULL) is called then. No handler is called any more. */
void client_driver_close(struct client_driver *driver, void (*done)(void *ctx), void *ctx);

struct client *client_driver_client(struct client_driver *driver); /* valid until client_driver_close() */
uint64_t client_driver_now_us(const struct client_driver *driver); /* the env's clock */
void client_driver_kick(
    struct client_driver *driver); /* a turn of the core at the end of this turn of the loop */

#endif
