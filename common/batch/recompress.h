/* SPDX-License-Identifier: Apache-2.0 */
/* Rewriting an accepted batch with another codec, for topics whose compression.type is not `producer`. */
#ifndef SLUICE_BATCH_RECOMPRESS_H
#define SLUICE_BATCH_RECOMPRESS_H

#include "common/batch/validate.h"

/* What a topic stores its batches with. */
struct batch_target {
    bool as_produced; /* compression.type=producer: never rewritten */
    enum codec codec;
    int level; /* COMPRESS_LEVEL_DEFAULT, or the codec's scale */
};

/* Must the batch be rewritten? A batch that has the codec already is kept, whatever its level (Kafka does so,
 * too). */
static inline bool batch_must_recompress(const uint8_t *p, const struct batch_target *target)
{
    return !target->as_produced && batch_codec(p) != target->codec;
}

/* A new batch with the header and records of p, compressed as target says, checksum right; *ret_batch has one
 * reference. verdict must be batch_validate()'s of p with the same scratch, which nothing has used since.
 * pool may be NULL. ERR_NOMEM, ERR_INVALID (level); ERR_TOO_LARGE: no batch can be that long. p is not
 * changed. */
int batch_recompress(const uint8_t *p, const struct batch_verdict *verdict, const struct batch_target *target,
                     struct batch_scratch *scratch, struct iobuf_pool *pool, struct iobuf **ret_batch);

#endif
