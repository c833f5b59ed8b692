/* SPDX-License-Identifier: Apache-2.0 */
/* Offset to position in a log of 1 TB. Its segments are holes of 1 GiB; their indexes, which all look alike,
 * are one full file under many names: the log sees 1,024 indexes, the page cache holds one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/log/plog_internal.h"
#include "common/base/assert.h"
#include "common/base/prng.h"
#include "tests/bench/log/log_bench.h"

#define SEGMENTS         1024
#define SEGMENT_BYTES    ((uint64_t)1 << 30)
#define ENTRIES          (SEGMENT_BYTES / PLOG_INDEX_INTERVAL - 1)
#define OFFSETS_PER_STEP 40 /* records in 4 KiB */
#define SEGMENT_OFFSETS  ((int64_t)(ENTRIES + 1) * OFFSETS_PER_STEP)

static void file_name(const char *dir, int64_t offset, const char *suffix, char out[BENCH_PATH_MAX + 48])
{
    char name[LOG_FILE_NAME_MAX];
    log_file_name_format(offset, suffix, name);
    snprintf(out, BENCH_PATH_MAX + 48, "%s/%s", dir, name);
}

static void write_index(const char *path)
{
    FILE *file = fopen(path, "wb");
    bench_sys(file != NULL, path);
    for (uint64_t i = 1; i <= ENTRIES; i++) {
        uint8_t raw[OFFSET_ENTRY];
        offset_entry_store(raw, (struct offset_entry){(uint32_t)(i * OFFSETS_PER_STEP),
                                                      (uint32_t)(i * PLOG_INDEX_INTERVAL)});
        fwrite(raw, 1, sizeof(raw), file);
    }
    bench_sys(fclose(file) == 0, path);
}

static void make_segments(const char *dir)
{
    char first[BENCH_PATH_MAX + 48], path[BENCH_PATH_MAX + 48];
    file_name(dir, 0, LOG_SUFFIX_INDEX, first);
    write_index(first);
    for (int i = 0; i < SEGMENTS; i++) {
        file_name(dir, i * SEGMENT_OFFSETS, LOG_SUFFIX_LOG, path);
        int fd = open(path, O_RDWR | O_CREAT, 0600);
        bench_sys(fd >= 0 && ftruncate(fd, (off_t)SEGMENT_BYTES) == 0, path);
        close(fd);
        file_name(dir, i * SEGMENT_OFFSETS, LOG_SUFFIX_TIMEINDEX, path);
        fd = open(path, O_RDWR | O_CREAT, 0600);
        bench_sys(fd >= 0, path);
        close(fd);
        if (i == 0)
            continue;
        file_name(dir, i * SEGMENT_OFFSETS, LOG_SUFFIX_INDEX, path);
        bench_sys(link(first, path) == 0, path);
    }
}

/* The list of segments as opening makes it; opening itself would look for the last batch, and there is none.
 */
static void list_segments(struct plog *log)
{
    plog_segment_close(&log->segments[0]);
    free(log->segments);
    log->segments = calloc(SEGMENTS, sizeof(*log->segments));
    bench_sys(log->segments != NULL, "memory");
    log->segments_count = log->segments_cap = SEGMENTS;
    for (int i = 0; i < SEGMENTS; i++)
        log->segments[i] = (struct plog_segment){
            .base_offset = i * SEGMENT_OFFSETS, .size = (uint32_t)SEGMENT_BYTES, .index = {.trusted = true}};
    log->end = SEGMENTS * SEGMENT_OFFSETS;
}

static void look_up(struct plog *log, int64_t offset)
{
    uint32_t position;
    struct plog_segment *seg = &log->segments[plog_segment_find(log, offset)];
    bench_must(plog_index_lookup(log, seg, offset, &position), "lookup");
    uint64_t want = (uint64_t)(offset - seg->base_offset) / OFFSETS_PER_STEP * PLOG_INDEX_INTERVAL;
    bench_must(position == MIN(want, ENTRIES * PLOG_INDEX_INTERVAL) ? OK : ERR_CORRUPT, "position");
}

void measure_lookup_1tb(struct bench *b)
{
    char dir[BENCH_PATH_MAX], log_dir[BENCH_PATH_MAX];
    struct plog_report report;
    struct plog *log;
    struct prng prng;
    struct bench_samples us = {0};
    int blocks = b->quick ? 3 : 40, count = 2000;
    bench_mkdir(bench_path(b, "terabyte", dir));
    struct plog_setup setup = bench_setup(b, dir, "big-0", NULL, NULL);
    bench_must(plog_open(&setup, &log, &report), "open");
    make_segments(bench_path(b, "terabyte/big-0", log_dir));
    list_segments(log);
    prng_seed(&prng, 7);
    for (int i = 0; i < SEGMENTS; i++)
        look_up(log, i * SEGMENT_OFFSETS + 1);
    for (int i = 0; i < blocks; i++) {
        double from = bench_cpu_s();
        for (int n = 0; n < count; n++)
            look_up(log, (int64_t)(prng_next(&prng) % (uint64_t)log->end));
        bench_add(&us, (bench_cpu_s() - from) * 1e6 / count);
    }
    double median = bench_median(&us);
    bench_report(b, &(struct bench_result){"lookup_1tb", "us", median, 0, median, 5, false});
    plog_close(log);
    bench_remove(dir);
}
