/* SPDX-License-Identifier: Apache-2.0 */
/* What opening many partition logs takes: `recover` makes logs with BYTES each that no recovery point covers,
 * as after kill -9, and opens them; `idle` opens cleanly closed logs and says what each costs while nothing
 * happens. Usage: log_open_bench recover|idle DIR [logs] [bytes] */
#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/log/plog.h"
#include "common/base/assert.h"
#include "common/batch/builder.h"
#include "common/env_uv/env_uv.h"

struct bench {
    struct env *env;
    const char *dir;
    int logs;
    struct plog **log;
};

static double now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void on_synced(void *ctx, int64_t synced_end, enum err err)
{
    (void)ctx;
    (void)synced_end;
    ASSERT(err == OK);
}

static struct iobuf *make_batch(void)
{
    static const uint8_t value[8000];
    struct batch_opts opts = BATCH_OPTS_PLAIN;
    struct batch_builder builder;
    struct record_in record = {.timestamp_ms = 1, .key = BYTES_NULL, .value = {value, sizeof(value)}};
    struct iobuf *batch = NULL;
    enum err err = batch_builder_init(&builder, &opts, NULL, 256, 1 << 16);
    if (err == OK)
        err = batch_builder_add(&builder, &record);
    if (err == OK)
        err = batch_builder_finish(&builder, NULL, &batch);
    ASSERT(err == OK);
    return batch;
}

static void open_one(struct bench *bench, int i, bool clean, int64_t end)
{
    char name[64];
    struct plog_report report;
    struct plog_setup setup = {.env = bench->env,
                               .data_dir = bench->dir,
                               .name = name,
                               .topic_id = {{1, (uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16)}},
                               .config = {.segment_bytes = 1 << 30, .producer_expiry_us = 1},
                               .clean = clean,
                               .recovery_point = clean ? end : 0,
                               .synced = on_synced};
    snprintf(name, sizeof(name), "bench-%d", i);
    ASSERT(plog_open(&setup, &bench->log[i], &report) == OK);
    ASSERT(plog_end(bench->log[i]) == end);
}

static void fill(struct bench *bench, int64_t bytes, bool clean, struct iobuf *batch)
{
    for (int i = 0; i < bench->logs; i++) {
        open_one(bench, i, false, 0);
        for (int64_t at = 0; at < bytes; at += batch->len) {
            batch_set_base_offset(batch->data, plog_end(bench->log[i]));
            batch_set_leader_epoch(batch->data, 0);
            ASSERT(plog_append(bench->log[i], batch->data, batch->len) == OK);
        }
        if (clean)
            ASSERT(plog_close_clean(bench->log[i]) == OK);
        plog_close(bench->log[i]);
    }
}

static int open_descriptors(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    struct bench bench = {.dir = argc > 2 ? argv[2] : NULL, .logs = argc > 3 ? atoi(argv[3]) : 1000};
    int64_t bytes = argc > 4 ? atoll(argv[4]) : 1 << 20;
    if (bench.dir == NULL)
        return 2;
    bool idle = strcmp(argv[1], "idle") == 0;
    bench.env = env_uv_main_new();
    bench.log = calloc((size_t)bench.logs, sizeof(*bench.log));
    struct iobuf *batch = make_batch();
    fill(&bench, bytes, idle, batch);
    int64_t end = (bytes + batch->len - 1) / batch->len;
    size_t heap = mallinfo2().uordblks;
    int descriptors = open_descriptors();
    double begin = now_s();
    for (int i = 0; i < bench.logs; i++)
        open_one(&bench, i, idle, end);
    printf("%d logs of %lld bytes opened (%s) in %.2f s; each %zu bytes of heap, %d descriptors in all\n",
           bench.logs, (long long)bytes, argv[1], now_s() - begin,
           (mallinfo2().uordblks - heap) / (size_t)bench.logs, open_descriptors() - descriptors);
    for (int i = 0; i < bench.logs; i++)
        plog_close(bench.log[i]);
    iobuf_unref(batch);
    env_uv_main_free(bench.env);
    return 0;
}
