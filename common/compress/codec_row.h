/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of common/compress: what one codec gives to the table in compress.c. */
#ifndef SLUICE_COMPRESS_CODEC_ROW_H
#define SLUICE_COMPRESS_CODEC_ROW_H

#include "common/base/err.h"
#include "common/compress/compress.h"

struct libdeflate_compressor;
struct libdeflate_decompressor;
struct LZ4F_dctx_s;
struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

/* Every pointer is NULL until its codec is first used. */
struct compress_ctx {
    struct libdeflate_compressor *gzip_out;
    int gzip_level; /* that gzip_out was made for */
    struct libdeflate_decompressor *gzip_in;
    struct LZ4F_dctx_s *lz4_in;
    struct ZSTD_CCtx_s *zstd_out;
    struct ZSTD_DCtx_s *zstd_in;
};

struct codec_row {
    const char *name;
    int level_min, level_max, level_default; /* all 0: no levels */
    size_t (*bound)(size_t len);

    /* level is within range. */
    int (*compress)(struct compress_ctx *ctx, int level, const uint8_t *in, size_t len, uint8_t *out,
                    size_t out_size, size_t *ret_len);

    /* out->len is 0 at the call; limit <= out->cap_bytes is the most it may become. */
    int (*decompress)(struct compress_ctx *ctx, const uint8_t *in, size_t len, size_t limit,
                      struct compress_buf *out);
    void (*ctx_free)(struct compress_ctx *ctx); /* NULL: nothing held */
};

extern const struct codec_row codec_row_gzip, codec_row_snappy, codec_row_lz4, codec_row_zstd;

/* Makes room for at least `room` more bytes behind out->len (the contents before it stay). out->p is never
 * NULL afterwards. */
int compress_buf_reserve(struct compress_buf *out, size_t room);

/* One whole piece (a gzip member, a zstd frame) decoded at `to`, into at most room bytes. ERR_FULL: it needs
 * more room. */
typedef int (*decode_piece)(void *arg, uint8_t *to, size_t room, size_t *ret_written);

/* For libraries that decode only into a large enough buffer while the stream does not tell its size: tries
 * with what is allocated or `guess` bytes, then with four times as much, up to limit in all. ERR_TOO_LARGE
 * when that is not enough. */
int compress_buf_decode(struct compress_buf *out, size_t guess, size_t limit, decode_piece decode, void *arg);

#endif
