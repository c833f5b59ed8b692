/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/kafka/api.h"

#include "common/base/assert.h"
#include "proto/kafka/codec.h"

/* Indexed by key; a hole has no name. */
static const struct kafka_api_info infos[] = {
#define X(title_upper, key_, title, min, max, flexible)                                                      \
    [key_] = {.name = title, .key = key_, .min_version = min, .max_version = max, .flexible_from = flexible},
    KAFKA_API_TABLE(X)
#undef X
};

const struct kafka_api_info *kafka_api_info(int16_t key)
{
    if (key < 0 || (size_t)key >= ARRAY_LEN(infos) || !infos[key].name)
        return NULL;
    return &infos[key];
}

const char *kafka_api_name(int16_t key)
{
    const struct kafka_api_info *info = kafka_api_info(key);
    return info ? info->name : "Unknown";
}

bool kafka_api_has_version(int16_t key, int16_t version)
{
    const struct kafka_api_info *info = kafka_api_info(key);
    return info && version >= info->min_version && version <= info->max_version;
}

int16_t kafka_request_header_version(int16_t key, int16_t version)
{
    const struct kafka_api_info *info = kafka_api_info(key);
    if (!info)
        return -1;
    return version >= info->flexible_from ? 2 : 1;
}

int16_t kafka_response_header_version(int16_t key, int16_t version)
{
    const struct kafka_api_info *info = kafka_api_info(key);
    if (!info)
        return -1;
    return key != KAFKA_API_API_VERSIONS && version >= info->flexible_from ? 1 : 0;
}

enum err kafka_request_header_decode(struct reader *r, int16_t header_version,
                                     struct kafka_request_header *ret)
{
    if (header_version < 0 || header_version > 2)
        reader_fail(r, ERR_VERSION);
    struct kafka_request_header header = {.client_id = STR_NULL};
    header.api_key = reader_i16(r);
    header.api_version = reader_i16(r);
    header.correlation_id = reader_i32(r);
    if (header_version >= 1)
        header.client_id = kafka_get_str(r, false, true);
    if (header_version >= 2)
        kafka_skip_tags(r);
    if (r->err == OK)
        *ret = header;
    return r->err;
}

void kafka_request_header_encode(struct writer *w, int16_t header_version,
                                 const struct kafka_request_header *m)
{
    if (header_version < 0 || header_version > 2)
        writer_fail(w, ERR_VERSION);
    writer_i16(w, m->api_key);
    writer_i16(w, m->api_version);
    writer_i32(w, m->correlation_id);
    if (header_version >= 1)
        kafka_put_str(w, m->client_id, false, true);
    if (header_version >= 2)
        writer_uvarint(w, 0);
}

enum err kafka_response_header_decode(struct reader *r, int16_t header_version,
                                      struct kafka_response_header *ret)
{
    if (header_version < 0 || header_version > 1)
        reader_fail(r, ERR_VERSION);
    int32_t correlation_id = reader_i32(r);
    if (header_version >= 1)
        kafka_skip_tags(r);
    if (r->err == OK)
        ret->correlation_id = correlation_id;
    return r->err;
}

void kafka_response_header_encode(struct writer *w, int16_t header_version,
                                  const struct kafka_response_header *m)
{
    if (header_version < 0 || header_version > 1)
        writer_fail(w, ERR_VERSION);
    writer_i32(w, m->correlation_id);
    if (header_version >= 1)
        writer_uvarint(w, 0);
}

enum err kafka_request_header_peel(struct reader *r, struct kafka_request_header *ret)
{
    struct reader ahead = *r;
    struct kafka_request_header first;
    if (kafka_request_header_decode(&ahead, 0, &first) == OK) {
        *ret = first;
        int16_t header_version = kafka_request_header_version(first.api_key, first.api_version);
        if (header_version < 0)
            reader_fail(r, ERR_UNSUPPORTED);
        return kafka_request_header_decode(r, header_version, ret);
    }
    reader_fail(r, ahead.err);
    return r->err;
}
