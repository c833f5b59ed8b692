/* SPDX-License-Identifier: Apache-2.0 */
/* Snappy in the framing of xerial's Java library: a 16-byte header, then (length, raw snappy block) pairs. */
#include <snappy-c.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/wire.h"
#include "common/compress/codec_row.h"

#define HEADER_BYTES   16
#define MAGIC_BYTES    8
#define LENGTH_BYTES   4
#define BLOCK_BYTES    ((size_t)32 << 10) /* of plain data; what the Java library writes */
#define RATIO_MAX      22                 /* the densest element: 3 bytes that copy 64 */
#define VERSION        1
#define VERSION_COMPAT 1

static const uint8_t magic[MAGIC_BYTES] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};

static size_t blocks_of(size_t len)
{
    return (len + BLOCK_BYTES - 1) / BLOCK_BYTES;
}

/* Blocks of BLOCK_BYTES bound independently; the sum is at most that of full blocks. */
static size_t snappy_bound(size_t len)
{
    return HEADER_BYTES + blocks_of(len) * (LENGTH_BYTES + snappy_max_compressed_length(BLOCK_BYTES));
}

static int put_block(const uint8_t *in, size_t len, uint8_t *out, size_t out_size, size_t *ret_len)
{
    if (out_size < LENGTH_BYTES)
        return ERR_TOO_LARGE;
    size_t n = out_size - LENGTH_BYTES;
    if (snappy_compress((const char *)in, len, (char *)out + LENGTH_BYTES, &n) != SNAPPY_OK)
        return ERR_TOO_LARGE;
    store_be32(out, (uint32_t)n);
    *ret_len = LENGTH_BYTES + n;
    return OK;
}

static int snappy_compress_framed(struct compress_ctx *ctx, int level, const uint8_t *in, size_t len,
                                  uint8_t *out, size_t out_size, size_t *ret_len)
{
    size_t at = HEADER_BYTES;
    if (out_size < HEADER_BYTES)
        return ERR_TOO_LARGE;
    memcpy(out, magic, MAGIC_BYTES);
    store_be32(out + MAGIC_BYTES, VERSION);
    store_be32(out + MAGIC_BYTES + 4, VERSION_COMPAT);
    for (size_t from = 0; from < len; from += BLOCK_BYTES) {
        size_t n;
        int err = put_block(in + from, MIN(BLOCK_BYTES, len - from), out + at, out_size - at, &n);
        if (err)
            return err;
        at += n;
    }
    *ret_len = at;
    return OK;
}

/* Appends the plain bytes of one raw block. The length it claims is checked against its own size first. */
static int get_block(const uint8_t *in, size_t len, size_t limit, struct compress_buf *out)
{
    size_t plain;
    if (snappy_uncompressed_length((const char *)in, len, &plain) != SNAPPY_OK || plain > len * RATIO_MAX)
        return ERR_MALFORMED;
    if (plain > limit - out->len)
        return ERR_TOO_LARGE;
    int err = compress_buf_reserve(out, plain);
    if (err)
        return err;
    if (snappy_uncompress((const char *)in, len, (char *)out->p + out->len, &plain) != SNAPPY_OK)
        return ERR_MALFORMED;
    out->len += plain;
    return OK;
}

/* The sum of what the blocks claim, so that one allocation serves all; capped by the caller. */
static size_t sum_of_blocks(struct reader r)
{
    size_t sum = 0, plain;
    while (reader_left(&r) > 0) {
        uint32_t n = reader_u32(&r);
        const uint8_t *block = reader_raw(&r, n);
        if (!block || snappy_uncompressed_length((const char *)block, n, &plain) != SNAPPY_OK)
            break;
        sum += MIN(plain, (size_t)n * RATIO_MAX);
    }
    return sum;
}

static int get_framed(struct reader r, size_t limit, struct compress_buf *out)
{
    int err = compress_buf_reserve(out, MIN(sum_of_blocks(r), limit));
    while (err == OK && reader_left(&r) > 0) {
        uint32_t n = reader_u32(&r);
        const uint8_t *block = reader_raw(&r, n);
        err = block ? get_block(block, n, limit, out) : ERR_MALFORMED;
    }
    return err;
}

static int snappy_decompress(struct compress_ctx *ctx, const uint8_t *in, size_t len, size_t limit,
                             struct compress_buf *out)
{
    if (len < MAGIC_BYTES || memcmp(in, magic, MAGIC_BYTES) != 0)
        return get_block(in, len, limit, out); /* some clients write one raw block */
    if (len < HEADER_BYTES || (int32_t)load_be32(in + MAGIC_BYTES + 4) > VERSION)
        return ERR_MALFORMED;
    return get_framed(reader_over(in + HEADER_BYTES, len - HEADER_BYTES), limit, out);
}

const struct codec_row codec_row_snappy = {
    .name = "snappy",
    .bound = snappy_bound,
    .compress = snappy_compress_framed,
    .decompress = snappy_decompress,
};
