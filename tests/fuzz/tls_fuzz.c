/* SPDX-License-Identifier: Apache-2.0 */
/* What a stranger sends before it is known: byte 0 mod 3 chooses a node's name, a certificate (DER), or
 * records for a server, which come in pieces of byte 1. */
#include <mbedtls/ecp.h>
#include <psa/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/tls/internal.h"
#include "tests/fuzz/fuzz.h"

#define PEM_MAX 4096

static void fuzz_name(const uint8_t *data, size_t size)
{
    struct tls_node node;
    struct str text = {(const char *)data, (int32_t)size};
    if (!tls_node_parse(text, &node))
        return;
    ASSERT(node.id >= 0 && node.role >= TLS_ROLE_CONTROLLER && node.role <= TLS_ROLE_TOOL);
    ASSERT(memchr(node.cluster, 0, sizeof(node.cluster)) != NULL);
    struct tls_peer peer = {.node_count = 1, .nodes = {node}};
    ASSERT(tls_peer_is_node(&peer, (enum tls_role)node.role, node.id, node.cluster));
    ASSERT(!tls_peer_is_node(&peer, (enum tls_role)node.role, node.id == 0 ? 1 : node.id - 1, ""));
}

static void fuzz_certificate(const uint8_t *data, size_t size)
{
    mbedtls_x509_crt cert;
    struct tls_peer peer;
    mbedtls_x509_crt_init(&cert);
    if (mbedtls_x509_crt_parse_der(&cert, data, size) == 0) {
        tls_peer_read(&cert, &peer);
        ASSERT(memchr(peer.principal, 0, sizeof(peer.principal)) != NULL);
        ASSERT(strncmp(peer.principal, "User:", 5) == 0 && peer.node_count <= TLS_NODES_MAX);
    }
    mbedtls_x509_crt_free(&cert);
}

/* -- a server's certificate, made once -- */

static void make_pem(uint8_t *cert_pem, uint8_t *key_pem)
{
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context rng;
    mbedtls_pk_context key;
    mbedtls_x509write_cert cert;
    unsigned char serial = 1;
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&rng);
    mbedtls_pk_init(&key);
    mbedtls_x509write_crt_init(&cert);
    int rc = mbedtls_ctr_drbg_seed(&rng, mbedtls_entropy_func, &entropy, NULL, 0);
    rc |= mbedtls_pk_setup(&key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
    rc |= mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(key), mbedtls_ctr_drbg_random, &rng);
    mbedtls_x509write_crt_set_md_alg(&cert, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(&cert, &key);
    mbedtls_x509write_crt_set_issuer_key(&cert, &key);
    rc |= mbedtls_x509write_crt_set_subject_name(&cert, "CN=broker-1");
    rc |= mbedtls_x509write_crt_set_issuer_name(&cert, "CN=broker-1");
    rc |= mbedtls_x509write_crt_set_serial_raw(&cert, &serial, 1);
    rc |= mbedtls_x509write_crt_set_validity(&cert, "20200101000000", "20900101000000");
    rc |= mbedtls_x509write_crt_pem(&cert, cert_pem, PEM_MAX, mbedtls_ctr_drbg_random, &rng);
    rc |= mbedtls_pk_write_key_pem(&key, key_pem, PEM_MAX);
    ASSERT(rc == 0);
    mbedtls_x509write_crt_free(&cert);
    mbedtls_pk_free(&key);
    mbedtls_ctr_drbg_free(&rng);
    mbedtls_entropy_free(&entropy);
}

static struct tls_material *material(void)
{
    static struct tls_material *made;
    static uint8_t cert_pem[PEM_MAX], key_pem[PEM_MAX];
    const struct tls_options options = {.certificate = "cert", .key = "key", .ca = "ca", .allow_12 = true};
    char text[TLS_TEXT_MAX];
    if (made != NULL)
        return made;
    ASSERT(psa_crypto_init() == PSA_SUCCESS);
    make_pem(cert_pem, key_pem);
    struct tls_files files = {.certificate = {cert_pem, strlen((char *)cert_pem)},
                              .key = {key_pem, strlen((char *)key_pem)},
                              .ca = {cert_pem, strlen((char *)cert_pem)}};
    made = tls_material_new(&options, &files, text);
    ASSERT(made != NULL);
    return made;
}

static void fuzz_records(const uint8_t *data, size_t size)
{
    size_t piece = size > 0 ? (size_t)data[0] + 1 : 1;
    struct tls_session *s = tls_session_new(material(), TLS_USE_SERVER, NULL);
    ASSERT(s != NULL);
    for (size_t at = MIN(size, (size_t)1); at < size; at += s->in - (data + at)) {
        s->in = data + at;
        s->in_len = MIN(piece, size - at);
        int rc = tls_session_shake(s);
        ASSERT(rc <= 0); /* nobody guesses the keys */
        if (rc < 0)
            break;
        ASSERT(s->in_len == 0 && s->peer == NULL);
    }
    tls_session_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] % 3 == 0)
        fuzz_name(data + 1, size - 1);
    else if (data[0] % 3 == 1)
        fuzz_certificate(data + 1, size - 1);
    else
        fuzz_records(data + 1, size - 1);
    return 0;
}
