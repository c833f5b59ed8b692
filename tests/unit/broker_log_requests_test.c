/* SPDX-License-Identifier: Apache-2.0 */
/* What clients ask of a log itself, on real sockets and files: where an epoch ends, deleting records; and
 * what they and the metrics are told once a log has failed. */
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "broker/metadata/topic_settings.h"
#include "broker/shard/partition.h"
#include "common/base/arena.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"
#include "tests/lib/broker_rig.h"
#include "tests/lib/unit.h"

#define EPOCH_VERSION  3
#define DELETE_VERSION 1
#define US             1 /* this broker */
#define OTHER          2

static struct rig rig;
static struct rig_client *client;

static void produce(int count)
{
    const struct record_in record = {
        .timestamp_ms = 1700000000000, .key = BYTES_NULL, .value = {(const uint8_t *)"value", 5}};
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(rig_produce(client, 0, &record), KAFKA_NONE);
}

static void begin(const char *topic)
{
    rig_start(&rig, 2, NULL);
    rig_topic(&rig, topic, 2);
    client = rig_connect(&rig);
}

/* -- where an epoch ends -- */

struct answer {
    int16_t error;
    int32_t epoch;
    int64_t offset;
};

static struct answer epoch_end(int32_t partition, int32_t current_epoch, int32_t epoch)
{
    struct kafka_offset_for_leader_epoch_request_partition part;
    struct kafka_offset_for_leader_epoch_request_topic topic;
    struct kafka_offset_for_leader_epoch_request request;
    struct kafka_offset_for_leader_epoch_response reply;
    struct arena arena;
    struct writer w;

    kafka_offset_for_leader_epoch_request_init(&request);
    kafka_offset_for_leader_epoch_request_topic_init(&topic);
    kafka_offset_for_leader_epoch_request_partition_init(&part);
    part.partition = partition;
    part.current_leader_epoch = current_epoch;
    part.leader_epoch = epoch;
    topic.topic = STR_LIT("t");
    topic.partitions = &part;
    topic.partitions_count = 1;
    request.replica_id = -1;
    request.topics = &topic;
    request.topics_count = 1;
    rig_request_begin(&w, KAFKA_API_OFFSET_FOR_LEADER_EPOCH, EPOCH_VERSION, 5);
    kafka_offset_for_leader_epoch_request_encode(&w, EPOCH_VERSION, &request);
    rig_request_end(&w);
    rig_send_writer(client, &w);
    writer_free(&w);
    struct reader body = rig_expect(client, KAFKA_API_OFFSET_FOR_LEADER_EPOCH, EPOCH_VERSION, 5);
    arena_init(&arena, NULL, 0, 1 << 20);
    ck_assert_int_eq(kafka_offset_for_leader_epoch_response_decode(&body, &arena, EPOCH_VERSION, &reply), OK);
    ck_assert_int_eq(reply.topics[0].partitions[0].partition, partition);
    struct answer answer = {reply.topics[0].partitions[0].error_code,
                            reply.topics[0].partitions[0].leader_epoch,
                            reply.topics[0].partitions[0].end_offset};
    arena_free(&arena);
    rig_reply_drop(client);
    return answer;
}

/* Epochs 0 and 2 wrote, 4 has begun. */
START_TEST(a_client_learns_where_an_epoch_ends)
{
    static const struct {
        int32_t partition, current, epoch;
        struct answer answer;
    } rows[] = {
        {0, -1, 0, {KAFKA_NONE, 0, 3}},
        {0, 4, 0, {KAFKA_NONE, 0, 3}},
        {0, 4, 1, {KAFKA_NONE, 0, 3}}, /* the largest that is not greater */
        {0, 4, 2, {KAFKA_NONE, 2, 5}},
        {0, 4, 4, {KAFKA_NONE, 4, 5}},
        {0, 4, 5, {KAFKA_NONE, -1, -1}}, /* not yet */
        {0, 3, 0, {KAFKA_FENCED_LEADER_EPOCH, -1, -1}},
        {0, 5, 0, {KAFKA_UNKNOWN_LEADER_EPOCH, -1, -1}},
        {9, -1, 0, {KAFKA_UNKNOWN_TOPIC_OR_PARTITION, -1, -1}},
    };
    begin("t");
    produce(3);
    rig_topic_led_by(&rig, "t", 2, US, 2);
    produce(2);
    rig_topic_led_by(&rig, "t", 2, US, 4);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct answer answer = epoch_end(rows[i].partition, rows[i].current, rows[i].epoch);
        ck_assert_msg(answer.error == rows[i].answer.error && answer.epoch == rows[i].answer.epoch &&
                          answer.offset == rows[i].answer.offset,
                      "row %d: error %d, epoch %d ends at %lld", (int)i, answer.error, answer.epoch,
                      (long long)answer.offset);
    }
    rig_topic_led_by(&rig, "t", 2, OTHER, 5);
    ck_assert_int_eq(epoch_end(0, -1, 0).error, KAFKA_NOT_LEADER_OR_FOLLOWER);
    rig_stop(&rig);
}
END_TEST

/* -- deleting records -- */

static struct answer delete_before(const char *name, int32_t partition, int64_t offset)
{
    struct kafka_delete_records_request_partition part;
    struct kafka_delete_records_request_topic topic;
    struct kafka_delete_records_request request;
    struct kafka_delete_records_response reply;
    struct arena arena;
    struct writer w;

    kafka_delete_records_request_init(&request);
    kafka_delete_records_request_topic_init(&topic);
    kafka_delete_records_request_partition_init(&part);
    part.partition_index = partition;
    part.offset = offset;
    topic.name = str_from(name);
    topic.partitions = &part;
    topic.partitions_count = 1;
    request.topics = &topic;
    request.topics_count = 1;
    request.timeout_ms = 10000;
    rig_request_begin(&w, KAFKA_API_DELETE_RECORDS, DELETE_VERSION, 6);
    kafka_delete_records_request_encode(&w, DELETE_VERSION, &request);
    rig_request_end(&w);
    rig_send_writer(client, &w);
    writer_free(&w);
    struct reader body = rig_expect(client, KAFKA_API_DELETE_RECORDS, DELETE_VERSION, 6);
    arena_init(&arena, NULL, 0, 1 << 20);
    ck_assert_int_eq(kafka_delete_records_response_decode(&body, &arena, DELETE_VERSION, &reply), OK);
    struct answer answer = {reply.topics[0].partitions[0].error_code, 0,
                            reply.topics[0].partitions[0].low_watermark};
    arena_free(&arena);
    rig_reply_drop(client);
    return answer;
}

START_TEST(records_are_deleted_up_to_an_offset)
{
    static const struct {
        int32_t partition;
        int64_t before;
        int16_t error;
        int64_t low;
    } rows[] = {
        {0, 3, KAFKA_NONE, 3},
        {0, 1, KAFKA_NONE, 3},                 /* it never goes back */
        {0, 6, KAFKA_OFFSET_OUT_OF_RANGE, -1}, /* above the high watermark */
        {0, -2, KAFKA_OFFSET_OUT_OF_RANGE, -1},
        {7, 1, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, -1},
        {0, -1, KAFKA_NONE, 5}, /* all there are */
    };
    struct partition_view view;
    begin("t");
    produce(5);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct answer answer = delete_before("t", rows[i].partition, rows[i].before);
        ck_assert_msg(answer.error == rows[i].error && answer.offset == rows[i].low,
                      "row %d: error %d, low watermark %lld", (int)i, answer.error, (long long)answer.offset);
    }
    partition_get(rig_partition(&rig, "t", 0), &view);
    ck_assert_int_eq(view.log_start, 5);
    rig_stop(&rig);
}
END_TEST

START_TEST(nobody_deletes_records_of_a_coordinator)
{
    begin("__consumer_offsets");
    ck_assert_int_eq(delete_before("__consumer_offsets", 0, 0).error, KAFKA_INVALID_TOPIC_EXCEPTION);
    rig_stop(&rig);
}
END_TEST

/* -- a log that fails -- */

static int16_t produce_fails(void)
{
    static uint8_t value[200 << 10]; /* more than the room that was made */
    const struct record_in record = {
        .timestamp_ms = 1700000000000, .key = BYTES_NULL, .value = {value, sizeof(value)}};
    return rig_produce(client, 0, &record);
}

static bool is_counted(void *ctx)
{
    return rig.shards[0].gauges.offline == 1;
}

/* The disk takes no more: a named error for who asks, a metric for who looks on, and the others serve. */
START_TEST(a_failed_log_is_named_and_counted_and_the_others_serve)
{
    struct rlimit before, none;
    struct partition_view view;
    const struct record_in record = {
        .timestamp_ms = 1700000000000, .key = BYTES_NULL, .value = {(const uint8_t *)"value", 5}};
    begin("t");
    produce(3);
    ck_assert_int_eq(rig_produce(client, 1, &record), KAFKA_NONE);
    ck_assert_int_eq(rig.shards[0].gauges.offline, 0);
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    none = before;
    none.rlim_cur = 0; /* every write to a file fails */
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
    int16_t error = produce_fails();
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    ck_assert_int_eq(error, KAFKA_KAFKA_STORAGE_ERROR);
    rig_until(&rig, is_counted, NULL);
    partition_get(rig_partition(&rig, "t", 0), &view);
    ck_assert(view.offline);
    ck_assert_int_eq(rig.shards[1].gauges.offline, 0);
    ck_assert_int_eq(rig_produce(client, 1, &record), KAFKA_NONE);
    partition_get(rig_partition(&rig, "t", 1), &view);
    ck_assert_int_eq(view.log_end, 2);
    rig_stop(&rig);
}
END_TEST

/* The contract by default: synced before it is acknowledged; page cache only where somebody says so, and
 * never for the coordinators' topics. _i: flush.messages is raised. */
START_TEST(a_topic_syncs_before_it_acknowledges_unless_told_otherwise)
{
    static const char *const raised[] = {"log.flush.interval.messages=1000", NULL};
    struct partition_config config;

    rig_start(&rig, 1, _i ? raised : NULL);
    topic_settings_resolve(rig.image, &rig.config, STR_LIT("t"), &config);
    ck_assert_int_eq(config.sync_before_ack, !_i);
    ck_assert_int_eq(config.flush_messages, _i ? 1000 : 1);
    topic_settings_resolve(rig.image, &rig.config, STR_LIT("__consumer_offsets"), &config);
    ck_assert(config.sync_before_ack);
    topic_settings_resolve(rig.image, &rig.config, STR_LIT("__transaction_state"), &config);
    ck_assert(config.sync_before_ack);
    rig_stop(&rig);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_set_timeout(tcase, 120); /* the disk may be busy */
    tcase_add_test(tcase, a_client_learns_where_an_epoch_ends);
    tcase_add_test(tcase, records_are_deleted_up_to_an_offset);
    tcase_add_test(tcase, nobody_deletes_records_of_a_coordinator);
    tcase_add_loop_test(tcase, a_topic_syncs_before_it_acknowledges_unless_told_otherwise, 0, 2);
    tcase_add_test(tcase, a_failed_log_is_named_and_counted_and_the_others_serve);
}

SLUICE_TEST_MAIN("broker_log_requests", add)
