/* SPDX-License-Identifier: Apache-2.0 */
/* The checks that a leader makes before it appends a produced batch (Kafka's LogValidator and UnifiedLog),
 * and the in-place changes after them. Nothing is re-encoded. */
#ifndef SLUICE_BATCH_VALIDATE_H
#define SLUICE_BATCH_VALIDATE_H

#include "common/batch/record.h"

/* Kafka's error codes that come out of these checks. */
enum batch_error {
    BATCH_UNKNOWN_SERVER_ERROR = -1, /* memory ran out while decompressing */
    BATCH_OK = 0,
    BATCH_CORRUPT_MESSAGE = 2,
    BATCH_MESSAGE_TOO_LARGE = 10,
    BATCH_RECORD_LIST_TOO_LARGE = 18,
    BATCH_INVALID_TIMESTAMP = 32,
    BATCH_UNSUPPORTED_COMPRESSION_TYPE = 76,
    BATCH_INVALID_RECORD = 87,
};

struct batch_rules {
    int64_t now_ms;                      /* the broker's clock */
    int64_t before_max_ms, after_max_ms; /* message.timestamp.{before,after}.max.ms; INT64_MAX: no bound */
    int64_t max_message_bytes;           /* max.message.bytes */
    int64_t segment_bytes;               /* segment.bytes */
    bool append_time;                    /* message.timestamp.type=LogAppendTime */
    bool compacted;                      /* cleanup.policy has compact: keys are required */
    bool zstd_allowed;                   /* false below Produce v7 (KIP-110) */
    bool internal; /* written by this cluster's coordinators: control batches and any sequence pass */
};

/* The result. Only error, record_index, message and errors are set when error is not BATCH_OK. */
struct batch_verdict {
    int16_t error;        /* enum batch_error */
    int32_t record_index; /* of the offending record, or -1: the batch as a whole */
    const char *message;  /* static text for ErrorMessage; NULL when all is well */
    /* Each refused record, for RecordErrors, up to BATCH_RECORD_ERRORS_MAX; in the scratch until its next use
     */
    const struct batch_record_error *errors;
    int32_t errors_count;
    int64_t max_timestamp;       /* the real one; now_ms under append_time */
    int32_t max_timestamp_delta; /* offset delta of the first record that has it (the last record under
                                    append_time) */
    int32_t record_count;
    bool compressed;
    struct bytes
        plain; /* the records without compression, in the batch or in the scratch until its next use */
};

/* Checks the bytes of one produce partition: exactly one v2 batch, complete. p is not changed. scratch holds
 * decompressed records; its cap is reported as BATCH_MESSAGE_TOO_LARGE. Returns ret->error. */
int16_t batch_validate(const uint8_t *p, size_t len, const struct batch_rules *rules,
                       struct batch_scratch *scratch, struct batch_verdict *ret);

/* The limits of size alone, again after a batch was rewritten: BATCH_OK and ret is as it was, or ret says why
 * not. */
int16_t batch_size_error(size_t len, const struct batch_rules *rules, struct batch_verdict *ret);

/* Makes an accepted batch ready for the log: base offset, leader epoch, and the timestamps where they differ
 * (only then the checksum is recomputed). */
void batch_assign(uint8_t *p, int64_t base_offset, int32_t leader_epoch, const struct batch_rules *rules,
                  const struct batch_verdict *verdict);

#endif
