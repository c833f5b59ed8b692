/* SPDX-License-Identifier: Apache-2.0 */
#include "common/log/segfile.h"

#include <string.h>

#include "common/base/assert.h"
#include "common/base/crc32c.h"
#include "common/base/wire.h"
#include "common/log/segfile_format.h"

uint64_t segfile_frame_size(uint32_t len)
{
    return (SEGFRAME_HEADER_SIZE + (uint64_t)len + 7) & ~7ull;
}

static void header_encode(const struct segfile *sf, uint8_t out[SEGFILE_HEADER_SIZE])
{
    memset(out, 0, SEGFILE_HEADER_SIZE);
    store_be32(out, SEGFILE_MAGIC);
    store_be16(out + 4, SEGFILE_VERSION);
    store_be16(out + 6, (uint16_t)sf->info.kind);
    store_be32(out + 8, sf->salt);
    store_be64(out + 16, sf->info.a);
    store_be64(out + 24, sf->info.b);
    store_be32(out + 60, crc32c(0, out, 60));
}

static enum err header_decode(struct segfile *sf, const uint8_t p[SEGFILE_HEADER_SIZE],
                              enum segfile_kind kind)
{
    static const uint8_t zeros[SEGFILE_HEADER_SIZE];
    if (memcmp(p, zeros, SEGFILE_HEADER_SIZE) == 0)
        return ERR_TRUNCATED;
    if (load_be32(p) != SEGFILE_MAGIC || load_be32(p + 60) != crc32c(0, p, 60))
        return ERR_CORRUPT;
    if (load_be16(p + 4) != SEGFILE_VERSION)
        return ERR_VERSION;
    if (load_be16(p + 6) != (uint16_t)kind)
        return ERR_MISMATCH;
    sf->info = (struct segfile_info){.kind = kind, .a = load_be64(p + 16), .b = load_be64(p + 24)};
    sf->salt = load_be32(p + 8);
    return OK;
}

static void segfile_init(struct segfile *sf, struct env *env, const struct segfile_limits *limits)
{
    *sf = (struct segfile){.env = env, .limits = *limits};
    ASSERT(limits->frame_max > 0 && limits->frame_max < UINT32_MAX / 2);
}

enum err segfile_create(struct env *env, const char *path, const struct segfile_info *info,
                        const struct segfile_limits *limits, struct segfile *ret_file)
{
    struct segfile sf;
    segfile_init(&sf, env, limits);
    sf.info = *info;
    enum err err = env_file_open(env, path, ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_EXCLUSIVE, &sf.file);
    if (err != OK)
        return err;
    env_random(env, &sf.salt, sizeof(sf.salt));
    uint8_t header[SEGFILE_HEADER_SIZE];
    header_encode(&sf, header);
    struct iovec iov = {.iov_base = header, .iov_len = sizeof(header)};
    err = env_file_write(sf.file, 0, &iov, 1);
    if (err != OK) {
        segfile_close(&sf);
        return err;
    }
    sf.size = SEGFILE_HEADER_SIZE;
    sf.allocated = sf.size;
    *ret_file = sf;
    return OK;
}

static enum err open_checked(struct segfile *sf, enum segfile_kind kind)
{
    uint8_t header[SEGFILE_HEADER_SIZE];
    uint64_t size = 0;
    size_t len = 0;
    enum err err = env_file_size(sf->file, &size);
    if (err == OK)
        err = env_file_read(sf->file, 0, header, sizeof(header), &len);
    if (err != OK)
        return err;
    if (len < sizeof(header))
        return ERR_TRUNCATED;
    sf->size = size;
    sf->allocated = size;
    return header_decode(sf, header, kind);
}

enum err segfile_open(struct env *env, const char *path, bool writable, enum segfile_kind kind,
                      const struct segfile_limits *limits, struct segfile *ret_file)
{
    struct segfile sf;
    segfile_init(&sf, env, limits);
    enum err err = env_file_open(env, path, writable ? ENV_OPEN_WRITE : ENV_OPEN_READ, &sf.file);
    if (err != OK)
        return err;
    err = open_checked(&sf, kind);
    if (err != OK) {
        segfile_close(&sf);
        return err;
    }
    *ret_file = sf;
    return OK;
}

void segfile_close(struct segfile *sf)
{
    if (sf->file != NULL)
        env_file_close(sf->file);
    sf->file = NULL;
}

static void frame_encode(const struct segfile *sf, const struct segframe *frame, uint8_t *out)
{
    uint64_t size = segfile_frame_size(frame->len);
    store_be32(out + 4, frame->len);
    store_be32(out + 8, sf->salt);
    out[12] = SEGFRAME_VERSION;
    out[13] = frame->type;
    store_be16(out + 14, 0);
    store_be64(out + 16, frame->a);
    store_be64(out + 24, frame->b);
    store_be64(out + 32, sf->witness);
    if (frame->len > 0)
        memcpy(out + SEGFRAME_HEADER_SIZE, frame->data, frame->len);
    memset(out + SEGFRAME_HEADER_SIZE + frame->len, 0, size - SEGFRAME_HEADER_SIZE - frame->len);
    store_be32(out, crc32c(0, out + 4, SEGFRAME_HEADER_SIZE - 4 + frame->len));
}

/* Makes room ahead of the writes, so that a sync need not write the file's new size each time. */
static enum err make_room(struct segfile *sf, uint64_t end)
{
    if (end <= sf->allocated)
        return OK;
    if (sf->limits.allocate_bytes == 0) {
        sf->allocated = end;
        return OK;
    }
    uint64_t target = end + sf->limits.allocate_bytes - end % sf->limits.allocate_bytes;
    enum err err = env_file_allocate(sf->file, sf->allocated, target - sf->allocated);
    if (err == OK)
        sf->allocated = target;
    return err;
}

static enum err write_frames(struct segfile *sf, struct segframe *frames, int count, uint64_t total)
{
    enum err err = make_room(sf, sf->size + total);
    if (err != OK)
        return err;
    struct iobuf *buf = iobuf_get(sf->env->pool, total);
    if (buf == NULL)
        return ERR_NOMEM;
    uint64_t at = 0;
    for (int i = 0; i < count; i++) {
        frame_encode(sf, &frames[i], buf->data + at);
        frames[i].offset = sf->size + at;
        at += segfile_frame_size(frames[i].len);
    }
    ASSERT(at == total);
    struct iovec iov = {.iov_base = buf->data, .iov_len = total};
    err = env_file_write(sf->file, sf->size, &iov, 1);
    iobuf_unref(buf);
    if (err == OK)
        sf->size += total;
    return err;
}

enum err segfile_append(struct segfile *sf, struct segframe *frames, int count)
{
    ASSERT(sf->file != NULL);
    if (sf->failed != OK)
        return sf->failed;
    uint64_t total = 0;
    for (int i = 0; i < count; i++) {
        if (frames[i].len > sf->limits.frame_max)
            return ERR_TOO_LARGE;
        total += segfile_frame_size(frames[i].len);
    }
    if (total == 0)
        return OK;
    enum err err = write_frames(sf, frames, count, total);
    if (err != OK && err != ERR_NOMEM)
        sf->failed = err;
    return err;
}

void segfile_synced(struct segfile *sf, uint64_t position)
{
    ASSERT(position <= sf->size);
    if (position > sf->witness)
        sf->witness = position;
}

enum err segfile_note(struct segfile *sf)
{
    /* Everything before the present end is witnessed already, or nothing new is known. */
    if (sf->witness < sf->size)
        return OK;
    struct segframe note = {.type = SEGFRAME_NOTE};
    return segfile_append(sf, &note, 1);
}

enum err segfile_read(const struct segfile *sf, uint64_t offset, void *buf, size_t len)
{
    size_t got = 0;
    enum err err = env_file_read(sf->file, offset, buf, len, &got);
    if (err == OK && got < len)
        return ERR_TRUNCATED;
    return err;
}

enum err segfile_parse(const struct segfile *sf, const void *p, size_t len, struct segframe *ret_frame,
                       uint64_t *ret_size)
{
    const uint8_t *b = p;
    if (len < SEGFRAME_HEADER_SIZE)
        return ERR_TRUNCATED;
    uint32_t data_len = load_be32(b + 4);
    if (load_be32(b + 8) != sf->salt || b[12] != SEGFRAME_VERSION || data_len > sf->limits.frame_max)
        return ERR_CORRUPT;
    *ret_size = segfile_frame_size(data_len);
    if (len < SEGFRAME_HEADER_SIZE + data_len)
        return ERR_TRUNCATED;
    if (load_be32(b) != crc32c(0, b + 4, SEGFRAME_HEADER_SIZE - 4 + data_len))
        return ERR_CORRUPT;
    *ret_frame = (struct segframe){.type = b[13],
                                   .a = load_be64(b + 16),
                                   .b = load_be64(b + 24),
                                   .witness = load_be64(b + 32),
                                   .data = b + SEGFRAME_HEADER_SIZE,
                                   .len = data_len};
    return OK;
}
