/* SPDX-License-Identifier: Apache-2.0 */
/* One small batch to each of 100 logs, then the wait until all are durable; beside it, in turns and in the
 * same folder, the same bytes to 100 files with room made ahead as the logs have it, each followed by its own
 * fdatasync; and the same bytes once more, all of them and then one syncfs, the best that bare calls can do
 * (README.md). */
#include <fcntl.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/batch/batch.h"
#include "common/env_uv/env_uv.h"
#include "tests/bench/log/log_bench.h"

#define LOGS           100
#define BEST_SHARE_MIN 0.6         /* of the bare writes and their syncfs: the rest is what appending takes */
#define BARE_ROOM      (64 * 1024) /* as plog_room.c begins */

/* What the ratio comes from. One, when the kernel's syncfs is the cheaper way; all of them one by one when
 * other processes keep the file system busy. */
#define SYNCS_MAX LOGS

struct synced {
    struct plog *logs[LOGS];
    char names[LOGS][16];
};

static void told(void *ctx, int64_t synced_end, enum err err)
{
    bench_must(err, "sync");
}

static bool all_durable(const struct synced *s)
{
    for (int i = 0; i < LOGS; i++)
        if (plog_synced_end(s->logs[i]) < plog_end(s->logs[i]))
            return false;
    return true;
}

static double round_ours(struct bench *b, struct synced *s, struct iobuf *batch)
{
    double from = bench_wall_s();
    for (int i = 0; i < LOGS; i++) {
        bench_append(s->logs[i], batch);
        plog_sync(s->logs[i]);
    }
    while (!all_durable(s))
        env_uv_main_turn(b->env);
    return bench_wall_s() - from;
}

static double round_bare(const int *files, uint64_t at, const struct iobuf *batch)
{
    double from = bench_wall_s();
    for (int i = 0; i < LOGS; i++) {
        struct iovec iov = {(void *)(uintptr_t)batch->data, batch->len};
        bench_sys(pwritev(files[i], &iov, 1, (off_t)at) == (ssize_t)batch->len && fdatasync(files[i]) == 0,
                  "fdatasync");
    }
    return bench_wall_s() - from;
}

/* All of them, then the whole file system. */
static double round_together(const int *files, uint64_t at, const struct iobuf *batch)
{
    double from = bench_wall_s();
    for (int i = 0; i < LOGS; i++) {
        struct iovec iov = {(void *)(uintptr_t)batch->data, batch->len};
        bench_sys(pwritev(files[i], &iov, 1, (off_t)at) == (ssize_t)batch->len, "pwritev");
    }
    bench_sys(syncfs(files[0]) == 0, "syncfs");
    return bench_wall_s() - from;
}

static void open_logs(struct bench *b, struct synced *s, const char *dir)
{
    struct plog_report report;
    for (int i = 0; i < LOGS; i++) {
        snprintf(s->names[i], sizeof(s->names[i]), "log-%d", i);
        struct plog_setup setup = bench_setup(b, dir, s->names[i], told, s);
        bench_must(plog_open(&setup, &s->logs[i], &report), s->names[i]);
    }
}

static void open_files(const struct bench *b, int *files)
{
    char path[BENCH_PATH_MAX], name[32];
    for (int i = 0; i < LOGS; i++) {
        snprintf(name, sizeof(name), "synced/bare-%d", i);
        files[i] = open(bench_path(b, name, path), O_RDWR | O_CREAT | O_TRUNC, 0600);
        bench_sys(files[i] >= 0 && fallocate(files[i], 0, 0, BARE_ROOM) == 0, path);
    }
}

void measure_sync_100_logs(struct bench *b)
{
    static struct synced s;
    int files[LOGS], rounds = b->quick ? 2 : 40;
    char dir[BENCH_PATH_MAX];
    struct bench_samples ratio = {0}, ours = {0}, bare = {0}, best = {0}, together_rate = {0};
    uint64_t alone, together, alone_before, together_before;
    struct iobuf *batch = bench_batch(100);
    bench_mkdir(bench_path(b, "synced", dir));
    open_logs(b, &s, dir);
    open_files(b, files);
    round_ours(b, &s, batch); /* the first creates and syncs directories, too */
    round_bare(files, 0, batch);
    env_uv_sync_counts(b->env, &alone_before, &together_before);
    for (int i = 1; i <= rounds; i++) {
        double x = round_ours(b, &s, batch), y = round_bare(files, (uint64_t)(2 * i) * batch->len, batch);
        double z = round_together(files, (uint64_t)(2 * i + 1) * batch->len, batch);
        bench_add(&ratio, y / x);
        bench_add(&best, z / x);
        bench_add(&together_rate, LOGS / z);
        bench_add(&ours, LOGS / x);
        bench_add(&bare, LOGS / y);
    }
    bench_report(b, &(struct bench_result){"sync_100_logs", "logs/s", bench_median(&ours),
                                           bench_median(&bare), bench_median(&ratio), 10, true});
    bench_report(b, &(struct bench_result){"sync_100_best_bare", "logs/s", bench_median(&ours),
                                           bench_median(&together_rate), bench_median(&best), BEST_SHARE_MIN,
                                           true});
    env_uv_sync_counts(b->env, &alone, &together);
    double syncs = (double)(alone - alone_before + together - together_before) / rounds;
    bench_report(b,
                 &(struct bench_result){"syncs_of_a_round", "syncs", syncs, LOGS, syncs, SYNCS_MAX, false});
    for (int i = 0; i < LOGS; i++) {
        plog_close(s.logs[i]);
        close(files[i]);
    }
    iobuf_unref(batch);
    bench_remove(dir);
}
