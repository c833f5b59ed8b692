/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/broker_rig.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/shard/shard_image.h"
#include "common/base/assert.h"
#include "common/env_uv/env_uv.h"
#include "proto/kafka/messages.h"

#define PRODUCE_VERSION 7

#define DEADLINE_US    20000000
#define SETTLE_TURNS   20
#define HOST           "127.0.0.1"
#define TOPIC_ID_BYTE0 0x5a

/* -- waiting -- */

static void on_deadline(struct env_timer *timer)
{
    CONTAINER_OF(timer, struct rig, deadline)->late = true;
}

void rig_until(struct rig *rig, bool (*done)(void *ctx), void *ctx)
{
    rig->late = false;
    env_timer_set(rig->env, &rig->deadline, env_now_us(rig->env) + DEADLINE_US);
    while (!done(ctx)) {
        ck_assert_msg(!rig->late, "the awaited condition did not come");
        rig->turning = true;
        env_uv_main_turn(rig->env);
        rig->turning = false;
    }
    env_timer_cancel(rig->env, &rig->deadline);
}

static void nothing(struct env_timer *timer)
{
}

void rig_settle(struct rig *rig)
{
    struct env_timer tick;

    env_timer_init(&tick, nothing);
    for (int i = 0; i < SETTLE_TURNS; i++) {
        env_timer_set(rig->env, &tick, env_now_us(rig->env)); /* or the turn would sleep */
        env_uv_main_turn(rig->env);
    }
    env_timer_cancel(rig->env, &tick);
}

/* -- the broker -- */

static void load_config(struct rig *rig, const char *const *sets)
{
    char dirs[96];
    const char *const base[] = {"node.id=1", "listeners=PLAINTEXT://" HOST ":0,REPLICATION://" HOST ":0",
                                "controller.quorum.bootstrap.servers=" HOST ":1", dirs};

    snprintf(dirs, sizeof(dirs), "log.dirs=%s", rig->dir);
    rig->settings = config_new();
    config_add(rig->settings, broker_settings(), &rig->config);
    for (size_t i = 0; i < ARRAY_LEN(base); i++)
        ck_assert_int_eq(config_apply_set(rig->settings, base[i]), OK);
    for (; sets && *sets; sets++)
        ck_assert_msg(config_apply_set(rig->settings, *sets) == OK, "%s", config_error(rig->settings));
    ck_assert_int_eq(config_finish(rig->settings), OK);
    ck_assert_ptr_null(broker_config_problem(&rig->config));
}

static void discard(void *ctx, const char *line, size_t len)
{
}

static void on_known(void *ctx, struct uuid cluster_id)
{
}

static void on_rejected(void *ctx, int16_t error)
{
}

static void on_may_stop(void *ctx)
{
}

static void on_ready(void *ctx, bool ready)
{
}

static void fill_shared(struct rig *rig, unsigned shard_count)
{
    struct broker_shared *shared = &rig->shared;

    shared->broker_id = rig->config.node_id;
    shared->config = &rig->config;
    shared->settings = rig->settings;
    shared->log = &rig->log;
    budget_init(&shared->budget, (uint64_t)rig->config.memory_budget_bytes);
    shared->shard_count = shard_count;
    shared->log_files_max = env_files_max(rig->env) / 2;
    shared->session_end_us = UINT64_MAX;
    shared->listener_count = 2;
    shared->listeners[0] =
        (struct listener_info){.name = "PLAINTEXT", .authenticated = true, .bind = {HOST, 0}};
    shared->listeners[1] = (struct listener_info){
        .name = "REPLICATION", .authenticated = true, .internal = true, .bind = {HOST, 0}};
}

void rig_start(struct rig *rig, unsigned shard_count, const char *const *sets)
{
    const struct control_options options = {.cluster_known = on_known,
                                            .rejected = on_rejected,
                                            .may_stop = on_may_stop,
                                            .ready = on_ready,
                                            .previous_broker_epoch = -1};
    const struct logger_options log_options = {.level = LOG_LEVEL_ERROR, .sink = discard, .node_id = -1};

    memset(rig, 0, sizeof(*rig));
    strcpy(rig->dir, "/tmp/sluice-rig-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(rig->dir));
    load_config(rig, sets);
    ck_assert_int_eq(logger_init(&rig->log, &log_options), OK);
    rig->env = env_uv_main_new();
    env_timer_init(&rig->deadline, on_deadline);
    fill_shared(rig, shard_count);
    for (unsigned i = 0; i < shard_count; i++) {
        rig->shared.shards[i] = &rig->shards[i];
        ck_assert_int_eq(shard_init(&rig->shards[i], &rig->shared, i, rig->env), OK);
        rig->shards[i].serving = true;
    }
    ck_assert_ptr_nonnull(control_start(rig->env, &rig->shared, &options));
    ck_assert_int_eq(shard_listen(&rig->shards[0]), OK);
    rig->image = image_new();
}

static void on_idle(struct shard *shard)
{
    CONTAINER_OF(shard->broker, struct rig, shared)->idle_count++;
}

static void on_control_gone(struct env_msg *msg)
{
    CONTAINER_OF(msg, struct rig, gone)->control_gone = true;
}

static bool control_is_gone(void *ctx)
{
    return ((struct rig *)ctx)->control_gone;
}

static bool all_idle(void *ctx)
{
    struct rig *rig = ctx;

    return rig->idle_count == rig->shared.shard_count;
}

static bool clients_closed(void *ctx)
{
    struct rig *rig = ctx;

    for (int i = 0; i < RIG_CLIENTS_MAX; i++)
        if (rig->clients[i].conn)
            return false;
    return true;
}

static void check_nothing_left(struct rig *rig)
{
    ck_assert_uint_eq(rig->shared.connection_count, 0);
    for (int owner = 0; owner < BUDGET_OWNER_COUNT; owner++)
        ck_assert_msg(rig->shared.budget.by_owner[owner] == 0, "%s still holds memory",
                      budget_owner_name(owner));
}

static void remove_dir(const char *dir)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    ck_assert_int_eq(system(command), 0);
}

void rig_stop(struct rig *rig)
{
    for (int i = 0; i < RIG_CLIENTS_MAX; i++)
        if (rig->clients[i].conn)
            env_conn_close(rig->clients[i].conn);
    rig_until(rig, clients_closed, rig);
    for (unsigned i = 0; i < rig->shared.shard_count; i++)
        shard_shutdown(&rig->shards[i], true);
    rig->gone.fn = on_control_gone;
    control_stop(rig->shared.control, &rig->gone);
    rig_until(rig, control_is_gone, rig);
    for (unsigned i = 0; i < rig->shared.shard_count; i++)
        shard_finish(&rig->shards[i], on_idle);
    rig_until(rig, all_idle, rig);
    check_nothing_left(rig);
    for (unsigned i = 0; i < rig->shared.shard_count; i++)
        shard_free(&rig->shards[i]);
    image_unref(rig->image);
    env_uv_main_free(rig->env);
    control_free(rig->shared.control);
    for (int i = 0; i < RIG_CLIENTS_MAX; i++)
        free(rig->clients[i].in);
    config_free(rig->settings);
    logger_close(&rig->log);
    remove_dir(rig->dir);
}

/* -- metadata -- */

static void apply(struct image_edit *edit, const struct meta_record *record)
{
    ck_assert_int_eq(image_edit_apply(edit, record), OK);
}

static void put_broker(struct rig *rig, struct image_edit *edit)
{
    struct meta_endpoint endpoint = {
        .name = STR_LIT("PLAINTEXT"), .host = STR_LIT(HOST), .port = rig->shared.listeners[0].bind.port};
    struct meta_record record = {.type = META_BROKER,
                                 .broker = {.broker_id = rig->shared.broker_id,
                                            .broker_epoch = 1,
                                            .rack = STR_NULL,
                                            .endpoints = &endpoint,
                                            .endpoints_count = 1}};

    if (!image_broker(rig->image, rig->shared.broker_id))
        apply(edit, &record);
}

static void put_partition(struct rig *rig, struct image_edit *edit, struct uuid topic_id, int32_t index,
                          int32_t leader, int32_t epoch)
{
    int32_t both[] = {rig->shared.broker_id, leader}, count = leader == both[0] ? 1 : 2;
    struct meta_record record = {.type = META_PARTITION,
                                 .partition = {.topic_id = topic_id,
                                               .index = index,
                                               .leader = leader,
                                               .leader_epoch = epoch,
                                               .partition_epoch = epoch,
                                               .replicas = both,
                                               .replicas_count = count,
                                               .isr = both,
                                               .isr_count = count}};

    apply(edit, &record);
}

struct applied {
    struct rig *rig;
    uint64_t index;
};

static bool is_applied(void *ctx)
{
    struct applied *applied = ctx;

    for (unsigned i = 0; i < applied->rig->shared.shard_count; i++)
        if (image_index(applied->rig->shards[i].image) < applied->index)
            return false;
    return true;
}

/* Partitions [0, partitions) of the topic have changed: every shard gets to know. */
static void commit(struct rig *rig, struct image_edit *edit, struct uuid id, int32_t partitions)
{
    struct applied applied = {rig, image_index(rig->image) + 1};
    struct image *image = image_edit_commit(edit, applied.index, 1);
    struct image_step *step = image_step_new(image, (uint32_t)partitions);
    for (int32_t i = 0; i < partitions; i++)
        step->changes[step->changes_count++] =
            (struct route_change){id, i, (unsigned)i % rig->shared.shard_count};
    for (unsigned i = 0; i < rig->shared.shard_count; i++)
        ck_assert(shard_post_image(&rig->shards[i], step));
    image_step_unref(step);
    image_unref(rig->image);
    rig->image = image;
    rig_until(rig, is_applied, &applied);
}

void rig_topic(struct rig *rig, const char *name, int32_t partitions)
{
    struct image_edit *edit = image_edit_begin(rig->image);
    struct uuid id = {.b = {TOPIC_ID_BYTE0, (uint8_t)image_topic_count(rig->image)}};

    put_broker(rig, edit);
    apply(edit, &(struct meta_record){.type = META_TOPIC, .topic = {id, str_from(name)}});
    for (int32_t i = 0; i < partitions; i++)
        put_partition(rig, edit, id, i, rig->shared.broker_id, 0);
    commit(rig, edit, id, partitions);
}

void rig_topic_led_by(struct rig *rig, const char *name, int32_t partitions, int32_t leader, int32_t epoch)
{
    struct image_edit *edit = image_edit_begin(rig->image);
    struct uuid id = image_topic_by_name(rig->image, str_from(name))->id;

    for (int32_t i = 0; i < partitions; i++)
        put_partition(rig, edit, id, i, leader, epoch);
    commit(rig, edit, id, partitions);
}

void rig_topic_removed(struct rig *rig, const char *name, int32_t partitions)
{
    struct image_edit *edit = image_edit_begin(rig->image);
    struct uuid id = image_topic_by_name(rig->image, str_from(name))->id;

    apply(edit, &(struct meta_record){.type = META_TOPIC_REMOVED, .topic_removed = {id}});
    commit(rig, edit, id, partitions);
}

struct partition *rig_partition(struct rig *rig, const char *name, int32_t index)
{
    struct uuid id = image_topic_by_name(rig->image, str_from(name))->id;

    return shard_partition(&rig->shards[(unsigned)index % rig->shared.shard_count], id, index);
}

/* -- clients -- */

static void on_alloc(void *ctx, void **ret_buf, size_t *ret_len)
{
    struct rig_client *client = ctx;

    *ret_buf = client->in + client->in_at + client->in_len;
    *ret_len = client->deaf ? 0 : RIG_INPUT_MAX - client->in_at - client->in_len;
}

static void on_read(void *ctx, size_t len)
{
    ((struct rig_client *)ctx)->in_len += len;
}

static void on_closed(void *ctx, enum err why)
{
    struct rig_client *client = ctx;

    client->closed = true;
    client->conn = NULL;
}

static const struct env_conn_handler client_handler = {
    .alloc = on_alloc, .read = on_read, .closed = on_closed};

struct rig_client *rig_connect(struct rig *rig)
{
    struct rig_client *client = rig->clients;

    while (client < rig->clients + RIG_CLIENTS_MAX && client->in)
        client++;
    ck_assert(client < rig->clients + RIG_CLIENTS_MAX);
    client->rig = rig;
    client->in = malloc(RIG_INPUT_MAX);
    client->conn = env_connect(rig->env, &rig->shared.listeners[0].bind, &client_handler, client);
    return client;
}

void rig_send(struct rig_client *client, const void *p, size_t len)
{
    struct iobuf *buf = iobuf_get(NULL, len);

    memcpy(buf->data, p, len);
    buf->len = (uint32_t)len;
    if (client->conn)
        env_conn_write(client->conn, buf, 0, len);
    iobuf_unref(buf);
}

struct input_wait {
    struct rig_client *client;
    size_t len;
};

static bool has_input(void *ctx)
{
    struct input_wait *wait = ctx;

    return wait->client->in_len >= wait->len || wait->client->closed;
}

void rig_until_input(struct rig_client *client, size_t len)
{
    struct input_wait wait = {client, len};

    rig_until(client->rig, has_input, &wait);
    ck_assert_msg(client->in_len >= len, "the broker closed the connection");
}

static bool is_closed(void *ctx)
{
    return ((struct rig_client *)ctx)->closed;
}

void rig_until_closed(struct rig_client *client)
{
    rig_until(client->rig, is_closed, client);
}

/* -- requests and replies -- */

void rig_request_begin(struct writer *w, int16_t key, int16_t version, int32_t correlation)
{
    struct kafka_request_header header = {
        .api_key = key, .api_version = version, .correlation_id = correlation, .client_id = STR_LIT("rig")};

    writer_init(w, NULL, 1024, RIG_INPUT_MAX);
    writer_i32(w, 0);
    kafka_request_header_encode(w, kafka_request_header_version(key, version), &header);
}

void rig_request_end(struct writer *w)
{
    ck_assert_int_eq(w->err, OK);
    writer_patch_i32(w, 0, (int32_t)(writer_pos(w) - 4));
}

void rig_send_writer(struct rig_client *client, const struct writer *w)
{
    if (client->conn)
        env_conn_write(client->conn, w->buf, 0, writer_pos(w));
}

static size_t reply_bytes(const struct rig_client *client)
{
    size_t size = client->in_len >= 4 ? 4 + (size_t)load_be32(client->in + client->in_at) : SIZE_MAX;

    return client->in_len >= size ? size : 0;
}

bool rig_reply(struct rig_client *client, int16_t key, int16_t version, int32_t *ret_correlation,
               struct reader *ret_body)
{
    struct kafka_response_header header;
    size_t size = reply_bytes(client);

    if (size == 0)
        return false;
    *ret_body = reader_over(client->in + client->in_at + 4, size - 4);
    ck_assert_int_eq(
        kafka_response_header_decode(ret_body, kafka_response_header_version(key, version), &header), OK);
    *ret_correlation = header.correlation_id;
    return true;
}

void rig_reply_drop(struct rig_client *client)
{
    size_t size = reply_bytes(client);

    client->in_len -= size;
    client->in_at = client->in_len > 0 ? client->in_at + size : 0;
}

static bool has_reply(void *ctx)
{
    struct rig_client *client = ctx;

    return reply_bytes(client) > 0 || client->closed;
}

struct reader rig_expect(struct rig_client *client, int16_t key, int16_t version, int32_t correlation)
{
    struct reader body = {0};
    int32_t got = -1;

    rig_until(client->rig, has_reply, client);
    ck_assert_msg(rig_reply(client, key, version, &got, &body), "the broker closed the connection");
    ck_assert_int_eq(got, correlation);
    return body;
}

void rig_encode_produce(struct writer *w, int32_t partition, const struct record_in *record, int16_t acks)
{
    struct batch_builder builder;
    struct iobuf *batch;
    struct kafka_produce_request_partition part;
    struct kafka_produce_request_topic topic;
    struct kafka_produce_request request;

    ck_assert_int_eq(batch_builder_init(&builder, &BATCH_OPTS_PLAIN, NULL, 256, 1 << 20), OK);
    ck_assert_int_eq(batch_builder_add(&builder, record), OK);
    ck_assert_int_eq(batch_builder_finish(&builder, NULL, &batch), OK);
    kafka_produce_request_init(&request);
    kafka_produce_request_topic_init(&topic);
    kafka_produce_request_partition_init(&part);
    part.index = partition;
    part.records = (struct kafka_records){.p = batch->data, .len = (int32_t)batch->len};
    topic.name = STR_LIT("t");
    topic.partitions = &part;
    topic.partitions_count = 1;
    request.topics = &topic;
    request.topics_count = 1;
    request.acks = acks;
    request.timeout_ms = 10000;
    rig_request_begin(w, KAFKA_API_PRODUCE, PRODUCE_VERSION, 1);
    kafka_produce_request_encode(w, PRODUCE_VERSION, &request);
    rig_request_end(w);
    iobuf_unref(batch);
}

int16_t rig_produced(struct rig_client *client)
{
    uint8_t memory[4096];
    struct arena arena;
    struct kafka_produce_response reply;
    struct reader body = rig_expect(client, KAFKA_API_PRODUCE, PRODUCE_VERSION, 1);

    arena_init(&arena, memory, sizeof(memory), sizeof(memory));
    ck_assert_int_eq(kafka_produce_response_decode(&body, &arena, PRODUCE_VERSION, &reply), OK);
    int16_t error = reply.topics[0].partitions[0].error_code;
    rig_reply_drop(client);
    return error;
}

int16_t rig_produce(struct rig_client *client, int32_t partition, const struct record_in *record)
{
    struct writer w;

    rig_encode_produce(&w, partition, record, 1);
    rig_send_writer(client, &w);
    writer_free(&w);
    return rig_produced(client);
}

uint64_t rig_mallocs(const struct rig *rig)
{
    uint64_t sum = iobuf_pool_mallocs(rig->env->pool); /* the shards share the loop, and so its pool */

    for (unsigned i = 0; i < rig->shared.shard_count; i++)
        sum += rig->shards[i].counters.hot_path_mallocs;
    return sum;
}
