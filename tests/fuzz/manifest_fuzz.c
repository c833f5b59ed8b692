/* SPDX-License-Identifier: Apache-2.0 */
/* The journal of a data directory as a start finds it. Byte 0 even: a whole file. Odd: frames (u8 type, u8
 * length, data), which get good checksums, then byte 1 says how many bytes of the file's end are cut.
 * Whatever is found the journal opens; what is put then is there at the next start. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "broker/log/manifest.h"
#include "common/base/assert.h"
#include "common/log/segfile.h"
#include "tests/lib/mem_env.h"

#define PATH "/data/" MANIFEST_NAME

static const struct segfile_limits limits = {.frame_max = 256};

static void write_raw(struct env *env, const uint8_t *data, size_t size)
{
    struct env_file *file;
    struct iovec iov = {(void *)(uintptr_t)data, size};
    ASSERT(env_file_open(env, PATH, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file) == OK);
    if (size > 0)
        ASSERT(env_file_write(file, 0, &iov, 1) == OK);
    env_file_close(file);
}

static void write_frames(struct mem_env *mem, const uint8_t *data, size_t size)
{
    struct env *env = mem_env_env(mem);
    struct segfile file;
    struct segfile_info info = {.kind = SEGFILE_MANIFEST};
    uint64_t len;
    uint32_t cut = data[0];
    ASSERT(segfile_create(env, PATH, &info, &limits, &file) == OK);
    data++;
    size--;
    while (size >= 2) {
        uint32_t want = data[1];
        struct segframe frame = {.type = data[0] % 8, .data = data + 2};
        frame.len = want > size - 2 ? (uint32_t)(size - 2) : want;
        ASSERT(segfile_append(&file, &frame, 1) == OK);
        data += 2 + frame.len;
        size -= 2 + frame.len;
    }
    segfile_close(&file);
    mem_env_bytes(mem, PATH, &len);
    mem_env_resize(mem, PATH, len - MIN(cut, len));
}

static void settle(struct mem_world *world)
{
    mem_world_run(world, mem_world_now_us(world) + 1000000);
}

static void use(struct mem_world *world, struct env *env)
{
    struct manifest *manifest;
    struct manifest_report report;
    struct manifest_entry entry = {.topic_id = {{9}}, .index = 3, .recovery_point = 7, .clean = true}, found;
    enum err err = manifest_open(env, "/data", &manifest, &report);
    ASSERT(err == OK || err == ERR_VERSION || err == ERR_MISMATCH);
    if (err)
        return;
    ASSERT(manifest_count(manifest) == report.partitions);
    manifest_put(manifest, &entry);
    settle(world);
    manifest_trust(manifest);
    uint32_t count = manifest_count(manifest);
    ASSERT(manifest_close(manifest, true) == OK);
    settle(world);
    ASSERT(manifest_open(env, "/data", &manifest, &report) == OK);
    ASSERT(!report.created && !report.damaged && report.clean_stop && report.partitions == count);
    ASSERT(manifest_get(manifest, entry.topic_id, 3, &found) && found.recovery_point == 7 && found.clean);
    manifest_close(manifest, false);
    settle(world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct mem_world *world = mem_world_new(3);
    struct mem_env *mem = mem_env_new(world);
    struct env *env = mem_env_env(mem);
    ASSERT(env_mkdir(env, "/data") == OK);
    if (data[0] % 2 == 0)
        write_raw(env, data + 1, size - 1);
    else
        write_frames(mem, data + 1, size - 1);
    use(world, env);
    mem_world_free(world);
    return 0;
}
