/* SPDX-License-Identifier: Apache-2.0 */
/* A partition directory as the broker finds it at start, with one file that is not what it was. Byte 0: which
 * file, byte 1: how the last run ended (below), byte 2: the recovery point; then the file's bytes, or for
 * BITS places to flip (u16 position, u8 mask) in the first segment. With LEFTOVER, byte 0 names a file that a
 * compaction or a mending left behind, added to the others: so many bytes (u16) of the first segment, then
 * the rest. Whatever is found: the log opens or refuses, what it serves are whole good batches in order, it
 * goes on, and bytes of a peer mend what was flipped. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/log/plog.h"
#include "broker/log/plog_damage.h"
#include "common/base/assert.h"
#include "common/batch/builder.h"
#include "tests/lib/mem_env.h"

#define DIR     "/data/orders-0"
#define BATCHES 14
#define OFFSETS (BATCHES * 2)

enum choice { CLEAN = 1, POWER_LOST = 2, SYNC_FAILED = 4, GAPS = 8, REPAIR_CRC = 16, LEFTOVER = 32 };
enum { BITS = 8, FILES = 9 };

static const char *const names[] = {
    "00000000000000000000.log",      "00000000000000000018.log",
    "00000000000000000000.index",    "00000000000000000000.timeindex",
    "00000000000000000000.txnindex", "00000000000000000018.snapshot",
    "leader-epoch-checkpoint",       "partition.metadata",
};

static const char *const leftovers[] = {
    "00000000000000000000.log.swap",
    "00000000000000000018.log.swap",
    "00000000000000000004.log.swap",
    "00000000000000000000.log.cleaned",
    "00000000000000000000.index.cleaned",
    "00000000000000000000.timeindex.cleaned",
    "00000000000000000000.txnindex.cleaned",
    "00000000000000000000.log.mend",
    "00000000000000000030.log",
    "leader-epoch-checkpoint.tmp",
    "00000000000000000099.snapshot",
    "00000000000000000030.log.deleted",
};

struct fuzz {
    struct mem_world *world;
    struct mem_env *mem;
    struct mem_disk *disk; /* as it was */
    uint8_t *first;        /* bytes of the first segment */
    uint64_t first_size;
    struct plog_setup setup;
    struct plog *log;
};

static struct fuzz fuzz;

static void on_synced(void *ctx, int64_t synced_end, enum err err)
{
    (void)ctx;
    (void)synced_end;
    ASSERT(err == OK);
}

static struct iobuf *make_batch(int64_t base_offset, int32_t epoch)
{
    struct batch_opts opts = BATCH_OPTS_PLAIN;
    struct batch_builder builder;
    struct iobuf *batch = NULL;
    uint8_t value[40];
    memset(value, (int)base_offset, sizeof(value));
    opts.producer_id = 500 + base_offset % 3;
    opts.producer_epoch = 0;
    opts.base_sequence = (int32_t)base_offset;
    enum err err = batch_builder_init(&builder, &opts, NULL, 256, 1 << 16);
    for (int i = 0; i < 2 && err == OK; i++) {
        struct record_in record = {
            .timestamp_ms = 1000 + base_offset + i, .key = BYTES_NULL, .value = {value, sizeof(value)}};
        err = batch_builder_add(&builder, &record);
    }
    if (err == OK)
        err = batch_builder_finish(&builder, NULL, &batch);
    ASSERT(err == OK);
    batch_set_base_offset(batch->data, base_offset);
    batch_set_leader_epoch(batch->data, epoch);
    return batch;
}

static void append(struct plog *log, int32_t epoch)
{
    struct iobuf *batch = make_batch(plog_end(log), epoch);
    enum err err = plog_append(log, batch->data, batch->len);
    ASSERT(err == OK);
    iobuf_unref(batch);
}

static enum err open_log(void)
{
    struct plog_report report;
    fuzz.log = NULL;
    return plog_open(&fuzz.setup, &fuzz.log, &report);
}

static void close_log(bool clean)
{
    while (clean && plog_syncing(fuzz.log))
        mem_world_run(fuzz.world, mem_world_now_us(fuzz.world) + 50);
    if (clean)
        ASSERT(plog_close_clean(fuzz.log) == OK);
    plog_close(fuzz.log);
    mem_world_run(fuzz.world, mem_world_now_us(fuzz.world) + 10000);
}

static void start(void)
{
    uint64_t size;
    fuzz.world = mem_world_new(7);
    fuzz.mem = mem_env_new(fuzz.world);
    fuzz.setup = (struct plog_setup){.env = mem_env_env(fuzz.mem),
                                     .data_dir = "/data",
                                     .name = "orders-0",
                                     .topic_id = {{1, 2, 3}},
                                     .config = {.segment_bytes = 1400,
                                                .index_interval_bytes = 200,
                                                .producer_expiry_us = 3600ull * 1000 * 1000},
                                     .synced = on_synced};
    ASSERT(env_mkdir(fuzz.setup.env, "/data") == OK && open_log() == OK);
    for (int i = 0; i < BATCHES; i++)
        append(fuzz.log, i / 5);
    close_log(true);
    const uint8_t *first = mem_env_bytes(fuzz.mem, DIR "/00000000000000000000.log", &size);
    ASSERT(first != NULL &&
           mem_env_bytes(fuzz.mem, DIR "/00000000000000000018.log", &fuzz.first_size) != NULL);
    fuzz.first = malloc(size);
    fuzz.first_size = size;
    memcpy(fuzz.first, first, size);
    fuzz.disk = mem_env_save(fuzz.mem);
}

/* -- the input -- */

static void repair(uint8_t *p, size_t len)
{
    for (size_t at = 0; at + BATCH_HEADER_BYTES <= len;) {
        size_t size = batch_size(p + at);
        if (size < BATCH_HEADER_BYTES || size > len - at)
            return;
        store_be32(p + at + BATCH_AT_CRC, batch_compute_crc(p + at));
        at += size;
    }
}

static void replace_file(const char *name, const uint8_t *data, size_t size, bool fix)
{
    char path[128];
    struct env_file *file;
    snprintf(path, sizeof(path), DIR "/%s", name);
    ASSERT(env_file_open(fuzz.setup.env, path, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file) == OK);
    ASSERT(env_file_truncate(file, 0) == OK);
    uint8_t *copy = malloc(size + 1);
    memcpy(copy, data, size);
    if (fix)
        repair(copy, size);
    struct iovec iov = {copy, size};
    if (size > 0)
        ASSERT(env_file_write(file, 0, &iov, 1) == OK);
    env_file_close(file);
    free(copy);
}

static void flip(const uint8_t *data, size_t size)
{
    uint64_t len;
    uint8_t *bytes = mem_env_bytes(fuzz.mem, DIR "/00000000000000000000.log", &len);
    for (; size >= 3; data += 3, size -= 3)
        bytes[load_be16(data) % len] ^= data[2];
}

static void leave(const char *name, const uint8_t *data, size_t size, bool fix)
{
    size_t whole = size >= 2 ? MIN(load_be16(data), fuzz.first_size) : 0, rest = size >= 2 ? size - 2 : 0;
    uint8_t *bytes = malloc(whole + rest + 1);
    memcpy(bytes, fuzz.first, whole);
    memcpy(bytes + whole, data + size - rest, rest);
    replace_file(name, bytes, whole + rest, fix);
    free(bytes);
}

/* -- what must hold -- */

/* Where offsets may be missing, a flipped base offset may make the log seem very long. */
static void read_all(void)
{
    int left = 8 * OFFSETS;
    for (int64_t offset = plog_start(fuzz.log); offset < plog_end(fuzz.log) && left > 0; left--) {
        struct plog_piece piece;
        enum err err = plog_read(fuzz.log, offset, plog_end(fuzz.log), 300, true, &piece);
        ASSERT(err == OK || err == ERR_CORRUPT);
        const struct plog_damage *damage = plog_damage_at(fuzz.log, offset, false);
        ASSERT(damage == NULL || err == ERR_CORRUPT);
        int64_t next = damage ? damage->end : offset + 1;
        for (int32_t at = 0; err == OK && at < piece.len; at += (int32_t)batch_size(piece.p + at)) {
            ASSERT(batch_verify(piece.p + at, (size_t)(piece.len - at)) == OK);
            ASSERT(batch_next_offset(piece.p + at) >= next);
            next = batch_next_offset(piece.p + at);
        }
        if (err == OK)
            iobuf_unref(piece.owner);
        offset = next;
    }
}

/* The peer has all batches of the first segment as they were. */
static void mend_range(struct plog_damage damage)
{
    uint64_t from = 0, to = 0;
    while (from < fuzz.first_size && batch_base_offset(fuzz.first + from) < damage.offset)
        from += batch_size(fuzz.first + from);
    to = from;
    while (to < fuzz.first_size && batch_next_offset(fuzz.first + to) <= damage.end)
        to += batch_size(fuzz.first + to);
    if (to > from && batch_base_offset(fuzz.first + from) == damage.offset)
        plog_replace_range(fuzz.log, damage.offset, damage.end, fuzz.first + from, (uint32_t)(to - from));
}

static void mend_all(void)
{
    const struct plog_damage *list;
    for (int tries = 0; tries < BATCHES; tries++) {
        int32_t count = plog_damages(fuzz.log, &list);
        for (int32_t i = 0; i < count; i++) {
            struct plog_damage damage = list[i];
            mend_range(damage);
            if (plog_damages(fuzz.log, &list) != count)
                break;
        }
        if (plog_damages(fuzz.log, &list) == count)
            return;
    }
}

static void go_on(bool flipped)
{
    read_all();
    if (flipped)
        mend_all();
    read_all();
    append(fuzz.log, 100);
    int64_t end = plog_end(fuzz.log);
    plog_sync(fuzz.log);
    mem_world_run(fuzz.world, mem_world_now_us(fuzz.world) + 100000);
    ASSERT(plog_synced_end(fuzz.log) == end);
    close_log(true);
    fuzz.setup.clean = true;
    fuzz.setup.sync_failed = fuzz.setup.power_lost = false;
    fuzz.setup.recovery_point = end;
    ASSERT(open_log() == OK && plog_end(fuzz.log) == end);
    read_all();
    close_log(false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    if (fuzz.world == NULL)
        start();
    mem_env_restore(fuzz.mem, fuzz.disk);
    int which = data[0] % FILES;
    fuzz.setup.clean = data[1] & CLEAN;
    fuzz.setup.power_lost = !fuzz.setup.clean && (data[1] & POWER_LOST);
    fuzz.setup.sync_failed = !fuzz.setup.clean && (data[1] & SYNC_FAILED);
    fuzz.setup.config.may_have_gaps = data[1] & GAPS;
    fuzz.setup.recovery_point = fuzz.setup.clean ? OFFSETS : data[2] % (OFFSETS / 2 + 1) * 2;
    if (data[1] & LEFTOVER)
        leave(leftovers[data[0] % ARRAY_LEN(leftovers)], data + 3, size - 3, data[1] & REPAIR_CRC);
    else if (which == BITS)
        flip(data + 3, size - 3);
    else
        replace_file(names[which], data + 3, size - 3, (data[1] & REPAIR_CRC) && which < 2);
    if (open_log() == OK)
        go_on(which == BITS && !(data[1] & LEFTOVER));
    mem_world_run(fuzz.world, mem_world_now_us(fuzz.world) + 10000);
    return 0;
}
