/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of several connections to one partition that a turn of the loop takes in are one write of its
 * log. Real sockets decide what arrives in one turn, so each turn is judged by what it took in. */
#include "common/base/assert.h"
#include "common/env_uv/env_uv.h"
#include "proto/kafka/error.h"
#include "tests/lib/broker_rig.h"
#include "tests/lib/unit.h"

#define CLIENTS  4
#define REQUESTS 6 /* of each, sent together */
#define ROUNDS   50

static struct rig rig;

static const struct record_in a_record = {
    .timestamp_ms = 1700000000000, .key = BYTES_NULL, .value = BYTES_NULL};

struct turns {
    uint64_t want, batches, writes;
    uint64_t most; /* requests that one write was for */
};

static bool taken_in(void *ctx)
{
    struct turns *t = ctx;
    uint64_t batches = rig.shards[0].counters.produce_batches, writes = rig.shards[0].counters.log_writes;

    ck_assert_uint_le(writes - t->writes, 1);
    ck_assert_msg(batches == t->batches || writes == t->writes + 1, "%llu requests in a turn, not written",
                  (unsigned long long)(batches - t->batches));
    t->most = MAX(t->most, batches - t->batches);
    t->batches = batches;
    t->writes = writes;
    return batches == t->want;
}

static const char *const sets[][2] = {{"log.flush.interval.messages=1", NULL},
                                      {"log.flush.interval.messages=1000000", NULL}};

START_TEST(requests_of_a_turn_are_one_write)
{
    struct rig_client *clients[CLIENTS];
    struct writer produce;
    struct turns turns = {.want = 0};

    rig_start(&rig, 1, sets[_i % 2]);
    rig_topic(&rig, "t", 1);
    rig_encode_produce(&produce, 0, &a_record, _i < 2 ? 1 : -1);
    for (int c = 0; c < CLIENTS; c++)
        clients[c] = rig_connect(&rig);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CLIENTS * REQUESTS; i++)
            rig_send_writer(clients[i % CLIENTS], &produce);
        turns.want += (uint64_t)CLIENTS * REQUESTS;
        rig_until(&rig, taken_in, &turns);
        for (int i = 0; i < CLIENTS * REQUESTS; i++)
            ck_assert_int_eq(rig_produced(clients[i % CLIENTS]), KAFKA_NONE);
    }
    printf("# figure: %llu requests, %llu writes, at most %llu requests in one\n",
           (unsigned long long)turns.batches, (unsigned long long)turns.writes,
           (unsigned long long)turns.most);
    ck_assert_uint_gt(turns.most, 1);
    ck_assert_uint_lt(turns.writes, turns.batches);
    writer_free(&produce);
    rig_stop(&rig);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_set_timeout(tcase, 120); /* waits for syncs: the disk may be busy */
    tcase_add_loop_test(tcase, requests_of_a_turn_are_one_write, 0, 4);
}

SLUICE_TEST_MAIN("broker_one_write", add)
