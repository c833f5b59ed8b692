/* SPDX-License-Identifier: Apache-2.0 */
/* What open, idle logs cost. They hold one batch each and were closed cleanly, as on a broker that starts
 * again. */
#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/env_uv/env_uv.h"
#include "tests/bench/log/log_bench.h"

static int open_files(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    bench_sys(dir != NULL, "/proc/self/fd");
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static double resident_bytes(void)
{
    long pages = 0, ignored;
    FILE *file = fopen("/proc/self/statm", "r");
    bench_sys(file != NULL && fscanf(file, "%ld %ld", &ignored, &pages) == 2, "/proc/self/statm");
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void open_one(struct bench *b, const char *dir, int i, bool clean, struct plog **ret)
{
    char name[24];
    struct plog_report report;
    snprintf(name, sizeof(name), "idle-%d", i);
    struct plog_setup setup = bench_setup(b, dir, name, NULL, NULL);
    setup.clean = clean;
    setup.recovery_point = clean ? 1 : 0;
    bench_must(plog_open(&setup, ret, &report), name);
}

static void make_logs(struct bench *b, const char *dir, int logs)
{
    struct iobuf *batch = bench_batch(100);
    struct plog *log;
    for (int i = 0; i < logs; i++) {
        open_one(b, dir, i, false, &log);
        bench_append(log, batch);
        plog_close(log); /* unclean, so that nothing is synced one by one; its files are whole all the same */
    }
    iobuf_unref(batch);
}

void measure_idle_logs(struct bench *b)
{
    int logs = b->quick ? 2000 : 100000;
    char dir[BENCH_PATH_MAX];
    struct plog **list = calloc((size_t)logs, sizeof(*list));
    bench_sys(list != NULL, "memory");
    bench_mkdir(bench_path(b, "idle", dir));
    make_logs(b, dir, logs);
    malloc_trim(0);
    double before = resident_bytes(), from = bench_wall_s();
    int files = open_files();
    uint32_t timers = b->env->timers.count;
    for (int i = 0; i < logs; i++)
        open_one(b, dir, i, true, &list[i]);
    double took = bench_wall_s() - from, each = (resident_bytes() - before) / logs;
    int more = open_files() - files;
    uint32_t armed = b->env->timers.count - timers;
    bench_report(b, &(struct bench_result){"idle_logs", "bytes", each, 0, each, 4096, false});
    bench_report(b, &(struct bench_result){"idle_log_files", "fds", more, 0, more, 0, false});
    bench_report(b, &(struct bench_result){"idle_log_timers", "timers", armed, 0, armed, 0, false});
    bench_report(b, &(struct bench_result){"idle_log_open", "us", took * 1e6 / logs, 0, took * 1e6 / logs,
                                           1000, false});
    for (int i = 0; i < logs; i++)
        plog_close(list[i]);
    free(list);
    bench_remove(dir);
}
