/* SPDX-License-Identifier: Apache-2.0 */
/* A client that administers: makes the topics of the plan with their settings, then creates, deletes and
 * creates again topics that nobody writes to, adds partitions, alters and describes settings, deletes
 * records, moves leaders and partitions. One call at a time; what is made and deleted is a register in the
 * history. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "controller/controller_internal.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"
#include "tests/sim/client_node.h"
#include "tests/sim/nodes.h"

#define CALL_TIMEOUT_US   15000000u
#define SERVER_TIMEOUT_MS 10000
#define RESOURCE_TOPIC    2
#define CONFIG_SET        0
#define TRIM_LAG          50 /* records that a deletion leaves at least */
#define TICK_US           200000
#define MOVE_BROKERS_MAX  16
#define QUORUM_MAX        8
#define QUORUM_ONE_IN     6 /* calls about the quorum, where there is a spare controller */

/* X(NAME, weight) */
#define ADMIN_CALLS(X)                                                                                       \
    X(CREATE, 4)                                                                                             \
    X(DELETE, 3)                                                                                             \
    X(GROW, 2)                                                                                               \
    X(ALTER, 4)                                                                                              \
    X(TRIM, 3)                                                                                               \
    X(ELECT, 1)                                                                                              \
    X(MOVE, 2)                                                                                               \
    X(SHOW_TOPIC, 3)                                                                                         \
    X(SHOW_CONFIG, 3)                                                                                        \
    X(SHOW_CLUSTER, 2)                                                                                       \
    X(SHOW_OFFSETS, 3)                                                                                       \
    X(SHOW_QUORUM, 0)                                                                                        \
    X(ADD_VOTER, 0)                                                                                          \
    X(REMOVE_VOTER, 0)

enum admin_call {
#define X(name, weight) ADMIN_CALL_##name,
    ADMIN_CALLS(X)
#undef X
        ADMIN_CALL_COUNT,
    ADMIN_CALL_FOUND = ADMIN_CALL_COUNT, /* a topic of the plan */
};

/* All messages there are; one is used at a time and stays unchanged until its answer. */
union admin_message {
    struct kafka_create_topics_request create;
    struct kafka_delete_topics_request erase;
    struct kafka_create_partitions_request grow;
    struct kafka_incremental_alter_configs_request alter;
    struct kafka_delete_records_request trim;
    struct kafka_elect_leaders_request elect;
    struct kafka_alter_partition_reassignments_request move;
    struct kafka_describe_topic_partitions_request show_topic;
    struct kafka_describe_configs_request show_config;
    struct kafka_describe_cluster_request show_cluster;
    struct kafka_list_offsets_request show_offsets;
    struct kafka_describe_quorum_request show_quorum;
    struct kafka_add_raft_voter_request add_voter;
    struct kafka_remove_raft_voter_request remove_voter;
};

/* The quorum as it was last described. */
struct admin_quorum {
    int count;
    struct {
        int32_t id;
        struct uuid directory_id;
        bool voter;
    } members[QUORUM_MAX];
};

struct admin {
    struct client_node client; /* first */
    struct env_timer timer;
    bool busy;
    enum admin_call call;
    struct history_record invoke; /* of the call under way; op NONE: it is none of the history's */
    int topics_made;              /* of the plan */
    union admin_message message;
    char name[16], value[24], retained[16];
    /* What messages point to. */
    struct kafka_create_topics_request_topic new_topic;
    struct kafka_create_topics_request_config new_configs[8];
    struct kafka_delete_topics_request_topic old_topic;
    struct kafka_create_partitions_request_topic grown;
    struct kafka_incremental_alter_configs_request_resource resource;
    struct kafka_incremental_alter_configs_request_config setting;
    struct kafka_delete_records_request_topic trimmed;
    struct kafka_delete_records_request_partition trimmed_part;
    struct kafka_elect_leaders_request_topic_partition elected;
    struct kafka_alter_partition_reassignments_request_topic moved;
    struct kafka_alter_partition_reassignments_request_partition moved_part;
    int32_t targets[MOVE_BROKERS_MAX];
    struct kafka_describe_topic_partitions_request_topic shown;
    struct kafka_describe_configs_request_resource shown_config;
    struct kafka_list_offsets_request_topic asked;
    struct kafka_list_offsets_request_partition asked_part;
    struct kafka_describe_quorum_request_topic quorum_topic;
    struct kafka_describe_quorum_request_partition quorum_part;
    struct kafka_add_raft_voter_request_listener listener;
    struct admin_quorum quorum;
    int32_t partition;
    struct str name_str;
};

static uint64_t below(struct admin *admin, uint64_t bound)
{
    return prng_below(&admin->client.env->prng, bound);
}

static const struct cluster_options *options_of(const struct admin *admin)
{
    return &admin->client.node->cluster->options;
}

/* -- calls -- */

static void note_invoke(struct admin *admin, enum history_what what, uint32_t topic, int64_t arg)
{
    struct client_node *client = &admin->client;
    admin->invoke = history_record(HISTORY_INVOKE, HISTORY_ADMIN, client->process, 0);
    admin->invoke.what = (uint8_t)what;
    admin->invoke.topic = topic;
    admin->invoke.partition = 0;
    admin->invoke.arg = arg;
    admin->invoke.call = client->next_op++;
    cluster_record(client->node->cluster, admin->invoke);
}

static void send_to(struct admin *admin, int16_t api_key, int32_t node, bool repeatable)
{
    struct client_node *client = &admin->client;
    const struct client_request request = {.api_key = api_key,
                                           .message = &admin->message,
                                           .node = node,
                                           .timeout_us = CALL_TIMEOUT_US,
                                           .repeatable = repeatable};
    enum err err =
        client_call(client_driver_client(client->driver), client_driver_now_us(client->driver), &request);
    ASSERT(err == OK);
    admin->busy = true;
    client->node->pending = 1;
    client_driver_kick(client->driver);
}

static void name_topic(struct admin *admin, char letter, int number)
{
    snprintf(admin->name, sizeof(admin->name), "%c%d", letter, number);
    admin->name_str = str_from(admin->name);
}

static void call_create(struct admin *admin, int32_t partitions)
{
    static const char *const compacted[][2] = {{"cleanup.policy", "compact"},
                                               {"segment.ms", "1000"},
                                               {"segment.bytes", "65536"},
                                               {"min.cleanable.dirty.ratio", "0.05"}};
    const struct cluster_options *options = options_of(admin);
    bool compact = partitions > 0 && admin->name[0] == 't' && admin->name[1] == '0' + options->compact_topic;
    int32_t configs = 1;
    snprintf(admin->value, sizeof(admin->value), "%d", options->min_isr);
    admin->new_configs[0] = (struct kafka_create_topics_request_config){
        .name = str_from("min.insync.replicas"), .value = str_from(admin->value)};
    for (size_t i = 0; compact && i < ARRAY_LEN(compacted); i++)
        admin->new_configs[configs++] = (struct kafka_create_topics_request_config){
            .name = str_from(compacted[i][0]), .value = str_from(compacted[i][1])};
    if (compact && options->compact_delete) {
        admin->new_configs[1].value = str_from("compact,delete");
        snprintf(admin->retained, sizeof(admin->retained), "%d", CLUSTER_RETAINED);
        admin->new_configs[configs++] = (struct kafka_create_topics_request_config){
            .name = str_from("retention.messages"), .value = str_from(admin->retained)};
    }
    if (options->codec)
        admin->new_configs[configs++] = (struct kafka_create_topics_request_config){
            .name = str_from("compression.type"), .value = str_from(options->codec)};
    if (options->unclean_elections)
        admin->new_configs[configs++] = (struct kafka_create_topics_request_config){
            .name = str_from("unclean.leader.election.enable"), .value = str_from("true")};
    admin->new_topic =
        (struct kafka_create_topics_request_topic){.name = admin->name_str,
                                                   .num_partitions = partitions,
                                                   .replication_factor = (int16_t)options_of(admin)->replicas,
                                                   .configs = admin->new_configs,
                                                   .configs_count = configs};
    admin->message.create = (struct kafka_create_topics_request){
        .topics = &admin->new_topic, .topics_count = 1, .timeout_ms = SERVER_TIMEOUT_MS};
    send_to(admin, KAFKA_API_CREATE_TOPICS, CLIENT_ANY_NODE, false);
}

static void call_delete(struct admin *admin)
{
    admin->old_topic = (struct kafka_delete_topics_request_topic){.name = admin->name_str};
    admin->message.erase = (struct kafka_delete_topics_request){.topics = &admin->old_topic,
                                                                .topics_count = 1,
                                                                .topic_names = &admin->name_str,
                                                                .topic_names_count = 1,
                                                                .timeout_ms = SERVER_TIMEOUT_MS};
    send_to(admin, KAFKA_API_DELETE_TOPICS, CLIENT_ANY_NODE, false);
}

static void call_grow(struct admin *admin)
{
    admin->grown = (struct kafka_create_partitions_request_topic){
        .name = admin->name_str, .count = 2 + (int32_t)below(admin, 4), .assignments_count = -1};
    admin->message.grow = (struct kafka_create_partitions_request){
        .topics = &admin->grown, .topics_count = 1, .timeout_ms = SERVER_TIMEOUT_MS};
    send_to(admin, KAFKA_API_CREATE_PARTITIONS, CLIENT_ANY_NODE, false);
}

static void call_alter(struct admin *admin, int topic)
{
    uint64_t value = 1 + below(admin, 1u << 30);
    name_topic(admin, 't', topic);
    note_invoke(admin, HISTORY_SET, CLUSTER_REGISTER_SETTING + (uint32_t)topic, (int64_t)value);
    snprintf(admin->value, sizeof(admin->value), "%llu", (unsigned long long)value);
    admin->setting = (struct kafka_incremental_alter_configs_request_config){
        .name = str_from(CLUSTER_SETTING), .value = str_from(admin->value), .config_operation = CONFIG_SET};
    admin->resource =
        (struct kafka_incremental_alter_configs_request_resource){.resource_name = admin->name_str,
                                                                  .configs = &admin->setting,
                                                                  .configs_count = 1,
                                                                  .resource_type = RESOURCE_TOPIC};
    admin->message.alter =
        (struct kafka_incremental_alter_configs_request){.resources = &admin->resource, .resources_count = 1};
    send_to(admin, KAFKA_API_INCREMENTAL_ALTER_CONFIGS, CLIENT_ANY_NODE, false);
}

/* The leader of a random partition of a topic of the plan, or -1: then nothing is asked. */
static int32_t pick_partition(struct admin *admin, int topic)
{
    struct client_node *client = &admin->client;
    int32_t count = client->known[topic] ? client_topic_partitions(client->topics[topic]) : 0;
    name_topic(admin, 't', topic);
    if (count == 0)
        return -1;
    admin->partition = (int32_t)below(admin, (uint64_t)MIN(count, CLUSTER_PARTITIONS_MAX));
    return client_topic_leader(client->topics[topic], admin->partition);
}

/* What is deleted is told before: from then on it may be gone. */
static void send_trim(struct admin *admin, int topic, int32_t leader, int64_t offset)
{
    struct history_record record =
        client_node_note(&admin->client, HISTORY_OK, HISTORY_TRIM, topic, admin->partition);
    record.offset = offset;
    cluster_record(admin->client.node->cluster, record);
    admin->trimmed_part = (struct kafka_delete_records_request_partition){
        .offset = offset, .partition_index = admin->partition};
    admin->trimmed = (struct kafka_delete_records_request_topic){
        .name = admin->name_str, .partitions = &admin->trimmed_part, .partitions_count = 1};
    admin->message.trim = (struct kafka_delete_records_request){
        .topics = &admin->trimmed, .topics_count = 1, .timeout_ms = SERVER_TIMEOUT_MS};
    send_to(admin, KAFKA_API_DELETE_RECORDS, leader, false);
}

static void call_trim(struct admin *admin)
{
    const struct cluster *cluster = admin->client.node->cluster;
    int topic = cluster->options.trim_topic;
    int32_t leader = topic >= 0 ? pick_partition(admin, topic) : -1;
    int64_t end = leader >= 0 ? cluster->acked_ends[topic][admin->partition] - TRIM_LAG : 0;
    if (end > 0)
        send_trim(admin, topic, leader, (int64_t)below(admin, (uint64_t)end));
}

static void send_elect(struct admin *admin)
{
    admin->elected = (struct kafka_elect_leaders_request_topic_partition){
        .topic = admin->name_str, .partitions = &admin->partition, .partitions_count = 1};
    admin->message.elect = (struct kafka_elect_leaders_request){
        .topic_partitions = &admin->elected, .topic_partitions_count = 1, .timeout_ms = SERVER_TIMEOUT_MS};
    send_to(admin, KAFKA_API_ELECT_LEADERS, CLIENT_ANY_NODE, true);
}

static void call_elect(struct admin *admin, int topic)
{
    if (pick_partition(admin, topic) >= 0)
        send_elect(admin);
}

/* As many replicas as before, on any brokers and in any order; or an end to a move under way. */
static void call_move(struct admin *admin, int topic)
{
    int32_t brokers = MIN(options_of(admin)->brokers, MOVE_BROKERS_MAX);
    bool cancel = below(admin, 5) == 0;
    if (pick_partition(admin, topic) < 0)
        return;
    for (int32_t i = 0; i < brokers; i++) {
        int32_t at = (int32_t)below(admin, (uint64_t)i + 1);
        admin->targets[i] = admin->targets[at];
        admin->targets[at] = 101 + i; /* as cluster_init numbers them */
    }
    admin->moved_part = (struct kafka_alter_partition_reassignments_request_partition){
        .partition_index = admin->partition,
        .replicas = cancel ? NULL : admin->targets,
        .replicas_count = cancel ? -1 : MIN(options_of(admin)->replicas, brokers)};
    admin->moved = (struct kafka_alter_partition_reassignments_request_topic){
        .name = admin->name_str, .partitions = &admin->moved_part, .partitions_count = 1};
    admin->message.move =
        (struct kafka_alter_partition_reassignments_request){.topics = &admin->moved,
                                                             .topics_count = 1,
                                                             .timeout_ms = SERVER_TIMEOUT_MS,
                                                             .allow_replication_factor_change = true};
    send_to(admin, KAFKA_API_ALTER_PARTITION_REASSIGNMENTS, CLIENT_ANY_NODE, true);
}

static void call_show_topic(struct admin *admin, int topic)
{
    name_topic(admin, 't', topic);
    admin->shown = (struct kafka_describe_topic_partitions_request_topic){.name = admin->name_str};
    admin->message.show_topic = (struct kafka_describe_topic_partitions_request){
        .topics = &admin->shown, .topics_count = 1, .response_partition_limit = 100};
    send_to(admin, KAFKA_API_DESCRIBE_TOPIC_PARTITIONS, CLIENT_ANY_NODE, true);
}

static void call_show_config(struct admin *admin, int topic)
{
    name_topic(admin, 't', topic);
    admin->shown_config = (struct kafka_describe_configs_request_resource){
        .resource_name = admin->name_str, .configuration_keys_count = -1, .resource_type = RESOURCE_TOPIC};
    admin->message.show_config =
        (struct kafka_describe_configs_request){.resources = &admin->shown_config, .resources_count = 1};
    send_to(admin, KAFKA_API_DESCRIBE_CONFIGS, CLIENT_ANY_NODE, true);
}

static void call_show_cluster(struct admin *admin)
{
    admin->message.show_cluster = (struct kafka_describe_cluster_request){.endpoint_type = 1};
    send_to(admin, KAFKA_API_DESCRIBE_CLUSTER, CLIENT_ANY_NODE, true);
}

static void call_show_offsets(struct admin *admin, int topic)
{
    int32_t leader = pick_partition(admin, topic);
    if (leader < 0)
        return;
    admin->asked_part =
        (struct kafka_list_offsets_request_partition){.timestamp = -1 - (int64_t)below(admin, 2),
                                                      .partition_index = admin->partition,
                                                      .current_leader_epoch = -1};
    admin->asked = (struct kafka_list_offsets_request_topic){
        .name = admin->name_str, .partitions = &admin->asked_part, .partitions_count = 1};
    admin->message.show_offsets = (struct kafka_list_offsets_request){
        .topics = &admin->asked, .replica_id = -1, .topics_count = 1, .timeout_ms = SERVER_TIMEOUT_MS};
    send_to(admin, KAFKA_API_LIST_OFFSETS, leader, true);
}

/* -- the quorum -- */

static void call_show_quorum(struct admin *admin)
{
    admin->quorum_part = (struct kafka_describe_quorum_request_partition){.partition_index = 0};
    admin->quorum_topic =
        (struct kafka_describe_quorum_request_topic){.topic_name = STR_LIT("__cluster_metadata"),
                                                     .partitions = &admin->quorum_part,
                                                     .partitions_count = 1};
    admin->message.show_quorum =
        (struct kafka_describe_quorum_request){.topics = &admin->quorum_topic, .topics_count = 1};
    send_to(admin, KAFKA_API_DESCRIBE_QUORUM, CLIENT_ANY_NODE, true);
}

static void note_quorum(struct admin *admin,
                        const struct kafka_describe_quorum_response_replica_state *states, int32_t count,
                        bool voter)
{
    struct admin_quorum *q = &admin->quorum;
    for (int32_t i = 0; i < count && q->count < QUORUM_MAX; i++) {
        q->members[q->count].id = states[i].replica_id;
        q->members[q->count].directory_id = states[i].replica_directory_id;
        q->members[q->count++].voter = voter;
    }
}

static void quorum_shown(struct admin *admin, const struct kafka_describe_quorum_response *m)
{
    admin->quorum.count = 0;
    if (m->topics_count != 1 || m->topics[0].partitions_count != 1)
        return;
    const struct kafka_describe_quorum_response_partition *p = &m->topics[0].partitions[0];
    note_quorum(admin, p->current_voters, p->current_voters_count, true);
    note_quorum(admin, p->observers, p->observers_count, false);
}

static void call_add_voter(struct admin *admin, int32_t id, struct uuid directory_id)
{
    admin->call = ADMIN_CALL_ADD_VOTER;
    snprintf(admin->value, sizeof(admin->value), "c%d", id);
    admin->listener = (struct kafka_add_raft_voter_request_listener){
        .name = STR_LIT("CONTROLLER"), .host = str_from(admin->value), .port = CONTROLLER_PORT};
    admin->message.add_voter =
        (struct kafka_add_raft_voter_request){.cluster_id = STR_NULL,
                                              .timeout_ms = 1000 + (int32_t)below(admin, SERVER_TIMEOUT_MS),
                                              .voter_id = id,
                                              .voter_directory_id = directory_id,
                                              .listeners = &admin->listener,
                                              .listeners_count = 1,
                                              .ack_when_committed = true};
    send_to(admin, KAFKA_API_ADD_RAFT_VOTER, CLIENT_ANY_NODE, true);
}

static void call_remove_voter(struct admin *admin, int32_t id, struct uuid directory_id)
{
    admin->call = ADMIN_CALL_REMOVE_VOTER;
    admin->message.remove_voter = (struct kafka_remove_raft_voter_request){
        .cluster_id = STR_NULL, .voter_id = id, .voter_directory_id = directory_id};
    send_to(admin, KAFKA_API_REMOVE_RAFT_VOTER, CLIENT_ANY_NODE, true);
}

/* Adds who waits, removes one of too many, else looks. */
static void call_quorum(struct admin *admin)
{
    struct admin_quorum seen = admin->quorum;
    int voters = 0, observer = -1, gone;
    admin->invoke.op = HISTORY_OP_NONE;
    admin->call = ADMIN_CALL_SHOW_QUORUM;
    for (int i = 0; i < seen.count; i++) {
        voters += seen.members[i].voter;
        if (!seen.members[i].voter)
            observer = i;
    }
    if (observer >= 0) {
        call_add_voter(admin, seen.members[observer].id, seen.members[observer].directory_id);
    } else if (voters > options_of(admin)->controllers) {
        gone = (int)below(admin, (uint64_t)voters);
        call_remove_voter(admin, seen.members[gone].id, seen.members[gone].directory_id);
    } else {
        call_show_quorum(admin);
    }
    admin->quorum.count = 0; /* looked at anew after each change */
}

/* -- choosing -- */

static enum admin_call choose(struct admin *admin)
{
    static const uint32_t weights[ADMIN_CALL_COUNT] = {
#define X(name, weight) weight,
        ADMIN_CALLS(X)
#undef X
    };
    uint64_t total = 0;
    for (int i = 0; i < ADMIN_CALL_COUNT; i++)
        total += weights[i];
    uint64_t dice = below(admin, total);
    int call = 0;
    while (dice >= weights[call])
        dice -= weights[call++];
    return (enum admin_call)call;
}

static void begin(struct admin *admin, enum admin_call call)
{
    int topic = (int)below(admin, (uint64_t)options_of(admin)->topics);
    int spare = (int)below(admin, CLUSTER_SPARE_TOPICS);
    admin->call = call;
    admin->invoke.op = HISTORY_OP_NONE;
    name_topic(admin, 'x', spare);
    switch (call) {
    case ADMIN_CALL_CREATE:
        note_invoke(admin, HISTORY_CREATE, CLUSTER_REGISTER_TOPIC + (uint32_t)spare, 1);
        call_create(admin, 1 + (int32_t)below(admin, 3));
        break;
    case ADMIN_CALL_DELETE:
        note_invoke(admin, HISTORY_DELETE, CLUSTER_REGISTER_TOPIC + (uint32_t)spare, 0);
        call_delete(admin);
        break;
    case ADMIN_CALL_GROW: call_grow(admin); break;
    case ADMIN_CALL_ALTER: call_alter(admin, topic); break;
    case ADMIN_CALL_TRIM: call_trim(admin); break;
    case ADMIN_CALL_ELECT: call_elect(admin, topic); break;
    case ADMIN_CALL_MOVE: call_move(admin, topic); break;
    case ADMIN_CALL_SHOW_TOPIC: call_show_topic(admin, topic); break;
    case ADMIN_CALL_SHOW_CONFIG: call_show_config(admin, topic); break;
    case ADMIN_CALL_SHOW_CLUSTER: call_show_cluster(admin); break;
    case ADMIN_CALL_SHOW_OFFSETS: call_show_offsets(admin, topic); break;
    case ADMIN_CALL_SHOW_QUORUM:
    case ADMIN_CALL_ADD_VOTER:
    case ADMIN_CALL_REMOVE_VOTER:
    case ADMIN_CALL_FOUND: UNREACHABLE();
    }
}

/* The topics of the plan come first; if another life or a client has made one, so be it. */
static void make_topics(struct admin *admin)
{
    admin->call = ADMIN_CALL_FOUND;
    admin->invoke.op = HISTORY_OP_NONE;
    name_topic(admin, 't', admin->topics_made);
    call_create(admin, options_of(admin)->partitions);
}

static void elect_asked(void *arg)
{
    struct node *node = arg;
    struct admin *admin = node->object;
    if (admin == NULL || admin->busy)
        return;
    name_topic(admin, 't', 0);
    admin->invoke.op = HISTORY_OP_NONE;
    admin->call = ADMIN_CALL_ELECT;
    admin->partition = node->send_partition;
    send_elect(admin);
}

void admin_elect(struct node *node, int partition)
{
    node->send_partition = partition;
    process_call(node->process, elect_asked, node);
}

static void trim_asked(void *arg)
{
    struct node *node = arg;
    struct admin *admin = node->object;
    if (admin == NULL || admin->busy || !admin->client.known[0])
        return;
    name_topic(admin, 't', 0);
    admin->invoke.op = HISTORY_OP_NONE;
    admin->call = ADMIN_CALL_TRIM;
    admin->partition = node->send_partition;
    int32_t leader = client_topic_leader(admin->client.topics[0], admin->partition);
    if (leader >= 0)
        send_trim(admin, 0, leader, node->want_offset);
}

void admin_trim(struct node *node, int partition, int64_t offset)
{
    node->send_partition = partition;
    node->want_offset = offset;
    process_call(node->process, trim_asked, node);
}

static void voter_asked(void *arg)
{
    struct node *node = arg;
    struct admin *admin = node->object;
    if (admin == NULL || admin->busy)
        return;
    admin->invoke.op = HISTORY_OP_NONE;
    if (node->voter.adds)
        call_add_voter(admin, node->voter.id, node->voter.directory_id);
    else
        call_remove_voter(admin, node->voter.id, node->voter.directory_id);
}

bool admin_quorum(struct node *admin, const struct node *controller, bool adds)
{
    const struct controller *c = node_controller(controller);
    if (c == NULL || c->storage == NULL || admin->pending > 0)
        return false;
    admin->voter.id = controller->id;
    admin->voter.directory_id = storage_directory_id(c->storage);
    admin->voter.adds = adds;
    process_call(admin->process, voter_asked, admin);
    return true;
}

static void on_tick(struct env_timer *timer)
{
    struct admin *admin = CONTAINER_OF(timer, struct admin, timer);
    const struct cluster_options *options = options_of(admin);
    uint64_t next_us = 1 + below(admin, 2 * TICK_US);
    if (!admin->busy && options->topics_by_admin && admin->topics_made < options->topics) {
        make_topics(admin);
        next_us = 5000;
    } else if (!admin->busy && !options->scripted && !admin->client.node->cluster->draining) {
        if (options->spare_controllers > 0 && below(admin, QUORUM_ONE_IN) == 0)
            call_quorum(admin);
        else
            begin(admin, choose(admin));
    }
    env_timer_set(admin->client.env, timer, env_now_us(admin->client.env) + next_us);
}

/* -- answers -- */

static int16_t error_of(const struct client_reply *reply)
{
    switch (reply->api_key) {
    case KAFKA_API_CREATE_TOPICS: {
        const struct kafka_create_topics_response *m = reply->message;
        return m->topics_count == 1 ? m->topics[0].error_code : KAFKA_UNKNOWN_SERVER_ERROR;
    }
    case KAFKA_API_DELETE_TOPICS: {
        const struct kafka_delete_topics_response *m = reply->message;
        return m->responses_count == 1 ? m->responses[0].error_code : KAFKA_UNKNOWN_SERVER_ERROR;
    }
    case KAFKA_API_INCREMENTAL_ALTER_CONFIGS: {
        const struct kafka_incremental_alter_configs_response *m = reply->message;
        return m->responses_count == 1 ? m->responses[0].error_code : KAFKA_UNKNOWN_SERVER_ERROR;
    }
    default: return KAFKA_NONE;
    }
}

/* Only these say that nothing happened and nothing will. */
static enum history_type outcome_of(const struct client_reply *reply, int16_t error)
{
    if (reply->failure.err == OK && error == KAFKA_NONE)
        return HISTORY_OK;
    bool refused = error == KAFKA_TOPIC_ALREADY_EXISTS || error == KAFKA_UNKNOWN_TOPIC_OR_PARTITION ||
                   error == KAFKA_INVALID_REPLICATION_FACTOR;
    return refused ? HISTORY_FAIL : HISTORY_INFO;
}

static void on_reply(void *ctx, const struct client_reply *reply)
{
    struct admin *admin = ctx;
    struct cluster *cluster = admin->client.node->cluster;
    int16_t error = reply->failure.err == OK ? error_of(reply) : reply->failure.kafka_error;
    enum history_type outcome = outcome_of(reply, error);
    admin->busy = false;
    admin->client.node->pending = 0;
    cluster->admin_calls++;
    world_trace(cluster->world, "%s: call %d of %s: %s %d", process_name(admin->client.node->process),
                admin->call, admin->name, err_name(reply->failure.err), error);
    if (admin->call == ADMIN_CALL_SHOW_QUORUM && outcome == HISTORY_OK)
        quorum_shown(admin, reply->message);
    if (admin->call == ADMIN_CALL_FOUND)
        admin->topics_made += outcome == HISTORY_OK || error == KAFKA_TOPIC_ALREADY_EXISTS;
    if (admin->invoke.op == HISTORY_OP_NONE)
        return;
    struct history_record record = admin->invoke;
    record.type = (uint8_t)outcome;
    record.error = error;
    cluster_record(cluster, record);
}

static void on_topic(void *ctx, struct client_topic *topic, struct client_failure failure)
{
    if (failure.err == OK)
        client_node_topic(ctx, topic);
}

/* -- life -- */

static const struct client_driver_handler admin_handler = {.topic = on_topic, .reply = on_reply};

static bool admin_begin(struct node *node, struct env *env)
{
    struct admin *admin = calloc(1, sizeof(*admin));
    ASSERT(admin != NULL);
    node->object = admin;
    client_node_open(&admin->client, node, env, &admin_handler, admin);
    env_timer_init(&admin->timer, on_tick);
    env_timer_set(env, &admin->timer, env_now_us(env) + 1);
    return true;
}

static void admin_end(struct node *node)
{
    struct admin *admin = node->object;
    env_timer_cancel(admin->client.env, &admin->timer);
    client_node_close(&admin->client);
}

static void admin_let_go(struct node *node)
{
    free(node->object);
    node->object = NULL;
}

const struct role_ops role_admin = {
    .name = "admin", .begin = admin_begin, .stop = admin_end, .free = admin_let_go};
