/* SPDX-License-Identifier: Apache-2.0 */
/* usage: log_bench [-o json] [--quick] [--only NAME,...] DIR */
#include "tests/bench/log/log_bench.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/base/prng.h"
#include "common/batch/builder.h"
#include "common/env_uv/env_uv.h"

void bench_must(enum err err, const char *what)
{
    if (err == OK)
        return;
    fprintf(stderr, "%s: %s\n", what, err_text(err));
    exit(2);
}

void bench_sys(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(2);
}

static double seconds(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

double bench_wall_s(void)
{
    return seconds(CLOCK_MONOTONIC);
}

double bench_cpu_s(void)
{
    return seconds(CLOCK_THREAD_CPUTIME_ID);
}

void bench_add(struct bench_samples *s, double v)
{
    ASSERT(s->count < BENCH_SAMPLES_MAX);
    s->v[s->count++] = v;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(struct bench_samples *s)
{
    ASSERT(s->count > 0);
    qsort(s->v, (size_t)s->count, sizeof(s->v[0]), by_value);
    return s->v[s->count / 2];
}

void bench_report(struct bench *b, const struct bench_result *r)
{
    bool held = r->at_least ? r->value >= r->target : r->value <= r->target;
    if (!held && !b->quick)
        b->missed++;
    if (b->json)
        printf("{\"measure\":\"%s\",\"ours\":%.3f,\"peer\":%.3f,\"unit\":\"%s\",\"value\":%.3f,\"target\":%."
               "3f,\"at_least\":%s,"
               "\"held\":%s}\n",
               r->name, r->ours, r->peer, r->unit, r->value, r->target, r->at_least ? "true" : "false",
               held ? "true" : "false");
    else
        printf("%-16s ours %12.2f %-10s beside it %12.2f   value %12.3f %s %10.2f  %s\n", r->name, r->ours,
               r->unit, r->peer, r->value, r->at_least ? ">=" : "<=", r->target, held ? "held" : "MISSED");
    fflush(stdout);
}

const char *bench_path(const struct bench *b, const char *name, char out[BENCH_PATH_MAX])
{
    int len = snprintf(out, BENCH_PATH_MAX, "%s/%s", b->dir, name);
    ASSERT(len > 0 && len < BENCH_PATH_MAX);
    return out;
}

void bench_mkdir(const char *path)
{
    bench_sys(mkdir(path, 0700) == 0 || errno == EEXIST, path);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

void bench_remove(const char *path)
{
    if (access(path, F_OK) == 0)
        bench_sys(nftw(path, remove_one, 64, FTW_DEPTH | FTW_PHYS) == 0, path);
}

struct iobuf *bench_batch(int32_t value_bytes)
{
    struct batch_builder builder;
    struct iobuf *batch;
    struct prng prng;
    uint8_t *value = malloc((size_t)value_bytes + 8);
    bench_sys(value != NULL, "memory");
    prng_seed(&prng, 1);
    for (int32_t i = 0; i < value_bytes; i += 8) {
        uint64_t noise = prng_next(&prng);
        memcpy(value + i, &noise, 8);
    }
    struct record_in record = {
        .timestamp_ms = (int64_t)time(NULL) * 1000, .key = BYTES_NULL, .value = {value, value_bytes}};
    bench_must(
        (enum err)batch_builder_init(&builder, &BATCH_OPTS_PLAIN, NULL, (size_t)value_bytes + 256, 4 << 20),
        "batch");
    bench_must((enum err)batch_builder_add(&builder, &record), "record");
    bench_must((enum err)batch_builder_finish(&builder, NULL, &batch), "batch");
    free(value);
    return batch;
}

static void nobody(void *ctx, int64_t synced_end, enum err err)
{
    bench_must(err, "sync");
}

struct plog_setup bench_setup(struct bench *b, const char *data_dir, const char *name,
                              void (*synced)(void *ctx, int64_t synced_end, enum err err), void *ctx)
{
    return (struct plog_setup){.env = b->env,
                               .data_dir = data_dir,
                               .name = name,
                               .topic_id = {{1, 2, 3}},
                               .config = {.segment_bytes = 1 << 30, .producer_expiry_us = 86400000000},
                               .synced = synced ? synced : nobody,
                               .ctx = ctx};
}

void bench_append(struct plog *log, struct iobuf *batch)
{
    batch_set_base_offset(batch->data, plog_end(log));
    batch_set_leader_epoch(batch->data, 0);
    bench_must(plog_append(log, batch->data, batch->len), "append");
}

/* -- the program -- */

static const struct {
    const char *name;
    void (*run)(struct bench *b);
} measures[] = {
    {"append_1mib", measure_append_1mib},     {"append_100b", measure_append_100b},
    {"send_file", measure_send_file},         {"lookup_1tb", measure_lookup_1tb},
    {"sync_100_logs", measure_sync_100_logs}, {"recover_1000", measure_recover_1000},
    {"idle_logs", measure_idle_logs},
};

static bool listed(const char *list, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = list; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, name, len) == 0 && (at[len] == ',' || at[len] == 0))
            return true;
    return list == NULL;
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    const char *only = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0)
            b.quick = true;
        else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
            only = argv[++i];
        else if (strcmp(argv[i], "-o") == 0 && i + 1 < argc)
            b.json = strcmp(argv[++i], "json") == 0;
        else
            b.dir = argv[i];
    }
    if (b.dir == NULL || b.dir[0] == '-') {
        fprintf(stderr, "usage: %s [-o json] [--quick] [--only NAME,...] DIR\n", argv[0]);
        return 2;
    }
    bench_mkdir(b.dir);
    b.env = env_uv_main_new();
    for (size_t i = 0; i < ARRAY_LEN(measures); i++)
        if (listed(only, measures[i].name))
            measures[i].run(&b);
    env_uv_main_free(b.env);
    return b.missed ? 1 : 0;
}
