/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/client_node.h"

#include <stdio.h>
#include <string.h>

#include "common/base/assert.h"

#define DELIVERY_TIMEOUT_US 20000000u

/* Producers differ: what the plan says about this one, and another codec in each life. */
static void producer_settings(const struct node *node, uint32_t process,
                              struct client_producer_config *config)
{
    const struct cluster_options *options = &node->cluster->options;
    config->acks = client_node_is(node, options->weak_producers) ? CLIENT_ACKS_LEADER : CLIENT_ACKS_ALL;
    config->idempotent = config->acks == CLIENT_ACKS_ALL && !client_node_is(node, options->loose_producers);
    config->codec = options->codecs ? (enum codec)(process % CODEC_COUNT) : CODEC_NONE;
    config->delivery_timeout_us = DELIVERY_TIMEOUT_US;
}

static void client_settings(const struct cluster *cluster, struct client_config *config)
{
    client_config_init(config);
    for (int i = 1; i <= cluster->options.brokers; i++) {
        struct client_address *address = &config->bootstrap[config->bootstrap_count++];
        snprintf(address->host, sizeof(address->host), "b%d", i);
        address->port = BROKER_PORT;
    }
    config->auto_create_topics = !cluster->options.topics_by_admin;
    config->topic_wait_us = 600000000;
    config->consumer.partition_max_bytes = 64
                                           << 10; /* what a slow link carries within a request's time-out */
    config->consumer.max_bytes = 256 << 10;
}

void client_node_open(struct client_node *client, struct node *node, struct env *env,
                      const struct client_driver_handler *handler, void *ctx)
{
    struct cluster *cluster = node->cluster;
    struct client_config config;
    char name[16];
    client_settings(cluster, &config);
    client->node = node;
    client->env = env;
    client->process = cluster->next_client++;
    producer_settings(node, client->process, &config.producer);
    client->next_op = 1;
    client->driver = client_driver_new(env, &config, handler, ctx);
    ASSERT(client->driver != NULL);
    for (int i = 0; i < cluster->options.topics; i++) {
        snprintf(name, sizeof(name), "t%d", i);
        client->topics[i] = client_topic_open(client_driver_client(client->driver),
                                              client_driver_now_us(client->driver), str_from(name));
        ASSERT(client->topics[i] != NULL);
    }
    client_driver_kick(client->driver);
}

bool client_node_is(const struct node *node, uint32_t bits)
{
    return node->role == ROLE_PRODUCER && (bits >> (node->id - 1) & 1) != 0;
}

int client_node_topic(struct client_node *client, const struct client_topic *topic)
{
    int i = 0;
    while (client->topics[i] != topic)
        i++;
    ASSERT(i < client->node->cluster->options.topics);
    client->known[i] = true;
    return i;
}

static void on_closed(void *ctx)
{
    node_stopped(ctx);
}

void client_node_close(struct client_node *client)
{
    client_driver_close(client->driver, on_closed, client->node);
}

struct history_record client_node_note(const struct client_node *client, enum history_type type,
                                       enum history_op op, int topic, int32_t partition)
{
    struct history_record record = history_record(type, op, client->process, 0);
    record.topic = cluster_topic(topic);
    record.partition = partition;
    return record;
}
