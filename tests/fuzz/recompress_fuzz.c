/* SPDX-License-Identifier: Apache-2.0 */
/* A produced batch on a topic with another codec: whatever batch_validate() accepts can be rewritten, and
 * says the same. Byte 0 chooses the codec and repairs, the rest is the batch. Bombs end at the caps. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/batch/recompress.h"

#define PLAIN_BYTES_MAX ((size_t)1 << 20)
#define RATIO_MAX       2000
#define NOW_MS          1700000000000

static void repair(uint8_t *p, size_t len)
{
    if (len < BATCH_HEADER_BYTES)
        return;
    p[BATCH_AT_MAGIC] = BATCH_MAGIC;
    store_be32(p + BATCH_AT_LENGTH, (uint32_t)(len - BATCH_PREFIX_BYTES));
    batch_set_base_offset(p, 0);
    store_be32(p + BATCH_AT_CRC, batch_compute_crc(p));
}

static bool same(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len <= 0 || memcmp(a.p, b.p, (size_t)a.len) == 0);
}

static void compare(const uint8_t *a, struct batch_scratch *scratch, const uint8_t *b)
{
    struct batch_scratch other;
    struct batch_iter i, j;
    struct record x, y;
    ASSERT(batch_scratch_init(&other, PLAIN_BYTES_MAX, 0) == OK);
    ASSERT(batch_iter_init(&i, a, scratch) == OK && batch_iter_init(&j, b, &other) == OK);
    while (batch_iter_next(&i, &x)) {
        ASSERT(batch_iter_next(&j, &y));
        ASSERT(x.offset_delta == y.offset_delta && x.timestamp == y.timestamp);
        ASSERT(same(x.key, y.key) && same(x.value, y.value) && same(x.headers, y.headers));
    }
    ASSERT(!batch_iter_next(&j, &y) && i.r.err == OK && j.r.err == OK);
    batch_scratch_free(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t len = size - 1;
    uint8_t *p = malloc(len ? len : 1);
    memcpy(p, data + 1, len);
    if (data[0] & 0x80)
        repair(p, len);
    const struct batch_rules rules = {.now_ms = NOW_MS,
                                      .before_max_ms = INT64_MAX,
                                      .after_max_ms = INT64_MAX,
                                      .max_message_bytes = INT32_MAX,
                                      .segment_bytes = INT32_MAX,
                                      .zstd_allowed = true,
                                      .compacted = data[0] & 0x40};
    const struct batch_target target = {.codec = (enum codec)(data[0] % CODEC_COUNT),
                                        .level = COMPRESS_LEVEL_DEFAULT};
    struct batch_scratch scratch;
    struct batch_verdict verdict;
    struct iobuf *out;
    ASSERT(batch_scratch_init(&scratch, PLAIN_BYTES_MAX, RATIO_MAX) == OK);
    if (batch_validate(p, len, &rules, &scratch, &verdict) == BATCH_OK) {
        ASSERT(verdict.plain.len >= 0 && (size_t)verdict.plain.len <= PLAIN_BYTES_MAX + len);
        ASSERT(batch_recompress(p, &verdict, &target, &scratch, NULL, &out) == OK);
        ASSERT(batch_verify(out->data, out->len) == OK && batch_codec(out->data) == target.codec);
        compare(p, &scratch, out->data);
        iobuf_unref(out);
    } else {
        ASSERT(verdict.message != NULL && verdict.errors_count <= BATCH_RECORD_ERRORS_MAX);
        for (int32_t i = 0; i < verdict.errors_count; i++)
            ASSERT(verdict.errors[i].record_index >= 0 && verdict.errors[i].message != NULL);
    }
    batch_scratch_free(&scratch);
    free(p);
    return 0;
}
