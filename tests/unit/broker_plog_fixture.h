/* SPDX-License-Identifier: Apache-2.0 */
/* One partition log on the small memory env, and batches whose content tells their offset. */
#ifndef SLUICE_TESTS_BROKER_PLOG_FIXTURE_H
#define SLUICE_TESTS_BROKER_PLOG_FIXTURE_H

#include <stdio.h>
#include <string.h>

#include "broker/log/plog.h"
#include "broker/log/plog_handles.h"
#include "common/base/assert.h"
#include "common/batch/builder.h"
#include "tests/lib/mem_env.h"
#include "tests/lib/unit.h"

#define DATA_DIR "/data"
#define LOG_DIR  DATA_DIR "/orders-0"

struct plog_fixture {
    struct mem_world *world;
    struct mem_env *mem;
    struct env *env;
    struct plog_handles handles; /* a tight budget: files are closed and opened again all the time */
    struct plog_setup setup;
    struct plog *log;
    struct plog_report report;
    int64_t synced_end; /* last told */
    enum err synced_err;
    int32_t epoch; /* of appended batches */
};

static inline void fixture_synced(void *ctx, int64_t synced_end, enum err err)
{
    struct plog_fixture *f = ctx;
    if (err == OK)
        f->synced_end = synced_end;
    else
        f->synced_err = err;
}

static inline void fixture_start(struct plog_fixture *f, int64_t segment_bytes, uint64_t seed)
{
    memset(f, 0, sizeof(*f));
    f->world = mem_world_new(seed);
    f->mem = mem_env_new(f->world);
    f->env = mem_env_env(f->mem);
    plog_handles_init(&f->handles, f->env, 0);
    f->setup = (struct plog_setup){.env = f->env,
                                   .handles = &f->handles,
                                   .data_dir = DATA_DIR,
                                   .name = "orders-0",
                                   .topic_id = {{1, 2, 3, 4, 5, 6, 7, 8, 9}},
                                   .config = {.segment_bytes = segment_bytes,
                                              .index_interval_bytes = 200,
                                              .producer_expiry_us = 3600ull * 1000 * 1000},
                                   .synced = fixture_synced,
                                   .ctx = f};
    ck_assert_int_eq(env_mkdir(f->env, DATA_DIR), OK);
}

static inline enum err fixture_open(struct plog_fixture *f, bool clean, int64_t recovery_point,
                                    int64_t log_start)
{
    f->setup.clean = clean;
    f->setup.recovery_point = recovery_point;
    f->setup.log_start = log_start;
    return plog_open(&f->setup, &f->log, &f->report);
}

static inline void fixture_run(struct plog_fixture *f)
{
    mem_world_run(f->world, mem_world_now_us(f->world) + 100000);
}

static inline void fixture_close(struct plog_fixture *f, bool clean)
{
    while (f->log && clean && plog_syncing(f->log))
        mem_world_run(f->world, mem_world_now_us(f->world) + 50);
    if (f->log && clean)
        ck_assert_int_eq(plog_close_clean(f->log), OK);
    if (f->log)
        plog_close(f->log);
    f->log = NULL;
    fixture_run(f);
}

static inline void fixture_stop(struct plog_fixture *f)
{
    fixture_close(f, false);
    plog_handles_free(&f->handles);
    mem_world_free(f->world);
}

/* A batch of count records at base_offset, each value of value_len bytes that depend on offset and epoch. */
static inline struct iobuf *fixture_batch(int64_t base_offset, int count, int value_len, int32_t epoch)
{
    struct batch_opts opts = BATCH_OPTS_PLAIN;
    struct batch_builder builder;
    struct iobuf *batch;
    uint8_t value[4096];
    ck_assert_int_le(value_len, (int)sizeof(value));
    opts.producer_id = 500 + base_offset % 3;
    opts.producer_epoch = 0;
    opts.base_sequence = (int32_t)base_offset;
    ck_assert_int_eq(batch_builder_init(&builder, &opts, NULL, 1024, 1 << 20), OK);
    for (int i = 0; i < count; i++) {
        memset(value, (int)((base_offset + i) * 7 + epoch), sizeof(value));
        struct record_in record = {
            .timestamp_ms = 1000000 + (base_offset + i) * 10, .key = BYTES_NULL, .value = {value, value_len}};
        ck_assert_int_eq(batch_builder_add(&builder, &record), OK);
    }
    ck_assert_int_eq(batch_builder_finish(&builder, NULL, &batch), OK);
    batch_set_base_offset(batch->data, base_offset);
    batch_set_leader_epoch(batch->data, epoch);
    return batch;
}

static inline enum err fixture_append(struct plog_fixture *f, int count, int value_len)
{
    struct iobuf *batch = fixture_batch(plog_end(f->log), count, value_len, f->epoch);
    enum err err = plog_append(f->log, batch->data, batch->len);
    iobuf_unref(batch);
    return err;
}

/* The log's batches from offset to the end, one read after another; returns the hash of their bytes and
 * (ret_end) where they end. */
static inline uint64_t fixture_read_all(struct plog_fixture *f, int64_t offset, int32_t max_bytes,
                                        int64_t *ret_end)
{
    uint64_t crc = 0;
    while (offset < plog_end(f->log)) {
        struct plog_piece piece;
        ck_assert_int_eq(plog_read(f->log, offset, plog_end(f->log), max_bytes, true, &piece), OK);
        ck_assert_int_gt(piece.len, 0);
        ck_assert_int_le(batch_base_offset(piece.p), offset);
        for (int32_t at = 0; at < piece.len; at += (int32_t)batch_size(piece.p + at)) {
            ck_assert_int_eq(batch_verify(piece.p + at, (size_t)(piece.len - at)), OK);
            ck_assert_int_gt(batch_next_offset(piece.p + at), offset);
            offset = batch_next_offset(piece.p + at);
            crc = crc * 31 + batch_crc(piece.p + at);
        }
        iobuf_unref(piece.owner);
    }
    *ret_end = offset;
    return crc;
}

static inline const char *fixture_path(int64_t base_offset, const char *suffix, char out[128])
{
    snprintf(out, 128, LOG_DIR "/%020lld%s", (long long)base_offset, suffix);
    return out;
}

#endif
