/* SPDX-License-Identifier: Apache-2.0 */
/* Frames, admission, pipelining and output of client connections, on real sockets. */
#include <string.h>

#include "broker/shard/connection.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"
#include "tests/lib/broker_rig.h"
#include "tests/lib/unit.h"

#define VERSIONS_VERSION 0 /* of ApiVersions requests here: no fields */
#define METADATA_VERSION 1
#define FETCH_VERSION    11
#define HEAD_BYTES       8 /* size, key, version */

static struct rig rig;

static void start(const char *const *sets)
{
    rig_start(&rig, 1, sets);
}

static void send_versions(struct rig_client *client, int32_t correlation)
{
    struct writer w;

    rig_request_begin(&w, KAFKA_API_API_VERSIONS, VERSIONS_VERSION, correlation);
    rig_request_end(&w);
    rig_send_writer(client, &w);
    writer_free(&w);
}

static void expect_versions(struct rig_client *client, int32_t correlation)
{
    struct reader body = rig_expect(client, KAFKA_API_API_VERSIONS, VERSIONS_VERSION, correlation);

    ck_assert_int_eq(reader_i16(&body), KAFKA_NONE);
    rig_reply_drop(client);
}

static void send_head(struct rig_client *client, int32_t size, int16_t key, int16_t version)
{
    uint8_t head[HEAD_BYTES];

    store_be32(head, (uint32_t)size);
    store_be16(head + 4, (uint16_t)key);
    store_be16(head + 6, (uint16_t)version);
    rig_send(client, head, sizeof(head));
}

/* A consumer's fetch of t-0 from offset 0 that waits for data. */
static void send_fetch(struct rig_client *client, int32_t correlation, int32_t max_wait_ms)
{
    struct kafka_fetch_request request;
    struct kafka_fetch_request_topic topic;
    struct kafka_fetch_request_partition partition;
    struct writer w;

    kafka_fetch_request_init(&request);
    kafka_fetch_request_topic_init(&topic);
    kafka_fetch_request_partition_init(&partition);
    partition.partition_max_bytes = 1 << 20;
    topic.topic = STR_LIT("t");
    topic.partitions = &partition;
    topic.partitions_count = 1;
    request.topics = &topic;
    request.topics_count = 1;
    request.max_wait_ms = max_wait_ms;
    request.min_bytes = 1;
    request.session_epoch = -1;
    rig_request_begin(&w, KAFKA_API_FETCH, FETCH_VERSION, correlation);
    kafka_fetch_request_encode(&w, FETCH_VERSION, &request);
    rig_request_end(&w);
    rig_send_writer(client, &w);
    writer_free(&w);
}

/* -- frames -- */

static void expect_refused(int32_t size, int16_t key, int16_t version)
{
    struct rig_client *client = rig_connect(&rig);
    uint64_t refused = rig.shards[0].counters.frames_refused;

    send_head(client, size, key, version);
    rig_until_closed(client);
    ck_assert_uint_eq(rig.shards[0].counters.frames_refused, refused + 1);
    ck_assert_uint_eq(client->in_len, 0);
}

START_TEST(frames_that_lie_about_their_size_close_the_connection)
{
    start(NULL);
    expect_refused(-1, KAFKA_API_METADATA, METADATA_VERSION);
    expect_refused(INT32_MIN, KAFKA_API_METADATA, METADATA_VERSION);
    expect_refused(0, KAFKA_API_METADATA, METADATA_VERSION);
    expect_refused(7, KAFKA_API_METADATA, METADATA_VERSION);
    expect_refused(INT32_MAX, KAFKA_API_METADATA, METADATA_VERSION);
    expect_refused(rig.config.socket_request_max_bytes + 1, KAFKA_API_PRODUCE, 9);
    rig_stop(&rig);
}
END_TEST

START_TEST(unknown_keys_close_the_connection)
{
    start(NULL);
    expect_refused(100, 9999, 0);
    expect_refused(100, -1, 0);
    expect_refused(100, 4, 0); /* removed from Kafka, never reused */
    rig_stop(&rig);
}
END_TEST

START_TEST(a_request_that_can_never_fit_the_budget_is_refused_at_once)
{
    start((const char *const[]){"memory.budget.bytes=16MiB", NULL});
    expect_refused(8 << 20, KAFKA_API_PRODUCE, 9);
    rig_stop(&rig);
}
END_TEST

START_TEST(an_unsupported_version_closes_the_connection)
{
    struct rig_client *client;
    struct writer w;

    start(NULL);
    client = rig_connect(&rig);
    rig_request_begin(&w, KAFKA_API_METADATA, 1000, 1);
    writer_i64(&w, 0);
    rig_request_end(&w);
    rig_send_writer(client, &w);
    writer_free(&w);
    rig_until_closed(client);
    rig_stop(&rig);
}
END_TEST

START_TEST(api_versions_of_the_future_are_answered_in_version_zero)
{
    struct rig_client *client;
    struct writer w;

    start(NULL);
    client = rig_connect(&rig);
    rig_request_begin(&w, KAFKA_API_API_VERSIONS, 99, 7);
    writer_raw(&w, "whatever", 8);
    rig_request_end(&w);
    rig_send_writer(client, &w);
    writer_free(&w);
    struct reader body = rig_expect(client, KAFKA_API_API_VERSIONS, 0, 7);
    ck_assert_int_eq(reader_i16(&body), KAFKA_UNSUPPORTED_VERSION);
    ck_assert_int_eq(reader_i32(&body), 1);
    ck_assert_int_eq(reader_i16(&body), KAFKA_API_API_VERSIONS);
    rig_reply_drop(client);
    send_versions(client, 8); /* and the connection lives */
    expect_versions(client, 8);
    rig_stop(&rig);
}
END_TEST

START_TEST(a_body_that_cannot_be_decoded_closes_the_connection)
{
    struct rig_client *client;
    struct writer w;

    start(NULL);
    client = rig_connect(&rig);
    rig_request_begin(&w, KAFKA_API_METADATA, METADATA_VERSION, 1);
    writer_i32(&w, INT32_MAX); /* topics that are not there */
    rig_request_end(&w);
    rig_send_writer(client, &w);
    writer_free(&w);
    rig_until_closed(client);
    ck_assert_uint_eq(rig.shards[0].counters.frames_refused, 1);
    rig_stop(&rig);
}
END_TEST

START_TEST(a_request_may_arrive_byte_by_byte)
{
    struct rig_client *client;
    struct writer w;

    start(NULL);
    client = rig_connect(&rig);
    rig_request_begin(&w, KAFKA_API_API_VERSIONS, VERSIONS_VERSION, 5);
    rig_request_end(&w);
    for (size_t i = 0; i < writer_pos(&w); i++) {
        rig_send(client, w.buf->data + i, 1);
        rig_settle(&rig);
    }
    writer_free(&w);
    expect_versions(client, 5);
    rig_stop(&rig);
}
END_TEST

START_TEST(memory_for_a_frame_grows_with_what_has_arrived)
{
    static uint8_t zeros[96 * 1024];
    struct rig_client *client;

    start(NULL);
    client = rig_connect(&rig);
    send_versions(client, 1);
    expect_versions(client, 1);
    size_t before = iobuf_pool_bytes_out(rig.env->pool);
    send_head(client, 90 << 20, KAFKA_API_PRODUCE, 9);
    rig_settle(&rig);
    ck_assert_uint_le(iobuf_pool_bytes_out(rig.env->pool) - before, FRAME_FIRST_BYTES);
    rig_send(client, zeros, sizeof(zeros));
    rig_settle(&rig);
    ck_assert_uint_le(iobuf_pool_bytes_out(rig.env->pool) - before, 4 * sizeof(zeros));
    ck_assert_uint_gt(rig.shared.budget.by_owner[BUDGET_REQUESTS], 90 << 20);
    env_conn_close(client->conn);
    rig_until_closed(client);
    rig_stop(&rig); /* all of it is given back */
}
END_TEST

START_TEST(a_large_frame_arrives_whole)
{
    struct rig_client *client;
    struct writer w;

    start(NULL);
    client = rig_connect(&rig);
    rig_request_begin(&w, KAFKA_API_METADATA, METADATA_VERSION, 3);
    writer_i32(&w, 40000);
    for (int i = 0; i < 40000; i++) {
        writer_i16(&w, 20);
        writer_raw(&w, "..nosuchtopic12345..", 20);
    }
    rig_request_end(&w);
    rig_send_writer(client, &w);
    writer_free(&w);
    struct reader body = rig_expect(client, KAFKA_API_METADATA, METADATA_VERSION, 3);
    ck_assert_int_eq(reader_i32(&body), 0); /* no broker is known yet */
    ck_assert_int_eq(reader_i32(&body), -1);
    ck_assert_int_eq(reader_i32(&body), 40000);
    rig_stop(&rig);
}
END_TEST

START_TEST(a_half_request_is_closed_when_its_time_is_up)
{
    struct rig_client *client;

    start((const char *const[]){"socket.request.timeout.ms=50", NULL});
    client = rig_connect(&rig);
    rig_send(client, "\0\0", 2); /* not even a size */
    rig_until_closed(client);
    client = rig_connect(&rig);
    send_head(client, 1000, KAFKA_API_METADATA, METADATA_VERSION);
    rig_until_closed(client);
    rig_stop(&rig);
}
END_TEST

START_TEST(an_idle_connection_is_closed_but_not_one_that_waits_for_us)
{
    struct rig_client *idle, *waits;

    start((const char *const[]){"connections.max.idle.ms=50", NULL});
    rig_topic(&rig, "t", 1);
    waits = rig_connect(&rig);
    send_fetch(waits, 1, 400);
    idle = rig_connect(&rig);
    rig_until_closed(idle);
    ck_assert(!waits->closed);
    rig_expect(waits, KAFKA_API_FETCH, FETCH_VERSION, 1);
    rig_until_closed(waits);
    rig_stop(&rig);
}
END_TEST

/* -- before authentication -- */

START_TEST(before_authentication_only_small_api_versions_pass)
{
    struct rig_client *client;

    start(NULL);
    rig.shared.listeners[0].authenticated = false;
    client = rig_connect(&rig);
    send_versions(client, 1);
    expect_versions(client, 1);
    send_head(client, 100, KAFKA_API_METADATA, METADATA_VERSION);
    rig_until_closed(client);
    expect_refused(PRE_AUTH_FRAME_BYTES + 1, KAFKA_API_API_VERSIONS, 0);
    rig_stop(&rig);
}
END_TEST

/* -- pipelining -- */

START_TEST(replies_leave_in_the_order_of_their_requests)
{
    struct rig_client *client;

    start(NULL);
    rig_topic(&rig, "t", 1);
    client = rig_connect(&rig);
    send_fetch(client, 1, 200); /* waits: there is nothing to read */
    send_versions(client, 2);
    send_fetch(client, 3, 100);
    send_versions(client, 4);
    rig_settle(&rig);
    ck_assert_uint_eq(client->in_len, 0); /* answered already, but not before the first */
    ck_assert_uint_eq(rig.shards[0].counters.requests, 4);
    rig_expect(client, KAFKA_API_FETCH, FETCH_VERSION, 1);
    rig_reply_drop(client);
    expect_versions(client, 2);
    rig_expect(client, KAFKA_API_FETCH, FETCH_VERSION, 3);
    rig_reply_drop(client);
    expect_versions(client, 4);
    rig_stop(&rig);
}
END_TEST

START_TEST(reading_stops_at_the_cap_of_requests_in_flight)
{
    struct rig_client *client;
    int32_t count = CONNECTION_REQUESTS_MAX + 500;

    start(NULL);
    rig_topic(&rig, "t", 1);
    client = rig_connect(&rig);
    send_fetch(client, 0, 300);
    for (int32_t i = 1; i < count; i++)
        send_versions(client, i);
    rig_settle(&rig);
    ck_assert_uint_eq(rig.shards[0].counters.requests, CONNECTION_REQUESTS_MAX);
    rig_expect(client, KAFKA_API_FETCH, FETCH_VERSION, 0);
    rig_reply_drop(client);
    for (int32_t i = 1; i < count; i++)
        expect_versions(client, i);
    rig_stop(&rig);
}
END_TEST

START_TEST(a_connection_may_break_with_requests_in_flight)
{
    struct rig_client *client;

    start(NULL);
    rig_topic(&rig, "t", 1);
    for (int i = 0; i < 4; i++) {
        client = rig_connect(&rig);
        send_fetch(client, 1, 60000);
        send_versions(client, 2);
        rig_settle(&rig);
        env_conn_close(client->conn);
        rig_until_closed(client);
    }
    rig_stop(&rig);
}
END_TEST

/* -- slow readers -- */

#define CONFIGS_VERSION 4
#define SLOW_REQUESTS   4000 /* their replies are more than the kernel holds */

/* A small question with a large answer. */
static void send_describe(struct rig_client *client, int32_t correlation)
{
    struct kafka_describe_configs_request request;
    struct kafka_describe_configs_request_resource resource;
    struct writer w;

    kafka_describe_configs_request_init(&request);
    kafka_describe_configs_request_resource_init(&resource);
    resource.resource_type = 2;
    resource.resource_name = STR_LIT("t");
    resource.configuration_keys_count = -1;
    request.resources = &resource;
    request.resources_count = 1;
    request.include_documentation = true;
    rig_request_begin(&w, KAFKA_API_DESCRIBE_CONFIGS, CONFIGS_VERSION, correlation);
    kafka_describe_configs_request_encode(&w, CONFIGS_VERSION, &request);
    rig_request_end(&w);
    rig_send_writer(client, &w);
    writer_free(&w);
}

static struct rig_client *ask_without_reading(void)
{
    struct rig_client *client;

    rig_topic(&rig, "t", 1);
    client = rig_connect(&rig);
    client->deaf = true;
    for (int32_t i = 0; i < SLOW_REQUESTS; i++) {
        send_describe(client, i);
        if (i % 100 == 0)
            rig_settle(&rig);
    }
    return client;
}

START_TEST(a_reader_that_does_not_read_stops_being_read)
{
    start(NULL);
    struct rig_client *client = ask_without_reading();
    rig_settle(&rig);
    ck_assert_uint_lt(rig.shards[0].counters.requests, SLOW_REQUESTS); /* or the test proves nothing */
    struct connection *c = CONTAINER_OF(rig.shards[0].connections.next, struct connection, link);
    ck_assert_uint_le(env_conn_queued(c->conn), OUTPUT_CAP_BYTES + 64 * 1024);
    ck_assert_uint_gt(rig.shared.budget.by_owner[BUDGET_REPLIES], OUTPUT_CAP_BYTES / 2);
    client->deaf = false;
    env_conn_resume(client->conn);
    for (int32_t i = 0; i < SLOW_REQUESTS; i++) {
        rig_expect(client, KAFKA_API_DESCRIBE_CONFIGS, CONFIGS_VERSION, i);
        rig_reply_drop(client);
    }
    rig_stop(&rig);
}
END_TEST

static bool slow_reader_is_closed(void *ctx)
{
    (void)ctx;
    return rig.shards[0].counters.slow_readers_closed > 0;
}

START_TEST(a_reader_that_never_reads_is_closed)
{
    start((const char *const[]){"socket.stall.timeout.ms=50", NULL});
    struct rig_client *client = ask_without_reading();
    rig_until(&rig, slow_reader_is_closed, NULL);
    client->deaf = false; /* or it learns of the end only when it has more to send */
    if (client->conn)
        env_conn_resume(client->conn);
    rig_until_closed(client);
    ck_assert_uint_eq(rig.shards[0].counters.slow_readers_closed, 1);
    rig_stop(&rig);
}
END_TEST

/* -- admission -- */

START_TEST(without_budget_a_request_waits_and_goes_on_when_memory_is_back)
{
    struct rig_client *client, *other;
    size_t hold = (16 << 20) - 1024;

    start((const char *const[]){"memory.budget.bytes=16MiB", NULL});
    ck_assert(budget_take(&rig.shared.budget, BUDGET_CACHE, hold));
    client = rig_connect(&rig);
    other = rig_connect(&rig);
    send_versions(client, 1);
    send_versions(client, 2);
    send_versions(other, 3);
    rig_settle(&rig);
    ck_assert_uint_eq(rig.shards[0].counters.admission_waits, 2);
    ck_assert_uint_eq(rig.shards[0].counters.requests, 0);
    budget_give(&rig.shared.budget, BUDGET_CACHE, hold);
    expect_versions(client, 1);
    expect_versions(client, 2);
    expect_versions(other, 3);
    rig_stop(&rig);
}
END_TEST

static bool large_is_admitted(void *ctx)
{
    return rig.shared.budget.by_owner[BUDGET_REQUESTS] > 4 << 20;
}

START_TEST(large_requests_leave_room_for_small_ones_which_pass_them)
{
    struct rig_client *large, *small;
    size_t hold = 10 << 20;

    start((const char *const[]){"memory.budget.bytes=16MiB", NULL});
    ck_assert(budget_take(&rig.shared.budget, BUDGET_CACHE, hold));
    large = rig_connect(&rig);
    send_head(large, 2 << 20, KAFKA_API_PRODUCE, 9);
    rig_settle(&rig);
    ck_assert_uint_eq(rig.shards[0].counters.admission_waits, 1);
    small = rig_connect(&rig);
    send_versions(small, 1);
    expect_versions(small, 1);
    ck_assert_uint_eq(rig.shared.budget.by_owner[BUDGET_REQUESTS], 0); /* the large one waits on */
    budget_give(&rig.shared.budget, BUDGET_CACHE, hold);
    send_versions(small, 2);
    expect_versions(small, 2);
    rig_until(&rig, large_is_admitted, NULL);
    rig_stop(&rig);
}
END_TEST

START_TEST(a_connection_may_break_while_it_waits_for_the_budget)
{
    struct rig_client *client;
    size_t hold = (16 << 20) - 1024;

    start((const char *const[]){"memory.budget.bytes=16MiB", NULL});
    ck_assert(budget_take(&rig.shared.budget, BUDGET_CACHE, hold));
    client = rig_connect(&rig);
    send_versions(client, 1);
    send_versions(client, 2);
    rig_settle(&rig);
    ck_assert_uint_eq(rig.shards[0].counters.admission_waits, 1);
    env_conn_close(client->conn);
    rig_until_closed(client);
    budget_give(&rig.shared.budget, BUDGET_CACHE, hold);
    client = rig_connect(&rig);
    send_versions(client, 3);
    expect_versions(client, 3);
    rig_stop(&rig);
}
END_TEST

START_TEST(connections_over_the_limit_are_closed)
{
    struct rig_client *one, *two;

    start((const char *const[]){"max.connections=1", NULL});
    one = rig_connect(&rig);
    send_versions(one, 1);
    expect_versions(one, 1);
    two = rig_connect(&rig);
    rig_until_closed(two);
    ck_assert_uint_eq(rig.shards[0].counters.connections_refused, 1);
    send_versions(one, 2);
    expect_versions(one, 2);
    rig_stop(&rig);
}
END_TEST

START_TEST(nothing_is_read_before_the_shard_has_metadata)
{
    struct rig_client *client;

    start(NULL);
    rig.shards[0].serving = false;
    client = rig_connect(&rig);
    send_versions(client, 1);
    rig_settle(&rig);
    ck_assert_uint_eq(rig.shards[0].counters.requests, 0);
    rig_topic(&rig, "first", 1);
    expect_versions(client, 1);
    send_versions(client, 2);
    expect_versions(client, 2);
    rig_stop(&rig);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, frames_that_lie_about_their_size_close_the_connection);
    tcase_add_test(tcase, unknown_keys_close_the_connection);
    tcase_add_test(tcase, a_request_that_can_never_fit_the_budget_is_refused_at_once);
    tcase_add_test(tcase, an_unsupported_version_closes_the_connection);
    tcase_add_test(tcase, api_versions_of_the_future_are_answered_in_version_zero);
    tcase_add_test(tcase, a_body_that_cannot_be_decoded_closes_the_connection);
    tcase_add_test(tcase, a_request_may_arrive_byte_by_byte);
    tcase_add_test(tcase, memory_for_a_frame_grows_with_what_has_arrived);
    tcase_add_test(tcase, a_large_frame_arrives_whole);
    tcase_add_test(tcase, a_half_request_is_closed_when_its_time_is_up);
    tcase_add_test(tcase, an_idle_connection_is_closed_but_not_one_that_waits_for_us);
    tcase_add_test(tcase, before_authentication_only_small_api_versions_pass);
    tcase_add_test(tcase, replies_leave_in_the_order_of_their_requests);
    tcase_add_test(tcase, reading_stops_at_the_cap_of_requests_in_flight);
    tcase_add_test(tcase, a_connection_may_break_with_requests_in_flight);
    tcase_add_test(tcase, a_reader_that_does_not_read_stops_being_read);
    tcase_add_test(tcase, a_reader_that_never_reads_is_closed);
    tcase_add_test(tcase, without_budget_a_request_waits_and_goes_on_when_memory_is_back);
    tcase_add_test(tcase, large_requests_leave_room_for_small_ones_which_pass_them);
    tcase_add_test(tcase, a_connection_may_break_while_it_waits_for_the_budget);
    tcase_add_test(tcase, connections_over_the_limit_are_closed);
    tcase_add_test(tcase, nothing_is_read_before_the_shard_has_metadata);
}

SLUICE_TEST_MAIN("broker_connection", add)
