/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/config.h"

#include <string.h>

#include "common/base/assert.h"
#include "proto/cluster/records.h"

#define C struct controller_config

static const struct setting items[] = {
    SETTING_INT("node.id", C, node_id, NULL, 0, INT32_MAX, SETTING_REQUIRED,
                "Id of this node, different from every other broker and controller of the cluster."),
    SETTING_LIST("process.roles", C, process_roles, "controller", 0, "Roles of this process: controller."),
    SETTING_LISTENERS(
        "listeners", C, listeners, "", 0,
        "Where brokers and other controllers connect, as CONTROLLER://host:port. Empty: the address "
        "that controller.quorum.voters gives for this node."),
    SETTING_NODES("controller.quorum.voters", C, quorum_voters, NULL, SETTING_REQUIRED,
                  "The quorum's first controllers, as id@host:port,...: the same list on each of them. A "
                  "controller that is not "
                  "in it joins a quorum that exists: it waits until it is added (sluice controller add)."),
    SETTING_STRING("metadata.log.dir", C, metadata_log_dir, NULL, SETTING_REQUIRED,
                   "Directory of the metadata log, its snapshots and this controller's vote."),
    SETTING_SERVERS(
        "admin.listener", C, admin_listener, "127.0.0.1:0", 0,
        "Where /metrics, /healthz and /readyz are served. Port 0: the kernel chooses, the log says which."),
    SETTING_DURATION_MS(
        "controller.quorum.election.timeout.ms", C, election_timeout_ms, "200", 20, 60000, 0,
        "A controller that hears nothing from the leader for once to twice this long starts an election."),
    SETTING_DURATION_MS("controller.quorum.heartbeat.interval.ms", C, heartbeat_interval_ms, "20", 1, 10000,
                        0, "How often an idle leader speaks to its followers."),
    SETTING_DURATION_MS(
        "broker.session.timeout.ms", C, broker_session_timeout_ms, "3000", 100, 3600000, 0,
        "A broker that is silent for this long is fenced. Its process being gone is noticed at once."),
    SETTING_SIZE("metadata.log.max.record.bytes.between.snapshots", C, snapshot_bytes, "20971520", 4096,
                 INT64_MAX, 0, "A snapshot of the metadata is written after this much log."),
    SETTING_INT("metadata.log.max.entries.between.snapshots", C, snapshot_records, "20000", 10, INT64_MAX, 0,
                "A snapshot of the metadata is written after this many log entries."),
    SETTING_SIZE("metadata.log.segment.bytes", C, segment_bytes, "8388608", 65536, INT32_MAX, 0,
                 "Size at which a new segment of the metadata log begins."),
    SETTING_INT("num.partitions", C, num_partitions, "1", 1, 100000, 0,
                "Partitions of a topic that is created without a count."),
    SETTING_INT("default.replication.factor", C, default_replication_factor, "1", 1, META_REPLICAS_MAX, 0,
                "Replicas of a topic that is created without a replication factor."),
    SETTING_BOOL("auto.leader.rebalance.enable", C, auto_leader_rebalance, "true", 0,
                 "Leaders go back to the first replica of a partition once that is in sync again."),
    SETTING_INT("leader.imbalance.check.interval.seconds", C, imbalance_check_s, "300", 1, 1000000, 0,
                "How long leaders may be away from the first replicas before they go back."),
    SETTING_INT(
        "leader.imbalance.per.broker.percentage", C, imbalance_percent, "10", 0, 100, 0,
        "Share of the partitions that a broker should lead and does not, up to which nothing is done."),
};

static const struct setting_table table = {items, ARRAY_LEN(items)};

const struct setting_table *controller_settings(void)
{
    return &table;
}

static bool has_role(const struct setting_list *roles, const char *role)
{
    for (uint32_t i = 0; i < roles->count; i++) {
        if (strcmp(roles->items[i], role) == 0)
            return true;
    }
    return false;
}

const char *controller_config_problem(const struct controller_config *config)
{
    const struct endpoint *own = endpoints_by_id(&config->quorum_voters, config->node_id);
    if (!has_role(&config->process_roles, "controller"))
        return "process.roles: this program has the role controller; say so, or leave the setting out";
    if (own == NULL && config->listeners.count != 1)
        return "controller.quorum.voters: node.id is not among the voters: add id@host:port for this node, "
               "or, when "
               "it is to join a quorum that exists, set listeners to its address";
    if (config->quorum_voters.count > CONSENSUS_VOTERS_MAX)
        return "controller.quorum.voters: more than 7 voters";
    if (config->listeners.count > 1)
        return "listeners: a controller has one listener, CONTROLLER://host:port";
    if (config->election_timeout_ms < 3 * config->heartbeat_interval_ms)
        return "controller.quorum.election.timeout.ms: must be at least three times "
               "controller.quorum.heartbeat.interval.ms";
    if (config->admin_listener.count > 1)
        return "admin.listener: one address only";
    return security_problem(&config->security, &config->listeners, NULL);
}

bool controller_config_tls(const struct controller_config *config)
{
    return security_is_ssl(&config->security, config->listeners.count == 1
                                                  ? config->listeners.items[0].name
                                                  : security_controller_listener(&config->security));
}

static void set_addr(const struct endpoint *endpoint, struct env_addr *ret_addr)
{
    str_copy(str_from(endpoint->host), ret_addr->host, sizeof(ret_addr->host));
    ret_addr->port = endpoint->port;
}

void controller_options_from(const struct controller_config *config, struct controller_options *ret_options)
{
    struct controller_options o = controller_options_defaults();
    ASSERT(controller_config_problem(config) == NULL);
    o.node_id = config->node_id;
    o.metadata_dir = config->metadata_log_dir;
    for (uint32_t i = 0; i < config->quorum_voters.count; i++) {
        o.voters[i].node_id = config->quorum_voters.items[i].id;
        set_addr(&config->quorum_voters.items[i], &o.voters[i].addr);
    }
    o.voters_count = (int)config->quorum_voters.count;
    const struct endpoint *own = endpoints_by_id(&config->quorum_voters, config->node_id);
    set_addr(config->listeners.count == 1 ? &config->listeners.items[0] : own, &o.listen);
    o.election_timeout_ms = (uint32_t)config->election_timeout_ms;
    o.heartbeat_ms = (uint32_t)config->heartbeat_interval_ms;
    o.session_us = (uint64_t)config->broker_session_timeout_ms * 1000;
    o.num_partitions = config->num_partitions;
    o.default_replication_factor = config->default_replication_factor;
    o.auto_rebalance = config->auto_leader_rebalance;
    o.rebalance_us = (uint64_t)config->imbalance_check_s * 1000000;
    o.imbalance_percent = config->imbalance_percent;
    o.snapshot_entries = (uint64_t)config->snapshot_records;
    o.snapshot_bytes = (uint64_t)config->snapshot_bytes;
    o.segment_bytes = (uint64_t)config->segment_bytes;
    *ret_options = o;
}
