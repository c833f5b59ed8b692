/* SPDX-License-Identifier: Apache-2.0 */
/* The admin port of a process: GET /metrics, /healthz, /readyz, and paths that others add. HTTP/1.1 with
 * keep-alive, plain text, for operators and their tools on a trusted network: it listens on loopback unless
 * told otherwise. Everything runs on one loop (E1 of env.h). */
#ifndef SLUICE_OBS_ADMIN_HTTP_H
#define SLUICE_OBS_ADMIN_HTTP_H

#include <stdbool.h>

#include "common/base/wire.h"
#include "common/env/env.h"
#include "common/obs/log.h"
#include "common/obs/metrics.h"

#define ADMIN_HTTP_CONNS_MAX 64 /* more are closed at once */
#define ADMIN_HTTP_TIMEOUT_US                                                                                \
    10000000 /* for a request to arrive, an answer to leave, a kept connection to be used */
#define ADMIN_HTTP_RESPONSE_MAX (32 << 20) /* bytes of a body */
#define ADMIN_HTTP_PATHS_MAX    32         /* added paths */

struct admin_http;

struct admin_request {
    const char *path;  /* without the query */
    const char *query; /* behind '?', as sent; "" when there is none */
};

/* The answer under construction: 200, text/plain and an empty body to begin with. */
struct admin_response {
    int status;
    const char *content_type; /* a constant */
    struct writer body;       /* when it fails the answer becomes 500 */
};

/* Answers one request for a path, on the loop; must not block. */
typedef void admin_http_fn(void *ctx, const struct admin_request *request, struct admin_response *response);

struct admin_http_options {
    struct env_addr addr;    /* port 0: the kernel chooses */
    struct metrics *metrics; /* for /metrics, and for the server's own counters; outlives the server */
    struct logger *logger;   /* outlives the server */
    /* True: ready. False: not, and why (one line into reason, size bytes). NULL: always ready. */
    bool (*ready)(void *ctx, char *reason, size_t size);
    void *ready_ctx;
    uint64_t timeout_us; /* 0: ADMIN_HTTP_TIMEOUT_US */
};

/* Listens. *ret_bound (may be NULL) gets the address with its real port. On failure nothing stays: the errors
 * of env_listen(), ERR_NOMEM. */
enum err admin_http_start(struct env *env, const struct admin_http_options *options,
                          struct admin_http **ret_server, struct env_addr *ret_bound);

/* Adds a path that fn answers: exact match, begins with '/'. path and ctx outlive the server. ERR_FULL,
 * ERR_EXISTS. */
enum err admin_http_add(struct admin_http *server, const char *path, admin_http_fn *fn, void *ctx);

/* Closes the listener and every connection; stopped(ctx) is called from the loop when the server is gone and
 * freed. stopped may be NULL. */
void admin_http_stop(struct admin_http *server, void (*stopped)(void *ctx), void *ctx);

#endif
