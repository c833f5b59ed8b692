/* SPDX-License-Identifier: Apache-2.0 */
#include "common/batch/recompress.h"

#include <string.h>

#include "common/base/assert.h"

int batch_recompress(const uint8_t *p, const struct batch_verdict *verdict, const struct batch_target *target,
                     struct batch_scratch *scratch, struct iobuf_pool *pool, struct iobuf **ret_batch)
{
    struct bytes plain = verdict->plain;
    size_t n = (size_t)plain.len, bound = compress_bound(target->codec, n);
    ASSERT(verdict->error == BATCH_OK && plain.len >= 0);
    ASSERT(target->codec < CODEC_COUNT);
    if (bound > INT32_MAX - BATCH_HEADER_BYTES)
        return ERR_TOO_LARGE;
    struct iobuf *buf = iobuf_get(pool, BATCH_HEADER_BYTES + bound);
    if (buf == NULL)
        return ERR_NOMEM;
    int err = OK;
    if (target->codec == CODEC_NONE)
        memcpy(buf->data + BATCH_HEADER_BYTES, plain.p, n);
    else
        err = compress_into(scratch->codecs, target->codec, target->level, plain.p, n,
                            buf->data + BATCH_HEADER_BYTES, bound, &n);
    if (err) {
        iobuf_unref(buf);
        return err;
    }
    buf->len = (uint32_t)(BATCH_HEADER_BYTES + n);
    memcpy(buf->data, p, BATCH_HEADER_BYTES);
    batch_set_codec(buf->data, target->codec, buf->len);
    *ret_batch = buf;
    return OK;
}
