/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the records of one batch. Views point into the batch, or into the scratch when the batch is
 * compressed. */
#ifndef SLUICE_BATCH_RECORD_H
#define SLUICE_BATCH_RECORD_H

#include "common/batch/batch.h"

#define BATCH_RECORD_ERRORS_MAX 100 /* of one batch that are told apart */

/* One refused record. */
struct batch_record_error {
    int32_t record_index;
    const char *message; /* static */
};

/* What reading and checking compressed batches needs; one per shard or thread, reused. plain.cap_bytes bounds
 * the decompressed records of one batch, ratio_max (0: none) their ratio to the compressed ones. */
struct batch_scratch {
    struct compress_ctx *codecs;
    struct compress_buf plain;
    uint32_t ratio_max;
    struct batch_record_error errors[BATCH_RECORD_ERRORS_MAX]; /* of the last batch that was refused */
};

/* ERR_NOMEM. */
int batch_scratch_init(struct batch_scratch *scratch, size_t plain_bytes_max, uint32_t ratio_max);
void batch_scratch_free(struct batch_scratch *scratch);

struct record {
    int64_t offset, timestamp; /* absolute; the timestamp in ms, or BATCH_NO_TIMESTAMP */
    int64_t timestamp_delta;   /* as written */
    int32_t offset_delta;      /* as written */
    int8_t attributes;         /* unused by Kafka so far */
    struct bytes key, value;   /* len -1: null */
    int32_t header_count;
    struct bytes headers; /* encoded: see header_iter */
};

struct record_header {
    struct str key;     /* never null */
    struct bytes value; /* len -1: null */
};

struct batch_iter {
    struct reader r; /* over the plain records; r.err is the first error */
    int64_t base_offset, base_timestamp;
    int64_t append_time; /* of every record, when the batch says so; else BATCH_NO_TIMESTAMP */
    int32_t left;        /* records still to come */
};

/* Starts at the first record of a whole batch (all of batch_size(p) is there). A compressed one is
 * decompressed into scratch, which then must stay untouched while the iterator or its records are used; for
 * codec none scratch may be NULL. ERR_MALFORMED, ERR_TOO_LARGE, ERR_UNSUPPORTED, ERR_NOMEM as
 * decompress_into(). */
int batch_iter_init(struct batch_iter *it, const uint8_t *batch, struct batch_scratch *scratch);

/* The next record. False at the end, when it->r.err is OK only if all is well. ERR_TRUNCATED: fewer records
 * than the header counts; ERR_MALFORMED: a broken record, or bytes behind the last one. */
bool batch_iter_next(struct batch_iter *it, struct record *ret_record);

struct header_iter {
    struct reader r;
    int32_t left;
};

/* The record must come from batch_iter_next(), which has checked its headers. */
struct header_iter record_headers(const struct record *record);
bool header_iter_next(struct header_iter *it, struct record_header *ret_header);

#endif
