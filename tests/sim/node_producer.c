/* SPDX-License-Identifier: Apache-2.0 */
/* A client that writes: unique values to random partitions, with the promises that the plan gives it. */
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "tests/sim/client_node.h"
#include "tests/sim/nodes.h"
#include "tests/sim/payload.h"

#define BURST_MAX 12

struct producer {
    struct client_node client; /* first */
    struct env_timer timer;
    uint32_t counter;
    uint8_t flags; /* of its records in the history */
    uint8_t *value;
};

/* Number of the life and of the record: no two are equal in a run. */
static uint64_t value_of(const struct producer *producer, uint64_t counter)
{
    return history_value(producer->client.process, (uint32_t)counter);
}

/* A record's key in the compacted topic is told by its number, so that its answer knows it, too. */
static uint32_t key_of(const struct producer *producer, int topic, uint64_t counter)
{
    bool compacted = topic == producer->client.node->cluster->options.compact_topic;
    return compacted ? payload_key(counter, CLUSTER_KEYS) : 0;
}

static void record_send(struct producer *producer, uint64_t counter, enum history_type type, int topic,
                        int32_t partition, int64_t offset)
{
    struct history_record record =
        client_node_note(&producer->client, type, HISTORY_PRODUCE, topic, partition);
    record.value = value_of(producer, counter);
    record.offset = offset;
    record.flags = producer->flags;
    record.arg2 = key_of(producer, topic, counter);
    if (record.arg2 > 0)
        record.flags |= HISTORY_MAY_BE_LOST; /* to a newer one */
    cluster_record(producer->client.node->cluster, record);
}

static void on_topic(void *ctx, struct client_topic *topic, struct client_failure failure)
{
    if (failure.err == OK)
        client_node_topic(ctx, topic);
}

static enum history_type outcome_of(struct client_failure failure)
{
    if (failure.err == OK)
        return HISTORY_OK;
    return failure.err == ERR_UNKNOWN_OUTCOME ? HISTORY_INFO : HISTORY_FAIL;
}

static void on_delivered(void *ctx, const struct client_delivery *delivery)
{
    struct producer *producer = ctx;
    int topic = client_node_topic(&producer->client, delivery->topic);
    enum history_type outcome = outcome_of(delivery->failure);
    if (outcome != HISTORY_OK)
        world_trace(producer->client.node->cluster->world, "%s: %d records to t%d-%d from %u.%u on: %s %d",
                    process_name(producer->client.node->process), delivery->count, topic, delivery->partition,
                    producer->client.process, (unsigned)delivery->tags[0], err_name(delivery->failure.err),
                    delivery->failure.kafka_error);
    if (outcome == HISTORY_OK && delivery->base_offset >= 0 && (producer->flags & HISTORY_MAY_BE_LOST) == 0)
        producer->client.node->cluster->acked_ends[topic][delivery->partition] =
            delivery->base_offset + delivery->count;
    for (int32_t i = 0; i < delivery->count; i++) {
        int64_t offset = delivery->base_offset >= 0 ? delivery->base_offset + i : -1;
        record_send(producer, delivery->tags[i], outcome, topic, delivery->partition,
                    outcome == HISTORY_OK ? offset : -1);
        producer->client.node->pending--;
    }
}

static const struct client_driver_handler producer_handler = {.topic = on_topic, .delivered = on_delivered};

static size_t length_of_next(struct producer *producer)
{
    struct prng *prng = &producer->client.env->prng;
    const struct cluster_options *options = &producer->client.node->cluster->options;
    if (options->large_one_in > 0 && prng_below(prng, options->large_one_in) == 0)
        return PAYLOAD_BYTES_MAX - 4096 - prng_below(prng, 100000);
    return 8 + prng_below(prng, options->record_bytes_max);
}

static void produce_to(struct producer *producer, int topic, int32_t partition)
{
    struct client_node *client = &producer->client;
    uint32_t counter = ++producer->counter;
    struct payload payload;
    uint32_t key = key_of(producer, topic, counter);
    if (key > 0)
        payload_make_keyed(&payload, &client->env->prng, value_of(producer, counter),
                           length_of_next(producer), producer->value, key, counter % 7 == 0);
    else
        payload_make(&payload, &client->env->prng, value_of(producer, counter), length_of_next(producer),
                     producer->value);
    payload.record.timestamp_ms = env_wall_ms(client->env);
    record_send(producer, counter, HISTORY_INVOKE, topic, partition, -1);
    enum err err = client_produce(client_driver_client(client->driver), client_driver_now_us(client->driver),
                                  client->topics[topic], partition, &payload.record, counter);
    if (err == OK) {
        client->node->pending++;
        return;
    }
    world_trace(client->node->cluster->world, "%s: record %u.%u to t%d-%d not taken: %s",
                process_name(client->node->process), client->process, counter, topic, partition,
                err_name(err));
    record_send(producer, counter, HISTORY_FAIL, topic, partition, -1);
}

static void produce_one(struct producer *producer)
{
    struct client_node *client = &producer->client;
    int topic = (int)prng_below(&client->env->prng, (uint64_t)client->node->cluster->options.topics);
    if (!client->known[topic])
        return;
    int32_t partitions = client_topic_partitions(client->topics[topic]);
    produce_to(producer, topic, (int32_t)prng_below(&client->env->prng, (uint64_t)partitions));
}

static void send_asked(void *arg)
{
    struct node *node = arg;
    struct producer *producer = node->object;
    if (producer == NULL || !producer->client.known[0])
        return;
    for (; node->send_count > 0; node->send_count--)
        produce_to(producer, 0, node->send_partition);
    client_driver_kick(producer->client.driver);
}

void producer_send(struct node *node, int partition, int count)
{
    node->send_partition = partition;
    node->send_count = count;
    process_call(node->process, send_asked, node);
}

static void on_tick(struct env_timer *timer)
{
    struct producer *producer = CONTAINER_OF(timer, struct producer, timer);
    struct client_node *client = &producer->client;
    struct cluster *cluster = client->node->cluster;
    uint64_t burst =
        prng_below(&client->env->prng, 4) == 0 ? 1 + prng_below(&client->env->prng, BURST_MAX) : 1;
    if (!cluster->draining) {
        for (uint64_t i = 0; i < burst; i++)
            produce_one(producer);
        client_driver_kick(client->driver);
    }
    uint64_t next_us = 1 + prng_below(&client->env->prng, 2ull * cluster->options.send_interval_us);
    env_timer_set(client->env, timer, env_now_us(client->env) + next_us);
}

static bool producer_begin(struct node *node, struct env *env)
{
    struct producer *producer = calloc(1, sizeof(*producer));
    node->object = producer;
    const struct cluster_options *options = &node->cluster->options;
    producer->value =
        calloc(1, MAX(options->record_bytes_max, options->large_one_in ? PAYLOAD_BYTES_MAX : 0) + 16);
    if (client_node_is(node, options->weak_producers))
        producer->flags = (options->weak_stay ? 0 : HISTORY_MAY_BE_LOST) | HISTORY_MAY_REPEAT;
    else if (client_node_is(node, options->loose_producers))
        producer->flags = HISTORY_MAY_REPEAT;
    client_node_open(&producer->client, node, env, &producer_handler, producer);
    env_timer_init(&producer->timer, on_tick);
    if (!options->scripted)
        on_tick(&producer->timer);
    return true;
}

static void producer_end(struct node *node)
{
    struct producer *producer = node->object;
    env_timer_cancel(producer->client.env, &producer->timer);
    client_node_close(&producer->client);
}

static void producer_let_go(struct node *node)
{
    struct producer *producer = node->object;
    free(producer->value);
    free(producer);
    node->object = NULL;
}

const struct role_ops role_producer = {
    .name = "producer", .begin = producer_begin, .stop = producer_end, .free = producer_let_go};
