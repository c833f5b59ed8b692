/* SPDX-License-Identifier: Apache-2.0 */
/* What the measures of the partition log share. */
#ifndef SLUICE_TESTS_BENCH_LOG_BENCH_H
#define SLUICE_TESTS_BENCH_LOG_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/log/plog.h"
#include "common/base/iobuf.h"

#define BENCH_PATH_MAX    640
#define BENCH_SAMPLES_MAX 256

struct bench {
    struct env *env;
    const char *dir; /* on the disk that is measured; emptied by each measure */
    bool quick, json;
    int missed; /* targets that did not hold */
};

/* Ends the process with the reason unless err is OK; the same for a failed system call. */
void bench_must(enum err err, const char *what);
void bench_sys(bool ok, const char *what);

/* Seconds of the clock on the wall. */
double bench_wall_s(void);

/* Seconds of CPU time of this thread. */
double bench_cpu_s(void);

/* Figures of one kind; the median is what is reported. */
struct bench_samples {
    double v[BENCH_SAMPLES_MAX];
    int count;
};
/* At most BENCH_SAMPLES_MAX. */
void bench_add(struct bench_samples *s, double v);
double bench_median(struct bench_samples *s);

/* One line of the report. peer 0: nothing stands beside it. */
struct bench_result {
    const char *name, *unit;
    double ours, peer, value, target; /* value is what target is about: a ratio, or ours */
    bool at_least;                    /* value >= target is wanted; else <= */
};
void bench_report(struct bench *b, const struct bench_result *result);

/* A path below the measured directory. */
const char *bench_path(const struct bench *b, const char *name, char out[BENCH_PATH_MAX]);

/* Makes, and removes with all that is in it. */
void bench_mkdir(const char *path);
void bench_remove(const char *path);

/* One batch of one record with value_bytes of noise. */
struct iobuf *bench_batch(int32_t value_bytes);

/* Opens <dir>/<name>; told of syncs through synced (NULL: nobody). */
struct plog_setup bench_setup(struct bench *b, const char *data_dir, const char *name,
                              void (*synced)(void *ctx, int64_t synced_end, enum err err), void *ctx);

/* Stamps the batch with the log's end and appends it. */
void bench_append(struct plog *log, struct iobuf *batch);

/* The measures. */
void measure_append_1mib(struct bench *b);
void measure_append_100b(struct bench *b);
void measure_send_file(struct bench *b);
void measure_lookup_1tb(struct bench *b);
void measure_sync_100_logs(struct bench *b);
void measure_idle_logs(struct bench *b);
void measure_recover_1000(struct bench *b);

#endif
