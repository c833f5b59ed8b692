/* SPDX-License-Identifier: Apache-2.0 */
/* Steady produce and fetch: what they answer, and that they allocate nothing. Every malloc, calloc and
 * realloc of the program is counted (the linker wraps them), beside the broker's own counters. */
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/batch/builder.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"
#include "tests/lib/broker_rig.h"
#include "tests/lib/unit.h"

#define PRODUCE_VERSION 9
#define FETCH_VERSION   11
#define WARM_ROUNDS     600 /* pools, rings and tables reach the size they keep */
#define ROUNDS          2000
#define RECORD_BYTES    100
#define INDEX_TABLES    2
#define DOUBLINGS_MAX   3  /* of a table in ROUNDS, after WARM_ROUNDS */
#define NEW_PEAKS_MAX   32 /* of buffers in flight, when two connections race */

static struct rig rig;
static __thread uint64_t allocations; /* of the shards' thread while its loop runs: not of the test itself,
                                         not of the control thread */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);

void *__wrap_malloc(size_t size)
{
    allocations += rig.turning;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    allocations += rig.turning;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    allocations += rig.turning;
    return __real_realloc(p, size);
}

/* -- requests that are made once and sent many times -- */

static struct iobuf *one_record(void)
{
    struct batch_builder builder;
    struct iobuf *batch;
    uint8_t value[RECORD_BYTES] = {0};
    const struct record_in record = {
        .timestamp_ms = 1700000000000, .key = BYTES_NULL, .value = {value, sizeof(value)}};

    ck_assert_int_eq(batch_builder_init(&builder, &BATCH_OPTS_PLAIN, NULL, 256, 4096), OK);
    ck_assert_int_eq(batch_builder_add(&builder, &record), OK);
    ck_assert_int_eq(batch_builder_finish(&builder, NULL, &batch), OK);
    return batch;
}

static void make_produce(struct writer *w, int16_t acks, int32_t partitions)
{
    struct iobuf *batch = one_record();
    struct kafka_produce_request_partition parts[8];
    struct kafka_produce_request_topic topic;
    struct kafka_produce_request request;

    ck_assert_int_le(partitions, (int)ARRAY_LEN(parts));
    kafka_produce_request_init(&request);
    kafka_produce_request_topic_init(&topic);
    for (int32_t i = 0; i < partitions; i++) {
        kafka_produce_request_partition_init(&parts[i]);
        parts[i].index = i;
        parts[i].records = (struct kafka_records){.p = batch->data, .len = (int32_t)batch->len};
    }
    topic.name = STR_LIT("t");
    topic.partitions = parts;
    topic.partitions_count = partitions;
    request.topics = &topic;
    request.topics_count = 1;
    request.acks = acks;
    request.timeout_ms = 10000;
    rig_request_begin(w, KAFKA_API_PRODUCE, PRODUCE_VERSION, 1);
    kafka_produce_request_encode(w, PRODUCE_VERSION, &request);
    rig_request_end(w);
    iobuf_unref(batch);
}

/* Offsets change from fetch to fetch, so the request is encoded anew into the same buffer. */
static void make_fetch(struct writer *w, const int64_t *offsets, int32_t partitions, int32_t max_wait_ms)
{
    struct kafka_fetch_request_partition parts[8];
    struct kafka_fetch_request_topic topic;
    struct kafka_fetch_request request;

    kafka_fetch_request_init(&request);
    kafka_fetch_request_topic_init(&topic);
    for (int32_t i = 0; i < partitions; i++) {
        kafka_fetch_request_partition_init(&parts[i]);
        parts[i].partition = i;
        parts[i].fetch_offset = offsets[i];
        parts[i].partition_max_bytes = 1 << 20;
    }
    topic.topic = STR_LIT("t");
    topic.partitions = parts;
    topic.partitions_count = partitions;
    request.topics = &topic;
    request.topics_count = 1;
    request.max_wait_ms = max_wait_ms;
    request.min_bytes = 1;
    rig_request_begin(w, KAFKA_API_FETCH, FETCH_VERSION, 2);
    kafka_fetch_request_encode(w, FETCH_VERSION, &request);
    rig_request_end(w);
}

/* The first error, and base offset of the first partition, of a produce reply. */
static int64_t produced(struct rig_client *client)
{
    uint8_t memory[8192];
    struct arena arena;
    struct kafka_produce_response reply;
    struct reader body = rig_expect(client, KAFKA_API_PRODUCE, PRODUCE_VERSION, 1);

    arena_init(&arena, memory, sizeof(memory), sizeof(memory));
    ck_assert_int_eq(kafka_produce_response_decode(&body, &arena, PRODUCE_VERSION, &reply), OK);
    for (int32_t i = 0; i < reply.topics[0].partitions_count; i++)
        ck_assert_int_eq(reply.topics[0].partitions[i].error_code, KAFKA_NONE);
    int64_t offset = reply.topics[0].partitions[0].base_offset;
    rig_reply_drop(client);
    return offset;
}

/* Bytes of records in a fetch reply; every partition must be without error. */
static int64_t fetched(struct rig_client *client)
{
    uint8_t memory[8192];
    struct arena arena;
    struct kafka_fetch_response reply;
    struct reader body = rig_expect(client, KAFKA_API_FETCH, FETCH_VERSION, 2);
    int64_t bytes = 0;

    arena_init(&arena, memory, sizeof(memory), sizeof(memory));
    ck_assert_int_eq(kafka_fetch_response_decode(&body, &arena, FETCH_VERSION, &reply), OK);
    for (int32_t i = 0; i < reply.topics[0].partitions_count; i++) {
        ck_assert_int_eq(reply.topics[0].partitions[i].error_code, KAFKA_NONE);
        bytes += MAX(reply.topics[0].partitions[i].records.len, 0);
    }
    rig_reply_drop(client);
    return bytes;
}

/* -- the tests -- */

struct steady {
    unsigned shards;
    int32_t partitions;
    int16_t acks;
};

static const struct steady cases[] = {
    {1, 1, 1}, {1, 1, -1}, {1, 6, -1}, {2, 1, 1}, {2, 2, -1}, {2, 6, -1},
};

/* A tail cache that is full when the warm rounds are over. */
static const char *const sets[] = {"log.tail.cache.bytes=64KiB", "log.retention.ms=-1", NULL};

static uint64_t tables_growth(const struct steady *steady)
{
    return (uint64_t)steady->partitions * INDEX_TABLES * DOUBLINGS_MAX;
}

static void round_trip(struct rig_client *client, const struct writer *produce, struct writer *fetch,
                       int64_t offset, const struct steady *steady)
{
    int64_t offsets[8];

    rig_send_writer(client, produce);
    ck_assert_int_eq(produced(client), offset);
    for (int32_t i = 0; i < steady->partitions; i++)
        offsets[i] = offset;
    writer_free(fetch);
    make_fetch(fetch, offsets, steady->partitions, 0);
    rig_send_writer(client, fetch);
    ck_assert_int_gt(fetched(client), RECORD_BYTES * steady->partitions);
}

START_TEST(steady_produce_and_fetch_allocate_nothing)
{
    const struct steady *steady = &cases[_i];
    struct writer produce, fetch = {0};
    struct rig_client *client;
    int64_t offset = 0;

    rig_start(&rig, steady->shards, sets);
    rig_topic(&rig, "t", steady->partitions);
    client = rig_connect(&rig);
    make_produce(&produce, steady->acks, steady->partitions);
    while (offset < WARM_ROUNDS)
        round_trip(client, &produce, &fetch, offset++, steady);
    uint64_t counted = rig_mallocs(&rig), before = allocations;
    while (offset < WARM_ROUNDS + ROUNDS)
        round_trip(client, &produce, &fetch, offset++, steady);
    ck_assert_uint_eq(rig_mallocs(&rig), counted);
    ck_assert_uint_le(allocations - before, tables_growth(steady));
    writer_free(&produce);
    writer_free(&fetch);
    rig_stop(&rig);
}
END_TEST

START_TEST(a_waiting_fetch_is_answered_by_a_produce_without_allocation)
{
    const struct steady *steady = &cases[_i];
    struct writer produce, fetch = {0};
    struct rig_client *producer, *consumer;
    uint64_t counted = 0, before = 0;

    rig_start(&rig, steady->shards, sets);
    rig_topic(&rig, "t", steady->partitions);
    producer = rig_connect(&rig);
    consumer = rig_connect(&rig);
    make_produce(&produce, steady->acks, steady->partitions);
    for (int64_t offset = 0; offset < WARM_ROUNDS + ROUNDS; offset++) {
        int64_t offsets[8] = {offset, offset, offset, offset, offset, offset, offset, offset};
        if (offset == WARM_ROUNDS) {
            counted = rig_mallocs(&rig);
            before = allocations;
        }
        writer_free(&fetch);
        make_fetch(&fetch, offsets, steady->partitions, 10000);
        rig_send_writer(consumer, &fetch);
        rig_send_writer(producer, &produce);
        ck_assert_int_eq(produced(producer), offset);
        ck_assert_int_gt(fetched(consumer), RECORD_BYTES);
    }
    ck_assert_uint_le(rig_mallocs(&rig) - counted, NEW_PEAKS_MAX);
    ck_assert_uint_le(allocations - before, tables_growth(steady) + NEW_PEAKS_MAX);
    writer_free(&produce);
    writer_free(&fetch);
    rig_stop(&rig);
}
END_TEST

/* Fault catalogue C2 and N3: without controllers, what the in-sync replicas vouch for goes on. */
START_TEST(without_a_session_only_the_leaders_own_word_is_refused)
{
    struct writer alone, replicated, fetch = {0};
    struct rig_client *client;
    int64_t offset = 0;
    uint8_t memory[4096];
    struct arena arena;
    struct kafka_produce_response reply;

    rig_start(&rig, 1, NULL);
    rig_topic(&rig, "t", 1);
    client = rig_connect(&rig);
    make_produce(&alone, 1, 1);
    make_produce(&replicated, -1, 1);
    rig_send_writer(client, &alone);
    ck_assert_int_eq(produced(client), 0);
    rig.shared.session_end_us = 1;
    rig_send_writer(client, &alone);
    struct reader body = rig_expect(client, KAFKA_API_PRODUCE, PRODUCE_VERSION, 1);
    arena_init(&arena, memory, sizeof(memory), sizeof(memory));
    ck_assert_int_eq(kafka_produce_response_decode(&body, &arena, PRODUCE_VERSION, &reply), OK);
    ck_assert_int_eq(reply.topics[0].partitions[0].error_code, KAFKA_NOT_LEADER_OR_FOLLOWER);
    rig_reply_drop(client);
    rig_send_writer(client, &replicated);
    ck_assert_int_eq(produced(client), 1);
    make_fetch(&fetch, &offset, 1, 0);
    rig_send_writer(client, &fetch);
    ck_assert_int_gt(fetched(client), RECORD_BYTES);
    writer_free(&alone);
    writer_free(&replicated);
    writer_free(&fetch);
    rig_stop(&rig);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_set_timeout(tcase, 120); /* thousands of syncs: the disk may be busy */
    tcase_add_loop_test(tcase, steady_produce_and_fetch_allocate_nothing, 0, (int)ARRAY_LEN(cases));
    tcase_add_loop_test(tcase, a_waiting_fetch_is_answered_by_a_produce_without_allocation, 0,
                        (int)ARRAY_LEN(cases));
    tcase_add_test(tcase, without_a_session_only_the_leaders_own_word_is_refused);
}

SLUICE_TEST_MAIN("broker_hot_path", add)
