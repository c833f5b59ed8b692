/* SPDX-License-Identifier: Apache-2.0 */
/* From PEM files to the four configurations that handshakes use. */
#include <mbedtls/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/tls/internal.h"

/* AES-128-GCM first: the quickest with the instructions of every server CPU. TLS 1.2 only with forward
 * secrecy and authenticated encryption. */
static const int suites[] = {
    MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
    MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
    MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    0,
};

static const uint16_t groups[] = {MBEDTLS_SSL_IANA_TLS_GROUP_X25519, MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
                                  MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1, MBEDTLS_SSL_IANA_TLS_GROUP_NONE};

/* -- files -- */

static enum err file_read_all(struct env_file *file, struct tls_blob *ret_blob)
{
    uint64_t size = 0;
    size_t got = 0;
    enum err err = env_file_size(file, &size);
    if (err == OK && size > TLS_FILE_BYTES_MAX)
        err = ERR_TOO_LARGE;
    if (err != OK)
        return err;
    uint8_t *p = calloc(1, (size_t)size + 1);
    if (p == NULL)
        return ERR_NOMEM;
    err = env_file_read(file, 0, p, (size_t)size, &got);
    if (err == OK)
        *ret_blob = (struct tls_blob){p, got};
    else
        free(p);
    return err;
}

static enum err file_read(struct env *env, const char *setting, const char *path, struct tls_blob *ret_blob,
                          char *text)
{
    struct env_file *file;
    if (path == NULL || path[0] == '\0')
        return OK;
    enum err err = env_file_open(env, path, ENV_OPEN_READ, &file);
    if (err == OK) {
        err = file_read_all(file, ret_blob);
        env_file_close(file);
    }
    if (err != OK)
        snprintf(text, TLS_TEXT_MAX, "%s: cannot read '%.300s': %s; check its path and rights", setting, path,
                 err_text(err));
    return err;
}

enum err tls_files_read(struct env *env, const struct tls_options *options, struct tls_files *ret_files,
                        char *text)
{
    struct tls_files files = {0};
    enum err err = file_read(env, "ssl.certificate.location", options->certificate, &files.certificate, text);
    if (err == OK)
        err = file_read(env, "ssl.key.location", options->key, &files.key, text);
    if (err == OK)
        err = file_read(env, "ssl.ca.location", options->ca, &files.ca, text);
    if (err != OK)
        tls_files_free(&files);
    else
        *ret_files = files;
    return err;
}

static bool blob_equal(const struct tls_blob *a, const struct tls_blob *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->p, b->p, a->len) == 0);
}

bool tls_files_equal(const struct tls_files *a, const struct tls_files *b)
{
    return blob_equal(&a->certificate, &b->certificate) && blob_equal(&a->key, &b->key) &&
           blob_equal(&a->ca, &b->ca);
}

static void blob_free(struct tls_blob *blob)
{
    if (blob->p != NULL)
        mbedtls_platform_zeroize(blob->p, blob->len);
    free(blob->p);
    *blob = (struct tls_blob){0};
}

void tls_files_free(struct tls_files *files)
{
    blob_free(&files->certificate);
    blob_free(&files->key);
    blob_free(&files->ca);
}

/* -- parsing -- */

static bool fail(char *text, const char *setting, const char *path, int rc)
{
    char why[TLS_DETAIL_MAX];
    mbedtls_strerror(rc, why, sizeof(why));
    snprintf(text, TLS_TEXT_MAX, "%s: '%.200s' is no PEM file that can be used: %s", setting, path, why);
    return false;
}

static bool parse_own(struct tls_material *m, const struct tls_options *o, const struct tls_files *f,
                      char *text)
{
    if (f->certificate.p == NULL && f->key.p == NULL)
        return true;
    if (f->certificate.p == NULL || f->key.p == NULL) {
        snprintf(text, TLS_TEXT_MAX, "ssl.certificate.location and ssl.key.location: give both, or neither");
        return false;
    }
    int rc = mbedtls_x509_crt_parse(&m->own, f->certificate.p, f->certificate.len + 1);
    if (rc != 0)
        return fail(text, "ssl.certificate.location", o->certificate, rc);
    rc = mbedtls_pk_parse_key(&m->key, f->key.p, f->key.len + 1, NULL, 0, mbedtls_ctr_drbg_random, &m->rng);
    if (rc != 0)
        return fail(text, "ssl.key.location", o->key, rc);
    if (mbedtls_pk_check_pair(&m->own.pk, &m->key, mbedtls_ctr_drbg_random, &m->rng) == 0)
        return true;
    snprintf(text, TLS_TEXT_MAX, "ssl.key.location: '%.200s' is not the key of the certificate in '%.200s'",
             o->key, o->certificate);
    return false;
}

/* A bundle may hold what this library does not know; at least one must be known. */
static bool parse_ca(struct tls_material *m, const struct tls_options *o, const struct tls_files *f,
                     char *text)
{
    if (f->ca.p == NULL)
        return true;
    int rc = mbedtls_x509_crt_parse(&m->ca, f->ca.p, f->ca.len + 1);
    return rc == 0 || (rc > 0 && m->ca.raw.p != NULL) ? true : fail(text, "ssl.ca.location", o->ca, rc);
}

/* -- configurations -- */

static bool is_server(enum tls_use use)
{
    return use == TLS_USE_SERVER || use == TLS_USE_CLUSTER_SERVER;
}

static bool is_cluster(enum tls_use use)
{
    return use == TLS_USE_CLUSTER_SERVER || use == TLS_USE_CLUSTER_CLIENT;
}

/* A server lets the library finish the handshake with a bad certificate, and refuses it then (check_peer() in
 * session.c), before a byte is read: the library's own alert is encrypted with keys that a TLS 1.3 client has
 * already put away. */
static int authmode(const struct tls_options *o, enum tls_use use)
{
    if (!is_server(use))
        return MBEDTLS_SSL_VERIFY_REQUIRED;
    return use == TLS_USE_SERVER && o->client_auth == TLS_CLIENT_NONE ? MBEDTLS_SSL_VERIFY_NONE
                                                                      : MBEDTLS_SSL_VERIFY_OPTIONAL;
}

static bool config_init(struct tls_material *m, const struct tls_options *o, enum tls_use use)
{
    mbedtls_ssl_config *conf = &m->configs[use];
    bool own = m->own.raw.p != NULL, ca = m->ca.raw.p != NULL;
    int mode = authmode(o, use);
    if (mbedtls_ssl_config_defaults(conf, is_server(use) ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
                                    MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT) != 0)
        return false;
    mbedtls_ssl_conf_rng(conf, mbedtls_ctr_drbg_random, &m->rng);
    mbedtls_ssl_conf_min_tls_version(conf, o->allow_12 && !is_cluster(use) ? MBEDTLS_SSL_VERSION_TLS1_2
                                                                           : MBEDTLS_SSL_VERSION_TLS1_3);
    mbedtls_ssl_conf_ciphersuites(conf, suites);
    mbedtls_ssl_conf_groups(conf, groups);
    mbedtls_ssl_conf_tls13_key_exchange_modes(conf, MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL);
    mbedtls_ssl_conf_authmode(conf, mode);
    if (is_server(use))
        mbedtls_ssl_conf_new_session_tickets(conf, 0); /* a resumed session has no certificate */
    else
        mbedtls_ssl_conf_session_tickets(conf, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
    if (ca)
        mbedtls_ssl_conf_ca_chain(conf, &m->ca, NULL);
    if (own && mbedtls_ssl_conf_own_cert(conf, &m->own, &m->key) != 0)
        return false;
    m->insists[use] = use != TLS_USE_SERVER || o->client_auth == TLS_CLIENT_REQUIRED;
    m->usable[use] = (own || use == TLS_USE_CLIENT) && (ca || mode == MBEDTLS_SSL_VERIFY_NONE);
    return true;
}

static bool configs_init(struct tls_material *m, const struct tls_options *o, char *text)
{
    for (int use = 0; use < TLS_USE_COUNT; use++)
        if (!config_init(m, o, (enum tls_use)use)) {
            snprintf(text, TLS_TEXT_MAX, "TLS cannot be prepared: out of memory");
            return false;
        }
    return true;
}

/* -- life -- */

static void material_init(struct tls_material *m)
{
    atomic_init(&m->refs, 1);
    mbedtls_entropy_init(&m->entropy);
    mbedtls_ctr_drbg_init(&m->rng);
    mbedtls_x509_crt_init(&m->own);
    mbedtls_x509_crt_init(&m->ca);
    mbedtls_pk_init(&m->key);
    for (int i = 0; i < TLS_USE_COUNT; i++)
        mbedtls_ssl_config_init(&m->configs[i]);
}

void tls_material_unref(struct tls_material *m)
{
    if (m == NULL || atomic_fetch_sub(&m->refs, 1) != 1)
        return;
    for (int i = 0; i < TLS_USE_COUNT; i++)
        mbedtls_ssl_config_free(&m->configs[i]);
    mbedtls_pk_free(&m->key);
    mbedtls_x509_crt_free(&m->own);
    mbedtls_x509_crt_free(&m->ca);
    mbedtls_ctr_drbg_free(&m->rng);
    mbedtls_entropy_free(&m->entropy);
    free(m);
}

struct tls_material *tls_material_new(const struct tls_options *options, const struct tls_files *files,
                                      char *text)
{
    struct tls_material *m = calloc(1, sizeof(*m));
    if (m == NULL) {
        snprintf(text, TLS_TEXT_MAX, "TLS cannot be prepared: out of memory");
        return NULL;
    }
    material_init(m);
    if (mbedtls_ctr_drbg_seed(&m->rng, mbedtls_entropy_func, &m->entropy, NULL, 0) != 0) {
        snprintf(text, TLS_TEXT_MAX, "TLS cannot be prepared: no randomness from the kernel");
    } else if (parse_own(m, options, files, text) && parse_ca(m, options, files, text) &&
               configs_init(m, options, text)) {
        return m;
    }
    tls_material_unref(m);
    return NULL;
}
