/* SPDX-License-Identifier: Apache-2.0 */
/* Members of one consumer group. They share the topics, pretend to read (positions move on), commit, and ask
 * now and then what the coordinator knows; some leave and come back. They speak the classic protocol, the
 * consumer protocol (KIP-848), or each life of a member chooses, so that the group migrates both ways. A
 * committed position is a promise (I13); a partition has one owner (I14). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/core/group.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "tests/sim/client_node.h"
#include "tests/sim/nodes.h"

#define GROUP_TAG    100
#define ASK_TAG      1
#define ASK_VERSION  9 /* the last that goes by names */
#define TICK_MEAN_US 400000
#define ASK_ONE_IN   3
#define ASK_US       4000000
#define SESSION_MS   3000
#define STEP_MAX     100
#define LEAVE_ONE_IN 60 /* ticks */
#define SLEEP_ONE_IN 60
#define SETTLE_US    10000 /* from a broker's connection to its coordinator */

struct told {
    uint32_t call; /* of the commit that is not confirmed yet; 0: none */
    int64_t position;
};

/* A commit that got no answer: its client has closed the connection, which calls back nothing. */
struct given_up {
    struct list link;
    int topic;
    int32_t partition, generation;
    uint32_t call;
    int64_t position;
};

struct group_member {
    struct client_node client;  /* first */
    struct client_group *group; /* NULL: joins with the next tick */
    uint64_t next_tag;          /* of the next membership: answers to this one may come later */
    bool over;                  /* it has left, and goes when it is idle */
    char instance[16];          /* empty: a dynamic member */
    struct core_alloc alloc;
    struct env_timer tick, due;
    struct told told[CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX];
    bool mine[CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX];
    struct list given_up;
    uint64_t quiet_us; /* since then nothing is left of closed connections; 0: something is */
    /* The question on its way, and its calls. */
    bool asking;
    struct kafka_offset_fetch_request request;
    struct kafka_offset_fetch_request_group asked;
    uint32_t calls[CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX];
};

static void *resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
    if (new_size > 0)
        return realloc(old, new_size);
    free(old);
    return NULL;
}

static int static_number(const struct group_member *m)
{
    return m->instance[0] != '\0' ? m->client.node->id : 0;
}

/* What the history calls its present id. */
static uint32_t member_number(const struct group_member *m)
{
    return m->group ? group_member_number(client_group_member_id(m->group)) : 0;
}

static struct history_record record_of(struct group_member *m, enum history_type type, enum history_op op,
                                       int topic, int32_t partition, uint32_t call)
{
    struct history_record record = client_node_note(&m->client, type, op, topic, partition);

    record.group = GROUP_NUMBER;
    record.call = call;
    record.arg = static_number(m);
    record.arg2 = op == HISTORY_COMMIT ? member_number(m) : 0;
    return record;
}

static void note(struct group_member *m, enum history_type type, enum history_op op, int topic,
                 int32_t partition, uint32_t call, int64_t offset, int32_t epoch)
{
    struct history_record record = record_of(m, type, op, topic, partition, call);

    record.offset = offset;
    record.epoch = epoch;
    cluster_record(m->client.node->cluster, record);
}

typedef int32_t epoch_fn(const struct node *node, const char *topic, int32_t partition);

/* As the coordinator that the member knows sees itself. */
static int32_t coordinator_epoch(struct group_member *m, epoch_fn *epoch_of)
{
    struct cluster *cluster = m->client.node->cluster;
    int32_t id = client_group_coordinator(m->group);

    for (int i = 0; i < cluster->options.brokers; i++)
        if (cluster_node(cluster, ROLE_BROKER, i)->id == id)
            return epoch_of(cluster_node(cluster, ROLE_BROKER, i), "__consumer_offsets", GROUP_PLACE);
    return -1;
}

static int topic_number(struct group_member *m, const struct client_topic *topic)
{
    return client_node_topic(&m->client, topic);
}

/* -- what the group does -- */

static void on_assigned(struct group_member *m, const struct client_group_event *event)
{
    for (int32_t i = 0; i < event->partitions_count; i++) {
        const struct client_group_partition *one = &event->partitions[i];
        int topic = topic_number(m, one->topic);
        if (one->partition >= CLUSTER_PARTITIONS_MAX)
            continue;
        struct history_record record =
            client_node_note(&m->client, HISTORY_OK, HISTORY_ASSIGN, topic, one->partition);
        record.group = GROUP_NUMBER;
        record.epoch = event->generation;
        record.offset = one->committed;
        record.node = client_group_coordinator(m->group);
        record.arg = static_number(m);
        record.arg2 = member_number(m);
        cluster_record(m->client.node->cluster, record);
        m->mine[topic][one->partition] = true;
        m->told[topic][one->partition] = (struct told){.position = MAX(one->committed, 0)};
    }
}

static void on_revoked(struct group_member *m, const struct client_group_event *event)
{
    for (int32_t i = 0; i < event->partitions_count; i++) {
        const struct client_group_partition *one = &event->partitions[i];
        if (one->partition < CLUSTER_PARTITIONS_MAX)
            m->mine[topic_number(m, one->topic)][one->partition] = false;
    }
}

/* What is confirmed is a promise from now on. Commits that were not stay open: who knows. That of a partition
 * which the client has given up is none of what it finds committed when it gets the partition again. */
static void look_for_confirmations(struct group_member *m)
{
    for (int t = 0; t < CLUSTER_TOPICS_MAX; t++)
        for (int32_t p = 0; p < CLUSTER_PARTITIONS_MAX; p++) {
            struct told *told = &m->told[t][p];
            int64_t committed =
                told->call != 0 ? client_group_committed(m->group, m->client.topics[t], p) : -1;
            if (committed < 0 && !m->mine[t][p])
                told->call = 0;
            if (told->call == 0 || committed != told->position)
                continue;
            note(m, HISTORY_OK, HISTORY_COMMIT, t, p, told->call, told->position,
                 coordinator_epoch(m, node_leader_epoch));
            told->call = 0;
            m->client.node->cluster->group_committed[t][p] = m->client.node->cluster->draining;
        }
}

/* -- commits without an answer -- */

static void give_up(struct group_member *m, int topic, int32_t partition)
{
    struct given_up one = {.topic = topic, .partition = partition};

    one.position = client_group_committing(m->group, m->client.topics[topic], partition, &one.generation);
    if (one.position < 0)
        return;
    one.call = m->client.next_op++;
    note(m, HISTORY_INVOKE, HISTORY_COMMIT, topic, partition, one.call, one.position, one.generation);
    struct given_up *kept = malloc(sizeof(*kept));
    ASSERT(kept != NULL);
    *kept = one;
    list_push_back(&m->given_up, &kept->link);
    m->quiet_us = 0;
}

/* The client sends the positions again over another connection, and goes on there: the history has a call for
 * what may come later, or not at all. */
static void look_for_losses(struct group_member *m, const struct client_reply *reply)
{
    const struct cluster_options *options = &m->client.node->cluster->options;

    if (reply->api_key != KAFKA_API_OFFSET_COMMIT || reply->failure.err != ERR_UNKNOWN_OUTCOME)
        return;
    for (int t = 0; t < options->topics; t++)
        for (int32_t p = 0; p < options->partitions; p++)
            give_up(m, t, p);
}

static void end_given_up(struct group_member *m, bool tell)
{
    while (!list_empty(&m->given_up)) {
        struct given_up *one = CONTAINER_OF(m->given_up.next, struct given_up, link);
        struct history_record record =
            record_of(m, HISTORY_INFO, HISTORY_COMMIT, one->topic, one->partition, one->call);
        record.offset = one->position;
        record.epoch = one->generation;
        record.flags = HISTORY_OVER;
        if (tell)
            cluster_record(m->client.node->cluster, record);
        list_remove(&one->link);
        free(one);
    }
}

/* Whether what was given up has met a broker by now, or never will. */
static void look_for_ends(struct group_member *m)
{
    struct node *node = m->client.node;
    uint64_t now_us = env_now_us(m->client.env);

    if (list_empty(&m->given_up) || world_outlives_close(node->cluster->world, node->process))
        m->quiet_us = 0;
    else if (m->quiet_us == 0)
        m->quiet_us = now_us;
    else if (now_us - m->quiet_us >= SETTLE_US)
        end_given_up(m, true);
}

static void on_event(struct group_member *m, const struct client_group_event *event)
{
    switch (event->type) {
    case CLIENT_GROUP_ASSIGNED: on_assigned(m, event); return;
    case CLIENT_GROUP_REVOKED: on_revoked(m, event); return;
    case CLIENT_GROUP_LEFT: m->over = true; return;
    case CLIENT_GROUP_FAILED: /* only a broken protocol makes a member give up */
        m->over = true;
        memset(m->mine, 0, sizeof(m->mine));
        /* ... but that a coordinator dies before it has written down under which new id a static member is
         * back: the next one knows the old id, as in Kafka (known gap 110). Its supervisor starts it again.
         */
        if (m->instance[0] != '\0' && event->failure.kafka_error == KAFKA_FENCED_INSTANCE_ID)
            return;
        cluster_unhealthy(m->client.node->cluster, m->client.node, MAX(event->failure.kafka_error, 1), 0);
        return;
    }
}

static void go_on(struct group_member *m)
{
    uint64_t now_us = client_driver_now_us(m->client.driver);
    struct client_group_event event;

    look_for_ends(m);
    if (!m->group)
        return;
    look_for_confirmations(m);
    client_group_turn(m->group, now_us);
    while (client_group_next(m->group, &event)) {
        on_event(m, &event);
        client_group_turn(m->group, now_us);
    }
    uint64_t due_us = client_group_deadline(m->group);
    if (due_us != CLIENT_NEVER)
        env_timer_set(m->client.env, &m->due, due_us);
    client_driver_kick(m->client.driver);
}

static void on_due(struct env_timer *timer)
{
    go_on(CONTAINER_OF(timer, struct group_member, due));
}

static void join(struct group_member *m)
{
    const struct cluster_options *options = &m->client.node->cluster->options;
    struct client_group_config config;
    struct prng *prng = &m->client.env->prng;

    for (int t = 0; t < options->topics; t++)
        if (client_topic_partitions(m->client.topics[t]) == 0)
            return;
    client_group_config_init(&config);
    config.group_id = STR_LIT(GROUP_NAME);
    config.instance_id = m->instance[0] != '\0' ? str_from(m->instance) : STR_NULL;
    bool last = m->client.node->id == options->members;
    config.protocol = options->member_kinds == MEMBERS_CONSUMER ||
                              (options->member_kinds == MEMBERS_UPGRADE && last) ||
                              (options->member_kinds == MEMBERS_MIXED && prng_below(prng, 2) == 0)
                          ? CLIENT_GROUP_CONSUMER
                          : CLIENT_GROUP_CLASSIC;
    config.session_timeout_ms = SESSION_MS;
    config.rebalance_timeout_ms = 2 * SESSION_MS;
    config.heartbeat_ms = SESSION_MS / 6;
    config.commit_ms = 0;
    config.tag = m->next_tag;
    m->next_tag += CLIENT_GROUP_TAGS;
    m->over = false;
    m->alloc.resize = resize;
    m->group = client_group_new(client_driver_client(m->client.driver), &m->alloc, &config, m->client.topics,
                                options->topics);
    ASSERT(m->group != NULL);
    go_on(m);
}

static void on_topic(void *ctx, struct client_topic *topic, struct client_failure failure)
{
    struct group_member *m = ctx;

    if (failure.err != OK)
        return;
    topic_number(m, topic);
    if (!m->group)
        join(m);
}

/* -- reading and asking -- */

/* One commit of a partition at a time, so that it is known what was confirmed. */
static void read_on(struct group_member *m)
{
    struct prng *prng = &m->client.env->prng;

    for (int t = 0; t < CLUSTER_TOPICS_MAX; t++)
        for (int32_t p = 0; p < CLUSTER_PARTITIONS_MAX; p++) {
            struct told *told = &m->told[t][p];
            if (!m->mine[t][p] || told->call != 0)
                continue;
            told->position += 1 + (int64_t)prng_below(prng, STEP_MAX);
            told->call = m->client.next_op++;
            note(m, HISTORY_INVOKE, HISTORY_COMMIT, t, p, told->call, told->position,
                 client_group_generation(m->group));
            client_group_position(m->group, m->client.topics[t], p, told->position);
        }
    client_group_commit(m->group, client_driver_now_us(m->client.driver));
}

static void each_call(struct group_member *m, enum history_type type)
{
    const struct cluster_options *options = &m->client.node->cluster->options;
    int32_t epoch = type == HISTORY_INVOKE ? coordinator_epoch(m, node_known_epoch) : -1;

    for (int t = 0; t < options->topics; t++)
        for (int32_t p = 0; p < options->partitions; p++) {
            if (type == HISTORY_INVOKE)
                m->calls[t][p] = m->client.next_op++;
            note(m, type, HISTORY_COMMITTED, t, p, m->calls[t][p], -1, epoch);
        }
}

static void ask(struct group_member *m)
{
    struct client_request request = {.api_key = KAFKA_API_OFFSET_FETCH,
                                     .version_max = ASK_VERSION,
                                     .message = &m->request,
                                     .node = client_group_coordinator(m->group),
                                     .timeout_us = ASK_US,
                                     .repeatable = true,
                                     .tag = ASK_TAG};

    if (m->asking || request.node < 0)
        return;
    kafka_offset_fetch_request_init(&m->request);
    kafka_offset_fetch_request_group_init(&m->asked);
    m->asked.group_id = STR_LIT(GROUP_NAME);
    m->asked.topics_count = -1;
    m->request.groups = &m->asked;
    m->request.groups_count = 1;
    m->asking = client_call(client_driver_client(m->client.driver), client_driver_now_us(m->client.driver),
                            &request) == OK;
    if (m->asking)
        each_call(m, HISTORY_INVOKE);
}

static int64_t offset_in(const struct kafka_offset_fetch_response_group *group, const char *topic,
                         int32_t partition)
{
    for (int32_t t = 0; t < group->topics_count; t++)
        for (int32_t p = 0; p < group->topics[t].partitions_count; p++)
            if (group->topics[t].partitions[p].partition_index == partition &&
                str_eq_z(group->topics[t].name, topic))
                return group->topics[t].partitions[p].committed_offset;
    return -1;
}

static void on_answer(struct group_member *m, const struct client_reply *reply)
{
    const struct kafka_offset_fetch_response *response = reply->message;
    const struct cluster_options *options = &m->client.node->cluster->options;

    m->asking = false;
    if (reply->failure.err != OK || response->groups_count != 1 || response->groups[0].error_code != 0) {
        each_call(m, HISTORY_FAIL);
        return;
    }
    for (int t = 0; t < options->topics; t++)
        for (int32_t p = 0; p < options->partitions; p++)
            note(m, HISTORY_OK, HISTORY_COMMITTED, t, p, m->calls[t][p],
                 offset_in(&response->groups[0], client_topic_name(m->client.topics[t]), p), -1);
}

static void on_reply(void *ctx, const struct client_reply *reply)
{
    struct group_member *m = ctx;

    if (reply->tag == ASK_TAG) {
        on_answer(m, reply);
    } else if (m->group && client_group_owns(m->group, reply->tag)) {
        look_for_losses(m, reply);
        client_group_reply(m->group, client_driver_now_us(m->client.driver), reply);
    }
    go_on(m);
}

static const struct client_driver_handler member_handler = {.topic = on_topic, .reply = on_reply};

/* It stops reading, commits and goes; and is back later. A static one is expected back. */
static void leave(struct group_member *m)
{
    memset(m->mine, 0, sizeof(m->mine));
    client_group_leave(m->group, client_driver_now_us(m->client.driver));
}

static void drop_group(struct group_member *m)
{
    env_timer_cancel(m->client.env, &m->due);
    client_group_free(m->group);
    m->group = NULL;
}

static bool falls_asleep(struct group_member *m)
{
    struct prng *prng = &m->client.env->prng;

    if (!m->client.node->cluster->options.sleepy_members || prng_below(prng, SLEEP_ONE_IN) != 0)
        return false;
    process_pause(m->client.node->process, SESSION_MS * 1000ull + prng_below(prng, SESSION_MS * 1000ull));
    return true;
}

static void on_tick(struct env_timer *timer)
{
    struct group_member *m = CONTAINER_OF(timer, struct group_member, tick);
    struct env *env = m->client.env;

    look_for_ends(m);
    if (falls_asleep(m)) { /* and goes on with this when it wakes up, before it hears what has changed */
        env_timer_set(env, timer, env_now_us(env) + 1);
        return;
    }
    if (m->group && m->over && client_group_idle(m->group))
        drop_group(m);
    else if (!m->group)
        join(m);
    if (m->group && !m->over) {
        read_on(m);
        if (prng_below(&env->prng, LEAVE_ONE_IN) == 0)
            leave(m);
        if (prng_below(&env->prng, ASK_ONE_IN) == 0)
            ask(m);
        go_on(m);
    }
    env_timer_set(env, timer, env_now_us(env) + 1 + prng_below(&env->prng, 2 * TICK_MEAN_US));
}

/* -- life -- */

static bool member_begin(struct node *node, struct env *env)
{
    struct group_member *m = calloc(1, sizeof(*m));

    node->object = m;
    m->next_tag = GROUP_TAG;
    if (node->cluster->options.static_members >> (node->id - 1) & 1)
        snprintf(m->instance, sizeof(m->instance), "i%d", node->id);
    list_init(&m->given_up);
    env_timer_init(&m->tick, on_tick);
    env_timer_init(&m->due, on_due);
    client_node_open(&m->client, node, env, &member_handler, m);
    env_timer_set(env, &m->tick, env_now_us(env) + TICK_MEAN_US);
    return true;
}

/* Without a word: the coordinator finds out. */
static void member_end(struct node *node)
{
    struct group_member *m = node->object;

    env_timer_cancel(m->client.env, &m->tick);
    env_timer_cancel(m->client.env, &m->due);
    if (m->group)
        client_group_free(m->group);
    m->group = NULL;
    end_given_up(m, false);
    client_node_close(&m->client);
}

static void member_let_go(struct node *node)
{
    free(node->object);
    node->object = NULL;
}

const struct role_ops role_member = {
    .name = "member", .begin = member_begin, .stop = member_end, .free = member_let_go};
