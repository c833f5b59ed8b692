/* SPDX-License-Identifier: Apache-2.0 */
/* What syncing many partition logs together is worth: LOGS logs each get a batch and count as acknowledged
 * when it is durable, beside as many bare files that are written and fdatasynced in turn; interleaved. Usage:
 * log_sync_bench DIR [logs] [rounds] */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/log/plog.h"
#include "common/base/assert.h"
#include "common/batch/builder.h"
#include "common/env_uv/env_uv.h"

#define LOGS_MAX 1000

struct bench {
    struct env *env;
    const char *dir;
    int logs;
    struct plog *log[LOGS_MAX];
    int64_t synced[LOGS_MAX];
    int bare[LOGS_MAX];
    off_t bare_at;
};

struct ack {
    struct bench *bench;
    int i;
};

static uint64_t now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void on_synced(void *ctx, int64_t synced_end, enum err err)
{
    const struct ack *ack = ctx;
    ASSERT(err == OK);
    ack->bench->synced[ack->i] = synced_end;
}

static struct iobuf *make_batch(void)
{
    static const uint8_t value[100];
    struct batch_opts opts = BATCH_OPTS_PLAIN;
    struct batch_builder builder;
    struct record_in record = {.timestamp_ms = 1, .key = BYTES_NULL, .value = {value, sizeof(value)}};
    struct iobuf *batch = NULL;
    enum err err = batch_builder_init(&builder, &opts, NULL, 256, 1024);
    if (err == OK)
        err = batch_builder_add(&builder, &record);
    if (err == OK)
        err = batch_builder_finish(&builder, NULL, &batch);
    ASSERT(err == OK);
    return batch;
}

static void open_all(struct bench *bench, struct ack *acks)
{
    for (int i = 0; i < bench->logs; i++) {
        char name[64], path[4096];
        struct plog_report report;
        struct plog_setup setup = {.env = bench->env,
                                   .data_dir = bench->dir,
                                   .name = name,
                                   .topic_id = {{1, (uint8_t)i, (uint8_t)(i >> 8)}},
                                   .config = {.segment_bytes = 1 << 30, .producer_expiry_us = 1},
                                   .synced = on_synced,
                                   .ctx = &acks[i]};
        acks[i] = (struct ack){bench, i};
        snprintf(name, sizeof(name), "bench-%d", i);
        ASSERT(plog_open(&setup, &bench->log[i], &report) == OK);
        snprintf(path, sizeof(path), "%s/bare-%d", bench->dir, i);
        bench->bare[i] = open(path, O_RDWR | O_CREAT, 0644);
        ASSERT(bench->bare[i] >= 0);
    }
}

static bool all_synced(const struct bench *bench)
{
    for (int i = 0; i < bench->logs; i++)
        if (bench->synced[i] < plog_end(bench->log[i]))
            return false;
    return true;
}

static uint64_t round_of_logs(struct bench *bench, struct iobuf *batch)
{
    uint64_t begin_us = now_us();
    for (int i = 0; i < bench->logs; i++) {
        batch_set_base_offset(batch->data, plog_end(bench->log[i]));
        batch_set_leader_epoch(batch->data, 0);
        ASSERT(plog_append(bench->log[i], batch->data, batch->len) == OK);
        plog_sync(bench->log[i]);
    }
    while (!all_synced(bench))
        env_uv_main_turn(bench->env);
    return now_us() - begin_us;
}

static uint64_t round_of_files(struct bench *bench, const struct iobuf *batch)
{
    uint64_t begin_us = now_us();
    for (int i = 0; i < bench->logs; i++) {
        ASSERT(pwrite(bench->bare[i], batch->data, batch->len, bench->bare_at) == (ssize_t)batch->len);
        ASSERT(fdatasync(bench->bare[i]) == 0);
    }
    bench->bare_at += batch->len;
    return now_us() - begin_us;
}

int main(int argc, char **argv)
{
    static struct bench bench;
    static struct ack acks[LOGS_MAX];
    uint64_t logs_us = 0, files_us = 0, alone, together;
    if (argc < 2)
        return 2;
    bench.dir = argv[1];
    bench.logs = argc > 2 ? atoi(argv[2]) : 100;
    int rounds = argc > 3 ? atoi(argv[3]) : 20;
    ASSERT(bench.logs > 0 && bench.logs <= LOGS_MAX);
    bench.env = env_uv_main_new();
    struct iobuf *batch = make_batch();
    open_all(&bench, acks);
    round_of_logs(&bench, batch);
    round_of_files(&bench, batch);
    for (int i = 0; i < rounds; i++) {
        logs_us += round_of_logs(&bench, batch);
        files_us += round_of_files(&bench, batch);
    }
    env_uv_sync_counts(bench.env, &alone, &together);
    printf("%d logs, synced before they count: %.0f acks/s; one fdatasync each: %.0f/s; ratio %.1f\n",
           bench.logs, 1e6 * bench.logs * rounds / (double)logs_us,
           1e6 * bench.logs * rounds / (double)files_us, (double)files_us / (double)logs_us);
    printf("fdatasyncs %llu, syncfs %llu\n", (unsigned long long)alone, (unsigned long long)together);
    for (int i = 0; i < bench.logs; i++)
        plog_close(bench.log[i]);
    iobuf_unref(batch);
    env_uv_main_free(bench.env);
    return 0;
}
