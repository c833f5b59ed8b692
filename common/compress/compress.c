/* SPDX-License-Identifier: Apache-2.0 */
#include "common/compress/compress.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/compress/codec_row.h"

#define RATIO_FLOOR_BYTES                                                                                    \
    ((size_t)64 << 10) /* small inputs of one repeated byte have huge, harmless ratios */
#define BUF_STEP_BYTES ((size_t)4096)
#define GROWTH         4
#define ROOM_MIN       64

static size_t none_bound(size_t len)
{
    return len;
}

static int none_compress(struct compress_ctx *ctx, int level, const uint8_t *in, size_t len, uint8_t *out,
                         size_t out_size, size_t *ret_len)
{
    if (len > out_size)
        return ERR_TOO_LARGE;
    if (len > 0)
        memcpy(out, in, len);
    *ret_len = len;
    return OK;
}

static int none_decompress(struct compress_ctx *ctx, const uint8_t *in, size_t len, size_t limit,
                           struct compress_buf *out)
{
    if (len > limit)
        return ERR_TOO_LARGE;
    int err = compress_buf_reserve(out, len);
    if (err)
        return err;
    if (len > 0)
        memcpy(out->p, in, len);
    out->len = len;
    return OK;
}

static const struct codec_row codec_row_none = {
    .name = "none",
    .bound = none_bound,
    .compress = none_compress,
    .decompress = none_decompress,
};

static const struct codec_row *const rows[CODEC_COUNT] = {
    [CODEC_NONE] = &codec_row_none, [CODEC_GZIP] = &codec_row_gzip, [CODEC_SNAPPY] = &codec_row_snappy,
    [CODEC_LZ4] = &codec_row_lz4,   [CODEC_ZSTD] = &codec_row_zstd,
};

const char *codec_name(enum codec codec)
{
    ASSERT(codec < CODEC_COUNT);
    return rows[codec]->name;
}

int codec_from_name(struct str name, enum codec *ret_codec)
{
    for (int i = 0; i < CODEC_COUNT; i++)
        if (str_eq_z(name, rows[i]->name)) {
            *ret_codec = (enum codec)i;
            return OK;
        }
    return ERR_NOT_FOUND;
}

struct compress_ctx *compress_ctx_new(void)
{
    return calloc(1, sizeof(struct compress_ctx));
}

void compress_ctx_free(struct compress_ctx *ctx)
{
    if (!ctx)
        return;
    for (int i = 0; i < CODEC_COUNT; i++)
        if (rows[i]->ctx_free)
            rows[i]->ctx_free(ctx);
    free(ctx);
}

void compress_buf_init(struct compress_buf *buf, size_t cap_bytes)
{
    *buf = (struct compress_buf){.cap_bytes = cap_bytes};
}

void compress_buf_free(struct compress_buf *buf)
{
    free(buf->p);
    compress_buf_init(buf, buf->cap_bytes);
}

void compress_buf_trim(struct compress_buf *buf, size_t keep_bytes)
{
    if (buf->size > keep_bytes)
        compress_buf_free(buf);
}

int compress_buf_reserve(struct compress_buf *out, size_t room)
{
    ASSERT(out->len <= out->cap_bytes && room <= out->cap_bytes - out->len);
    if (out->p && out->size - out->len >= room)
        return OK;
    size_t size = (out->len + room + BUF_STEP_BYTES) & ~(BUF_STEP_BYTES - 1);
    uint8_t *p = malloc(size);
    if (!p)
        return ERR_NOMEM;
    if (out->len > 0)
        memcpy(p, out->p, out->len);
    free(out->p);
    out->p = p;
    out->size = size;
    return OK;
}

int compress_buf_decode(struct compress_buf *out, size_t guess, size_t limit, decode_piece decode, void *arg)
{
    ASSERT(out->len <= limit);
    size_t room_max = limit - out->len;
    size_t room = MIN(guess, room_max);
    for (;;) {
        size_t written = 0;
        int err = compress_buf_reserve(out, room);
        if (err)
            return err;
        room = MIN(out->size - out->len, room_max);
        err = decode(arg, out->p + out->len, room, &written);
        if (err == OK) {
            ASSERT(written <= room);
            out->len += written;
            return OK;
        }
        if (err != ERR_FULL)
            return err;
        if (room == room_max)
            return ERR_TOO_LARGE;
        /* from nothing, too: a frame may say that it is empty and not be */
        room = room > room_max / GROWTH ? room_max : MAX(room * GROWTH, MIN(ROOM_MIN, room_max));
    }
}

size_t compress_bound(enum codec codec, size_t len)
{
    ASSERT(codec < CODEC_COUNT);
    return rows[codec]->bound(len);
}

/* False when level is outside the codec's scale. Codecs without levels take any. */
static bool choose_level(const struct codec_row *row, int *level)
{
    if (row->level_max == 0 || *level == COMPRESS_LEVEL_DEFAULT) {
        *level = row->level_default;
        return true;
    }
    return *level >= row->level_min && *level <= row->level_max;
}

int compress_into(struct compress_ctx *ctx, enum codec codec, int level, const uint8_t *in, size_t len,
                  uint8_t *out, size_t out_size, size_t *ret_len)
{
    if ((unsigned)codec >= CODEC_COUNT)
        return ERR_UNSUPPORTED;
    const struct codec_row *row = rows[codec];
    if (!choose_level(row, &level))
        return ERR_INVALID;
    return row->compress(ctx, level, in, len, out, out_size, ret_len);
}

static size_t limit_of(size_t len, uint32_t ratio_max, size_t cap_bytes)
{
    size_t by_ratio;
    if (ratio_max == 0 || __builtin_mul_overflow(len, (size_t)ratio_max, &by_ratio))
        return cap_bytes;
    return MIN(cap_bytes, MAX(by_ratio, RATIO_FLOOR_BYTES));
}

int decompress_into(struct compress_ctx *ctx, enum codec codec, const uint8_t *in, size_t len,
                    uint32_t ratio_max, struct compress_buf *out)
{
    out->len = 0;
    if ((unsigned)codec >= CODEC_COUNT)
        return ERR_UNSUPPORTED;
    if (len == 0 && codec != CODEC_NONE)
        return ERR_MALFORMED;
    int err = rows[codec]->decompress(ctx, in, len, limit_of(len, ratio_max, out->cap_bytes), out);
    if (err)
        out->len = 0;
    ASSERT(out->len <= out->cap_bytes);
    return err;
}
