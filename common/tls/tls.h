/* SPDX-License-Identifier: Apache-2.0 */
/* TLS for byte streams of any env: an env_conn that stands on another env_conn (see README.md, invariants T1
 * to T8). mbedTLS is known to this folder alone.
 *
 * Wherever a struct tls or tls_loop may be NULL, NULL means plain text: the same calls then give the
 * connection of the env itself, so that users have one code path.
 */
#ifndef SLUICE_TLS_TLS_H
#define SLUICE_TLS_TLS_H

#include "common/base/types.h"
#include "common/env/env.h"

struct logger;
struct metrics;
struct tls;
struct tls_loop;

#define TLS_TEXT_MAX       512
#define TLS_PRINCIPAL_MAX  256
#define TLS_NODES_MAX      4           /* node names in one certificate that are looked at */
#define TLS_SHAKING_MAX    512         /* handshakes under way on one loop; beyond it the oldest goes */
#define TLS_WORKING_MAX    2           /* of them at the worker threads at once */
#define TLS_FILE_BYTES_MAX (1u << 20)  /* of a PEM file */
#define TLS_CONN_BYTES     (50u << 10) /* what mbedTLS holds for one connection, about */

enum tls_client_auth { TLS_CLIENT_NONE, TLS_CLIENT_REQUESTED, TLS_CLIENT_REQUIRED };

struct tls_options {
    /* Paths of PEM files: own chain, its key, whom to trust. NULL or "": none; a server needs the first two,
     * whoever verifies needs the third. */
    const char *certificate, *key, *ca;
    enum tls_client_auth client_auth; /* of TLS_USE_SERVER */
    bool allow_12;                    /* TLS 1.2 beside 1.3 where the peer is no node */
    bool any_host;                    /* TLS_USE_CLIENT: the server's name is not compared */
    uint32_t handshake_timeout_ms;
    struct logger *log; /* NULL: silent; outlives everything here */
};

/* Reads the files and prepares everything. Failure: text (TLS_TEXT_MAX bytes) is one line that names file and
 * fix. The options' strings are copied. Main thread, before the first loop uses it. */
enum err tls_new(struct env *env, const struct tls_options *options, struct tls **ret_tls, char *text);

/* After every connection is gone and every tls_loop was dropped; after tls_unwatch(), and when its env ran on
 * to its end. NULL is allowed. */
void tls_free(struct tls *tls);

/* Looks every interval_us whether the files changed (by content, on a worker thread), and takes new ones for
 * handshakes from then on; connections stay. Files that do not fit together are refused with a log line, the
 * old ones stay. */
void tls_watch(struct tls *tls, struct env *env, uint64_t interval_us);
void tls_unwatch(struct tls *tls); /* NULL is allowed */

/* Totals since the start. Any thread. */
struct tls_counts {
    uint64_t handshakes;    /* done */
    uint64_t failed;        /* ended without: all reasons */
    uint64_t untrusted;     /* of those: certificate missing, expired, of another CA */
    uint64_t identity;      /* certificate names another node than expected or claimed */
    uint64_t timed_out;     /* of failed */
    uint64_t pushed_out;    /* of failed: the oldest of too many handshakes */
    uint64_t reloads;       /* new files taken */
    uint64_t reload_failed; /* new files refused */
};
struct tls_counts tls_counts(const struct tls *tls);

/* Registers the counts as sluice_tls_* with the label role; call once for one registry and role. */
void tls_add_metrics(struct tls *tls, struct metrics *metrics, const char *role);

/* -- on one loop -- */

/* TLS on the loop of env; loop thread only from here on. NULL for tls NULL. Asserts memory (at start). */
struct tls_loop *tls_loop_new(struct env *env, struct tls *tls);
/* No more connections by it; it goes with its last one. NULL is allowed. */
void tls_loop_drop(struct tls_loop *loop);

/* Who is at the other end, and how strict. */
enum tls_use {
    TLS_USE_SERVER,         /* a client connects: client_auth, allow_12 */
    TLS_USE_CLIENT,         /* we connect to a server: its name must be the address's host */
    TLS_USE_CLUSTER_SERVER, /* a node connects: TLS 1.3, certificate required */
    TLS_USE_CLUSTER_CLIENT, /* we connect to a node: TLS 1.3, our certificate, no host names */
    TLS_USE_COUNT
};

/* Roles in node names; the numbers are those of enum rpc_role. */
enum tls_role { TLS_ROLE_ANY = 0, TLS_ROLE_CONTROLLER = 1, TLS_ROLE_BROKER = 2, TLS_ROLE_TOOL = 3 };
#define TLS_NODE_ANY (-1)

/* A connection just accepted, to be used in place of raw from now on; raw when loop is NULL. role: the
 * certificate must name a node of that role (cluster use only). NULL: memory is out, raw is closed. */
struct env_conn *tls_accept(struct tls_loop *loop, enum tls_use use, enum tls_role role, struct env_conn *raw,
                            const struct env_addr *peer);

/* env_connect() with TLS; connected() comes after the handshake, and after the certificate was found to name
 * the node (cluster use only). closed() may say ERR_TLS, ERR_UNTRUSTED, ERR_IDENTITY, ERR_REJECTED (the peer
 * sent an alert), ERR_TIMED_OUT. */
struct env_conn *tls_connect(struct env *env, struct tls_loop *loop, enum tls_use use, enum tls_role role,
                             int32_t node_id, const struct env_addr *addr,
                             const struct env_conn_handler *handler, void *ctx);

/* -- who the peer is -- */

struct tls_node {
    uint8_t role; /* enum tls_role */
    int32_t id;
    char cluster[UUID_TEXT_MAX]; /* "": any */
};

struct tls_peer {
    char principal[TLS_PRINCIPAL_MAX]; /* "User:CN=..." (RFC 2253, as Kafka); cut when longer */
    struct tls_node nodes[TLS_NODES_MAX];
    unsigned node_count;
};

/* What its certificate says; NULL: plain text, no certificate, or the handshake is not done. Valid until
 * closed() returns. */
const struct tls_peer *tls_conn_peer(const struct env_conn *conn);

/* Whether the peer may speak as that node: always in plain text, else when its certificate names it (and no
 * other cluster; cluster_id zero: not known yet). A refusal is counted and logged. */
bool tls_conn_is_node(struct env_conn *conn, enum tls_role role, int32_t node_id, struct uuid cluster_id);

/* Tells the peer that it is refused for who it is (an alert), before the caller closes; nothing in plain
 * text. */
void tls_conn_refuse(struct env_conn *conn);

/* Reads "sluice://[cluster]/role/id" (role: controller, broker, tool) or "role-id" (common name). False: it
 * is neither. Pure. */
bool tls_node_parse(struct str text, struct tls_node *ret_node);

#endif
