/* SPDX-License-Identifier: Apache-2.0 */
/* Life, time and effects of a client; the events themselves are in the files of what they are about. */
#include "client/core/client.h"

#include "client/core/internal.h"

#define OUTBOX_FIRST 64

void client_config_init(struct client_config *config)
{
    *config = (struct client_config){
        .client_id = "sluice",
        .request_timeout_us = 30000000,
        .connect_timeout_us = 3000000,
        .stall_us = 1000000,
        .metadata_max_age_us = 300000000,
        .topic_wait_us = 5000000,
        .backoff_first_us = 20000,
        .backoff_max_us = 250000,
        .producer = {.acks = CLIENT_ACKS_ALL,
                     .idempotent = true,
                     .codec = CODEC_NONE,
                     .level = COMPRESS_LEVEL_DEFAULT,
                     .batch_bytes = 256 * 1024,
                     .record_bytes_max = 64u * 1024 * 1024,
                     .request_bytes = 1024 * 1024,
                     .buffer_bytes = 64u * 1024 * 1024,
                     .in_flight_max = 5,
                     .linger_us = 5000,
                     .delivery_timeout_us = 120000000},
        .consumer = {.max_wait_ms = 500,
                     .min_bytes = 1,
                     .max_bytes = 16 * 1024 * 1024,
                     .partition_max_bytes = 2 * 1024 * 1024,
                     .reset = CLIENT_RESET_FAIL},
    };
}

/* -- memory and time -- */

void *client_take(struct client *client, size_t size)
{
    return core_take(&client->alloc, size);
}

void client_give(struct client *client, void *p, size_t size)
{
    core_give(&client->alloc, p, size);
}

void client_wake(struct client *client, uint64_t at_us)
{
    client->wake_us = MIN(client->wake_us, at_us);
}

uint64_t client_backoff(struct client *client, uint32_t *failures)
{
    uint64_t delay = client->config.backoff_first_us << MIN(*failures, 20u);
    delay = MIN(delay, client->config.backoff_max_us);
    (*failures)++;
    delay -= prng_below(&client->prng, delay / 4 + 1);
    uint64_t at_us = client->now_us + delay;
    client_wake(client, at_us);
    return at_us;
}

void client_now(struct client *client, uint64_t now_us)
{
    client->now_us = MAX(client->now_us, now_us);
}

/* -- effects -- */

static void drop_effect(struct client_effect *effect)
{
    if (effect->type == CLIENT_FX_RECORDS || effect->type == CLIENT_FX_NONE)
        iobuf_unref(effect->records.owner);
    else if (effect->type == CLIENT_FX_REPLY)
        iobuf_unref(effect->reply.owner);
    for (uint32_t i = 0; effect->type == CLIENT_FX_SEND && i < effect->send.count; i++)
        iobuf_unref(effect->send.pieces[i].owner);
}

static void outbox_forget_records(struct client_outbox *box, const struct client_topic *topic,
                                  int32_t partition)
{
    for (uint32_t i = 0; i < box->count; i++) {
        struct client_effect *effect = &box->items[i];
        if (effect->type == CLIENT_FX_RECORDS && effect->records.topic == topic &&
            effect->records.partition == partition)
            effect->type =
                CLIENT_FX_NONE; /* its bytes stay until the box is cleared: somebody may look at them */
    }
}

void client_forget_records(struct client *client, const struct client_topic *topic, int32_t partition)
{
    for (size_t i = 0; i < ARRAY_LEN(client->boxes); i++)
        outbox_forget_records(&client->boxes[i], topic, partition);
}

static void outbox_clear(struct client_outbox *box)
{
    for (uint32_t i = 0; i < box->count; i++)
        drop_effect(&box->items[i]);
    box->count = 0;
    arena_reset(&box->arena);
}

static void outbox_free(struct client *client, struct client_outbox *box)
{
    outbox_clear(box);
    client_give(client, box->items, box->cap * sizeof(*box->items));
    arena_free(&box->arena);
}

static bool outbox_grow(struct client *client, struct client_outbox *box)
{
    uint32_t cap = box->cap ? box->cap * 2 : OUTBOX_FIRST;
    void *items = client->alloc.resize(client->alloc.ctx, box->items, box->cap * sizeof(*box->items),
                                       cap * sizeof(*box->items));
    if (!items)
        return false;
    box->items = items;
    box->cap = cap;
    return true;
}

struct client_effect *client_effect(struct client *client, enum client_effect_type type)
{
    struct client_outbox *box = client->box;
    if (box->count == box->cap && !outbox_grow(client, box))
        return NULL;
    struct client_effect *effect = &box->items[box->count++];
    *effect = (struct client_effect){.type = type};
    return effect;
}

struct client_effects client_turn(struct client *client, uint64_t now_us)
{
    client_now(client, now_us);
    client->wake_us = CLIENT_NEVER;
    client_peers_timeouts(client);
    client_requests_turn(client);
    client_producer_turn(client);
    client_consumer_turn(client);
    client_metadata_turn(client);
    client_peers_flush(client);
    struct client_outbox *full = client->box;
    client->box = full == &client->boxes[0] ? &client->boxes[1] : &client->boxes[0];
    outbox_clear(client->box);
    return (struct client_effects){.items = full->items, .count = full->count};
}

uint64_t client_deadline(const struct client *client)
{
    return client->wake_us;
}

/* -- life -- */

static void init_values(struct client *client)
{
    client->box = &client->boxes[0];
    for (int i = 0; i < 2; i++)
        arena_init(&client->boxes[i].arena, client->boxes[i].first, CLIENT_ARENA_FIRST_BYTES,
                   CLIENT_ARENA_BYTES_MAX);
    arena_init(&client->request_arena, client->request_first, CLIENT_ARENA_FIRST_BYTES,
               CLIENT_ARENA_BYTES_MAX);
    arena_init(&client->reply_arena, client->reply_first, CLIENT_ARENA_FIRST_BYTES, CLIENT_ARENA_BYTES_MAX);
    list_init(&client->peers);
    list_init(&client->topics);
    list_init(&client->producing);
    list_init(&client->consuming);
    list_init(&client->requests);
    map_init(&client->topics_by_hash);
    prng_seed(&client->prng, client->config.seed);
    client->next_conn = 1;
    client->wake_us = CLIENT_NEVER;
    client->producer_id = BATCH_NO_PRODUCER_ID;
}

struct client *client_new(const struct client_config *config, const struct core_alloc *alloc,
                          struct iobuf_pool *pool)
{
    ASSERT(config->bootstrap_count > 0 && config->bootstrap_count <= CLIENT_BOOTSTRAP_MAX);
    ASSERT(config->producer.in_flight_max >= 1 && config->producer.in_flight_max <= 5);
    ASSERT(!config->producer.idempotent || config->producer.acks == CLIENT_ACKS_ALL);
    struct client *client = core_take(alloc, sizeof(*client));
    if (!client)
        return NULL;
    client->config = *config;
    client->alloc = *alloc;
    client->pool = pool;
    init_values(client);
    client->codecs = compress_ctx_new();
    if (!client->codecs || !client_peers_init(client)) {
        client_free(client);
        return NULL;
    }
    return client;
}

void client_free(struct client *client)
{
    struct core_alloc alloc = client->alloc;

    client_peers_free(client);
    client_requests_free(client);
    client_producer_free(client);
    client_metadata_free(client);
    outbox_free(client, &client->boxes[0]);
    outbox_free(client, &client->boxes[1]);
    arena_free(&client->request_arena);
    arena_free(&client->reply_arena);
    writer_free(&client->writer);
    compress_ctx_free(client->codecs);
    core_give(&alloc, client, sizeof(*client));
}

const struct client_trouble *client_trouble(const struct client *client)
{
    return &client->trouble;
}

bool client_met_broker(const struct client *client)
{
    return client->met_broker;
}
