/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/payload.h"

#include <string.h>

#include "common/base/wire.h"

#define ID_BYTES 8

/* Some repetition, so that codecs have something to do. */
static uint8_t filler(uint64_t value, size_t i)
{
    return (uint8_t)(value * 131 + i / 5);
}

static struct bytes fill(uint8_t *bytes, uint64_t value, size_t len)
{
    store_be64(bytes, value);
    for (size_t i = ID_BYTES; i < len; i++)
        bytes[i] = filler(value, i);
    return (struct bytes){.p = bytes, .len = (int32_t)len};
}

static void add_headers(struct payload *payload, struct prng *prng, uint64_t value)
{
    payload->record.header_count = 1 + (int32_t)prng_below(prng, PAYLOAD_HEADERS_MAX);
    payload->record.headers = payload->headers;
    store_be64(payload->small + 16, value);
    for (int32_t i = 0; i < payload->record.header_count; i++)
        payload->headers[i] = (struct record_header){
            .key = str_from(i == 0 ? "id" : "empty"),
            .value = i == 0 ? (struct bytes){.p = payload->small + 16, .len = ID_BYTES} : BYTES_NULL};
}

/* One in eight has no value: its key is the content. A third have keys, a fifth headers. */
void payload_make(struct payload *payload, struct prng *prng, uint64_t value, size_t len, uint8_t *bytes)
{
    struct bytes content = fill(bytes, value, len < ID_BYTES ? ID_BYTES : len);
    *payload = (struct payload){.record = {.key = BYTES_NULL, .value = BYTES_NULL}};
    if (prng_below(prng, 8) == 0) {
        payload->record.key = content;
    } else {
        payload->record.value = content;
        if (prng_below(prng, 3) == 0) {
            memcpy(payload->small, &value, sizeof(value));
            payload->record.key = (struct bytes){.p = payload->small, .len = (int32_t)(value % 8)};
        }
    }
    if (prng_below(prng, 5) == 0)
        add_headers(payload, prng, value);
}

void payload_make_keyed(struct payload *payload, struct prng *prng, uint64_t value, size_t len,
                        uint8_t *bytes, uint32_t key, bool tombstone)
{
    struct bytes content = fill(bytes, value, len < ID_BYTES ? ID_BYTES : len);
    *payload = (struct payload){.record = {.value = tombstone ? BYTES_NULL : content}};
    store_be32(payload->small, key);
    payload->record.key = (struct bytes){.p = payload->small, .len = sizeof(key)};
    if (tombstone || prng_below(prng, 5) == 0)
        add_headers(payload, prng, value);
}

/* A tombstone of a compacted topic: its key is short, a header has the value. */
static uint64_t tombstone_value(const struct record *record)
{
    struct header_iter headers = record_headers(record);
    struct record_header header;
    while (header_iter_next(&headers, &header))
        if (header.value.len == ID_BYTES)
            return load_be64(header.value.p);
    return 0;
}

/* Of a record with a value: none, or the bytes that payload_make() takes for it. */
static bool is_key_good(const struct record *record, uint64_t value)
{
    return record->value.len < 0 || record->key.len < 0 ||
           (record->key.len == (int32_t)(value % 8) &&
            memcmp(record->key.p, &value, (size_t)record->key.len) == 0);
}

uint32_t payload_key(uint64_t value, uint32_t keys)
{
    uint64_t counter = (uint32_t)value;
    return 1 + (uint32_t)(counter * 2654435761u >> 7) % keys;
}

uint64_t payload_keyed_value(const struct record *record, uint32_t keys)
{
    struct record unkeyed = *record;
    bool tombstone = record->value.len < 0;
    unkeyed.key = BYTES_NULL;
    uint64_t value = tombstone ? tombstone_value(record) : payload_value(&unkeyed);
    bool good = record->key.len == sizeof(uint32_t) && load_be32(record->key.p) == payload_key(value, keys);
    return good ? value : 0;
}

uint64_t payload_value(const struct record *record)
{
    struct bytes content = record->value.len < 0 ? record->key : record->value;
    if (content.len < ID_BYTES)
        return 0;
    uint64_t value = load_be64(content.p);
    for (int32_t i = ID_BYTES; i < content.len; i++)
        if (content.p[i] != filler(value, (size_t)i))
            return 0;
    struct header_iter headers = record_headers(record);
    struct record_header header;
    while (header_iter_next(&headers, &header))
        if (header.value.len == ID_BYTES && load_be64(header.value.p) != value)
            return 0;
    return is_key_good(record, value) ? value : 0;
}
