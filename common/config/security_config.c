/* SPDX-License-Identifier: Apache-2.0 */
#include "common/config/security_config.h"

#include <string.h>
#include <strings.h>

#include "common/base/assert.h"

#define C struct security_config

static const struct setting items[] = {
    SETTING_LIST("listener.security.protocol.map", C, protocol_map,
                 "PLAINTEXT:PLAINTEXT,SSL:SSL,REPLICATION:PLAINTEXT,CONTROLLER:PLAINTEXT", 0,
                 "What each listener speaks, as NAME:PROTOCOL,... with PLAINTEXT or SSL; brokers look the "
                 "controllers' listeners up here, too."),
    SETTING_STRING("controller.listener.names", C, controller_listener, "CONTROLLER", 0,
                   "Name by which listener.security.protocol.map knows the controllers' listeners."),
    SETTING_STRING("ssl.certificate.location", C, certificate, "", 0,
                   "PEM file with this node's certificate and those between it and the CA."),
    SETTING_STRING("ssl.key.location", C, key, "", 0, "PEM file with the private key, not encrypted."),
    SETTING_STRING("ssl.ca.location", C, ca, "", 0,
                   "PEM file with the CAs whose certificates are trusted: of nodes, and of clients."),
    SETTING_ENUM("ssl.client.auth", C, client_auth, "none", "none|requested|required", 0,
                 "Whether clients must show a certificate. Nodes always must."),
    SETTING_LIST("ssl.enabled.protocols", C, enabled_protocols, "TLSv1.2,TLSv1.3", 0,
                 "Versions that clients may speak. Nodes speak TLSv1.3 among themselves."),
    SETTING_DURATION_MS("ssl.handshake.timeout.ms", C, handshake_timeout_ms, "10000", 10, 3600000, 0,
                        "A TLS handshake that takes longer is given up."),
    SETTING_DURATION_MS(
        "ssl.reload.interval.ms", C, reload_interval_ms, "10000", 10, 86400000, 0,
        "How often certificate files are looked at; changed ones are used for new connections."),
};

#undef C

static const struct setting_table table = {items, ARRAY_LEN(items)};

const struct setting_table *security_settings(void)
{
    return &table;
}

/* -- protocols -- */

static const char *const names[] = {
    [SECURITY_PLAINTEXT] = "PLAINTEXT",
    [SECURITY_SSL] = "SSL",
    [SECURITY_SASL_PLAINTEXT] = "SASL_PLAINTEXT",
    [SECURITY_SASL_SSL] = "SASL_SSL",
};

static enum err protocol_parse(const char *text, enum security_protocol *ret_protocol)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcasecmp(names[i], text) == 0) {
            *ret_protocol = (enum security_protocol)i;
            return OK;
        }
    return ERR_INVALID;
}

enum err security_protocol_of(const struct security_config *config, const char *listener,
                              enum security_protocol *ret_protocol)
{
    size_t len = strlen(listener);
    for (uint32_t i = 0; i < config->protocol_map.count; i++) {
        const char *item = config->protocol_map.items[i];
        if (strncasecmp(item, listener, len) == 0 && item[len] == ':')
            return protocol_parse(item + len + 1, ret_protocol);
    }
    if (protocol_parse(listener, ret_protocol) == OK)
        return OK;
    if (strcasecmp(listener, "REPLICATION") != 0 && strcasecmp(listener, "CONTROLLER") != 0)
        return ERR_NOT_FOUND;
    *ret_protocol = SECURITY_PLAINTEXT;
    return OK;
}

bool security_is_ssl(const struct security_config *config, const char *listener)
{
    enum security_protocol protocol;
    return security_protocol_of(config, listener, &protocol) == OK && protocol == SECURITY_SSL;
}

const char *security_controller_listener(const struct security_config *config)
{
    const char *name = config->controller_listener;
    return name != NULL && name[0] != '\0' ? name : "CONTROLLER";
}

static bool enabled(const struct security_config *config, const char *version)
{
    for (uint32_t i = 0; i < config->enabled_protocols.count; i++)
        if (strcasecmp(config->enabled_protocols.items[i], version) == 0)
            return true;
    return false;
}

bool security_allows_12(const struct security_config *config)
{
    return enabled(config, "TLSv1.2");
}

/* -- relations -- */

static bool is_given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static const char *versions_problem(const struct security_config *config)
{
    for (uint32_t i = 0; i < config->enabled_protocols.count; i++)
        if (strcasecmp(config->enabled_protocols.items[i], "TLSv1.2") != 0 &&
            strcasecmp(config->enabled_protocols.items[i], "TLSv1.3") != 0)
            return "ssl.enabled.protocols: TLSv1.2 and TLSv1.3 are known";
    return enabled(config, "TLSv1.3") || config->enabled_protocols.count == 0
               ? NULL
               : "ssl.enabled.protocols: TLSv1.3 cannot be left out";
}

/* files: certificate and key are needed; trust: the CA is, too. */
static const char *files_problem(const struct security_config *config, bool trust)
{
    if (!is_given(config->certificate) || !is_given(config->key))
        return "ssl.certificate.location, ssl.key.location: a listener with SSL needs both files";
    if (trust && !is_given(config->ca))
        return "ssl.ca.location: needed to trust the certificates of other nodes, and of clients that must "
               "show one (ssl.client.auth)";
    return NULL;
}

static const char *protocol_problem(const struct security_config *config, const char *listener, bool *ret_ssl)
{
    enum security_protocol protocol = SECURITY_PLAINTEXT;
    enum err err = security_protocol_of(config, listener, &protocol);
    if (err == ERR_INVALID)
        return "listener.security.protocol.map: the protocols are PLAINTEXT and SSL";
    if (err != OK)
        return "listener.security.protocol.map: say what each entry of listeners speaks, as NAME:PLAINTEXT "
               "or "
               "NAME:SSL";
    if (protocol == SECURITY_SASL_PLAINTEXT || protocol == SECURITY_SASL_SSL)
        return "listener.security.protocol.map: SASL is not built yet (docs/known-gaps.md, 3); use PLAINTEXT "
               "or "
               "SSL with ssl.client.auth";
    *ret_ssl = protocol == SECURITY_SSL;
    return NULL;
}

const char *security_problem(const struct security_config *config, const struct endpoints *listeners,
                             const char *internal)
{
    bool ssl = false;
    const char *problem = versions_problem(config);
    if (problem == NULL)
        problem = protocol_problem(config, security_controller_listener(config), &ssl);
    if (problem == NULL && ssl)
        problem = files_problem(config, true);
    for (uint32_t i = 0; i < listeners->count && problem == NULL; i++) {
        const char *name = listeners->items[i].name;
        bool nodes = internal == NULL || strcasecmp(name, internal) == 0;
        problem = protocol_problem(config, name, &ssl);
        if (problem == NULL && ssl)
            problem = files_problem(config, nodes || config->client_auth != 0);
    }
    return problem;
}
