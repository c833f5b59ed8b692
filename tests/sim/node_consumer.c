/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that read every partition from its beginning: during the run (consumer), and once more after it
 * until the ends are reached (reader). */
#include <stdlib.h>

#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "tests/sim/client_node.h"
#include "tests/sim/nodes.h"
#include "tests/sim/payload.h"

#define PLAIN_BYTES_MAX (16u << 20)
#define AGAIN_US        500000
#define SEEK_BACK_MAX   500
#define DAMAGED         UINT64_MAX /* a value that nobody writes: the content changed on the way */

struct consumer {
    struct client_node client; /* first */
    struct batch_scratch scratch;
    struct env_timer timer;
    bool assigned[CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX];
    bool out_of_range[CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX]; /* why it failed last */
    bool at_end[CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX];
    int64_t position[CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX]; /* of the next record; -1: none came yet */
    struct env_timer seek;
    uint32_t call[CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX]; /* of the poll that waits */
};

static bool is_final(const struct consumer *consumer)
{
    return consumer->client.node->role == ROLE_READER;
}

/* A client polls a partition from the moment of its last answer on. */
static void begin_poll(struct consumer *consumer, int topic, int32_t partition)
{
    struct client_node *client = &consumer->client;
    struct history_record record = client_node_note(client, HISTORY_INVOKE, HISTORY_POLL, topic, partition);
    record.call = consumer->call[topic][partition] = client->next_op++;
    cluster_record(client->node->cluster, record);
}

/* The position is another one from now on; -1: not known which. */
static void record_move(struct consumer *consumer, enum history_op op, int topic, int32_t partition,
                        int64_t offset)
{
    struct history_record record = client_node_note(&consumer->client, HISTORY_OK, op, topic, partition);
    record.offset = offset;
    cluster_record(consumer->client.node->cluster, record);
}

static void assign(struct consumer *consumer, int topic, int32_t partition)
{
    struct client_node *client = &consumer->client;
    enum err err =
        client_consume(client_driver_client(client->driver), client_driver_now_us(client->driver),
                       client->topics[topic], partition, (struct client_start){.from = CLIENT_FROM_EARLIEST});
    consumer->assigned[topic][partition] = err == OK;
    if (!consumer
             ->out_of_range[topic][partition]) /* else where the log begins by now is behind where it stood */
        record_move(consumer, HISTORY_ASSIGN, topic, partition, 0);
    begin_poll(consumer, topic, partition);
}

static void assign_all(struct consumer *consumer)
{
    struct client_node *client = &consumer->client;
    for (int t = 0; t < client->node->cluster->options.topics; t++) {
        int32_t count = client->known[t] ? client_topic_partitions(client->topics[t]) : 0;
        for (int32_t p = 0; p < MIN(count, CLUSTER_PARTITIONS_MAX); p++)
            if (!consumer->assigned[t][p])
                assign(consumer, t, p);
    }
    client_driver_kick(client->driver);
}

static void on_topic(void *ctx, struct client_topic *topic, struct client_failure failure)
{
    if (failure.err != OK)
        return;
    client_node_topic(ctx, topic);
    assign_all(ctx);
}

/* value 0: nothing came. */
static void record_poll(struct consumer *consumer, int topic, int32_t partition, uint64_t value,
                        int64_t offset)
{
    struct history_record record =
        client_node_note(&consumer->client, HISTORY_OK, HISTORY_POLL, topic, partition);
    record.call = consumer->call[topic][partition];
    record.value = value;
    record.offset = offset;
    record.flags = is_final(consumer) ? HISTORY_FINAL : 0;
    cluster_record(consumer->client.node->cluster, record);
}

static void part_at_end(struct consumer *consumer, int topic, int32_t partition, int64_t start, int64_t end)
{
    struct node *node = consumer->client.node;
    if (!is_final(consumer) || consumer->at_end[topic][partition])
        return;
    consumer->at_end[topic][partition] = true;
    node->cluster->starts[topic][partition] = start;
    node->cluster->ends[topic][partition] = end;
    if (--node->parts_left == 0)
        node->done = true;
}

/* Where it stood was deleted, and now another one leads whose log begins further in front. */
static void went_back(struct consumer *consumer, int topic, int32_t partition, int64_t from)
{
    if (consumer->out_of_range[topic][partition] && from < consumer->position[topic][partition]) {
        record_move(consumer, HISTORY_SEEK, topic, partition, from);
        begin_poll(consumer, topic, partition);
    }
    consumer->out_of_range[topic][partition] = false;
}

/* The client may have been moved by the broker (out of range, KIP-320): nothing is written down of that, as
 * it excuses nothing. What was deleted may be left out; what was not has to come, in its order. */
static void on_records(void *ctx, const struct client_records *records)
{
    struct consumer *consumer = ctx;
    int topic = client_node_topic(&consumer->client, records->topic);
    struct client_records_iter it = client_records_begin(records, &consumer->scratch);
    struct record record;
    bool any = false, compacted = topic == consumer->client.node->cluster->options.compact_topic;
    went_back(consumer, topic, records->partition, records->from);
    while (client_records_next(&it, &record)) {
        uint64_t value = compacted ? payload_keyed_value(&record, CLUSTER_KEYS) : payload_value(&record);
        record_poll(consumer, topic, records->partition, value != 0 ? value : DAMAGED, record.offset);
        any = true;
    }
    if (it.err != OK) /* the client has verified what it hands out */
        cluster_unhealthy(consumer->client.node->cluster, consumer->client.node, 1, 0);
    bool empty = !any && records->position >= records->high_watermark;
    if (empty)
        record_poll(consumer, topic, records->partition, 0, -1);
    if (any || empty)
        begin_poll(consumer, topic, records->partition);
    consumer->position[topic][records->partition] = records->position;
    if (records->position >= records->high_watermark)
        part_at_end(consumer, topic, records->partition, records->log_start, records->high_watermark);
}

int64_t consumer_position(const struct node *node, int topic, int partition)
{
    const struct consumer *consumer = node->object;
    return node->started && consumer != NULL && consumer->assigned[topic][partition]
               ? consumer->position[topic][partition]
               : -1;
}

static void on_consume_failed(void *ctx, struct client_topic *topic, int32_t partition,
                              struct client_failure failure)
{
    struct consumer *consumer = ctx;
    int number = client_node_topic(&consumer->client, topic);
    consumer->assigned[number][partition] = false;
    consumer->out_of_range[number][partition] = failure.kafka_error == KAFKA_OFFSET_OUT_OF_RANGE;
}

static const struct client_driver_handler consumer_handler = {
    .topic = on_topic, .records = on_records, .consume_failed = on_consume_failed};

static void on_again(struct env_timer *timer)
{
    struct consumer *consumer = CONTAINER_OF(timer, struct consumer, timer);
    assign_all(consumer);
    env_timer_set(consumer->client.env, timer, env_now_us(consumer->client.env) + AGAIN_US);
}

/* Goes back to where it was before, anywhere between the beginning and its position. */
static void seek_one(struct consumer *consumer)
{
    struct client_node *client = &consumer->client;
    struct prng *prng = &client->env->prng;
    int topic = (int)prng_below(prng, (uint64_t)client->node->cluster->options.topics);
    int32_t partition = (int32_t)prng_below(prng, (uint64_t)client->node->cluster->options.partitions);
    int64_t position = consumer->position[topic][partition];
    if (!consumer->assigned[topic][partition] || position <= 0)
        return;
    int64_t to = position - (int64_t)prng_below(prng, (uint64_t)MIN(position, SEEK_BACK_MAX) + 1);
    enum err err = client_consume(client_driver_client(client->driver), client_driver_now_us(client->driver),
                                  client->topics[topic], partition,
                                  (struct client_start){.from = CLIENT_FROM_OFFSET, .value = to});
    if (err != OK)
        return;
    record_move(consumer, HISTORY_SEEK, topic, partition, to);
    begin_poll(consumer, topic, partition);
    client_driver_kick(client->driver);
}

static void seek_asked(void *arg)
{
    struct node *node = arg;
    struct consumer *consumer = node->object;
    if (consumer == NULL || !consumer->assigned[0][node->send_partition])
        return;
    struct client_node *client = &consumer->client;
    enum err err = client_consume(client_driver_client(client->driver), client_driver_now_us(client->driver),
                                  client->topics[0], node->send_partition,
                                  (struct client_start){.from = CLIENT_FROM_TIME, .value = node->want_ms});
    ASSERT(err == OK);
    record_move(consumer, HISTORY_SEEK, 0, node->send_partition, node->want_offset);
    begin_poll(consumer, 0, node->send_partition);
    client_driver_kick(client->driver);
}

void consumer_seek(struct node *node, int partition, int64_t timestamp_ms, int64_t offset)
{
    node->send_partition = partition;
    node->want_ms = timestamp_ms;
    node->want_offset = offset;
    process_call(node->process, seek_asked, node);
}

static void on_seek(struct env_timer *timer)
{
    struct consumer *consumer = CONTAINER_OF(timer, struct consumer, seek);
    struct env *env = consumer->client.env;
    uint64_t mean_us = consumer->client.node->cluster->options.seek_interval_us;
    if (consumer->client.node->cluster->draining)
        return; /* it must come to the ends */
    seek_one(consumer);
    env_timer_set(env, timer, env_now_us(env) + 1 + prng_below(&env->prng, 2 * mean_us));
}

static bool consumer_begin(struct node *node, struct env *env)
{
    struct consumer *consumer = calloc(1, sizeof(*consumer));
    const struct cluster_options *options = &node->cluster->options;
    node->object = consumer;
    node->parts_left = (uint32_t)(options->topics * options->partitions);
    int rc = batch_scratch_init(&consumer->scratch, PLAIN_BYTES_MAX, 0);
    ASSERT(rc == OK);
    client_node_open(&consumer->client, node, env, &consumer_handler, consumer);
    env_timer_init(&consumer->timer, on_again);
    env_timer_set(env, &consumer->timer, env_now_us(env) + AGAIN_US);
    env_timer_init(&consumer->seek, on_seek);
    if (options->seek_interval_us > 0 && !is_final(consumer))
        env_timer_set(env, &consumer->seek, env_now_us(env) + options->seek_interval_us);
    return true;
}

static void consumer_end(struct node *node)
{
    struct consumer *consumer = node->object;
    env_timer_cancel(consumer->client.env, &consumer->timer);
    env_timer_cancel(consumer->client.env, &consumer->seek);
    client_node_close(&consumer->client);
}

static void consumer_let_go(struct node *node)
{
    struct consumer *consumer = node->object;
    batch_scratch_free(&consumer->scratch);
    free(consumer);
    node->object = NULL;
}

const struct role_ops role_consumer = {
    .name = "consumer", .begin = consumer_begin, .stop = consumer_end, .free = consumer_let_go};
const struct role_ops role_reader = {
    .name = "reader", .begin = consumer_begin, .stop = consumer_end, .free = consumer_let_go};
