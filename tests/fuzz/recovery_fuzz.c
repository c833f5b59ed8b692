/* SPDX-License-Identifier: Apache-2.0 */
/* A partition directory as a crash or a bad disk may leave it, opened by the broker's log. Byte 0 how the
 * rest is cut into .log, .index, .timeindex, .snapshot and leader-epoch-checkpoint, byte 1 repairs and how
 * the last stop was, byte 2 the recovery point. What opens takes an append, gives every batch it claims to
 * have or says CORRUPT, and opens again with the same end. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "broker/log/plog.h"
#include "common/base/assert.h"
#include "common/batch/builder.h"
#include "common/logformat/meta_text.h"
#include "common/logformat/snapshot_format.h"
#include "tests/lib/mem_env.h"

#define DIR  "/d/t-0"
#define NAME DIR "/00000000000000000000"

enum choice {
    REPAIR = 1,     /* offsets and checksums of the batches */
    CLEAN = 2,      /* the last stop was clean */
    POWER_LOST = 4, /* and else the page cache is gone */
    GAPS = 8,       /* a compacted topic */
    SEAL = 16,      /* the snapshot's checksum is right */
    BEGINS = 32,    /* the recovery point is the log's start: perhaps within a batch */
};

struct fuzzed {
    struct mem_world *world;
    struct mem_env *m;
    struct env *env;
    struct plog_setup setup;
    struct plog *log;
};

static void synced(void *ctx, int64_t synced_end, enum err err)
{
}

static void write_file(struct env *env, const char *path, const uint8_t *p, size_t len)
{
    struct env_file *file;
    struct iovec iov = {(void *)(uintptr_t)p, len};
    ASSERT(env_file_open(env, path, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file) == OK);
    ASSERT(len == 0 || env_file_write(file, 0, &iov, 1) == OK);
    env_file_close(file);
}

static void repair(uint8_t *p, size_t len)
{
    size_t at = 0, size;
    int64_t offset = 0;
    while (len - at >= BATCH_HEADER_BYTES) {
        p[at + BATCH_AT_MAGIC] = BATCH_MAGIC;
        if (batch_peek(p + at, len - at, &size) != OK || size > len - at ||
            batch_last_offset_delta(p + at) < 0)
            return;
        batch_set_base_offset(p + at, offset);
        store_be32(p + at + BATCH_AT_CRC, batch_compute_crc(p + at));
        offset = batch_next_offset(p + at);
        at += size;
    }
}

static void write_files(struct fuzzed *f, uint8_t *p, size_t len, uint8_t cut, uint8_t choices)
{
    static const struct uuid id = {{1}};
    size_t part = len * (cut & 7) / 32, log = len - 4 * part;
    char meta[META_TEXT_MAX];
    ASSERT(env_mkdir(f->env, "/d") == OK && env_mkdir(f->env, DIR) == OK);
    write_file(f->env, DIR "/" META_TEXT_NAME, (const uint8_t *)meta, meta_text_format(id, meta));
    if (choices & REPAIR)
        repair(p, log);
    if (choices & SEAL && part >= SNAPSHOT_HEAD_BYTES)
        snapshot_seal(p + log + 2 * part, part, load_be32(p + log + 2 * part + SNAPSHOT_COUNT_AT));
    write_file(f->env, NAME ".log", p, log);
    write_file(f->env, NAME ".index", p + log, part);
    write_file(f->env, NAME ".timeindex", p + log + part, part);
    write_file(f->env, NAME ".snapshot", p + log + 2 * part, part);
    write_file(f->env, DIR "/leader-epoch-checkpoint", p + log + 3 * part, part);
}

static void run(struct fuzzed *f)
{
    mem_world_run(f->world, mem_world_now_us(f->world) + 200000);
}

static bool open_log(struct fuzzed *f)
{
    struct plog_report report;
    f->log = NULL;
    enum err err = plog_open(&f->setup, &f->log, &report);
    ASSERT(err == OK || err == ERR_CORRUPT || err == ERR_MISMATCH || err == ERR_TOO_LARGE ||
           err == ERR_VERSION);
    if (f->log)
        ASSERT(plog_start(f->log) <= plog_end(f->log) && plog_synced_end(f->log) <= plog_end(f->log));
    return err == OK;
}

/* Every batch, or damage where it lies. */
static void read_all(struct fuzzed *f)
{
    int64_t offset = plog_start(f->log);
    while (offset < plog_end(f->log)) {
        struct plog_piece piece;
        enum err err = plog_read(f->log, offset, plog_end(f->log), 1 << 16, true, &piece);
        if (err)
            return;
        if (piece.len == 0)
            return;
        for (int32_t at = 0; at < piece.len; at += (int32_t)batch_size(piece.p + at)) {
            ASSERT(batch_verify(piece.p + at, (size_t)(piece.len - at)) == OK);
            ASSERT(batch_next_offset(piece.p + at) > offset);
            offset = batch_next_offset(piece.p + at);
        }
        iobuf_unref(piece.owner);
    }
}

static void append_one(struct fuzzed *f)
{
    struct batch_builder b;
    struct iobuf *batch;
    struct record_in rec = {.timestamp_ms = 1, .key = BYTES_NULL, .value = BYTES_NULL};
    int32_t epoch = epoch_cache_latest(plog_epochs(f->log));
    if (plog_end(f->log) > INT64_MAX - 2)
        return;
    ASSERT(batch_builder_init(&b, &BATCH_OPTS_PLAIN, NULL, 128, 4096) == OK);
    ASSERT(batch_builder_add(&b, &rec) == OK && batch_builder_finish(&b, NULL, &batch) == OK);
    batch_set_base_offset(batch->data, plog_end(f->log));
    batch_set_leader_epoch(batch->data, epoch < 0 ? 0 : epoch);
    ASSERT(plog_append(f->log, batch->data, batch->len) == OK);
    iobuf_unref(batch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    struct fuzzed f = {.world = mem_world_new(1)};
    size_t len = size - 3;
    uint8_t *p = malloc(len + 1);
    memcpy(p, data + 3, len);
    f.m = mem_env_new(f.world);
    f.env = mem_env_env(f.m);
    f.setup = (struct plog_setup){
        .env = f.env,
        .data_dir = "/d",
        .name = "t-0",
        .topic_id = {{1}},
        .config = {.segment_bytes = 1 << 20, .producer_expiry_us = 1000000, .may_have_gaps = data[1] & GAPS},
        .clean = data[1] & CLEAN,
        .power_lost = !(data[1] & CLEAN) && data[1] & POWER_LOST,
        .recovery_point = data[2],
        .log_start = data[1] & BEGINS ? data[2] : 0,
        .synced = synced};
    write_files(&f, p, len, data[0], data[1]);
    if (open_log(&f)) {
        read_all(&f);
        append_one(&f);
        int64_t end = plog_end(f.log);
        plog_sync(f.log);
        run(&f);
        bool closed = plog_close_clean(f.log) == OK;
        plog_close(f.log);
        run(&f);
        f.setup.clean = true;
        f.setup.recovery_point = end;
        if (closed && open_log(&f)) {
            ASSERT(plog_end(f.log) == end);
            read_all(&f);
            plog_close(f.log);
        }
    }
    run(&f);
    free(p);
    mem_world_free(f.world);
    return 0;
}
