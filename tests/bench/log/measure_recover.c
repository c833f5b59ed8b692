/* SPDX-License-Identifier: Apache-2.0 */
/* Opening 1,000 logs after kill -9, each with 1 MiB above its recovery point (in the page cache, as then). */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "tests/bench/log/log_bench.h"

#define ABOVE_BYTES (1 << 20)

static void open_one(struct bench *b, const char *dir, int i, int64_t recovery_point, struct plog **ret,
                     struct plog_report *report)
{
    char name[24];
    snprintf(name, sizeof(name), "dead-%d", i);
    struct plog_setup setup = bench_setup(b, dir, name, NULL, NULL);
    setup.recovery_point = recovery_point;
    bench_must(plog_open(&setup, ret, report), name);
}

/* Returns the offset up to which the logs count as synced. */
static int64_t make_logs(struct bench *b, const char *dir, int logs)
{
    struct iobuf *batch = bench_batch(1000);
    int64_t below = 16, batches = below + ABOVE_BYTES / (int64_t)batch->len + 1;
    for (int i = 0; i < logs; i++) {
        struct plog *log;
        struct plog_report report;
        open_one(b, dir, i, 0, &log, &report);
        for (int64_t n = 0; n < batches; n++)
            bench_append(log, batch);
        plog_close(log);
    }
    iobuf_unref(batch);
    return below;
}

void measure_recover_1000(struct bench *b)
{
    int logs = b->quick ? 50 : 1000;
    char dir[BENCH_PATH_MAX];
    int64_t scanned = 0;
    struct plog **list = calloc((size_t)logs, sizeof(*list));
    bench_sys(list != NULL, "memory");
    bench_mkdir(bench_path(b, "dead", dir));
    int64_t recovery_point = make_logs(b, dir, logs);
    double from = bench_wall_s();
    for (int i = 0; i < logs; i++) {
        struct plog_report report;
        open_one(b, dir, i, recovery_point, &list[i], &report);
        scanned += report.scanned_bytes;
    }
    double took = bench_wall_s() - from;
    bench_must(scanned >= (int64_t)logs * ABOVE_BYTES ? OK : ERR_INVALID, "scan");
    bench_report(b, &(struct bench_result){"recover_1000", "s", took, 0, took, 5, false});
    for (int i = 0; i < logs; i++)
        plog_close(list[i]);
    free(list);
    bench_remove(dir);
}
