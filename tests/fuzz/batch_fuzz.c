/* SPDX-License-Identifier: Apache-2.0 */
/* A record batch as a peer sends it. Byte 0 of the input chooses rules and repairs (below), the rest is the
 * batch. What batch_validate() accepts must then read, stamp and rebuild without a fault. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/batch/builder.h"
#include "common/batch/validate.h"

enum choice {
    REPAIR_HEADER = 1, /* magic, length and base offset, so that mutations reach the records */
    REPAIR_CRC = 2,
    COMPACTED = 4,
    APPEND_TIME = 8,
    INTERNAL = 16,
};

#define PLAIN_BYTES_MAX ((size_t)1 << 20)
#define RATIO_MAX       2000
#define HEADERS_MAX     64
#define NOW_MS          1700000000000

static void repair(uint8_t *p, size_t len, uint8_t choices)
{
    if (len < BATCH_HEADER_BYTES)
        return;
    if (choices & REPAIR_HEADER) {
        p[BATCH_AT_MAGIC] = BATCH_MAGIC;
        store_be32(p + BATCH_AT_LENGTH, (uint32_t)(len - BATCH_PREFIX_BYTES));
        batch_set_base_offset(p, 0);
    }
    if (choices & REPAIR_CRC && batch_size(p) == len)
        store_be32(p + BATCH_AT_CRC, batch_compute_crc(p));
}

/* Appends the record to the copy; records with very many headers are left out. */
static void rebuild_record(struct batch_builder *b, const struct record *rec)
{
    struct record_header headers[HEADERS_MAX];
    struct header_iter it = record_headers(rec);
    int32_t n = 0;
    while (n < HEADERS_MAX && header_iter_next(&it, &headers[n]))
        n++;
    struct record_in in = {rec->timestamp, rec->key, rec->value, headers, n};
    size_t expected = batch_builder_size_with(b, &in);
    ASSERT(batch_builder_add(b, &in) == OK);
    ASSERT(batch_builder_size(b) == expected);
}

static void read_accepted(const uint8_t *p, const struct batch_verdict *verdict,
                          struct batch_scratch *scratch)
{
    struct batch_iter it;
    struct record rec;
    struct batch_builder b;
    struct iobuf *copy;
    int32_t seen = 0;
    ASSERT(batch_builder_init(&b, &BATCH_OPTS_PLAIN, NULL, 0, PLAIN_BYTES_MAX * 4) == OK);
    ASSERT(batch_iter_init(&it, p, scratch) == OK);
    for (; batch_iter_next(&it, &rec); seen++) {
        ASSERT(rec.offset_delta == seen);
        ASSERT(rec.timestamp <= verdict->max_timestamp || verdict->max_timestamp == NOW_MS);
        rebuild_record(&b, &rec);
    }
    ASSERT(it.r.err == OK && seen == verdict->record_count);
    ASSERT(batch_builder_finish(&b, NULL, &copy) == OK);
    ASSERT(batch_verify(copy->data, copy->len) == OK && batch_record_count(copy->data) == seen);
    iobuf_unref(copy);
}

/* A follower or a tool reads what no leader has validated. */
static void read_anything(const uint8_t *p, size_t len, struct batch_scratch *scratch)
{
    struct reader r = reader_over(p, len);
    struct batch_iter it;
    struct record rec;
    size_t size;
    const uint8_t *batch;
    while ((batch = batch_next(&r, &size))) {
        batch_verify(batch, size);
        batch_header_of(batch);
        if (batch_iter_init(&it, batch, scratch) != OK)
            continue;
        while (batch_iter_next(&it, &rec))
            for (struct header_iter h = record_headers(&rec);
                 header_iter_next(&h, &(struct record_header){0});)
                ;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t len = size - 1;
    uint8_t *p = malloc(len ? len : 1);
    memcpy(p, data + 1, len);
    repair(p, len, data[0]);
    struct batch_rules rules = {
        NOW_MS, INT64_MAX,         3600000, INT32_MAX, INT32_MAX, data[0] & APPEND_TIME, data[0] & COMPACTED,
        true,   data[0] & INTERNAL};
    struct batch_scratch scratch;
    struct batch_verdict verdict;
    ASSERT(batch_scratch_init(&scratch, PLAIN_BYTES_MAX, RATIO_MAX) == OK);
    read_anything(p, len, &scratch);
    if (batch_validate(p, len, &rules, &scratch, &verdict) == BATCH_OK) {
        read_accepted(p, &verdict, &scratch);
        batch_assign(p, 1234567, 89, &rules, &verdict);
        ASSERT(batch_verify(p, len) == OK && batch_max_timestamp(p) == verdict.max_timestamp);
    }
    batch_scratch_free(&scratch);
    free(p);
    return 0;
}
