/* SPDX-License-Identifier: Apache-2.0 */
/* What a leader refuses, each rule with Kafka's error code and the list of records (facts, Record batches).
 */
#include "common/batch/record.h"
#include "tests/unit/broker_fixture.h"

#define HOUR_MS 3600000

/* Three records; bit i of the masks is about record i. */
struct row {
    const char *name;
    unsigned without_key, too_old, too_new;
    enum codec codec;
    bool control, append_time_bit, no_zstd, no_sequence, bad_crc;
    int32_t count_lie, base_offset;
    int32_t max_message_bytes;
    int64_t segment_bytes;
    bool log_append_time, recompress;
    enum codec topic_codec;
    int16_t error;
    unsigned refused; /* records in the list */
};

static const struct row rows[] = {
    {.name = "a good batch"},
    {.name = "without keys where none are needed", .without_key = 7},
    {.name = "a checksum that does not fit", .bad_crc = true, .error = KAFKA_CORRUPT_MESSAGE},
    {.name = "a base offset", .base_offset = 4, .error = KAFKA_INVALID_RECORD},
    {.name = "larger than the topic allows", .max_message_bytes = 200, .error = KAFKA_MESSAGE_TOO_LARGE},
    {.name = "larger than a segment", .segment_bytes = 200, .error = KAFKA_RECORD_LIST_TOO_LARGE},
    {.name = "one record more than there are", .count_lie = 1, .error = KAFKA_INVALID_RECORD, .refused = 8},
    {.name = "one record fewer than there are", .count_lie = -1, .error = KAFKA_INVALID_RECORD},
    {.name = "a control batch", .control = true, .error = KAFKA_INVALID_RECORD},
    {.name = "a producer id without sequence", .no_sequence = true, .error = KAFKA_INVALID_RECORD},
    {.name = "zstd from an old client",
     .codec = CODEC_ZSTD,
     .no_zstd = true,
     .error = KAFKA_UNSUPPORTED_COMPRESSION_TYPE},
    {.name = "lz4 from an old client", .codec = CODEC_LZ4, .no_zstd = true},
    {.name = "append time claimed", .append_time_bit = true, .error = KAFKA_INVALID_TIMESTAMP},
    {.name = "one record from the past", .too_old = 2, .error = KAFKA_INVALID_TIMESTAMP, .refused = 2},
    {.name = "two records from the future",
     .too_new = 5,
     .codec = CODEC_GZIP,
     .error = KAFKA_INVALID_TIMESTAMP,
     .refused = 5},
    {.name = "past and future where the broker stamps", .too_old = 2, .too_new = 1, .log_append_time = true},
    {.name = "keys missing and a wrong time",
     .without_key = 1,
     .too_old = 4,
     .max_message_bytes = -1,
     .error = KAFKA_INVALID_TIMESTAMP,
     .refused = 5},
    {.name = "keys missing where they are needed",
     .without_key = 6,
     .codec = CODEC_SNAPPY,
     .max_message_bytes = -1,
     .error = KAFKA_INVALID_RECORD,
     .refused = 6},
    {.name = "another codec", .codec = CODEC_GZIP, .recompress = true, .topic_codec = CODEC_ZSTD},
    {.name = "another codec and broker time",
     .codec = CODEC_SNAPPY,
     .recompress = true,
     .topic_codec = CODEC_LZ4,
     .log_append_time = true},
    {.name = "uncompressed where it was compressed",
     .codec = CODEC_ZSTD,
     .recompress = true,
     .topic_codec = CODEC_NONE},
    {.name = "too large once it is uncompressed",
     .codec = CODEC_ZSTD,
     .recompress = true,
     .topic_codec = CODEC_NONE,
     .max_message_bytes = 400,
     .error = KAFKA_MESSAGE_TOO_LARGE},
    {.name = "refused before it is rewritten",
     .codec = CODEC_ZSTD,
     .recompress = true,
     .too_new = 1,
     .error = KAFKA_INVALID_TIMESTAMP,
     .refused = 1},
};

static struct iobuf *batch_of(struct broker *b, const struct row *row)
{
    struct batch_opts opts = BATCH_OPTS_PLAIN;
    struct batch_builder builder;
    struct iobuf *batch;
    static const uint8_t value[200];
    int64_t now = env_wall_ms(b->env);
    opts.codec = row->codec;
    opts.control = row->control;
    opts.producer_id = row->no_sequence ? 9 : -1;
    opts.producer_epoch = row->no_sequence ? 0 : -1;
    ck_assert_int_eq(batch_builder_init(&builder, &opts, NULL, 1024, 1 << 20), OK);
    for (unsigned i = 0; i < 3; i++) {
        int64_t shift = row->too_old & 1u << i ? -2 * HOUR_MS : row->too_new & 1u << i ? 2 * HOUR_MS : 0;
        struct bytes key =
            row->without_key & 1u << i ? BYTES_NULL : (struct bytes){(const uint8_t *)"key", 3};
        struct record_in rec = {.timestamp_ms = now + shift, .key = key, .value = {value, sizeof(value)}};
        ck_assert_int_eq(batch_builder_add(&builder, &rec), OK);
    }
    ck_assert_int_eq(batch_builder_finish(&builder, b->scratch.codecs, &batch), OK);
    uint8_t *p = batch->data;
    if (row->append_time_bit)
        store_be16(p + BATCH_AT_ATTRIBUTES, batch_attributes(p) | BATCH_APPEND_TIME);
    store_be32(p + BATCH_AT_RECORD_COUNT, (uint32_t)(3 + row->count_lie));
    store_be32(p + BATCH_AT_LAST_OFFSET_DELTA, (uint32_t)(2 + row->count_lie));
    batch_set_base_offset(p, row->base_offset);
    store_be32(p + BATCH_AT_CRC, batch_compute_crc(p) ^ (row->bad_crc ? 1 : 0));
    return batch;
}

static struct partition_config config_of(const struct row *row)
{
    struct partition_config config = fixture_config();
    config.timestamp_before_max_ms = config.timestamp_after_max_ms = HOUR_MS;
    config.compacted = row->max_message_bytes < 0;
    if (row->max_message_bytes > 0)
        config.max_message_bytes = row->max_message_bytes;
    if (row->segment_bytes > 0)
        config.segment_bytes = row->segment_bytes;
    config.log_append_time = row->log_append_time;
    config.recompress = row->recompress;
    config.codec = (uint8_t)row->topic_codec;
    config.codec_level = COMPRESS_LEVEL_DEFAULT;
    return config;
}

static unsigned listed(const struct partition_appended *ret)
{
    unsigned mask = 0;
    for (int32_t i = 0; i < ret->record_errors_count; i++) {
        ck_assert_ptr_nonnull(ret->record_errors[i].message);
        mask |= 1u << ret->record_errors[i].record_index;
    }
    return mask;
}

/* What was stored is what was sent, with the topic's codec and the broker's time. */
static void check_stored(struct broker *b, const struct row *row, const struct partition_appended *ret)
{
    struct partition_read request = {.max_bytes = 1 << 20,
                                     .at_least_one = true,
                                     .replica_id = -1,
                                     .current_leader_epoch = -1,
                                     .last_fetched_epoch = -1};
    struct partition_read_result result;
    partition_read(b->p, &request, &result);
    ck_assert_int_gt(result.bytes, 0);
    const uint8_t *p = result.pieces[0].p;
    ck_assert_ptr_nonnull(p);
    ck_assert_int_eq(batch_verify(p, (size_t)result.bytes), OK);
    ck_assert_int_eq((int)batch_codec(p), (int)(row->recompress ? row->topic_codec : row->codec));
    ck_assert_int_eq(batch_record_count(p), 3);
    ck_assert_int_eq(batch_is_append_time(p), row->log_append_time);
    ck_assert_int_eq(ret->log_append_time_ms, row->log_append_time ? batch_max_timestamp(p) : -1);
    partition_read_release(&result);
}

START_TEST(each_rule_has_its_error)
{
    const struct row *row = &rows[_i];
    struct mem_world *world = mem_world_new(3);
    struct broker b;
    struct waiter w;
    struct partition_config config = config_of(row);
    broker_start(&b, world, 1);
    broker_open(&b, &config);
    broker_apply(&b, 1, 0, 0, 1, 1, &config);
    mem_world_run(world, mem_world_now_us(world) + 1000000);
    struct iobuf *batch = batch_of(&b, row);
    struct partition_appended ret;
    struct partition_append request = {.records = batch->data,
                                       .len = (int32_t)batch->len,
                                       .owner = batch,
                                       .acks = 1,
                                       .timeout_ms = 30000,
                                       .current_leader_epoch = -1,
                                       .no_zstd = row->no_zstd};
    memset(&w, 0, sizeof(w));
    w.wait.done = waiter_done;
    partition_append(b.p, &request, &w.wait, &ret);
    ck_assert_msg(ret.error == row->error, "%s: error %d", row->name, ret.error);
    ck_assert_msg(listed(&ret) == row->refused, "%s: records %x", row->name, listed(&ret));
    ck_assert_msg((ret.message != NULL) == (row->error != KAFKA_NONE), "%s: message", row->name);
    ck_assert_int_eq(view_of(&b).log_end, row->error == KAFKA_NONE ? 3 : 0);
    iobuf_unref(batch);
    mem_world_run(world, mem_world_now_us(world) + 1000000);
    if (row->error == KAFKA_NONE)
        check_stored(&b, row, &ret);
    broker_stop(&b);
    mem_world_run(world, mem_world_now_us(world) + 1000000);
    mem_world_free(world);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, each_rule_has_its_error, 0, (int)ARRAY_LEN(rows));
}

SLUICE_TEST_MAIN("broker_produce_rules", add_tests)
