/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of every process, read from /proc when scraped. Not for the simulator: it does not register
 * these. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/obs/metrics.h"

/* Reads a small file of /proc as text. 0 bytes when it cannot. */
static size_t read_small(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? 0 : read(fd, out, size - 1);
    if (fd >= 0)
        close(fd);
    out[len > 0 ? len : 0] = '\0';
    return len > 0 ? (size_t)len : 0;
}

static double resident_bytes(void *ctx)
{
    char text[128];
    unsigned long total, resident = 0;
    read_small("/proc/self/statm", text, sizeof(text));
    if (sscanf(text, "%lu %lu", &total, &resident) != 2)
        return 0;
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static double cpu_seconds(void *ctx)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static double open_fds(void *ctx)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;
    if (!dir)
        return 0;
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 3; /* ".", ".." and the one being read */
}

static double max_fds(void *ctx)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    return (double)limit.rlim_cur;
}

/* Boot time plus the start in ticks since boot (the 22nd word of stat; the second one may hold blanks, but
 * ends with the last ')'). */
static double start_seconds(void *ctx)
{
    char text[8192];
    unsigned long long ticks = 0, boot = 0;
    read_small("/proc/self/stat", text, sizeof(text));
    const char *p = strrchr(text, ')');
    for (int word = 2; p && word < 22; word++) {
        p = strchr(p, ' ');
        p = p ? p + 1 : NULL;
    }
    if (p)
        ticks = strtoull(p, NULL, 10);
    FILE *stat = fopen("/proc/stat", "re");
    while (stat && fgets(text, sizeof(text), stat) && sscanf(text, "btime %llu", &boot) != 1)
        ;
    if (stat)
        fclose(stat);
    return (double)boot + (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static double one(void *ctx)
{
    return 1;
}

void metrics_add_process(struct metrics *metrics)
{
    metrics_gauge_fn(metrics, "sluice_build_info", "Version that runs; the value is always 1.",
                     METRIC_LABELS({"version", SLUICE_VERSION}), one, NULL);
    metrics_gauge_fn(metrics, "process_resident_memory_bytes", "Memory in RAM.", METRIC_NO_LABELS,
                     resident_bytes, NULL);
    metrics_counter_fn(metrics, "process_cpu_seconds_total", "CPU time used, user and system.",
                       METRIC_NO_LABELS, cpu_seconds, NULL);
    metrics_gauge_fn(metrics, "process_open_fds", "File descriptors in use.", METRIC_NO_LABELS, open_fds,
                     NULL);
    metrics_gauge_fn(metrics, "process_max_fds", "File descriptors allowed.", METRIC_NO_LABELS, max_fds,
                     NULL);
    metrics_gauge_fn(metrics, "process_start_time_seconds", "Start, in seconds since 1970.", METRIC_NO_LABELS,
                     start_seconds, NULL);
}
