/* SPDX-License-Identifier: Apache-2.0 */
/* What comes too late: a leader's answer to the log that a follower had before it failed, metadata that are
 * older than what the shards know. And replies that hold the largest batch there may be. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "broker/shard/control_internal.h"
#include "broker/shard/fetcher_link.h"
#include "broker/shard/partition_internal.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"
#include "tests/lib/broker_rig.h"
#include "tests/lib/unit.h"

#define FETCH_VERSION 17
#define LEADER        2
#define EPOCH         1

/* -- a follower -- */

static struct rig rig;

static const struct record_in record = {
    .timestamp_ms = 1700000000000, .key = BYTES_NULL, .value = {(const uint8_t *)"v", 1}};

/* Two partitions of a compacted topic, with a record each, follow another broker. */
static struct leader_link *begin(void)
{
    rig_start(&rig, 1, NULL);
    rig_topic(&rig, "t", 2);
    struct rig_client *client = rig_connect(&rig);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(rig_produce(client, i, &record), KAFKA_NONE);
    rig_topic_led_by(&rig, "t", 2, LEADER, EPOCH);
    for (int i = 0; i < 2; i++)
        partition_expect_gaps(rig_partition(&rig, "t", i), true);
    struct follow *follow = fetchers_follow(rig.shards[0].fetchers, rig_partition(&rig, "t", 0));
    ck_assert_ptr_nonnull(follow->to);
    return follow->to;
}

/* As if a fetch that reads both were on the wire. */
static void read_both(struct leader_link *link)
{
    link->reading = true;
    link->inflight[link->inflight_first] = (struct inflight){.correlation_id = 7};
    link->inflight_count = 1;
    list_for_each (it, &link->follows) {
        struct follow *follow = CONTAINER_OF(it, struct follow, link);
        follow->reading = true;
        follow->reading_epoch = EPOCH;
    }
}

static struct iobuf *batch_at(int64_t offset)
{
    struct batch_builder builder;
    struct iobuf *batch;
    ck_assert_int_eq(batch_builder_init(&builder, &BATCH_OPTS_PLAIN, NULL, 256, 1 << 20), OK);
    ck_assert_int_eq(batch_builder_add(&builder, &record), OK);
    ck_assert_int_eq(batch_builder_finish(&builder, NULL, &batch), OK);
    batch_set_base_offset(batch->data, offset);
    batch_set_leader_epoch(batch->data, EPOCH);
    return batch;
}

static void answer_part(struct kafka_fetch_response_partition *out, int32_t index, const struct iobuf *batch)
{
    kafka_fetch_response_partition_init(out);
    out->partition_index = index;
    out->high_watermark = 1;
    out->log_start_offset = 0;
    out->records = (struct kafka_records){.p = batch->data, .len = (int32_t)batch->len};
}

/* The leader's answer: a record at offset 1 of both. */
static void answer_both(struct leader_link *link)
{
    struct kafka_fetch_response reply;
    struct kafka_fetch_response_topic topic;
    struct kafka_fetch_response_partition parts[2];
    struct writer w;
    struct iobuf *batch = batch_at(1);
    int16_t version = kafka_response_header_version(KAFKA_API_FETCH, FETCH_VERSION);
    kafka_fetch_response_init(&reply);
    kafka_fetch_response_topic_init(&topic);
    for (int i = 0; i < 2; i++)
        answer_part(&parts[i], i, batch);
    topic.topic_id = partition_topic_id(rig_partition(&rig, "t", 0));
    topic.partitions = parts;
    topic.partitions_count = 2;
    reply.topics = &topic;
    reply.topics_count = 1;
    writer_init(&w, NULL, 1024, 1 << 20);
    kafka_response_header_encode(&w, version, &(struct kafka_response_header){.correlation_id = 7});
    kafka_fetch_response_encode(&w, FETCH_VERSION, &reply);
    ck_assert_int_eq(w.err, OK);
    ck_assert(link_reply(link, w.buf->data, (uint32_t)writer_pos(&w), w.buf));
    writer_free(&w);
    iobuf_unref(batch);
}

static int64_t end_of(int32_t index)
{
    struct partition_view view;
    partition_get(rig_partition(&rig, "t", index), &view);
    return view.log_end;
}

static bool is_offline(void *ctx)
{
    struct partition_view view;
    rig_settle(&rig);
    partition_get(rig_partition(&rig, "t", 0), &view);
    return view.offline;
}

static bool is_back(void *ctx)
{
    struct partition_view view;
    partition_get(rig_partition(&rig, "t", 0), &view);
    return !view.offline && view.is_follower;
}

START_TEST(an_answer_to_the_former_log_is_not_for_the_one_that_was_opened_again)
{
    char path[128];
    struct leader_link *link = begin();
    read_both(link);
    ck_assert_int_eq(end_of(0), 1);
    partition_fail(rig_partition(&rig, "t", 0), ERR_IO);
    rig_until(&rig, is_offline, NULL);
    snprintf(path, sizeof(path), "%s/t-0/00000000000000000000.log",
             rig.dir); /* what was not written is gone */
    ck_assert_int_eq(truncate(path, 0), 0);
    rig_until(&rig, is_back, NULL);
    ck_assert_int_eq(end_of(0), 0);
    answer_both(link);
    ck_assert_int_eq(end_of(1), 2);
    ck_assert_int_eq(end_of(0), 0); /* and not 2, with offset 0 missing for ever */
    rig_stop(&rig);
}
END_TEST

START_TEST(a_replica_that_is_deleted_while_it_is_offline_leaves_the_stop_clean)
{
    begin();
    for (int i = 0; i < 2; i++) /* whatever fails twice counts once */
        partition_fail(rig_partition(&rig, "t", 0), ERR_IO);
    rig_until(&rig, is_offline, NULL);
    ck_assert_uint_eq(rig.shards[0].failed_partitions, 1);
    rig_topic_removed(&rig, "t", 2);
    ck_assert_uint_eq(rig.shards[0].failed_partitions, 0);
    rig_stop(&rig);
}
END_TEST

START_TEST(a_reply_may_hold_the_largest_batch_that_a_leader_takes)
{
    struct leader_link *link = begin();
    ck_assert_uint_ge(link->in.max_bytes, (uint32_t)rig.config.socket_request_max_bytes +
                                              (uint32_t)rig.config.replica_fetch_response_max_bytes);
    rig_stop(&rig);
}
END_TEST

/* -- metadata -- */

static struct image *image_at(uint64_t index, bool with_topic)
{
    struct image_edit *edit = image_edit_begin_empty();
    int32_t self = 1;
    struct meta_record broker = {.type = META_BROKER,
                                 .broker = {.broker_id = 1, .broker_epoch = 3, .rack = STR_NULL}};
    struct meta_record topic = {.type = META_TOPIC, .topic = {{{9}}, STR_LIT("t")}};
    struct meta_record partition = {
        .type = META_PARTITION,
        .partition = {
            {{9}}, .leader = 1, .replicas = &self, .replicas_count = 1, .isr = &self, .isr_count = 1}};
    ck_assert_int_eq(image_edit_apply(edit, &broker), OK);
    if (with_topic) {
        ck_assert_int_eq(image_edit_apply(edit, &topic), OK);
        ck_assert_int_eq(image_edit_apply(edit, &partition), OK);
    }
    return image_edit_commit(edit, index, 1);
}

static uint64_t published(struct control *control, struct image *image)
{
    image_unref(control->image);
    control->image = image;
    control_publish(control);
    return image_index(control->published);
}

START_TEST(shards_never_see_older_metadata_than_they_know)
{
    static struct broker_shared broker = {.broker_id = 1, .shard_count = 0};
    struct control control = {.broker = &broker, .registered = true, .broker_epoch = 3};
    route_table_init(&control.placement);
    control.image = image_new();
    control.published = image_new();
    ck_assert_uint_eq(published(&control, image_at(10, true)), 10);
    /* The snapshot of a controller that took none for long: from there the topic looks deleted. */
    ck_assert_uint_eq(published(&control, image_at(5, false)), 10);
    ck_assert_uint_eq(published(&control, image_at(9, true)), 10);
    ck_assert_uint_eq(published(&control, image_at(11, true)), 11);
    image_unref(control.image);
    image_unref(control.published);
    route_table_free(&control.placement);
}
END_TEST

/* -- topics that follow each other under one name -- */

static struct control placer;

static void placer_init(void)
{
    memset(&placer, 0, sizeof(placer));
    placer.broker = &rig.shared;
    placer.registered = true;
    placer.broker_epoch = 1;
    route_table_init(&placer.placement);
    route_table_init(&placer.left);
    placer.image = image_ref(rig.image);
    placer.published = image_ref(rig.image);
}

static void placer_free(void)
{
    image_unref(placer.image);
    image_unref(placer.published);
    route_table_free(&placer.placement);
    route_table_free(&placer.left);
}

static struct uuid id_of(uint8_t n)
{
    return (struct uuid){{n}};
}

/* The next entry: topic "t" with the id `gone` is deleted, one with the id `made` is created; 0: none. */
static void follow_up(uint8_t gone, uint8_t made)
{
    struct image_edit *edit = image_edit_begin(placer.image);
    int32_t self = 1;
    struct meta_record broker = {.type = META_BROKER,
                                 .broker = {.broker_id = 1, .broker_epoch = 1, .rack = STR_NULL}};
    struct meta_record removal = {.type = META_TOPIC_REMOVED, .topic_removed = {id_of(gone)}};
    struct meta_record topic = {.type = META_TOPIC, .topic = {id_of(made), STR_LIT("t")}};
    struct meta_record partition = {.type = META_PARTITION,
                                    .partition = {id_of(made), .leader = 1, .replicas = &self,
                                                  .replicas_count = 1, .isr = &self, .isr_count = 1}};
    if (!image_broker(placer.image, 1))
        ck_assert_int_eq(image_edit_apply(edit, &broker), OK);
    if (gone)
        ck_assert_int_eq(image_edit_apply(edit, &removal), OK);
    if (made)
        ck_assert_int_eq(image_edit_apply(edit, &topic), OK);
    if (made)
        ck_assert_int_eq(image_edit_apply(edit, &partition), OK);
    published(&placer, image_edit_commit(edit, image_index(placer.image) + 1, 1));
}

static bool all_applied(void *ctx)
{
    for (unsigned i = 0; i < rig.shared.shard_count; i++)
        if (image_index(rig.shards[i].image) < image_index(placer.published))
            return false;
    return true;
}

static bool has_log(void)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/t-0/00000000000000000000.log", rig.dir);
    return access(path, F_OK) == 0;
}

/* Differences of metadata come in no order: in every other of these the new topic came first, and was
 * deleted with the former one. */
START_TEST(a_topic_made_in_the_place_of_another_by_the_same_metadata_keeps_its_directory)
{
    rig_start(&rig, 1, NULL);
    placer_init();
    struct rig_client *client = rig_connect(&rig);
    for (uint8_t n = 1; n <= 12; n++) {
        follow_up((uint8_t)(n - 1), n);
        rig_until(&rig, all_applied, NULL);
        ck_assert_int_eq(rig_produce(client, 0, &record), KAFKA_NONE);
        ck_assert_msg(has_log(), "topic %d has no directory", n);
    }
    placer_free();
    rig_stop(&rig);
}
END_TEST

static int shard_of(uint8_t topic)
{
    const struct route *route = route_find(&placer.placement, id_of(topic), 0);
    return route ? (int)route->shard : -1;
}

START_TEST(a_directory_that_a_shard_may_not_have_given_up_is_given_to_no_other)
{
    rig_start(&rig, 2, NULL);
    placer_init();
    placer.partitions_of[0] = 9;
    follow_up(0, 1);
    ck_assert_int_eq(shard_of(1), 1);
    placer.partitions_of[0] = 0; /* from now on the other shard is the emptier one */
    placer.partitions_of[1] = 9;
    follow_up(1, 0);
    follow_up(0, 2); /* before anybody has applied that */
    ck_assert_int_eq(shard_of(2), 1);
    follow_up(2, 1);
    ck_assert_int_eq(shard_of(1), 1);
    rig_until(&rig, all_applied, NULL);
    ck_assert(has_log());
    for (int i = 0; i < 2; i++)
        atomic_store(&placer.applied[i].index, image_index(placer.published));
    follow_up(1, 0);
    for (int i = 0; i < 2; i++)
        atomic_store(&placer.applied[i].index, image_index(placer.published));
    follow_up(0, 3);
    ck_assert_int_eq(shard_of(3), 0);
    rig_until(&rig, all_applied, NULL);
    placer_free();
    rig_stop(&rig);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, an_answer_to_the_former_log_is_not_for_the_one_that_was_opened_again);
    tcase_add_test(tcase, a_replica_that_is_deleted_while_it_is_offline_leaves_the_stop_clean);
    tcase_add_test(tcase, a_reply_may_hold_the_largest_batch_that_a_leader_takes);
    tcase_add_test(tcase, shards_never_see_older_metadata_than_they_know);
    tcase_add_test(tcase, a_topic_made_in_the_place_of_another_by_the_same_metadata_keeps_its_directory);
    tcase_add_test(tcase, a_directory_that_a_shard_may_not_have_given_up_is_given_to_no_other);
}

SLUICE_TEST_MAIN("broker_too_late", add)
