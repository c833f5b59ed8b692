/* SPDX-License-Identifier: Apache-2.0 */
/* Consuming by offset: starts, leaders, ranges, epochs, damage. */
#include "proto/kafka/error.h"
#include "tests/lib/client_rig.h"
#include "tests/lib/unit.h"

#define SECOND 1000000u

/* `count` records in partition 0, ten in a batch. */
static struct client_topic *filled(struct crig *rig, uint64_t count)
{
    struct client_topic *topic = crig_topic(rig);
    client_produce_flush(rig->client, true);
    for (uint64_t tag = 0; tag < count; tag++) {
        ck_assert_int_eq(crig_produce(rig, topic, 0, tag), OK);
        if (tag % 10 == 9)
            ck_assert(crig_until(rig, SECOND, crig_settled));
    }
    ck_assert(crig_until(rig, SECOND, crig_settled));
    return topic;
}

static void start(struct crig *rig, struct client_topic *topic, enum client_from from, int64_t value)
{
    struct client_start at = {.from = from, .value = value};
    ck_assert_int_eq(client_consume(rig->client, rig->now_us, topic, 0, at), OK);
}

static void expect_range(const struct crig *rig, int64_t from, int64_t to)
{
    ck_assert_int_eq(rig->consumed_count, to - from);
    for (int32_t i = 0; i < rig->consumed_count; i++) {
        ck_assert_int_eq(rig->consumed[i].offset, from + i);
        ck_assert_uint_eq(rig->consumed[i].tag, (uint64_t)(from + i));
    }
}

START_TEST(starts_where_it_is_told)
{
    static const struct {
        enum client_from from;
        int64_t value, first;
    } cases[] = {{CLIENT_FROM_EARLIEST, 0, 0},
                 {CLIENT_FROM_OFFSET, 37, 37},
                 {CLIENT_FROM_LATEST, 0, 100},
                 {CLIENT_FROM_TIME, 1, 100} /* the rig finds no record: the end */};
    struct crig *rig = crig_new(NULL, 1);
    rig->no_topic_ids = _i % 2 == 1;
    struct client_topic *topic = filled(rig, 100);
    start(rig, topic, cases[_i].from, cases[_i].value);
    crig_run(rig, SECOND);
    expect_range(rig, cases[_i].first, 100);
    ck_assert_int_eq(rig->version[KAFKA_API_FETCH], rig->no_topic_ids ? 12 : 17);
    crig_free(rig);
}
END_TEST

START_TEST(reads_on_with_a_new_leader)
{
    struct crig *rig = crig_new(NULL, 1);
    struct client_topic *topic = filled(rig, 50);
    start(rig, topic, CLIENT_FROM_EARLIEST, 0);
    crig_run(rig, 1000);
    crig_lead(rig, 0, 2);
    rig->down[1] = true;
    crig_break(rig, 1);
    crig_run(rig, SECOND);
    expect_range(rig, 0, 50);
    crig_free(rig);
}
END_TEST

/* Found by simulation: nothing was read until the metadata were five minutes old. */
START_TEST(reads_on_with_a_leader_that_older_metadata_do_not_list)
{
    struct crig *rig = crig_new(NULL, 1);
    rig->partitions_count = 1;
    struct client_topic *topic = filled(rig, 50);
    crig_lead(rig, 0, CRIG_NODES);
    ck_assert_int_eq(crig_produce(rig, topic, 0, 50), OK);
    ck_assert(crig_until(rig, SECOND, crig_settled));
    rig->behind = rig->down[CRIG_NODES] = true;
    crig_break(rig, CRIG_NODES);
    start(rig, topic, CLIENT_FROM_OFFSET, 0);
    crig_run(rig, 2 * SECOND);
    ck_assert_int_eq(rig->consumed_count, 0);
    rig->behind = rig->down[CRIG_NODES] = false;
    crig_run(rig, 2 * SECOND);
    expect_range(rig, 0, 51);
    crig_free(rig);
}
END_TEST

START_TEST(stopped_partition_brings_nothing_more)
{
    struct crig *rig = crig_new(NULL, 1);
    struct client_topic *topic = filled(rig, 50);
    start(rig, topic, CLIENT_FROM_EARLIEST, 0);
    crig_run(rig, 1500);
    int32_t before = rig->consumed_count;
    client_consume_stop(rig->client, topic, 0);
    crig_run(rig, SECOND);
    ck_assert_int_eq(rig->consumed_count, before);
    start(rig, topic, CLIENT_FROM_OFFSET, 45); /* and can be started anew */
    crig_run(rig, SECOND);
    ck_assert_int_eq(rig->consumed_count, before + 5);
    crig_free(rig);
}
END_TEST

/* Moves on to 45 in the moment in which the first records have come and are not told yet. */
static void move_at_once(struct crig *rig, const struct crig_mail *mail)
{
    struct client_topic *topic = rig->ctx;
    if (!mail->frame || rig->requests[KAFKA_API_FETCH] == 0)
        return;
    rig->on_mail = NULL;
    start(rig, topic, CLIENT_FROM_OFFSET, 45);
}

START_TEST(records_from_before_a_move_are_not_told)
{
    struct crig *rig = crig_new(NULL, 1);
    struct client_topic *topic = filled(rig, 50);
    rig->ctx = topic;
    rig->on_mail = move_at_once;
    start(rig, topic, CLIENT_FROM_OFFSET, 0);
    crig_run(rig, SECOND);
    expect_range(rig, 45, 50);
    crig_free(rig);
}
END_TEST

static void run_out_of_range(enum client_reset reset, struct crig **ret_rig)
{
    struct client_config config;
    crig_config(&config);
    config.consumer.reset = reset;
    struct crig *rig = crig_new(&config, 1);
    struct client_topic *topic = filled(rig, 50);
    rig->partitions[0].start = 20;
    start(rig, topic, CLIENT_FROM_OFFSET, 5);
    crig_run(rig, SECOND);
    *ret_rig = rig;
}

START_TEST(offset_that_is_gone_follows_the_policy)
{
    struct crig *rig;
    run_out_of_range(CLIENT_RESET_FAIL, &rig);
    ck_assert_int_eq(rig->failures, 1);
    ck_assert_int_eq(rig->consume_failure.kafka_error, KAFKA_OFFSET_OUT_OF_RANGE);
    crig_free(rig);
    run_out_of_range(CLIENT_RESET_EARLIEST, &rig);
    expect_range(rig, 20, 50);
    ck_assert_int_eq(rig->moved_from, 5);
    crig_free(rig);
    run_out_of_range(CLIENT_RESET_LATEST, &rig);
    ck_assert_int_eq(rig->consumed_count, 0);
    ck_assert_int_eq(rig->moved_from, 5);
    crig_free(rig);
}
END_TEST

static int16_t out_of_range_so_often(struct crig *rig, int32_t partition, int64_t offset)
{
    int *left = rig->ctx;
    return *left > 0 && (*left)-- > 0 ? KAFKA_OFFSET_OUT_OF_RANGE : KAFKA_NONE;
}

/* The leader that denied the position had deleted more than the one that is asked where the log begins; or
 * (1) that one denies it, too. */
START_TEST(nobody_goes_back_for_the_word_of_one)
{
    struct client_config config;
    int left = 1 + _i;
    crig_config(&config);
    config.consumer.reset = CLIENT_RESET_EARLIEST;
    struct crig *rig = crig_new(&config, 1);
    struct client_topic *topic = filled(rig, 50);
    rig->on_fetch = out_of_range_so_often;
    rig->ctx = &left;
    start(rig, topic, CLIENT_FROM_OFFSET, 30);
    crig_run(rig, SECOND);
    ck_assert_int_eq(left, 0);
    expect_range(rig, _i == 0 ? 30 : 0, 50);
    ck_assert_int_eq(rig->moved_from, _i == 0 ? -1 : 30);
    crig_free(rig);
}
END_TEST

/* The new leader's log ends its part of the old epoch at 30. */
START_TEST(truncated_log_takes_the_reader_back)
{
    struct crig *rig = crig_new(NULL, 1);
    struct client_topic *topic = filled(rig, 50);
    start(rig, topic, CLIENT_FROM_EARLIEST, 0);
    crig_run(rig, SECOND);
    expect_range(rig, 0, 50);
    for (int32_t i = 3; i < rig->partitions[0].count; i++)
        iobuf_unref(rig->partitions[0].batches[i].data);
    rig->partitions[0].count = 3;
    rig->partitions[0].end = 30;
    rig->fenced_offset = 30;
    crig_lead(rig, 0, 2);
    crig_run(rig, SECOND);
    ck_assert_int_eq(rig->moved_from, 50);
    ck_assert_int_eq(rig->failures, 0);
    crig_free(rig);
}
END_TEST

static int16_t mend_later(struct crig *rig, int32_t partition, int64_t offset)
{
    int *left = rig->ctx;
    if (--*left == 0)
        rig->partitions[0].batches[2].data->data[BATCH_HEADER_BYTES + 5] ^= 1;
    return KAFKA_NONE;
}

START_TEST(damaged_batch_is_never_passed_on)
{
    struct crig *rig = crig_new(NULL, 1);
    struct client_topic *topic = filled(rig, 50);
    int left = 6;
    rig->partitions[0].batches[2].data->data[BATCH_HEADER_BYTES + 5] ^= 1;
    rig->ctx = &left;
    rig->on_fetch = mend_later;
    start(rig, topic, CLIENT_FROM_EARLIEST, 0);
    crig_run(rig, 2000);
    ck_assert_int_le(rig->consumed_count, 20);
    crig_run(rig, SECOND);
    expect_range(rig, 0, 50);
    crig_free(rig);
}
END_TEST

START_TEST(unknown_partition_and_topic_are_refused)
{
    struct crig *rig = crig_new(NULL, 1);
    struct client_start at = {.from = CLIENT_FROM_EARLIEST};
    struct client_topic *topic = client_topic_open(rig->client, rig->now_us, STR_LIT(CRIG_TOPIC));
    ck_assert_int_eq(client_consume(rig->client, rig->now_us, topic, 0, at), ERR_AGAIN);
    crig_run(rig, SECOND);
    ck_assert_int_eq(client_consume(rig->client, rig->now_us, topic, CRIG_PARTITIONS, at), ERR_OUT_OF_RANGE);
    crig_free(rig);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, starts_where_it_is_told, 0, 4);
    tcase_add_test(tcase, reads_on_with_a_new_leader);
    tcase_add_test(tcase, reads_on_with_a_leader_that_older_metadata_do_not_list);
    tcase_add_test(tcase, stopped_partition_brings_nothing_more);
    tcase_add_test(tcase, records_from_before_a_move_are_not_told);
    tcase_add_test(tcase, offset_that_is_gone_follows_the_policy);
    tcase_add_loop_test(tcase, nobody_goes_back_for_the_word_of_one, 0, 2);
    tcase_add_test(tcase, truncated_log_takes_the_reader_back);
    tcase_add_test(tcase, damaged_batch_is_never_passed_on);
    tcase_add_test(tcase, unknown_partition_and_topic_are_refused);
}

SLUICE_TEST_MAIN("client_consumer", add)
