/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of common/tls. */
#ifndef SLUICE_TLS_INTERNAL_H
#define SLUICE_TLS_INTERNAL_H

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/ssl.h>
#include <pthread.h>

#include "common/base/list.h"
#include "common/obs/log.h"
#include "common/tls/tls.h"

#define TLS_DETAIL_MAX 160

/* -- material.c: certificates and what follows from them; immutable, shared by all loops -- */

/* The bytes of the three files. */
struct tls_files {
    struct tls_blob {
        uint8_t *p; /* ends with a zero that len does not count */
        size_t len;
    } certificate, key, ca;
};

struct tls_material {
    atomic_uint refs;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context rng; /* locks itself */
    mbedtls_x509_crt own, ca;
    mbedtls_pk_context key;
    mbedtls_ssl_config configs[TLS_USE_COUNT];
    bool usable[TLS_USE_COUNT];
    bool insists[TLS_USE_COUNT]; /* the peer must show a certificate */
};

/* Reads; on failure text says which and why. free is safe on a zeroed value. */
enum err tls_files_read(struct env *env, const struct tls_options *options, struct tls_files *ret_files,
                        char *text);
bool tls_files_equal(const struct tls_files *a, const struct tls_files *b);
void tls_files_free(struct tls_files *files);

/* NULL with text on failure. */
struct tls_material *tls_material_new(const struct tls_options *options, const struct tls_files *files,
                                      char *text);
void tls_material_unref(struct tls_material *material);

/* -- context.c -- */

enum tls_counter {
    TLS_COUNT_HANDSHAKES,
    TLS_COUNT_FAILED,
    TLS_COUNT_UNTRUSTED,
    TLS_COUNT_IDENTITY,
    TLS_COUNT_TIMED_OUT,
    TLS_COUNT_PUSHED_OUT,
    TLS_COUNT_RELOADS,
    TLS_COUNT_RELOAD_FAILED,
    TLS_COUNTERS
};

struct tls {
    struct tls_options options;
    pthread_mutex_t mutex; /* guards material */
    struct tls_material *material;
    struct tls_files files; /* what material was made of; the watch's while it works */
    _Atomic uint64_t counts[TLS_COUNTERS];
    /* watch.c */
    struct env *watch_env;
    struct env_timer watch_timer;
    struct env_work watch_work;
    uint64_t watch_us;
    bool watching, watch_busy, watch_changed;
    struct tls_material *watch_material;
    struct tls_files watch_files;
    char watch_text[TLS_TEXT_MAX];
};

/* The present material, with a reference. Any thread. */
struct tls_material *tls_material_now(struct tls *tls);

static inline void tls_count(struct tls *tls, enum tls_counter counter)
{
    atomic_fetch_add_explicit(&tls->counts[counter], 1, memory_order_relaxed);
}

/* -- session.c: the filter, bytes in and bytes out; no env, any thread, one at a time -- */

struct tls_session {
    mbedtls_ssl_context ssl;
    struct tls_material *material;
    enum tls_use use;
    const uint8_t *in; /* received and not consumed yet; the caller's */
    size_t in_len;
    struct iobuf *out_head, *out_tail; /* to be sent, linked by next */
    size_t out_bytes;                  /* in them */
    struct iobuf_pool *pool;           /* of out; NULL: the heap (other threads than the loop's) */
    uint64_t records;                  /* sent */
    struct tls_peer *peer;             /* after the handshake, when it has a certificate */
    char detail[TLS_DETAIL_MAX];       /* of the last failure, for logs */
};

/* host: of the server (TLS_USE_CLIENT), else NULL. NULL: memory is out, or the material cannot serve use. */
struct tls_session *tls_session_new(struct tls_material *material, enum tls_use use, const char *host);
void tls_session_free(struct tls_session *session);

/* The handshake as far as in goes. 1: done, 0: more input is needed, else an enum err. */
int tls_session_shake(struct tls_session *session);

/* Plain bytes of what came: their number, 0: more input is needed, ERR_CLOSED: the peer's orderly end. */
int tls_session_read(struct tls_session *session, void *buf, size_t len);

/* Whether read may give something without more input. */
bool tls_session_has_plain(const struct tls_session *session);

/* Makes records of len bytes. OK or an error, after which the session is over. */
enum err tls_session_write(struct tls_session *session, const void *p, size_t len);

/* Tells the peer that its certificate (ERR_UNTRUSTED) or who it is (ERR_IDENTITY) is refused. */
void tls_session_refuse(struct tls_session *session, enum err why);

/* The orderly end. */
void tls_session_goodbye(struct tls_session *session);

/* Takes the oldest buffer of output (data [0, len) to be sent); NULL: none. */
struct iobuf *tls_session_take(struct tls_session *session);

/* -- identity.c -- */

/* What a certificate says. */
void tls_peer_read(const mbedtls_x509_crt *cert, struct tls_peer *ret_peer);
/* role TLS_ROLE_ANY and id TLS_NODE_ANY match every one; cluster "" is not compared. */
bool tls_peer_is_node(const struct tls_peer *peer, enum tls_role role, int32_t id, const char *cluster);

#endif
