/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that read every partition from its beginning: during the run (consumer), and once more after it
 * until the ends are reached (reader). */
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/wire.h"
#include "tests/sim/client_node.h"

#define PLAIN_BYTES_MAX (16u << 20)
#define AGAIN_US        500000

struct consumer {
    struct client_node client; /* first */
    struct batch_scratch scratch;
    struct env_timer timer;
    bool assigned[CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX];
    bool at_end[CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX];
};

static bool is_final(const struct consumer *consumer)
{
    return consumer->client.node->role == ROLE_READER;
}

static void assign(struct consumer *consumer, int topic, int32_t partition)
{
    struct client_node *client = &consumer->client;
    enum err err =
        client_consume(client_driver_client(client->driver), client_driver_now_us(client->driver),
                       client->topics[topic], partition, (struct client_start){.from = CLIENT_FROM_EARLIEST});
    consumer->assigned[topic][partition] = err == OK;
    client_node_record(client, (struct history_record){
                                   .type = HIST_OK, .op = HIST_ASSIGN, .key = cluster_key(topic, partition)});
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

static void record_poll(struct consumer *consumer, uint32_t op, uint32_t key, const struct record *record)
{
    ASSERT(record->value.len >= 8);
    client_node_record(&consumer->client,
                       (struct history_record){.type = HIST_OK,
                                               .op = HIST_POLL,
                                               .op_id = op,
                                               .key = key,
                                               .offset = record->offset,
                                               .value = load_be64(record->value.p),
                                               .flags = is_final(consumer) ? HIST_F_FINAL : 0});
}

static void record_empty(struct consumer *consumer, uint32_t op, uint32_t key, int64_t position)
{
    uint16_t flags = (uint16_t)(HIST_F_EMPTY | (is_final(consumer) ? HIST_F_FINAL : 0));
    client_node_record(
        &consumer->client,
        (struct history_record){
            .type = HIST_OK, .op = HIST_POLL, .op_id = op, .key = key, .offset = position, .flags = flags});
}

static void part_at_end(struct consumer *consumer, int topic, int32_t partition, int64_t end)
{
    struct node *node = consumer->client.node;
    if (!is_final(consumer) || consumer->at_end[topic][partition])
        return;
    consumer->at_end[topic][partition] = true;
    node->cluster->ends[topic][partition] = end;
    if (--node->parts_left == 0)
        node->done = true;
}

static void on_records(void *ctx, const struct client_records *records)
{
    struct consumer *consumer = ctx;
    int topic = client_node_topic(&consumer->client, records->topic);
    uint32_t key = cluster_key(topic, records->partition), op = consumer->client.next_op++;
    struct client_records_iter it = client_records_begin(records, &consumer->scratch);
    struct record record;
    bool any = false;
    if (records->moved_from >= 0)
        client_node_record(&consumer->client,
                           (struct history_record){.type = HIST_OK, .op = HIST_ASSIGN, .key = key});
    while (client_records_next(&it, &record)) {
        record_poll(consumer, op, key, &record);
        any = true;
    }
    if (it.err != OK) /* the client has verified what it hands out */
        client_node_record(
            &consumer->client,
            (struct history_record){.type = HIST_OK, .op = HIST_HEALTH, .value = 2, .key = key});
    if (!any && records->position >= records->high_watermark)
        record_empty(consumer, op, key, records->position);
    if (records->position >= records->high_watermark)
        part_at_end(consumer, topic, records->partition, records->high_watermark);
}

static void on_consume_failed(void *ctx, struct client_topic *topic, int32_t partition,
                              struct client_failure failure)
{
    struct consumer *consumer = ctx;
    (void)failure;
    consumer->assigned[client_node_topic(&consumer->client, topic)][partition] = false;
}

static const struct client_driver_handler consumer_handler = {
    .topic = on_topic, .records = on_records, .consume_failed = on_consume_failed};

static void on_again(struct env_timer *timer)
{
    struct consumer *consumer = CONTAINER_OF(timer, struct consumer, timer);
    assign_all(consumer);
    env_timer_set(consumer->client.env, timer, env_now_us(consumer->client.env) + AGAIN_US);
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
    return true;
}

static void consumer_end(struct node *node)
{
    struct consumer *consumer = node->object;
    env_timer_cancel(consumer->client.env, &consumer->timer);
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
