/* SPDX-License-Identifier: Apache-2.0 */
/* A segment as a damaged disk may give it, walked as recovery, truncation and `sluice log` do, and checked
 * with its indexes as `sluice log verify` does. Byte 0 says how the file is cut into .log, .index and
 * .timeindex, byte 1 which checksums are made right; the rest is the files' bytes. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "client/cli/log_check.h"
#include "common/base/assert.h"
#include "common/logwalk/walk.h"
#include "tests/lib/mem_env.h"

#define DIR             "/t-0"
#define NAME            DIR "/00000000000000000000"
#define PLAIN_BYTES_MAX ((size_t)1 << 20)

static void write_file(struct mem_env *m, const char *path, const uint8_t *p, size_t len)
{
    struct env_file *file;
    struct iovec iov = {(void *)(uintptr_t)p, len};
    ASSERT(env_file_open(mem_env_env(m), path, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file) == OK);
    ASSERT(len == 0 || env_file_write(file, 0, &iov, 1) == OK);
    env_file_close(file);
}

/* Makes headers and checksums of consecutive batches right, so that mutations reach what lies behind. */
static void repair(uint8_t *p, size_t len, uint8_t choices)
{
    size_t at = 0, size;
    int64_t offset = 0;
    while (choices && len - at >= BATCH_HEADER_BYTES) {
        p[at + BATCH_AT_MAGIC] = BATCH_MAGIC;
        if (choices & 1)
            batch_set_base_offset(p + at, offset);
        if (batch_peek(p + at, len - at, &size) != OK || size > len - at)
            return;
        store_be32(p + at + BATCH_AT_CRC, batch_compute_crc(p + at));
        offset = batch_next_offset(p + at);
        at += size;
        choices = choices & 2 ? choices : 0;
    }
}

static void walk(struct env *env, uint32_t len, bool check_crc)
{
    struct env_file *file;
    struct plog_walk w;
    struct batch_header b;
    const uint8_t *bytes;
    bool found = true;
    ASSERT(env_file_open(env, NAME ".log", ENV_OPEN_READ, &file) == OK);
    ASSERT(plog_walk_start(&w, file, 0, 0, len, check_crc) == OK);
    while (found) {
        uint32_t before = w.position;
        enum err err = plog_walk_next(&w, &b, &bytes);
        ASSERT(err == OK || err == ERR_NOT_FOUND || err == ERR_CORRUPT || err == ERR_TRUNCATED);
        if (err == OK) {
            ASSERT(b.size_bytes >= BATCH_HEADER_BYTES && w.position == before + b.size_bytes &&
                   w.position <= len);
            ASSERT(!check_crc || batch_verify(bytes, b.size_bytes) == OK);
            continue;
        }
        if (err == ERR_NOT_FOUND)
            break;
        w.position = before;
        ASSERT(plog_walk_search(&w, -1, INT64_MAX, &found, &before) == OK);
        ASSERT(!found || (before < len && w.position == before));
    }
    plog_walk_end(&w);
    env_file_close(file);
}

static void ignore(void *ctx, const struct log_finding *finding)
{
    ASSERT(finding->reason != NULL && finding->file != NULL);
}

static void verify(struct env *env)
{
    struct batch_scratch scratch;
    struct log_totals totals;
    char path[LOG_PATHS_MAX];
    const struct log_check check = {.env = env, .scratch = &scratch, .found = ignore};
    ASSERT(batch_scratch_init(&scratch, PLAIN_BYTES_MAX, 0) == OK);
    ASSERT(log_check_partition(&check, DIR, &totals, path) == OK);
    batch_scratch_free(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t len = size - 2, index = len * (data[0] & 15) / 32, times = len * (data[0] >> 4) / 32;
    struct mem_world *world = mem_world_new(1);
    struct mem_env *m = mem_env_new(world);
    uint8_t *p = malloc(len + 1);
    memcpy(p, data + 2, len);
    repair(p, len - index - times, data[1] & 3);
    ASSERT(env_mkdir(mem_env_env(m), DIR) == OK);
    write_file(m, NAME ".log", p, len - index - times);
    write_file(m, NAME ".index", p + len - index - times, index);
    write_file(m, NAME ".timeindex", p + len - times, times);
    walk(mem_env_env(m), (uint32_t)(len - index - times), true);
    walk(mem_env_env(m), (uint32_t)(len - index - times), false);
    verify(mem_env_env(m));
    free(p);
    mem_world_free(world);
    return 0;
}
