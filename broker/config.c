/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/config.h"

#include <string.h>

#include "broker/shard/broker.h"
#include "common/base/assert.h"

#define C struct broker_config

static const struct setting settings[] = {
    SETTING_INT("node.id", C, node_id, NULL, 0, INT32_MAX, SETTING_REQUIRED,
                "Id of this broker, unique in the cluster."),
    SETTING_LIST("process.roles", C, process_roles, "broker", 0,
                 "Roles of this process; this program knows broker."),
    SETTING_STRING("broker.rack", C, rack, "", 0,
                   "Rack or zone of this broker; replicas of a partition are spread over racks."),
    SETTING_LISTENERS(
        "listeners", C, listeners, "PLAINTEXT://:9092,REPLICATION://:9093", 0,
        "Addresses to listen on. One of them, named by inter.broker.listener.name, serves replication only."),
    SETTING_LISTENERS("advertised.listeners", C, advertised_listeners, "", 0,
                      "Addresses that clients and brokers are told; those of listeners unless given."),
    SETTING_STRING("inter.broker.listener.name", C, inter_broker_listener_name, "REPLICATION", 0,
                   "Listener that other brokers replicate from."),
    SETTING_SERVERS("admin.listener", C, admin_listener, "127.0.0.1:0", 0,
                    "Address of /metrics, /healthz and /readyz; port 0 lets the kernel choose."),
    SETTING_SERVERS("controller.quorum.bootstrap.servers", C, controller_bootstrap_servers, NULL,
                    SETTING_REQUIRED, "Controllers, as host:port,..."),
    SETTING_LIST("log.dirs", C, log_dirs, NULL, SETTING_REQUIRED, "The data directory (one for now)."),
    SETTING_INT("num.shards", C, num_shards, "0", 0, BROKER_SHARDS_MAX, 0,
                "Threads that serve clients, each with partitions of its own; 0: one per CPU that the "
                "process may use."),

    SETTING_SIZE("memory.budget.bytes", C, memory_budget_bytes, "512MiB", 16 << 20, INT64_MAX, 0,
                 "Memory for requests, replies and caches together; beyond it connections wait."),
    SETTING_INT("max.connections", C, max_connections, "100000", 1, INT32_MAX, 0,
                "Client connections; further ones are closed."),
    SETTING_SIZE("socket.request.max.bytes", C, socket_request_max_bytes, "104857600", 1024, INT32_MAX, 0,
                 "Largest request."),
    SETTING_DURATION_MS("socket.request.timeout.ms", C, socket_request_timeout_ms, "30000", 10, 3600000, 0,
                        "A request that has begun must have arrived within this time."),
    SETTING_DURATION_MS("socket.stall.timeout.ms", C, socket_stall_timeout_ms, "60000", 10, 3600000, 0,
                        "A connection whose peer takes nothing of a waiting reply for this long is closed."),
    SETTING_DURATION_MS("connections.max.idle.ms", C, connections_max_idle_ms, "600000", 10, INT32_MAX, 0,
                        "A connection without a request for this long is closed."),
    SETTING_SIZE("fetch.max.bytes", C, fetch_max_bytes, "57671680", 1024, INT32_MAX, 0,
                 "Largest answer to a fetch."),

    SETTING_DURATION_MS("broker.heartbeat.interval.ms", C, heartbeat_interval_ms, "500", 10, 3600000, 0,
                        "Time between heartbeats to the active controller."),
    SETTING_DURATION_MS("broker.session.timeout.ms", C, session_timeout_ms, "3000", 100, 3600000, 0,
                        "Without an answered heartbeat for this long the broker takes itself for fenced."),
    SETTING_DURATION_MS("replica.lag.time.max.ms", C, replica_lag_time_max_ms, "10000", 100, 3600000, 0,
                        "A follower not caught up for this long leaves the in-sync replicas."),
    SETTING_DURATION_MS("replica.fetch.wait.max.ms", C, replica_fetch_wait_max_ms, "500", 1, 3600000, 0,
                        "Longest time a follower's fetch waits at the leader."),
    SETTING_SIZE("replica.fetch.max.bytes", C, replica_fetch_max_bytes, "1048576", 1024, INT32_MAX, 0,
                 "Bytes that a follower asks for per partition."),
    SETTING_SIZE("replica.fetch.response.max.bytes", C, replica_fetch_response_max_bytes, "10485760", 1024,
                 INT32_MAX, 0, "Bytes that a follower asks for per fetch."),
    SETTING_DURATION_MS("producer.id.expiration.ms", C, producer_id_expiration_ms, "86400000", 1,
                        INT64_MAX / 1000, 0,
                        "Deduplication state of a producer that wrote nothing for this long is dropped."),
    SETTING_DURATION_MS("controlled.shutdown.timeout.ms", C, controlled_shutdown_timeout_ms, "10000", 0,
                        3600000, 0,
                        "How long SIGTERM waits for leadership to move away before leaving anyway."),

    SETTING_BOOL("auto.create.topics.enable", C, auto_create_topics_enable, "true", 0,
                 "Create a topic when a client asks for its metadata."),
    SETTING_INT("num.partitions", C, num_partitions, "1", 1, 100000, 0,
                "Partitions of topics created without a number."),
    SETTING_INT("default.replication.factor", C, default_replication_factor, "1", 1, 32767, 0,
                "Replicas of topics created without a number."),
    SETTING_INT("min.insync.replicas", C, min_insync_replicas, "1", 1, INT32_MAX, 0,
                "In-sync replicas below which acks=all is refused, unless the topic says otherwise."),
    SETTING_SIZE("message.max.bytes", C, message_max_bytes, "1048588", 0, INT32_MAX, 0,
                 "Largest record batch, unless the topic says otherwise (max.message.bytes)."),
    SETTING_SIZE("log.segment.bytes", C, log_segment_bytes, "1073741824", 1024, INT32_MAX, 0,
                 "Size of a segment file, unless the topic says otherwise (segment.bytes)."),
    SETTING_DURATION_MS("log.scrub.period.ms", C, log_scrub_period_ms, "604800000", 0, INT64_MAX / 1000, 0,
                        "All stored records are read and checked once in this time, 0: never."),
    SETTING_SIZE("log.scrub.bytes.per.second", C, log_scrub_bytes_per_second, "16777216", 1024, INT64_MAX, 0,
                 "Most that checking stored records reads."),
    SETTING_SIZE("log.tail.cache.bytes", C, log_tail_cache_bytes, "67108864", 0, INT64_MAX, 0,
                 "Memory for the newest records of led partitions, so that readers at the tail need no read; "
                 "part of memory.budget.bytes."),
    SETTING_INT("log.open.files", C, log_open_files, "0", 0, INT32_MAX, 0,
                "Descriptors that partition logs may hold open together; beyond it what was used least "
                "recently is closed. 0: half of what the process may open."),
    SETTING_INT("log.flush.interval.messages", C, log_flush_interval_messages, "1", 1, INT64_MAX, 0,
                "1: acknowledged means on disk. More: acknowledgments follow the append, as in Kafka, and a "
                "sync begins when so many records wait for one (flush.messages)."),
    SETTING_DURATION_MS("log.flush.interval.ms", C, log_flush_interval_ms, "9223372036854775807", 0,
                        INT64_MAX, 0,
                        "Longest time that a record waits for a sync to begin, where acknowledgments do not "
                        "wait for it (flush.ms)."),
    SETTING_DURATION_MS("log.retention.ms", C, log_retention_ms, "604800000", -1, INT64_MAX / 1000, 0,
                        "Age at which records may go, -1: never (retention.ms)."),
    SETTING_SIZE("log.retention.bytes", C, log_retention_bytes, "-1", -1, INT64_MAX, 0,
                 "Size at which a partition's oldest segments go, -1: never (retention.bytes)."),
    SETTING_DURATION_MS("log.retention.check.interval.ms", C, log_retention_check_interval_ms, "300000", 1,
                        INT32_MAX, 0,
                        "The most that the deletion of old records may be late. Deletions are timed, so most "
                        "are within a second; a broker that starts spreads its first look over this time."),
    SETTING_SIZE(
        "log.dir.free.min.bytes", C, log_dir_free_min_bytes, "-1", -1, INT64_MAX, 0,
        "With less than this free on the data disk new records are refused (KAFKA_STORAGE_ERROR), while "
        "reading, deleting and retention go on. -1: 1 % of the disk, at most 1 GiB; 0: never."),
    SETTING_SIZE("log.cleaner.dedupe.buffer.size", C, log_cleaner_dedupe_buffer_size, "134217728", 1 << 16,
                 INT64_MAX, 0,
                 "Memory for the keys of logs being compacted, 24 bytes each, shared by the shards."),
    SETTING_SIZE("log.cleaner.io.max.bytes.per.second", C, log_cleaner_io_max_bytes_per_second,
                 "9223372036854775807", 1024, INT64_MAX, 0,
                 "Bytes that compaction reads and writes per second, together."),
    SETTING_DURATION_MS("log.cleaner.backoff.ms", C, log_cleaner_backoff_ms, "15000", 1, INT32_MAX, 0,
                        "A log is considered for compaction at most this often."),

    SETTING_INT("transaction.state.log.num.partitions", C, transaction_state_log_num_partitions, "50", 1,
                100000, 0, "Partitions of __transaction_state; fixed once the topic exists."),
    SETTING_INT(
        "transaction.state.log.replication.factor", C, transaction_state_log_replication_factor, "3", 1,
        32767, 0,
        "Replicas of __transaction_state; transactions wait until that many brokers have registered."),
    SETTING_SIZE("transaction.state.log.segment.bytes", C, transaction_state_log_segment_bytes, "104857600",
                 1024, INT32_MAX, 0, "Size of a segment file of __transaction_state."),
    SETTING_INT("transaction.state.log.min.isr", C, transaction_state_log_min_isr, "2", 1, 32767, 0,
                "Replicas of __transaction_state that must be in sync for transactions to go on."),
    SETTING_DURATION_MS("transaction.max.timeout.ms", C, transaction_max_timeout_ms, "900000", 1, INT32_MAX,
                        0, "Longest time-out that a transactional producer may ask for."),
    SETTING_DURATION_MS("transactional.id.expiration.ms", C, transactional_id_expiration_ms, "604800000", 1,
                        INT64_MAX, 0, "A transactional id that is not used for this long is forgotten."),
    SETTING_DURATION_MS("transaction.remove.expired.transaction.cleanup.interval.ms", C,
                        transaction_expiry_check_ms, "3600000", 1, INT32_MAX, 0,
                        "How often expired transactional ids are looked for."),
    SETTING_INT("offsets.topic.num.partitions", C, offsets_topic_num_partitions, "50", 1, 100000, 0,
                "Partitions of __consumer_offsets; fixed once the topic exists."),
    SETTING_INT("offsets.topic.replication.factor", C, offsets_topic_replication_factor, "3", 1, 32767, 0,
                "Replicas of __consumer_offsets; groups wait until that many brokers have registered."),
    SETTING_SIZE("offsets.topic.segment.bytes", C, offsets_topic_segment_bytes, "104857600", 1024, INT32_MAX,
                 0, "Size of a segment file of __consumer_offsets."),
    SETTING_INT("offsets.retention.minutes", C, offsets_retention_minutes, "10080", 1, INT32_MAX, 0,
                "Offsets of a group without members, or of a topic it reads no more, go after this time."),
    SETTING_DURATION_MS("offsets.retention.check.interval.ms", C, offsets_retention_check_interval_ms,
                        "600000", 1, INT32_MAX, 0, "How often expired offsets are looked for."),
    SETTING_DURATION_MS("offsets.commit.timeout.ms", C, offsets_commit_timeout_ms, "5000", 1, 3600000, 0,
                        "How long a commit waits for its replicas."),
    SETTING_SIZE("offset.metadata.max.bytes", C, offset_metadata_max_bytes, "4096", 0, INT32_MAX, 0,
                 "Largest metadata text of a committed offset."),
    SETTING_DURATION_MS("group.initial.rebalance.delay.ms", C, group_initial_rebalance_delay_ms, "3000", 0,
                        3600000, 0,
                        "How long an empty group waits for more members before its first rebalance."),
    SETTING_DURATION_MS("group.min.session.timeout.ms", C, group_min_session_timeout_ms, "6000", 1, INT32_MAX,
                        0, "Shortest session time-out that a member may ask for."),
    SETTING_DURATION_MS("group.max.session.timeout.ms", C, group_max_session_timeout_ms, "1800000", 1,
                        INT32_MAX, 0, "Longest session time-out that a member may ask for."),
    SETTING_INT("group.max.size", C, group_max_size, "2147483647", 1, INT32_MAX, 0,
                "Members that one group may have."),
    SETTING_DURATION_MS("group.consumer.session.timeout.ms", C, group_consumer_session_timeout_ms, "45000", 1,
                        INT32_MAX, 0, "How long a member of the consumer protocol may be silent."),
    SETTING_DURATION_MS("group.consumer.heartbeat.interval.ms", C, group_consumer_heartbeat_interval_ms,
                        "5000", 1, INT32_MAX, 0,
                        "How often members of the consumer protocol are told to report."),
    SETTING_INT("group.consumer.max.size", C, group_consumer_max_size, "2147483647", 1, INT32_MAX, 0,
                "Members that one group of the consumer protocol may have."),
    SETTING_ENUM(
        "group.consumer.migration.policy", C, group_consumer_migration_policy, "bidirectional",
        "disabled|upgrade|downgrade|bidirectional", 0,
        "Whether groups change between the classic and the consumer protocol while they have members."),
};

#undef C

const struct setting_table *broker_settings(void)
{
    static const struct setting_table table = {.items = settings, .count = ARRAY_LEN(settings)};

    return &table;
}

static bool names_broker(const struct setting_list *roles)
{
    for (uint32_t i = 0; i < roles->count; i++)
        if (strcmp(roles->items[i], "broker") == 0)
            return true;
    return false;
}

const char *broker_config_problem(const struct broker_config *config)
{
    if (!names_broker(&config->process_roles))
        return "process.roles: this program runs the role broker; leave the setting out or name it";
    if (config->listeners.count == 0 || config->listeners.count > BROKER_LISTENERS_MAX)
        return "listeners: give between 1 and 8 addresses, as NAME://host:port";
    if (!endpoints_by_name(&config->listeners, config->inter_broker_listener_name))
        return "inter.broker.listener.name: no entry of listeners has this name; add one, as "
               "REPLICATION://host:port";
    if (config->listeners.count < 2)
        return "listeners: one more address is needed beside that of inter.broker.listener.name, for clients";
    if (config->log_dirs.count != 1)
        return "log.dirs: give exactly one directory";
    if (config->controller_bootstrap_servers.count == 0)
        return "controller.quorum.bootstrap.servers: name at least one controller, as host:port";
    if (config->admin_listener.count != 1)
        return "admin.listener: give exactly one address, as host:port";
    if (config->heartbeat_interval_ms * 2 > config->session_timeout_ms)
        return "broker.heartbeat.interval.ms: at most half of broker.session.timeout.ms";
    return security_problem(&config->security, &config->listeners, config->inter_broker_listener_name);
}
