/* SPDX-License-Identifier: Apache-2.0 */
/* Byte streams. Part of env.h; include that. */
#ifndef SLUICE_ENV_ENV_NET_H
#define SLUICE_ENV_ENV_NET_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct env;
struct env_conn;
struct env_listener;
struct env_file;
struct iobuf;

#define ENV_HOST_MAX 256 /* host name or address with its zero */

struct env_addr {
    char host[ENV_HOST_MAX]; /* name or literal; "" means every local address (listen only) */
    uint16_t port;           /* 0: the kernel chooses (listen only) */
};

/* "host:port", "[v6]:port", ":port". ERR_INVALID on anything else. */
enum err env_addr_parse(const char *text, struct env_addr *ret_addr);

/* Writes "host:port" into out (at least ENV_HOST_MAX + 8 bytes). Returns out. */
char *env_addr_format(const struct env_addr *addr, char *out);

/* What an owner of a connection is told. ctx is the one given to env_conn_start or env_connect. */
struct env_conn_handler {
    /* Where the next bytes may go: set *ret_buf and *ret_len. ret_len 0 pauses reading (env_conn_resume
     * continues). The memory must stay until read(). */
    void (*alloc)(void *ctx, void **ret_buf, size_t *ret_len);
    /* len > 0 bytes landed at the start of the buffer given by the last alloc. */
    void (*read)(void *ctx, size_t len);
    /* env_connect only: the connection stands. May be NULL. */
    void (*connected)(void *ctx);
    /* Queued output fell to half of the high mark after having been above it. May be NULL. */
    void (*drained)(void *ctx);
    /* Exactly once, the last call, after which the connection is gone. why: OK when we closed it, ERR_CLOSED
     * when the peer did, else the failure (ERR_REFUSED, ERR_TIMED_OUT, ERR_RESOLVE ... for env_connect). */
    void (*closed)(void *ctx, enum err why);
};

struct env_listener_handler {
    /* A new connection: the owner calls env_conn_start() or env_conn_close() on it before it returns. peer is
     * valid during the call. */
    void (*accepted)(void *ctx, struct env_conn *conn, const struct env_addr *peer);
};

/* Listens. Several loops may listen on one address with shared = true (the kernel or simulator spreads
 * connections). *ret_bound (may be NULL) gets the address with the real port. ERR_ADDRESS_IN_USE,
 * ERR_RESOLVE, ERR_PERMISSION ... Out of descriptors while accepting: backs off and retries by itself. */
enum err env_listen(struct env *env, const struct env_addr *addr, bool shared,
                    const struct env_listener_handler *handler, void *ctx, struct env_listener **ret_listener,
                    struct env_addr *ret_bound);
void env_listener_close(struct env_listener *listener); /* no accepted() after this call */

/* Takes an accepted connection into use; reading starts. */
void env_conn_start(struct env_conn *conn, const struct env_conn_handler *handler, void *ctx);

/* Starts connecting (name resolution off the loop). Always gives a connection; failure comes through
 * closed(). Writing is allowed at once (queued). */
struct env_conn *env_connect(struct env *env, const struct env_addr *addr,
                             const struct env_conn_handler *handler, void *ctx);

/* Queues buf->data[off, off+len); takes a reference of its own. Sent at the end of the turn, or when the
 * socket takes more. After a failure or close it is a no-op. */
void env_conn_write(struct env_conn *conn, struct iobuf *buf, size_t off, size_t len);

/* The same for memory inside an iobuf's data given by pointer. */
void env_conn_write_view(struct env_conn *conn, struct iobuf *owner, const void *p, size_t len);

/* Queues a range of a file (sendfile where the transport allows). The file stays open (referenced) until it
 * is sent. A range that turns out shorter closes the connection. */
void env_conn_write_file(struct env_conn *conn, struct env_file *file, uint64_t offset, size_t len);

/* Bytes queued and not yet taken by the kernel. The owner keeps this below its output cap (DESIGN, Bounds).
 */
size_t env_conn_queued(const struct env_conn *conn);

/* drained() is called when the queue falls to half of high_bytes after having been above it. Default 1 MiB.
 */
void env_conn_set_high_mark(struct env_conn *conn, size_t high_bytes);

/* While paused nothing is read, so the peer's end may go unnoticed, too. */
void env_conn_pause(struct env_conn *conn);
void env_conn_resume(struct env_conn *conn); /* alloc() is asked again */

/* Flushes what is queued as far as the kernel takes it now, then closes. closed() follows (E2). Safe to call
 * twice. */
void env_conn_close(struct env_conn *conn);

#endif
