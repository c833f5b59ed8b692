/* SPDX-License-Identifier: Apache-2.0 */
/* Connections, versions, metadata, calls. */
#include "proto/kafka/error.h"
#include "tests/lib/client_rig.h"
#include "tests/lib/unit.h"

START_TEST(topic_becomes_known_with_its_leaders)
{
    struct crig *rig = crig_new(NULL, 1);
    struct client_topic *topic = crig_topic(rig);
    ck_assert_int_eq(client_topic_partitions(topic), CRIG_PARTITIONS);
    ck_assert_int_eq(client_topic_leader(topic, 1), 2);
    ck_assert_str_eq(client_topic_name(topic), CRIG_TOPIC);
    ck_assert_int_eq(rig->requests[KAFKA_API_METADATA], 1);
    ck_assert_ptr_eq(client_topic_open(rig->client, rig->now_us, STR_LIT(CRIG_TOPIC)), topic);
    crig_free(rig);
}
END_TEST

START_TEST(api_versions_falls_back_to_version_0)
{
    struct crig *rig = crig_new(NULL, 1);
    rig->old_api_versions = true;
    crig_topic(rig);
    ck_assert_int_eq(rig->version[KAFKA_API_API_VERSIONS], 0);
    ck_assert(client_met_broker(rig->client));
    crig_free(rig);
}
END_TEST

START_TEST(missing_topic_is_given_up_after_a_while)
{
    struct crig *rig = crig_new(NULL, 1);
    rig->topic_missing = true;
    client_topic_open(rig->client, rig->now_us, STR_LIT(CRIG_TOPIC));
    crig_run(rig, 4000000);
    ck_assert_int_eq(rig->topics_failed, 0);
    crig_run(rig, 2000000);
    ck_assert_int_eq(rig->topics_failed, 1);
    ck_assert_int_eq(rig->topic_failure.kafka_error, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    int32_t before = rig->requests[KAFKA_API_METADATA];
    crig_run(rig, 60000000);
    ck_assert_int_eq(rig->requests[KAFKA_API_METADATA], before); /* and nobody asks any more */
    rig->topic_missing = false;
    client_topic_open(rig->client, rig->now_us, STR_LIT(CRIG_TOPIC));
    crig_run(rig, 1000000);
    ck_assert_int_eq(rig->topics_known, 1);
    crig_free(rig);
}
END_TEST

START_TEST(unreachable_bootstrap_addresses_are_passed_over)
{
    struct crig *rig = crig_new(NULL, 1);
    rig->down[1] = rig->down[3] = true;
    client_topic_open(rig->client, rig->now_us, STR_LIT(CRIG_TOPIC));
    crig_run(rig, 500000);
    ck_assert_int_eq(rig->topics_known, 1);
    crig_free(rig);
}
END_TEST

START_TEST(nobody_there_names_the_last_trouble)
{
    struct crig *rig = crig_new(NULL, 1);
    rig->down[1] = rig->down[2] = rig->down[3] = true;
    client_topic_open(rig->client, rig->now_us, STR_LIT(CRIG_TOPIC));
    crig_run(rig, 6000000);
    ck_assert_int_eq(rig->topic_failure.err, ERR_TIMED_OUT);
    ck_assert_int_eq(client_trouble(rig->client)->err, ERR_REFUSED);
    ck_assert(!client_met_broker(rig->client));
    crig_free(rig);
}
END_TEST

START_TEST(broker_that_accepts_and_says_nothing_is_left)
{
    struct crig *rig = crig_new(NULL, 1);
    rig->silent[1] = rig->silent[2] = true;
    client_topic_open(rig->client, rig->now_us, STR_LIT(CRIG_TOPIC));
    crig_run(rig, 20000000);
    struct client_topic *topic = client_topic_open(rig->client, rig->now_us, STR_LIT(CRIG_TOPIC));
    crig_run(rig, 10000000);
    ck_assert_int_eq(client_topic_partitions(topic), CRIG_PARTITIONS);
    crig_free(rig);
}
END_TEST

/* -- calls -- */

static struct kafka_create_topics_request create_request(struct kafka_create_topics_request_topic *topic)
{
    struct kafka_create_topics_request request;
    kafka_create_topics_request_init(&request);
    kafka_create_topics_request_topic_init(topic);
    topic->name = STR_LIT("new");
    topic->num_partitions = 1;
    topic->replication_factor = 1;
    request.topics = topic;
    request.topics_count = 1;
    return request;
}

static void call_create(struct crig *rig, const struct kafka_create_topics_request *request, bool repeatable)
{
    struct client_request call = {.api_key = KAFKA_API_CREATE_TOPICS,
                                  .message = request,
                                  .node = CLIENT_ANY_NODE,
                                  .timeout_us = 2000000,
                                  .repeatable = repeatable};
    ck_assert_int_eq(client_call(rig->client, rig->now_us, &call), OK);
}

START_TEST(call_gives_the_brokers_answer)
{
    struct crig *rig = crig_new(NULL, 1);
    struct kafka_create_topics_request_topic topic;
    struct kafka_create_topics_request request = create_request(&topic);
    rig->create_error = KAFKA_TOPIC_ALREADY_EXISTS;
    call_create(rig, &request, false);
    crig_run(rig, 100000);
    ck_assert_int_eq(rig->replies, 1);
    ck_assert_int_eq(rig->reply_failure.err, OK);
    ck_assert_int_eq(rig->reply_error, KAFKA_TOPIC_ALREADY_EXISTS);
    ck_assert_int_eq(rig->version[KAFKA_API_CREATE_TOPICS], 7);
    crig_free(rig);
}
END_TEST

/* Who is asked first. */
static bool note_node(struct crig *rig, int32_t node, int16_t key)
{
    int32_t *asked = rig->ctx;
    if (key == KAFKA_API_CREATE_TOPICS)
        *asked |= 1 << node;
    return true;
}

START_TEST(same_broker_is_asked_by_one_program_after_the_other)
{
    struct client_config config;
    struct kafka_create_topics_request_topic topic;
    struct kafka_create_topics_request request = create_request(&topic);
    int32_t asked[2] = {0};
    for (uint64_t seed = 1; seed <= 40; seed++) {
        crig_config(&config);
        config.same_broker = seed % 2 == 1;
        struct crig *rig = crig_new(&config, seed);
        rig->ctx = &asked[seed % 2];
        rig->on_request = note_node;
        call_create(rig, &request, false);
        crig_run(rig, 100000);
        crig_free(rig);
    }
    ck_assert_int_eq(asked[1], 1 << 1);
    ck_assert_int_ne(asked[0], 1 << 1); /* any of them */
}
END_TEST

START_TEST(call_is_repeated_while_no_controller_is_active)
{
    struct crig *rig = crig_new(NULL, 1);
    struct kafka_create_topics_request_topic topic;
    struct kafka_create_topics_request request = create_request(&topic);
    rig->create_error = KAFKA_NOT_CONTROLLER;
    call_create(rig, &request, false);
    crig_run(rig, 500000);
    ck_assert_int_eq(rig->replies, 0);
    rig->create_error = KAFKA_NONE;
    crig_run(rig, 500000);
    ck_assert_int_eq(rig->replies, 1);
    ck_assert_int_eq(rig->reply_failure.err, OK);
    ck_assert_int_gt(rig->requests[KAFKA_API_CREATE_TOPICS], 2);
    crig_free(rig);
}
END_TEST

START_TEST(call_without_an_active_controller_times_out_with_its_error)
{
    struct crig *rig = crig_new(NULL, 1);
    struct kafka_create_topics_request_topic topic;
    struct kafka_create_topics_request request = create_request(&topic);
    rig->create_error = KAFKA_NOT_CONTROLLER;
    call_create(rig, &request, false);
    crig_run(rig, 3000000);
    ck_assert_int_eq(rig->replies, 1);
    ck_assert_int_eq(rig->reply_failure.kafka_error, KAFKA_NOT_CONTROLLER);
    crig_free(rig);
}
END_TEST

/* Metadata stays good while a leader is out of reach that nobody else misses yet. */
START_TEST(unreachable_leader_brings_no_storm_of_questions)
{
    struct crig *rig = crig_new(NULL, 1);
    struct client_topic *topic = crig_topic(rig);
    client_produce_flush(rig->client, true);
    ck_assert_int_eq(crig_produce(rig, topic, 0, 0), OK);
    ck_assert(crig_until(rig, 1000000, crig_settled));
    int32_t leader = rig->partitions[0].leader, before = rig->requests[KAFKA_API_METADATA];
    rig->silent[leader] = true;
    ck_assert_int_eq(crig_produce(rig, topic, 0, 1), OK);
    crig_run(rig, 10000000);
    int32_t asked = rig->requests[KAFKA_API_METADATA] - before;
    ck_assert_int_ge(asked, 5);
    ck_assert_int_le(asked, 100);
    crig_free(rig);
}
END_TEST

static bool break_first_create(struct crig *rig, int32_t node, int16_t key)
{
    return key != KAFKA_API_CREATE_TOPICS || rig->requests[key] > 1;
}

START_TEST(broken_call_has_an_unknown_outcome_unless_repeatable)
{
    struct crig *rig = crig_new(NULL, 1);
    struct kafka_create_topics_request_topic topic;
    struct kafka_create_topics_request request = create_request(&topic);
    rig->on_request = break_first_create;
    call_create(rig, &request, _i != 0);
    crig_run(rig, 1000000);
    ck_assert_int_eq(rig->replies, 1);
    ck_assert_int_eq(rig->reply_failure.err, _i != 0 ? OK : ERR_UNKNOWN_OUTCOME);
    ck_assert_int_eq(rig->requests[KAFKA_API_CREATE_TOPICS], _i != 0 ? 2 : 1);
    crig_free(rig);
}
END_TEST

START_TEST(call_that_no_broker_knows_fails_at_once)
{
    struct crig *rig = crig_new(NULL, 1);
    struct kafka_describe_cluster_request request;
    struct client_request call = {.api_key = KAFKA_API_DESCRIBE_CLUSTER,
                                  .message = &request,
                                  .node = CLIENT_ANY_NODE,
                                  .timeout_us = 2000000,
                                  .repeatable = true};
    kafka_describe_cluster_request_init(&request);
    ck_assert_int_eq(client_call(rig->client, rig->now_us, &call), OK);
    crig_run(rig, 100000);
    ck_assert_int_eq(rig->replies, 1);
    ck_assert_int_eq(rig->reply_failure.err, ERR_VERSION);
    crig_free(rig);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, topic_becomes_known_with_its_leaders);
    tcase_add_test(tcase, api_versions_falls_back_to_version_0);
    tcase_add_test(tcase, missing_topic_is_given_up_after_a_while);
    tcase_add_test(tcase, unreachable_bootstrap_addresses_are_passed_over);
    tcase_add_test(tcase, nobody_there_names_the_last_trouble);
    tcase_add_test(tcase, broker_that_accepts_and_says_nothing_is_left);
    tcase_add_test(tcase, call_gives_the_brokers_answer);
    tcase_add_test(tcase, same_broker_is_asked_by_one_program_after_the_other);
    tcase_add_test(tcase, call_is_repeated_while_no_controller_is_active);
    tcase_add_test(tcase, call_without_an_active_controller_times_out_with_its_error);
    tcase_add_test(tcase, unreachable_leader_brings_no_storm_of_questions);
    tcase_add_loop_test(tcase, broken_call_has_an_unknown_outcome_unless_repeatable, 0, 2);
    tcase_add_test(tcase, call_that_no_broker_knows_fails_at_once);
}

SLUICE_TEST_MAIN("client_connect", add)
