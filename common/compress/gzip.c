/* SPDX-License-Identifier: Apache-2.0 */
/* gzip by libdeflate: whole buffers, several times faster than zlib's streams. */
#include <libdeflate.h>
#include <stdbool.h>

#include "common/base/assert.h"
#include "common/compress/codec_row.h"

#define RATIO_MAX      1032 /* deflate cannot expand more: 258 bytes out of two bits */
#define GUESS_RATIO    4
#define GUESS_MIN      4096
#define TRAILER_BYTES  8
#define BOUND_OVERHEAD 64

/* libdeflate's own bound needs a compressor; this is its documented worst case (5 bytes per stored block of
 * at least 5000) and more. */
static size_t gzip_bound(size_t len)
{
    return len + (len / 5000 + 1) * 5 + BOUND_OVERHEAD;
}

static bool have_compressor(struct compress_ctx *ctx, int level)
{
    if (ctx->gzip_out && ctx->gzip_level == level)
        return true;
    libdeflate_free_compressor(ctx->gzip_out);
    ctx->gzip_out = libdeflate_alloc_compressor(level);
    ctx->gzip_level = level;
    return ctx->gzip_out != NULL;
}

static int gzip_compress(struct compress_ctx *ctx, int level, const uint8_t *in, size_t len, uint8_t *out,
                         size_t out_size, size_t *ret_len)
{
    if (!have_compressor(ctx, level))
        return ERR_NOMEM;
    size_t n = libdeflate_gzip_compress(ctx->gzip_out, in, len, out, out_size);
    if (n == 0)
        return ERR_TOO_LARGE;
    *ret_len = n;
    return OK;
}

struct member {
    struct libdeflate_decompressor *inflate;
    const uint8_t *in;
    size_t len;
    size_t used; /* result: bytes of in that the member took */
};

static int decode_member(void *arg, uint8_t *to, size_t room, size_t *ret_written)
{
    struct member *m = arg;
    switch (libdeflate_gzip_decompress_ex(m->inflate, m->in, m->len, to, room, &m->used, ret_written)) {
    case LIBDEFLATE_SUCCESS: return OK;
    case LIBDEFLATE_INSUFFICIENT_SPACE: return ERR_FULL;
    default: return ERR_MALFORMED;
    }
}

/* The last member's trailer tells its size modulo 2^32. Only a hint, and only believed when deflate could
 * produce it. */
static size_t guess_size(const uint8_t *in, size_t len)
{
    size_t plain = MAX(len * GUESS_RATIO, (size_t)GUESS_MIN);
    if (len < TRAILER_BYTES)
        return plain;
    const uint8_t *t = in + len - 4;
    size_t told = (size_t)t[0] | (size_t)t[1] << 8 | (size_t)t[2] << 16 | (size_t)t[3] << 24;
    return told <= len * RATIO_MAX ? MAX(told, (size_t)GUESS_MIN) : plain;
}

static int gzip_decompress(struct compress_ctx *ctx, const uint8_t *in, size_t len, size_t limit,
                           struct compress_buf *out)
{
    if (!ctx->gzip_in)
        ctx->gzip_in = libdeflate_alloc_decompressor();
    if (!ctx->gzip_in)
        return ERR_NOMEM;
    size_t guess = guess_size(in, len);
    while (len > 0) { /* concatenated members are one stream (RFC 1952, 2.2) */
        struct member member = {.inflate = ctx->gzip_in, .in = in, .len = len};
        int err = compress_buf_decode(out, guess, limit, decode_member, &member);
        if (err)
            return err;
        ASSERT(member.used > 0 && member.used <= len);
        in += member.used;
        len -= member.used;
    }
    return OK;
}

static void gzip_ctx_free(struct compress_ctx *ctx)
{
    libdeflate_free_compressor(ctx->gzip_out);
    libdeflate_free_decompressor(ctx->gzip_in);
}

const struct codec_row codec_row_gzip = {
    .name = "gzip",
    .level_min = 1,
    .level_max = 9,
    .level_default = 6,
    .bound = gzip_bound,
    .compress = gzip_compress,
    .decompress = gzip_decompress,
    .ctx_free = gzip_ctx_free,
};
