/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of TLS, the same in controller and broker: one table to add beside the process's own. Names
 * are Kafka's, and librdkafka's where files are named one by one (PEM). */
#ifndef SLUICE_CONFIG_SECURITY_CONFIG_H
#define SLUICE_CONFIG_SECURITY_CONFIG_H

#include "common/config/setting.h"

/* Kafka's numbers. */
enum security_protocol {
    SECURITY_PLAINTEXT = 0,
    SECURITY_SSL = 1,
    SECURITY_SASL_PLAINTEXT = 2,
    SECURITY_SASL_SSL = 3,
};

/* Zeroed: plain text everywhere. */
struct security_config {
    struct setting_list protocol_map; /* "NAME:PROTOCOL" */
    const char *controller_listener;  /* name that the map knows the controllers' listeners by */
    const char *certificate, *key, *ca;
    int client_auth;                       /* 0 none, 1 requested, 2 required */
    struct setting_list enabled_protocols; /* of client listeners */
    int32_t handshake_timeout_ms, reload_interval_ms;
};

/* The table, for config_add() with a struct security_config. */
const struct setting_table *security_settings(void);

/* What listener.security.protocol.map says of a listener (any case). A listener that it does not name has the
 * protocol of its name (PLAINTEXT, SSL); REPLICATION and CONTROLLER are plain text; others: ERR_NOT_FOUND.
 * ERR_INVALID: the map names an unknown protocol. */
enum err security_protocol_of(const struct security_config *config, const char *listener,
                              enum security_protocol *ret_protocol);

/* Whether it is SSL; false also when the protocol is not known. */
bool security_is_ssl(const struct security_config *config, const char *listener);

/* The name by which the controllers' listeners are known. */
const char *security_controller_listener(const struct security_config *config);

/* Whether TLS 1.2 is enabled beside 1.3. */
bool security_allows_12(const struct security_config *config);

/* What is wrong for a process with these listeners, which also connects to controllers; NULL: nothing. A
 * constant line that names setting and fix. internal: the listener for nodes, NULL: all are. */
const char *security_problem(const struct security_config *config, const struct endpoints *listeners,
                             const char *internal);

#endif
