/* SPDX-License-Identifier: Apache-2.0 */
#include "common/batch/validate.h"

#include "common/base/assert.h"
#include "common/batch/parse.h"

static bool refuse(struct batch_verdict *v, enum batch_error error, int32_t record_index, const char *message)
{
    ASSERT(error != BATCH_OK && message != NULL);
    *v = (struct batch_verdict){.error = (int16_t)error, .record_index = record_index, .message = message};
    return false;
}

static bool refuse_batch(struct batch_verdict *v, enum batch_error error, const char *message)
{
    return refuse(v, error, -1, message);
}

/* One complete v2 batch and nothing else. */
static bool check_frame(const uint8_t *p, size_t len, struct batch_verdict *v)
{
    size_t size;
    int err = batch_peek(p, len, &size);
    if (err == ERR_VERSION)
        return refuse_batch(v, BATCH_INVALID_RECORD, "only record batches with magic 2 are accepted");
    if (err)
        return refuse_batch(v, BATCH_CORRUPT_MESSAGE, "record batch is shorter than its header");
    if (size > len)
        return refuse_batch(v, BATCH_CORRUPT_MESSAGE, "record batch is longer than the bytes that came");
    if (size < len)
        return refuse_batch(v, BATCH_INVALID_RECORD, "exactly one record batch per partition is accepted");
    return true;
}

static bool check_size(size_t len, const struct batch_rules *rules, struct batch_verdict *v)
{
    if ((int64_t)len > rules->max_message_bytes)
        return refuse_batch(v, BATCH_MESSAGE_TOO_LARGE, "record batch is larger than max.message.bytes");
    if ((int64_t)len > rules->segment_bytes)
        return refuse_batch(v, BATCH_RECORD_LIST_TOO_LARGE, "record batch is larger than segment.bytes");
    return true;
}

static bool check_offsets(const uint8_t *p, struct batch_verdict *v)
{
    int64_t count = batch_record_count(p), delta = batch_last_offset_delta(p);
    if (batch_base_offset(p) != 0)
        return refuse_batch(v, BATCH_INVALID_RECORD, "base offset of a produced batch must be 0");
    if (delta < 0)
        return refuse_batch(v, BATCH_INVALID_RECORD, "record batch has an invalid offset range");
    if (count <= 0)
        return refuse_batch(v, BATCH_INVALID_RECORD, "record batch reports an invalid record count");
    if (delta + 1 != count)
        return refuse_batch(v, BATCH_INVALID_RECORD, "offset range and record count of the batch disagree");
    return true;
}

/* What only a client is forbidden to write. */
static bool check_origin(const uint8_t *p, const struct batch_rules *rules, struct batch_verdict *v)
{
    if (rules->internal)
        return true;
    if (batch_is_control(p))
        return refuse_batch(v, BATCH_INVALID_RECORD, "clients are not allowed to write control records");
    if (batch_producer_id(p) != BATCH_NO_PRODUCER_ID && batch_base_sequence(p) < 0)
        return refuse_batch(v, BATCH_INVALID_RECORD,
                            "record batch has a producer id but no valid sequence number");
    return true;
}

static bool check_attributes(const uint8_t *p, const struct batch_rules *rules, struct batch_verdict *v)
{
    enum codec codec = batch_codec(p);
    if (codec >= CODEC_COUNT)
        return refuse_batch(v, BATCH_UNSUPPORTED_COMPRESSION_TYPE, "unknown compression codec");
    if (codec == CODEC_ZSTD && !rules->zstd_allowed)
        return refuse_batch(v, BATCH_UNSUPPORTED_COMPRESSION_TYPE, "zstd needs Produce version 7 or later");
    if (batch_is_append_time(p))
        return refuse_batch(v, BATCH_INVALID_TIMESTAMP,
                            "timestamp type of a produced batch must be CreateTime");
    return true;
}

static bool refuse_records(int err, struct batch_verdict *v)
{
    switch (err) {
    case ERR_TOO_LARGE: return refuse_batch(v, BATCH_MESSAGE_TOO_LARGE, "decompressed records are too large");
    case ERR_NOMEM: return refuse_batch(v, BATCH_UNKNOWN_SERVER_ERROR, "out of memory while decompressing");
    default: return refuse_batch(v, BATCH_CORRUPT_MESSAGE, "records cannot be decompressed");
    }
}

/* The walk over the records: bounds of the timestamp and the greatest so far. */
struct walk {
    const struct batch_rules *rules;
    int64_t base_timestamp, low, high;
    int64_t max_timestamp;
    int32_t max_timestamp_delta;
    struct batch_record_error *errors; /* of records that are well formed but not allowed */
    int32_t errors_count;
    bool bad_time; /* one of them for its timestamp */
};

static int64_t add_saturating(int64_t a, int64_t b)
{
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return b > 0 ? INT64_MAX : INT64_MIN;
    return sum;
}

static struct walk walk_start(const uint8_t *p, const struct batch_rules *rules)
{
    bool bound = !rules->append_time;
    bool has_low = bound && rules->before_max_ms != INT64_MAX;
    return (struct walk){
        .rules = rules,
        .base_timestamp = batch_base_timestamp(p),
        .low = has_low ? add_saturating(rules->now_ms, -rules->before_max_ms) : INT64_MIN,
        .high = bound ? add_saturating(rules->now_ms, rules->after_max_ms) : INT64_MAX,
        .max_timestamp = BATCH_NO_TIMESTAMP,
    };
}

/* The walk goes on: all such records are told (KIP-467). */
static void reject(struct walk *w, int32_t i, const char *message)
{
    if (w->errors_count < BATCH_RECORD_ERRORS_MAX)
        w->errors[w->errors_count++] = (struct batch_record_error){i, message};
}

static inline bool check_record(struct walk *w, const struct record *rec, int32_t i, struct batch_verdict *v)
{
    int64_t timestamp = (int64_t)((uint64_t)w->base_timestamp + (uint64_t)rec->timestamp_delta);
    if (rec->offset_delta != i)
        return refuse(v, BATCH_INVALID_RECORD, i, "offset deltas of the records are not 0, 1, 2, ...");
    if (w->rules->compacted && rec->key.len < 0) {
        reject(w, i, "compacted topic cannot accept a record without key");
    } else if (timestamp != BATCH_NO_TIMESTAMP && (timestamp < w->low || timestamp > w->high)) {
        reject(w, i, "timestamp of the record is out of the allowed range");
        w->bad_time = true;
    }
    if (timestamp > w->max_timestamp) {
        w->max_timestamp = timestamp;
        w->max_timestamp_delta = i;
    }
    return true;
}

static bool walk_records(struct walk *w, struct reader *r, int32_t count, struct batch_verdict *v)
{
    for (int32_t i = 0; i < count; i++) {
        struct record rec;
        if (!parse_record(r, &rec))
            return refuse(v, BATCH_INVALID_RECORD, i, "record has an invalid structure");
        if (!check_record(w, &rec, i, v))
            return false;
    }
    if (reader_left(r) > 0)
        return refuse_batch(v, BATCH_INVALID_RECORD, "bytes are left behind the last record");
    return true;
}

/* One wrong timestamp makes it Kafka's INVALID_TIMESTAMP, whatever else is wrong. */
static bool refuse_rejected(const struct walk *w, struct batch_verdict *v)
{
    if (w->bad_time)
        refuse(v, BATCH_INVALID_TIMESTAMP, w->errors[0].record_index,
               "one or more records have a timestamp out of the allowed range");
    else
        refuse(v, BATCH_INVALID_RECORD, w->errors[0].record_index,
               "one or more records have no key, which a compacted topic needs");
    v->errors = w->errors;
    v->errors_count = w->errors_count;
    return false;
}

static bool check_records(const uint8_t *p, const struct batch_rules *rules, struct batch_scratch *scratch,
                          struct batch_verdict *v)
{
    struct reader r;
    struct walk w = walk_start(p, rules);
    int32_t count = batch_record_count(p);
    int err = batch_open_records(p, scratch, &r);
    if (err)
        return refuse_records(err, v);
    struct bytes plain = {r.p, (int32_t)reader_left(&r)};
    w.errors = scratch->errors;
    if (!walk_records(&w, &r, count, v))
        return false;
    if (w.errors_count > 0)
        return refuse_rejected(&w, v);
    *v = (struct batch_verdict){
        .record_index = -1,
        .max_timestamp = rules->append_time ? rules->now_ms : w.max_timestamp,
        .max_timestamp_delta = rules->append_time ? count - 1 : w.max_timestamp_delta,
        .record_count = count,
        .compressed = batch_codec(p) != CODEC_NONE,
        .plain = plain,
    };
    return true;
}

int16_t batch_size_error(size_t len, const struct batch_rules *rules, struct batch_verdict *ret)
{
    ret->error = BATCH_OK;
    check_size(len, rules, ret);
    return ret->error;
}

int16_t batch_validate(const uint8_t *p, size_t len, const struct batch_rules *rules,
                       struct batch_scratch *scratch, struct batch_verdict *ret)
{
    ASSERT(rules->before_max_ms >= 0 && rules->after_max_ms >= 0);
    if (!check_frame(p, len, ret) || !check_size(len, rules, ret))
        return ret->error;
    if (batch_compute_crc(p) != batch_crc(p)) {
        refuse_batch(ret, BATCH_CORRUPT_MESSAGE, "checksum of the record batch is wrong");
        return ret->error;
    }
    if (!check_offsets(p, ret) || !check_origin(p, rules, ret) || !check_attributes(p, rules, ret) ||
        check_records(p, rules, scratch, ret))
        return ret->error;
    if (ret->record_index >= 0 && ret->errors_count == 0) {
        scratch->errors[0] = (struct batch_record_error){ret->record_index, ret->message};
        ret->errors = scratch->errors;
        ret->errors_count = 1;
    }
    return ret->error;
}

void batch_assign(uint8_t *p, int64_t base_offset, int32_t leader_epoch, const struct batch_rules *rules,
                  const struct batch_verdict *verdict)
{
    ASSERT(verdict->error == BATCH_OK && base_offset >= 0);
    batch_set_base_offset(p, base_offset);
    batch_set_leader_epoch(p, leader_epoch);
    if (rules->append_time)
        batch_set_append_time(p, verdict->max_timestamp);
    else if (batch_max_timestamp(p) != verdict->max_timestamp)
        batch_set_max_timestamp(p, verdict->max_timestamp);
}
