/* SPDX-License-Identifier: Apache-2.0 */
/* mbedTLS over memory: what came goes in, what is to be sent comes out. No sockets, no loop. */
#include <mbedtls/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/tls/internal.h"

#define OUT_BYTES_MIN 512u
#define OUT_BYTES_MAX (64u << 10)
/* Of one connection and direction: AES-GCM's bound (RFC 8446, 5.5); this library cannot change keys under a
 * connection, so it ends then. 2^24 records are 256 GiB. */
#define RECORDS_MAX (1u << 24)

/* -- the library's side -- */

static int bio_recv(void *ctx, unsigned char *buf, size_t len)
{
    struct tls_session *s = ctx;
    size_t n = s->in_len < len ? s->in_len : len;
    if (n == 0)
        return MBEDTLS_ERR_SSL_WANT_READ;
    memcpy(buf, s->in, n);
    s->in += n;
    s->in_len -= n;
    return (int)n;
}

static bool out_grow(struct tls_session *s, size_t want)
{
    size_t size = want < OUT_BYTES_MIN ? OUT_BYTES_MIN : want > OUT_BYTES_MAX ? OUT_BYTES_MAX : want;
    struct iobuf *buf = iobuf_get(s->pool, size);
    if (buf == NULL)
        return false;
    buf->next = NULL;
    if (s->out_tail != NULL)
        s->out_tail->next = buf;
    else
        s->out_head = buf;
    s->out_tail = buf;
    return true;
}

/* Takes everything: how much may wait is decided above. */
static int bio_send(void *ctx, const unsigned char *p, size_t len)
{
    struct tls_session *s = ctx;
    size_t left = len;
    while (left > 0) {
        if ((s->out_tail == NULL || s->out_tail->len == s->out_tail->cap) && !out_grow(s, left))
            return MBEDTLS_ERR_SSL_ALLOC_FAILED;
        struct iobuf *tail = s->out_tail;
        size_t n = tail->cap - tail->len < left ? tail->cap - tail->len : left;
        memcpy(tail->data + tail->len, p, n);
        tail->len += (uint32_t)n;
        p += n;
        left -= n;
    }
    s->out_bytes += len;
    return (int)len;
}

/* -- errors -- */

static enum err fail_untrusted(struct tls_session *s)
{
    uint32_t flags = mbedtls_ssl_get_verify_result(&s->ssl);
    snprintf(s->detail, sizeof(s->detail), "no certificate, or one that cannot be used");
    if (flags != 0 && flags != UINT32_MAX)
        mbedtls_x509_crt_verify_info(s->detail, sizeof(s->detail), "", flags);
    s->detail[strcspn(s->detail, "\n")] = '\0';
    return ERR_UNTRUSTED;
}

static enum err fail(struct tls_session *s, int rc)
{
    mbedtls_strerror(rc, s->detail, sizeof(s->detail));
    switch (rc) {
    case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED:
    case MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE:
    case MBEDTLS_ERR_SSL_BAD_CERTIFICATE: return fail_untrusted(s);
    case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE: return ERR_REJECTED;
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
    case MBEDTLS_ERR_SSL_CONN_EOF: return ERR_CLOSED;
    case MBEDTLS_ERR_SSL_ALLOC_FAILED: return ERR_NOMEM;
    default: return ERR_TLS;
    }
}

static bool wants_more(int rc)
{
    return rc == MBEDTLS_ERR_SSL_WANT_READ;
}

/* -- life -- */

struct tls_session *tls_session_new(struct tls_material *material, enum tls_use use, const char *host)
{
    struct tls_session *s = material->usable[use] ? calloc(1, sizeof(*s)) : NULL;
    if (s == NULL)
        return NULL;
    atomic_fetch_add(&material->refs, 1);
    s->material = material;
    s->use = use;
    mbedtls_ssl_init(&s->ssl);
    if (mbedtls_ssl_setup(&s->ssl, &material->configs[use]) != 0 ||
        mbedtls_ssl_set_hostname(&s->ssl, host) != 0) {
        tls_session_free(s);
        return NULL;
    }
    mbedtls_ssl_set_bio(&s->ssl, s, bio_send, bio_recv, NULL);
    return s;
}

void tls_session_free(struct tls_session *s)
{
    if (s == NULL)
        return;
    for (struct iobuf *buf; (buf = tls_session_take(s)) != NULL;)
        iobuf_unref(buf);
    mbedtls_ssl_free(&s->ssl);
    tls_material_unref(s->material);
    free(s->peer);
    free(s);
}

/* -- handshake -- */

static unsigned char alert_of(const struct tls_session *s, enum err why)
{
    uint32_t flags = mbedtls_ssl_get_verify_result(&s->ssl);
    if (why == ERR_IDENTITY)
        return MBEDTLS_SSL_ALERT_MSG_ACCESS_DENIED;
    if (flags & MBEDTLS_X509_BADCERT_EXPIRED)
        return MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED;
    return flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED ? MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA
                                                    : MBEDTLS_SSL_ALERT_MSG_BAD_CERT;
}

void tls_session_refuse(struct tls_session *s, enum err why)
{
    mbedtls_ssl_send_alert_message(&s->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, alert_of(s, why));
}

static unsigned char alert_no_certificate(const struct tls_session *s)
{
    return mbedtls_ssl_get_version_number(&s->ssl) == MBEDTLS_SSL_VERSION_TLS1_3
               ? MBEDTLS_SSL_ALERT_MSG_CERT_REQUIRED
               : MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE;
}

/* Servers: the library lets bad certificates, and none, pass (see material.c). */
static enum err check_peer(struct tls_session *s)
{
    const mbedtls_x509_crt *cert = mbedtls_ssl_get_peer_cert(&s->ssl);
    if (cert == NULL && s->material->insists[s->use]) {
        mbedtls_ssl_send_alert_message(&s->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, alert_no_certificate(s));
        return fail_untrusted(s);
    }
    if (cert == NULL)
        return OK;
    if (mbedtls_ssl_get_verify_result(&s->ssl) != 0) {
        tls_session_refuse(s, ERR_UNTRUSTED);
        return fail_untrusted(s);
    }
    s->peer = calloc(1, sizeof(*s->peer));
    if (s->peer == NULL)
        return ERR_NOMEM;
    tls_peer_read(cert, s->peer);
    return OK;
}

int tls_session_shake(struct tls_session *s)
{
    int rc = mbedtls_ssl_handshake(&s->ssl);
    if (wants_more(rc))
        return 0;
    if (rc != 0)
        return fail(s, rc);
    enum err err = check_peer(s);
    return err == OK ? 1 : err;
}

/* -- records -- */

int tls_session_read(struct tls_session *s, void *buf, size_t len)
{
    int rc;
    do {
        rc = mbedtls_ssl_read(&s->ssl, buf, len);
    } while (rc == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET);
    if (wants_more(rc))
        return 0;
    if (rc == 0)
        return ERR_CLOSED;
    return rc > 0 ? rc : fail(s, rc);
}

bool tls_session_has_plain(const struct tls_session *s)
{
    return s->in_len > 0 || mbedtls_ssl_get_bytes_avail(&s->ssl) > 0;
}

enum err tls_session_write(struct tls_session *s, const void *p, size_t len)
{
    const uint8_t *from = p;
    while (len > 0) {
        if (++s->records > RECORDS_MAX) {
            snprintf(s->detail, sizeof(s->detail), "as many records as one key may protect");
            return ERR_TLS;
        }
        int rc = mbedtls_ssl_write(&s->ssl, from, len);
        if (rc <= 0)
            return rc == 0 ? ERR_TLS : fail(s, rc);
        from += rc;
        len -= (size_t)rc;
    }
    return OK;
}

void tls_session_goodbye(struct tls_session *s)
{
    mbedtls_ssl_close_notify(&s->ssl);
}

struct iobuf *tls_session_take(struct tls_session *s)
{
    struct iobuf *buf = s->out_head;
    if (buf == NULL)
        return NULL;
    s->out_head = buf->next;
    if (s->out_head == NULL)
        s->out_tail = NULL;
    buf->next = NULL;
    s->out_bytes -= buf->len;
    return buf;
}
