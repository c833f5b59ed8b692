/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of a controller: one table (config.c) that is the truth for names, defaults, ranges and
 * documentation. */
#ifndef SLUICE_CONTROLLER_CONFIG_H
#define SLUICE_CONTROLLER_CONFIG_H

#include "common/config/security_config.h"
#include "common/config/setting.h"
#include "controller/controller.h"

/* Filled by common/config; memory of strings and lists is the config's. */
struct controller_config {
    int32_t node_id;
    struct setting_list process_roles;
    struct endpoints listeners, quorum_voters, admin_listener;
    const char *metadata_log_dir;
    int32_t election_timeout_ms, heartbeat_interval_ms, broker_session_timeout_ms;
    int64_t snapshot_bytes, snapshot_records, segment_bytes;
    int32_t num_partitions, default_replication_factor;
    bool auto_leader_rebalance;
    int32_t imbalance_check_s, imbalance_percent;
    struct security_config security; /* filled by its own table */
};

/* The table; its values go into a struct controller_config. */
const struct setting_table *controller_settings(void);

/* What the single settings cannot say: values that contradict each other. NULL when all is well, else one
 * line for people (a constant). */
const char *controller_config_problem(const struct controller_config *config);

/* Whether controllers speak TLS: to each other and to brokers. */
bool controller_config_tls(const struct controller_config *config);

/* The options that a sound config means. Logger, metrics, tls and failed are the caller's to fill in. */
void controller_options_from(const struct controller_config *config, struct controller_options *ret_options);

#endif
