/* SPDX-License-Identifier: Apache-2.0 */
/* A broker's settings. The table in config.c is the single truth (names, defaults, ranges, docs);
 * --help-config prints it. */
#ifndef SLUICE_BROKER_CONFIG_H
#define SLUICE_BROKER_CONFIG_H

#include "common/config/security_config.h"
#include "common/config/setting.h"

/* group.consumer.migration.policy */
enum group_migration {
    GROUP_MIGRATION_DISABLED,
    GROUP_MIGRATION_UPGRADE,
    GROUP_MIGRATION_DOWNGRADE,
    GROUP_MIGRATION_BOTH
};

struct broker_config {
    int32_t node_id;
    const char *rack;
    struct setting_list process_roles;
    struct endpoints listeners;
    struct endpoints advertised_listeners;
    const char *inter_broker_listener_name;
    struct endpoints admin_listener;
    struct endpoints controller_bootstrap_servers;
    struct setting_list log_dirs;
    int32_t num_shards; /* 0: one per CPU that the process may use */

    int64_t memory_budget_bytes;
    int32_t max_connections;
    int32_t socket_request_max_bytes;
    int32_t socket_request_timeout_ms;
    int32_t socket_stall_timeout_ms;
    int32_t connections_max_idle_ms;
    int32_t fetch_max_bytes;

    int32_t heartbeat_interval_ms;
    int32_t session_timeout_ms;
    int32_t replica_lag_time_max_ms;
    int32_t replica_fetch_wait_max_ms;
    int32_t replica_fetch_max_bytes;
    int32_t replica_fetch_response_max_bytes;
    int64_t producer_id_expiration_ms;
    int32_t controlled_shutdown_timeout_ms;

    bool auto_create_topics_enable;
    int32_t num_partitions;
    int32_t default_replication_factor;
    /* Defaults of topic settings (Kafka's broker synonyms). */
    int32_t min_insync_replicas;
    int32_t message_max_bytes;
    int64_t log_segment_bytes;
    int64_t log_tail_cache_bytes;
    int32_t log_open_files; /* 0: derived from the process's limit */
    int64_t log_scrub_period_ms;
    int64_t log_scrub_bytes_per_second;
    int64_t log_flush_interval_messages, log_flush_interval_ms;
    int64_t log_retention_ms, log_retention_bytes;
    /* Groups and their offsets. */
    int32_t offsets_topic_num_partitions;
    int32_t offsets_topic_replication_factor;
    int32_t offsets_topic_segment_bytes;
    /* Transactions. */
    int32_t transaction_state_log_num_partitions;
    int32_t transaction_state_log_replication_factor;
    int32_t transaction_state_log_segment_bytes;
    int32_t transaction_state_log_min_isr;
    int32_t transaction_max_timeout_ms;
    int64_t transactional_id_expiration_ms;
    int64_t transaction_expiry_check_ms;
    int64_t offsets_retention_minutes;
    int64_t offsets_retention_check_interval_ms;
    int32_t offsets_commit_timeout_ms;
    int32_t offset_metadata_max_bytes;
    int32_t group_initial_rebalance_delay_ms;
    int32_t group_min_session_timeout_ms, group_max_session_timeout_ms;
    int32_t group_max_size;
    int32_t group_consumer_session_timeout_ms, group_consumer_heartbeat_interval_ms;
    int32_t group_consumer_max_size;
    int group_consumer_migration_policy; /* enum group_migration */

    int64_t log_retention_check_interval_ms;
    int64_t log_dir_free_min_bytes;
    int64_t log_cleaner_dedupe_buffer_size;
    int64_t log_cleaner_io_max_bytes_per_second;
    int64_t log_cleaner_backoff_ms;

    struct security_config security; /* filled by its own table; zeroed: plain text */
};

/* The table, for config_add() with a struct broker_config. */
const struct setting_table *broker_settings(void);

/* What the table cannot say: relations between settings. Returns NULL, or the line for people that names
 * setting and fix. */
const char *broker_config_problem(const struct broker_config *config);

#endif
