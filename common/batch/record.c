/* SPDX-License-Identifier: Apache-2.0 */
#include "common/batch/record.h"

#include "common/base/assert.h"
#include "common/batch/parse.h"

int batch_scratch_init(struct batch_scratch *scratch, size_t plain_bytes_max, uint32_t ratio_max)
{
    scratch->codecs = compress_ctx_new();
    scratch->ratio_max = ratio_max;
    compress_buf_init(&scratch->plain, plain_bytes_max);
    return scratch->codecs ? OK : ERR_NOMEM;
}

void batch_scratch_free(struct batch_scratch *scratch)
{
    compress_ctx_free(scratch->codecs);
    compress_buf_free(&scratch->plain);
    scratch->codecs = NULL;
}

int batch_open_records(const uint8_t *batch, struct batch_scratch *scratch, struct reader *ret_r)
{
    const uint8_t *records = batch + BATCH_HEADER_BYTES;
    size_t len = batch_size(batch) - BATCH_HEADER_BYTES;
    enum codec codec = batch_codec(batch);
    if (codec == CODEC_NONE) {
        *ret_r = reader_over(records, len);
        return OK;
    }
    ASSERT(scratch != NULL);
    int err = decompress_into(scratch->codecs, codec, records, len, scratch->ratio_max, &scratch->plain);
    if (err == OK)
        *ret_r = reader_over(scratch->plain.p, scratch->plain.len);
    return err;
}

int batch_iter_init(struct batch_iter *it, const uint8_t *batch, struct batch_scratch *scratch)
{
    struct reader r;
    int err = batch_open_records(batch, scratch, &r);
    if (err)
        return err;
    *it = (struct batch_iter){
        .r = r,
        .base_offset = batch_base_offset(batch),
        .base_timestamp = batch_base_timestamp(batch),
        .append_time = batch_is_append_time(batch) ? batch_max_timestamp(batch) : BATCH_NO_TIMESTAMP,
        .left = batch_record_count(batch),
    };
    return OK;
}

bool batch_iter_next(struct batch_iter *it, struct record *ret_record)
{
    if (it->left <= 0) {
        if (it->left < 0 || reader_left(&it->r) > 0)
            reader_fail(&it->r, ERR_MALFORMED);
        return false;
    }
    struct record rec;
    if (!parse_record(&it->r, &rec))
        return false;
    it->left--;
    rec.offset = (int64_t)((uint64_t)it->base_offset + (uint64_t)(int64_t)rec.offset_delta);
    rec.timestamp = it->append_time != BATCH_NO_TIMESTAMP
                        ? it->append_time
                        : (int64_t)((uint64_t)it->base_timestamp + (uint64_t)rec.timestamp_delta);
    *ret_record = rec;
    return true;
}

struct header_iter record_headers(const struct record *record)
{
    ASSERT(record->header_count >= 0 && record->headers.len >= 0);
    return (struct header_iter){.r = reader_over(record->headers.p, (size_t)record->headers.len),
                                .left = record->header_count};
}

bool header_iter_next(struct header_iter *it, struct record_header *ret_header)
{
    if (it->left == 0)
        return false;
    it->left--;
    *ret_header = parse_header(&it->r);
    ASSERT(it->r.err == OK); /* batch_iter_next() has walked them */
    return true;
}
