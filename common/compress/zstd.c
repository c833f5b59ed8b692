/* SPDX-License-Identifier: Apache-2.0 */
/* zstd frames. Decoded whole into the output, because a streaming decoder would allocate the window that the
 * frame asks for. */
#include <zstd.h>
#include <zstd_errors.h>

#include "common/base/assert.h"
#include "common/compress/codec_row.h"

#define BLOCK_BYTES_MAX   ((size_t)128 << 10) /* of plain data */
#define BLOCK_ENCODED_MIN 4                   /* the densest block: a header and one repeated byte */
#define GUESS_RATIO       4
#define GUESS_MIN         ((size_t)16 << 10)

static size_t zstd_bound(size_t len)
{
    return ZSTD_compressBound(len);
}

static int from_library(size_t code)
{
    switch (ZSTD_getErrorCode(code)) {
    case ZSTD_error_no_error: return OK;
    case ZSTD_error_memory_allocation: return ERR_NOMEM;
    case ZSTD_error_dstSize_tooSmall: return ERR_FULL;
    default: return ERR_MALFORMED;
    }
}

static int zstd_compress(struct compress_ctx *ctx, int level, const uint8_t *in, size_t len, uint8_t *out,
                         size_t out_size, size_t *ret_len)
{
    if (!ctx->zstd_out)
        ctx->zstd_out = ZSTD_createCCtx();
    if (!ctx->zstd_out)
        return ERR_NOMEM;
    size_t n = ZSTD_compressCCtx(ctx->zstd_out, out, out_size, in, len, level);
    int err = from_library(n);
    if (err)
        return err == ERR_FULL ? ERR_TOO_LARGE : err;
    *ret_len = n;
    return OK;
}

struct frame {
    ZSTD_DCtx *dctx;
    const uint8_t *in;
    size_t len;
};

static int decode_frame(void *arg, uint8_t *to, size_t room, size_t *ret_written)
{
    struct frame *f = arg;
    size_t n = ZSTD_decompressDCtx(f->dctx, to, room, f->in, f->len);
    int err = from_library(n);
    if (err == OK)
        *ret_written = n;
    return err;
}

/* How much to try first. A size in the frame is believed only as far as its bytes could encode it. */
static int guess_size(const struct frame *f, size_t limit_left, size_t *ret_guess)
{
    unsigned long long told = ZSTD_getFrameContentSize(f->in, f->len);
    size_t possible = (f->len / BLOCK_ENCODED_MIN + 1) * BLOCK_BYTES_MAX;
    if (told == ZSTD_CONTENTSIZE_ERROR)
        return ERR_MALFORMED;
    if (told == ZSTD_CONTENTSIZE_UNKNOWN) {
        *ret_guess = MIN(possible, MAX(f->len * GUESS_RATIO, GUESS_MIN));
        return OK;
    }
    if (told > possible)
        return ERR_MALFORMED;
    if (told > limit_left)
        return ERR_TOO_LARGE;
    *ret_guess = (size_t)told;
    return OK;
}

static int zstd_decompress(struct compress_ctx *ctx, const uint8_t *in, size_t len, size_t limit,
                           struct compress_buf *out)
{
    if (!ctx->zstd_in)
        ctx->zstd_in = ZSTD_createDCtx();
    if (!ctx->zstd_in)
        return ERR_NOMEM;
    while (len > 0) {
        size_t guess, frame_len = ZSTD_findFrameCompressedSize(in, len);
        int err = from_library(frame_len);
        if (err)
            return ERR_MALFORMED;
        struct frame frame = {.dctx = ctx->zstd_in, .in = in, .len = frame_len};
        err = guess_size(&frame, limit - out->len, &guess);
        if (err == OK)
            err = compress_buf_decode(out, guess, limit, decode_frame, &frame);
        if (err)
            return err;
        in += frame_len;
        len -= frame_len;
    }
    return OK;
}

static void zstd_ctx_free(struct compress_ctx *ctx)
{
    ZSTD_freeCCtx(ctx->zstd_out);
    ZSTD_freeDCtx(ctx->zstd_in);
}

const struct codec_row codec_row_zstd = {
    .name = "zstd",
    .level_min = -131072,
    .level_max = 22,
    .level_default = 3,
    .bound = zstd_bound,
    .compress = zstd_compress,
    .decompress = zstd_decompress,
    .ctx_free = zstd_ctx_free,
};
