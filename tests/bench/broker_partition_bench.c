/* SPDX-License-Identifier: Apache-2.0 */
/* How many batches one partition takes and gives per second on the real env: validation, deduplication, one
 * pwritev each. Arguments: directory (created, kept), number of batches, records per batch, bytes per record,
 * sync (0 or 1). Prints one line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/log/data_dir.h"
#include "broker/shard/partition.h"
#include "common/base/assert.h"
#include "common/batch/builder.h"
#include "common/env_uv/env_uv.h"
#include "proto/kafka/error.h"

struct bench {
    struct env *env;
    struct data_dir *dir;
    struct partition_host host;
    struct batch_scratch scratch;
    struct partition *p;
    struct iobuf *batch;
    int count, records, bytes;
    bool sync;
};

static int64_t broker_epoch(void *ctx, int32_t broker_id)
{
    return 1;
}

static void failed(void *ctx, struct partition *p, enum err err)
{
    fprintf(stderr, "partition failed: %s\n", err_text(err));
    exit(1);
}

static void must(enum err err, const char *what)
{
    if (err == OK)
        return;
    fprintf(stderr, "%s: %s\n", what, err_text(err));
    exit(1);
}

static void open_partition(struct bench *b, const char *path)
{
    static const int32_t ids[] = {1};
    char message[DATA_DIR_MESSAGE_MAX];
    struct image_topic topic = {.id = {{1, 2, 3}}, .name = STR_LIT("bench"), .partitions_count = 1};
    struct partition_config config = {.min_insync_replicas = 1,
                                      .max_message_bytes = 2 << 20,
                                      .segment_bytes = 1 << 30,
                                      .sync_before_ack = b->sync,
                                      .timestamp_before_max_ms = INT64_MAX,
                                      .timestamp_after_max_ms = INT64_MAX};
    struct image_partition state = {
        .leader = 1, .replicas = ids, .replicas_count = 1, .isr = ids, .isr_count = 1};
    enum err err = data_dir_open(b->env, path, 1, (struct uuid){{0}}, &b->dir, message);
    if (err)
        must(err, message);
    must(batch_scratch_init(&b->scratch, 8 << 20, 0), "scratch");
    b->host = (struct partition_host){.env = b->env,
                                      .broker_id = 1,
                                      .data_dir = path,
                                      .manifest = b->dir->manifest,
                                      .scratch = &b->scratch,
                                      .replica_lag_time_max_us = 10000000,
                                      .producer_expiry_us = 86400000000,
                                      .broker_epoch = broker_epoch,
                                      .failed = failed};
    must(partition_open(&b->host, &topic, 0, &config, &b->p), "partition");
    partition_apply(b->p, &state, &config);
}

static struct iobuf *build(struct bench *b)
{
    struct batch_opts opts = BATCH_OPTS_PLAIN;
    struct batch_builder builder;
    struct iobuf *batch;
    uint8_t *value = calloc(1, (size_t)b->bytes + 1);
    must(batch_builder_init(&builder, &opts, NULL, 4096, 2 << 20), "builder");
    for (int i = 0; i < b->records; i++) {
        struct record_in record = {.timestamp_ms = 1000, .key = BYTES_NULL, .value = {value, b->bytes}};
        must(batch_builder_add(&builder, &record), "record");
    }
    must(batch_builder_finish(&builder, NULL, &batch), "batch");
    free(value);
    return batch;
}

static void append_all(struct bench *b, uint8_t *copy)
{
    struct partition_appended ret;
    for (int i = 0; i < b->count; i++) {
        memcpy(copy, b->batch->data, b->batch->len); /* as it would arrive from a socket */
        struct partition_append request = {
            .records = copy, .len = (int32_t)b->batch->len, .acks = 0, .current_leader_epoch = -1};
        partition_append(b->p, &request, NULL, &ret);
        must(ret.error == KAFKA_NONE ? OK : ERR_INVALID, "append");
        if (i % 64 == 63 || i == b->count - 1)
            env_uv_main_turn(b->env);
    }
}

static int64_t read_all(struct bench *b, int64_t end)
{
    int64_t offset = 0, bytes = 0;
    while (offset < end) {
        struct partition_read request = {.fetch_offset = offset,
                                         .max_bytes = 1 << 20,
                                         .at_least_one = true,
                                         .replica_id = 9,
                                         .current_leader_epoch = -1,
                                         .last_fetched_epoch = -1};
        struct partition_read_result result;
        partition_read(b->p, &request, &result);
        must(result.error == KAFKA_NONE && result.bytes > 0 ? OK : ERR_INVALID, "read");
        int32_t at = 0;
        while (at < result.bytes) {
            offset = batch_next_offset(result.pieces[0].p + at);
            at += (int32_t)batch_size(result.pieces[0].p + at);
        }
        bytes += result.bytes;
        partition_read_release(&result);
    }
    return bytes;
}

int main(int argc, char **argv)
{
    struct bench b = {.count = 200000, .records = 1, .bytes = 100};
    if (argc < 2) {
        fprintf(stderr, "usage: %s directory [batches [records [bytes [sync]]]]\n", argv[0]);
        return 2;
    }
    b.count = argc > 2 ? atoi(argv[2]) : b.count;
    b.records = argc > 3 ? atoi(argv[3]) : b.records;
    b.bytes = argc > 4 ? atoi(argv[4]) : b.bytes;
    b.sync = argc > 5 && atoi(argv[5]);
    b.env = env_uv_main_new();
    open_partition(&b, argv[1]);
    b.batch = build(&b);
    uint8_t *copy = malloc(b.batch->len);
    uint64_t mallocs = iobuf_pool_mallocs(b.env->pool), start = env_now_us(b.env);
    append_all(&b, copy);
    uint64_t appended = env_now_us(b.env);
    struct partition_view view;
    partition_get(b.p, &view);
    int64_t bytes = read_all(&b, view.log_end);
    uint64_t done = env_now_us(b.env);
    printf("batches=%d batch_bytes=%u append_per_s=%.0f append_mb_per_s=%.0f read_mb_per_s=%.0f "
           "pool_mallocs=%llu\n",
           b.count, b.batch->len, b.count * 1e6 / (double)(appended - start),
           (double)bytes / (double)(appended - start), (double)bytes / (double)(done - appended),
           (unsigned long long)(iobuf_pool_mallocs(b.env->pool) - mallocs));
    free(copy);
    iobuf_unref(b.batch);
    partition_close(b.p, true);
    env_uv_main_turn(b.env);
    data_dir_close(b.dir, true);
    batch_scratch_free(&b.scratch);
    env_uv_main_free(b.env);
    return 0;
}
