/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed bytes as a peer sends them: byte 0 chooses the codec, the rest is the stream. Output stays
 * within its cap, and what came out goes through the codec again unchanged. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/err.h"
#include "common/compress/compress.h"

#define CAP_BYTES ((size_t)256 << 10)

static void round_trip(struct compress_ctx *ctx, enum codec codec, const uint8_t *plain, size_t len)
{
    size_t bound = compress_bound(codec, len), n;
    uint8_t *packed = malloc(bound ? bound : 1);
    struct compress_buf again;
    compress_buf_init(&again, CAP_BYTES);
    ASSERT(compress_into(ctx, codec, COMPRESS_LEVEL_DEFAULT, plain, len, packed, bound, &n) == OK);
    ASSERT(decompress_into(ctx, codec, packed, n, 0, &again) == OK);
    ASSERT(again.len == len && (len == 0 || memcmp(again.p, plain, len) == 0));
    compress_buf_free(&again);
    free(packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    enum codec codec = (enum codec)(data[0] % CODEC_COUNT);
    struct compress_ctx *ctx = compress_ctx_new();
    struct compress_buf plain;
    ASSERT(ctx != NULL);
    compress_buf_init(&plain, CAP_BYTES);
    int err = decompress_into(ctx, codec, data + 1, size - 1, 0, &plain);
    ASSERT(err == OK || err == ERR_MALFORMED || err == ERR_TOO_LARGE);
    ASSERT(plain.len <= CAP_BYTES && plain.size <= CAP_BYTES + 4096);
    if (err == OK)
        round_trip(ctx, codec, plain.p, plain.len);
    compress_buf_free(&plain);
    compress_ctx_free(ctx);
    return 0;
}
