/* SPDX-License-Identifier: Apache-2.0 */
/* Appending as a leader does: validation, stamping, index, one write for each turn of the loop. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "broker/log/data_dir.h"
#include "broker/shard/partition.h"
#include "common/base/assert.h"
#include "common/batch/builder.h"
#include "common/env_uv/env_uv.h"
#include "proto/kafka/error.h"
#include "tests/bench/log/log_bench.h"

#define BIG_VALUE   ((1 << 20) - 96)
#define SMALL_VALUE 100
#define TURN        16 /* appends between two turns of the loop */

struct leader {
    struct bench *b;
    char path[BENCH_PATH_MAX];
    struct data_dir *dir;
    struct partition_host host;
    struct batch_scratch scratch;
    struct partition *p;
    struct iobuf *batch, *copies[TURN]; /* as many as a turn appends before it writes */
};

static int64_t broker_epoch(void *ctx, int32_t broker_id)
{
    return 1;
}

static void failed(void *ctx, struct partition *p, enum err err)
{
    bench_must(err, "partition");
}

static void leader_open(struct leader *l, struct bench *b, int32_t value_bytes)
{
    static const int32_t ids[] = {1};
    char message[DATA_DIR_MESSAGE_MAX];
    struct image_topic topic = {.id = {{1, 2, 3}}, .name = STR_LIT("bench"), .partitions_count = 1};
    struct partition_config config = {.min_insync_replicas = 1,
                                      .max_message_bytes = 2 << 20,
                                      .segment_bytes = 1 << 30,
                                      .retention_ms = -1,
                                      .retention_bytes = -1,
                                      .retention_messages = -1,
                                      .timestamp_before_max_ms = INT64_MAX,
                                      .timestamp_after_max_ms = INT64_MAX};
    struct image_partition state = {
        .leader = 1, .replicas = ids, .replicas_count = 1, .isr = ids, .isr_count = 1};
    *l = (struct leader){.b = b, .batch = bench_batch(value_bytes)};
    bench_path(b, "leader", l->path);
    bench_remove(l->path);
    bench_must(data_dir_open(b->env, l->path, 1, (struct uuid){{0}}, &l->dir, message), message);
    bench_must((enum err)batch_scratch_init(&l->scratch, 8 << 20, 0), "scratch");
    l->host = (struct partition_host){.env = b->env,
                                      .broker_id = 1,
                                      .data_dir = l->path,
                                      .manifest = l->dir->manifest,
                                      .scratch = &l->scratch,
                                      .replica_lag_time_max_us = 10000000,
                                      .producer_expiry_us = 86400000000,
                                      .broker_epoch = broker_epoch,
                                      .failed = failed};
    bench_must(partition_open(&l->host, &topic, 0, &config, &l->p), "partition");
    partition_apply(l->p, &state, &config);
    for (int i = 0; i < TURN; i++) {
        l->copies[i] = iobuf_get(b->env->pool, l->batch->len);
        l->copies[i]->len = l->batch->len;
        memcpy(l->copies[i]->data, l->batch->data, l->batch->len);
    }
}

/* One that the log does not hold any more, as a socket's buffers come back: the same one again and again when
 * batches are so large that they are written at once. */
static struct iobuf *free_copy(struct leader *l)
{
    int i = 0;
    while (i < TURN && atomic_load(&l->copies[i]->refs) > 1)
        i++;
    bench_must(i < TURN ? OK : ERR_FULL, "copies");
    return l->copies[i];
}

/* Only what the append has changed is put back: the rest stands where a socket would have put it. */
static void leader_append(struct leader *l, int count)
{
    struct partition_appended ret;
    for (int i = 0; i < count; i++) {
        struct iobuf *copy = free_copy(l);
        memcpy(copy->data, l->batch->data, BATCH_HEADER_BYTES);
        const struct partition_append request = {
            .records = copy->data, .len = (int32_t)copy->len, .owner = copy, .current_leader_epoch = -1};
        partition_append(l->p, &request, NULL, &ret);
        bench_must(ret.error == KAFKA_NONE ? OK : ERR_INVALID, "append");
        if (i % TURN == TURN - 1 || i == count - 1)
            env_uv_main_turn(l->b->env);
    }
}

static void leader_close(struct leader *l)
{
    partition_close(l->p, true);
    for (int i = 0; i < TURN; i++)
        iobuf_unref(l->copies[i]);
    iobuf_unref(l->batch);
    env_uv_main_turn(l->b->env);
    bench_must(data_dir_close(l->dir, true), "data directory");
    batch_scratch_free(&l->scratch);
    bench_remove(l->path);
}

/* -- 1 MiB against bare pwritev -- */

static double time_bare(int fd, const struct iobuf *batch, uint64_t *at, int count)
{
    double from = bench_wall_s();
    for (int i = 0; i < count; i++, *at += batch->len) {
        struct iovec iov = {(void *)(uintptr_t)batch->data, batch->len};
        bench_sys(pwritev(fd, &iov, 1, (off_t)*at) == (ssize_t)batch->len, "pwritev");
    }
    return bench_wall_s() - from;
}

static double time_ours(struct leader *l, int count)
{
    double from = bench_wall_s();
    leader_append(l, count);
    return bench_wall_s() - from;
}

/* Both files go to the disk between two pairs, so that the kernel throttles neither side. */
static void quiet(const struct leader *l, int fd)
{
    bench_sys(syncfs(fd) == 0, "syncfs");
}

void measure_append_1mib(struct bench *b)
{
    struct leader l;
    struct bench_samples ratio = {0}, ours = {0}, bare = {0};
    char path[BENCH_PATH_MAX];
    int pairs = b->quick ? 3 : 24, count = 16;
    uint64_t at = 0;
    leader_open(&l, b, BIG_VALUE);
    int fd = open(bench_path(b, "bare", path), O_RDWR | O_CREAT | O_TRUNC, 0600);
    bench_sys(fd >= 0, path);
    time_bare(fd, l.batch, &at, count);
    time_ours(&l, count);
    for (int i = 0; i < pairs; i++) {
        quiet(&l, fd);
        double first = i % 2 ? time_ours(&l, count) : time_bare(fd, l.batch, &at, count);
        double second = i % 2 ? time_bare(fd, l.batch, &at, count) : time_ours(&l, count);
        double x = i % 2 ? first : second, y = i % 2 ? second : first;
        bench_add(&ratio, y / x);
        bench_add(&ours, count / x);
        bench_add(&bare, count / y);
    }
    bench_report(b, &(struct bench_result){"append_1mib", "batches/s", bench_median(&ours),
                                           bench_median(&bare), bench_median(&ratio), 0.8, true});
    close(fd);
    unlink(path);
    leader_close(&l);
}

/* -- small ones, per core -- */

void measure_append_100b(struct bench *b)
{
    struct leader l;
    struct bench_samples rate = {0}, wall = {0};
    int blocks = b->quick ? 3 : 20, count = 20000;
    leader_open(&l, b, SMALL_VALUE);
    leader_append(&l, count);
    for (int i = 0; i < blocks; i++) {
        double cpu = bench_cpu_s(), from = bench_wall_s();
        leader_append(&l, count);
        bench_add(&rate, count / (bench_cpu_s() - cpu));
        bench_add(&wall, count / (bench_wall_s() - from));
    }
    double median = bench_median(&rate);
    bench_report(b, &(struct bench_result){"append_100b", "per CPU s", median, bench_median(&wall), median,
                                           500000, true});
    leader_close(&l);
}
