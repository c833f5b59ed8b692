/* SPDX-License-Identifier: Apache-2.0 */
/* One broker's partitions on the small memory env: batches to append, a host that records what it is told,
 * waits that remember their answer. */
#ifndef SLUICE_TESTS_BROKER_FIXTURE_H
#define SLUICE_TESTS_BROKER_FIXTURE_H

#include <string.h>

#include "broker/log/manifest.h"
#include "broker/shard/partition.h"
#include "common/base/assert.h"
#include "common/batch/builder.h"
#include "common/env/env_ops.h"
#include "proto/kafka/error.h"
#include "tests/lib/mem_env.h"
#include "tests/lib/unit.h"

#define BROKERS_MAX 3
#define DATA_DIR    "/data"

struct broker {
    struct mem_env *mem;
    struct env *env;
    struct partition_host host;
    struct manifest *manifest;
    struct batch_scratch scratch;
    struct partition *p;
    int alters;
    int32_t alter_isr[8], alter_isr_count, alter_partition_epoch;
    int64_t fenced_broker; /* broker_epoch() answers -1 for it; -1: none */
    bool in_doubt;         /* what it appends comes while another one may lead */
    enum err failed;
};

struct waiter {
    struct partition_wait wait;
    int answers;
    int16_t error;
};

static const struct uuid fixture_topic_id = {{7, 7, 7, 7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}};

static inline struct image_topic fixture_topic(void)
{
    return (struct image_topic){.id = fixture_topic_id, .name = STR_LIT("orders"), .partitions_count = 4};
}

static inline struct partition_config fixture_config(void)
{
    return (struct partition_config){.min_insync_replicas = 1,
                                     .max_message_bytes = 1 << 20,
                                     .segment_bytes = 1 << 20,
                                     .retention_ms = -1,
                                     .retention_bytes = -1,
                                     .sync_before_ack = true,
                                     .timestamp_before_max_ms = INT64_MAX,
                                     .timestamp_after_max_ms = INT64_MAX};
}

static inline void fixture_alter(void *ctx, struct partition *p, const struct rpc_alter_partition *request)
{
    struct broker *b = ctx;
    b->alters++;
    b->alter_isr_count = request->isr_count;
    b->alter_partition_epoch = request->partition_epoch;
    for (int32_t i = 0; i < request->isr_count && i < 8; i++)
        b->alter_isr[i] = request->isr[i];
}

static inline int64_t fixture_broker_epoch(void *ctx, int32_t broker_id)
{
    struct broker *b = ctx;
    return broker_id == b->fenced_broker ? -1 : 100 + broker_id;
}

static inline void fixture_failed(void *ctx, struct partition *p, enum err err)
{
    ((struct broker *)ctx)->failed = err;
}

/* Opens manifest and partition 0; the world's disk may hold a former life of it. */
static inline void broker_open(struct broker *b, const struct partition_config *config)
{
    struct image_topic topic = fixture_topic();
    struct manifest_report report;
    enum err err = env_mkdir(b->env, b->host.data_dir);
    ck_assert(err == OK || err == ERR_EXISTS);
    ck_assert_int_eq(manifest_open(b->env, b->host.data_dir, &b->manifest, &report), OK);
    b->host.manifest = b->manifest;
    ck_assert_int_eq(partition_open(&b->host, &topic, 0, config, &b->p), OK);
}

static inline void broker_init(struct broker *b, struct env *env, int32_t broker_id, const char *data_dir)
{
    b->env = env;
    b->fenced_broker = -1;
    ck_assert_int_eq(batch_scratch_init(&b->scratch, 4 << 20, 0), OK);
    b->host = (struct partition_host){.env = b->env,
                                      .broker_id = broker_id,
                                      .data_dir = data_dir,
                                      .scratch = &b->scratch,
                                      .replica_lag_time_max_us = 10 * 1000 * 1000,
                                      .producer_expiry_us = 3600ull * 1000 * 1000,
                                      .ctx = b,
                                      .alter_partition = fixture_alter,
                                      .broker_epoch = fixture_broker_epoch,
                                      .failed = fixture_failed};
}

static inline void broker_start(struct broker *b, struct mem_world *world, int32_t broker_id)
{
    memset(b, 0, sizeof(*b));
    b->mem = mem_env_new(world);
    broker_init(b, mem_env_env(b->mem), broker_id, DATA_DIR);
}

static inline void broker_close(struct broker *b, bool clean)
{
    partition_close(b->p, clean);
    b->p = NULL;
    manifest_close(b->manifest, clean);
}

static inline void broker_stop(struct broker *b)
{
    if (b->p)
        broker_close(b, true);
    batch_scratch_free(&b->scratch);
}

/* State from the image: replicas 1..count, isr the first isr_count of them. */
static inline void broker_apply(struct broker *b, int32_t leader, int32_t leader_epoch,
                                int32_t partition_epoch, int32_t replicas_count, int32_t isr_count,
                                const struct partition_config *config)
{
    static const int32_t ids[] = {1, 2, 3};
    struct image_partition state = {.index = 0,
                                    .leader = leader,
                                    .leader_epoch = leader_epoch,
                                    .partition_epoch = partition_epoch,
                                    .replicas = ids,
                                    .replicas_count = replicas_count,
                                    .isr = ids,
                                    .isr_count = isr_count};
    partition_apply(b->p, &state, config);
}

static inline void waiter_done(struct partition_wait *wait, int16_t error)
{
    struct waiter *w = CONTAINER_OF(wait, struct waiter, wait);
    w->answers++;
    w->error = error;
}

/* A batch of count records with value_len bytes each, each step_ms younger than the one before. */
static inline struct iobuf *make_batch_of(const struct batch_opts *opts, int count, int value_len,
                                          int64_t timestamp_ms, int64_t step_ms)
{
    struct batch_builder builder;
    struct iobuf *batch;
    static uint8_t value[1 << 16];
    ASSERT(value_len <= (int)sizeof(value));
    ck_assert_int_eq(batch_builder_init(&builder, opts, NULL, 1024, 1 << 20), OK);
    for (int i = 0; i < count; i++) {
        struct record_in record = {
            .timestamp_ms = timestamp_ms + i * step_ms, .key = BYTES_NULL, .value = {value, value_len}};
        ck_assert_int_eq(batch_builder_add(&builder, &record), OK);
    }
    ck_assert_int_eq(batch_builder_finish(&builder, NULL, &batch), OK);
    return batch;
}

static inline struct iobuf *make_timed(int count, int64_t timestamp_ms, int64_t step_ms)
{
    struct batch_opts opts = BATCH_OPTS_PLAIN;
    return make_batch_of(&opts, count, 50, timestamp_ms, step_ms);
}

/* producer_id -1: not idempotent. */
static inline struct iobuf *make_batch(int count, int value_len, int64_t timestamp_ms, int64_t producer_id,
                                       int16_t producer_epoch, int32_t base_sequence)
{
    struct batch_opts opts = BATCH_OPTS_PLAIN;
    opts.producer_id = producer_id;
    opts.producer_epoch = producer_epoch;
    opts.base_sequence = base_sequence;
    return make_batch_of(&opts, count, value_len, timestamp_ms, 1);
}

/* Appends without ending the turn. */
static inline struct partition_appended append_batch(struct broker *b, struct iobuf *batch, int16_t acks,
                                                     struct waiter *w)
{
    struct partition_appended ret;
    struct partition_append request = {.records = batch->data,
                                       .len = (int32_t)batch->len,
                                       .owner = batch,
                                       .acks = acks,
                                       .timeout_ms = 30000,
                                       .current_leader_epoch = -1,
                                       .in_doubt = b->in_doubt};
    memset(w, 0, sizeof(*w));
    w->wait.done = waiter_done;
    partition_append(b->p, &request, &w->wait, &ret);
    return ret;
}

/* The turn ends: nothing arrives, and no time passes. What it settles counts as not waited for. */
static inline void end_turn(struct broker *b, struct waiter *w, struct partition_appended *ret)
{
    env_run_tasks(b->env);
    if (!ret->waits || w->answers == 0)
        return;
    ret->waits = false;
    ret->error = w->error;
    w->answers = 0;
}

/* One request in a turn of its own. */
static inline struct partition_appended produce_batch(struct broker *b, struct iobuf *batch, int16_t acks,
                                                      struct waiter *w)
{
    struct partition_appended ret = append_batch(b, batch, acks, w);
    end_turn(b, w, &ret);
    return ret;
}

static inline struct partition_appended produce(struct broker *b, int count, int16_t acks, struct waiter *w)
{
    struct iobuf *batch = make_batch(count, 50, 1000, -1, -1, -1);
    struct partition_appended ret = produce_batch(b, batch, acks, w);
    iobuf_unref(batch);
    return ret;
}

static inline struct partition_view view_of(const struct broker *b)
{
    struct partition_view view;
    partition_get(b->p, &view);
    return view;
}

#endif
