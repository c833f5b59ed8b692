/* SPDX-License-Identifier: Apache-2.0 */
/* The APIs of groups and transactions over a socket: the versions that are offered, and that each version of
 * each has an answer of that version, whatever is asked. */
#include <string.h>

#include "broker/handlers/handler.h"
#include "common/base/assert.h"
#include "proto/kafka/messages.h"
#include "proto/kafka/random.h"
#include "tests/lib/broker_rig.h"
#include "tests/lib/unit.h"

#define ROUNDS       12
#define ARENA_BYTES  (8u << 20)
#define ELEMENTS_MAX 8

/* As Kafka 4 has them, and no newer ones. */
static const struct {
    int16_t key, min, max;
} apis[] = {
    {KAFKA_API_OFFSET_COMMIT, 2, 10},
    {KAFKA_API_OFFSET_FETCH, 1, 10},
    {KAFKA_API_FIND_COORDINATOR, 0, 6},
    {KAFKA_API_JOIN_GROUP, 0, 9},
    {KAFKA_API_HEARTBEAT, 0, 4},
    {KAFKA_API_LEAVE_GROUP, 0, 5},
    {KAFKA_API_SYNC_GROUP, 0, 5},
    {KAFKA_API_DESCRIBE_GROUPS, 0, 6},
    {KAFKA_API_LIST_GROUPS, 0, 5},
    {KAFKA_API_DELETE_GROUPS, 0, 2},
    {KAFKA_API_OFFSET_DELETE, 0, 0},
    {KAFKA_API_CONSUMER_GROUP_HEARTBEAT, 0, 1},
    {KAFKA_API_CONSUMER_GROUP_DESCRIBE, 0, 1},
    {KAFKA_API_ADD_PARTITIONS_TO_TXN, 0, 5},
    {KAFKA_API_ADD_OFFSETS_TO_TXN, 0, 4},
    {KAFKA_API_END_TXN, 0, 5},
    {KAFKA_API_WRITE_TXN_MARKERS, 1, 2},
    {KAFKA_API_TXN_OFFSET_COMMIT, 0, 5},
    {KAFKA_API_INIT_PRODUCER_ID, 0, 5},
    {KAFKA_API_DESCRIBE_PRODUCERS, 0, 0},
    {KAFKA_API_DESCRIBE_TRANSACTIONS, 0, 0},
    {KAFKA_API_LIST_TRANSACTIONS, 0, 2},
};

static struct rig rig;

START_TEST(the_versions_are_those_of_kafka)
{
    const struct handler *handler = handler_find(apis[_i].key);

    ck_assert_ptr_nonnull(handler);
    ck_assert_int_eq(handler->min_version, apis[_i].min);
    ck_assert_int_eq(handler->max_version, apis[_i].max);
}
END_TEST

static const struct kafka_message_type *type_of(int16_t key, bool request, size_t *ret_index)
{
    const struct kafka_message_type *type = kafka_message_type(key, request);

    *ret_index = (size_t)(type - kafka_message_types);
    return type;
}

static void send_random(struct rig_client *client, int16_t key, int16_t version, uint64_t seed)
{
    size_t index;
    const struct kafka_message_type *type = type_of(key, true, &index);
    struct arena arena;
    struct writer w;

    arena_init(&arena, NULL, 0, ARENA_BYTES);
    struct kafka_random x = {
        .arena = &arena, .elements_left = ELEMENTS_MAX, .poke = -1, .skeleton = seed == 0};
    prng_seed(&x.prng, seed);
    void *message = arena_calloc(&arena, 1, type->size);
    kafka_message_random[index](&x, version, message);
    if (key == KAFKA_API_INIT_PRODUCER_ID) /* any other waits for ids from a controller, and there is none */
        ((struct kafka_init_producer_id_request *)message)->transactional_id = STR_LIT("");
    rig_request_begin(&w, key, version, (int32_t)seed);
    type->encode(&w, version, message);
    rig_request_end(&w);
    rig_send_writer(client, &w);
    writer_free(&w);
    arena_free(&arena);
}

static void expect_answer(struct rig_client *client, int16_t key, int16_t version, uint64_t seed)
{
    struct reader body = rig_expect(client, key, version, (int32_t)seed);
    size_t index;
    const struct kafka_message_type *type = type_of(key, false, &index);
    struct arena arena;

    arena_init(&arena, NULL, 0, ARENA_BYTES);
    void *message = arena_calloc(&arena, 1, type->size);
    ck_assert_msg(type->decode(&body, &arena, version, message) == OK && reader_left(&body) == 0,
                  "%s v%d, seed %d: no answer of that version", type->name, version, (int)seed);
    rig_reply_drop(client);
    arena_free(&arena);
}

START_TEST(every_version_answers_whatever_is_asked)
{
    int16_t key = apis[_i].key;

    rig_start(&rig, 2, NULL);
    rig_topic(&rig, "t", 2);
    rig_topic(&rig, "__consumer_offsets", 2);
    rig_topic(&rig, "__transaction_state", 2);
    struct rig_client *client = rig_connect(&rig);
    for (int16_t version = apis[_i].min; version <= apis[_i].max; version++) {
        for (uint64_t seed = 0; seed < ROUNDS; seed++) {
            send_random(client, key, version, seed);
            expect_answer(client, key, version, seed);
        }
    }
    rig_stop(&rig);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, the_versions_are_those_of_kafka, 0, ARRAY_LEN(apis));
    tcase_add_loop_test(tcase, every_version_answers_whatever_is_asked, 0, ARRAY_LEN(apis));
}

SLUICE_TEST_MAIN("broker_group_apis", add)
