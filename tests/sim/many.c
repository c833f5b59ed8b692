/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/many.h"

#include <stdio.h>
#include <stdlib.h>

#include "broker/broker.h"
#include "broker/shard/partition.h"
#include "common/base/assert.h"
#include "controller/controller_internal.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"
#include "tests/sim/client_node.h"
#include "tests/sim/nodes.h"

#define TOPICS_PER_CALL   10
#define SERVER_TIMEOUT_MS 60000
#define CALL_TIMEOUT_US   (60u * MANY_SECOND)
#define ORDER_LIMIT_US    (120u * MANY_SECOND)
#define ORDER_STEP_US     100
#define UP_LIMIT_US       (30u * MANY_SECOND)
#define RESOURCE_TOPIC    2
#define CONFIG_SET        0
#define NAME_MAX_LEN      16

/* -- the client -- */

/* In the memory of its process. */
struct caller {
    struct client_node client; /* first */
    union {
        struct kafka_create_topics_request create;
        struct kafka_incremental_alter_configs_request alter;
        struct kafka_metadata_request metadata;
    } message;
    char names[TOPICS_PER_CALL][NAME_MAX_LEN], value[24];
    struct kafka_create_topics_request_topic created[TOPICS_PER_CALL];
    struct kafka_incremental_alter_configs_request_resource resource;
    struct kafka_incremental_alter_configs_request_config setting;
    struct kafka_metadata_request_topic asked;
};

static struct many *many_of(struct node *node)
{
    return CONTAINER_OF(node->cluster, struct many, cluster);
}

static struct str name_topic(struct caller *caller, int at, int number)
{
    snprintf(caller->names[at], sizeof(caller->names[at]), "topic-%06d", number);
    return str_from(caller->names[at]);
}

static int16_t fill_create(struct caller *caller, const struct many_order *order)
{
    ASSERT(order->count <= TOPICS_PER_CALL);
    for (int i = 0; i < order->count; i++) {
        kafka_create_topics_request_topic_init(&caller->created[i]);
        caller->created[i].name = name_topic(caller, i, order->topic + i);
        caller->created[i].num_partitions = order->partitions;
        caller->created[i].replication_factor = MANY_NODES;
    }
    caller->message.create = (struct kafka_create_topics_request){
        .topics = caller->created, .topics_count = order->count, .timeout_ms = SERVER_TIMEOUT_MS};
    return KAFKA_API_CREATE_TOPICS;
}

static int16_t fill_setting(struct caller *caller, const struct many_order *order)
{
    snprintf(caller->value, sizeof(caller->value), "%u", 1000000 + ++many_of(caller->client.node)->changes);
    caller->setting = (struct kafka_incremental_alter_configs_request_config){
        .name = str_from(CLUSTER_SETTING), .value = str_from(caller->value), .config_operation = CONFIG_SET};
    caller->resource = (struct kafka_incremental_alter_configs_request_resource){
        .resource_name = name_topic(caller, 0, order->topic),
        .configs = &caller->setting,
        .configs_count = 1,
        .resource_type = RESOURCE_TOPIC};
    caller->message.alter = (struct kafka_incremental_alter_configs_request){.resources = &caller->resource,
                                                                             .resources_count = 1};
    return KAFKA_API_INCREMENTAL_ALTER_CONFIGS;
}

static int16_t fill_metadata(struct caller *caller, const struct many_order *order)
{
    kafka_metadata_request_topic_init(&caller->asked);
    caller->asked.name = name_topic(caller, 0, order->topic);
    kafka_metadata_request_init(&caller->message.metadata);
    caller->message.metadata.topics = &caller->asked;
    caller->message.metadata.topics_count = 1;
    return KAFKA_API_METADATA;
}

static void send_order(void *arg)
{
    struct caller *caller = ((struct node *)arg)->object;
    const struct many_order *order = &many_of(arg)->order;
    struct client_node *client = &caller->client;
    static int16_t (*const fill[])(struct caller * caller, const struct many_order *order) = {
        [MANY_CREATE] = fill_create, [MANY_SETTING] = fill_setting, [MANY_METADATA] = fill_metadata};
    const struct client_request request = {.api_key = fill[order->kind](caller, order),
                                           .message = &caller->message,
                                           .node = CLUSTER_BROKER_BASE,
                                           .timeout_us = CALL_TIMEOUT_US};
    enum err err =
        client_call(client_driver_client(client->driver), client_driver_now_us(client->driver), &request);
    ASSERT(err == OK);
    client_driver_kick(client->driver);
}

static int16_t error_of(const struct client_reply *reply, const struct many_order *order)
{
    const struct kafka_create_topics_response *created = reply->message;
    const struct kafka_incremental_alter_configs_response *altered = reply->message;
    const struct kafka_metadata_response *told = reply->message;
    int16_t error = KAFKA_NONE;
    switch (order->kind) {
    case MANY_CREATE:
        for (int32_t i = 0; i < created->topics_count && error == KAFKA_NONE; i++)
            error = created->topics[i].error_code;
        return created->topics_count == order->count ? error : KAFKA_UNKNOWN_SERVER_ERROR;
    case MANY_SETTING:
        return altered->responses_count == 1 ? altered->responses[0].error_code : KAFKA_UNKNOWN_SERVER_ERROR;
    default: return told->topics_count == 1 ? told->topics[0].error_code : KAFKA_UNKNOWN_SERVER_ERROR;
    }
}

static void on_reply(void *ctx, const struct client_reply *reply)
{
    struct many_order *order = &many_of(((struct caller *)ctx)->client.node)->order;
    order->err = reply->failure.err;
    order->error = reply->failure.err == OK ? error_of(reply, order) : reply->failure.kafka_error;
    order->under_way = false;
}

static bool caller_begin(struct node *node, struct env *env)
{
    static const struct client_driver_handler handler = {.reply = on_reply};
    struct caller *caller = calloc(1, sizeof(*caller));
    ASSERT(caller != NULL);
    node->object = caller;
    client_node_open(&caller->client, node, env, &handler, caller);
    return true;
}

static void caller_end(struct node *node)
{
    client_node_close(&((struct caller *)node->object)->client);
}

static void caller_let_go(struct node *node)
{
    free(node->object);
    node->object = NULL;
}

static const struct role_ops role_caller = {
    .name = "caller", .begin = caller_begin, .stop = caller_end, .free = caller_let_go};

static bool is_answered(struct many *many, int none)
{
    (void)none;
    return !many->order.under_way;
}

void many_order(struct many *many, struct many_order order)
{
    struct node *node = cluster_node(&many->cluster, ROLE_ADMIN, 0);
    many->order = order;
    many->order.under_way = true;
    process_call(node->process, send_order, node);
    uint64_t took_us = many_await(many, ORDER_STEP_US, ORDER_LIMIT_US, is_answered, 0);
    if (took_us != UINT64_MAX && many->order.err == OK && many->order.error == KAFKA_NONE)
        return;
    fprintf(stderr, "order %d of topic %d: %s, %s, error %d\n", order.kind, order.topic,
            took_us == UINT64_MAX ? "no answer" : "answered", err_text(many->order.err), many->order.error);
    exit(EXIT_FAILURE);
}

void many_make(struct many *many, int32_t partitions)
{
    while (many->partitions < partitions) {
        int32_t left = partitions - many->partitions, each = MIN(left, many->options.per_topic);
        int count = MIN(TOPICS_PER_CALL, left / each);
        many_order(many, (struct many_order){
                             .kind = MANY_CREATE, .topic = many->topics, .count = count, .partitions = each});
        many->topics += count;
        many->partitions += count * each;
    }
}

uint64_t many_await(struct many *many, uint64_t step_us, uint64_t limit_us,
                    bool (*holds)(struct many *many, int arg), int arg)
{
    uint64_t began_us = world_now_us(many->world);
    while (!holds(many, arg)) {
        uint64_t now_us = world_now_us(many->world);
        if (now_us - began_us >= limit_us)
            return UINT64_MAX;
        world_run(many->world, now_us + step_us);
    }
    return world_now_us(many->world) - began_us;
}

/* -- looking -- */

struct node *many_active(struct many *many)
{
    for (int i = 0; i < MANY_NODES; i++) {
        struct node *node = cluster_node(&many->cluster, ROLE_CONTROLLER, i);
        const struct controller *c = node_controller(node);
        if (c != NULL && controller_status(c).leads && core_is_active(&c->core))
            return node;
    }
    return NULL;
}

const struct image *many_image(struct many *many)
{
    struct node *active = many_active(many);
    return active != NULL ? controller_image(node_controller(active)) : NULL;
}

bool many_is_led(struct many *many, int none)
{
    struct node *active = many_active(many);
    return active != NULL && active->id != none;
}

bool many_is_up(struct many *many, int none)
{
    const struct image *image = many_image(many);
    (void)none;
    for (int i = 0; i < MANY_NODES && image != NULL; i++) {
        const struct image_broker *broker = image_broker(image, CLUSTER_BROKER_BASE + i);
        if (broker == NULL || broker->fenced)
            return false;
    }
    return image != NULL;
}

/* A look at all partitions of an image that ends at the first which is not as wanted. */
struct look {
    const struct image *image;
    int32_t arg;
    bool (*wanted)(const struct image_partition *p, int32_t arg);
    bool good;
};

static bool look_at_topic(void *ctx, const struct image_topic *topic)
{
    struct look *look = ctx;
    for (int32_t i = 0; i < topic->partitions_count && look->good; i++)
        look->good = look->wanted(image_partition(look->image, topic, i), look->arg);
    return look->good;
}

static bool all_are(struct many *many, bool (*wanted)(const struct image_partition *p, int32_t arg),
                    int32_t arg)
{
    struct look look = {.image = many_image(many), .arg = arg, .wanted = wanted, .good = true};
    if (look.image == NULL || image_partition_count(look.image) < (uint32_t)many->partitions)
        return false;
    image_each_topic(look.image, look_at_topic, &look);
    return look.good;
}

static bool is_in_sync(const struct image_partition *p, int32_t none)
{
    (void)none;
    return p->leader >= 0 && p->isr_count == p->replicas_count;
}

bool many_is_complete(struct many *many, int none)
{
    return all_are(many, is_in_sync, none);
}

static bool is_led_by_another(const struct image_partition *p, int32_t id)
{
    return p->leader >= 0 && p->leader != id;
}

bool many_is_left(struct many *many, int id)
{
    return all_are(many, is_led_by_another, id);
}

struct replicas_look {
    const struct image *image;
    int32_t id; /* of the broker */
    uint32_t good, all;
};

static void look_at_replica(void *ctx, struct partition *partition)
{
    struct replicas_look *look = ctx;
    struct partition_view view;
    const struct image_topic *topic = image_topic_by_name(look->image, partition_topic(partition));
    const struct image_partition *p =
        topic != NULL ? image_partition(look->image, topic, partition_index(partition)) : NULL;
    partition_get(partition, &view);
    look->all++;
    look->good += p != NULL && view.leader_epoch == p->leader_epoch && view.leader == p->leader &&
                  (p->leader == look->id ? view.is_leader : view.is_follower);
}

bool many_is_heard(struct many *many, int none)
{
    const struct image *image = many_image(many);
    (void)none;
    for (int i = 0; i < MANY_NODES && image != NULL; i++) {
        const struct node *node = cluster_node(&many->cluster, ROLE_BROKER, i);
        struct replicas_look look = {.image = image, .id = node->id};
        if (node_broker(node) == NULL)
            continue;
        broker_each_replica(node_broker(node), look_at_replica, &look);
        if (look.good < (uint32_t)many->partitions || look.good < look.all)
            return false;
    }
    return image != NULL;
}

bool many_has_all(struct many *many, int index)
{
    const struct controller *c = node_controller(cluster_node(&many->cluster, ROLE_CONTROLLER, index));
    const struct image *image = many_image(many);
    return c != NULL && image != NULL && controller_image(c) != NULL &&
           image_index(controller_image(c)) >= image_index(image);
}

/* -- life -- */

struct many *many_new(const struct many_options *options, int late)
{
    const struct world_options world = {.seed = options->seed,
                                        .latency_us = 150,
                                        .jitter_us = 100,
                                        .disk_sync_us = 300,
                                        .disk_read_us = 50,
                                        .timed = true,
                                        .charged = options->charged,
                                        .trace = options->trace};
    const struct cluster_options shape = {.seed = options->seed,
                                          .controllers = MANY_NODES,
                                          .brokers = MANY_NODES,
                                          .shards = 1,
                                          .partitions = 1,
                                          .replicas = MANY_NODES,
                                          .min_isr = 2,
                                          .admins = 1,
                                          .topics_by_admin = true,
                                          .trim_topic = -1,
                                          .compact_topic = -1,
                                          .record_bytes_max = 100,
                                          .session_us = 3 * MANY_SECOND,
                                          .segment_bytes = 1 << 20,
                                          .snapshot_entries = MANY_SNAPSHOTS_SOON,
                                          .large = true};
    struct many *many = calloc(1, sizeof(*many));
    ASSERT(many != NULL);
    many->options = *options;
    many->world = world_new(&world);
    cluster_init(&many->cluster, many->world, &shape);
    cluster_node(&many->cluster, ROLE_ADMIN, 0)->ops = &role_caller;
    for (int i = 0; i < many->cluster.node_count; i++)
        if (many->cluster.nodes[i].role != ROLE_CONTROLLER || i != late)
            node_start(&many->cluster.nodes[i], (uint64_t)i * 1000);
    uint64_t took_us = many_await(many, 1000, UP_LIMIT_US, many_is_up, 0);
    ASSERT(took_us != UINT64_MAX);
    return many;
}

void many_free(struct many *many)
{
    for (int i = 0; i < many->cluster.node_count; i++) {
        many->cluster.nodes[i].wanted = false;
        node_kill(&many->cluster.nodes[i], DEATH_KILL, 0);
    }
    cluster_free(&many->cluster);
    world_free(many->world);
    free(many);
}
