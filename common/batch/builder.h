/* SPDX-License-Identifier: Apache-2.0 */
/* Building one batch, record by record: for producers, coordinators and tests. */
#ifndef SLUICE_BATCH_BUILDER_H
#define SLUICE_BATCH_BUILDER_H

#include "common/batch/record.h"

/* A record to write. Views are copied by batch_builder_add(). */
struct record_in {
    int64_t timestamp_ms;
    struct bytes key, value; /* len -1: null */
    const struct record_header *headers;
    int32_t header_count;
};

struct batch_opts {
    enum codec codec;
    int level; /* COMPRESS_LEVEL_DEFAULT, or the codec's scale */
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence;
    bool transactional, control;
};

/* Not idempotent, not compressed. */
#define BATCH_OPTS_PLAIN                                                                                     \
    ((struct batch_opts){.codec = CODEC_NONE,                                                                \
                         .level = COMPRESS_LEVEL_DEFAULT,                                                    \
                         .producer_id = BATCH_NO_PRODUCER_ID,                                                \
                         .producer_epoch = BATCH_NO_EPOCH,                                                   \
                         .base_sequence = BATCH_NO_SEQUENCE})

struct batch_builder {
    struct writer w; /* header and plain records */
    struct iobuf_pool *pool;
    struct batch_opts opts;
    int64_t base_timestamp, max_timestamp;
    int32_t count;
};

/* pool may be NULL. size_hint: bytes expected; cap_bytes: the batch before compression never grows past it.
 * ERR_NOMEM. After success the builder must be ended by batch_builder_finish() or batch_builder_free(). */
int batch_builder_init(struct batch_builder *b, const struct batch_opts *opts, struct iobuf_pool *pool,
                       size_t size_hint, size_t cap_bytes);
void batch_builder_free(struct batch_builder *b);

/* Appends one record; its offset delta is the number of records before it. ERR_TOO_LARGE: it would pass the
 * cap; ERR_INVALID: a null header key or a negative header count; the builder is unchanged by both. ERR_NOMEM
 * ends the builder's use: free it. */
int batch_builder_add(struct batch_builder *b, const struct record_in *rec);

/* Plain size so far, header included; and what it would be with rec. */
static inline size_t batch_builder_size(const struct batch_builder *b)
{
    return writer_pos(&b->w);
}
size_t batch_builder_size_with(const struct batch_builder *b, const struct record_in *rec);

/* Identity may be chosen as late as this, just before the batch is finished. */
void batch_builder_set_producer(struct batch_builder *b, int64_t producer_id, int16_t producer_epoch,
                                int32_t base_sequence);

/* Compresses, fills in the header (base offset 0, leader epoch -1) and hands over the complete batch with one
 * reference. At least one record is in. codecs may be NULL for CODEC_NONE. The builder is freed, also on
 * failure: ERR_NOMEM, ERR_INVALID (level). */
int batch_builder_finish(struct batch_builder *b, struct compress_ctx *codecs, struct iobuf **ret_batch);

#endif
