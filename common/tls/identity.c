/* SPDX-License-Identifier: Apache-2.0 */
/* What a certificate says about its holder: the principal as Kafka writes it, and the nodes of a cluster that
 * it may speak for. */
#include <mbedtls/asn1.h>
#include <mbedtls/oid.h>
#include <stdio.h>
#include <string.h>

#include "common/tls/internal.h"

#define SCHEME "sluice://"

static const struct {
    const char *name;
    enum tls_role role;
} roles[] = {{"controller", TLS_ROLE_CONTROLLER}, {"broker", TLS_ROLE_BROKER}, {"tool", TLS_ROLE_TOOL}};

/* -- node names -- */

/* "role<separator>id", nothing else: no sign, no leading zero, at most INT32_MAX. */
static bool parse_role_id(const char *p, size_t len, char separator, struct tls_node *node)
{
    const char *at = memchr(p, separator, len);
    if (at == NULL)
        return false;
    size_t name_len = (size_t)(at - p), digits = len - name_len - 1;
    int64_t id = 0;
    if (digits == 0 || digits > 10 || (at[1] == '0' && digits > 1))
        return false;
    for (size_t i = 1; i <= digits; i++) {
        if (at[i] < '0' || at[i] > '9')
            return false;
        id = id * 10 + (at[i] - '0');
    }
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]) && id <= INT32_MAX; i++)
        if (strlen(roles[i].name) == name_len && memcmp(roles[i].name, p, name_len) == 0) {
            node->role = (uint8_t)roles[i].role;
            node->id = (int32_t)id;
            return true;
        }
    return false;
}

bool tls_node_parse(struct str text, struct tls_node *ret_node)
{
    struct tls_node node = {.cluster = ""};
    size_t scheme = strlen(SCHEME), len = text.len > 0 ? (size_t)text.len : 0;
    const char *p = text.p;
    if (len <= scheme || memcmp(p, SCHEME, scheme) != 0) {
        if (len == 0 || !parse_role_id(p, len, '-', &node))
            return false;
        *ret_node = node;
        return true;
    }
    p += scheme;
    len -= scheme;
    const char *slash = memchr(p, '/', len);
    if (slash == NULL || (size_t)(slash - p) >= sizeof(node.cluster))
        return false;
    memcpy(node.cluster, p, (size_t)(slash - p));
    if (!parse_role_id(slash + 1, len - (size_t)(slash - p) - 1, '/', &node))
        return false;
    *ret_node = node;
    return true;
}

bool tls_peer_is_node(const struct tls_peer *peer, enum tls_role role, int32_t id, const char *cluster)
{
    for (unsigned i = 0; peer != NULL && i < peer->node_count; i++) {
        const struct tls_node *node = &peer->nodes[i];
        if ((role == TLS_ROLE_ANY || node->role == role) && (id == TLS_NODE_ANY || node->id == id) &&
            (node->cluster[0] == '\0' || cluster[0] == '\0' || strcmp(node->cluster, cluster) == 0))
            return true;
    }
    return false;
}

/* -- the principal: RFC 2253, last part first, as Java's X500Principal.getName() -- */

struct text {
    char *p;
    size_t len, size; /* size counts the zero */
};

static void put(struct text *t, char c)
{
    if (t->len + 1 < t->size)
        t->p[t->len++] = c;
    t->p[t->len] = '\0';
}

static void put_z(struct text *t, const char *z)
{
    while (*z != '\0')
        put(t, *z++);
}

static const struct {
    const char *oid;
    size_t len;
    const char *key;
} keys[] = {
    {MBEDTLS_OID_AT_CN, sizeof(MBEDTLS_OID_AT_CN) - 1, "CN"},
    {MBEDTLS_OID_AT_COUNTRY, sizeof(MBEDTLS_OID_AT_COUNTRY) - 1, "C"},
    {MBEDTLS_OID_AT_LOCALITY, sizeof(MBEDTLS_OID_AT_LOCALITY) - 1, "L"},
    {MBEDTLS_OID_AT_STATE, sizeof(MBEDTLS_OID_AT_STATE) - 1, "ST"},
    {MBEDTLS_OID_AT_ORGANIZATION, sizeof(MBEDTLS_OID_AT_ORGANIZATION) - 1, "O"},
    {MBEDTLS_OID_AT_ORG_UNIT, sizeof(MBEDTLS_OID_AT_ORG_UNIT) - 1, "OU"},
    {MBEDTLS_OID_DOMAIN_COMPONENT, sizeof(MBEDTLS_OID_DOMAIN_COMPONENT) - 1, "DC"},
    {MBEDTLS_OID_UID, sizeof(MBEDTLS_OID_UID) - 1, "UID"},
};

static const char *key_of(const mbedtls_asn1_buf *oid)
{
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (keys[i].len == oid->len && memcmp(keys[i].oid, oid->p, oid->len) == 0)
            return keys[i].key;
    return NULL;
}

static void put_value(struct text *t, const mbedtls_asn1_buf *val)
{
    for (size_t i = 0; i < val->len; i++) {
        char c = (char)val->p[i];
        bool edge = (c == ' ' && (i == 0 || i + 1 == val->len)) || (c == '#' && i == 0);
        if (edge || (c != '\0' && strchr(",+\"\\<>;", c) != NULL))
            put(t, '\\');
        if (c == '\0' || (unsigned char)c < ' ' || c == 0x7f) {
            char hex[4];
            snprintf(hex, sizeof(hex), "\\%02X", (unsigned char)c);
            put_z(t, hex);
        } else {
            put(t, c);
        }
    }
}

/* A part without a short key: dotted numbers, and the value's encoding in hex. */
static void put_unknown(struct text *t, const mbedtls_x509_name *part)
{
    char oid[64], hex[3];
    if (mbedtls_oid_get_numeric_string(oid, sizeof(oid), &part->oid) < 0)
        snprintf(oid, sizeof(oid), "0.0");
    put_z(t, oid);
    put_z(t, "=#");
    snprintf(hex, sizeof(hex), "%02x", (unsigned)part->val.tag & 0xFF);
    put_z(t, hex);
    if (part->val.len < 128) {
        snprintf(hex, sizeof(hex), "%02x", (unsigned)part->val.len & 0xFF);
        put_z(t, hex);
    }
    for (size_t i = 0; i < part->val.len; i++) {
        snprintf(hex, sizeof(hex), "%02x", part->val.p[i]);
        put_z(t, hex);
    }
}

static void put_part(struct text *t, const mbedtls_x509_name *part)
{
    const char *key = key_of(&part->oid);
    if (key == NULL) {
        put_unknown(t, part);
        return;
    }
    put_z(t, key);
    put(t, '=');
    put_value(t, &part->val);
}

#define PARTS_MAX 32

static void principal_read(const mbedtls_x509_name *subject, char *out, size_t size)
{
    const mbedtls_x509_name *parts[PARTS_MAX];
    size_t count = 0;
    struct text t = {.p = out, .size = size};
    for (const mbedtls_x509_name *part = subject; part != NULL && count < PARTS_MAX; part = part->next)
        if (part->oid.p != NULL)
            parts[count++] = part;
    put_z(&t, "User:");
    while (count > 0) {
        put_part(&t, parts[--count]);
        if (count > 0)
            put(&t, ',');
    }
}

/* -- the whole -- */

static void node_add(struct tls_peer *peer, const mbedtls_asn1_buf *text)
{
    struct str s = {(const char *)text->p, (int32_t)text->len};
    if (peer->node_count < TLS_NODES_MAX && text->len <= INT32_MAX &&
        tls_node_parse(s, &peer->nodes[peer->node_count]))
        peer->node_count++;
}

static bool is_uri(const mbedtls_asn1_buf *name)
{
    return name->p != NULL &&
           name->tag == (MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_X509_SAN_UNIFORM_RESOURCE_IDENTIFIER);
}

/* The common name counts only where no URI names a node: who signs URIs means them. */
void tls_peer_read(const mbedtls_x509_crt *cert, struct tls_peer *ret_peer)
{
    *ret_peer = (struct tls_peer){.node_count = 0};
    principal_read(&cert->subject, ret_peer->principal, sizeof(ret_peer->principal));
    for (const mbedtls_x509_sequence *san = &cert->subject_alt_names; san != NULL; san = san->next)
        if (is_uri(&san->buf) && san->buf.len > strlen(SCHEME))
            node_add(ret_peer, &san->buf);
    if (ret_peer->node_count > 0)
        return;
    for (const mbedtls_x509_name *part = &cert->subject; part != NULL; part = part->next) {
        const char *key = part->oid.p != NULL ? key_of(&part->oid) : NULL;
        if (key != NULL && strcmp(key, "CN") == 0)
            node_add(ret_peer, &part->val);
    }
}
