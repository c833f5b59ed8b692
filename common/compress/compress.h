/* SPDX-License-Identifier: Apache-2.0 */
/* The compression codecs of record batches, framed as Kafka frames them: a gzip stream, xerial-framed snappy
 * blocks (raw snappy is read too), an LZ4 frame, zstd frames. Whole buffers only; output is bounded by the
 * caller. */
#ifndef SLUICE_COMPRESS_COMPRESS_H
#define SLUICE_COMPRESS_COMPRESS_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/types.h"

/* Numbers of the attributes field of a record batch (KIP-98). */
enum codec { CODEC_NONE, CODEC_GZIP, CODEC_SNAPPY, CODEC_LZ4, CODEC_ZSTD, CODEC_COUNT };

/* The level that Kafka's producer uses when none is configured. */
#define COMPRESS_LEVEL_DEFAULT INT_MIN

/* Kafka's name ("none", "gzip", ...); codec must be below CODEC_COUNT. */
const char *codec_name(enum codec codec);

/* The codec of that name. ERR_NOT_FOUND when there is none. */
int codec_from_name(struct str name, enum codec *ret_codec);

/* Library contexts, made on first use and reused. One per shard or thread: not safe to share. */
struct compress_ctx;

struct compress_ctx *compress_ctx_new(void);      /* NULL when memory is out */
void compress_ctx_free(struct compress_ctx *ctx); /* NULL is allowed */

/* Decompressed bytes. Reused from call to call, so that the steady path does not allocate; len never passes
 * cap_bytes. */
struct compress_buf {
    uint8_t *p;
    size_t len;       /* result of the last call */
    size_t size;      /* bytes at p */
    size_t cap_bytes; /* declared at init */
};

/* Empty, without memory yet. Free returns to that state. */
void compress_buf_init(struct compress_buf *buf, size_t cap_bytes);
void compress_buf_free(struct compress_buf *buf);

/* Gives memory back when more than keep_bytes are held (after a rare large batch). Forgets the contents then.
 */
void compress_buf_trim(struct compress_buf *buf, size_t keep_bytes);

/* An output size that is enough for len bytes of any content. */
size_t compress_bound(enum codec codec, size_t len);

/* Compresses in[0..len) to out[0..out_size). level: COMPRESS_LEVEL_DEFAULT, or the codec's own scale (gzip
 * 1-9, lz4 1-17, zstd -131072..22; none and snappy have no levels and ignore it). ERR_TOO_LARGE: out_size is
 * too small (never when it is at least compress_bound()); ERR_INVALID: level; ERR_UNSUPPORTED: codec;
 * ERR_NOMEM. */
int compress_into(struct compress_ctx *ctx, enum codec codec, int level, const uint8_t *in, size_t len,
                  uint8_t *out, size_t out_size, size_t *ret_len);

/* Decompresses in[0..len) into out, replacing its contents. The result is at most out->cap_bytes and, when
 * ratio_max > 0, at most ratio_max times len (but 64 KiB are always allowed): more is ERR_TOO_LARGE, and no
 * memory beyond that limit is taken whatever the input claims. All of the input must belong to the stream:
 * cut, damaged or trailing bytes are ERR_MALFORMED. ERR_UNSUPPORTED: unknown codec; ERR_NOMEM. On failure
 * out->len is 0. */
int decompress_into(struct compress_ctx *ctx, enum codec codec, const uint8_t *in, size_t len,
                    uint32_t ratio_max, struct compress_buf *out);

#endif
