/* SPDX-License-Identifier: Apache-2.0 */
/* One LZ4 frame per batch. Java's reader wants independent blocks and reads exactly one frame. */
#include <lz4frame.h>
#include <stdbool.h>

#include "common/base/assert.h"
#include "common/compress/codec_row.h"

#define GUESS_RATIO 4
#define ROOM_MIN    ((size_t)64 << 10)

static LZ4F_preferences_t preferences(int level)
{
    return (LZ4F_preferences_t){
        .frameInfo = {.blockSizeID = LZ4F_max64KB, .blockMode = LZ4F_blockIndependent},
        .compressionLevel = level,
    };
}

static size_t lz4_bound(size_t len)
{
    LZ4F_preferences_t prefs = preferences(0);
    return LZ4F_compressFrameBound(len, &prefs);
}

static int lz4_compress(struct compress_ctx *ctx, int level, const uint8_t *in, size_t len, uint8_t *out,
                        size_t out_size, size_t *ret_len)
{
    LZ4F_preferences_t prefs = preferences(level);
    if (out_size < lz4_bound(len)) /* the library insists on its bound */
        return ERR_TOO_LARGE;
    size_t n = LZ4F_compressFrame(out, out_size, in, len, &prefs);
    if (LZ4F_isError(n))
        return ERR_NOMEM;
    *ret_len = n;
    return OK;
}

static int fresh_context(struct compress_ctx *ctx)
{
    if (ctx->lz4_in)
        LZ4F_resetDecompressionContext(ctx->lz4_in);
    else if (LZ4F_isError(LZ4F_createDecompressionContext(&ctx->lz4_in, LZ4F_VERSION)))
        return ERR_NOMEM;
    return OK;
}

struct progress {
    size_t in_used, written;
    bool done;
};

static int step(struct LZ4F_dctx_s *dctx, const uint8_t *in, size_t len, uint8_t *to, size_t room,
                struct progress *ret)
{
    size_t in_used = len, written = room;
    size_t hint = LZ4F_decompress(dctx, to, &written, in, &in_used, NULL);
    if (LZ4F_isError(hint))
        return ERR_MALFORMED;
    *ret = (struct progress){.in_used = in_used, .written = written, .done = hint == 0};
    return OK;
}

static int lz4_decompress(struct compress_ctx *ctx, const uint8_t *in, size_t len, size_t limit,
                          struct compress_buf *out)
{
    struct progress got = {0};
    size_t want = MAX(len * GUESS_RATIO, ROOM_MIN);
    int err = fresh_context(ctx);
    while (err == OK && !got.done) {
        size_t room_max = limit - out->len;
        err = compress_buf_reserve(out, MIN(want, room_max));
        if (err)
            break;
        size_t room = MIN(out->size - out->len, room_max);
        err = step(ctx->lz4_in, in, len, out->p + out->len, room, &got);
        if (err)
            break;
        in += got.in_used;
        len -= got.in_used;
        out->len += got.written;
        want = MAX(out->len, ROOM_MIN); /* doubles */
        if (!got.done && got.in_used == 0 && got.written == 0)
            err = room == 0 ? ERR_TOO_LARGE
                            : ERR_MALFORMED; /* MALFORMED: it waits for bytes that are not there */
    }
    return err == OK && len > 0 ? ERR_MALFORMED : err;
}

static void lz4_ctx_free(struct compress_ctx *ctx)
{
    LZ4F_freeDecompressionContext(ctx->lz4_in);
}

const struct codec_row codec_row_lz4 = {
    .name = "lz4",
    .level_min = 1,
    .level_max = 17,
    .level_default = 0,
    .bound = lz4_bound,
    .compress = lz4_compress,
    .decompress = lz4_decompress,
    .ctx_free = lz4_ctx_free,
};
