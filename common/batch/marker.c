/* SPDX-License-Identifier: Apache-2.0 */
#include "common/batch/marker.h"

#include "common/base/wire.h"
#include "common/batch/builder.h"
#include "common/batch/record.h"

#define KEY_BYTES     4
#define VALUE_BYTES   6
#define TYPE_AT       2
#define EPOCH_AT      2
#define VALUE_VERSION 0

int marker_parse(const uint8_t *batch, struct marker *ret_marker)
{
    struct batch_iter it;
    struct record record;

    if (!batch_is_control(batch) || batch_codec(batch) != CODEC_NONE || batch_record_count(batch) != 1)
        return ERR_NOT_FOUND;
    int err = batch_iter_init(&it, batch, NULL);
    if (err != OK)
        return err;
    if (!batch_iter_next(&it, &record) || record.key.len < KEY_BYTES)
        return ERR_MALFORMED;
    uint16_t type = load_be16(record.key.p + TYPE_AT);
    if (type != MARKER_ABORT && type != MARKER_COMMIT)
        return ERR_NOT_FOUND;
    if (record.value.len < VALUE_BYTES)
        return ERR_MALFORMED;
    *ret_marker = (struct marker){.type = (enum marker_type)type,
                                  .coordinator_epoch = (int32_t)load_be32(record.value.p + EPOCH_AT)};
    return OK;
}

int marker_build(struct iobuf_pool *pool, int64_t producer_id, int16_t producer_epoch,
                 const struct marker *marker, int64_t now_ms, struct iobuf **ret_batch)
{
    uint8_t key[KEY_BYTES] = {0}, value[VALUE_BYTES] = {0};
    struct batch_opts opts = BATCH_OPTS_PLAIN;
    struct batch_builder builder;
    struct record_in record = {
        .timestamp_ms = now_ms, .key = {key, KEY_BYTES}, .value = {value, VALUE_BYTES}};

    store_be16(key + TYPE_AT, (uint16_t)marker->type);
    store_be16(value, VALUE_VERSION);
    store_be32(value + EPOCH_AT, (uint32_t)marker->coordinator_epoch);
    opts.transactional = opts.control = true;
    opts.producer_id = producer_id;
    opts.producer_epoch = producer_epoch;
    int err = batch_builder_init(&builder, &opts, pool, MARKER_BYTES_MAX, MARKER_BYTES_MAX);
    if (err != OK)
        return err;
    err = batch_builder_add(&builder, &record);
    if (err != OK) {
        batch_builder_free(&builder);
        return err;
    }
    return batch_builder_finish(&builder, NULL, ret_batch);
}
