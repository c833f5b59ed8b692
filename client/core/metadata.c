/* SPDX-License-Identifier: Apache-2.0 */
/* Who leads what: brokers, topics, partitions, and when to ask again. */
#include "client/core/internal.h"
#include "proto/kafka/error.h"

#define METADATA_VERSION_MIN 1
#define METADATA_VERSION_MAX 13
#define CALM_US              1000000 /* after this long without a refresh the back-off starts anew */

/* -- lookups -- */

const struct client_node *client_node(const struct client *client, int32_t id)
{
    for (int32_t i = 0; i < client->nodes_count; i++)
        if (client->nodes[i].id == id)
            return &client->nodes[i];
    return NULL;
}

static uint64_t name_hash(const char *p, size_t len)
{
    return hash_bytes(p, len, 0);
}

struct client_topic *client_topic_by_name(const struct client *client, struct str name)
{
    struct client_topic *topic =
        map_get(&client->topics_by_hash, name_hash(name.p, (size_t)MAX(name.len, 0)));
    while (topic &&
           (topic->name_len != (uint32_t)name.len || memcmp(topic->name, name.p, topic->name_len) != 0))
        topic = topic->same_hash;
    return topic;
}

struct client_topic *client_topic_by_id(const struct client *client, struct uuid id)
{
    list_for_each (it, &client->topics) {
        struct client_topic *topic = CONTAINER_OF(it, struct client_topic, link);
        if (uuid_eq(topic->id, id))
            return topic;
    }
    return NULL;
}

struct client_partition *client_partition_of(const struct client_topic *topic, int32_t index)
{
    return index >= 0 && index < topic->partitions_count ? topic->partitions[index] : NULL;
}

const char *client_topic_name(const struct client_topic *topic)
{
    return topic->name;
}

int32_t client_topic_partitions(const struct client_topic *topic)
{
    return topic->partitions_count;
}

int32_t client_topic_leader(const struct client_topic *topic, int32_t partition)
{
    const struct client_partition *p = client_partition_of(topic, partition);
    return p ? p->leader : -1;
}

/* -- taking an interest -- */

static struct client_topic *topic_new(struct client *client, struct str name)
{
    struct client_topic *topic = client_take(client, sizeof(*topic) + (size_t)name.len + 1);
    uint64_t hash = name_hash(name.p, (size_t)name.len);
    if (!topic)
        return NULL;
    memcpy(topic->name, name.p, (size_t)name.len);
    topic->name_len = (uint32_t)name.len;
    topic->sticky = -1;
    topic->same_hash = map_get(&client->topics_by_hash, hash);
    if (!map_put(&client->topics_by_hash, hash, topic)) {
        client_give(client, topic, sizeof(*topic) + (size_t)name.len + 1);
        return NULL;
    }
    list_push_back(&client->topics, &topic->link);
    return topic;
}

struct client_topic *client_topic_open(struct client *client, uint64_t now_us, struct str name)
{
    ASSERT(name.len >= 0);
    client_now(client, now_us);
    struct client_topic *topic = client_topic_by_name(client, name);
    if (!topic)
        topic = topic_new(client, name);
    if (!topic)
        return NULL;
    if (topic->partitions_count == 0) {
        topic->state = CLIENT_TOPIC_ASKED;
        topic->asked_us = client->now_us;
        client_refresh(client);
    }
    return topic;
}

static void partitions_free(struct client *client, struct client_topic *topic)
{
    for (int32_t i = 0; i < topic->partitions_count; i++)
        client_give(client, topic->partitions[i], sizeof(*topic->partitions[i]));
    client_give(client, topic->partitions, (size_t)topic->partitions_count * sizeof(*topic->partitions));
}

void client_metadata_free(struct client *client)
{
    list_for_each_safe (it, tmp, &client->topics) {
        struct client_topic *topic = CONTAINER_OF(it, struct client_topic, link);
        partitions_free(client, topic);
        client_give(client, topic, sizeof(*topic) + topic->name_len + 1);
    }
    map_free(&client->topics_by_hash);
    client_give(client, client->nodes, (size_t)client->nodes_count * sizeof(*client->nodes));
}

/* -- applying an answer: brokers -- */

static void address_set(struct client_address *address, struct str host, int32_t port)
{
    str_copy(host, address->host, sizeof(address->host));
    address->port = (uint16_t)port;
}

static bool nodes_resize(struct client *client, int32_t count)
{
    void *nodes = client->alloc.resize(client->alloc.ctx, client->nodes,
                                       (size_t)client->nodes_count * sizeof(*client->nodes),
                                       (size_t)count * sizeof(*client->nodes));
    if (!nodes && count > 0)
        return false;
    client->nodes = nodes;
    client->nodes_count = count;
    return true;
}

static void apply_nodes(struct client *client, const struct kafka_metadata_response *response)
{
    if (response->brokers_count <= 0 || !nodes_resize(client, response->brokers_count))
        return;
    for (int32_t i = 0; i < response->brokers_count; i++) {
        memset(&client->nodes[i], 0, sizeof(client->nodes[i]));
        client->nodes[i].id = response->brokers[i].node_id;
        address_set(&client->nodes[i].address, response->brokers[i].host, response->brokers[i].port);
    }
    client_peers_moved(client);
}

void client_learn_node(struct client *client, int32_t id, struct str host, int32_t port)
{
    int32_t count = client->nodes_count;
    if (client_node(client, id) || host.len <= 0 || !nodes_resize(client, count + 1))
        return;
    memset(&client->nodes[count], 0, sizeof(client->nodes[count]));
    client->nodes[count].id = id;
    address_set(&client->nodes[count].address, host, port);
}

/* -- applying an answer: topics -- */

static struct client_partition *partition_new(struct client *client, struct client_topic *topic,
                                              int32_t index)
{
    struct client_partition *partition = client_take(client, sizeof(*partition));
    if (!partition)
        return NULL;
    partition->topic = topic;
    partition->index = index;
    partition->leader = partition->leader_epoch = -1;
    list_init(&partition->out.active);
    list_init(&partition->out.batches);
    list_init(&partition->in.link);
    partition->out.producer_id = BATCH_NO_PRODUCER_ID;
    partition->in.moved_from = -1;
    return partition;
}

/* Partitions are only ever added. */
static bool topic_resize(struct client *client, struct client_topic *topic, int32_t count)
{
    size_t one = sizeof(*topic->partitions);
    void *partitions;
    if (count <= topic->partitions_count)
        return true;
    partitions = client->alloc.resize(client->alloc.ctx, topic->partitions,
                                      (size_t)topic->partitions_count * one, (size_t)count * one);
    if (!partitions)
        return false;
    topic->partitions = partitions;
    for (int32_t i = topic->partitions_count; i < count; i++) {
        topic->partitions[i] = partition_new(client, topic, i);
        if (!topic->partitions[i]) {
            client->alloc.resize(client->alloc.ctx, partitions, (size_t)count * one, (size_t)i * one);
            topic->partitions_count = i;
            return false;
        }
    }
    topic->partitions_count = count;
    return true;
}

/* What failed because of the old leader may be tried at once with the new one. */
static void partition_led_by(struct client *client, struct client_partition *partition, int32_t leader,
                             int32_t epoch)
{
    if (partition->leader != leader || partition->leader_epoch != epoch) {
        partition->out.retry_at_us = partition->in.retry_at_us = 0;
        client_wake(client, client->now_us);
    }
    partition->leader = leader;
    partition->leader_epoch = epoch;
}

void client_learn_leader(struct client *client, struct client_partition *partition, int32_t leader,
                         int32_t epoch)
{
    if (leader >= 0 && epoch > partition->leader_epoch && client_node(client, leader))
        partition_led_by(client, partition, leader, epoch);
}

/* An answer of a broker that is behind must not lead us back. Returns false when there is no leader. */
static bool apply_partition(struct client *client, struct client_partition *partition,
                            const struct kafka_metadata_response_partition *in)
{
    if (in->leader_epoch >= 0 && in->leader_epoch < partition->leader_epoch)
        return partition->leader >= 0;
    bool led = in->leader_id >= 0 && client_node(client, in->leader_id);
    partition_led_by(client, partition, led ? in->leader_id : -1, in->leader_epoch);
    return led;
}

static void tell_topic(struct client *client, struct client_topic *topic, struct client_failure failure)
{
    struct client_effect *effect;
    if (topic->state != CLIENT_TOPIC_ASKED)
        return;
    effect = client_effect(client, CLIENT_FX_TOPIC);
    if (!effect)
        return;
    topic->state = failure.err == OK ? CLIENT_TOPIC_KNOWN : CLIENT_TOPIC_GIVEN_UP;
    effect->topic.topic = topic;
    effect->topic.failure = failure;
}

/* The topic was deleted and made again: epochs and sequence numbers start over. */
static void topic_renewed(struct client_topic *topic)
{
    for (int32_t i = 0; i < topic->partitions_count; i++) {
        topic->partitions[i]->leader_epoch = -1;
        topic->partitions[i]->out.reset = true;
    }
}

/* Returns whether the topic is as it should be. */
static bool apply_topic(struct client *client, struct client_topic *topic,
                        const struct kafka_metadata_response_topic *in)
{
    bool whole = in->partitions_count > 0;
    topic->last_error = in->error_code;
    if (in->error_code != KAFKA_NONE) {
        bool final = !kafka_error_retriable(in->error_code);
        if (final)
            tell_topic(client, topic, client_failure_of(OK, in->error_code));
        return final || topic->state == CLIENT_TOPIC_GIVEN_UP;
    }
    if (!uuid_is_zero(topic->id) && !uuid_is_zero(in->topic_id) && !uuid_eq(topic->id, in->topic_id))
        topic_renewed(topic);
    topic->id = in->topic_id;
    if (!topic_resize(client, topic, in->partitions_count))
        return false;
    for (int32_t i = 0; i < in->partitions_count; i++) {
        struct client_partition *partition = client_partition_of(topic, in->partitions[i].partition_index);
        whole &= partition && apply_partition(client, partition, &in->partitions[i]);
    }
    if (in->partitions_count > 0)
        tell_topic(client, topic, client_failure_of(OK, 0));
    return whole;
}

static bool apply_topics(struct client *client, const struct kafka_metadata_response *response)
{
    bool whole = true;
    for (int32_t i = 0; i < response->topics_count; i++) {
        struct client_topic *topic = client_topic_by_name(client, response->topics[i].name);
        if (topic)
            whole &= apply_topic(client, topic, &response->topics[i]);
    }
    return whole;
}

/* -- asking -- */

static const void *metadata_build(struct client *client, struct client_call_state *call, int16_t version,
                                  struct arena *arena)
{
    struct kafka_metadata_request *request = arena_alloc(arena, sizeof(*request));
    size_t count = 0;
    list_for_each (it, &client->topics)
        count++;
    struct kafka_metadata_request_topic *topics = arena_calloc(arena, count + 1, sizeof(*topics));
    if (!request || !topics)
        return NULL;
    kafka_metadata_request_init(request);
    request->topics = topics;
    request->allow_auto_topic_creation = version < 4 || client->config.auto_create_topics;
    list_for_each (it, &client->topics) {
        const struct client_topic *topic = CONTAINER_OF(it, struct client_topic, link);
        topics[request->topics_count++].name = (struct str){topic->name, (int32_t)topic->name_len};
    }
    return request;
}

static void again_later(struct client *client)
{
    client->refresh_wanted = true;
    client->refresh_at_us = client_backoff(client, &client->refresh_failures);
}

static void metadata_done(struct client *client, struct client_call_state *call,
                          const struct client_answer *answer)
{
    client->refreshing = false;
    client->refreshed_us = client->now_us;
    if (answer->err != OK) {
        again_later(client);
        return;
    }
    apply_nodes(client, answer->message);
    if (!apply_topics(client, answer->message))
        again_later(client);
}

/* Several causes within one back-off make one request. A good answer does not end the back-off, only calm
 * does: while a leader is out of reach and nobody has noticed, each good answer would bring the next question
 * at once. */
void client_refresh(struct client *client)
{
    if (client->refresh_wanted || client->refreshing)
        return;
    if (client->refreshed_us + CALM_US < client->now_us)
        client->refresh_failures = 0;
    client->refresh_wanted = true;
    client->refresh_at_us =
        client->refresh_failures == 0 ? client->now_us : client_backoff(client, &client->refresh_failures);
    if (client->refresh_failures == 0)
        client->refresh_failures = 1;
    client_wake(client, client->refresh_at_us);
}

static void ask(struct client *client)
{
    struct client_peer *peer = client_peer_any(client);
    if (!peer) {
        again_later(client);
        return;
    }
    client->refresh_wanted = false;
    client->refreshing = true;
    client->metadata_call = (struct client_call_state){.api_key = KAFKA_API_METADATA,
                                                       .version_min = METADATA_VERSION_MIN,
                                                       .version_max = METADATA_VERSION_MAX,
                                                       .timeout_us = client->config.request_timeout_us,
                                                       .build = metadata_build,
                                                       .done = metadata_done};
    client_peer_queue(client, peer, &client->metadata_call);
}

static void give_up_topics(struct client *client)
{
    list_for_each (it, &client->topics) {
        struct client_topic *topic = CONTAINER_OF(it, struct client_topic, link);
        uint64_t until_us = topic->asked_us + client->config.topic_wait_us;
        if (topic->state != CLIENT_TOPIC_ASKED)
            continue;
        if (until_us <= client->now_us)
            tell_topic(client, topic, client_failure_of(ERR_TIMED_OUT, topic->last_error));
        else
            client_wake(client, until_us);
    }
}

void client_metadata_turn(struct client *client)
{
    uint64_t stale_us = client->refreshed_us + client->config.metadata_max_age_us;
    give_up_topics(client);
    if (!list_empty(&client->topics) && client->refreshed_us > 0) {
        if (stale_us <= client->now_us)
            client_refresh(client);
        else
            client_wake(client, stale_us);
    }
    if (!client->refresh_wanted || client->refreshing)
        return;
    if (client->refresh_at_us <= client->now_us)
        ask(client);
    else
        client_wake(client, client->refresh_at_us);
}
